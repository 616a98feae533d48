"""A slow line to a server, for the clients that have no brake of their own."""

import contextlib
import socket
import threading
import time
from typing import Self

_PIECE = 32 * 1024  # bytes


class SlowLine:
    """Passes on what the client of one connection sends at `bytes_per_second`; answers come back at once."""

    def __init__(self, port: int, bytes_per_second: int) -> None:
        self._quoted = port
        self._rate = bytes_per_second
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._door.getsockname()[1])
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._serve, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for end in (self._door, *self._ends):
            with contextlib.suppress(OSError):  # it never was connected, or is closed
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for end in (self._door, *self._ends):
            end.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # the door was shut before anybody came
            client, _ = self._door.accept()
            self._ends.append(client)
            server = socket.create_connection(("127.0.0.1", self._quoted))
            self._ends.append(server)
            back = threading.Thread(target=self._pass_on, args=(server, client, 0), daemon=True)
            self._threads.append(back)
            back.start()
            self._pass_on(client, server, self._rate)

    def _pass_on(self, source: socket.socket, target: socket.socket, rate: int) -> None:
        with contextlib.suppress(OSError):  # one side is gone: the other hears of it
            while piece := source.recv(_PIECE):
                if rate:
                    time.sleep(len(piece) / rate)
                target.sendall(piece)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
