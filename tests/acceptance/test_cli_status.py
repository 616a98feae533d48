"""`watchfolder status`: what one look understands, what programs read, and what it never needs."""

import fcntl
import json
import os
import signal
import struct
import subprocess
import termios
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cli_studio import Studio, quarantined_order, sandbox, studio
from contents import files_in
from prometheus_client.parser import text_string_to_metric_families
from rich.cells import cell_len
from waiting import wait_until

from watchfolder.clock import Clock
from watchfolder.command_line import Advised
from watchfolder.disk import Place, write_atomically
from watchfolder.order import Enclosure, EnclosureKind, Order, State
from watchfolder.sandbox import Sandbox

__all__ = ["sandbox", "studio"]

KEYS = {
    "": {
        *("at", "headline", "is_running", "pid", "version", "started", "state_dir", "refused", "service", "limit"),
        *(
            "conditions",
            "inboxes",
            "orders",
            "deferred",
            "counts",
            "held",
            "held_files",
            "quarantine",
            "faults",
            "broken_entries",
        ),
        *("delivered", "reused", "delivered_bytes", "schema"),
    },
    "service": {"state", "reason", "code", "since"},
    "inbox": {
        *(
            "path",
            "state",
            "fault",
            "fault_code",
            "held",
            "watch",
            "waiting",
            "staying",
            "raw",
            "out_of_reach",
            "single",
            "to_come_beside",
            "oldest_waiting_since",
        ),
        *("in_progress", "deferred", "next_try", "deferred_reason", "delivered_today", "delivered_today_bytes"),
        *("quarantined", "remarks"),
    },
    "order": {"key", "order_id", "inbox", "state", "since", "files", "not_before", "reason", "uploaded", "delivered"},
    "quarantined": {"inbox", "path", "since", "reason", "advice", "files", "retry_helps"},
}


