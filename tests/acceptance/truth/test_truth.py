"""Every situation, told by every surface in the same words, and mended by doing what was said."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_studio import wait_until
from truth_office import WELL, Office, Surfaces, flat, open_office
from truth_table import KEYS, SITUATIONS, Scene, Situation

from watchfolder.notify.decide import LASTS_SECONDS
from watchfolder.report.conditions import ConditionKind, Severity, over
from watchfolder.sandbox import Sandbox

pytestmark = pytest.mark.slow

NOT_BROUGHT_ABOUT = {
    ConditionKind.STUCK: "two hours without an answer; tests/acceptance/test_share_watchdog.py plays it with less",
    ConditionKind.STARTING: "over within the second",
    ConditionKind.IDLE: "the end of every row",
}
ELSEWHERE = {  # sentences that other tests bring about, without all surfaces
    ConditionKind.NOT_RUNNING: "test_operations.py",
    ConditionKind.SERVICE_REFUSES: "test_operations.py, test_refusing_service.py",
    ConditionKind.SERVICE_FAILS_ALL: "test_refusing_service.py",
    ConditionKind.FOLDER_AWAY: "test_operations.py, test_full_or_away.py",
    ConditionKind.HELD: "test_operations.py, test_cli_release.py",
    ConditionKind.NO_ANSWER: "test_operations.py",
    ConditionKind.CONFIGURATION_REFUSED: "test_operations.py",
    ConditionKind.NOT_CONFIGURED: "test_cli_status.py",
    ConditionKind.STALLED: "test_cli_alarm.py",
    ConditionKind.DISK_LOW: "test_cli_alarm.py",
    ConditionKind.QUARANTINED: "test_operations.py, test_cli_status.py",
    ConditionKind.WORKING: "test_operations.py",
}


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    if os.geteuid() != 0:
        pytest.skip("only root can be a person and the daemon's user")
    with Sandbox(processing_seconds=0.1, keys=KEYS) as sandbox, open_office(sandbox) as office:
        yield Scene(office, sandbox)


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
def test_all_say_the_same_and_what_they_say_to_do_mends_it(scene: Scene, situation: Situation) -> None:
    office, kind = scene.office, situation.kind
    office.wait_until_well()
    alarms = len(office.surfaces().alarms)
    path = situation.begin(scene)
    said = _said(office, situation, alarms)
    sentence = said.sentence(kind)
    for words in situation.truth:
        assert words in sentence
    for surface, text in _texts(office, said, situation, path, alarms).items():
        assert sentence in text or surface in (situation.unless or {}), (surface, text)
    assert situation.event in said.log
    _counts_agree(said)
    situation.mend(scene, said)
    office.wait_until_well()
    wait_until(lambda: office.notified.status.startswith("0 waiting, 0 in progress"))
    if _is_told(kind):
        subject = next(each.subject for each in said.conditions if each.kind is kind)
        wait_until(lambda: any(over(kind, subject) in each for each in office.surfaces().alarms[alarms:]))


def _said(office: Office, situation: Situation, alarms: int) -> Surfaces:
    """Read the surfaces once all of them had the time to tell."""
    seen = [office.surfaces()]

    def all_tell() -> bool:
        said = seen[0] = office.surfaces()
        kinds = [each.kind for each in said.conditions]
        return situation.kind in kinds and (not _is_told(situation.kind) or len(said.alarms) > alarms)

    wait_until(all_tell)
    return seen[0]


def _is_told(kind: ConditionKind) -> bool:
    """Is it worth a message?"""
    return kind in LASTS_SECONDS or kind in {ConditionKind.KEY_REFUSED, ConditionKind.SERVICE_FAILS_ALL}


def _texts(office: Office, said: Surfaces, situation: Situation, path: Path | None, alarms: int) -> dict[str, str]:
    sentence = said.sentence(situation.kind)
    texts = {"status": said.status, "page": said.page}
    if _is_told(situation.kind):
        texts["alarm"] = " ".join(said.alarms[alarms:])
    severity = next(each.severity for each in said.conditions if each.kind is situation.kind)
    if severity is Severity.ALARM:
        assert said.health[0] == 503
        texts["/healthz"] = said.health[1]
    else:
        assert said.health == (200, "ok")
    ascii_only = said.systemd
    assert sentence.encode("ascii", "replace").decode() in ascii_only or "systemd" in (situation.unless or {})
    if path is not None:
        explained = office.explained(path)
        if situation.explained:
            assert situation.explained in explained
            command = said.command(situation.kind)
            assert command in explained
        else:
            texts["explain"] = explained
    return texts


def _counts_agree(said: Surfaces) -> None:
    """Page, status and systemd's line count the same files."""
    waiting, moving = said.counts["waiting"], said.counts["in_progress"]
    assert f"{waiting} waiting, {moving} in progress" in said.systemd
    assert f"waiting {waiting} under way {moving + said.counts['deferred']}" in said.page


def test_every_condition_has_a_row_or_a_reason_why_not() -> None:
    rows = {situation.kind for situation in SITUATIONS}
    reasons = NOT_BROUGHT_ABOUT.keys() | ELSEWHERE.keys()
    assert rows | reasons == set(ConditionKind)
    assert not rows & reasons


def test_where_all_is_well_all_say_so(scene: Scene) -> None:
    scene.office.wait_until_well()
    said = scene.office.surfaces()
    assert said.status.startswith(WELL)
    assert said.health == (200, "ok")
    assert WELL in said.page
    assert flat(said.systemd).startswith("0 waiting")
    assert said.beats
