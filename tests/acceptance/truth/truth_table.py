"""The table: what can be so, how it is brought about, what is true then, and how a person mends it by what was said."""

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from cli_studio import KEY
from contents import files_in
from hung_shares import hung, skip_unless_mountable
from telling import flat
from truth_office import SOMEBODY, Office, Surfaces
from waiting import wait_until

from watchfolder.command_line import Advised, Control
from watchfolder.report.conditions import ConditionKind
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

NEW_KEY = "sk_new_0123456789"
KEYS = (KEY, NEW_KEY)  # of one account


@dataclass(frozen=True)
class Scene:
    """An office and the service's stand-in."""

    office: Office
    sandbox: Sandbox


@dataclass(frozen=True)
class Situation:
    """`truth` is what must be said, known from how it was brought about, and not from the program.

    `begin` returns the file to ask `explain` about, if there is one. `mend` does what the sentences say.
    `unless` names the surfaces that cannot tell, each with its reason.
    """

    name: str
    kind: ConditionKind
    section: int  # of docs/operations.md
    begin: Callable[[Scene], Path | None]
    truth: tuple[str, ...]
    mend: Callable[[Scene, Surfaces], None]
    event: str = ""  # that the log has of it
    explained: str = ""  # what explain says, where that is not the sentence itself
    unless: Mapping[str, str] | None = None
    types: tuple[Advised | Control, ...] = ()  # what `mend` types as it was told

    @property
    def is_told_by_message_alone(self) -> bool:
        return {"status", "page", "systemd"} <= (self.unless or {}).keys()


def _type_command(scene: Scene, said: Surfaces, kind: ConditionKind) -> None:
    command = said.command(kind)
    assert command
    assert command in said.sentence(kind)
    scene.office.type_in(command)


# --- pictures that cannot be taken


def _anna_makes_a_folder(scene: Scene) -> Path:
    paths = scene.office.drop_pictures(3, "Anna's day/", seed=100)
    folder = paths[0].parent
    for path in (folder, *paths):
        os.chown(path, SOMEBODY, SOMEBODY)
    folder.chmod(0o755)
    return paths[0]


def _open_what_anna_made(scene: Scene, said: Surfaces) -> None:
    _type_command(scene, said, ConditionKind.OUT_OF_REACH)


# --- the key


def _the_service_takes_another_key(scene: Scene) -> Path:
    scene.sandbox.keys = [NEW_KEY]
    scene.office.drop_pictures(2, seed=200)
    return scene.office.folder("inbox") / "201.jpg"


def _write_the_right_key(scene: Scene, said: Surfaces) -> None:
    assert str(scene.office.key_file) in said.sentence(ConditionKind.KEY_REFUSED)
    scene.office.key_file.write_text(NEW_KEY, encoding="ascii")
    _type_command(scene, said, ConditionKind.KEY_REFUSED)
    scene.sandbox.keys = KEYS


# --- the service


def _no_credits(scene: Scene) -> Path:
    scene.sandbox.credits_left = 0
    return scene.office.drop_pictures(2, seed=300)[1]


def _buy_credits(scene: Scene, said: Surfaces) -> None:
    scene.sandbox.credits_left = None
    _type_command(scene, said, ConditionKind.SERVICE_REFUSES)


def _an_outage(scene: Scene) -> Path:
    scene.sandbox.faults.add("any", "answer", times=None, status=503)
    return scene.office.drop_pictures(6, seed=400)[5]


def _the_outage_ends(scene: Scene, said: Surfaces) -> None:
    assert "it goes on by itself" in said.sentence(ConditionKind.NO_ANSWER)
    scene.sandbox.faults.clear()


def _all_fail(scene: Scene) -> Path:
    scene.sandbox.faults.add("confirm", "fail", times=None, code="PROCESSING_ERROR")
    scene.office.arrange(photos={"max_files_per_order": 1})
    scene.office.reload()
    return scene.office.drop_pictures(16, seed=500)[15]


def _the_service_succeeds_again(scene: Scene, said: Surfaces) -> None:
    scene.sandbox.faults.clear()
    _type_command(scene, said, ConditionKind.SERVICE_FAILS_ALL)
    wait_until(lambda: scene.office.kinds()[:1] in (["quarantined"], ["idle"]))
    if scene.office.kinds() == ["quarantined"]:  # those that failed before all did
        _type_command(scene, scene.office.surfaces(), ConditionKind.QUARANTINED)


# --- folders


def _another_folder_lies_there(scene: Scene) -> Path:
    outbox = scene.office.folder("outbox")
    outbox.rename(outbox.with_name("elsewhere"))
    outbox.mkdir()
    scene.office.give_to_daemon()
    return scene.office.drop_pictures(1, seed=600)[0]


def _another_token(scene: Scene) -> Path:
    token = scene.office.folder("outbox") / ".watchfolder-id"
    token.write_text(f"{0:032x}\n", encoding="ascii")
    return scene.office.drop_pictures(1, seed=610)[0]


def _the_outbox_is_closed(scene: Scene) -> Path:
    outbox = scene.office.folder("outbox")
    os.chown(outbox, 0, SOMEBODY)
    outbox.chmod(0o755)
    return scene.office.drop_pictures(1, seed=630)[0]


