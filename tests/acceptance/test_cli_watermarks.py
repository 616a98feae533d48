"""Watermarks by the command line: copies for a press office, protected next, and who leaked one."""

import csv
import io
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from cli_studio import PICTURE, Studio

from watchfolder.sandbox import Sandbox

NAME = "Büro/Füße am Strand.jpg"
FIVE = ["dpa", "afp", "Reuters", "Süddeutsche Zeitung", "Ärzteblatt"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(processing_seconds=0.3) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Studio:
    """Give a studio in which a picture was marked for five, through three sudden deaths."""
    studio = Studio(tmp_path_factory.mktemp("studio"), sandbox.url)
    watermark = {"text": "© Berg {year} {serial}", "recipients": FIVE}
    studio.configure(service="watermark-embed", watermark=watermark, duplicates=None)
    studio.drop(NAME)
    for seconds in (0.3, 0.9, 1.6):
        with studio.daemon() as daemon:
            time.sleep(seconds)
            daemon.process.send_signal(signal.SIGKILL)
    done = studio.run("run", "--once", timeout=120)
    assert done.returncode == 0, done.stderr
    return studio


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory, studio: Studio) -> Path:
    """Return the outbox of another inbox, which takes the copies from the first one's and has them protected."""
    after = Studio(tmp_path_factory.mktemp("after"), studio.url)
    after.configure(path=str(studio.folder("outbox")), originals=str(after.folder("originals")))
    done = after.run("run", "--once", timeout=120)
    assert done.returncode == 0, done.stderr
    return after.folder("outbox")


def ledger(studio: Studio) -> dict[str, str]:
    """Return the text of each recipient."""
    with (studio.folder("outbox") / "watermarks.csv").open(encoding="utf-8", newline="") as table:
        lines = list(csv.DictReader(table))
    assert len(lines) == len({line["text"] for line in lines}) == len(FIVE)
    return {line["recipient"]: line["text"] for line in lines}


def test_each_copy_was_paid_once_and_came_through_both_inboxes(
    studio: Studio, sandbox: Sandbox, protected: Path
) -> None:
    found = {str(path.relative_to(protected)) for path in protected.rglob("*.*") if ".watchfolder" not in str(path)}
    assert found == {f"{recipient}/{NAME}" for recipient in FIVE}
    assert (studio.folder("originals") / NAME).read_bytes() == PICTURE
    assert (sandbox.credits["watermarkEmbed"], sandbox.credits["antiAi"]) == (5, 5)
    assert sandbox.sins == []


def test_no_index_is_kept_of_results_that_serve_nobody_else(studio: Studio) -> None:
    assert not list(studio.folder("state").glob("delivery_index*"))


@pytest.mark.parametrize("recipient", FIVE)
def test_a_copy_that_leaks_says_whose_it_was(studio: Studio, sandbox: Sandbox, protected: Path, recipient: str) -> None:
    def call(method: str, path: str, **body: object) -> dict[str, object]:
        headers = {"Authorization": f"Bearer {studio.environment['BIZMORI_API_KEY']}"}
        answer = requests.request(method, sandbox.url + path, json=body or None, headers=headers, timeout=10)
        assert answer.ok, answer.text
        data: dict[str, object] = answer.json()["data"]
        return data

    key = f"00000000-0000-4000-8000-{FIVE.index(recipient):012}"
    file = {"fileName": "leaked.jpg", "originalFile": {"fileName": "original.jpg"}}
    order = call("POST", "/api/v3/orders/wtr-extract", idempotencyKey=key, file=file)
    leaked = (protected / recipient / NAME).read_bytes()
    assert isinstance(order["files"], list)
    for slot, content in zip(order["files"], (PICTURE, leaked), strict=True):
        assert requests.put(slot["uploadUrl"], content, headers={"Content-Type": "image/jpeg"}, timeout=10).ok
    result = None
    while result is None:
        time.sleep(0.3)
        result = call("GET", f"/api/v3/orders/{order['orderId']}")["result"]
    assert isinstance(result, dict)
    assert result["watermarkText"] == ledger(studio)[recipient]


def test_the_history_tells_recipients_and_texts(studio: Studio) -> None:
    rows = list(csv.DictReader(io.StringIO(studio.run("history", "--csv").stdout)))
    told = {row["recipient"]: row["text"] for row in rows if row["service"] == "watermark-embed"}
    assert told == ledger(studio)
    lines = studio.run("history").stdout
    assert all(f"for {recipient}, text {text}" in lines for recipient, text in told.items())


def test_explain_says_whose_a_copy_is_and_knows_the_table(studio: Studio) -> None:
    told = studio.run("explain", str(studio.folder("outbox") / "dpa" / NAME)).stdout
    assert f"In it is the watermark: {ledger(studio)['dpa']}, which is dpa's" in told
    told = studio.run("explain", str(studio.folder("outbox") / "watermarks.csv")).stdout
    assert "our table of the watermarks" in told


def test_explain_tells_of_the_file_that_was_asked_for_alone(studio: Studio) -> None:
    told = studio.run("explain", str(studio.folder("outbox") / "dpa" / NAME)).stdout
    assert told.count("In it is the watermark") == 1
    assert "  and 4 more in the same order" in told
    original = studio.run("explain", str(studio.folder("originals") / NAME)).stdout
    assert original.count("In it is the watermark") == len(FIVE)


def test_explain_of_the_outbox_knows_the_table(studio: Studio) -> None:
    told = studio.run("explain", str(studio.folder("outbox"))).stdout
    assert "  1 tables of ours, and what lies beside a picture: watermarks.csv" in told
    assert "not known" not in told


def test_the_dry_run_counts_copies(studio: Studio) -> None:
    for number in range(3):
        studio.drop(f"{number}.jpg", PICTURE + bytes([number]))
    told = studio.run("run", "--once", "--dry-run").stdout
    assert "3 files would be sent" in told
    assert "5 copies of each" in told
    assert "3 files, up to 15 credits" in told
    assert "a bad picture" not in told  # the service gives back what an order that failed has cost
    with studio.config.open("a", encoding="utf-8") as config:
        config.write("budget: {files_per_day: 12}\n")
    told = studio.run("run", "--once", "--dry-run").stdout
    assert "2 of 3 files would be sent" in told
    assert "today's budget has room for 2 only" in told
    assert "2 files, up to 10 credits" in told
