"""What the image's HEALTHCHECK runs: ask the page of this container how it is, at the least expense.

No library is loaded for one line of HTTP: this runs every minute for years.
"""

import os
import socket
import sys
from typing import Final

LISTEN: Final = "WATCHFOLDER__HTTP__LISTEN"
_SECONDS = 8.0
_MOST_BYTES = 8192
_HOSTS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what listens everywhere is asked here


def main() -> int:
    """Say what the page says; return 0 when all is well, or when there is no page to ask."""
    host, _, port = os.environ.get(LISTEN, "").rpartition(":")
    if not port:
        return 0
    host = host.strip("[]")
    try:
        status, _, body = _asked(_HOSTS.get(host, host), int(port)).partition(b"\r\n\r\n")
    except (OSError, ValueError) as error:
        sys.stdout.write(f"no answer: {error}\n")
        return 1
    sys.stdout.write(body.decode("utf-8", "replace"))
    return 0 if status.split(b" ")[1:2] == [b"200"] else 1


def _asked(host: str, port: int) -> bytes:
    with socket.create_connection((host, port), _SECONDS) as line:
        line.sendall(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
        said = b""
        while len(said) < _MOST_BYTES and (more := line.recv(_MOST_BYTES)):
            said += more
    return said


if __name__ == "__main__":
    sys.exit(main())