def _open_the_outbox(scene: Scene, said: Surfaces) -> None:
    found = re.search(r"as root, run: (ch[^)]+)\)", said.sentence(ConditionKind.FOLDER_AWAY))
    assert found
    scene.office.type_in(found[1])


def _accept_it(scene: Scene, said: Surfaces) -> None:
    found = re.search(r"as root, run: ([^()]+ --accept [^\s()]+)", said.sentence(ConditionKind.FOLDER_AWAY))
    assert found
    scene.office.type_in(found[1])


def _the_nas_is_nearly_full(scene: Scene) -> None:
    scene.office.deliver_to_nas()
    scene.office.fill(scene.office.nas, free_bytes=1_200_000)
    (picture,) = scene.office.drop_pictures(1, seed=640)  # it still goes on
    wait_until((scene.office.nas / "outbox" / picture.name).exists)


def _the_nas_is_full(scene: Scene) -> Path:
    scene.office.deliver_to_nas()
    scene.office.fill(scene.office.nas, free_bytes=3_100_000)
    large = scene.office.drop("large.bmp", sample("bmp", width=1000, height=1000, seed=641))  # 3 MB
    scene.office.give_to_daemon()
    return large


def _delete_the_film(scene: Scene, _said: Surfaces) -> None:
    scene.office.film.unlink()


def _the_state_s_disk_is_nearly_full(scene: Scene) -> None:
    scene.office.move_state(to_small_disk=True)
    scene.office.fill(scene.office.folder("state"), free_bytes=1_240_000)
    (picture,) = scene.office.drop_pictures(1, seed=660)  # it still goes on
    wait_until((scene.office.folder("outbox") / picture.name).exists)


def _the_state_s_disk_is_full(scene: Scene) -> Path:
    """Fill it, so that the daemon cannot write down what it sees then."""
    office = scene.office
    office.move_state(to_small_disk=True)
    office.wait_until_well()
    office.fill(office.folder("state"), free_bytes=0)
    (picture,) = office.drop_pictures(1, seed=661)
    wait_until(lambda: office.told()["inboxes"]["photos"]["waiting"] == 1)
    assert json.loads(office.run("status", "--json").stdout)["inboxes"]["photos"]["waiting"] is None
    return picture


def _make_room_for_the_state(scene: Scene, said: Surfaces) -> None:
    office, before = scene.office, len(scene.office.receiver.calls)
    _delete_the_film(scene, said)
    office.wait_until_well()
    wait_until(lambda: re.search("is back|has room again", " ".join(office.alarms_since(before))))
    office.move_state(to_small_disk=False)


def _the_nas_is_not_mounted(scene: Scene) -> Path:
    scene.office.deliver_to_nas()
    scene.office.unmount("nas")
    return scene.office.drop_pictures(1, seed=650)[0]


def _mount_it(scene: Scene, said: Surfaces) -> None:
    found = re.search(r"as root, run: (mount [^)]+)", said.sentence(ConditionKind.FOLDER_AWAY))
    assert found
    assert list(scene.office.nas.iterdir()) == []
    scene.office.type_in(found[1])


def _state_is_lost(scene: Scene) -> Path:
    office = scene.office
    office.stop()
    shutil.rmtree(office.folder("state"))
    office.folder("state").mkdir()
    office.give_to_daemon()
    office.start()
    return office.drop_pictures(1, seed=620)[0]


def _adopt(scene: Scene, said: Surfaces) -> None:
    found = re.search(r"as root, run: (systemctl stop [^()]+)\)", said.sentence(ConditionKind.FOLDER_AWAY))
    assert found
    scene.office.type_in(found[1])


# --- what waits for a word


def _too_many_at_once(scene: Scene) -> Path:
    scene.office.arrange(photos={"budget": {"burst": {"files": 3, "minutes": 10}}})
    scene.office.reload()
    return scene.office.drop_pictures(9, seed=700)[8]


def _release(scene: Scene, said: Surfaces) -> None:
    explained = scene.office.explained(scene.office.folder("inbox") / "708.jpg")
    assert explained.startswith("It is ready to be taken: ")
    assert "But: photos: held" in explained
    _type_command(scene, said, ConditionKind.HELD)


def _press_release(scene: Scene, _said: Surfaces) -> None:
    scene.office.press("/release", "Let them through")


def _a_photoshop_file(scene: Scene) -> Path:
    scene.office.drop("poster.psd", b"8BPS\0\1" + bytes(4000))
    scene.office.give_to_daemon()
    return scene.office.folder("quarantine") / "poster.psd"


def _export_it(scene: Scene, said: Surfaces) -> None:
    picture = scene.office.folder("quarantine") / "poster.psd"
    note = picture.with_name("poster.psd.why.txt").read_text(encoding="utf-8")
    assert "Photoshop" in note
    for told in (note, said.sentence(ConditionKind.QUARANTINED), scene.office.explained(picture)):
        assert "watchfolder retry" not in told
    assert "ry again</button>" not in scene.office.page()
    picture.unlink()
    scene.office.drop_pictures(1, seed=720)


def _cut_pictures(scene: Scene) -> Path:
    for name in ("cut 1.jpg", "cut 2.jpg"):
        scene.office.drop_cut(name)
    return scene.office.folder("inbox") / "cut 1.jpg"


