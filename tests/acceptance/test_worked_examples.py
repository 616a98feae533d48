"""The examples that docs/services.md works out, played as they stand: their folders below a temporary one."""

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from documents import blocks, section

from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

PICTURE = sample("png", width=160, height=120, seed=1)


@dataclass(frozen=True)
class Office:
    """`root` is what / is in the example."""

    root: Path
    sandbox: Sandbox
    config: Path

    def path(self, name: str) -> Path:
        return self.root / name.lstrip("/")

    def drop(self, name: str, content: bytes) -> None:
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def run(self, *options: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "watchfolder", "run", "-c", str(self.config), "--once", *options],
            env=os.environ | {"BIZMORI_API_KEY": self.sandbox.key},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def found(self, outbox: str, names: str = "*") -> set[str]:
        there = self.path(outbox)
        return {str(path.relative_to(there)) for path in there.rglob(names) if path.is_file() and path.name[0] != "."}


@pytest.fixture
def office(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Office]:
    """Give what somebody has who did as the example says."""
    with Sandbox(processing_seconds=0.1) as sandbox:
        text = re.sub(r"(?<=: )/srv/", f"{tmp_path}/srv/", _block("yaml", request.param))
        tree = yaml.safe_load(text)
        tree |= {"api": {"base_url": sandbox.url, "requests_per_minute": 0}, "state_dir": str(tmp_path / "state")}
        for inbox in tree["inboxes"].values():
            inbox["settle_seconds"] = 0.2
            for role in {"path", "outbox", "quarantine", "originals"} & inbox.keys():
                Path(inbox[role]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "state").mkdir()
        config = tmp_path / "config.yaml"
        config.write_text(yaml.safe_dump(tree))
        yield Office(tmp_path, sandbox, config)
        assert sandbox.sins == []


def _block(kind: str, heading: str) -> str:
    (block,) = blocks(section("docs/services.md", heading), kind)
    return block


@pytest.mark.parametrize("office", ["A press office"], indirect=True)
def test_a_press_office_learns_who_gave_a_picture_away(office: Office) -> None:
    recipients = {"dpa", "afp", "reuters", "ap", "keystone"}
    office.drop("/srv/press/inbox/Häfen/harbour.png", PICTURE)
    office.run()
    assert office.found("/srv/press/outgoing") == {f"{name}/Häfen/harbour.png" for name in recipients}
    with office.path("/srv/press/marked/watermarks.csv").open(encoding="utf-8-sig", newline="") as table:
        assert {row["recipient"] for row in csv.DictReader(table)} == recipients
    assert office.sandbox.credits == {"watermarkEmbed": 5, "antiAi": 5}
    office.drop("/srv/found/inbox/harbour.png", office.path("/srv/press/marked-only/ap/Häfen/harbour.png").read_bytes())
    office.run()
    (sidecar,) = office.found("/srv/found/checked/detected", "*.json")
    told = json.loads(office.path(f"/srv/found/checked/detected/{sidecar}").read_text("utf-8"))
    assert told["recipient"] == "ap"


@pytest.mark.parametrize("office", ["A press office"], indirect=True)
def test_the_dry_run_counts_what_the_next_inbox_costs(office: Office) -> None:
    office.drop("/srv/press/inbox/harbour.png", PICTURE)
    told = office.run("--dry-run")
    assert "And what comes here from mark: 5 files, up to 5 credits" in told
    assert "All together: 6 files, up to 10 credits" in told
    with office.config.open("a", encoding="utf-8") as config:
        config.write("budget: {burst: {files: 5, minutes: 10}}\n")
    office.drop("/srv/press/inbox/two.png", PICTURE)
    told = office.run("--dry-run")
    assert "All together: 0 files, up to 0 credits" in told
    assert "With what is held let go: 12 files, up to 20 credits" in told


@pytest.mark.parametrize("office", ["An archive"], indirect=True)
def test_an_archive_is_judged_and_its_table_read(office: Office) -> None:
    for number in range(4):
        office.drop(f"/srv/archive/inbox/19{number}0/{number}.png", sample("png", width=16, height=12, seed=number))
    office.run()
    checked = office.path("/srv/archive/checked")
    verdicts = {path.parent.parent.name for path in checked.rglob("*.png")}
    assert verdicts <= {"likely_real", "uncertain_real", "uncertain_ai", "likely_ai"}
    with (checked / "verdicts.csv").open(encoding="utf-8-sig", newline="") as table:
        rows = list(csv.DictReader(table))
    script = _block("sh", "An archive").replace("/srv/", f"{office.root}/srv/")
    said = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, timeout=60, check=True).stdout
    assert [line.split()[1] for line in said.splitlines()] == [
        row["file"] for row in sorted(rows, key=lambda row: -float(row["probability"])) if row["verdict"] == "likely_ai"
    ]
    assert len(rows) == sum(office.sandbox.credits.values()) == 4
