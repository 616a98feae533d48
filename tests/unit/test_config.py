"""The configuration's rules, each as what a person gets to see."""

import os
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import pytest

from watchfolder.config import ApiSection, Config, HttpSection, Inbox, Section, WebhookSection, find, load
from watchfolder.config.reading import read
from watchfolder.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
KEY = {"BIZMORI_API_KEY": "sk_live_0123456789"}
TEST_KEY = {"BIZMORI_API_KEY": "sk_test_0123456789"}
MINIMAL = """
    inboxes:
      photos:
        path: /srv/in
        outbox: /srv/out
        quarantine: /srv/quarantine
"""

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_(text: str) -> str:
        file = tmp_path / "config.yaml"
        file.write_text(textwrap.dedent(text), encoding="utf-8")
        return str(file)

    return write_


def faults(path: str, environ: Mapping[str, str] = KEY) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, environ)
    return list(caught.value.faults)


def fault(path: str, environ: Mapping[str, str] = KEY) -> str:
    (only,) = faults(path, environ)
    return only


def inbox(**settings: object) -> str:
    values = {"path": "/srv/in", "outbox": "/srv/out", "quarantine": "/srv/quarantine"} | settings
    lines = "".join(f"\n    {key}: {value}" for key, value in values.items())
    return f"inboxes:\n  photos:{lines}\n"


def test_a_key_of_another_service_than_the_inboxs_is_a_fault(write: Write) -> None:
    other = inbox(service="ai-detection", strength="low", originals="delete", max_files_per_order=1)
    of_originals = "anti-ai and watermark-embed and watermark-extract"
    assert sorted(faults(write(other))) == [
        "inboxes.photos.max_files_per_order: belongs to anti-ai and watermark-embed; leave it out of ai-detection",
        f"inboxes.photos.originals: belongs to {of_originals}; leave it out of ai-detection",
        "inboxes.photos.strength: belongs to anti-ai; leave it out of ai-detection",
    ]


def test_only_what_is_asked_for_can_belong_to_another_service(write: Write) -> None:
    assert load(write(inbox(sort="false")), KEY).inboxes["photos"].service == "anti-ai"
    asked = fault(write(inbox(sort="true")))
    assert asked == "inboxes.photos.sort: belongs to ai-detection and watermark-extract; leave it out of anti-ai"


def test_what_is_extracted_is_sorted_and_its_originals_are_kept_unless_told(write: Write) -> None:
    photos = load(write(inbox(service="watermark-extract")), KEY).inboxes["photos"]
    assert (photos.sort, photos.originals) == (True, "/srv/originals")
    photos = load(write(inbox(service="watermark-extract", sort="false")), KEY).inboxes["photos"]
    assert not photos.sort
    assert not load(write(inbox(service="ai-detection")), KEY).inboxes["photos"].sort


@pytest.mark.parametrize(
    ("lender", "why"),
    [
        ("elsewhere", "elsewhere is no inbox: name"),
        ("photos", "photos is no inbox of watermark-embed: name"),
        ("7", "must be text"),
    ],
)
def test_originals_are_lent_by_an_inbox_that_keeps_them(write: Write, lender: str, why: str) -> None:
    told = fault(write(inbox(service="watermark-extract", originals_from=lender)))
    assert told.startswith(f"inboxes.photos.originals_from: {why}")


EMBED = {"service": "watermark-embed"}


@pytest.mark.parametrize(
    ("watermark", "place", "says"),
    [
        ("{text: '{serial} {seriall}'}", "text", "{seriall} is no field"),
        ("{text: '{serial'}", "text", "a brace without its partner"),
        (f"{{text: '{'x' * 1001}'}}", "text", "more than 500 characters"),
        ("{recipients: dpa}", "recipients", "must be a list of names, or the word: folder"),
        ("{recipients: [dpa, a/b]}", "recipients", "'a/b' cannot be the name of a folder"),
        ("{recipients: ['..']}", "recipients", "'..' cannot be the name of a folder"),
        ("{recipients: ['.dpa']}", "recipients", "'.dpa' cannot be the name of a folder"),
        ("{recipients: ['a:b']}", "recipients", "'a:b' cannot be the name of a folder"),
        ("{recipients: ['#recycle']}", "recipients", "'#recycle' cannot be the name of a folder"),
        ("{recipients: ['dpa ']}", "recipients", "'dpa ' cannot be the name of a folder"),
        ("{recipients: [dpa, DPA]}", "recipients", "names a recipient twice"),
        (f"{{recipients: [{', '.join(f'r{n}' for n in range(11))}]}}", "recipients", "names 11 recipients"),
    ],
)
def test_what_cannot_be_written_into_a_picture_is_a_fault(write: Write, watermark: str, place: str, says: str) -> None:
    told = fault(write(inbox(**EMBED, watermark=watermark)))
    assert told.startswith(f"inboxes.photos.watermark.{place}: ")
    assert says in told


def test_who_gets_a_copy_can_be_names_or_the_first_folder(write: Write) -> None:
    named = load(write(inbox(**EMBED, watermark="{recipients: [dpa, Süddeutsche Zeitung]}")), KEY).inboxes["photos"]
    assert named.watermark.recipients == ("dpa", "Süddeutsche Zeitung")
    assert load(write(inbox(**EMBED, watermark="{recipients: folder}")), KEY).inboxes["photos"].watermark.recipients
    assert load(write(inbox(**EMBED)), KEY).inboxes["photos"].watermark.recipients == ()