def status(studio: Studio) -> dict[str, Any]:
    done = studio.run("status", "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def journal(studio: Studio, order: Order) -> None:
    place = Place(str(studio.folder("state")), f"journal/{order.key}.json")
    write_atomically(place, order.model_dump_json().encode())


def under_way(name: str, **facts: object) -> Order:
    now = Clock().read()
    times = {State.CLAIMING: now, State.CREATED: now}
    return quarantined_order(name).having(state=State.CREATED, times=times, why=None, **facts)


def test_without_a_daemon_it_says_so_and_still_shows_the_journal(studio: Studio) -> None:
    journal(studio, under_way("a.jpg"))
    told = status(studio)
    assert told["is_running"] is False
    assert "not running" in told["headline"]
    assert told["inboxes"]["photos"]["in_progress"] == 1
    assert told["inboxes"]["photos"]["waiting"] is None


def test_the_keys_for_programs_are_these(studio: Studio) -> None:
    studio.set_aside("a.jpg")
    journal(studio, under_way("b.jpg", not_before=Clock().read().after(3600)))
    told = status(studio)
    assert set(told) == KEYS[""]
    assert set(told["service"]) == KEYS["service"]
    assert set(told["inboxes"]["photos"]) == KEYS["inbox"]
    assert set(told["deferred"][0]) == KEYS["order"]
    assert set(told["quarantine"][0]) == KEYS["quarantined"]


def test_a_running_daemon_is_seen_with_what_it_waits_for_and_has_delivered(studio: Studio) -> None:
    with studio.daemon() as daemon:
        studio.drop("good.jpg")
        studio.drop("half.jpg", b"\xff\xd8\xff\xe0 the beginning of a picture")
        wait_until(lambda: files_in(studio.folder("originals")))
        wait_until(lambda: status(studio)["inboxes"]["photos"]["waiting"] == 1)
        wait_until(lambda: status(studio)["inboxes"]["photos"]["delivered_today"] == 1)
        told = status(studio)
        assert told["is_running"] is True
        assert told["pid"] == daemon.process.pid
        assert told["service"]["state"] == "ok"
        assert told["inboxes"]["photos"]["state"] == "ok"
    assert status(studio)["is_running"] is False


def test_a_picture_that_stays_for_want_of_a_recipient_is_not_called_none(studio: Studio) -> None:
    studio.configure(service="watermark-embed", watermark={"recipients": "folder"}, duplicates=None)
    with studio.daemon():
        studio.drop("a.jpg")
        wait_until(lambda: status(studio)["inboxes"]["photos"]["staying"] == 1)
        told = studio.run("status").stdout
    assert "1 file left alone:" in told
    assert "a.jpg: nobody is named as its recipient" in told


def test_what_there_is_no_room_to_write_down_is_told_as_unknown(studio: Studio) -> None:
    with studio.daemon():
        wait_until(lambda: status(studio)["inboxes"]["photos"]["state"] == "ok")
        studio.waits = {"folders._STATE_BYTES": 1e18}  # of the command alone
        told, table = status(studio)["inboxes"]["photos"], studio.run("status").stdout
    assert (told["state"], told["fault_code"]) == ("waits", "ENOSPC")
    assert {told[key] for key in ("waiting", "staying", "raw", "out_of_reach", "single")} == {None}
    assert any(line.split()[:3] == ["photos", "waits", "?"] for line in table.splitlines())


def test_what_sets_the_pace_is_said(studio: Studio) -> None:
    studio.configure(api={"requests_per_minute": 15})
    with studio.daemon():
        for number in range(6):
            studio.drop(f"{number}.jpg")
            time.sleep(0.3)
        wait_until(lambda: status(studio)["limit"] == "plan")
        wait_until(lambda: "your plan's requests a minute" in status(studio)["headline"])


def test_a_blocked_service_is_the_first_thing_said(studio: Studio, sandbox: Sandbox) -> None:
    sandbox.credits_left = 0
    with studio.daemon():
        studio.drop("a.jpg")
        wait_until(lambda: status(studio)["service"]["state"] == "blocked")
        told = status(studio)
    assert told["service"]["reason"] in told["headline"]
    assert "Nothing is lost" in told["headline"]


def test_an_inbox_whose_share_is_gone_is_named_with_what_to_do(studio: Studio) -> None:
    assert studio.run("check").returncode == 0
    (studio.folder("outbox") / ".watchfolder-id").unlink()
    with studio.daemon():
        wait_until(lambda: status(studio)["inboxes"]["photos"]["state"] == "waits")
        told = status(studio)
    assert "--accept" in str(told["headline"])


def test_what_lies_in_a_quarantine_that_is_away_is_not_counted_as_none(studio: Studio) -> None:
    def count() -> int | None:
        number: int | None = status(studio)["inboxes"]["photos"]["quarantined"]
        return number

    folders = [studio.folder(name) for name in ("inbox", "quarantine")]
    with studio.daemon():
        studio.drop("bad.jpg", b"no picture at all")
        wait_until(lambda: count() == 1)
    for folder in folders:
        folder.rename(f"{folder} aside")
        folder.mkdir()  # the mount point, bare
    with studio.daemon():
        assert count() is None
        row = next(line for line in studio.run("status").stdout.splitlines() if line.startswith("photos "))
        assert row.split()[-1] == "?"
    assert count() is None
    assert 'inbox_files{inbox="photos",state="quarantined"}' not in studio.run("status", "--prometheus").stdout
    done = studio.run("retry", "--all")
    assert done.returncode == 75
    assert f"not moved: {folders[1]}: not the folder we know" in done.stderr
    for folder in folders:
        folder.rmdir()
        Path(f"{folder} aside").rename(folder)
    assert count() == 1


def test_a_refused_configuration_is_told_below_what_is_worse(studio: Studio) -> None:
    right = studio.config.read_text()
    with studio.daemon() as daemon:
        studio.config.write_text(right.replace("settle_seconds: 0.2", "settle_seconds: soon"))
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "config.refused" in daemon.log())
        studio.config.write_text(right)  # mended, and not read yet
        wait_until(lambda: "The configuration is wrong" in studio.headline())
        assert studio.run("status").stdout.count("The configuration is wrong") == 1
        (studio.folder("outbox") / ".watchfolder-id").unlink()
        wait_until(lambda: status(studio)["inboxes"]["photos"]["state"] == "waits")
        told = studio.run("status").stdout
    assert told.startswith("Not available: ")
    assert "The configuration is wrong" in told


