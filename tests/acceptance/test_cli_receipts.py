"""`watchfolder history`, `verify` and `reconcile`: the receipts, beside the folders and beside the service."""

import csv
import io
import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cli_studio import Studio, quarantined_order, sandbox, studio
from waiting import wait_until

from watchfolder.journal import Journal
from watchfolder.order import State, Why
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample
from watchfolder.services.anti_ai import ANTI_AI

__all__ = ["sandbox", "studio"]


def deliver(studio: Studio, *names: str) -> None:
    for number, name in enumerate(names):
        studio.drop(name, sample("jpeg", width=64, height=48, seed=number))
    done = studio.run("run", "--once")
    assert done.returncode == 0, done.stderr


def history_of(studio: Studio) -> Path:
    (month,) = studio.folder("state").glob("history/*.jsonl")
    return month


NEVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-9)))  # there is no such date elsewhere


def park(studio: Studio, line: Mapping[str, Any]) -> None:
    """Put an order that the service has completed into quarantine, as an outage of the download does."""
    studio.set_aside("one.jpg")
    order = quarantined_order("one.jpg", key=line["key"], order_id=line["order_id"], is_resumable=True)
    file = order.files[0].having(sha256=line["files"][0]["sha256"], destination="one.jpg")
    why = Why(reason="It failed for 120 h.")
    body = ANTI_AI.body(order.key, [file], order.options)
    with Journal(str(studio.folder("state"))) as journal:
        journal.enter(
            order.having(
                files=(file,), state=State.QUARANTINED, why=why, body=body, was_recorded=True, expires_at=NEVER
            )
        )


# --- history


def test_every_file_of_an_order_of_many_has_its_line(studio: Studio) -> None:
    deliver(studio, "one.jpg", "below/two ü.jpg", "three.jpg")
    said = studio.run("history")
    assert said.returncode == 0, said.stderr
    lines = said.stdout.splitlines()
    assert len(lines) == 3
    assert all(sum(name in line for line in lines) == 1 for name in ("one.jpg", "below/two ü.jpg", "three.jpg"))


def test_nothing_delivered_is_an_empty_list_in_every_form(studio: Studio) -> None:
    assert studio.run("history").stdout == ""
    assert json.loads(studio.run("history", "--json").stdout) == []
    assert len(studio.run("history", "--csv").stdout.splitlines()) == 1


def test_what_was_quarantined_is_no_delivery(studio: Studio) -> None:
    studio.drop("bad_fail.jpg")
    assert studio.run("run", "--once").returncode == 1
    assert studio.run("history").stdout == ""


def test_the_json_has_both_sizes_and_both_hashes(studio: Studio) -> None:
    deliver(studio, "one.jpg")
    (receipt,) = json.loads(studio.run("history", "--json").stdout)
    assert receipt["name"] == receipt["delivered"] == "one.jpg"
    assert receipt["size"] == len(sample("jpeg", width=64, height=48, seed=0))
    assert receipt["delivered_size"] == (studio.folder("outbox") / "one.jpg").stat().st_size
    assert len(receipt["sha256"]) == len(receipt["delivered_sha256"]) == 64
    assert receipt["sha256"] != receipt["delivered_sha256"]


def test_no_name_becomes_a_formula_in_a_spreadsheet_or_a_line_on_a_terminal(studio: Studio) -> None:
    names = ["=HYPERLINK(1).jpg", "+1.jpg", "-1.jpg", "@a.jpg", " =b.jpg", "＝c.jpg", "two\nlines,\x1b[31m.jpg"]
    deliver(studio, *names)
    rows = list(csv.DictReader(io.StringIO(studio.run("history", "--csv").stdout)))
    assert sorted(row["name"].lstrip("'") for row in rows) == sorted([*names[:-1], r"two\nlines,\u001b[31m.jpg"])
    assert all(row["name"].startswith(("'", "two")) for row in rows)
    assert all(row["delivered"].startswith(("'", "two")) for row in rows)
    said = studio.run("history").stdout
    assert len(said.splitlines()) == len(names)
    assert "\x1b" not in said


def test_since_leaves_out_what_came_before(studio: Studio) -> None:
    deliver(studio, "one.jpg")
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert studio.run("history", "--since", soon).stdout == ""
    assert len(studio.run("history", "--since", "1h").stdout.splitlines()) == 1
    assert len(studio.run("history", "--since", "2020-01-01").stdout.splitlines()) == 1


def test_a_since_that_is_none_and_two_forms_at_once_are_wrong_arguments(studio: Studio) -> None:
    assert studio.run("history", "--since", "yesterday").returncode == 2
    assert studio.run("history", "--json", "--csv").returncode == 2