@pytest.mark.parametrize("key", ["files_per_day: 2", "burst: {files: 2, minutes: 5}"])
def test_a_budget_that_lets_no_picture_through_is_a_fault(write: Write, key: str) -> None:
    copies, says = "{recipients: [dpa, afp, Reuters]}", "2 lets no picture through: each counts as 3, its copies"
    own = fault(write(inbox(**EMBED, watermark=copies, budget=f"{{{key}}}")))
    whole = fault(write(inbox(**EMBED, watermark=copies) + f"budget: {{{key}}}\n"))
    assert own.startswith("inboxes.photos.budget: ")
    assert whole.startswith("budget: ")
    assert own.endswith(says)
    assert whole.endswith(says)
    enough = key.replace("2", "3", 1)
    load(write(inbox(**EMBED, watermark=copies, budget=f"{{{enough}}}")), KEY)


def test_a_watermark_keeps_its_originals_and_belongs_to_its_service(write: Write) -> None:
    assert fault(write(inbox(**EMBED, originals="delete"))).startswith("inboxes.photos.originals: delete belongs to")
    asked = fault(write(inbox(watermark="{text: x}")))
    assert asked == "inboxes.photos.watermark: belongs to watermark-embed; leave it out of anti-ai"


@pytest.mark.parametrize(
    ("key", "idle", "asked"),
    [
        ("heatmaps", "false", "true"),
        ("xmp", "false", "true"),
        ("report", "never", "always"),
        ("report_locale", "en-US", "ja-JP"),
        ("notify_verdicts", "[]", "[likely_ai]"),
    ],
)
def test_what_comes_beside_a_finding_is_no_key_of_another_service(
    write: Write, key: str, idle: str, asked: str
) -> None:
    load(write(inbox(**{key: idle})), KEY)
    assert fault(write(inbox(**{key: asked}))).startswith(f"inboxes.photos.{key}: belongs to ai-detection")
    load(write(inbox(service="ai-detection", **{key: asked})), KEY)


def test_a_word_that_only_another_service_knows_is_a_fault(write: Write) -> None:
    told = fault(write(inbox(service="ai-detection", report="detected")))
    assert told == "inboxes.photos.report: detected belongs to watermark-extract, not to ai-detection"
    told = fault(write(inbox(service="ai-detection", notify_verdicts="[likely_ai, detected]")))
    assert told.startswith("inboxes.photos.notify_verdicts: detected is none; ai-detection has likely_real")
    assert "must be a list" in fault(write(inbox(service="ai-detection", notify_verdicts="likely_ai")))


def test_detection_needs_no_folder_for_originals(write: Write) -> None:
    photos = load(write(inbox(service="ai-detection")), KEY).inboxes["photos"]
    assert (photos.service, photos.originals, photos.work) == ("ai-detection", None, "/srv/in/.watchfolder")


# What is enough, and what it means


def test_an_inbox_with_its_three_folders_and_a_key_are_enough(write: Write) -> None:
    path = write(MINIMAL)
    config = load(path, KEY)
    photos = config.inboxes["photos"]
    assert config.source == path
    assert photos.name == "photos"
    assert (photos.originals, photos.work) == ("/srv/originals", "/srv/in/.watchfolder")
    assert photos.originals is not None
    assert config.api.key.get_secret_value() == "sk_live_0123456789"


def test_a_blank_value_counts_as_left_out(write: Write) -> None:
    photos = load(write(inbox(originals="", work="", strength="", ignore="")), KEY).inboxes["photos"]
    assert (photos.originals, photos.work, photos.strength) == ("/srv/originals", "/srv/in/.watchfolder", "high")
    assert photos.ignore == ()


def test_originals_may_be_deleted_on_demand(write: Write) -> None:
    photos = load(write(inbox(originals="delete")), KEY).inboxes["photos"]
    assert photos.originals is None
    assert photos.originals is None


def test_doubled_and_trailing_slashes_are_tidied(write: Write) -> None:
    photos = load(write(inbox(path="//srv//in/", outbox="/srv/./out//")), KEY).inboxes["photos"]
    assert (photos.path, photos.outbox, photos.originals) == ("/srv/in", "/srv/out", "/srv/originals")


def test_names_that_yaml_takes_for_something_else_are_names(write: Write) -> None:
    text = "inboxes:\n" + "".join(
        f"  {name}: {{path: /{name}/in, outbox: /{name}/out, quarantine: /{name}/q}}\n"
        for name in ("2024", "on", "사진")
    )
    assert list(load(write(text), KEY).inboxes) == ["2024", "on", "사진"]


def test_nothing_shows_the_key_or_the_proxys_password(write: Write) -> None:
    config = load(write("api: {proxy: 'http://me:hunter2@proxy:3128'}\n" + inbox()), KEY)
    assert config.api.proxy == "http://me:hunter2@proxy:3128"
    for shown in (repr(config), str(config), config.api.model_dump_json(exclude={"proxy"})):
        assert "0123456789" not in shown
        assert "hunter2" not in shown


def test_a_configuration_does_not_change_once_it_is_read(write: Write) -> None:
    config = load(write(MINIMAL), KEY)
    with pytest.raises(ValueError, match="frozen"):
        setattr(config.inboxes["photos"], "path", "/elsewhere")  # noqa: B010 mypy knows better than to assign


def test_the_status_can_be_asked_for_without_the_key(write: Write) -> None:
    config = load(write("api: {key_file: /nowhere/key}\n" + inbox()), {}, needs_key=False)
    assert config.api.key.get_secret_value() == ""


# The example


def _in_tree(tree: object, model: type[Section]) -> list[str]:
    assert isinstance(tree, dict)
    assert list(tree) == model.key_names()
    return list(tree)


