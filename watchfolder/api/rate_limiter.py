"""The rate limiter of all requests: a smooth token bucket that shrinks when the service says "slow down"."""

import itertools
import threading
import time
from bisect import insort
from enum import IntEnum

from watchfolder.errors import Retry, Throttled

_DEFAULT_HOLD_SECONDS = 5.0  # after a 429 without Retry-After
_RECOVERY_PER_SECOND = 0.1 / 60  # of the full rate: a halved rate is whole again after five minutes
_SMALLEST_SHARE = 1 / 16  # of the full rate, however often we are told to slow down
_LARGEST_PLAN = 1000.0  # requests a minute: where the shrinking starts when no limit is configured
_LARGEST_BURST = 4.0  # the requests of one order: a larger burst would lower the steady rate
_MARGIN = 0.98  # of the rate: requests sent in more than a minute may arrive within one
_SHORTEST_NAP_SECONDS = 0.002
_ALMOST = 1e-9  # a token that is missing only by rounding


class Priority(IntEnum):
    """Who goes first when requests are scarce: what delivers a paid picture, before what buys a new one."""

    DELIVERY = 0
    PURCHASE = 1


class Bucket:
    """The arithmetic, without a clock: every call is given `now`, in seconds.

    In no minute does it let through more than `per_minute`: the steady rate is lower by what a burst may take at once.
    0 means no limit, until the service shows its own.
    """

    def __init__(self, per_minute: float, now: float) -> None:
        self._at = now
        self._held_until = now
        self._tokens = self._burst = 0.0
        self._rate = self._full = 0.0  # requests a second; 0 is no limit
        self._set_limit(per_minute)

    def take(self, now: float, *, leaving: int = 0) -> bool:
        """Take one request out, unless fewer than `leaving` would remain for those who came before."""
        self._advance(now)
        if now < self._held_until or (self._full and self._tokens < 1 + leaving - _ALMOST):
            return False
        self._tokens = max(0.0, self._tokens - 1)
        return True

    def wait_seconds(self, now: float, *, leaving: int = 0) -> float:
        self._advance(now)
        missing = max(0.0, 1 + leaving - self._tokens) / self._rate if self._full else 0.0
        return max(0.0, self._held_until - now) + missing

    def slow_down(self, now: float, retry_after_seconds: float | None) -> None:
        """Halve the rate and let nothing through for so long. A refusal during such a hold does not halve it again."""
        self._advance(now)
        if not self._full:
            self._set_limit(_LARGEST_PLAN)
        if now >= self._held_until:
            self._rate = max(self._rate / 2, self._full * _SMALLEST_SHARE)
        hold = max(_DEFAULT_HOLD_SECONDS if retry_after_seconds is None else retry_after_seconds, 1.0)
        self._held_until = max(self._held_until, now + hold)
        self._tokens = 0.0

    def is_held_back(self, now: float) -> bool:
        """Whether the service's refusals, not the configuration, set the pace."""
        self._advance(now)
        return now < self._held_until or self._rate < self._full

    def _set_limit(self, per_minute: float) -> None:
        burst = min(max(1.0, per_minute / 15), _LARGEST_BURST)
        self._full = _MARGIN * (per_minute - (burst - 1)) / 60 if per_minute else 0.0
        self._rate = self._full
        self._burst = self._tokens = burst

    def _advance(self, now: float) -> None:
        passed = max(0.0, now - max(self._at, self._held_until))
        self._at = max(self._at, now)
        self._tokens = min(self._burst, self._tokens + passed * self._rate)
        self._rate = min(self._full, self._rate + passed * self._full * _RECOVERY_PER_SECOND)


class RateLimiter:
    """One bucket for every thread, first come first served within a `Priority`; no wait outlasts the stop event."""

    def __init__(self, per_minute: float, stop: threading.Event, *, patience_seconds: float) -> None:
        self._bucket = Bucket(per_minute, time.monotonic())
        self._stop = stop
        self._patience_seconds = patience_seconds
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._waiting: list[tuple[Priority, int]] = []
        self.waited_at = float("-inf")  # monotonic seconds: when a request last had to wait

    def take(self, turn: Priority) -> None:
        """Return when a request may be made.

        Raises Throttled when that is more than `patience_seconds` away (a worker has transfers to do), Retry on stop.
        """
        ticket, until = (turn, next(self._numbers)), time.monotonic() + self._patience_seconds
        with self._lock:
            insort(self._waiting, ticket)
        try:
            while not self._stop.is_set():
                with self._lock:
                    now, ahead = time.monotonic(), self._waiting.index(ticket)
                    if self._bucket.take(now, leaving=ahead):
                        return
                    seconds = self._bucket.wait_seconds(now, leaving=ahead)
                    self.waited_at = now
                    nap = self._bucket.wait_seconds(now)  # not `seconds`: those ahead may give up
                if now + seconds > until:
                    raise Throttled("our own request budget is used up for now", retry_after_seconds=seconds)
                self._stop.wait(max(nap, _SHORTEST_NAP_SECONDS))
        finally:
            with self._lock:
                self._waiting.remove(ticket)
        raise Retry("stopping", code="STOPPING")

    def slow_down(self, retry_after_seconds: float | None) -> None:
        with self._lock:
            self._bucket.slow_down(time.monotonic(), retry_after_seconds)

    def is_held_back(self) -> bool:
        with self._lock:
            return self._bucket.is_held_back(time.monotonic())