def _copy_the_rest(scene: Scene, _said: Surfaces) -> None:
    for name in ("cut 1.jpg", "cut 2.jpg"):
        scene.office.drop(name)
    scene.office.give_to_daemon()


def _nothing_is_delivered(scene: Scene) -> Path:
    scene.office.arrange(alarm_after_hours=1 / 3600)
    scene.office.reload()
    return _cut_pictures(scene)


def _ask_and_copy_the_rest(scene: Scene, said: Surfaces) -> None:
    sentence = said.sentence(ConditionKind.STALLED)
    found = re.search(r"[.] (\S+ status .*) and, of one file, (.* PATH) say what they wait for", sentence)
    assert found
    scene.office.type_in(found[1])
    scene.office.type_in(found[2].replace("PATH", f"'{scene.office.folder('inbox')}/cut 1.jpg'"))
    assert "Waiting: 2 files in the inboxes" in said.status
    _copy_the_rest(scene, said)


# --- the daemon and its configuration


def _it_is_stopped(scene: Scene) -> Path:
    scene.office.stop()
    return scene.office.drop_pictures(1, seed=800)[0]


def _start_it(scene: Scene, said: Surfaces) -> None:
    _type_command(scene, said, ConditionKind.NOT_RUNNING)


def _its_main_loop_hangs(scene: Scene) -> Path:
    path = _cut_pictures(scene)
    wait_until(lambda: scene.office.notified.status.startswith("2 waiting"))
    scene.office.hang()
    return path


def _restart_it(scene: Scene, said: Surfaces) -> None:
    _type_command(scene, said, ConditionKind.STUCK)
    _copy_the_rest(scene, said)


def _it_is_suspended(scene: Scene) -> Path:
    daemon = scene.office.daemon_now
    assert daemon is not None
    daemon.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: not scene.office.answers)
    return scene.office.drop_pictures(1, seed=840)[0]


def _restart_by_hand(scene: Scene, said: Surfaces) -> None:
    command = said.command(ConditionKind.STUCK)
    assert command in said.sentence(ConditionKind.STUCK)
    scene.office.start_as_told(command)


def _a_share_answers_late(scene: Scene) -> None:
    """Start while the inbox lies on a share that does not answer, and do not call that silent yet."""
    skip_unless_mountable()
    office = scene.office
    office.stop()
    office.shares.enter_context(hung(office.folder("inbox")))
    office.patience = "hasten(health, SILENT_SECONDS=120.0); hasten(loop, _READY_SECONDS=0.5)"
    office.start()


def _it_answers(scene: Scene, _said: Surfaces) -> None:
    office = scene.office
    office.shares.close()
    office.wait_until_well()
    office.patience = ""
    office.restart()


def _a_slip_of_the_pen(scene: Scene) -> None:
    scene.office.config.write_text(scene.office.config.read_text().replace("settle_seconds: 0.2", "settle_seconds: x"))
    scene.office.reload()


def _mend_the_slip(scene: Scene, said: Surfaces) -> None:
    scene.office.arrange()
    _type_command(scene, said, ConditionKind.CONFIGURATION_REFUSED)


def _an_inbox_leaves_the_configuration(scene: Scene) -> Path:
    office = scene.office
    office.arrange(inboxes={"scans": office.another_inbox("scans")})
    office.reload()
    before = len(office.log_since(0))
    scene.sandbox.faults.add("fetch", "answer", times=None, status=500)
    office.drop_pictures(1, "../scans/path/", seed=810)
    wait_until(lambda: '"order.completed"' in office.log_since(before))
    office.arrange()
    office.reload()
    return office.root / "scans" / "path" / "810.jpg"


def _put_it_back(scene: Scene, said: Surfaces) -> None:
    assert "Put these inboxes back" in said.sentence(ConditionKind.NOT_CONFIGURED)
    scene.sandbox.faults.clear()
    scene.office.arrange(inboxes={"scans": scene.office.another_inbox("scans")})
    _type_command(scene, said, ConditionKind.NOT_CONFIGURED)


# --- started otherwise


def _by_hand(begin: Callable[[Scene], Path | None]) -> Callable[[Scene], Path | None]:
    """Begin it with a daemon that no unit starts."""
    return lambda scene: _started_as("", begin, scene)


def _as_instance(begin: Callable[[Scene], Path | None]) -> Callable[[Scene], Path | None]:
    """Begin it with a daemon that an instance of a template unit starts."""
    return lambda scene: _started_as("watchfolder@.service", begin, scene)


def _started_as(unit: str, begin: Callable[[Scene], Path | None], scene: Scene) -> Path | None:
    scene.office.install_unit(unit)
    scene.office.restart()
    scene.office.wait_until_well()
    return begin(scene)


def _start_by_hand(scene: Scene, said: Surfaces) -> None:
    command = said.command(ConditionKind.NOT_RUNNING)
    assert command in said.sentence(ConditionKind.NOT_RUNNING)
    scene.office.start_as_told(command)