def test_the_example_names_every_field_and_shows_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watchfolder.config.key.DEFAULT_KEY_FILE", "/nowhere")
    shown = load(str(EXAMPLE), KEY)
    photos = shown.inboxes["photos"]
    defaults = Inbox(name="photos", path=photos.path, outbox=photos.outbox, quarantine=photos.quarantine)
    assert photos == defaults
    api = ApiSection(key=shown.api.key, key_origin="environment")
    assert shown == Config(api=api, inboxes={"photos": defaults}, source=shown.source, commands=shown.commands)
    tree = read(str(EXAMPLE), [])
    _in_tree(tree, Config)
    _in_tree(tree["api"], ApiSection)
    _in_tree(tree["http"], HttpSection)
    _in_tree(tree["webhook"], WebhookSection)
    _in_tree(tree["inboxes"]["photos"], Inbox)


def test_the_example_has_a_sentence_above_every_field() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    sections = (Config, ApiSection, HttpSection, WebhookSection, Inbox)
    names = {name for section in sections for name in section.key_names()} - {"api"}
    explained = {
        line.split(":")[0].strip()
        for above, line in pairwise(lines)
        if above.strip().startswith("#") and above.endswith((".", ")")) and ":" in line
    }
    assert names <= explained


# Every fault at once, each with its path


def test_all_faults_are_told_at_once_each_with_its_path(write: Write) -> None:
    told = faults(
        write("""
            api:
              base_url: http://api.bizmori.com
              request_per_minute: 60
            state_dir: var
            inboxes:
              photos:
                path: /srv/in
                outbox: /srv/in/out
                strength: strong
                settle_seconds: -1
                ignore: [1]
              scans:
                path: relative
                outbox: /srv/out2
                quarantine: /srv/q2
            transfers: many
            """)
    )
    assert [line.split(": ")[0] for line in told] == [
        "api.request_per_minute",
        "inboxes.photos.outbox",
        "api.base_url",
        "state_dir",
        "inboxes.photos.quarantine",
        "inboxes.photos.strength",
        "inboxes.photos.settle_seconds",
        "inboxes.photos.ignore[0]",
        "inboxes.scans.path",
        "transfers",
    ]


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("settle_seconds", "soon", "must be a number"),
        ("settle_seconds", "yes", "must be a number"),
        ("settle_seconds", ".nan", "must be a number"),
        ("settle_seconds", ".inf", "must be a number"),
        ("settle_seconds", "-0.5", "must be at least 0"),
        ("scan_seconds", "0.5", "must be at least 1"),
        ("max_files_per_order", "0", "must be at least 1"),
        ("max_files_per_order", "101", "must be at most 100"),
        ("max_files_per_order", "1.5", "must be a whole number"),
        ("max_file_bytes", "9999999999", "must be at most 5368709120"),
        ("recursive", "'yes'", "must be true or false"),
        ("strength", "High", "must be 'low', 'standard' or 'high'"),
        (
            "service",
            "anti_ai",
            "must be 'anti-ai', 'watermark-embed', 'watermark-extract' or 'ai-detection'",
        ),
        ("duplicates", "never", "must be 'again', 'reuse' or 'quarantine'"),
        ("watch", "off", "must be 'auto', 'events' or 'polling'"),
        ("path", "2024", "must be text (in quotes, where YAML takes it for something else)"),
        ("path", "''", "must be an absolute path (begin with /)"),
        ("path", "~/in", "must be an absolute path (begin with /)"),
        ("path", "/srv/../in", 'must not contain ".."'),
        ("path", "//", "must lie below /"),
        ("path", '"/srv/\\0"', "holds a character that no file name can have"),
        ("path", '"/srv/\\uD800"', "holds a character that no file name can have"),
        ("path", "!!binary AAAA", "must be text (in quotes, where YAML takes it for something else)"),
        ("originals", "Delete", "must be an absolute path (begin with /), or the word: delete"),
        ("ignore", "'*.xmp'", "must be a list"),
        ("ignore", "['']", "each pattern must match a single name: not empty, without /"),
        ("ignore", "['!*.tpm']", "'!*.tpm' lifts nothing: there is no such built-in pattern"),
    ],
)
def test_a_wrong_value_is_named_in_plain_words(write: Write, setting: str, value: str, words: str) -> None:
    assert fault(write(inbox(**{setting: value}))) == f"inboxes.photos.{setting}: {words}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "inboxes: is required"),
        ("inboxes:", "inboxes: is required"),
        ("inboxes: {}", "inboxes: must hold at least one"),
        ("inboxes: [photos]", "inboxes: must be a section of 'name: value' lines"),
        ("inboxes: {photos: 1}", "inboxes.photos: must be a section of 'name: value' lines"),
        ("api: sk\n" + inbox(), "api: must be a section of 'name: value' lines"),
        ("give_up_after_hours: 0\n" + inbox(), "give_up_after_hours: must be more than 0"),
        ("transfers: 0\n" + inbox(), "transfers: must be at least 1"),
        (
            inbox().replace("photos", "my photos"),
            "inboxes.my photos: an inbox's name is made of letters, digits, - and _, at most 64",
        ),
    ],
)
def test_a_wrong_shape_is_named_in_plain_words(write: Write, text: str, words: str) -> None:
    assert fault(write(text)) == words


