"""One call in JSON: with our key, within the rate limit, and again within seconds while that may help."""

import itertools
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_when_event_set, wait_random_exponential
from tenacity.nap import sleep_using_event

from watchfolder.api.answers import Envelope, faulty
from watchfolder.api.rate_limiter import Priority, RateLimiter
from watchfolder.api.table import TABLE, Call, NoRoute, error_of
from watchfolder.api.transport import FileChanged, Pace, Response, Transport
from watchfolder.config import ApiSection
from watchfolder.counters import Counters
from watchfolder.errors import FolderFault, OrderRetry, Retry, SlowDown, WatchfolderError

_T = TypeVar("_T")
_NO_RESULT = "PROCESSED_FILE_NOT_FOUND"  # a live key's complete order has results, or will have them soon


class Client:
    """The API for every thread of ours: one rate limiter, one pool of connections.

    Once `stop` is set no request begins (Retry "stopping"); one under way goes on to its end.
    """

    def __init__(
        self,
        settings: ApiSection,
        *,
        transfers: int,
        stop: threading.Event,
        pace: Pace | None = None,
        counters: Counters | None = None,
    ) -> None:
        pace = pace or Pace()
        self.fingerprint = settings.fingerprint  # of the key
        self.limiter = RateLimiter(settings.requests_per_minute, stop, patience_seconds=pace.patience_seconds)
        self.answered_at: float | None = None  # time.monotonic() of the last answer that was the API's own
        self._counters = counters or Counters(())
        self._base_url = settings.base_url.rstrip("/")
        self._settings = settings
        self._headers = {"Authorization": f"Bearer {settings.key.get_secret_value()}"}
        self._stop = stop
        self._calls = threading.Semaphore(transfers)  # no host sees more connections than that
        # Twice as many connections, where API and storage are one host.
        self._transport = Transport(settings, connections=2 * transfers, pace=pace)
        self._persist = Retrying(
            sleep=sleep_using_event(stop),
            stop=stop_after_attempt(pace.attempts) | stop_when_event_set(stop),
            wait=wait_random_exponential(
                multiplier=2 * pace.first_wait_seconds, min=pace.first_wait_seconds, max=pace.max_wait_seconds
            ),
            retry=retry_if_exception(_may_retry),
            reraise=True,
        )

    def close(self) -> None:
        self._transport.close()

    def _ask(
        self,
        call: Call,
        method: str,
        path: str,
        read: Callable[[object], _T],
        *,
        body: str | None = None,
        priority: Priority = Priority.DELIVERY,
    ) -> _T:
        def ask_once() -> _T:
            self.limiter.take(priority)
            return self._counters.count(call, lambda: self._ask_once(call, method, path, read, body))

        return self._try_again(ask_once)

    def _try_again(self, once: Callable[[], _T]) -> _T:
        """Try it again while that may help. What is raised says whether an earlier try may have been heard."""
        tries = itertools.count()

        def try_once() -> _T:
            was_repeated = next(tries) > 0
            try:
                return once()
            except WatchfolderError as error:
                error.was_repeated = was_repeated
                raise

        answer: _T = self._persist(try_once)
        return answer

    def _ask_once(self, call: Call, method: str, path: str, read: Callable[[object], _T], body: str | None) -> _T:
        with self._calls:
            self._check_stop()
            sent = None if body is None else body.encode()
            answer = self._transport.call(method, self._base_url + path, self._headers, sent)
        envelope = Envelope.read(answer.body)
        if envelope.is_of_service and answer.status < 500:  # noqa: PLR2004 (an outage that speaks JSON is still one)
            self.answered_at = time.monotonic()
        if not answer.is_success or (not envelope.data and envelope.code in TABLE):  # some servers refuse by a 200
            raise self._refusal(call, answer, envelope)
        is_plain_yes = call is Call.WEBHOOK and answer.status == 204  # noqa: PLR2004 (No Content, to a removal)
        if not envelope.has_data and not is_plain_yes:
            raise faulty("it is not what its API answers")
        return read(envelope.data)

    def _refusal(self, call: Call, answer: Response, envelope: Envelope) -> WatchfolderError:
        error = error_of(call, answer.status, envelope.code, answer.headers, is_json=envelope.is_json)
        if isinstance(error, SlowDown):
            self.limiter.slow_down(error.retry_after_seconds)
        if error.code == _NO_RESULT and self._settings.mode == "live":
            return OrderRetry("the service has no result for a file yet", code=error.code)
        return error

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Retry("stopping", code="STOPPING")


def _may_retry(error: BaseException) -> bool:
    return isinstance(error, Retry) and not isinstance(error, SlowDown | FolderFault | NoRoute | FileChanged)