def _write_the_key_and_start_again(scene: Scene, said: Surfaces) -> None:
    assert "Export the right BIZMORI_API_KEY in a shell, then kill" in said.sentence(ConditionKind.KEY_REFUSED)
    scene.office.environment["BIZMORI_API_KEY"] = NEW_KEY
    scene.office.start_as_told(said.command(ConditionKind.KEY_REFUSED))
    scene.office.wait_until_well()
    del scene.office.environment["BIZMORI_API_KEY"]
    scene.sandbox.keys = KEYS
    scene.office.restart()
    scene.office.drop_pictures(1, seed=202)  # a life that has bought nothing knows of no service that is well again


def _another_key_than_that_of_the_environment(scene: Scene) -> Path:
    scene.office.environment["BIZMORI_API_KEY"] = KEY
    scene.office.restart()
    return _the_service_takes_another_key(scene)


# --- secrets that the daemon's user may not read


def _closed_secret(section: str, settings: Mapping[str, str], key: str, content: str) -> Callable[[Scene], None]:
    def begin(scene: Scene) -> None:
        path = scene.office.root / f"{section} secret"
        path.touch(mode=0o600)
        path.write_text(content, encoding="ascii")
        tree = yaml.safe_load(scene.office.config.read_text(encoding="utf-8"))
        tree[section] = tree.get(section, {}) | settings | {key: str(path)}
        scene.office.config.write_text(yaml.safe_dump(tree), encoding="utf-8")
        scene.office.reload()

    return begin


def _open_the_secret(scene: Scene, said: Surfaces) -> None:
    sentence = said.sentence(ConditionKind.CONFIGURATION_REFUSED)
    found = re.search(r"where it is the daemon's, as root: (chown .+?')[.]", sentence)
    assert found
    scene.office.type_in(found[1])
    before = len(scene.office.log_since(0))
    _type_command(scene, said, ConditionKind.CONFIGURATION_REFUSED)
    assert '"config.reloaded"' in scene.office.log_since(before)
    scene.office.arrange()  # a page without a password, for what reads it
    scene.office.reload()


# --- camera RAW


def _a_raw_beside_its_jpeg(raw: str) -> Callable[[Scene], Path]:
    def begin(scene: Scene) -> Path:
        scene.office.arrange(photos={"raw": raw})
        scene.office.reload()
        before = set(files_in(scene.office.folder("outbox")))
        scene.office.drop("day.cr2", b"II*\0\x10\0\0\0CR\x02\0" + bytes(4000))
        scene.office.drop("day.jpg", sample("jpeg", width=64, height=48, seed=900 + len(raw)))
        scene.office.give_to_daemon()
        wait_until(lambda: set(files_in(scene.office.folder("outbox"))) - before)
        folder = "inbox" if raw == "leave" else "quarantine"
        wait_until((scene.office.folder(folder) / "day.cr2").exists)
        return scene.office.folder(folder) / "day.cr2"

    return begin


def _take_the_raw_away(scene: Scene, said: Surfaces) -> None:
    assert "camera RAW: 1 file left beside the pictures (raw: leave)" in said.status
    (scene.office.folder("inbox") / "day.cr2").unlink()


def _export_the_raw(scene: Scene, _said: Surfaces) -> None:
    (scene.office.folder("quarantine") / "day.cr2").unlink()


def _some_cut_and_one_that_no_try_helps(scene: Scene) -> Path:
    office = scene.office
    office.set_aside("ein Bär -\n.jpg", reason="It took too long.")
    office.set_aside("poster 2.psd", reason="It is a Photoshop document.", retry_helps=False)
    office.give_to_daemon()
    return office.folder("quarantine") / "ein Bär -\n.jpg"


def _retry_what_may_pass(scene: Scene, said: Surfaces) -> None:
    _type_command(scene, said, ConditionKind.QUARANTINED)
    assert "ein" not in " ".join(files_in(scene.office.folder("quarantine")))
    (scene.office.folder("quarantine") / "poster 2.psd").unlink()


# --- the other services


def _extracts(scene: Scene) -> None:
    scene.office.arrange(photos={"service": "watermark-extract", "duplicates": None})
    scene.office.reload()


def _a_suspect_alone(scene: Scene) -> Path:
    _extracts(scene)
    return scene.office.drop_pictures(1, "suspect ", seed=1000)[0]


def _drop_its_original(scene: Scene, said: Surfaces) -> None:
    told = "1 file waiting for what belongs to it"
    assert told in said.status
    wait_until(lambda: told in scene.office.page())  # which looks less often
    scene.office.drop("suspect 1000.original.jpg", sample("jpeg", width=64, height=48, seed=1001))
    scene.office.give_to_daemon()


def _a_server_without_v3_reads(scene: Scene) -> Path:
    scene.sandbox.dialect = "v2"
    _extracts(scene)
    suspect = scene.office.drop_pictures(1, "leak ", seed=1010)[0]
    scene.office.drop("leak 1010.original.jpg", sample("jpeg", width=64, height=48, seed=1011))
    scene.office.give_to_daemon()
    return suspect


def _it_gets_them(scene: Scene, said: Surfaces) -> None:
    assert "It goes on by itself when it has them" in said.sentence(ConditionKind.FOLDER_AWAY)
    scene.sandbox.dialect = "both"


def _a_picture_that_cannot_be_judged(scene: Scene) -> Path:
    scene.office.arrange(photos={"service": "ai-detection", "duplicates": None, "originals": None})
    scene.sandbox.faults.add("confirm", "fail", times=1, code="INVALID_IMAGE")
    scene.office.reload()
    scene.office.drop_pictures(1, "odd ", seed=1020)
    odd = scene.office.folder("quarantine") / "odd 1020.jpg"
    wait_until(odd.exists)
    return odd


