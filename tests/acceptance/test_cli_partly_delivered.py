"""Five of an order's seven results are delivered, two fail: every surface counts the five at once."""

import json
from pathlib import Path
from urllib.request import urlopen

import pytest
import yaml
from cli_studio import Studio, sandbox, studio
from contents import files_in
from free_ports import free_port
from waiting import wait_until

from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

__all__ = ["sandbox", "studio"]

NAMES = [f"{number}.jpg" for number in range(7)]


@pytest.fixture
def partly(studio: Studio, sandbox: Sandbox) -> Studio:
    sandbox.faults.add("fetch", "truncated", nth=6, times=None)
    for number, name in enumerate(NAMES):
        studio.drop(name, sample("jpeg", width=64, height=48, seed=number))
    return studio


def delivered_and_missing(studio: Studio) -> tuple[list[str], list[str]]:
    delivered = files_in(studio.folder("outbox"))
    assert len(delivered) == 5
    return delivered, sorted({*NAMES} - {*delivered})


def receipts(studio: Studio) -> list[dict[str, object]]:
    return list(json.loads(studio.run("history", "--json").stdout))


def test_a_single_run_counts_and_names_them_apart(partly: Studio) -> None:
    done = partly.run("run", "--once")
    assert done.returncode == 75, done.stderr
    delivered, missing = delivered_and_missing(partly)
    assert "5 files delivered" in done.stdout
    remaining = done.stdout.partition("What remains:")[2]
    assert [name for name in NAMES if name in remaining] == missing
    assert delivered


def test_status_history_explain_and_verify_tell_them_apart(partly: Studio) -> None:
    partly.run("run", "--once")
    delivered, missing = delivered_and_missing(partly)
    told = json.loads(partly.run("status", "--json").stdout)
    photos = told["inboxes"]["photos"]
    assert (photos["delivered_today"], photos["in_progress"] + photos["deferred"]) == (5, 2)
    (order,) = told["orders"] + told["deferred"]
    assert (order["files"], order["delivered"]) == (missing, 5)
    assert sorted(str(receipt["name"]) for receipt in receipts(partly)) == delivered
    assert partly.run("verify").stdout.startswith("5 files as delivered")
    for folder in ("inbox", "outbox", "originals"):
        said = partly.run("explain", str(partly.folder(folder) / delivered[0])).stdout
        assert said.startswith("Delivered "), said
    assert "about to be delivered" in partly.run("explain", str(partly.folder("inbox") / missing[0])).stdout


def test_what_was_delivered_early_is_told_once_when_the_others_have_come(partly: Studio, sandbox: Sandbox) -> None:
    partly.waits = {"pipeline.timing.FIRST_BACKOFF_SECONDS": 2.0}
    with partly.daemon():
        wait_until(lambda: len(receipts(partly)) == 5)
        before = {str(each["name"]): each for each in receipts(partly)}
        sandbox.faults.clear()
        wait_until(lambda: len(files_in(partly.folder("outbox"))) == 7, 120)
        wait_until(lambda: not list(partly.folder("state").glob("journal/*.json")))
        after = receipts(partly)
        assert sorted(str(each["name"]) for each in after) == NAMES
        assert {each["name"]: each for each in after if each["name"] in before} == before
        wait_until(lambda: json.loads(partly.run("status", "--json").stdout)["delivered"] == 7)  # told once a second


def test_the_page_and_its_figures_count_them(partly: Studio) -> None:
    port = free_port()
    tree = yaml.safe_load(partly.config.read_text(encoding="utf-8")) | {"http": {"listen": f"127.0.0.1:{port}"}}
    Path(partly.config).write_text(yaml.safe_dump(tree), encoding="utf-8")

    def page(path: str) -> str:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return str(answer.read().decode())

    with partly.daemon():
        wait_until(lambda: len(files_in(partly.folder("outbox"))) == 5)
        delivered, _ = delivered_and_missing(partly)
        wait_until(lambda: json.loads(page("/api/status"))["delivered"] == 5)
        shown = page("/")
        last = shown.partition("Last deliveries")[2]
        assert [name for name in NAMES if name in last] == delivered
        assert "5 files delivered in the last 24 hours" in shown
        assert "watchfolder_delivered_files_total 5.0" in page("/metrics")
