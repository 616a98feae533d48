"""Ports for servers that must be told theirs, from below those that the system gives to whoever asks for any."""

import itertools
import os
import socket

_EACH = 1000  # for every worker of pytest-xdist: two of them never ask for the same
_FIRST = 20_000 + _EACH * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 10)
_ports = itertools.cycle(range(_FIRST, _FIRST + _EACH))


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens at, another one each time."""
    for port in itertools.islice(_ports, _EACH):
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
    raise AssertionError(f"none of the ports from {_FIRST} on is free")