def _move_it_back(scene: Scene, _said: Surfaces) -> None:
    quarantine = scene.office.folder("quarantine")
    (picture,) = (name for name in files_in(quarantine) if not name.endswith(".why.txt"))
    scene.office.type_in(f"mv '{quarantine}/{picture}' '{scene.office.folder('inbox')}/'")
    wait_until(lambda: picture in " ".join(files_in(scene.office.folder("outbox"))))
    wait_until(lambda: files_in(quarantine) == [])  # the note goes away by itself


def _set_aside(scene: Scene) -> Path:
    path = scene.office.set_aside("late.jpg", reason="It took too long.")
    scene.office.give_to_daemon()
    return path


def _press_try_again(scene: Scene, _said: Surfaces) -> None:
    scene.office.press("/retry", "late.jpg")
    wait_until(lambda: files_in(scene.office.folder("quarantine")) == [])


# --- the pace, and what comes later


def _more_than_the_plan_allows(scene: Scene) -> None:
    scene.sandbox.requests_per_minute = 3
    scene.office.drop_pictures(3, seed=1030)


def _set_it_to_the_plan(scene: Scene, said: Surfaces) -> None:
    office = scene.office
    assert "Set api.requests_per_minute to what your plan leaves" in said.sentence(ConditionKind.WORKING)
    scene.sandbox.minute_seconds = 0.6  # 300 in a minute
    office.change(lambda tree: tree["api"].update(requests_per_minute=240))
    _type_command(scene, said, ConditionKind.WORKING)
    wait_until(lambda: office.told()["conditions"][0]["kind"] == "idle")
    assert office.told()["service"]["state"] == "ok"
    scene.sandbox.requests_per_minute, scene.sandbox.minute_seconds = 0, 60.0


def _something_is_still_to_come(scene: Scene) -> Path:
    """Let a finding be delivered, and what is to lie beside it not."""
    office, settings = scene.office, {"service": "ai-detection", "duplicates": None, "originals": None}
    office.arrange(photos=settings | {"heatmaps": True, "report": "always"})
    office.reload()
    scene.sandbox.faults.add("fetch", "answer", times=None, status=500)
    office.drop_pictures(1, "judged ", seed=1040)
    wait_until((office.folder("outbox") / "judged 1040.jpg.ai.json").exists)
    return office.folder("outbox") / "judged 1040.jpg"


def _ask_of_it_and_let_it_come(scene: Scene, said: Surfaces) -> None:
    office, said_beside = scene.office, "1 file delivered, with something still to come beside it"
    assert said_beside in said.page
    assert office.told()["inboxes"]["photos"]["to_come_beside"] == 1
    found = re.search(rf"{said_beside}: (.+? explain .+? PATH)", said.status)
    assert found
    outbox = office.folder("outbox")
    for place in (outbox, office.folder("inbox")):  # under the name that it had, too
        picture = place / "judged 1040.jpg"
        office.type_in(found[1].replace("PATH", f"'{picture}'"))
        assert "Still to come beside it: heatmap, report. The last try failed: " in office.explained(picture)
    scene.sandbox.faults.clear()
    for beside in ("heatmap.webp", "report.en-US.pdf"):
        wait_until((outbox / f"judged 1040.jpg.{beside}").exists)


# --- what is promised in seconds


def _a_try_that_comes_when_it_is_told(scene: Scene) -> Path:
    office = scene.office
    scene.sandbox.faults.add("confirm", "fail", times=None, code="ORDER_TIMEOUT")
    (picture,) = office.drop_pictures(1, seed=1050)
    told: list[datetime] = []

    def is_told() -> bool:
        told.extend(_told_by_all(office, picture))
        return bool(told)

    wait_until(is_told)
    looked = datetime.now(UTC)

    def tries() -> list[datetime]:
        return [each.time for each in scene.sandbox.requests if each.operation == "create" and each.time > looked]

    wait_until(lambda: any(tries()))
    assert told[0] - timedelta(milliseconds=50) <= tries()[0] <= told[0] + timedelta(seconds=10)  # on a busy machine
    wait_until(lambda: _next_try(office))
    return picture


def _told_by_all(office: Office, picture: Path) -> list[datetime]:
    """Return the instant of the next try once all that tells it has been read before it came."""
    soon = _next_try(office)
    if not soon or soon[0] < datetime.now(UTC):
        return []
    at = soon[0].astimezone()
    status, explained, page = office.run("status").stdout, office.explained(picture), office.page()
    if soon != _next_try(office):
        return []
    assert f"next try {at:%H:%M}" in status
    assert f"next try {at:%Y-%m-%d %H:%M:%S}" in explained
    assert f"tried again at {at:%H:%M}" in flat(re.sub(r"<[^>]+>", " ", page))
    return soon


def _next_try(office: Office) -> list[datetime]:
    return [datetime.fromisoformat(each["not_before"]) for each in office.told()["deferred"]]


def _the_service_is_in_time_again(scene: Scene, _said: Surfaces) -> None:
    scene.sandbox.faults.clear()


