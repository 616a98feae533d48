"""Whatever the file holds: a configuration or plain faults, nothing else, and never the key."""

import contextlib
import tempfile
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from watchfolder.config import ApiSection, Config, Inbox, load
from watchfolder.errors import ConfigError

SECRET = "sk_live_never_to_be_shown"  # noqa: S105 an invented one, to be found in messages
KEY = {"BIZMORI_API_KEY": SECRET}
JARGON = ("Input should", "pydantic", "type=", "Traceback", "NoneType", "object at 0x")

few = settings(max_examples=60, deadline=None)  # the machines that run this are small and shared

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=4),
    st.dates(),
    st.sampled_from(
        ["/srv", "/srv/in", "/srv/in/x", "/srv/in/.x", "delete", "auto", "high", SECRET, f"https://x/{SECRET}"]
    ),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)


def section(keys: list[str]) -> st.SearchStrategy[dict[str, object]]:
    names = st.one_of(st.sampled_from([*keys, "key", "name", "source", SECRET]), st.text(max_size=6))
    return st.dictionaries(names, values, max_size=8)


trees = st.builds(
    lambda top, api, inboxes: top | api | inboxes,
    section(Config.key_names()),
    st.fixed_dictionaries({}, optional={"api": section(ApiSection.key_names())}),
    st.fixed_dictionaries({}, optional={"inboxes": st.dictionaries(st.text(max_size=4), section(Inbox.key_names()))}),
)


def faults(content: bytes, environ: Mapping[str, str] = KEY) -> tuple[str, ...]:
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        Path(file.name).write_bytes(content)
        try:
            load(file.name, environ)
        except ConfigError as error:
            return error.faults
    return ()


def assert_plain(told: tuple[str, ...]) -> None:
    for fault in told:
        assert not any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in fault)
        assert SECRET not in fault
        assert not any(word in fault for word in JARGON), fault


@few
@given(st.binary(max_size=200))
@example(b"a: !!timestamp x")
@example(b"a: !!bool x")
@example(b"a: !!int ''")
@example(b"a: !!float x")
@example(b"<<: 1")
@example(b"<<: [1]")
@example(b"=: 1")
@example(b"&a {x: *a}")
@example(b"inboxes: &a {photos: *a}")
@example(b"inboxes: {photos: &a [*a]}")
@example(b"a: " + b"9" * 5000)
@example(b"{" * 500)
def test_any_bytes_give_a_configuration_or_plain_faults(content: bytes) -> None:
    assert_plain(faults(content))


@few
@given(st.text(alphabet="ab:-[]{},&*!?|>'\"%@`#~<=. \n\t0123", max_size=80))
def test_anything_like_yaml_gives_a_configuration_or_plain_faults(text: str) -> None:
    assert_plain(faults(text.encode()))


@few
@given(trees)
def test_any_tree_gives_a_configuration_or_plain_faults(tree: dict[str, object]) -> None:
    with contextlib.suppress(yaml.YAMLError, UnicodeEncodeError):  # lone surrogates: no file can hold them
        assert_plain(faults(yaml.safe_dump(tree, allow_unicode=True).encode()))


@few
@given(st.dictionaries(st.sampled_from(Inbox.key_names()), st.integers(max_value=-1), min_size=1))
def test_each_wrong_value_has_its_own_fault(wrong: dict[str, int]) -> None:
    right = {"path": "/srv/in", "outbox": "/srv/out", "quarantine": "/srv/quarantine"}
    told = faults(yaml.safe_dump({"inboxes": {"photos": right | wrong}}).encode())
    assert {fault.split(": ")[0] for fault in told} == {f"inboxes.photos.{key}" for key in wrong}


@few
@given(st.text())
def test_what_is_no_key_is_never_repeated(text: str) -> None:
    told = faults(b"inboxes: {a: {path: /i, outbox: /o, quarantine: /q}}", {"BIZMORI_API_KEY": f"{SECRET} {text}|"})
    assert told
    assert_plain(told)
