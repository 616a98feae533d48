import os
import re
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfolder import events
from watchfolder.events import keep_secret, printable, redacted, without_secret_parts

KEY = "sk_live_0123456789abcdef"


@pytest.fixture(autouse=True)
def _no_secrets_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(events, "_secrets", ())
        yield


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Fußgänger 🚶 ½.jpg", "Fußgänger 🚶 ½.jpg"),
        ("a\nb\tc\rd", r"a\nb\tc\rd"),
        ("\x1b[2Jgone", r"\u001b[2Jgone"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("one\u2028two\x85three", r"one\u2028two\u0085three"),
        (os.fsdecode(b"Stra\xdfe.jpg"), r"Stra\xdfe.jpg"),
        (r"a\nb", r"a\\nb"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_could_forge_a_line_is_escaped_and_the_rest_is_left_alone(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.binary())
def test_any_file_name_becomes_one_line_that_can_be_encoded_and_read_back(name: bytes) -> None:
    shown = printable(os.fsdecode(name))
    assert len(shown.splitlines()) <= 1
    assert _unescaped(shown) == name


def _unescaped(shown: str) -> bytes:
    short = {r"\\": b"\\", r"\n": b"\n", r"\r": b"\r", r"\t": b"\t"}
    parts = re.split(r"(\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|.))", shown)
    whole = b""
    for part in parts:
        if part in short:
            whole += short[part]
        elif part.startswith("\\x"):
            whole += bytes.fromhex(part[2:])
        elif part.startswith("\\u"):
            whole += part.encode("ascii").decode("unicode_escape").encode()
        else:
            whole += part.encode()
    return whole


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET https://s3.example/b/k?X-Amz-Signature=abc failed", "GET https://s3.example/b/k?… failed"),
        ("HTTPS://S3.EXAMPLE?sig=abc", "HTTPS://S3.EXAMPLE?…"),
        ("https://s3.example/k#token=abc", "https://s3.example/k?…"),
        ("https://s3.example/k?a='&sig=abc", "https://s3.example/k?…"),
        ("https://h/a?next=https://h/b?sig=abc", "https://h/a?…"),
        ('{"url": "https://h/k?sig=abc", "expires": 1}', '{"url": "https://h/k?…", "expires": 1}'),
        (
            "Max retries exceeded with url: /b/k?sig=abc (Caused by x)",
            "Max retries exceeded with url: /b/k?… (Caused by x)",
        ),
        ('https://h:443 "GET /k?sig=abc&x=1 HTTP/1.1" 200', 'https://h:443 "GET /k?… HTTP/1.1" 200'),
        ("through http://me:secret@proxy:3128", "through http://…@proxy:3128"),
        ("/srv/in/who is this?.jpg", "/srv/in/who is this?.jpg"),
        ("https://api.example/v3/orders/17 said 404", "https://api.example/v3/orders/17 said 404"),
        ("mail me@example.com", "mail me@example.com"),
    ],
)
def test_of_a_url_only_what_is_no_secret_remains(text: str, shown: str) -> None:
    assert without_secret_parts(text) == shown


@pytest.mark.parametrize("piece", ["a.", "/", "a://", "://", "?", "a=", "?a", "@"])
def test_a_long_hostile_text_is_read_in_no_time(piece: str) -> None:
    begun = time.process_time()
    without_secret_parts(piece * 200_000)
    assert time.process_time() - begun < 2


def test_a_secret_is_replaced_wherever_it_appears() -> None:
    keep_secret(KEY)
    assert redacted(f"'Bearer {KEY}', {KEY}") == "'Bearer sk_…', sk_…"


def test_a_secret_that_begins_with_another_is_replaced_whole() -> None:
    keep_secret(KEY)
    keep_secret(KEY + "-and-more")
    assert redacted(KEY + "-and-more") == "sk_…"


def test_an_empty_secret_hides_nothing() -> None:
    keep_secret("")
    assert redacted("words") == "words"
