"""Files with addresses of pictures by the command line: what comes of each, and that no query is told anywhere."""

import csv
import io
import os
import plistlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_studio import Studio
from contents import files_in
from waiting import wait_until

from watchfolder.sandbox import ORIGIN, Sandbox
from watchfolder.sandbox.pictures import sample

TOKEN = "?token=s3cret"  # noqa: S105 - none of ours
GOOD = [f"{ORIGIN}/Fl%C3%BC%C3%9Fe/{number}.jpg{TOKEN}" for number in range(5)]
LIST = "\r\n".join(["# for the press", *GOOD, f"http://pictures.example.com/a.jpg{TOKEN}", f"{ORIGIN}/gone.jpg{TOKEN}"])
BINARY = plistlib.dumps({"URL": f"{ORIGIN}/Fl%C3%BC%C3%9Fe/S%C3%B8r.png{TOKEN}"}, fmt=plistlib.FMT_BINARY)
DESKTOP = f"[Desktop Entry]\nType=Link\nName=Abend\nURL={ORIGIN}/Fl%C3%BC%C3%9Fe/evening{TOKEN}\n".encode()
DROPS = {"Büro/Flüsse.urls": b"\xef\xbb\xbf" + LIST.encode(), "Sør.webloc": BINARY, "Büro/Abend.desktop": DESKTOP}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Give a studio in which such files have been dropped, and all that can be done has been."""
    web = tmp_path_factory.mktemp("web") / "Flüße"
    web.mkdir()
    for number, name in enumerate([*(f"{number}.jpg" for number in range(5)), "Sør.png", "evening"]):
        form = "png" if name.endswith("png") else "jpeg"
        (web / name).write_bytes(sample(form, width=64, height=48, seed=number))
    with Sandbox(processing_seconds=0.1, origins_folder=str(web.parent)) as sandbox:
        studio = Studio(tmp_path_factory.mktemp("studio"), sandbox.url)
        studio.configure(links=True, duplicates="reuse")
        for name, content in DROPS.items():
            studio.drop(name, content)
        rehearsal = studio.run("run", "--once", "--dry-run").stdout
        assert "8 files would be sent" in rehearsal
        assert "  Büro/Flüsse.urls (addresses: 6)\n" in rehearsal
        assert " more\n" not in rehearsal  # a list is named once, and each of the others
        done = studio.run("run", "--once", timeout=120)
        assert done.returncode == 1, done.stderr
        (studio.root / "once.log").write_text(done.stdout + done.stderr, "utf-8")
        assert sandbox.sins == []
        yield studio


def test_every_good_address_is_delivered_under_its_own_name(studio: Studio) -> None:
    assert files_in(studio.folder("outbox")) == [
        *(f"Büro/{number}.jpg" for number in range(5)),
        "Büro/evening.jpg",
        "Sør.png",
    ]
    assert files_in(studio.folder("inbox")) == []


def test_the_list_lies_in_the_originals_with_what_became_of_each_line(studio: Studio) -> None:
    assert files_in(studio.folder("originals")) == [
        "Büro/Abend.desktop",
        "Büro/Flüsse.done.csv",
        "Büro/Flüsse.urls",
        "Sør.webloc",
    ]
    assert (studio.folder("originals") / "Büro/Flüsse.urls").read_bytes() == DROPS["Büro/Flüsse.urls"]
    told = (studio.folder("originals") / "Büro/Flüsse.done.csv").read_text("utf-8")
    rows = list(csv.DictReader(io.StringIO(told)))
    assert [row["line"] for row in rows] == ["2", "3", "4", "5", "6", "7", "8"]
    assert [row["result"] for row in rows] == [*(f"Büro/{number}.jpg" for number in range(5)), "", ""]
    assert all(row["reason"] for row in rows[5:])


def test_explain_knows_the_table_beside_a_list(studio: Studio) -> None:
    told = studio.run("explain", str(studio.folder("originals") / "Büro/Flüsse.done.csv")).stdout
    assert told.startswith("This is our table of what became of each line of Flüsse.urls.\n")
    whole = studio.run("explain", str(studio.folder("originals"))).stdout
    assert "not known" not in whole
    somebodys = studio.folder("originals") / "a.done.csv"
    somebodys.write_text("a,b")
    assert "did not put this file here" in studio.run("explain", str(somebodys)).stdout
    somebodys.unlink()


def test_what_failed_can_be_dropped_again_and_says_why(studio: Studio) -> None:
    assert files_in(studio.folder("quarantine")) == ["Büro/Flüsse.failed.urls", "Büro/Flüsse.failed.urls.why.txt"]
    failed = (studio.folder("quarantine") / "Büro/Flüsse.failed.urls").read_text("utf-8")
    lines = [line for line in failed.splitlines() if not line.startswith("#")]
    assert lines == LIST.split("\r\n")[-2:]
    why = (studio.folder("quarantine") / "Büro/Flüsse.failed.urls.why.txt").read_text("utf-8")
    assert "2 of the 7 addresses in the list failed. Line 7: It does not begin with https://" in why


def test_no_query_of_an_address_is_told_anywhere(studio: Studio) -> None:
    spots = [studio.folder("originals") / "Büro/Flüsse.urls", studio.folder("quarantine") / "Büro/Flüsse.failed.urls"]
    told = [studio.run(*words).stdout for words in (["history"], ["status"], ["status", "--json"], ["verify"])]
    told += [studio.run("explain", str(spot)).stdout for spot in [*spots, studio.folder("inbox") / "Büro/Flüsse.urls"]]
    files = [os.path.join(at, name) for at, _, names in os.walk(studio.root) for name in names]
    links = (".urls", ".webloc", ".desktop")
    for path in files:
        if not path.endswith(links):
            with open(path, "rb") as file:
                assert b"s3cret" not in file.read(), path
    assert "s3cret" not in "".join(told)


def test_the_books_agree(studio: Studio) -> None:
    assert studio.run("verify").returncode == 0
    told = studio.run("reconcile").stdout
    assert "paid and not delivered 0" in told
    assert "Delivered" in studio.run("explain", str(studio.folder("outbox") / "Büro/3.jpg")).stdout


@pytest.mark.parametrize("budget", [{"files_per_day": 2}, {"burst": {"files": 3, "minutes": 5}}], ids=["day", "burst"])
def test_a_budget_counts_the_addresses_of_a_list(tmp_path: Path, budget: dict[str, object]) -> None:
    origins: dict[str, bytes | None] = {
        f"https://img.example.com/{number}.jpg": sample("jpeg", width=32, height=24, seed=number) for number in range(5)
    }
    with Sandbox(processing_seconds=0.1, origins=origins) as sandbox:
        studio = Studio(tmp_path, sandbox.url, waits={"pipeline.timing.LIST_HELD_SECONDS": 1.0})
        studio.configure(links=True, budget=budget)
        studio.drop("many.urls", "\n".join(origins).encode())
        held = studio.run("run", "--once")
        assert held.returncode == 75, held.stderr
        assert sandbox.paid == budget.get("files_per_day", 0)
        assert "watchfolder release" in held.stdout + held.stderr

        assert studio.run("release", "photos").returncode == 0
        wait_until(lambda: studio.run("run", "--once").returncode == 0, 120)
        assert files_in(studio.folder("outbox")) == [f"{number}.jpg" for number in range(5)]
        assert sandbox.paid == 5


def test_a_list_of_addresses_is_marked_for_each_recipient(tmp_path: Path) -> None:
    web = tmp_path / "web"
    web.mkdir()
    for name in ("Fluß.jpg", "Berg.jpg"):
        (web / name).write_bytes(sample("jpeg", width=64, height=48, seed=len(name)))
    addresses = [f"{ORIGIN}/Flu%C3%9F.jpg{TOKEN}", f"{ORIGIN}/Berg.jpg", f"{ORIGIN}/gone.jpg"]
    with Sandbox(processing_seconds=0.1, origins_folder=str(web)) as sandbox:
        studio = Studio(tmp_path, sandbox.url)
        watermark = {"text": "{stem} {folder} {recipient} {serial}", "recipients": ["dpa", "Ärzteblatt"]}
        studio.configure(service="watermark-embed", watermark=watermark, links=True, duplicates=None)
        studio.drop("Büro/Flüsse.urls", "\n".join(addresses).encode())
        assert "up to 6 credits" in studio.run("run", "--once", "--dry-run").stdout
        done = studio.run("run", "--once", timeout=120)
        assert done.returncode == 1, done.stderr

        copies = [f"{name}/Büro/{picture}.jpg" for name in ("dpa", "Ärzteblatt") for picture in ("Berg", "Fluß")]
        assert files_in(studio.folder("outbox")) == sorted([*copies, "watermarks.csv"])
        ledger = csv.DictReader(io.StringIO((studio.folder("outbox") / "watermarks.csv").read_text("utf-8")))
        texts = {line["file"]: line["text"].rpartition(" ")[0] for line in ledger}
        assert texts == {name: f"{Path(name).stem} Büro {name.partition('/')[0]}" for name in copies}
        table = csv.DictReader(io.StringIO((studio.folder("originals") / "Büro/Flüsse.done.csv").read_text("utf-8")))
        assert sorted(row["result"] for row in table) == sorted([*copies, ""])
        failed = (studio.folder("quarantine") / "Büro/Flüsse.failed.urls").read_text("utf-8")
        assert [line for line in failed.splitlines() if not line.startswith("#")] == [addresses[2]]
        told = studio.run("history").stdout
        assert "Ärzteblatt" in told
        assert "s3cret" not in told + done.stdout + done.stderr
        assert studio.run("verify").returncode == 0
        assert (sandbox.credits["watermarkEmbed"], sandbox.sins) == (4, [])
