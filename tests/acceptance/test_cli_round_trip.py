"""Embed, leak, extract: two inboxes and the real program say who gave a picture away."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_studio import PICTURE, Studio
from contents import files_in, sha256

from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

NAME = "Ferien/Füße am Strand.jpg"
OTHER = sample("jpeg", width=160, height=120, seed=2)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Give a studio in which two pictures were given out to two recipients each, and three copies were found."""
    with Sandbox(processing_seconds=0.1) as sandbox:
        studio = Studio(tmp_path_factory.mktemp("studio"), sandbox.url)
        found = studio.root / "found"
        for name in ("inbox", "outbox", "quarantine"):
            (found / name).mkdir(parents=True)
        paths = {"path": str(found / "inbox"), "outbox": str(found / "outbox"), "quarantine": str(found / "quarantine")}
        quick = {"settle_seconds": 0.2, "scan_seconds": 1}
        studio.configure(
            inboxes={"found": paths | quick | {"service": "watermark-extract", "originals_from": "photos"}},
            service="watermark-embed",
            duplicates=None,
            watermark={"text": "© Berg {year} {serial}", "recipients": ["dpa", "Süddeutsche"]},
        )
        studio.drop(NAME)
        studio.drop("tree.jpg", OTHER)
        assert studio.run("run", "--once").returncode == 0
        _leak(studio.folder("outbox") / "dpa" / NAME, found / "inbox" / "Füße am Strand.jpg")
        _leak(studio.folder("outbox") / "Süddeutsche" / "tree.jpg", found / "inbox" / "web" / "IMG_4711.jpg")
        (found / "inbox" / "tree.jpg").write_bytes(OTHER)
        done = studio.run("run", "--once")
        assert done.returncode == 0, done.stdout + done.stderr
        assert sandbox.sins == []
        assert sandbox.credits == {"watermarkEmbed": 4, "watermarkExtract": 3}
        yield studio


def _leak(copy: Path, name: Path) -> None:
    name.parent.mkdir(exist_ok=True)
    shutil.copyfile(copy, name)


def said(studio: Studio, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((studio.root / "found/outbox" / f"{name}.watermark.json").read_text("utf-8"))
    return found


def test_a_copy_that_was_found_says_to_whom_it_was_given(studio: Studio) -> None:
    told = said(studio, "detected/Füße am Strand.jpg")
    assert told["recipient"] == "dpa"
    assert told["watermarkText"].startswith("© Berg ")
    assert told["originalSha256"] == sha256(PICTURE)


def test_a_copy_under_another_name_is_known_by_the_table_of_what_was_given_out(studio: Studio) -> None:
    told = said(studio, "detected/web/IMG_4711.jpg")
    assert told["recipient"] == "Süddeutsche"
    assert told["originalSha256"] == sha256(OTHER)


def test_a_picture_that_nobody_was_given_holds_no_watermark(studio: Studio) -> None:
    told = said(studio, "undetected/tree.jpg")
    assert (told["recipient"], told["watermarkText"]) == (None, None)


def test_the_originals_stay_with_the_inbox_that_keeps_them(studio: Studio) -> None:
    assert files_in(studio.folder("originals")) == [NAME, "tree.jpg"]
    assert files_in(studio.root / "found/inbox") == files_in(studio.root / "found/quarantine") == []
    assert not (studio.root / "found/originals").exists() or files_in(studio.root / "found/originals") == []


def test_history_and_explain_name_the_recipient(studio: Studio) -> None:
    assert 'a watermark is there: "© Berg ' in studio.run("history").stdout
    path = studio.root / "found/outbox/detected/Füße am Strand.jpg"
    assert ", given to dpa. It holds for the very original" in studio.run("explain", str(path)).stdout
