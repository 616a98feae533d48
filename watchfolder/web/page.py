"""When and where a page is served: at `http.listen`, tried again while that address cannot be had."""
# ruff: noqa: PLC0415 - flask takes its time and its memory, which a run without a page should not pay

import codecs
import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from watchfolder.config import WEBHOOK_PATH, Config, HttpSection
from watchfolder.events import event
from watchfolder.pushes import Pushes, PushResult
from watchfolder.report.conditions import no_webhook
from watchfolder.snapshot import Snapshot

if TYPE_CHECKING:
    from flask import Flask

    from watchfolder.web.cache import PageCache
    from watchfolder.web.server import Asked, Server

AGAIN_SECONDS: Final = 30.0  # after an address could not be had


class _RetriedServer:
    """Serves at one address, and tries again while that cannot be had. Its failures stay its own."""

    def __init__(self) -> None:
        self._server: Server | None = None
        self._try_at = float("-inf")
        self._reason: str | None = ""  # of the failure that was logged last

    def serve(self, http: HttpSection, make_app: "Callable[[], Flask]", pushes: Pushes | None, *, shows: str) -> None:
        listen = http.listen
        if self._server is not None or not listen or time.monotonic() < self._try_at:
            return
        self._try_at = time.monotonic() + AGAIN_SECONDS
        try:
            self._server = _serve(make_app(), http, pushes)
            event("page.served", url=f"http://{listen}/", shows=shows)
            self._reason = ""
        except OSError as error:
            if error.strerror != self._reason:  # not again every half minute
                event("page.not_served", logging.ERROR, listen=listen, reason=error.strerror, effect="tried again")
            self._reason = error.strerror
        except Exception:  # noqa: BLE001 - the pictures come first
            event("page.not_served", logging.ERROR, trace=True, listen=listen, effect="tried again")

    def close(self) -> None:
        self._try_at = float("-inf")
        server, self._server = self._server, None
        if server is not None:
            try:
                server.stop()
            except Exception:  # noqa: BLE001 - as above
                event("page.stop_broke", logging.ERROR, trace=True)


class Page:
    """Serves at `http.listen` of the configuration that it follows."""

    _config: Config  # since `follow`, which comes before all else

    def __init__(self, http: HttpSection, pushes: Pushes) -> None:
        self._pushes = pushes
        if http.listen:
            _load()  # now: the user that we become later may not be able to read our own code
        self._cache: PageCache | None = None
        self._served = _RetriedServer()

    def follow(self, config: Config) -> None:
        """Show this configuration from now on; what it says about the page itself is obeyed at once."""
        if self._cache is not None and self._cache.config.http != config.http:
            self.close()
        if config.webhook.public_url and not config.webhook.secret.get_secret_value():
            event("webhook.not_registered", logging.WARNING, effect=no_webhook(config.commands))
        self._config = config
        if self._cache is not None:
            self._cache.config = config
        self._show()

    def see(self, snapshot: Snapshot) -> None:
        """Take the daemon's snapshot; every call proves that its main loop turns."""
        if self._cache is not None:
            self._cache.see(snapshot, time.monotonic())
        self._show()

    def _show(self) -> None:
        config = self._config

        def make_app() -> "Flask":
            _load()
            from watchfolder.web.app import make_app
            from watchfolder.web.cache import PageCache

            self._cache = self._cache or PageCache(config)
            return make_app(self._cache, config.http, self._pushes)

        self._served.serve(config.http, make_app, self._pushes, shows="how it goes")

    def close(self) -> None:
        self._served.close()
        if self._cache is not None:
            self._cache.close()
            self._cache = None


class WaitingPage:
    """The page before there is a configuration: what is missing, and nothing else."""

    def __init__(self) -> None:
        self._faults: Sequence[str] = ()
        self._http = HttpSection()
        self._served = _RetriedServer()

    def close(self) -> None:
        self._served.close()

    def show(self, faults: Sequence[str], http: HttpSection) -> None:
        """Show these faults from now on, at the address that `http` names."""
        self._faults = faults
        if http != self._http:
            self._served.close()
            self._http = http

        def make_app() -> "Flask":
            from watchfolder.web.app import make_waiting_app

            return make_waiting_app(http, lambda: self._faults)

        self._served.serve(http, make_app, None, shows="what is missing")


def _load() -> None:
    """Import what only a served page needs."""
    codecs.lookup("unicode-escape")  # jinja asks for it at the first page
    import watchfolder.web.app
    import watchfolder.web.server  # noqa: F401 - see above


def _serve(app: "Flask", http: HttpSection, pushes: Pushes | None) -> "Server":
    """Serve the app. With `pushes` it takes those of the service, which need no password."""
    from watchfolder.web.security import WrongPasswords
    from watchfolder.web.server import Server, Traffic

    wrong = WrongPasswords(http.password.get_secret_value())

    def count_refusal(path: str) -> None:
        if pushes is not None and path == WEBHOOK_PATH:
            pushes.count(PushResult.OVERSIZED)

    def hold_back(asked: "Asked") -> float:
        if pushes is not None and (asked.method, asked.path) == ("POST", WEBHOOK_PATH):  # a signature lets it in
            return 0.0
        return wrong.seconds_for(asked.address, asked.authorization, time.monotonic(), asked.forwarded_for)

    return Server(app, http.address, Traffic((WEBHOOK_PATH, "/healthz"), "/thumbnails/", hold_back, count_refusal))
