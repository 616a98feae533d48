"""AI detection by the command line: what people see of a verdict, and of what it costs."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_studio import PICTURE, Studio
from contents import sha256

from watchfolder.sandbox import Sandbox

NAME = "Büro/Plakat ü.jpg"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Give a studio in which one picture was found to be made by AI."""
    probabilities: dict[str, float | None] = {sha256(PICTURE): 0.98}
    with Sandbox(processing_seconds=0.1, probabilities=probabilities) as sandbox:
        studio = Studio(tmp_path_factory.mktemp("studio"), sandbox.url)
        studio.configure(service="ai-detection", originals=None, duplicates="reuse")
        studio.drop(NAME)
        done = studio.run("run", "--once")
        assert done.returncode == 0, done.stderr
        assert sandbox.sins == []
        yield studio


def test_the_picture_lies_in_the_outbox_and_nothing_anywhere_else(studio: Studio) -> None:
    assert (studio.folder("outbox") / NAME).read_bytes() == PICTURE
    told = json.loads((studio.folder("outbox") / f"{NAME}.ai.json").read_text("utf-8"))
    assert (told["verdict"], told["probability"]) == ("likely_ai", 0.98)
    assert [path.name for path in studio.folder("originals").iterdir()] == []


@pytest.mark.parametrize("name", [NAME, f"{NAME}.ai.json"])
def test_explain_says_what_was_found_and_that_it_is_no_proof(studio: Studio, name: str) -> None:
    told = studio.run("explain", str(studio.folder("outbox") / name)).stdout
    assert "The service says: likely made by AI (probability 98%). A probability is no proof" in told


def test_explain_knows_the_table_of_verdicts(studio: Studio) -> None:
    assert "our table" in studio.run("explain", str(studio.folder("outbox") / "verdicts.csv")).stdout


def test_explain_of_the_outbox_knows_what_lies_beside_the_pictures(studio: Studio) -> None:
    told = studio.run("explain", str(studio.folder("outbox"))).stdout
    assert "  2 tables of ours, and what lies beside a picture: " in told
    assert "not known" not in told


def test_the_history_tells_the_verdict(studio: Studio) -> None:
    assert "likely made by AI" in studio.run("history").stdout
    (row,) = csv.DictReader(io.StringIO(studio.run("history", "--csv").stdout))
    assert (row["service"], row["verdict"]) == ("ai-detection", "likely_ai")


def test_what_was_delivered_is_verified_and_the_books_agree(studio: Studio) -> None:
    assert studio.run("verify").returncode == 0
    told = studio.run("reconcile").stdout
    assert "delivered 1" in told
    assert "paid and not delivered 0" in told


@pytest.fixture
def fifty(tmp_path: Path) -> Studio:
    """Return a studio in whose inbox fifty pictures wait, with a plan of one request a minute; no service is asked."""
    studio = Studio(tmp_path, "http://127.0.0.1:9")
    studio.environment["WATCHFOLDER__API__REQUESTS_PER_MINUTE"] = "1"
    for number in range(50):
        studio.drop(f"{number}.jpg", PICTURE + bytes([number]))
    return studio


def test_the_dry_run_says_of_each_inbox_what_it_costs_and_how_long_it_takes(fifty: Studio) -> None:
    fifty.configure(service="ai-detection", originals=None)
    told = fifty.run("run", "--once", "--dry-run").stdout
    assert "orders: 50" in told
    cost = "50 files, up to 50 credits, about 150 requests, about 2.5 hours by your plan (1 request a minute)."
    assert f"  Cost: {cost}\n" in told
    assert f"All together: {cost}\n" in told


def test_the_dry_run_counts_what_is_asked_for_beside_a_finding(fifty: Studio) -> None:
    fifty.configure(service="ai-detection", originals=None, heatmaps=True, report="always")
    assert "about 300 requests" in fifty.run("run", "--once", "--dry-run").stdout
