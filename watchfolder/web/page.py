"""The status page: it is told by the daemon what is so, and shows it in a browser while the daemon works on."""

import codecs
import logging
import time
from typing import TYPE_CHECKING, Final, Self

from watchfolder.config import WEBHOOK_PATH, Config, HttpSection
from watchfolder.events import event
from watchfolder.pushes import Pushes, PushResult
from watchfolder.report.conditions import not_registered
from watchfolder.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from watchfolder.web.cache import PageCache
    from watchfolder.web.server import Server

AGAIN_SECONDS: Final = 30.0  # after an address could not be had


class Page:
    """Serves at `http.listen` of whichever configuration is followed. No failure of its own is the daemon's."""

    def __init__(self, http: HttpSection, pushes: Pushes) -> None:
        self._pushes = pushes
        if http.listen:
            _load()  # now: whom we act as later may not be able to read our own code
        self._book: PageCache | None = None
        self._config: Config | None = None
        self._server: Server | None = None
        self._try_at = float("-inf")
        self._reason: str | None = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def follow(self, config: Config) -> None:
        """Show this configuration from now on; what it says about the page itself is obeyed at once."""
        if self._config is not None and self._config.http != config.http:
            self._stop()
        if config.webhook.public_url and not config.webhook.secret.get_secret_value():
            event("webhook.not_registered", logging.WARNING, effect=not_registered(config.commands))
        self._config = config
        if self._book is not None:
            self._book.config = config
        self._serve()

    def see(self, snapshot: Snapshot) -> None:
        """Take note of the daemon's word; every call is a proof of its life."""
        if self._book is not None:
            self._book.see(snapshot, time.monotonic())
        self._serve()

    def _serve(self) -> None:
        config = self._config
        if self._server is not None or config is None or not config.http.listen or time.monotonic() < self._try_at:
            return
        listen = config.http.listen
        self._try_at = time.monotonic() + AGAIN_SECONDS
        try:
            make_book, make_server = _load()
            book = self._book = self._book or make_book(config)
            self._server = make_server(book, config.http, self._pushes)
            event("page.served", url=f"http://{listen}/")
            self._reason = ""
        except OSError as error:
            if error.strerror != self._reason:  # not again every half minute
                event("page.not_served", logging.ERROR, listen=listen, reason=error.strerror, effect="tried again")
            self._reason = error.strerror
        except Exception:  # noqa: BLE001 - the pictures come first
            event("page.not_served", logging.ERROR, trace=True, listen=listen, effect="tried again")

    def _stop(self) -> None:
        self._try_at = float("-inf")
        if self._server is not None:
            try:
                self._server.stop()
            except Exception:  # noqa: BLE001 - as above
                event("page.stop_broke", logging.ERROR, trace=True)
            self._server = None
        if self._book is not None:
            self._book.close()
            self._book = None


def _load() -> "tuple[Callable[[Config], PageCache], Callable[[PageCache, HttpSection, Pushes], Server]]":
    """Import what only a served page needs: flask takes its time and its memory."""
    codecs.lookup("unicode-escape")  # jinja asks for it at the first page
    from watchfolder.web.app import make_app  # noqa: PLC0415 - see above
    from watchfolder.web.cache import PageCache  # noqa: PLC0415
    from watchfolder.web.security import WrongPasswords  # noqa: PLC0415
    from watchfolder.web.server import Asked, Server, Traffic  # noqa: PLC0415

    def make_server(book: PageCache, http: HttpSection, pushes: Pushes) -> Server:
        app = make_app(book, http, pushes)
        wrong = WrongPasswords(http.password.get_secret_value())

        def count_oversized(path: str) -> None:
            if path == WEBHOOK_PATH:
                pushes.count(PushResult.OVERSIZED)

        def hold_back(asked: Asked) -> float:
            if asked.path == WEBHOOK_PATH:  # which shows its right by its signature
                return 0.0
            return wrong.seconds_for(asked.address, asked.authorization, time.monotonic(), asked.forwarded_for)

        return Server(
            app, http.address, Traffic((WEBHOOK_PATH, "/healthz"), "/thumbnails/", hold_back, count_oversized)
        )

    return PageCache, make_server
