"""The error tables: every word of the service, and what is done next."""

import os
import re
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfolder.api.table import (
    STORAGE,
    TABLE,
    Call,
    Ended,
    MovedOn,
    NoRoute,
    Retired,
    error_of,
    retry_after,
    storage_error_of,
)
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

CONTRACT = "/work/shared/contract.md"
NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
PURCHASES = (Call.CREATE, Call.CONFIRM)
QUESTIONS = (Call.LOOK, Call.ORDER, Call.LIST, Call.WEBHOOK)
ANY_CALL = PURCHASES + QUESTIONS

EVERYWHERE: list[tuple[int, str, type[WatchfolderError]]] = [
    (401, "AUTH_NOT_AUTHENTICATED", KeyRefused),
    (401, "AUTH_TOKEN_EXPIRED", KeyRefused),
    (401, "AUTH_TOKEN_INVALID", KeyRefused),
    (401, "AUTH_TOKEN_INVALID_FORMAT", KeyRefused),
    (403, "AUTH_FORBIDDEN", KeyRefused),
    (403, "ORDER_NOT_OWNER", Blocked),
    (400, "USAGE_LIMIT_EXCEEDED", Blocked),
    (429, "USAGE_LIMIT_EXCEEDED", Blocked),
    (400, "USAGE_NOT_ENOUGH", Blocked),
    (429, "USAGE_NOT_ENOUGH", Blocked),
    (400, "PLAN_LIMIT_EXCEEDED", Blocked),
    (429, "PLAN_LIMIT_EXCEEDED", Blocked),
    (404, "PLAN_NOT_FOUND", Blocked),
    (429, "RATE_LIMIT_EXCEEDED", SlowDown),
    (408, "ORDER_TIMEOUT", Retry),
    (500, "SERVER_INTERNAL_ERROR", Retry),
    (503, "SERVICE_UNAVAILABLE", Retry),
    (503, "WATERMARK_V2_UNAVAILABLE", Retry),
    (409, "FILE_RETENTION_UNKNOWN", OrderRetry),
    (400, "ORDER_ALREADY_CONFIRMED", MovedOn),
    (400, "ORDER_ALREADY_COMPLETED", MovedOn),
    (400, "ORDER_NOT_PENDING", MovedOn),
    (400, "ORDER_NOT_COMPLETED", Resync),
    (400, "ORDER_FILE_NOT_UPLOADED", Resync),
    (410, "WATERMARK_V2_API_SUNSET", Retired),
]
KEY_USED = "WATERMARK_V2_CONFLICT"
NO_RESULT = "PROCESSED_FILE_NOT_FOUND"
GONE = [
    (404, "ORDER_NOT_FOUND"),
    (404, "RESOURCE_NOT_FOUND"),
    (404, "WEBHOOK_NOT_FOUND"),
    (400, "ORDER_EXPIRED"),
]
FAILED = ["ORDER_ALREADY_FAILED", "PROCESSING_ERROR"]
REFUSED = [
    "VALIDATION_FAILED",
    "VALIDATION_IDEMPOTENCY_KEY_INVALID",
    "INVALID_PARAMETER",
    "ORDER_TYPE_NOT_MATCH",
    "ORDER_TYPE_CANT_DOWNLOAD",
]
OF_A_REPORT: list[tuple[int, str, type[WatchfolderError]]] = [
    (400, "REPORT_LOCALE_UNSUPPORTED", Reject),
    (409, "REPORT_NOT_AVAILABLE", Reject),
    (404, "REPORT_NOT_FOUND", Resync),
]
BY_STATUS: list[tuple[int, type[WatchfolderError]]] = [
    (300, Retry),
    (301, Retry),
    (302, Retry),
    (303, Retry),
    (304, Retry),
    (307, Retry),
    (308, Retry),
    (401, KeyRefused),
    (404, NoRoute),
    (405, NoRoute),
    (408, Retry),
    (410, Retired),
    (500, Retry),
    (501, NoRoute),
    (502, Retry),
    (503, Retry),
    (504, Retry),
    (520, Retry),
]


