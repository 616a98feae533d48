"""The one door to waitress: a few threads of its own, small requests only, and an end when it is told."""

import logging
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from waitress import wasyncore  # type: ignore[import-untyped]  # waitress ships no types
from waitress.channel import HTTPChannel  # type: ignore[import-untyped]  # as above
from waitress.server import create_server  # type: ignore[import-untyped]  # as above
from waitress.task import ErrorTask, ThreadedTaskDispatcher  # type: ignore[import-untyped]  # as above

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_THREADS = 8
_QUICK_THREADS = 2
_STOP_SECONDS = 2.0  # what the end waits for answers under way; a thread that hangs on a share is left behind


class _Threads(ThreadedTaskDispatcher):  # type: ignore[misc]  # as above
    """Threads of its own for the `quick` path: those of the page may all be waiting for a disk."""

    def __init__(self, quick: str) -> None:
        super().__init__()
        self._quick = quick
        self._quick_threads = ThreadedTaskDispatcher()
        self._quick_threads.set_thread_count(_QUICK_THREADS)
        self.set_thread_count(_THREADS)

    def add_task(self, task: HTTPChannel) -> None:
        if _path_of(task.requests[0]) == self._quick:
            self._quick_threads.add_task(task)
        else:
            super().add_task(task)

    def shutdown(self, cancel_pending: bool = True, timeout: float = 5) -> bool:  # noqa: FBT001, FBT002 - waitress's
        self._quick_threads.shutdown(cancel_pending, timeout)
        return bool(super().shutdown(cancel_pending, timeout))


def _path_of(request: Any) -> str:  # noqa: ANN401 - waitress ships no types
    return str(getattr(request, "path", ""))  # none where not even the first line could be read


class Server:
    """Serves `app` from now to `stop`. Raises OSError when the address cannot be had.

    Requests for the path `quick` wait for no others; `on_oversized` is told of those that are too large to be taken.
    """

    def __init__(
        self, app: "WSGIApplication", address: tuple[str, int], *, quick: str, on_oversized: Callable[[], None]
    ) -> None:
        logging.getLogger("waitress").setLevel(logging.CRITICAL)  # who asks badly is no news for the log
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        listener = socket.create_server(address, family=family)
        self._map: dict[int, Any] = {}
        self._ending = threading.Event()
        self._server = create_server(
            app,
            map=self._map,
            sockets=[listener],
            _dispatcher=_Threads(quick),
            ident=None,
            clear_untrusted_proxy_headers=True,
            max_request_header_size=16 * 1024,
            max_request_body_size=16 * 1024,
            connection_limit=100,
            channel_timeout=30,
        )
        self._server.channel_class = _channel_class(quick, on_oversized)
        self._loop = threading.Thread(target=self._run, name="page", daemon=True)
        self._loop.start()

    def stop(self) -> None:
        """Cut every connection. May be called from any thread but the page's own."""
        self._ending.set()
        self._server.pull_trigger()
        self._loop.join()
        wasyncore.dispatcher.close(self._server)
        for channel in list(self._server.active_channels.values()):
            channel.handle_close()
        self._server.task_dispatcher.shutdown(timeout=_STOP_SECONDS)
        if not self._server.task_dispatcher.threads:
            self._server.trigger.close()  # last: whoever pulls a closed trigger writes into somebody else's file

    def _run(self) -> None:
        while not self._ending.is_set():
            wasyncore.loop(timeout=1.0, map=self._map, count=1)


def _channel_class(quick: str, on_oversized: Callable[[], None]) -> type[HTTPChannel]:
    class Refusal(ErrorTask):  # type: ignore[misc]  # as above
        def execute(self) -> None:
            if _path_of(self.request) == quick and self.request.error.code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                on_oversized()
            super().execute()

    class Channel(HTTPChannel):  # type: ignore[misc]  # as above
        error_task_class = Refusal

    return Channel