def test_an_inbox_without_settings_is_a_fault_not_an_omission(write: Write) -> None:
    told = faults(write(inbox() + "  scans:\n"))
    assert [line.split(":")[0] for line in told] == [f"inboxes.scans.{key}" for key in ("path", "outbox", "quarantine")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (inbox(outbx="/o"), "inboxes.photos.outbx: there is no such key; did you mean outbox?"),
        (inbox(zzz="1"), "inboxes.photos.zzz: there is no such key"),
        (
            inbox(budget="{file_per_day: 3}"),
            "inboxes.photos.budget.file_per_day: there is no such key; did you mean files_per_day?",
        ),
        (inbox(name="other"), "inboxes.photos.name: there is no such key"),
        ("source: /x\n" + inbox(), "source: there is no such key"),
        ("state: /x\n" + inbox(), "state: there is no such key; did you mean state_dir?"),
        ("api: {bas_url: x}\n" + inbox(), "api.bas_url: there is no such key; did you mean base_url?"),
        (
            inbox(budget="{burst: {files: 5, minutes: 1, minute: 1}}"),
            "inboxes.photos.budget.burst.minute: there is no such key; did you mean minutes?",
        ),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest_known_one(write: Write, text: str, words: str) -> None:
    assert fault(write(text)) == words


@pytest.mark.parametrize("name", ["key", "api_key", "token"])
def test_a_key_in_the_yaml_is_sent_to_where_it_belongs_and_not_shown(write: Write, name: str) -> None:
    told = fault(write(f"api: {{{name}: sk_live_secret99}}\n" + inbox()))
    assert told.startswith(f"api.{name}: the key does not belong here")
    assert "secret99" not in told


def test_a_key_in_a_wrong_place_is_not_shown(write: Write) -> None:
    told = "".join(
        faults(write("api: {sk_live_secret99: x, key_file: sk_live_secret98}\n" + inbox(sk_live_secret97="1")))
    )
    assert "secret9" not in told


# Broken YAML


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"api: {a: 1}\nstate_dir: [1, 2\n", "line 3, column 1"),
        (b"api:\n\tkey_file: x\n", "line 2, column 1"),
        (b"state_dir: '/x\n", "line 2, column 1"),
        (b"state_dir: /caf\xe9\n", "line 1, column 16"),
        (b"a: 1\nb: \x07\n", "line 2, column 4"),
        (b"a: 2001-99-99\n", "line 1, column 4"),
        (b"a: !!int ''\n", "line 1, column 4"),
        (b"a: !!python/object:os.system x\n", "line 1, column 4"),
        (b"? [a, b]\n: 1\n", "line 1, column 3"),
        (b"a: 1\n---\nb: 2\n", "line 2, column 1"),
        (b"a: *nothing\n", "line 1, column 4"),
    ],
)
def test_broken_yaml_is_told_with_line_and_column(tmp_path: Path, content: bytes, place: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes(content)
    assert fault(str(file)).startswith(f"{file}, {place}: ")


def test_a_key_that_is_there_twice_is_a_fault_beside_the_others(write: Write) -> None:
    path = write("transfers: 4\n" + inbox(scan_seconds=0) + "transfers: 5\n")
    assert faults(path) == [
        f"{path}, line 8: transfers is there twice (first in line 1)",
        "inboxes.photos.scan_seconds: must be at least 1",
    ]


def test_an_inbox_that_is_there_twice_is_a_fault(write: Write) -> None:
    again = inbox(path="/srv/other").removeprefix("inboxes:\n")
    assert "photos is there twice" in fault(write(inbox() + again))


def test_settings_can_be_shared_by_an_anchor(write: Write) -> None:
    text = """
        inboxes:
          a: &a {path: /a/in, outbox: /a/out, quarantine: /a/q, scan_seconds: 10}
          b:
            <<: *a
            path: /b/in
    """
    inboxes = load(write(text), KEY).inboxes
    assert (inboxes["b"].path, inboxes["b"].scan_seconds, inboxes["b"].name) == ("/b/in", 10, "b")


def test_of_two_inboxes_that_are_one_by_an_anchor_each_has_its_faults(write: Write) -> None:
    text = "inboxes: {a: &a {path: /a/in, outbox: /a/out, quarantine: /a/q, hue: red}, b: *a}"
    told = faults(write(text))
    assert [f"inboxes.{name}.hue: there is no such key" in told for name in ("a", "b")] == [True, True]
    assert any(fault.startswith("inboxes.b.path: /a/in is the same folder as inboxes.a.path") for fault in told)


@pytest.mark.parametrize("content", [b"- a\n", b"text\n", b"[" * 5000, b"#" * (2 * 1024 * 1024)])
def test_what_is_no_configuration_is_one_fault(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes(content)
    assert fault(str(file)).startswith(f"{file}")


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    assert "cannot be read: " in fault(str(tmp_path / name))


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(inbox(), encoding="utf-8-sig")
    assert load(str(file), KEY).inboxes


# Where the configuration is found


def test_the_configuration_is_looked_for_in_four_places_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    system = tmp_path / "system.yaml"
    monkeypatch.setattr("watchfolder.config.loading.PLACES", ("config.yaml", str(system)))
    with pytest.raises(ConfigError, match="there is no configuration"):
        find(None, {"WATCHFOLDER_CONFIG": ""})
    system.touch()
    assert find(None, {}) == str(system)
    (tmp_path / "config.yaml").touch()
    assert find(None, {}) == str(tmp_path / "config.yaml")
    assert find(None, {"WATCHFOLDER_CONFIG": "/from/environment"}) == "/from/environment"
    assert find("given.yaml", {"WATCHFOLDER_CONFIG": "/from/environment"}) == str(tmp_path / "given.yaml")


# The key


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text("sk_from_file\n", encoding="ascii")
    file.chmod(0o640)
    return file


def with_key_file(file: object) -> str:
    return f"api: {{key_file: '{file}'}}\n{inbox()}"


def test_the_key_comes_from_the_credential_then_the_environment_then_the_file(
    write: Write, key_file: Path, tmp_path: Path
) -> None:
    path = write(with_key_file(key_file))
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    environ = {"CREDENTIALS_DIRECTORY": str(credentials), "BIZMORI_API_KEY": "sk_from_environment"}

    def key(environ: Mapping[str, str]) -> str:
        return load(path, environ).api.key.get_secret_value()

    assert key({"BIZMORI_API_KEY": ""}) == "sk_from_file"
    assert key(environ) == "sk_from_environment"
    (credentials / "bizmori-api-key").write_text("sk_from_credential\n", encoding="ascii")
    assert key(environ) == "sk_from_credential"


def test_without_a_key_all_three_places_are_named(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watchfolder.config.key.DEFAULT_KEY_FILE", "/nowhere/api-key")
    told = fault(write(MINIMAL), {})
    assert told.startswith("api.key_file: there is no key: put it into /nowhere/api-key")
    assert "$BIZMORI_API_KEY" in told
    assert "credential" in told


def test_a_key_file_that_cannot_be_looked_for_is_not_called_missing(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watchfolder.config.key.DEFAULT_KEY_FILE", "/dev/null/api-key")
    assert fault(write(MINIMAL), {}) == "api.key_file: /dev/null/api-key cannot be read: Not a directory"


def test_a_named_key_file_must_exist_unless_the_key_is_elsewhere(write: Write) -> None:
    path = write(with_key_file("/nowhere/key"))
    assert fault(path, {}) == "api.key_file: /nowhere/key cannot be read: No such file or directory"
    assert load(path, KEY).api.key.get_secret_value() == KEY["BIZMORI_API_KEY"]


@pytest.mark.parametrize("environ", [{}, KEY])
def test_a_key_file_that_others_can_read_is_refused_with_the_remedy(
    write: Write, key_file: Path, environ: Mapping[str, str]
) -> None:
    key_file.chmod(0o644)
    assert fault(write(with_key_file(key_file)), environ) == (
        f"api.key_file: others can read {key_file}: run chmod o= {key_file}"
    )


@pytest.mark.parametrize(
    "content",
    ["secret123", "sk_", "sk_secret123\nsk_secret123", "sk_secret 123", "sk_secret123é", "'sk_secret123'"],
)
def test_what_is_no_key_is_refused_and_not_shown(write: Write, key_file: Path, content: str) -> None:
    key_file.write_text(content, encoding="utf-8")
    told = fault(write(with_key_file(key_file)), {})
    assert told.startswith("api.key_file: must hold the key alone")
    assert "secret" not in told


@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_key_file_is_there_to_be_filled(write: Write, key_file: Path, content: str) -> None:
    key_file.write_text(content, encoding="utf-8")
    assert fault(write(with_key_file(key_file)), {}) == f"api.key_file: {key_file} is empty: put your API key into it"


def test_a_fifo_in_the_key_files_place_holds_nobody_up(write: Write, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    assert "cannot be read: no regular file" in fault(write(with_key_file(tmp_path / "fifo")), {})


def test_a_key_file_with_a_relative_path_is_one_fault(write: Write) -> None:
    assert fault(write(with_key_file("key")), {}) == "api.key_file: must be an absolute path (begin with /)"


# The service's address


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://api.bizmori.com", "must begin with https://"),
        ("http://127.0.0.1.example.com", "must begin with https://"),
        ("ftp://api.bizmori.com", "must be a URL"),
        ("api.bizmori.com", "must be a URL"),
        ("https://", "must be a URL"),
        ("https://api.bizmori.com:99999", "must be a URL"),
        ("https://api bizmori.com", "must be a URL"),
        ("https://[::1", "must be a URL"),
        ("https://api.bizmori.com/api/v2", "must end after the host name"),
        ("https://api.bizmori.com?x=1", "must end after the host name"),
        ("https://me:hunter2@api.bizmori.com", "must not hold a user name or password"),
        ("https://api.bizmori.com\\@evil.example", "must not hold a user name or password"),
    ],
)
def test_an_address_that_is_not_plain_https_is_refused(write: Write, url: str, words: str) -> None:
    told = fault(write(f"api: {{base_url: '{url}'}}\n{inbox()}"))
    assert told.startswith(f"api.base_url: {words}")
    assert "hunter2" not in told


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.10", "[::1]"])
def test_on_this_machine_http_will_do(write: Write, host: str) -> None:
    api = load(write(f"api: {{base_url: 'http://{host}:8080/'}}\n{inbox()}"), KEY).api
    assert api.base_url == f"http://{host}:8080"
    assert api.is_loopback


def test_the_service_is_not_this_machine(write: Write) -> None:
    assert not load(write(MINIMAL), KEY).api.is_loopback


@pytest.mark.parametrize("proxy", ["proxy:3128", "socks5://proxy", "http://proxy/path"])
def test_a_proxy_that_cannot_be_one_is_refused(write: Write, proxy: str) -> None:
    assert fault(write(f"api: {{proxy: '{proxy}'}}\n{inbox()}")).startswith("api.proxy: must ")


def test_a_missing_ca_file_is_told_before_the_first_call(write: Write) -> None:
    assert fault(write(f"api: {{ca_file: /nowhere/ca.pem}}\n{inbox()}")).startswith(
        "api.ca_file: there is no such file"
    )


def test_a_ca_file_whose_name_no_file_can_have_is_a_fault_and_no_crash(write: Write) -> None:
    told = fault(write(f'api: {{ca_file: "/srv/\\0"}}\n{inbox()}'))
    assert told == "api.ca_file: holds a character that no file name can have"


# Test keys


def test_a_test_key_never_deletes_originals_for_samples(write: Write) -> None:
    path = write(inbox(originals="delete"))
    assert fault(path, TEST_KEY).startswith("inboxes.photos.originals: delete is refused with a test key")
    assert load(path, KEY).inboxes["photos"].originals is None


def test_at_the_sandbox_a_test_key_is_as_good_as_a_live_one(write: Write) -> None:
    config = load(write("api: {base_url: 'http://127.0.0.1:1'}\n" + inbox(originals="delete")), TEST_KEY)
    assert (config.api.mode, config.api.has_sample_results) == ("test", False)
    assert load(write(MINIMAL), TEST_KEY).api.has_sample_results
    assert load(write(MINIMAL), KEY).api.mode == "live"


# Folders that must not meet


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"outbox": "/srv/in"},
            "outbox: /srv/in is the same folder as inboxes.photos.path (/srv/in): what is put there",
        ),
        ({"outbox": "/srv/in/out"}, "outbox: /srv/in/out lies inside inboxes.photos.path (/srv/in): what is put there"),
        ({"outbox": "/srv/in/.out"}, "outbox: /srv/in/.out lies inside inboxes.photos.path"),
        ({"outbox": "/srv"}, "path: /srv/in lies inside inboxes.photos.outbox (/srv)"),
        ({"originals": "/srv/out/o"}, "originals: /srv/out/o lies inside inboxes.photos.outbox (/srv/out): each needs"),
        ({"quarantine": "/srv/out"}, "quarantine: /srv/out is the same folder as inboxes.photos.outbox"),
        ({"outbox": "/srv/originals"}, "originals: /srv/originals is the same folder as inboxes.photos.outbox"),
        ({"outbox": "/var/lib/watchfolder/out"}, "outbox: /var/lib/watchfolder/out lies inside state_dir"),
        (
            {"work": "/srv/in"},
            "work: /srv/in is the same folder as inboxes.photos.path (/srv/in): in a watched folder it",
        ),
        (
            {"work": "/srv/in/work"},
            "work: /srv/in/work lies inside inboxes.photos.path (/srv/in): in a watched folder it",
        ),
        ({"work": "/srv/out/.work"}, "work: /srv/out/.work lies inside inboxes.photos.outbox"),
    ],
)
def test_folders_that_meet_are_refused(write: Write, settings: Mapping[str, str], words: str) -> None:
    assert any(line.startswith(f"inboxes.photos.{words}") for line in faults(write(inbox(**settings))))


