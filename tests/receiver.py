"""A real HTTP server that hears pushes, or plays a notification service or a monitor, in several moods."""

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, cast

from typing_extensions import override
from waiting import wait_until

Mood = Literal["well", "refuses", "hangs", "drips", "redirects", "endless", "breaks"]


@dataclass
class Call:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def message(self) -> str:
        return str(json.loads(self.body)["message"])


@dataclass
class Receiver:
    port: int = 0
    mood: Mood = "well"
    statuses: list[int] = field(
        default_factory=lambda: [200]
    )  # answered when well, one after the other, the last for ever
    calls: list[Call] = field(default_factory=list)
    sent_bytes: int = 0  # of bodies that drip or have no end
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def messages(self) -> list[str]:
        return [call.message for call in self.calls]

    def until(self, number: int, seconds: float = 30) -> None:
        """Wait until so many calls have come."""
        wait_until(lambda: len(self.calls) >= number, seconds, f"{number} calls came")


@contextlib.contextmanager
def receiving(mood: Mood = "well") -> Iterator[Receiver]:
    receiver = Receiver(mood=mood)
    server = _Server(("127.0.0.1", 0), _Handler)
    server.receiver = receiver
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield receiver
    finally:
        receiver.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    receiver: Receiver


class _Handler(BaseHTTPRequestHandler):
    @property
    def receiver(self) -> Receiver:
        return cast("_Server", self.server).receiver

    def do_POST(self) -> None:
        self._take()

    def do_GET(self) -> None:
        self._take()

    def do_CONNECT(self) -> None:
        self._take()

    def _take(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.receiver.calls.append(Call(self.command, self.path, dict(self.headers), body))
        with contextlib.suppress(OSError):
            self._answer(self.receiver.mood)

    def _answer(self, mood: Mood) -> None:
        match mood:
            case "hangs":
                self.receiver.ended.wait(60)
            case "refuses":
                self.send_error(500)
            case "redirects" | "breaks":
                self.send_response(302)
                self.send_header("Location", "/elsewhere" if mood == "redirects" else "http://[")  # which raises
                self.end_headers()
            case "well":
                statuses = self.receiver.statuses
                self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"OK")
            case "drips" | "endless":
                self.send_response(200)
                self.end_headers()
                while not self.receiver.ended.wait(0.2 if mood == "drips" else 0):
                    self.receiver.sent_bytes += self.wfile.write(b"." * (1 if mood == "drips" else 1 << 16))

    @override
    def log_message(self, format: str, *arguments: object) -> None:
        pass
