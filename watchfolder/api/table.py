"""What the service and its storage say, and what to do next: two literal tables, read by code first, by status second.

Source: the error tables of the vendor's API description as of 2026-10-08, and Amazon S3's list of error responses.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum, auto

from watchfolder.errors import (
    Blocked,
    KeyRefused,
    OrderMissing,
    OrderRetry,
    Reject,
    Resync,
    Retry,
    Scope,
    SlowDown,
    WatchfolderError,
)
from watchfolder.events import printable, without_secret_parts

LONGEST_HOLD_SECONDS = 3600.0
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?")
_STORAGE_CODE = re.compile(rb'(?:<Code>|"code"\s{0,9}:\s{0,9}")([A-Za-z0-9_.]{1,64})["<]')
_LOOKED_AT = 16 * 1024  # bytes of a storage error that are searched for its code


class Call(StrEnum):
    """Which call was made: what a code means can depend on it."""

    CREATE = auto()
    CONFIRM = auto()
    LOOK = auto()  # how an order is: /orders/{orderId}, whose answer alone can end it
    ORDER = auto()  # something of an order: /orders/{orderId}/…
    REPORT = auto()  # a PDF about what was found, which is no part of the order
    LIST = auto()
    WEBHOOK = auto()


_REPORT = frozenset({Call.REPORT})
_PURCHASE = frozenset({Call.CREATE, Call.CONFIRM})  # what these send can be refused; a question condemns nothing


class NoRoute(Retry):
    """Nothing answers at this address as the API would: a server that knows only v2, a wrong base_url, a gateway."""


class MovedOn(Resync):
    """The answer says that the order is further than we thought. Whether that is so, a poll of the order shows."""


class Ended(MovedOn):
    """The answer says that the order has come to its end, or is gone."""


class Retired(Blocked):
    """The endpoint is no more."""


@dataclass(frozen=True)
class ErrorRow:
    """An error class and the sentence for a person."""

    kind: type[WatchfolderError]
    reason: str
    only_for: frozenset[Call] = field(default=frozenset(Call))  # elsewhere the status decides
    looked_at_after: frozenset[Call] = frozenset()  # after these calls it only means: poll the order
    scope: Scope = Scope.EVERYTHING
    advice: str = ""
    needs_json: bool = False  # its status means this only with the API's own JSON: a gateway sends it, too


_KEY_REFUSED = ErrorRow(
    KeyRefused, "the service refuses the API key: check the key, and whether it has expired", needs_json=True
)
_NO_CREDITS = ErrorRow(
    Blocked, "the plan's credits are used up: buy credits or wait for the next period", scope=Scope.PURCHASES
)
_PASSING = ErrorRow(Retry, "the service has a passing fault")
_UNHEARD = ErrorRow(Retry, "the service refuses to answer this question")
_NOT_KNOWN = ErrorRow(Retry, "the service gave an answer that is not known here", frozenset())
_FOREIGN = ErrorRow(Retry, "that is not the service's own answer", frozenset())
_GONE = ErrorRow(
    OrderMissing,
    "the service does not know this order",
    frozenset({Call.LOOK, Call.REPORT}),
    looked_at_after=frozenset({Call.CONFIRM, Call.ORDER}),
)
_EXPIRED = replace(_GONE, reason="the service keeps this order no longer")
_LOOK_AT_IT = ErrorRow(Ended, "the service says that the order has come to an end")
_MOVED_ON = ErrorRow(MovedOn, "the order has already moved on at the service")
_GO_BACK = ErrorRow(Resync, "the order is not that far at the service")
_INVALID = ErrorRow(
    Reject, "the service refuses this file as invalid", _PURCHASE, advice="Check the file's name, format and size."
)
_FAILED = ErrorRow(
    Reject, "the service could not process this order", _PURCHASE, looked_at_after=frozenset({Call.ORDER})
)
_FAILED_BEFORE = replace(
    _FAILED, only_for=frozenset({Call.CREATE}), looked_at_after=frozenset({Call.CONFIRM, Call.ORDER})
)
_WRONG_KIND = ErrorRow(
    Reject,
    "the service says this order is of another kind",
    _PURCHASE | {Call.REPORT},
    advice="Ask the service's support.",
)
_SENT_BEFORE = ErrorRow(Resync, "the service has seen this key with other words", _PURCHASE, needs_json=True)
_FORBIDDEN = ErrorRow(
    Blocked, "the service forbids new orders, and does not say why: ask its support", _PURCHASE, scope=Scope.PURCHASES
)
_RETIRED = ErrorRow(Retired, "this endpoint is retired: a newer watchfolder is needed", needs_json=True)
_ABSENT = ErrorRow(NoRoute, "nothing answers there as the service would: check api.base_url")
_ELSEWHERE = ErrorRow(Retry, "the service sends us elsewhere, which is not followed: check api.base_url and api.proxy")

TABLE: Mapping[str | int, ErrorRow] = {
    # the key
    "AUTH_NOT_AUTHENTICATED": _KEY_REFUSED,
    "AUTH_TOKEN_EXPIRED": _KEY_REFUSED,
    "AUTH_TOKEN_INVALID": _KEY_REFUSED,
    "AUTH_TOKEN_INVALID_FORMAT": _KEY_REFUSED,
    "AUTH_FORBIDDEN": _KEY_REFUSED,
    "ORDER_NOT_OWNER": ErrorRow(Blocked, "this key belongs to another account than the order", scope=Scope.ORDER),
    # credits: 400 in one document, 429 in another
    "USAGE_LIMIT_EXCEEDED": _NO_CREDITS,
    "USAGE_NOT_ENOUGH": _NO_CREDITS,
    "PLAN_LIMIT_EXCEEDED": _NO_CREDITS,
    "PLAN_NOT_FOUND": ErrorRow(Blocked, "the account has no plan: choose one", scope=Scope.PURCHASES),
    # the pace
    "RATE_LIMIT_EXCEEDED": ErrorRow(SlowDown, "the service asks for fewer requests a minute"),
    # passing
    "ORDER_TIMEOUT": _PASSING,
    "WATERMARK_V2_UNAVAILABLE": ErrorRow(Retry, "the service's watermark engine is away for now"),
    "SERVER_INTERNAL_ERROR": _PASSING,
    "SERVICE_UNAVAILABLE": _PASSING,
    "FILE_RETENTION_UNKNOWN": ErrorRow(OrderRetry, "the service is still working out how long it keeps the file"),
    # gone
    "ORDER_NOT_FOUND": _GONE,
    "RESOURCE_NOT_FOUND": _GONE,
    "WEBHOOK_NOT_FOUND": _GONE,
    "ORDER_EXPIRED": _EXPIRED,
    # elsewhere than we thought
    "ORDER_ALREADY_CONFIRMED": _MOVED_ON,
    "ORDER_ALREADY_COMPLETED": _MOVED_ON,
    "ORDER_NOT_PENDING": _MOVED_ON,
    "ORDER_NOT_COMPLETED": _GO_BACK,
    "ORDER_FILE_NOT_UPLOADED": ErrorRow(Resync, "the service has not got the file's bytes"),
    "REPORT_NOT_FOUND": ErrorRow(Resync, "the service has not been asked for this report", _REPORT),
    # for good
    "REPORT_LOCALE_UNSUPPORTED": ErrorRow(
        Reject, "the service writes no report in this language here (on a PDF in ko-KR alone)", _REPORT
    ),
    "REPORT_NOT_AVAILABLE": ErrorRow(Reject, "the service has no report on this result", _REPORT),
    "VALIDATION_FAILED": _INVALID,
    "VALIDATION_IDEMPOTENCY_KEY_INVALID": _INVALID,
    "INVALID_PARAMETER": _INVALID,
    "ORDER_ALREADY_FAILED": _FAILED_BEFORE,
    "ORDER_TYPE_NOT_MATCH": _WRONG_KIND,
    "ORDER_TYPE_CANT_DOWNLOAD": _WRONG_KIND,
    "PROCESSING_ERROR": _FAILED,
    "PROCESSED_FILE_NOT_FOUND": ErrorRow(
        Reject,
        "there is no processed file: an order of a test key (sk_test_…) has none on this server",
        frozenset({Call.LOOK, Call.ORDER}),
        advice="Use a live key, or a server with the v3 reads.",
    ),
    # used before
    "WATERMARK_V2_CONFLICT": _SENT_BEFORE,
    # retired
    "WATERMARK_V2_API_SUNSET": _RETIRED,
    # no code, or one that is not known here
    300: _ELSEWHERE,  # and each other 3xx
    401: _KEY_REFUSED,
    403: _FORBIDDEN,
    404: _ABSENT,
    405: _ABSENT,
    408: _PASSING,
    409: _SENT_BEFORE,
    410: _RETIRED,
    500: _PASSING,  # and each other 5xx, but for this:
    501: _ABSENT,
}
"""Everything else, 413 and 415 among it, is Retry: only the JSON of a call goes there, never a picture, so a refusal of
its size or type is a gateway's. An unknown word must not cost a file its place in the queue."""