@pytest.mark.parametrize("work", ["/srv/in/.w", "/srv/in/.hidden/w", "/srv/work", "/srv/in2"])
def test_a_work_folder_may_be_hidden_in_the_inbox_or_lie_beside_it(write: Write, work: str) -> None:
    assert load(write(inbox(work=work)), KEY).inboxes["photos"].work == work


def test_a_state_directory_in_a_watched_tree_is_refused(write: Write) -> None:
    assert fault(write("state_dir: /srv/in/state\n" + inbox())).startswith("state_dir: /srv/in/state lies inside")


def in_a_row(*folders: str) -> str:
    """Return inboxes a, b, c of which each has the next folder as its outbox."""
    rows = zip("abc", *zip(*pairwise(folders), strict=True), strict=False)
    return "inboxes:\n" + "".join(
        f"  {name}: {{path: {path}, outbox: {outbox}, quarantine: /srv/quarantine, originals: /srv/o}}\n"
        for name, path, outbox in rows
    )


def test_the_outbox_of_one_inbox_may_be_the_next_one_s_path(write: Write) -> None:
    found = load(write(in_a_row("/srv/1", "/srv/2", "/srv/3", "/srv/4")), KEY)
    assert [inbox.outbox for inbox in found.inboxes.values()] == ["/srv/2", "/srv/3", "/srv/4"]


