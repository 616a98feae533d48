"""The same picture dropped again: the real program, a real server, and what a person sees of it."""

import json
from pathlib import Path

import pytest
from cli_studio import PICTURE, Studio, sandbox
from contents import files_in
from waiting import wait_until

from watchfolder.sandbox import Sandbox

__all__ = ["sandbox"]


@pytest.fixture
def studio(tmp_path: Path, sandbox: Sandbox) -> Studio:
    studio = Studio(tmp_path, sandbox.url)
    studio.configure(duplicates="reuse")
    return studio


def test_the_same_bytes_under_another_name_cost_nothing(studio: Studio, sandbox: Sandbox) -> None:
    with studio.daemon():
        studio.drop("first.jpg")
        wait_until(lambda: files_in(studio.folder("originals")) == ["first.jpg"])
        asked = len(sandbox.requests)
        studio.drop("second.jpg")
        wait_until(lambda: files_in(studio.folder("originals")) == ["first.jpg", "second.jpg"])
        assert len(sandbox.requests) == asked
        wait_until(lambda: not list((studio.folder("state") / "journal").glob("*.json")))
    outbox = studio.folder("outbox")
    assert (outbox / "first.jpg").read_bytes() == (outbox / "second.jpg").read_bytes() != PICTURE
    assert list(sandbox.paid_files.values()) == [1]

    second, first = json.loads(studio.run("history", "--json").stdout)
    assert (first["reused_from"], second["reused_from"]) == ("", first["order"])
    assert (bool(first["order_id"]), bool(second["order_id"])) == (True, False)
    lines = studio.run("history").stdout.splitlines()
    assert [f"free: the same picture as {first['order']}" in line for line in lines] == [True, False]
    assert studio.run("verify").stdout.startswith("2 files as delivered")
    compared = studio.run("reconcile")
    assert compared.returncode == 0, compared.stdout


def test_one_run_brings_all_duplicates_home_and_pays_for_one(studio: Studio, sandbox: Sandbox) -> None:
    names = [f"{number}.jpg" for number in range(5)]
    for name in names:
        studio.drop(name)
    done = studio.run("run", "--once")
    assert done.returncode == 0, done.stderr
    assert files_in(studio.folder("outbox")) == names
    assert list(sandbox.paid_files.values()) == [1]
    assert sum(len(order.files) for order in sandbox.orders.values()) == 1


def test_a_lost_index_costs_nothing_either(studio: Studio, sandbox: Sandbox) -> None:
    studio.drop("first.jpg")
    assert studio.run("run", "--once").returncode == 0
    (studio.folder("state") / "delivery_index.sqlite").unlink()
    studio.drop("second.jpg")
    assert studio.run("run", "--once").returncode == 0
    assert files_in(studio.folder("outbox")) == ["first.jpg", "second.jpg"]
    assert list(sandbox.paid_files.values()) == [1]


def test_explain_names_the_order_that_a_duplicate_waits_for(studio: Studio, sandbox: Sandbox) -> None:
    sandbox.processing_seconds = 60.0
    with studio.daemon():
        studio.drop("first.jpg")
        wait_until(lambda: sandbox.paid == 1)
        second = studio.drop("second.jpg")
        (name,) = [f"wf-{path.stem}" for path in (studio.folder("state") / "journal").glob("*.json")]
        wait_until(lambda: name in studio.run("explain", str(second)).stdout)
        wait_until(lambda: json.loads(studio.run("status", "--json").stdout)["inboxes"]["photos"]["waiting"] == 1)
        assert second.exists()


def test_what_is_reused_takes_nothing_of_the_days_budget(studio: Studio, sandbox: Sandbox) -> None:
    studio.configure(duplicates="reuse", budget={"files_per_day": 2})
    with studio.daemon():
        studio.drop("first.jpg")
        wait_until(lambda: files_in(studio.folder("originals")) == ["first.jpg"])
        for number in range(3):
            studio.drop(f"again {number}.jpg")
        wait_until(lambda: len(files_in(studio.folder("originals"))) == 4)
        studio.drop("another.jpg", PICTURE + b"\0")
        wait_until(lambda: len(files_in(studio.folder("originals"))) == 5)
    assert sandbox.paid == 2
