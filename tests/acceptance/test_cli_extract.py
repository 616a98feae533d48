"""Watermark extract by the command line: what people see of a pair, of what lacks its partner, and of a verdict."""

import csv
import io
import json
from collections.abc import Iterator

import pytest
from cli_studio import PICTURE, Studio
from contents import sha256

from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

NAME, ORIGINAL = "Büro/Plakat ü.jpg", "Büro/Plakat ü.original.png"
PLAIN = sample("png", width=160, height=120, seed=2)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Give a studio in which one pair was checked, and a picture and an original wait for their partners."""
    detections = {sha256(PICTURE): "inconclusive"}
    with Sandbox(processing_seconds=0.1, detections=detections) as sandbox:
        studio = Studio(tmp_path_factory.mktemp("studio"), sandbox.url)
        studio.configure(service="watermark-extract", duplicates=None)
        studio.drop(NAME)
        studio.drop(ORIGINAL, PLAIN)
        studio.drop("alone.jpg")
        studio.drop("later.original.jpg")
        ended = studio.run("run", "--once")
        assert ended.returncode == 75
        assert "alone.jpg: its original is not there yet: alone.original.jpg, beside it" in ended.stdout + ended.stderr
        assert sandbox.sins == []
        assert sandbox.credits == {"watermarkExtract": 1}
        yield studio


def test_the_picture_lies_in_the_folder_of_its_verdict_and_its_original_is_kept(studio: Studio) -> None:
    delivered = studio.folder("outbox") / "inconclusive" / NAME
    assert delivered.read_bytes() == PICTURE
    told = json.loads(delivered.with_name(f"{delivered.name}.watermark.json").read_text("utf-8"))
    assert told["originalSha256"] == sha256(PLAIN)
    assert (studio.folder("originals") / ORIGINAL).read_bytes() == PLAIN


@pytest.mark.parametrize("end", ["", ".watermark.json"])
def test_explain_says_what_the_verdict_means(studio: Studio, end: str) -> None:
    told = studio.run("explain", str(studio.folder("outbox") / "inconclusive" / f"{NAME}{end}")).stdout
    assert "The service says: a trace of a watermark, too weak to tell. It holds for the very original" in told


def test_explain_says_what_a_file_waits_for(studio: Studio) -> None:
    told = studio.run("explain", str(studio.folder("inbox") / "alone.jpg")).stdout
    assert "It waits: its original is not there yet: alone.original.jpg, beside it." in told
    whole = studio.run("explain", str(studio.folder("inbox"))).stdout
    said = "the picture that it is the original of is not there yet: later.jpg, beside it"
    assert f"1 waiting: {said}: later.original.jpg" in whole


def test_status_counts_what_waits_for_its_partner(studio: Studio) -> None:
    with studio.daemon() as daemon:
        told = ""
        while "2 files waiting for what belongs to them" not in told:
            assert daemon.process.poll() is None
            told = studio.run("status").stdout
        assert json.loads(studio.run("status", "--json").stdout)["inboxes"]["photos"]["single"] == 2


def test_the_history_tells_the_verdict(studio: Studio) -> None:
    (row,) = csv.DictReader(io.StringIO(studio.run("history", "--csv").stdout))
    assert (row["service"], row["verdict"], row["name"]) == ("watermark-extract", "inconclusive", NAME)


def test_what_was_delivered_is_verified_and_is_not_missed_in_the_list(studio: Studio) -> None:
    assert studio.run("verify").returncode == 0
    assert "Delivered, but not in its list: 0" in studio.run("reconcile").stdout


def test_the_dry_run_leaves_out_what_waits_for_its_partner(studio: Studio) -> None:
    for name in ("a.jpg", "a.original.jpg"):
        studio.drop(name)
    told = studio.run("run", "--once", "--dry-run").stdout
    assert "2 files would be sent" in told
    assert "orders: 1)" in told
    assert "Cost: 2 files, up to 1 credit, about 3 requests" in told


def test_the_dry_run_counts_the_reports_that_may_come_of_it(studio: Studio) -> None:
    for name in ("a.jpg", "a.original.jpg"):
        studio.drop(name)
    studio.configure(service="watermark-extract", duplicates=None, report="detected")
    told = studio.run("run", "--once", "--dry-run").stdout
    assert "Cost: 2 files, up to 2 credits, about 5 requests" in told
    assert "on_failure" not in told  # of a pair nothing is bought again
