"""Ports for servers that must be told theirs, from below those that the system gives when any will do."""

import functools
import itertools
import socket
from collections.abc import Iterator

_EACH = 200  # for one process: several runs of the tests may go on side by side
_FIRST, _END = 20_000, 32_000


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens at, another one each time.

    No other process of the tests asks for it as long as we live, so that a server that ends finds it free again.
    """
    claim, ports = _own_ports()
    for port in itertools.islice(ports, _EACH):
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
    raise AssertionError(f"none of the ports from {claim.getsockname()[1]} on is free")


@functools.cache
def _own_ports() -> tuple[socket.socket, Iterator[int]]:
    """Return ports, and the socket at the first of them that keeps the others away."""
    for first in range(_FIRST, _END, _EACH):
        try:
            claim = socket.create_server(("127.0.0.1", first))
        except OSError:
            continue
        return claim, itertools.cycle(range(first + 1, first + _EACH))
    raise AssertionError(f"all ports from {_FIRST} to {_END} are somebody's")