@pytest.mark.parametrize("ends", [2, 3])
def test_pictures_that_would_go_round_are_refused(write: Write, ends: int) -> None:
    folders = [f"/srv/{number}" for number in range(ends)]
    said = faults(write(in_a_row(*folders, folders[0])))
    way = " → ".join([*"abc"[:ends], "a"])
    assert said[0] == f"inboxes.a.outbox: /srv/1: its pictures would go round ({way}), and be paid for without end"


def two(**second: str) -> str:
    values = {"path": "/b/in", "outbox": "/srv/out", "quarantine": "/srv/quarantine", "originals": "/srv/originals"}
    lines = "".join(f"\n    {key}: {value}" for key, value in (values | second).items())
    return inbox() + f"  scans:{lines}\n"


def test_inboxes_may_share_their_ways_out(write: Write) -> None:
    assert len(load(write(two()), KEY).inboxes) == 2


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (
            {"path": "/srv/in"},
            "inboxes.scans.path: /srv/in is the same folder as inboxes.photos.path (/srv/in): a picture",
        ),
        (
            {"path": "/srv/in/sub"},
            "inboxes.scans.path: /srv/in/sub lies inside inboxes.photos.path (/srv/in): a picture",
        ),
        ({"path": "/srv"}, "inboxes.photos.path: /srv/in lies inside inboxes.scans.path (/srv): a picture"),
        ({"path": "/srv/out/in"}, "inboxes.scans.path: /srv/out/in lies inside inboxes.photos.outbox"),
        ({"outbox": "/srv/in/out"}, "inboxes.scans.outbox: /srv/in/out lies inside inboxes.photos.path"),
        (
            {"outbox": "/srv/quarantine"},
            "inboxes.scans.outbox: /srv/quarantine is the same folder as inboxes.photos.quar",
        ),
        (
            {"work": "/srv/in/.watchfolder"},
            "inboxes.scans.work: /srv/in/.watchfolder is the same folder as inboxes.photos",
        ),
    ],
)
def test_inboxes_that_would_feed_one_another_are_refused(write: Write, second: Mapping[str, str], words: str) -> None:
    assert any(line.startswith(words) for line in faults(write(two(**second))))


def test_folders_are_compared_by_where_their_links_lead(write: Write, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "door").symlink_to(tmp_path / "in")
    told = fault(write(inbox(path=tmp_path / "in", outbox=tmp_path / "door" / "out")))
    assert told.startswith(
        f"inboxes.photos.outbox: {tmp_path}/door/out lies inside inboxes.photos.path ({tmp_path}/in)"
    )


def test_folders_whose_names_merely_begin_alike_are_apart(write: Write) -> None:
    assert load(write(inbox(outbox="/srv/in-protected", quarantine="/srv/inn")), KEY).inboxes


@pytest.fixture
def hung_mount(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    released = threading.Event()
    real = os.path.realpath
    monkeypatch.setattr(
        "watchfolder.disk.timeouts.os.path.realpath",
        lambda path, **options: released.wait() if path == "/srv/out" else real(path, **options),
    )
    yield
    released.set()


@pytest.mark.usefixtures("hung_mount")
def test_a_share_that_does_not_answer_holds_nobody_up(write: Write) -> None:
    assert load(write(MINIMAL), KEY, silent_seconds=0.05).inboxes
    assert "lies inside" in fault(write(inbox(quarantine="/srv/in/q")))


# The page


def password_in(folder: Path) -> Path:
    path = folder / "password"
    path.write_text("twelve signs\n", encoding="ascii")
    path.chmod(0o600)
    return path


def page(**settings: object) -> str:
    return inbox() + "http:" + "".join(f"\n  {key}: {value}" for key, value in settings.items()) + "\n"


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:8686", ("127.0.0.1", 8686)),
        ("localhost:80", ("localhost", 80)),
        ("'[::1]:8686'", ("::1", 8686)),
        ("127.0.0.2:1", ("127.0.0.2", 1)),
    ],
)
def test_the_page_may_be_for_this_machine(write: Write, listen: str, address: tuple[str, int]) -> None:
    assert load(write(page(listen=listen)), KEY).http.address == address


def test_without_an_address_there_is_no_page(write: Write) -> None:
    assert load(write(MINIMAL), KEY).http.listen is None
    assert load(write(inbox() + "http:\n"), KEY).http.listen is None


@pytest.mark.parametrize("listen", ["0.0.0.0:8686", "'[::]:8686'", "192.168.1.5:80"])
def test_a_page_for_other_machines_needs_a_password(write: Write, tmp_path: Path, listen: str) -> None:
    assert "name a password_file" in fault(write(page(listen=listen)))
    http = load(write(page(listen=listen, password_file=password_in(tmp_path))), KEY).http
    assert http.password.get_secret_value() == "twelve signs"
    assert "twelve" not in repr(http)


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("https://photos.example.com", "https://photos.example.com"),
        ("https://Photos.example.com:443/", "https://photos.example.com"),
        ("http://nas:5000", "http://nas:5000"),
        ("https://[fd00::1]:8443", "https://[fd00::1]:8443"),
    ],
)
def test_a_proxy_s_address_is_kept_as_browsers_name_it(write: Write, tmp_path: Path, written: str, origin: str) -> None:
    pages = page(listen="127.0.0.1:8686", password_file=password_in(tmp_path), public_url=written)
    assert load(write(pages), KEY).http.public_url == origin


def test_a_page_behind_a_proxy_needs_a_password(write: Write) -> None:
    assert "name a password_file" in fault(
        write(page(listen="127.0.0.1:8686", public_url="https://photos.example.com"))
    )


@pytest.mark.parametrize(
    "url", ["photos.example.com", "https://photos.example.com/watchfolder", "https://me@a.example"]
)
def test_what_is_no_address_of_a_proxy_is_refused(write: Write, tmp_path: Path, url: str) -> None:
    told = fault(write(page(listen="127.0.0.1:8686", password_file=password_in(tmp_path), public_url=url)))
    assert told.startswith("http.public_url: ")


@pytest.mark.parametrize(
    "listen",
    [
        "8686",
        "127.0.0.1",
        "127.0.0.1:0",
        "127.0.0.1:99999",
        "http://127.0.0.1:80",
        "a@127.0.0.1:80",
        "nas:8686",
        "127.0.0.1.nas:80",
        "'::1:80'",
    ],
)
def test_what_is_no_address_and_port_is_refused(write: Write, listen: str) -> None:
    assert fault(write(page(listen=listen))).startswith("http.listen: ")


@pytest.mark.parametrize(("mode", "text"), [(0o640, "twelve signs"), (0o604, "twelve signs"), (0o600, "too short")])
def test_a_password_that_others_can_read_or_guess_is_refused(
    write: Write, tmp_path: Path, mode: int, text: str
) -> None:
    password = tmp_path / "password"
    password.write_text(text, encoding="ascii")
    password.chmod(mode)
    told = fault(write(page(listen="127.0.0.1:80", password_file=password)))
    assert told.startswith("http.password_file: ")
    assert text not in told


def test_status_needs_no_password_to_be_read(write: Write) -> None:
    config = load(write(page(listen="127.0.0.1:80", password_file="/nowhere")), {}, needs_key=False)  # noqa: S106 - a path
    assert config.http.password.get_secret_value() == ""


# The webhook


def webhook(public_url: object = "https://photos.example.com", listen: str = "127.0.0.1:8686", **files: object) -> str:
    settings = "".join(f"\n  {key}: {value}" for key, value in ({"public_url": public_url} | files).items())
    return f"{page(listen=listen) if listen else inbox()}webhook:{settings}\n"


@pytest.mark.parametrize(
    ("public_url", "whole"),
    [
        ("https://photos.example.com", "https://photos.example.com/webhooks/bizmori"),
        ("https://photos.example.com:8443/", "https://photos.example.com:8443/webhooks/bizmori"),
        ("https://example.com/photos/hook/", "https://example.com/photos/hook"),
        ("http://127.0.0.1:8686", "http://127.0.0.1:8686/webhooks/bizmori"),
        ("http://localhost:8686/x", "http://localhost:8686/x"),
    ],
)
def test_where_the_service_pushes_has_a_path_of_ours_unless_it_names_one(
    write: Write, tmp_path: Path, public_url: str, whole: str
) -> None:
    found = load(write(webhook(public_url, secret_file=tmp_path / "secret")), KEY).webhook
    assert found.public_url == whole
    assert found.secret.get_secret_value() == ""  # nothing was registered yet, and that is no fault


@pytest.mark.parametrize(
    "public_url",
    [
        "photos.example.com",
        "http://photos.example.com",
        "https://me:hunter2@photos.example.com",
        "https://photos.example.com?a=b",
        "https://photos.example.com/a?b=c",
        "https://photos.example.com/a b",
        "https://photos.example.com/../a%2f",
        "https:///webhooks/bizmori",
        "https://[::1/x",
        5,
    ],
)
def test_an_address_that_the_service_should_not_push_to_is_refused(
    write: Write, tmp_path: Path, public_url: object
) -> None:
    value = f"'{public_url}'" if isinstance(public_url, str) else public_url
    told = fault(write(webhook(value, secret_file=tmp_path / "secret")))
    assert told.startswith("webhook.public_url: ")
    assert "hunter2" not in told


def test_the_secret_is_read_from_a_file_of_its_owner_alone_and_shown_nowhere(write: Write, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("whsec_0123456789\n", encoding="ascii")
    secret.chmod(0o600)
    config = load(write(webhook(secret_file=secret)), KEY)
    assert config.webhook.secret.get_secret_value() == "whsec_0123456789"
    assert "whsec" not in repr(config)
    assert load(write(webhook(secret_file=secret)), KEY, needs_key=False).webhook.secret.get_secret_value() == ""


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("whsec_0123456789", 0o640, "run chmod 600"),
        ("whsec_0123456789", 0o604, "run chmod 600"),
        ("", 0o600, "watchfolder webhook register"),
        ("whsec_0123456789 and more", 0o600, "watchfolder webhook register"),
    ],
)
def test_a_secret_that_others_can_read_or_that_is_none_is_refused(
    write: Write, tmp_path: Path, text: str, mode: int, words: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(text, encoding="ascii")
    secret.chmod(mode)
    told = fault(write(webhook(secret_file=secret)))
    assert told.startswith("webhook.secret_file: ")
    assert words in told
    assert "0123456789" not in told


def test_a_secret_file_that_is_none_is_a_fault_and_not_a_missing_one(write: Write, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file/secret"):
        assert fault(write(webhook(secret_file=path))).startswith("webhook.secret_file: ")


def test_both_ends_belong_together_and_need_a_listener(write: Write, tmp_path: Path) -> None:
    assert fault(write(webhook())) == "webhook: secret_file: is required together with public_url"
    assert "public_url: is required" in fault(write(f"{inbox()}webhook: {{secret_file: {tmp_path}/secret}}\n"))
    assert "needs http.listen" in fault(write(webhook(listen="", secret_file=tmp_path / "secret")))
    assert fault(write(f"{inbox()}webhook: {{url: x}}\n")).startswith("webhook.url: there is no such key")
    assert load(write(f"{inbox()}webhook:\n"), KEY).webhook.public_url is None


# Messages and the heartbeat


def test_addresses_of_messages_are_kept_secret(write: Write) -> None:
    text = (
        inbox()
        + "notify: ['ntfy://topic-c4n4ry', 'mailto://me:c4n4ry@example.com']\nheartbeat_url: https://hc.example/c4n4ry\n"
    )
    config = load(write(text), KEY)
    assert [url.get_secret_value()[:4] for url in config.notify] == ["ntfy", "mail"]
    assert config.heartbeat_url is not None
    assert config.heartbeat_url.get_secret_value() == "https://hc.example/c4n4ry"
    assert "c4n4ry" not in repr(config) + str(config) + config.model_dump_json()


@pytest.mark.parametrize("url", ["c4n4ry", "c4n4ry@example.com", "'ntfy:// c4n4ry'", "'://c4n4ry'", "[c4n4ry]", "42"])
def test_an_address_that_is_none_is_told_by_its_place_alone(write: Write, url: str) -> None:
    told = fault(write(inbox() + f"notify: ['ntfy://a', {url}]\n"))
    assert told.startswith("notify[1]: ")
    assert "c4n4ry" not in told


def test_addresses_are_a_list(write: Write) -> None:
    assert fault(write(inbox() + "notify: ntfy://c4n4ry\n")) == "notify: must be a list"


@pytest.mark.parametrize(
    "url",
    [
        "http://monitor.example/c4n4ry",
        "ftp://monitor.example/c4n4ry",
        "https://me:c4n4ry@monitor.example/",
        "https:///c4n4ry",
        "https://monitor.example/c4n4ry#part",
        "https://monitor.example:0/c4n4ry",
        "https://monitor.example/c4n4 ry",
        "c4n4ry",
    ],
)
def test_a_heartbeat_that_is_no_safe_url_is_refused_and_not_shown(write: Write, url: str) -> None:
    told = fault(write(inbox() + f"heartbeat_url: '{url}'\n"))
    assert told.startswith("heartbeat_url: must be a URL that begins with https://")
    assert "c4n4" not in told


@pytest.mark.parametrize("url", ["https://hc-ping.com/uuid", "https://m.example/x?token=1", "http://127.0.0.1:8000/x"])
def test_a_heartbeat_may_have_a_path_and_a_query(write: Write, url: str) -> None:
    found = load(write(inbox() + f"heartbeat_url: '{url}'\n"), KEY).heartbeat_url
    assert found is not None
    assert found.get_secret_value() == url