_WITHOUT_CODE = {429: "RATE_LIMIT_EXCEEDED"}  # with any other code a 429 is no rate limit

_LINK_REFUSED = ErrorRow(Resync, "the storage refuses the link: it has expired or was altered on the way")
_STORAGE_PASSING = ErrorRow(Retry, "the storage has a passing fault")
_DAMAGED = ErrorRow(Retry, "the bytes were damaged on the way to the storage")
_TOO_LARGE = ErrorRow(
    Reject, "the file is larger than the service takes", advice="Save it smaller, or ask for a larger limit."
)
_NOT_THERE = ErrorRow(Resync, "there is nothing behind this link")

STORAGE: Mapping[str | int, ErrorRow] = {
    "AccessDenied": _LINK_REFUSED,
    "SignatureDoesNotMatch": _LINK_REFUSED,
    "ExpiredToken": _LINK_REFUSED,  # S3 says 400 to this one and to the next
    "InvalidToken": _LINK_REFUSED,
    "RequestTimeTooSkewed": _LINK_REFUSED,
    "NoSuchKey": _NOT_THERE,
    "BadDigest": _DAMAGED,
    "InvalidDigest": _DAMAGED,
    "IncompleteBody": _DAMAGED,
    "RequestTimeout": _STORAGE_PASSING,
    "SlowDown": _STORAGE_PASSING,
    "ServiceUnavailable": _STORAGE_PASSING,
    "InternalError": _STORAGE_PASSING,
    "EntityTooLarge": _TOO_LARGE,
    401: _LINK_REFUSED,
    403: _LINK_REFUSED,
    404: _NOT_THERE,
    410: _NOT_THERE,
    413: _TOO_LARGE,
}