def said(call: Call, status: int, code: str | None = None, *, is_json: bool = True, **headers: str) -> WatchfolderError:
    return error_of(
        call, status, code, {name.replace("_", "-"): text for name, text in headers.items()}, is_json=is_json
    )


@pytest.mark.parametrize(("status", "code", "kind"), EVERYWHERE)
@pytest.mark.parametrize("call", ANY_CALL)
def test_a_code_means_the_same_whatever_was_asked(
    call: Call, status: int, code: str, kind: type[WatchfolderError]
) -> None:
    error = said(call, status, code)

    assert type(error) is kind
    assert error.code == code
    assert str(status) in error.reason


@pytest.mark.parametrize(("status", "code"), GONE)
def test_only_an_orders_own_read_says_that_it_is_gone(status: int, code: str) -> None:
    assert type(said(Call.LOOK, status, code)) is OrderMissing
    assert {type(said(call, status, code)) for call in (Call.CONFIRM, Call.ORDER)} == {Ended}
    assert isinstance(said(Call.CREATE, status, code), Retry)
    assert isinstance(said(Call.LIST, status, code), Retry)


@pytest.mark.parametrize(("status", "code", "kind"), OF_A_REPORT)
def test_what_is_said_of_a_report_means_nothing_elsewhere(status: int, code: str, kind: type[WatchfolderError]) -> None:
    assert type(said(Call.REPORT, status, code)) is kind
    assert not any(isinstance(said(call, status, code), kind) for call in QUESTIONS)


def test_a_report_on_an_order_that_is_gone_is_none() -> None:
    assert {type(said(Call.REPORT, status, code)) for status, code in GONE} == {OrderMissing}
    assert type(said(Call.REPORT, 400, "ORDER_TYPE_NOT_MATCH")) is Reject


@pytest.mark.parametrize("code", [*REFUSED, "PROCESSING_ERROR"])
@pytest.mark.parametrize("call", PURCHASES)
def test_only_a_purchase_is_refused_for_good(call: Call, code: str) -> None:
    assert type(said(call, 400, code)) is Reject


def test_only_an_orders_own_read_says_that_it_has_failed() -> None:
    assert type(said(Call.CREATE, 400, "ORDER_ALREADY_FAILED")) is Reject
    assert {type(said(call, 400, "ORDER_ALREADY_FAILED")) for call in (Call.CONFIRM, Call.ORDER)} == {Ended}


@pytest.mark.parametrize("code", [*REFUSED, *FAILED])
@pytest.mark.parametrize("call", QUESTIONS)
def test_a_400_to_a_question_condemns_nothing(call: Call, code: str) -> None:
    assert not isinstance(said(call, 400, code), Reject | OrderMissing)


@pytest.mark.parametrize("code", FAILED)
def test_an_order_that_is_said_to_have_failed_is_looked_at(code: str) -> None:
    assert type(said(Call.ORDER, 400, code)) is Ended


def test_a_file_that_a_test_key_has_not_is_no_gateways_404() -> None:
    assert {type(said(call, 404, NO_RESULT)) for call in (Call.LOOK, Call.ORDER)} == {Reject}
    assert {type(said(call, 404, NO_RESULT)) for call in (Call.CREATE, Call.LIST)} == {NoRoute}


@pytest.mark.parametrize("code", [None, "A_WORD_OF_TOMORROW"])
@pytest.mark.parametrize("is_json", [True, False])
def test_a_403_that_says_no_more_stops_purchases_alone(code: str | None, is_json: bool) -> None:
    for call in PURCHASES:
        refused = said(call, 403, code, is_json=is_json)
        assert isinstance(refused, Blocked)
        assert refused.scope is Scope.PURCHASES
    assert {type(said(call, 403, code, is_json=is_json)) for call in QUESTIONS} == {Retry}


@pytest.mark.parametrize(("status", "kind"), BY_STATUS)
@pytest.mark.parametrize("code", [None, "A_WORD_OF_TOMORROW"])
def test_the_status_decides_where_no_known_code_does(
    status: int, kind: type[WatchfolderError], code: str | None
) -> None:
    assert type(said(Call.ORDER, status, code)) is kind