def test_lines_that_are_torn_or_foreign_are_passed_over_with_a_word(studio: Studio) -> None:
    deliver(studio, "one.jpg")
    month = history_of(studio)
    line = json.loads(month.read_bytes())
    line["files"][0]["delivered"] = "../../etc/passwd"
    foreign = [b"null", b'{"at":"2099', b"\0" * 40, json.dumps(line).encode(), json.dumps({"at": "x" * 30}).encode()]
    month.write_bytes(month.read_bytes() + b"\n".join(foreign))
    said = studio.run("history")
    assert said.returncode == 0
    assert len(said.stdout.splitlines()) == 1
    assert f"{month}: 5 lines cannot be read" in said.stderr


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-09:00", "0001-01-01T00:00:00+09:00"])
def test_a_date_at_the_end_of_the_calendar_ends_no_command(studio: Studio, moment: str) -> None:
    deliver(studio, "one.jpg")
    month = history_of(studio)
    month.write_text(re.sub(r'_at":"[^"]*"', f'_at":"{moment}"', month.read_text()))
    for arguments in (("history",), ("history", "--json"), ("explain", "outbox/one.jpg"), ("status",), ("verify",)):
        said = studio.run(*arguments)
        assert (said.returncode, said.stderr) == (0, ""), arguments


# --- verify


def test_verify_finds_everything_as_it_was_delivered(studio: Studio) -> None:
    deliver(studio, "one.jpg", "below/two.jpg")
    done = studio.run("verify")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "2 files as delivered, 0 changed, 0 taken out of the outbox, 0 not looked at.\n"


@pytest.mark.parametrize("change", ["longer", "other bytes", "a link"])
def test_verify_names_a_file_that_has_changed_and_ends_with_3(studio: Studio, change: str) -> None:
    deliver(studio, "one.jpg", "two.jpg")
    path = studio.folder("outbox") / "one.jpg"
    content = path.read_bytes()
    path.unlink()
    if change == "a link":
        (studio.root / "elsewhere.jpg").write_bytes(content)
        path.symlink_to(studio.root / "elsewhere.jpg")
    else:
        path.write_bytes(content + b"!" if change == "longer" else content[:-1] + bytes([content[-1] ^ 1]))
    done = studio.run("verify")
    assert done.returncode == 3
    assert f"changed: {path}" in done.stdout
    assert "1 file as delivered, 1 changed" in done.stdout


def test_a_file_in_the_place_of_a_delivered_folder_is_a_change(studio: Studio) -> None:
    deliver(studio, "below/one.jpg")
    (studio.folder("outbox") / "below").rename(studio.root / "away")
    (studio.folder("outbox") / "below").write_bytes(b"somebody's")
    done = studio.run("verify")
    assert done.returncode == 3
    assert f"changed: {studio.folder('outbox')}/below/one.jpg (something else lies in its place)\n" in done.stdout


def test_what_an_inbox_delivered_that_left_the_configuration_is_not_looked_for(studio: Studio) -> None:
    deliver(studio, "one.jpg")
    studio.config.write_text(studio.config.read_text().replace("photos:", "others:"))
    done = studio.run("verify")
    assert (done.returncode, done.stdout.partition(",")[0]) == (0, "0 files as delivered")


def test_a_file_that_was_taken_out_is_counted_and_no_fault(studio: Studio) -> None:
    deliver(studio, "one.jpg", "two.jpg")
    path = studio.folder("outbox") / "one.jpg"
    path.unlink()
    done = studio.run("verify")
    assert done.returncode == 0
    assert done.stdout == "1 file as delivered, 0 changed, 1 taken out of the outbox, 0 not looked at.\n"
    assert f"taken out: {path}" in studio.run("verify", "--all").stdout


def test_of_two_deliveries_under_one_name_the_later_is_the_one_that_counts(studio: Studio) -> None:
    deliver(studio, "one.jpg")
    (studio.folder("outbox") / "one.jpg").unlink()
    studio.drop("one.jpg", sample("png", width=64, height=48, seed=9))  # its bytes say PNG: delivered as one.png
    studio.drop("below.jpg")
    assert studio.run("run", "--once").returncode == 0
    (studio.folder("outbox") / "below.jpg").rename(studio.folder("outbox") / "kept.jpg")
    studio.drop("below.jpg", sample("jpeg", width=80, height=60, seed=5))
    assert studio.run("run", "--once").returncode == 0
    done = studio.run("verify")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("token", "words"), [("", "is the share mounted?"), ("another share's", "another folder lies in its place")]
)
def test_a_share_that_is_away_is_not_looked_at_and_nothing_is_written_there(
    studio: Studio, token: str, words: str
) -> None:
    deliver(studio, "one.jpg")
    outbox = studio.folder("outbox")
    outbox.rename(studio.root / "unmounted")
    outbox.mkdir()
    if token:
        (outbox / ".watchfolder-id").write_text(token)
    done = studio.run("verify")
    assert done.returncode == 75
    assert words in done.stderr
    assert os.listdir(outbox) == [".watchfolder-id"] * bool(token)


def test_a_folder_that_was_never_worked_with_is_given_no_mark(studio: Studio) -> None:
    deliver(studio, "one.jpg")
    (studio.root / "new").mkdir()
    studio.configure(outbox=str(studio.root / "new"))
    assert studio.run("verify").returncode == 75
    assert os.listdir(studio.root / "new") == []


# --- reconcile