def error_of(
    call: Call, status: int, code: str | None, headers: Mapping[str, str], *, is_json: bool
) -> WatchfolderError:
    """Return what an answer other than a success means for `call`; `code` is None when the answer has none."""
    is_sunset = status == 410 and "Link" in headers  # noqa: PLR2004 (Gone; with its successor it speaks for itself)
    row = _row_of(call, status, code, is_json=is_json or is_sunset)
    return _error(row, status, printable(code or "")[:64], headers)


def storage_error_of(status: int, body: bytes, *, is_upload: bool = True) -> WatchfolderError:
    """Return what the storage's refusal means; its XML is searched, not parsed: a parser is an attack surface.

    Only an upload can be at fault itself: a result that is refused has been paid for, and is asked for again.
    """
    found = _STORAGE_CODE.search(body[:_LOOKED_AT])
    code = found.group(1).decode("ascii") if found else ""
    row = STORAGE.get(code) or STORAGE.get(status) or ErrorRow(Retry, "the storage did not take or give the file")
    is_server_fault = status >= 500  # noqa: PLR2004 (which is no verdict on a file)
    if (is_server_fault and row.kind is not Retry) or (row.kind is Reject and not is_upload):
        row = _STORAGE_PASSING
    return _error(row, status, code, {})


def _error(row: ErrorRow, status: int, code: str, headers: Mapping[str, str]) -> WatchfolderError:
    reason = f"{row.reason} ({status})"
    if row.kind is SlowDown:
        return SlowDown(reason, code=code, retry_after_seconds=retry_after(headers))
    if issubclass(row.kind, Blocked):
        link = headers.get("Link", "") if status == 410 else ""  # noqa: PLR2004 (Gone)
        reason += f"; its successor: {printable(without_secret_parts(link))[:200]}" if link else ""
        return row.kind(reason, code=code, scope=row.scope)
    if row.kind is Reject:
        return Reject(reason, code=code, advice=row.advice)
    return row.kind(reason, code=code)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that Retry-After asks for, as a number or as a date by the answer's own; at most an hour."""
    text = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), LONGEST_HOLD_SECONDS)
    try:
        seconds = (_date(text) - _date(headers.get("Date", ""))).total_seconds()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_HOLD_SECONDS)


def _date(text: str) -> datetime:
    moment = parsedate_to_datetime(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _row_of(call: Call, status: int, code: str | None, *, is_json: bool) -> ErrorRow:
    by_code = TABLE.get(code or _WITHOUT_CODE.get(status, ""), _NOT_KNOWN)
    by_status = TABLE.get(status, TABLE.get(status // 100 * 100, _NOT_KNOWN))  # RFC 9110: an x00 stands for its class
    if _may_say(status, by_code):
        if call in by_code.only_for:
            return by_code
        if call in by_code.looked_at_after:
            return _LOOK_AT_IT
    if call in by_status.only_for and (is_json or not by_status.needs_json):
        return by_status
    if by_code.kind is Reject:
        return _UNHEARD
    return _NOT_KNOWN if is_json else _FOREIGN


def _may_say(status: int, row: ErrorRow) -> bool:
    """Only a 4xx condemns a file or an order; and "gone" is a 404, or ORDER_EXPIRED's 400."""
    if row is _GONE:
        return status == 404  # noqa: PLR2004 (Not Found, as the service documents it)
    return 400 <= status < 500 or not issubclass(row.kind, Reject | OrderMissing | Resync)  # noqa: PLR2004 (see above)