def _an_emptied_folder_goes(scene: Scene) -> None:
    office, seconds = scene.office, 4.0
    office.arrange(photos={"empty_folder_seconds": seconds})
    office.reload()
    folder, begun = office.folder("inbox") / "card", time.monotonic()
    office.drop_pictures(1, "card/day 1/", seed=1060)
    office.give_to_daemon()
    wait_until((office.folder("outbox") / "card/day 1/1060.jpg").exists)
    emptied = time.monotonic()
    assert office.explained(folder) == f"0 files in {folder}."
    wait_until(lambda: not folder.exists())
    assert begun + seconds <= time.monotonic() <= emptied + seconds + 10  # on a busy machine


def _nothing_to_do(_scene: Scene, _said: Surfaces) -> None:
    pass


def _cut_for_too_long(scene: Scene) -> Path:
    scene.office.arrange(photos={"incomplete_seconds": 3})
    scene.office.reload()
    begun = time.monotonic()
    scene.office.drop_cut("too long.jpg")
    told = re.search(
        r"it is looked at again in (\d+) s", scene.office.explained(scene.office.folder("inbox") / "too long.jpg")
    )
    assert told is None or int(told[1]) <= 3
    quarantined = scene.office.folder("quarantine") / "too long.jpg"
    wait_until(quarantined.exists)
    assert time.monotonic() - begun >= 3
    return quarantined


def _copy_it_again(scene: Scene, _said: Surfaces) -> None:
    (scene.office.folder("quarantine") / "too long.jpg").unlink()
    scene.office.drop("too long.jpg")
    scene.office.give_to_daemon()


def _credits_come_by_themselves(scene: Scene, said: Surfaces) -> None:
    assert "it goes on within 1 s" in said.sentence(ConditionKind.SERVICE_REFUSES)
    scene.sandbox.credits_left = None
    came = time.monotonic()
    wait_until(lambda: "service_refuses" not in scene.office.kinds())
    assert time.monotonic() - came < 1 + 10  # the page's view, on a busy machine


_COUNTS_ALONE = {"systemd": "it has the counts alone while nothing is wrong"}
_COUNTS_SINCE_START = {"systemd": "it counts what went there since the start"}

