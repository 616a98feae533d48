"""The table of misbehaviours: what each leads to while it lasts, at each operation, after how many requests.

A call is tried twice here before it counts as failed; a download once, for what it has poured cannot be taken back; a
signed link that is refused is renewed once and an upload then tried without its checksum. A refused connection is no
request. "=" is what stands to its left. Then the misbehaviour ends, and the picture is delivered, unless it was
quarantined.

No cell is left out. The storage speaks no JSON: there the API's codes mean nothing and the status decides; half of its
empty answer to an upload is that answer; JSON where a picture should be is no picture.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

OPERATIONS = ("create", "upload", "refresh", "confirm", "status", "link", "fetch")

OUTCOMES = """
refused connection | deferred 0 | = | = | = | = | = | =
reset before the work | deferred 2 | = | = | = | = | = | deferred 1
reset after the work | deferred 2 | = | = | = | = | = | deferred 1
hang before the work | deferred 2 | = | = | = | = | = | deferred 1
hang after the work | deferred 2 | = | = | = | = | = | deferred 1
slow drip | deferred 2 | = | = | = | = | = | deferred 1
400 USAGE_NOT_ENOUGH | blocked 1 | deferred 2 | blocked 1 | = | = | = | deferred 1
400 USAGE_LIMIT_EXCEEDED | blocked 1 | deferred 2 | blocked 1 | = | = | = | deferred 1
400 PLAN_LIMIT_EXCEEDED | blocked 1 | deferred 2 | blocked 1 | = | = | = | deferred 1
429 USAGE_LIMIT_EXCEEDED | blocked 1 | deferred 2 | blocked 1 | = | = | = | deferred 1
404 PLAN_NOT_FOUND | blocked 1 | deferred 3 | blocked 1 | = | = | = | deferred 2
400 ORDER_NOT_PENDING | key taken 1 | deferred 2 | redo 1 | = | = | = | deferred 1
400 ORDER_NOT_COMPLETED | key taken 1 | deferred 2 | redo 1 | = | = | = | deferred 1
400 ORDER_ALREADY_CONFIRMED | key taken 1 | deferred 2 | redo 1 | = | = | = | deferred 1
400 ORDER_ALREADY_COMPLETED | key taken 1 | deferred 2 | redo 1 | = | = | = | deferred 1
400 ORDER_FILE_NOT_UPLOADED | key taken 1 | deferred 2 | redo 1 | = | = | = | deferred 1
400 ORDER_EXPIRED | deferred 2 | = | redo 1 | = | missing 1 | redo 1 | deferred 1
400 ORDER_ALREADY_FAILED | quarantined 1 | deferred 2 | redo 1 | = | deferred 2 | redo 1 | deferred 1
400 ORDER_TYPE_NOT_MATCH | quarantined 1 | deferred 2 | = | quarantined 1 | deferred 2 | = | deferred 1
400 ORDER_TYPE_CANT_DOWNLOAD | quarantined 1 | deferred 2 | = | quarantined 1 | deferred 2 | = | deferred 1
400 VALIDATION_FAILED | quarantined 1 | deferred 2 | = | quarantined 1 | deferred 2 | = | deferred 1
400 VALIDATION_IDEMPOTENCY_KEY_INVALID | quarantined 1 | deferred 2 | = | quarantined 1 | deferred 2 | = | deferred 1
400 INVALID_PARAMETER | quarantined 1 | deferred 2 | = | quarantined 1 | deferred 2 | = | deferred 1
400 PROCESSING_ERROR | quarantined 1 | deferred 2 | redo 1 | quarantined 1 | deferred 2 | redo 1 | deferred 1
400 REPORT_LOCALE_UNSUPPORTED | deferred 2 | = | = | = | = | = | deferred 1
400 UNHEARD_OF | deferred 2 | = | = | = | = | = | deferred 1
400 | deferred 2 | = | = | = | = | = | deferred 1
400 EntityTooLarge | deferred 2 | quarantined 1 | deferred 2 | = | = | = | deferred 1
400 BadDigest | deferred 2 | = | = | = | = | = | deferred 1
401 | deferred 2 | deferred 3 | deferred 2 | = | = | = | =
401 AUTH_NOT_AUTHENTICATED | blocked 1 | deferred 3 | blocked 1 | = | = | = | deferred 2
401 AUTH_TOKEN_EXPIRED | blocked 1 | deferred 3 | blocked 1 | = | = | = | deferred 2
401 AUTH_TOKEN_INVALID | blocked 1 | deferred 3 | blocked 1 | = | = | = | deferred 2
401 AUTH_TOKEN_INVALID_FORMAT | blocked 1 | deferred 3 | blocked 1 | = | = | = | deferred 2
403 | blocked 1 | deferred 3 | deferred 2 | blocked 1 | deferred 2 | = | =
403 AUTH_FORBIDDEN | blocked 1 | deferred 3 | blocked 1 | = | = | = | deferred 2
403 ORDER_NOT_OWNER | put aside 1 | deferred 3 | put aside 1 | = | = | = | deferred 2
403 UNHEARD_OF | blocked 1 | deferred 3 | deferred 2 | blocked 1 | deferred 2 | = | =
403 AccessDenied | blocked 1 | deferred 3 | deferred 2 | blocked 1 | deferred 2 | = | =
404 | deferred 1 | deferred 3 | deferred 1 | = | deferred 2 | deferred 1 | deferred 2
404 ORDER_NOT_FOUND | deferred 1 | deferred 3 | redo 1 | = | missing 2 | redo 1 | deferred 2
404 RESOURCE_NOT_FOUND | deferred 1 | deferred 3 | redo 1 | = | missing 2 | redo 1 | deferred 2
404 WEBHOOK_NOT_FOUND | deferred 1 | deferred 3 | redo 1 | = | missing 2 | redo 1 | deferred 2
404 PROCESSED_FILE_NOT_FOUND | deferred 2 | deferred 3 | deferred 2 | = | = | = | =
404 REPORT_NOT_FOUND | deferred 1 | deferred 3 | deferred 1 | = | deferred 2 | deferred 1 | deferred 2
408 | deferred 2 | = | = | = | = | = | deferred 1
408 ORDER_TIMEOUT | deferred 2 | = | = | = | = | = | deferred 1
409 | deferred 2 | = | = | = | = | = | deferred 1
409 CONFLICT | key taken 1 | deferred 2 | = | redo 1 | deferred 2 | = | deferred 1
409 WATERMARK_V2_CONFLICT | key taken 1 | deferred 2 | = | redo 1 | deferred 2 | = | deferred 1
409 REPORT_NOT_AVAILABLE | key taken 1 | deferred 2 | = | redo 1 | deferred 2 | = | deferred 1
409 FILE_RETENTION_UNKNOWN | deferred 2 | = | = | = | = | = | deferred 1
410 | deferred 2 | deferred 3 | deferred 2 | = | = | = | =
410 WATERMARK_V2_API_SUNSET | blocked 1 | deferred 3 | blocked 1 | = | = | = | deferred 2
410 with a Link | blocked 1 | deferred 3 | blocked 1 | = | = | = | deferred 2
413 | deferred 2 | quarantined 1 | deferred 2 | = | = | = | deferred 1
429 | slowed 1 | deferred 2 | slowed 1 | = | = | = | deferred 1
429 RATE_LIMIT_EXCEEDED | slowed 1 | deferred 2 | slowed 1 | = | = | = | deferred 1
429 with Retry-After | slowed 1 | deferred 2 | slowed 1 | = | = | = | deferred 1
429 UNHEARD_OF | deferred 2 | = | = | = | = | = | deferred 1
500 | deferred 2 | = | = | = | = | = | deferred 1
500 SERVER_INTERNAL_ERROR | deferred 2 | = | = | = | = | = | deferred 1
502 | deferred 2 | = | = | = | = | = | deferred 1
503 SERVICE_UNAVAILABLE | deferred 2 | = | = | = | = | = | deferred 1
503 WATERMARK_V2_UNAVAILABLE | deferred 2 | = | = | = | = | = | deferred 1
503 with HTML | deferred 2 | = | = | = | = | = | deferred 1
200 with HTML | deferred 2 | = | = | = | = | = | deferred 1
200 with truncated JSON | deferred 2 | delivered 1 | deferred 2 | = | = | = | deferred 1
200 with other JSON | deferred 2 | = | = | delivered 1 | asked on 1 | deferred 2 | deferred 1
200 with {"data": null} | deferred 2 | = | = | delivered 1 | deferred 2 | = | deferred 1
200 with {} | deferred 2 | = | = | = | = | = | deferred 1
200 with [] | deferred 2 | = | = | = | = | = | deferred 1
200 with 1 GiB | deferred 2 | = | = | = | = | = | deferred 1
redirect to another host | deferred 2 | = | = | = | = | = | deferred 1
"""

_NAMED: Mapping[str, Mapping[str, Any]] = {
    "refused connection": {"door": "refuse"},
    "slow drip": {"door": "drip"},
    "reset before the work": {"does": "reset_before"},
    "reset after the work": {"does": "reset_after"},
    "hang before the work": {"does": "hang"},
    "hang after the work": {"does": "hang_after"},
    "410 with a Link": {"does": "answer", "status": 410, "headers": {"Link": '</v4>; rel="successor-version"'}},
    "429 with Retry-After": {"does": "answer", "status": 429, "headers": {"Retry-After": "1"}},
    "503 with HTML": {"does": "html", "status": 503},
    "200 with HTML": {"does": "html"},
    "200 with truncated JSON": {"does": "truncated"},
    "200 with other JSON": {"does": "other_json"},
    '200 with {"data": null}': {"does": "other_json", "body": '{"data": null}'},
    "200 with {}": {"does": "other_json", "body": "{}"},
    "200 with []": {"does": "other_json", "body": "[]"},
    "200 with 1 GiB": {"does": "endless", "size": 1 << 30},
    "redirect to another host": {"does": "redirect"},
}


class Case(NamedTuple):
    operation: str
    misbehaviour: str
    outcome: str

    @property
    def fault(self) -> Mapping[str, Any]:
        """What befalls the operation: a status and a code, unless the misbehaviour has another name."""
        status, _, code = self.misbehaviour.partition(" ")
        return _NAMED.get(self.misbehaviour) or {"does": "answer", "status": int(status), "code": code}

    @property
    def is_slow(self) -> bool:
        return self.misbehaviour.startswith(("hang", "slow"))


def cases() -> Iterator[Case]:
    for line in OUTCOMES.strip().splitlines():
        misbehaviour, *outcomes = (cell.strip() for cell in line.split("|"))
        outcome = ""
        for operation, cell in zip(OPERATIONS, outcomes, strict=True):
            outcome = outcome if cell == "=" else cell
            yield Case(operation, misbehaviour, outcome)
