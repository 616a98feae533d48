"""The one door to waitress, which ships no types, leaves temporary files behind and waits for no thread of its own."""

import logging
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from waitress import wasyncore  # type: ignore[import-untyped]  # waitress ships no types
from waitress.channel import ClientDisconnected, HTTPChannel  # type: ignore[import-untyped]  # as above
from waitress.server import create_server  # type: ignore[import-untyped]  # as above
from waitress.task import ThreadedTaskDispatcher  # type: ignore[import-untyped]  # as above

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

__all__ = ["ClientDisconnected", "Waitress", "channel_of"]

_THREADS = 16
_LARGEST_BODY = 1 << 40
_OUTPUT_IN_MEMORY = 1 << 20


class _Channel(HTTPChannel):  # type: ignore[misc]  # as above
    """Closes the temporary file of a request that ended in the middle or never had its turn."""

    def handle_close(self) -> None:
        if self.request is not None:
            self.request.close()
        super().handle_close()

    def cancel(self) -> None:
        for request in self.requests:
            request.close()
        super().cancel()


class _Workers(ThreadedTaskDispatcher):  # type: ignore[misc]  # as above
    """Remembers its threads, so that stopping can wait until the last one has really ended."""

    def __init__(self) -> None:
        super().__init__()
        self.running: list[threading.Thread] = []

    def start_new_thread(self, target: Callable[[int], None], thread_no: int) -> None:
        thread = threading.Thread(target=target, name=f"sandbox-{thread_no}", args=(thread_no,), daemon=True)
        self.running.append(thread)
        thread.start()


class Waitress:
    """Serves `app` on loopback from `start` to `stop`; requests that come before wait."""

    def __init__(self, app: "WSGIApplication", port: int) -> None:
        logging.getLogger("waitress").setLevel(logging.ERROR)  # it warns of what our faults do on purpose
        listener = socket.create_server(("127.0.0.1", port))  # here, since waitress leaks when a port is taken
        self._workers = _Workers()
        self._ending = threading.Event()
        self._map: dict[int, Any] = {}
        self._server = create_server(
            app,
            map=self._map,
            _dispatcher=self._workers,
            sockets=[listener],
            ident="sandbox",
            clear_untrusted_proxy_headers=True,
            channel_request_lookahead=1,  # keeps reading while a worker hangs, so that a client's leaving is seen
            max_request_body_size=_LARGEST_BODY,
            outbuf_high_watermark=_OUTPUT_IN_MEMORY,
            connection_limit=1000,
        )
        self._server.channel_class = _Channel
        self.port = int(self._server.effective_port)
        self._workers.set_thread_count(_THREADS)
        self._loop = threading.Thread(target=self._run, name="sandbox", daemon=True)

    def start(self) -> None:
        self._loop.start()

    def _run(self) -> None:
        while not self._ending.is_set():
            wasyncore.loop(timeout=1.0, map=self._map, count=1)

    def stop(self) -> None:
        """Cut every connection, then end: workers that write or wait notice the cut."""
        self._ending.set()
        self._server.pull_trigger()
        self._loop.join()
        wasyncore.dispatcher.close(self._server)
        for channel in list(self._server.active_channels.values()):
            channel.handle_close()
        self._workers.shutdown()
        for worker in self._workers.running:
            worker.join()
        self._server.trigger.close()  # last: pulling a closed trigger writes into somebody else's file


def channel_of(environ: "WSGIEnvironment") -> Any:  # noqa: ANN401 - waitress ships no types
    return environ["waitress.client_disconnected"].__self__