def test_the_whole_table_is_walked_above() -> None:
    codes = {code for _, code, _ in EVERYWHERE} | {code for _, code in GONE} | {*REFUSED, *FAILED, NO_RESULT}
    codes |= {code for _, code, _ in OF_A_REPORT} | {KEY_USED}
    assert codes | ({status for status, _ in BY_STATUS} & set(TABLE)) | {403, 409} == set(TABLE)


@pytest.mark.skipif(not os.path.exists(CONTRACT), reason="contract.md is not beside this clone")
def test_every_code_of_the_contract_is_in_the_table() -> None:
    with open(CONTRACT, encoding="utf-8") as contract:
        words = set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`", contract.read()))

    assert words
    assert words - set(TABLE) == set()


def test_each_refusal_stops_only_what_it_must() -> None:
    empty, key, owner = (
        said(Call.CREATE, 400, code) for code in ("USAGE_NOT_ENOUGH", "AUTH_FORBIDDEN", "ORDER_NOT_OWNER")
    )

    assert isinstance(empty, Blocked)
    assert empty.scope is Scope.PURCHASES
    assert isinstance(key, Blocked)
    assert key.scope is Scope.EVERYTHING
    assert isinstance(owner, Blocked)
    assert owner.scope is Scope.ORDER


def test_a_429_is_a_rate_limit_if_its_code_says_so_or_it_has_none() -> None:
    assert type(said(Call.ORDER, 429, "RATE_LIMIT_EXCEEDED")) is SlowDown
    assert type(said(Call.ORDER, 429)) is SlowDown
    assert type(said(Call.ORDER, 429, is_json=False)) is SlowDown
    assert type(said(Call.ORDER, 429, "SOMETHING_ELSE")) is Retry


def test_a_409_sends_create_and_confirm_back_to_look_and_is_passing_elsewhere() -> None:
    assert type(said(Call.CREATE, 409, "IDEMPOTENCY_KEY_CONFLICT")) is Resync
    assert said(Call.CREATE, 409, "IDEMPOTENCY_KEY_CONFLICT").code == "IDEMPOTENCY_KEY_CONFLICT"
    assert type(said(Call.CREATE, 409, KEY_USED)) is Resync
    assert said(Call.CREATE, 409, KEY_USED).code == KEY_USED
    assert type(said(Call.CONFIRM, 409)) is Resync
    assert type(said(Call.ORDER, 409)) is Retry


@given(st.integers(500, 599), st.sampled_from([key for key in TABLE if isinstance(key, str)]), st.sampled_from(Call))
def test_no_outage_condemns_a_file_or_an_order(status: int, code: str, call: Call) -> None:
    assert not isinstance(said(call, status, code), Reject | OrderMissing)


@pytest.mark.parametrize("call", Call)
def test_what_is_not_the_apis_json_is_tried_again(call: Call) -> None:
    statuses = set(range(300, 600)) - {403, 429}
    assert not {each for each in statuses if not isinstance(said(call, each, is_json=False), Retry)}


@given(st.integers(100, 999), st.none() | st.text(max_size=200), st.sampled_from(Call), st.booleans())
def test_whatever_is_said_there_is_an_answer_to_it(status: int, code: str | None, call: Call, is_json: bool) -> None:
    error = error_of(call, status, code, {}, is_json=is_json)

    assert error.reason
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\ud800-\udfff]", error.code)


@pytest.mark.parametrize("status", [400, 402, 413, 415, 422])
def test_an_unknown_refusal_costs_no_file_its_place(status: int) -> None:
    assert type(said(Call.CREATE, status, "A_WORD_OF_TOMORROW")) is Retry


def test_a_test_key_without_results_is_named() -> None:
    assert "test key" in said(Call.ORDER, 404, "PROCESSED_FILE_NOT_FOUND").reason


def test_a_retired_endpoint_names_its_successor_without_secrets() -> None:
    error = said(Call.CREATE, 410, Link='<https://api.example/v4/orders?token=abc>; rel="successor"')

    assert type(error) is Retired
    assert "https://api.example/v4/orders" in error.reason
    assert "abc" not in error.reason
    assert type(said(Call.CREATE, 410, is_json=False, Link="</v4>")) is Retired


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 1.5 ", 1.5),
        ("999999999", 3600.0),
        (format_datetime(NOW.replace(second=30), usegmt=True), 30.0),
        (format_datetime(NOW.replace(year=2025), usegmt=True), 0.0),
        (format_datetime(NOW.replace(year=2099), usegmt=True), 3600.0),
        ("-3", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("nan", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_a_number_or_a_date_and_has_a_bound(text: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": text, "Date": format_datetime(NOW, usegmt=True)}) == seconds


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 01 Jan 2024 00:00:00 +99999999999999"])
def test_a_date_in_retry_after_means_nothing_without_the_time_of_the_answer(date: str) -> None:
    assert retry_after({"Retry-After": format_datetime(NOW, usegmt=True), "Date": date}) is None
    assert retry_after({"Retry-After": "7", "Date": date}) == 7.0


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_retry_after_is_a_crash(text: str, date: str) -> None:
    seconds = retry_after({"Retry-After": text, "Date": date})
    assert seconds is None or 0 <= seconds <= 3600


def test_the_wait_asked_for_is_handed_on() -> None:
    error = said(Call.ORDER, 429, Retry_After="12")

    assert isinstance(error, SlowDown)
    assert error.retry_after_seconds == 12


def xml(code: str) -> bytes:
    return f'<?xml version="1.0"?>\n<Error><Code>{code}</Code><Message>No.</Message></Error>'.encode()


STORAGE_WORDS: list[tuple[int, str, type[WatchfolderError]]] = [
    (403, "AccessDenied", Resync),
    (403, "SignatureDoesNotMatch", Resync),
    (400, "ExpiredToken", Resync),
    (400, "InvalidToken", Resync),
    (403, "RequestTimeTooSkewed", Resync),
    (404, "NoSuchKey", Resync),
    (400, "BadDigest", Retry),
    (400, "InvalidDigest", Retry),
    (400, "IncompleteBody", Retry),
    (400, "RequestTimeout", Retry),
    (503, "SlowDown", Retry),
    (503, "ServiceUnavailable", Retry),
    (500, "InternalError", Retry),
    (400, "EntityTooLarge", Reject),
]
STORAGE_STATUSES: list[tuple[int, type[WatchfolderError]]] = [
    (401, Resync),
    (403, Resync),
    (404, Resync),
    (410, Resync),
    (413, Reject),
]


@pytest.mark.parametrize(("status", "code", "kind"), STORAGE_WORDS)
def test_the_storages_words_are_found_in_its_xml(status: int, code: str, kind: type[WatchfolderError]) -> None:
    error = storage_error_of(status, xml(code))

    assert type(error) is kind
    assert error.code == code


@pytest.mark.parametrize(
    ("status", "kind"),
    [*STORAGE_STATUSES, (301, Retry), (307, Retry), (400, Retry), (411, Retry), (500, Retry), (503, Retry)],
)
def test_the_storages_status_decides_where_no_known_code_does(status: int, kind: type[WatchfolderError]) -> None:
    assert type(storage_error_of(status, b"<html>no")) is kind
    assert type(storage_error_of(status, xml("SomethingNew"))) is kind


def test_the_whole_storage_table_is_walked_above() -> None:
    assert {code for _, code, _ in STORAGE_WORDS} | {status for status, _ in STORAGE_STATUSES} == set(STORAGE)


def test_a_storage_that_speaks_json_is_understood_as_far_as_its_code() -> None:
    assert storage_error_of(403, b'{"code": "UPLOAD_TOKEN_EXPIRED"}').code == "UPLOAD_TOKEN_EXPIRED"


@given(st.integers(100, 999), st.binary(max_size=300))
def test_no_answer_of_the_storage_is_a_crash(status: int, body: bytes) -> None:
    assert storage_error_of(status, body).reason


@pytest.mark.parametrize(("status", "body"), [(413, b"<html>no"), (400, xml("EntityTooLarge"))])
def test_a_result_that_was_paid_for_is_never_refused(status: int, body: bytes) -> None:
    assert type(storage_error_of(status, body, is_upload=False)) is Retry


def test_an_outage_of_the_storage_refuses_no_file() -> None:
    assert type(storage_error_of(503, xml("EntityTooLarge"))) is Retry
