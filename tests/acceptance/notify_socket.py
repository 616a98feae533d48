"""systemd's end of the notify socket, for the tests that read what the daemon says to it."""

import contextlib
import socket
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest


@dataclass
class Notified:
    """systemd's end of the notify socket. Everything is read at once: a full queue would hold up the daemon."""

    address: str = field(default_factory=lambda: f"@watchfolder-test-{uuid.uuid4()}")
    messages: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.bind("\0" + self.address[1:])
            reader = threading.Thread(target=self._read, args=(end,))
            reader.start()
            try:
                yield
            finally:
                end.shutdown(socket.SHUT_RD)
                reader.join()

    def _read(self, end: socket.socket) -> None:
        while message := end.recv(65536):
            self.messages.append(message.decode("ascii"))

    @property
    def status(self) -> str:
        return next((text[7:] for text in reversed(self.messages) if text.startswith("STATUS=")), "")


@pytest.fixture
def notified() -> Iterator[Notified]:
    notified = Notified()
    with notified.listening():
        yield notified
