"""The one door to waitress: a few threads of its own, small requests only, and an end when it is told."""

import logging
import socket
import threading
from typing import TYPE_CHECKING, Any

from waitress import wasyncore  # type: ignore[import-untyped]  # waitress ships no types
from waitress.server import create_server  # type: ignore[import-untyped]  # as above

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_THREADS = 8
_STOP_SECONDS = 2.0  # what the end waits for answers under way; a thread that hangs on a share is left behind


class Server:
    """Serves `app` from now to `stop`. Raises OSError when the address cannot be had."""

    def __init__(self, app: "WSGIApplication", address: tuple[str, int]) -> None:
        logging.getLogger("waitress").setLevel(logging.CRITICAL)  # who asks badly is no news for the log
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        listener = socket.create_server(address, family=family)
        self._map: dict[int, Any] = {}
        self._ending = threading.Event()
        self._server = create_server(
            app,
            map=self._map,
            sockets=[listener],
            threads=_THREADS,
            ident=None,
            clear_untrusted_proxy_headers=True,
            max_request_header_size=16 * 1024,
            max_request_body_size=16 * 1024,
            connection_limit=100,
            channel_timeout=30,
        )
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
