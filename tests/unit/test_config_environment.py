"""Settings from environment variables, as an owner of a container writes them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from watchfolder.config import Config, HttpSection, find, load, page_in, state_folder_in
from watchfolder.errors import ConfigError

KEY = {"BIZMORI_API_KEY": "sk_live_0123456789"}
FILE = "inboxes: {My-Photos: {path: /srv/in, outbox: /srv/out, quarantine: /srv/quarantine, strength: standard}}\n"
FOLDERS = {
    "WATCHFOLDER__INBOXES__PHOTOS__PATH": "/photos/inbox",
    "WATCHFOLDER__INBOXES__PHOTOS__OUTBOX": "/photos/protected",
    "WATCHFOLDER__INBOXES__PHOTOS__QUARANTINE": "/photos/quarantine",
}


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "config.yaml"
    path.write_text(FILE)
    return str(path)


def with_variables(path: str, **variables: str) -> Config:
    return load(path, KEY | {f"WATCHFOLDER__{name}": value for name, value in variables.items()})


def faults(path: str, variables: Mapping[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        with_variables(path, **variables)
    return list(caught.value.faults)


def test_a_variable_goes_before_the_file(file: str) -> None:
    config = with_variables(file, INBOXES__MY_PHOTOS__STRENGTH="low", API__REQUESTS_PER_MINUTE="300")
    assert (config.inboxes["My-Photos"].strength, config.api.requests_per_minute) == ("low", 300)
    assert dict(config.from_environment) == {
        "inboxes.My-Photos.strength": "$WATCHFOLDER__INBOXES__MY_PHOTOS__STRENGTH",
        "api.requests_per_minute": "$WATCHFOLDER__API__REQUESTS_PER_MINUTE",
    }


def test_a_variable_changes_its_own_inbox_alone_where_two_share_a_section(tmp_path: Path) -> None:
    shared = "service: watermark-embed, watermark: "
    lines = (
        f"  {name}: {{path: /{name}/in, outbox: /{name}/out, quarantine: /{name}/q, {shared}{mark}}}\n"
        for name, mark in (("a", "&mark {text: ours}"), ("b", "*mark"))
    )
    path = tmp_path / "config.yaml"
    path.write_text("".join(["inboxes:\n", *lines]))
    found = with_variables(str(path), INBOXES__A__WATERMARK__TEXT="theirs").inboxes
    assert [found[name].watermark.text for name in ("a", "b")] == ["theirs", "ours"]


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("API__ALLOW_TEST_KEY", "true", True),
        ("GIVE_UP_AFTER_HOURS", " 2.5 ", 2.5),
        ("STATE_DIR", "/config/state", "/config/state"),
        ("HTTP__LISTEN", "127.0.0.1:8686", "127.0.0.1:8686"),
        ("BUDGET__BURST__FILES", "500", 500),
        ("INBOXES__MY_PHOTOS__ORIGINALS", "delete", None),
        ("INBOXES__MY_PHOTOS__SETTLE_SECONDS", "3", 3),
        ("ORDERS_IN_FLIGHT", "", 8),
    ],
)
def test_every_kind_of_value_can_come_from_a_variable(file: str, variable: str, text: str, value: object) -> None:
    more = {"BUDGET__BURST__MINUTES": "10"} if variable.startswith("BUDGET") else {}
    found: Any = with_variables(file, **{variable: text} | more).model_dump()
    for part in variable.lower().split("__"):
        found = found["My-Photos" if part == "my_photos" else part]
    assert found == value


def test_a_name_that_ends_in_file_gives_the_file_with_the_value(file: str, tmp_path: Path) -> None:
    (tmp_path / "heartbeat").write_text("https://hc.example/secret\n")
    config = with_variables(file, HEARTBEAT_URL_FILE=str(tmp_path / "heartbeat"))
    assert config.heartbeat_url is not None
    assert config.heartbeat_url.get_secret_value() == "https://hc.example/secret"


@pytest.mark.parametrize("variable", ["API__REQUESTS_PER_MINUTE_FILE", "API__CA_FILE"])
def test_a_fifo_where_a_file_should_be_holds_nobody_up(file: str, tmp_path: Path, variable: str) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(ConfigError, match=r"no regular file|no such file"):
        load(file, KEY | {f"WATCHFOLDER__{variable}": str(tmp_path / "fifo")})


def test_a_setting_that_is_itself_a_file_keeps_its_meaning(file: str, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk_live_from_a_file")
    key.chmod(0o600)
    config = load(file, {"WATCHFOLDER__API__KEY_FILE": str(key)})
    assert config.api.key.get_secret_value() == "sk_live_from_a_file"


def test_an_inbox_can_be_made_of_variables_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("watchfolder.config.loading.PLACES", ("config.yaml",))
    with pytest.raises(ConfigError, match="there is no configuration"):
        find(None, KEY)
    config = load(find(None, KEY | FOLDERS), KEY | FOLDERS)
    assert config.inboxes["photos"].path == "/photos/inbox"
    assert config.source == ""


def test_a_file_that_was_named_must_be_there_all_the_same() -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(find("/nowhere/config.yaml", FOLDERS), KEY | FOLDERS)


@pytest.mark.parametrize(
    ("variable", "text", "fault"),
    [
        (
            "INBOXES__MY_PHOTOS__STRENGHT",
            "low",
            "$WATCHFOLDER__INBOXES__MY_PHOTOS__STRENGHT: there is no such key; did you mean strength?",
        ),
        ("INBOXES__MY_PHOTOS__RECURSIVE", "often", "(…): must be true or false"),
        ("API__REQUESTS_PER_MINUTE", "many", "(…): must be a whole number"),
        ("API__REQUESTS_PER_MINUTE", "[1", "(…): must be a whole number"),
        ("API__REQUESTS_PER_MINUTE", "[" * 9999, "(…): must be a whole number"),
        ("INBOXES__MY_PHOTOS__STRENGTH", "max", "(…): must be 'low', 'standard' or 'high'"),
        ("INBOXES__MY_PHOTOS__IGNORE", "*.x", "$…: ignore is not a single value: set it in the configuration file"),
        ("HTTP", "x", "$…: http is not a single value: set it in the configuration file"),
        ("INBOXES__MY_PHOTOS", "x", "$…: inboxes is not a single value: set it in the configuration file"),
        ("STATE_DIR__X", "x", "$…: state_dir is not a single value: set it in the configuration file"),
        ("STATE_DIR_FILE", "/nowhere", "$…: /nowhere cannot be read: No such file or directory"),
    ],
)
def test_what_is_wrong_names_the_variable(file: str, variable: str, text: str, fault: str) -> None:
    (found,) = faults(file, {variable: text})
    assert found.endswith(fault.replace("…", f"WATCHFOLDER__{variable}").replace("(W", "($W"))


def test_the_faults_of_file_and_environment_come_together(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(FILE.replace("standard", "weak"))
    assert len(faults(str(path), {"TRANSFERS": "0", "WHAT": "1"})) == 3


def test_a_wrong_value_names_its_variable_also_beside_one_that_is_no_setting(file: str) -> None:
    found = faults(file, {"TRANSFERS": "many", "TRANSFRES": "4"})
    assert "transfers ($WATCHFOLDER__TRANSFERS): must be a whole number" in found


@pytest.mark.parametrize("section", ["on, please", "[listen]", "[1]", "5", "{listen: 1}"])
def test_a_section_that_is_none_serves_no_page_and_is_no_crash(file: str, section: str) -> None:
    Path(file).write_text(f"http: {section}\n{FILE}")
    assert page_in(file, {"WATCHFOLDER__HTTP__LISTEN": "127.0.0.1:8686"} if section[0] != "{" else {}) == HttpSection()


@pytest.mark.parametrize(
    ("state_dir", "found"),
    [
        ("/srv/state/", "/srv/state"),
        ("", "/var/lib/watchfolder"),
        ('"/srv/\\0"', "/var/lib/watchfolder"),
        ("[1]", "/var/lib/watchfolder"),
    ],
)
def test_the_state_is_looked_for_where_it_is_said_or_in_the_usual_place(file: str, state_dir: str, found: str) -> None:
    Path(file).write_text(f"state_dir: {state_dir}\n{FILE}")
    assert state_folder_in(file, {}) == found