def test_the_books_agree_after_a_run(studio: Studio, sandbox: Sandbox) -> None:
    deliver(studio, "one.jpg")
    deliver(studio, "two.jpg")
    done = studio.run("reconcile")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Our orders at the service: 2 (delivered 2, under way 0," in done.stdout
    assert sandbox.sins == []


def test_an_order_under_way_is_no_lost_one(studio: Studio, sandbox: Sandbox) -> None:
    sandbox.processing_seconds = 60
    studio.drop("one.jpg")
    with studio.daemon():
        wait_until(lambda: sandbox.paid == 1)
        done = studio.run("reconcile")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "under way 1" in done.stdout


def test_a_paid_order_that_we_do_not_know_is_named_with_exit_code_3(studio: Studio) -> None:
    deliver(studio, "one.jpg")
    order_id = json.loads(history_of(studio).read_bytes())["order_id"]
    history_of(studio).unlink()
    done = studio.run("reconcile")
    assert done.returncode == 3
    assert f"paid, not delivered: order {order_id}" in done.stdout


def test_what_was_paid_and_lost_here_is_fetched_into_a_folder_of_ones_choice(studio: Studio, sandbox: Sandbox) -> None:
    deliver(studio, "one.jpg", "two.png")
    delivered = sorted(path.read_bytes() for path in studio.folder("outbox").glob("[!.]*"))
    order_id = json.loads(history_of(studio).read_bytes())["order_id"]
    history_of(studio).unlink()
    rescued = studio.root / "rescued"
    rescued.mkdir()
    for _ in range(2):  # the second time finds them there already
        done = studio.run("reconcile", "--fetch", str(rescued))
        assert done.returncode == 3, done.stderr
        assert done.stdout.count(f"order {order_id}: fetched: {rescued}/order {order_id} ") == 2
    found = [path for path in rescued.iterdir() if not path.name.startswith(".")]
    assert sorted(path.read_bytes() for path in found) == delivered
    assert not (rescued / ".watchfolder").exists()
    assert sandbox.paid == 2
    assert sandbox.sins == []


@pytest.mark.parametrize("folder", ["inbox", "inbox/below", "nowhere"])
def test_what_is_fetched_goes_nowhere_where_it_would_be_bought_again(studio: Studio, folder: str) -> None:
    (studio.folder("inbox") / "below").mkdir()
    done = studio.run("reconcile", "--fetch", str(studio.root / folder))
    assert done.returncode == 2
    assert str(studio.root / folder) in done.stderr


def test_a_result_that_cannot_be_had_is_named_and_the_others_are_fetched(studio: Studio, sandbox: Sandbox) -> None:
    deliver(studio, "one.jpg")
    deliver(studio, "two.jpg")
    history_of(studio).unlink()
    rescued = studio.root / "rescued"
    rescued.mkdir()
    sandbox.faults.add("fetch", "answer", times=1, status=403)
    done = studio.run("reconcile", "--fetch", str(rescued))
    assert done.returncode == 3
    assert done.stdout.count(": fetched: ") == 1
    assert done.stdout.count(": not fetched: the storage refuses the link") == 1


def test_a_paid_picture_in_quarantine_can_be_fetched_for_free(studio: Studio, sandbox: Sandbox) -> None:
    studio.drop("one.jpg")
    assert studio.run("run", "--once").returncode == 0
    line = json.loads(history_of(studio).read_bytes())
    history_of(studio).unlink()
    (studio.folder("outbox") / "one.jpg").unlink()
    park(studio, line)
    done = studio.run("reconcile")
    assert done.returncode == 3
    assert "It failed for 120 h. What to do: fetch it free of charge, until 999" in done.stdout
    assert done.stdout.splitlines()[1].endswith(f" {studio.folder('quarantine') / 'one.jpg'}")
    assert studio.run("retry", "one.jpg").returncode == 0
    assert studio.run("run", "--once").returncode == 0
    assert (studio.folder("outbox") / "one.jpg").exists()
    assert sandbox.paid == 1
    assert studio.run("reconcile").returncode == 0


def test_a_delivery_that_the_service_does_not_know_is_named_and_ends_with_3(studio: Studio, sandbox: Sandbox) -> None:
    deliver(studio, "one.jpg")
    order_id = json.loads(history_of(studio).read_bytes())["order_id"]
    sandbox.forget(order_id)
    done = studio.run("reconcile")
    assert done.returncode == 3
    assert f"delivered, unknown to the service: order {order_id}: one.jpg" in done.stdout


def test_orders_of_a_failed_picture_and_of_other_programs_are_no_fault(studio: Studio) -> None:
    studio.drop("bad_fail.jpg")
    assert studio.run("run", "--once").returncode == 1
    done = studio.run("reconcile")
    assert done.returncode == 0, done.stdout
    assert "failed there 1" in done.stdout


def test_a_service_that_is_not_there_is_75_and_a_missing_key_78(studio: Studio) -> None:
    studio.environment = {}
    assert studio.run("reconcile").returncode == 78
    studio.environment = {"BIZMORI_API_KEY": "sk_studio_0123456789"}
    studio.url = "http://127.0.0.1:9"
    studio.configure()
    assert studio.run("reconcile").returncode == 75
