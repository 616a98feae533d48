"""The page before there is a configuration: what is missing, for who may see the page, and nothing else."""

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from watchfolder.config import HttpSection
from watchfolder.events import event
from watchfolder.web.page import AGAIN_SECONDS

if TYPE_CHECKING:
    from watchfolder.web.server import Server


class WaitingPage:
    """Serves while its context is entered, from the first `show` on."""

    def __init__(self) -> None:
        self._faults: Sequence[str] = ()
        self._http = HttpSection()
        self._server: Server | None = None
        self._try_at = float("-inf")
        self._reason: str | None = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def show(self, faults: Sequence[str], http: HttpSection) -> None:
        """Show these faults from now on, there. No failure of its own is anybody else's."""
        self._faults = faults
        if http != self._http:
            self._stop()
            self._http = http
        if self._server is not None or not http.listen or time.monotonic() < self._try_at:
            return
        self._try_at = time.monotonic() + AGAIN_SECONDS
        try:
            self._server = self._serve(http)
            event("page.served", url=f"http://{http.listen}/", shows="what is missing")
            self._reason = ""
        except OSError as error:
            if error.strerror != self._reason:
                event("page.not_served", logging.ERROR, listen=http.listen, reason=error.strerror, effect="tried again")
            self._reason = error.strerror

    def _serve(self, http: HttpSection) -> "Server":
        from watchfolder.web.app import make_waiting_app  # noqa: PLC0415 - it takes flask, which a start may not need
        from watchfolder.web.security import WrongPasswords  # noqa: PLC0415
        from watchfolder.web.server import Asked, Server, Traffic  # noqa: PLC0415

        wrong = WrongPasswords(http.password.get_secret_value())

        def hold_back(asked: Asked) -> float:
            return wrong.seconds_for(asked.address, asked.authorization, time.monotonic(), asked.forwarded_for)

        app = make_waiting_app(http, lambda: self._faults)
        return Server(app, http.address, Traffic(("/healthz",), "/thumbnails/", hold_back, lambda _path: None))

    def _stop(self) -> None:
        self._try_at = float("-inf")
        if self._server is not None:
            self._server.stop()
            self._server = None
