"""An end to every call: at its deadline the connection under it is cut, whatever drips in."""

import os
import socket
import threading
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from types import TracebackType
from typing import Any, Self

from requests.adapters import HTTPAdapter
from typing_extensions import override
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from watchfolder.errors import Retry
from watchfolder.timers import Timer


class Deadline:
    """Cuts the connection of the call in this thread when its time is over: no trickle of bytes can hold a worker.

    It owns a second descriptor of the socket: the first one wanders (into a TLS socket, out of a connection that is to
    be closed), and shutting down either ends both. The name lookup and the connect, which have no socket to cut, are
    bounded by limits of their own.
    """

    _current: ContextVar["Deadline"] = ContextVar("deadline")
    _lock = threading.Lock()  # one for all: `at_work_for` of any connection changes only under it

    def __init__(self, seconds: float) -> None:
        self._handles: dict[_Connection, socket.socket] = {}
        self._trouble = ""  # why the connection was cut
        self._seconds = seconds

    @classmethod
    def of_call(cls) -> "Deadline":
        return cls._current.get()

    def __enter__(self) -> Self:
        self._token = self._current.set(self)
        self._alarm = self._cut_after(self._seconds)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._alarm.call_off()
        self._current.reset(self._token)
        with self._lock:
            for handle in self._handles.values():
                handle.close()
            self._handles.clear()

    def watch(self, connection: "_Connection", descriptor: int) -> None:
        with self._lock:
            connection.at_work_for = self
            if connection not in self._handles:
                self._handles[connection] = socket.socket(fileno=os.dup(descriptor))
        self.check()

    def begin_again(self, seconds: float) -> None:
        """Begin again with another time, once the answer's headers have told how much is to come."""
        self._alarm.call_off()
        self._alarm = self._cut_after(seconds)

    def cut(self, trouble: str) -> None:
        with self._lock:
            self._trouble = trouble
            for connection, handle in self._handles.items():
                if connection.at_work_for is self:  # else it went back to the pool and works for another call
                    with suppress(OSError):  # already disconnected
                        handle.shutdown(socket.SHUT_RDWR)

    def check(self) -> None:
        """Raise Retry if the connection was cut: what came through it last only looks like an end."""
        if self._trouble:
            raise Retry(self._trouble, code="DEADLINE")

    def _cut_after(self, seconds: float) -> Timer:
        return Timer(seconds, partial(self.cut, f"the call took longer than {seconds:.0f} s"))


class _Connection(HTTPConnection):
    """Shows its socket to the deadline before TLS and a proxy's tunnel begin, and again whenever it is reused."""

    at_work_for: Deadline | None = None

    @override
    def _new_conn(self) -> socket.socket:
        self.sock = super()._new_conn()  # ours already: whatever ends the call now closes it
        Deadline.of_call().watch(self, self.sock.fileno())
        return self.sock

    @override
    def _tunnel(self) -> None:
        super()._tunnel()
        Deadline.of_call().check()  # a proxy's answer that ends early counts there as a tunnel

    @override
    def putrequest(self, method: str, url: str, *arguments: Any, **options: Any) -> None:
        if self.sock is not None:
            Deadline.of_call().watch(self, self.sock.fileno())
        super().putrequest(method, url, *arguments, **options)


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS = {"http": _Pool, "https": _TlsPool}


class DeadlineAdapter(HTTPAdapter):
    def __init__(self, connections: int) -> None:
        super().__init__(pool_connections=connections, pool_maxsize=connections)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    @override
    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager
