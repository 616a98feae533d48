"""Every situation, told by every surface in the same words, and mended by doing what was said."""

import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from telling import flat
from truth_office import WELL, Office, Surfaces, open_office
from truth_table import KEYS, SITUATIONS, Scene, Situation
from waiting import wait_until

from watchfolder.command_line import Advised, Control
from watchfolder.notify.decide import LASTS_SECONDS
from watchfolder.report.conditions import ConditionKind, Severity
from watchfolder.sandbox import Sandbox

pytestmark = pytest.mark.lab

DOCUMENT = Path(__file__).parents[3] / "docs" / "operations.md"

NOT_TYPED_HERE = {
    Advised.CHECK: "tests/acceptance/systemd/test_service_truth.py",
    Advised.RETRY: "by explain: tests/acceptance/test_advice.py",
    Advised.FETCH: "tests/acceptance/test_cli_receipts.py",
    Advised.REGISTER: "tests/acceptance/test_cli_webhook.py, as the next four",
    Advised.REGISTER_AGAIN: "",
    Advised.WEBHOOKS: "",
    Advised.REMOVE_WEBHOOK: "",
    Advised.TRY_WEBHOOK: "",
    Advised.TRY_NOTIFY: "tests/acceptance/test_cli_alarm.py",
    Control.ENABLE: "tests/acceptance/debian",
}

BESIDES = {
    "Starting: ": ConditionKind.STARTING,
    "nearly full": ConditionKind.DISK_LOW,
    "Nothing is delivered": ConditionKind.STALLED,
    "left the configuration": ConditionKind.NOT_CONFIGURED,
    "files of orders that are under way lie there": "tests/integration/test_pipeline_reconfigured.py",
    "files in `originals` in quarantine": "tests/integration/test_pipeline_reconfigured.py",
    "the pace of your plan's rate limit": ConditionKind.WORKING,
    "something is still to come beside": ConditionKind.WORKING,
    "the unit does not start": "tests/acceptance/systemd",
}
"""What the document has besides its sections: its row here, or who brings it about."""


class Stage:
    """Keeps one office for all rows, and opens another one after a row that failed."""

    def __init__(self) -> None:
        self._life = contextlib.ExitStack()
        self._scene: Scene | None = None

    @contextlib.contextmanager
    def scene(self) -> Iterator[Scene]:
        if self._scene is None:
            sandbox = self._life.enter_context(Sandbox(processing_seconds=0.1, keys=KEYS))
            self._scene = Scene(self._life.enter_context(open_office(sandbox)), sandbox)
        try:
            yield self._scene
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._scene = None
        self._life.close()


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    if os.geteuid() != 0:
        pytest.skip("only root can be a person and the daemon's user")
    stage = Stage()
    try:
        yield stage
    finally:
        stage.close()


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
def test_all_say_the_same_and_what_they_say_to_do_mends_it(stage: Stage, situation: Situation) -> None:
    with stage.scene() as scene:
        _play(scene, situation)


def _play(scene: Scene, situation: Situation) -> None:
    office, kind = scene.office, situation.kind
    office.wait_until_well()
    settings = office.config.read_text(encoding="utf-8")
    alarms = len(office.receiver.calls)
    path = situation.begin(scene)
    said = _said(office, situation, alarms)
    sentence = said.sentence(kind)
    _all_tell(said, situation, answers=office.answers)
    _explained(office, said, situation, path)
    assert situation.event in said.log
    typed = len(office.typed_in)
    mended = time.monotonic()
    situation.mend(scene, said)
    office.wait_until_well()
    if "within a minute" in sentence:
        assert time.monotonic() - mended < 60
    for each in situation.types:
        assert any(_is_typed(each, command) for command in office.typed_in[typed:])
    wait_until(lambda: not office.unit or office.notified.status.startswith("0 waiting, 0 in progress"))
    if _is_told(kind):
        subject = next((each.subject for each in said.conditions if each.kind is kind), "")
        wait_until(lambda: any(kind.over.format(subject) in each for each in office.alarms_since(alarms)))
    if office.unit != "watchfolder":
        office.install_unit()
        office.restart()
    if office.config.read_text(encoding="utf-8") != settings:
        office.config.write_text(settings, encoding="utf-8")
        office.reload()


def _is_typed(what: Advised | Control, command: str) -> bool:
    """Is it this command? A program's path may hold any word of it, but not with a blank on either side."""
    words = command.replace(";", " ; ").split()
    return all(word in words for word in what.split())


def _said(office: Office, situation: Situation, alarms: int) -> Surfaces:
    """Read the surfaces once all of them had the time to tell."""
    kind = situation.kind

    def all_tell() -> bool:
        is_seen = situation.is_told_by_message_alone or kind in office.kinds()
        return is_seen and (not _is_told(kind) or any(office.alarms_since(alarms)))

    if office.answers:
        wait_until(all_tell)
    seen = [office.surfaces(alarms)]

    def is_steady() -> bool:
        """Is the truth told, with no step between the surface that was read first and the last one?"""
        before, seen[0] = seen[0], office.surfaces(alarms)
        is_true = all(words in seen[0].sentence(kind) for words in situation.truth)
        is_at_rest = before.counted() == seen[0].counted()
        return is_true and is_at_rest and (not office.answers or _counts_agree(seen[0]))

    wait_until(is_steady, what=lambda: f"{situation.truth} is told, and steadily: {seen[0]}")
    return seen[0]


def _is_told(kind: ConditionKind) -> bool:
    """Is it worth a message?"""
    return kind in LASTS_SECONDS or kind in {ConditionKind.KEY_REFUSED, ConditionKind.SERVICE_FAILS_ALL}


def _all_tell(said: Surfaces, situation: Situation, *, answers: bool) -> None:
    sentence, but = said.sentence(situation.kind), situation.unless or {}
    if not answers:
        assert sentence in said.status
        return
    is_alarm = situation.kind.severity is Severity.ALARM
    assert said.health[0] == (503 if is_alarm else 200)
    texts = {"status": said.status, "page": said.page, "systemd": said.systemd}
    texts |= {"/healthz": said.health[1]} if is_alarm else {}
    texts |= {"alarm": " ".join(said.alarms)} if _is_told(situation.kind) else {}
    silent = {name for name, text in texts.items() if sentence not in text}
    if sentence.encode("ascii", "replace").decode() in said.systemd:
        silent -= {"systemd"}
    assert silent == set(but), (silent, texts)
    if not _is_told(situation.kind):
        assert not any(sentence in each for each in said.alarms)


def _explained(office: Office, said: Surfaces, situation: Situation, path: Path | None) -> None:
    if path is None:
        return
    if situation.kind is ConditionKind.SERVICE_FAILS_ALL:  # one of them is tried, and is at the service meanwhile
        names = [f"{number}.jpg" for number in range(int(path.stem), int(path.stem) - 16, -1)]
        assert any(said.sentence(situation.kind) in office.explained(path.with_name(name)) for name in names)
        return
    explained = office.explained(path)
    if situation.kind is ConditionKind.QUARANTINED:
        reason = flat(office.note_of(path))
        assert all(reason in text for text in (explained, said.status, said.page))
    if not situation.explained:
        assert said.sentence(situation.kind) in explained
        return
    assert situation.explained in explained
    assert said.command(situation.kind).removesuffix(" --all") in explained  # it says how to try this one file again


def _counts_agree(said: Surfaces) -> bool:
    """Page, status and systemd's line count the same files; between moving and deferred they may go to and fro."""
    if said.waiting is None:  # the daemon could not write down how many
        return True
    is_told_alike = f"waiting {said.waiting} under way {said.under_way} " in said.page
    if not said.systemd:
        return is_told_alike
    found = re.search(r"(\d+) waiting, (\d+) in progress, (\d+) deferred", said.systemd)
    assert found
    waiting, moving, deferred = map(int, found.groups())
    return is_told_alike and (waiting, moving + deferred) == (said.waiting, said.under_way)


def test_every_condition_has_a_row() -> None:
    assert {situation.kind for situation in SITUATIONS} == set(ConditionKind)


def test_every_command_that_is_said_is_typed_in_a_row_or_elsewhere() -> None:
    typed = {each for situation in SITUATIONS for each in situation.types}
    assert typed | NOT_TYPED_HERE.keys() == {*Advised, *Control}
    assert not typed & NOT_TYPED_HERE.keys()


def test_every_section_of_the_operator_s_document_has_a_row() -> None:
    headings = re.findall(r"^## (\d+)\.", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert {situation.section for situation in SITUATIONS} == set(map(int, headings))


def test_what_the_operator_s_document_has_besides_is_brought_about() -> None:
    table = DOCUMENT.read_text(encoding="utf-8").partition("## And besides")[2]
    seen = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")][2:]
    assert len(seen) == len(BESIDES)
    assert all(any(words in each for each in seen) for words in BESIDES)
    assert {kind for kind in BESIDES.values() if isinstance(kind, ConditionKind)} <= {each.kind for each in SITUATIONS}


def test_where_all_is_well_all_say_so(stage: Stage) -> None:
    with stage.scene() as scene:
        scene.office.wait_until_well()
        said = scene.office.surfaces()
    assert said.status.startswith(WELL)
    assert said.health == (200, "ok")
    assert WELL in said.page
    assert flat(said.systemd).startswith("0 waiting")
    assert said.beats