SITUATIONS = (
    Situation(
        "more requests than the plan allows",
        ConditionKind.WORKING,
        1,
        _more_than_the_plan_allows,
        ("Working: 3 files under way, at the pace of your plan's rate limit",),
        _set_it_to_the_plan,
        unless=_COUNTS_ALONE,
        types=(Control.RELOAD,),
    ),
    Situation(
        "something still to come beside a finding",
        ConditionKind.WORKING,
        1,
        _something_is_still_to_come,
        ("All is delivered; something is still to come beside 1 file",),
        _ask_of_it_and_let_it_come,
        explained="Still to come beside it: heatmap, report",
        unless=_COUNTS_ALONE,
        types=(Advised.EXPLAIN,),
    ),
    Situation(
        "a try that comes when it was said",
        ConditionKind.WORKING,
        1,
        _a_try_that_comes_when_it_is_told,
        ("Working: 1 file under way",),
        _the_service_is_in_time_again,
        explained="The last try failed: ",
        unless=_COUNTS_ALONE,
    ),
    Situation(
        "an emptied folder goes when its time has come",
        ConditionKind.IDLE,
        1,
        _an_emptied_folder_goes,
        ("All done, nothing waits",),
        _nothing_to_do,
        unless=_COUNTS_ALONE,
    ),
    Situation(
        "a suspect without its original",
        ConditionKind.WORKING,
        1,
        _a_suspect_alone,
        ("Waiting: 1 file in the inboxes",),
        _drop_its_original,
        explained="It waits: its original is not there yet: suspect 1000.original.jpg, beside it",
        unless=_COUNTS_ALONE,
    ),
    Situation(
        "a server without v3 reads",
        ConditionKind.FOLDER_AWAY,
        6,
        _a_server_without_v3_reads,
        ("Not available: photos (the service has no v3 reads", "watermark-extract"),
        _it_gets_them,
    ),
    Situation(
        "a picture that cannot be judged",
        ConditionKind.QUARANTINED,
        2,
        _a_picture_that_cannot_be_judged,
        ("1 file needs you",),
        _move_it_back,
        event="order.quarantined",
        explained="In quarantine",
        unless=_COUNTS_SINCE_START,
    ),
    Situation(
        "a picture that is moved back",
        ConditionKind.QUARANTINED,
        2,
        _set_aside,
        ("1 file needs you", " --all"),
        _move_it_back,
        explained="It took too long",
        unless=_COUNTS_SINCE_START,
    ),
    Situation(
        "a picture that is tried again by the button",
        ConditionKind.QUARANTINED,
        2,
        _set_aside,
        ("1 file needs you", " --all"),
        _press_try_again,
        explained="It took too long",
        unless=_COUNTS_SINCE_START,
    ),
    Situation(
        "a picture that stays cut",
        ConditionKind.QUARANTINED,
        2,
        _cut_for_too_long,
        ("1 file needs you",),
        _copy_it_again,
        event="order.quarantined",
        explained="In quarantine",
        unless=_COUNTS_SINCE_START,
    ),
    Situation(
        "credits that come by themselves",
        ConditionKind.SERVICE_REFUSES,
        4,
        _no_credits,
        ("credits are used up", "within 1 s"),
        _credits_come_by_themselves,
        event="service.blocked",
    ),
    Situation(
        "a folder of umask 022",
        ConditionKind.OUT_OF_REACH,
        1,
        _anna_makes_a_folder,
        ("3 files cannot be taken", "Anna's day", "mode 0755"),
        _open_what_anna_made,
        event="file.stays",
        explained="we may not move it",
    ),
    Situation(
        "the key is refused",
        ConditionKind.KEY_REFUSED,
        3,
        _the_service_takes_another_key,
        ("the service refuses the API key", "Nothing is lost"),
        _write_the_right_key,
        event="service.blocked",
        types=(Control.RELOAD,),
    ),
    Situation(
        "no credits",
        ConditionKind.SERVICE_REFUSES,
        4,
        _no_credits,
        ("credits are used up", "within 1 s", "Nothing is lost"),
        _buy_credits,
        event="service.blocked",
        types=(Control.RELOAD,),
    ),
    Situation(
        "an outage",
        ConditionKind.NO_ANSWER,
        5,
        _an_outage,
        ("The service does not answer", "Nothing is lost"),
        _the_outage_ends,
        event="order.deferred",
    ),
    Situation(
        "the service fails every picture",
        ConditionKind.SERVICE_FAILS_ALL,
        2,
        _all_fail,
        ("the service fails every picture",),
        _the_service_succeeds_again,
        event="service.fails_all",
    ),
    Situation(
        "an outbox without its token",
        ConditionKind.FOLDER_AWAY,
        6,
        _another_folder_lies_there,
        ("Not available: photos", "outbox", "is the share mounted?"),
        _accept_it,
        event="inbox.waits",
        types=(Advised.ACCEPT,),
    ),
    Situation(
        "an outbox with another token",
        ConditionKind.FOLDER_AWAY,
        6,
        _another_token,
        ("Not available: photos", "another folder lies in its place"),
        _accept_it,
        event="inbox.waits",
    ),
    Situation(
        "an outbox that is closed to the daemon",
        ConditionKind.FOLDER_AWAY,
        7,
        _the_outbox_is_closed,
        ("Not available: photos", "we may not write there", "mode 0755", "when we may"),
        _open_the_outbox,
        event="inbox.waits",
    ),
    Situation(
        "a share that is not mounted",
        ConditionKind.FOLDER_AWAY,
        6,
        _the_nas_is_not_mounted,
        ("Not available: photos (", "nas is not mounted (as root, run: mount ", "by itself when it is mounted"),
        _mount_it,
        event="inbox.waits",
    ),
    Situation(
        "a full disk",
        ConditionKind.FOLDER_AWAY,
        7,
        _the_nas_is_full,
        ("Not available: photos (", "3.1 MB are free, 6.0 MB are needed", "by itself when there is room"),
        _delete_the_film,
        event="inbox.waits",
    ),
    Situation(
        "a disk that is nearly full",
        ConditionKind.DISK_LOW,
        7,
        _the_nas_is_nearly_full,
        ("nas/outbox is nearly full: 1.2 MB are free", "Make room there"),
        _delete_the_film,
    ),
    Situation(
        "a disk of the state that is nearly full",
        ConditionKind.DISK_LOW,
        7,
        _the_state_s_disk_is_nearly_full,
        ("state is nearly full: 1.2 MB are free", "Make room there"),
        _make_room_for_the_state,
    ),
    Situation(
        "a disk of the state that is full",
        ConditionKind.FOLDER_AWAY,
        7,
        _the_state_s_disk_is_full,
        ("Not available: photos (", "state: 0.0 MB are free, 1.0 MB are needed", "by itself when there is room"),
        _make_room_for_the_state,
    ),
    Situation(
        "a lost state",
        ConditionKind.FOLDER_AWAY,
        10,
        _state_is_lost,
        ("another watchfolder works here",),
        _adopt,
        event="inbox.waits",
        types=(Advised.ADOPT,),
    ),
    Situation(
        "held, and released by a command",
        ConditionKind.HELD,
        8,
        _too_many_at_once,
        ("photos: held: 9 new files in 1 minute",),
        _release,
        event="inbox.held",
        types=(Advised.RELEASE,),
    ),
    Situation(
        "held, and released by the button",
        ConditionKind.HELD,
        8,
        _too_many_at_once,
        ("photos: held: 9 new files in 1 minute",),
        _press_release,
        event="inbox.held",
    ),
    Situation(
        "a Photoshop file",
        ConditionKind.QUARANTINED,
        2,
        _a_photoshop_file,
        ("1 file needs you",),
        _export_it,
        event="order.quarantined",
        explained="Photoshop",
        unless=_COUNTS_SINCE_START,
    ),
    Situation(
        "cut pictures",
        ConditionKind.WORKING,
        1,
        _cut_pictures,
        ("Waiting: 2 files in the inboxes",),
        _copy_the_rest,
        explained="It waits: it is not complete",
        unless=_COUNTS_ALONE,
    ),
    Situation(
        "nothing is delivered for long",
        ConditionKind.STALLED,
        1,
        _nothing_is_delivered,
        ("Nothing is delivered, though there is work: 2 files in the inboxes, 0 files under way",),
        _ask_and_copy_the_rest,
        explained="It waits: it is not complete",
        unless=dict.fromkeys(("status", "page", "systemd"), "the hours are counted by what sends the messages"),
        types=(Advised.STATUS, Advised.EXPLAIN),
    ),
    Situation(
        "it does not run",
        ConditionKind.NOT_RUNNING,
        9,
        _it_is_stopped,
        ("watchfolder is not running", "systemctl start watchfolder"),
        _start_it,
        types=(Control.START,),
    ),
    Situation(
        "a refused configuration",
        ConditionKind.CONFIGURATION_REFUSED,
        11,
        _a_slip_of_the_pen,
        ("The configuration is wrong", "settle_seconds", "still runs"),
        _mend_the_slip,
        event="config.refused",
        unless={"status": "it names the faults of the file, and that the daemon runs on"},
        types=(Control.RELOAD,),
    ),
    Situation(
        "an inbox that left the configuration",
        ConditionKind.NOT_CONFIGURED,
        11,
        _an_inbox_leaves_the_configuration,
        ("1 file belongs to inboxes that left the configuration (scans)",),
        _put_it_back,
        event="inbox.not_configured",
        explained="It belongs to an inbox that left the configuration (scans).",
        types=(Control.RELOAD,),
    ),
    Situation(
        "a start that a share holds up",
        ConditionKind.STARTING,
        9,
        _a_share_answers_late,
        ("Starting: the first look into the folders is under way",),
        _it_answers,
        unless=_COUNTS_ALONE,
    ),
    Situation(
        "its main loop hangs",
        ConditionKind.STUCK,
        9,
        _its_main_loop_hangs,
        ("Stuck: the main loop has not turned for more than 20 s", "systemctl restart watchfolder (as root)"),
        _restart_it,
        unless={"systemd": "the main loop says it; the watchdog acts by itself"},
        types=(Control.RESTART,),
    ),
    Situation(
        "by hand: it is suspended",
        ConditionKind.STUCK,
        9,
        _by_hand(_it_is_suspended),
        ("Stuck: the main loop has not turned for more than 20 s", "Restart it: kill -9 "),
        _restart_by_hand,
        types=(Advised.RUN,),
    ),
    Situation(
        "by hand: it does not run",
        ConditionKind.NOT_RUNNING,
        9,
        _by_hand(_it_is_stopped),
        ("watchfolder is not running", " run -c "),
        _start_by_hand,
        types=(Advised.RUN,),
    ),
    Situation(
        "by hand: no credits",
        ConditionKind.SERVICE_REFUSES,
        4,
        _by_hand(_no_credits),
        ("credits are used up", "after kill -HUP "),
        _buy_credits,
        event="service.blocked",
        unless={"systemd": "it has not started it"},
    ),
    Situation(
        "by hand: the key of the environment is refused",
        ConditionKind.KEY_REFUSED,
        3,
        _by_hand(_another_key_than_that_of_the_environment),
        ("the service refuses the API key", "BIZMORI_API_KEY in a shell, then kill ", " run -c "),
        _write_the_key_and_start_again,
        event="service.blocked",
        unless={"systemd": "it has not started it"},
    ),
    Situation(
        "an instance of a template: a refused configuration",
        ConditionKind.CONFIGURATION_REFUSED,
        11,
        _as_instance(_a_slip_of_the_pen),
        ("The configuration is wrong", "systemctl reload watchfolder@config (as root)"),
        _mend_the_slip,
        event="config.refused",
        unless={"status": "it names the faults of the file, and that the daemon runs on"},
        types=(Control.RELOAD,),
    ),
    *(
        Situation(
            f"the {section} secret is closed to the daemon",
            ConditionKind.CONFIGURATION_REFUSED,
            11,
            _closed_secret(section, settings, key, content),
            (f"{section}.{key}: ", "secret cannot be read", "still runs"),
            _open_the_secret,
            event="config.refused",
            types=(Control.RELOAD,),
        )
        for section, settings, key, content in (
            ("api", {}, "key_file", KEY),
            ("http", {}, "password_file", "twelve letters"),
            ("webhook", {"public_url": "https://hooks.example.test"}, "secret_file", "12345678"),
        )
    ),
    Situation(
        "a RAW file left beside its JPEG",
        ConditionKind.IDLE,
        1,
        _a_raw_beside_its_jpeg("leave"),
        ("All done, nothing waits",),
        _take_the_raw_away,
        explained="RAW",
        unless=_COUNTS_ALONE,
    ),
    Situation(
        "a RAW file set aside",
        ConditionKind.QUARANTINED,
        2,
        _a_raw_beside_its_jpeg("quarantine"),
        ("1 file needs you",),
        _export_the_raw,
        event="order.quarantined",
        explained="RAW",
        unless=_COUNTS_SINCE_START,
    ),
    Situation(
        "a quarantine in which another try helps but one",
        ConditionKind.QUARANTINED,
        2,
        _some_cut_and_one_that_no_try_helps,
        ("2 files need you", " --all"),
        _retry_what_may_pass,
        explained="It took too long",
        unless=_COUNTS_SINCE_START,
        types=(Advised.RETRY_ALL,),
    ),
)