def test_a_deferred_order_shows_its_reason_and_its_next_time(studio: Studio) -> None:
    later = Clock().read().after(3600)
    journal(studio, under_way("a.jpg", not_before=later, last_error="the service is tired"))
    told = status(studio)
    photos = told["inboxes"]["photos"]
    assert (photos["in_progress"], photos["deferred"]) == (0, 1)
    assert abs(datetime.fromisoformat(photos["next_try"]) - later.at) < timedelta(seconds=1)
    assert told["deferred"][0]["reason"] == "the service is tired"
    assert "the service is tired" in studio.run("status").stdout


def test_an_order_under_way_that_takes_too_long_is_named_with_its_reason(studio: Studio) -> None:
    journal(studio, under_way("a.jpg", last_error="the service takes long over it"))
    journal(studio, under_way("b.jpg"))
    said = studio.run("status").stdout.partition("Under way, though not as usual:\n")[2]
    assert "a.jpg" in said
    assert "the service takes long over it" in said
    assert "b.jpg" not in said


def test_orders_of_an_inbox_that_left_the_configuration_are_held_and_named(studio: Studio) -> None:
    journal(studio, under_way("a.jpg", inbox="weddings"))
    told = status(studio)
    assert told["held_files"] == 1
    assert told["held"][0]["inbox"] == "weddings"
    assert "weddings" in studio.run("status").stdout


def test_what_is_to_come_beside_a_picture_of_no_configured_inbox_is_held_too(studio: Studio) -> None:
    now = Clock().read()
    recorded = under_way("a.jpg", inbox="weddings").having(
        state=State.RECORDED, times={State.RECORDED: now}, enclosures=(Enclosure(kind=EnclosureKind.HEATMAP),)
    )
    journal(studio, recorded.with_file(0, is_placed=True))
    told = status(studio)
    assert told["held_files"] == 1
    assert told["held"][0]["files"] == ["a.jpg"]


def test_quarantined_files_of_one_reason_are_one_entry_newest_first_and_bounded(studio: Studio) -> None:
    for number in range(46):
        path = studio.set_aside(f"{number}.jpg", reason=f"Reason {number // 2}.")
        os.utime(f"{path}.why.txt", (number, number))
    told = status(studio)
    assert told["inboxes"]["photos"]["quarantined"] == 46
    names = [Path(file["path"]).name for file in told["quarantine"]]
    assert names == [f"{number}.jpg" for number in range(45, 5, -2)]
    assert {file["files"] for file in told["quarantine"]} == {2}
    assert told["quarantine"][0]["reason"] == "Reason 22."
    assert "45.jpg and 1 more: Reason 22." in studio.run("status").stdout


def test_what_a_retry_cannot_help_has_no_advice_to_try_again(studio: Studio) -> None:
    def advice() -> str:
        return next(str(each["advice"]) for each in status(studio)["conditions"] if each["kind"] == "quarantined")

    studio.set_aside("a.psd", retry_helps=False)
    assert advice() == "Do what it says"
    assert "watchfolder retry" not in studio.run("explain", "quarantine/a.psd").stdout
    studio.set_aside("b.jpg", reason="It took too long.")
    assert advice().endswith(studio.typed.to(Advised.RETRY_ALL))
    assert "watchfolder retry" in studio.run("explain", "quarantine/b.jpg").stdout


