"""A way to the sandbox that misbehaves at one operation as no program behind it can: it is shut, or it drips."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

_DROP_SECONDS = 0.05
_BEFORE = {"upload": "create", "refresh": "upload", "confirm": "upload", "status": "confirm", "link": "status"}
_BEFORE["fetch"] = "link"
_PATHS = {  # the first that fits the request line
    "upload": r"PUT ",
    "fetch": r"GET /storage/",
    "confirm": r"POST \S+/confirm ",
    "refresh": r"POST \S+/refresh-urls ",
    "create": r"POST ",
    "link": r"GET \S+/download ",
    "status": r"GET ",
}


class Door:
    """Hands each request on over a connection of its own. `does` befalls `operation` until `behave` is called."""

    def __init__(self, port: int, operation: str, does: Literal["refuse", "drip"]) -> None:
        self._behind = ("127.0.0.1", port)
        self._operation = operation
        self._does = does
        self._behaves = threading.Event()
        self.heads: list[bytes] = []
        self._place = socket.socket()  # bound and not listening: the kernel refuses each connection
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place.bind(("127.0.0.1", 0))
        self.port = self._place.getsockname()[1]
        self._listening: socket.socket | None = None
        if does != "refuse" or operation in _BEFORE:
            self._open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def behave(self) -> None:
        self._behaves.set()
        if self._listening is None:
            self._open()

    def close(self) -> None:
        self._behaves.set()
        self._shut()
        self._place.close()

    def _open(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, args=(self._listening,), daemon=True).start()

    def _shut(self) -> None:
        if self._listening is not None:
            self._listening.shutdown(socket.SHUT_RDWR)
            self._listening = None

    def _serve(self, listening: socket.socket) -> None:
        with listening, suppress(OSError):  # shut
            while True:
                line, _ = listening.accept()
                threading.Thread(target=self._hand_on, args=(line,), daemon=True).start()

    def _hand_on(self, line: socket.socket) -> None:
        with line, suppress(OSError):
            line.settimeout(10)
            request = _request_of(line)
            operation = next((name for name, path in _PATHS.items() if re.match(path, request.decode("latin-1"))), "")
            answer = self._answer_to(request)
            if self._does == "refuse" and operation == _BEFORE.get(self._operation) and not self._behaves.is_set():
                self._shut()  # before the answer is told, so that what follows it finds nobody
            is_dripping = self._does == "drip" and operation == self._operation
            for drop in _drops(answer) if is_dripping else [answer]:
                line.sendall(drop)
                if is_dripping:
                    self._behaves.wait(_DROP_SECONDS)

    def _answer_to(self, request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        self.heads.append(head)
        with socket.create_connection(self._behind, 10) as sandbox:
            sandbox.sendall(head + b"\r\nConnection: close\r\n\r\n" + body)
            return b"".join(iter(lambda: sandbox.recv(65536), b""))


@contextmanager
def standing(port: int, operation: str, does: Literal["refuse", "drip"]) -> Iterator[Door]:
    door = Door(port, operation, does)
    try:
        yield door
    finally:
        door.close()


def _drops(answer: bytes) -> Iterator[bytes]:
    return (answer[at : at + 1] for at in range(len(answer)))


def _request_of(line: socket.socket) -> bytes:
    heard = b""
    while b"\r\n\r\n" not in heard and (block := line.recv(65536)):
        heard += block
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)\r\n", heard)
    missing = heard.find(b"\r\n\r\n") + 4 + (int(length[1]) if length else 0)
    while len(heard) < missing and (block := line.recv(65536)):
        heard += block
    return heard