def test_a_broken_entry_is_counted_and_left_where_it_is(studio: Studio) -> None:
    order = under_way("a.jpg")
    journal(studio, order)
    entry = studio.folder("state") / f"journal/{order.key}.json"
    entry.write_bytes(b"\0" * 100)
    assert status(studio)["broken_entries"] == 1
    assert "unreadable entries: 1; the next start takes care of their pictures" in studio.run("status").stdout
    assert entry.exists()


def test_it_needs_no_key_and_writes_nothing(studio: Studio) -> None:
    studio.environment.clear()
    before = sorted(studio.root.rglob("*"))
    assert studio.run("status").returncode == 0
    assert sorted(studio.root.rglob("*")) == before


def test_the_table_has_a_row_for_each_inbox_and_hostile_names_stay_text(studio: Studio) -> None:
    studio.set_aside("[red]a\x1b[2J.jpg")
    shown = studio.run("status").stdout
    assert any(line.split()[:2] == ["photos", "unknown"] for line in shown.splitlines())
    assert "[red]a\\u001b[2J.jpg" in shown
    assert "\x1b" not in shown


def test_a_line_has_80_columns_at_most_and_nothing_of_a_long_name_is_lost(studio: Studio) -> None:
    long = "a-long-name-" * 5
    folder = "a folder of the archive with its whole history in its name/" * 3
    names = [f"{folder}{'photographer-' * 9}.jpg", f"{'写真' * 30}.jpg"]
    for name in names:
        studio.set_aside(name, reason=f"The service does not like {len(name)} letters.")
    paths = {role: str(studio.root / f"{role} of another") for role in ("path", "outbox", "quarantine", "originals")}
    for path in paths.values():
        Path(path).mkdir()
    studio.configure(inboxes={long: paths})
    journal(studio, under_way(f"{'order-' * 30}.jpg", inbox=long, last_error="the service takes long over it " * 8))
    studio.environment["COLUMNS"] = "80"
    told = studio.run("status").stdout
    assert max(map(cell_len, told.splitlines())) <= 80
    unfolded = "".join("".join(line.split()) for line in told.splitlines())
    for name in (*names, "order-" * 30):
        assert "".join(name.split()) in unfolded
    assert "a-long-name" in told


def test_in_a_pipe_a_line_has_80_columns_whatever_the_terminal(studio: Studio) -> None:
    studio.set_aside("a-very-long-name-" * 12 + ".jpg")
    del (environment := studio.environ())["COLUMNS"]
    wide, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 50, 200, 0, 0))
    with os.fdopen(wide), os.fdopen(theirs) as terminal:
        done = subprocess.run(
            studio.command("status"),
            env=environment,
            stdin=terminal,
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
            check=True,
        )
    assert max(map(cell_len, done.stdout.splitlines())) <= 80


def test_it_does_not_keep_a_daemon_from_starting(studio: Studio) -> None:
    asking = [
        subprocess.Popen(studio.command("status"), env=studio.environ(), stdout=subprocess.DEVNULL) for _ in range(4)
    ]
    done = studio.run("run", "--once")
    for process in asking:
        process.wait(30)
    assert done.returncode == 0, done.stderr


def test_metrics_have_their_zero_values_from_the_start(studio: Studio) -> None:
    def samples() -> dict[tuple[str, ...], float]:
        families = text_string_to_metric_families(studio.run("status", "--prometheus").stdout)
        return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}

    before = samples()
    assert before["watchfolder_up",] == 0
    assert before["watchfolder_delivered_files_total",] == 0
    assert before["watchfolder_service_state", "unknown"] == 1
    assert ("watchfolder_inbox_files", "photos", "waiting") not in before  # without a daemon nobody knows
    with studio.daemon():
        files = {
            state: value for (name, *labels), value in samples().items() for state in labels[1:] if "inbox_f" in name
        }
    assert files == dict.fromkeys(("waiting", "staying", "in_progress", "deferred", "quarantined"), 0.0)
