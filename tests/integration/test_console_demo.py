"""What the demo says of results that come as they like."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from watchfolder.console.commands import demo
from watchfolder.snapshot import Snapshot


def test_each_service_has_one_heading_however_its_results_come(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shows = demo._to_show()
    programme = demo._Programme(tmp_path, shows, has_person=False)
    programme.follow(demo._set_up(tmp_path, shows, "http://127.0.0.1:9", "sk_0123456789abcdef"))
    names = {each.service: sorted((tmp_path / each.folders["path"]).iterdir()) for each in shows}
    now = datetime.now(UTC)
    for number in range(5):
        for each in shows:
            if each.service in {"anti-ai", "ai-detection"}:
                (tmp_path / each.folders["outbox"] / names[each.service][number].name).touch()
                programme.see(Snapshot(at=now, pid=1, version="1", started=now))
    (tmp_path / "anti-ai/protected/from an address.jpg").touch()
    (tmp_path / "ai-detection/checked/verdicts.csv").touch()
    programme.see(Snapshot(at=now, pid=1, version="1", started=now))
    told = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in told[1:] if line[0] != " "] == ["anti-ai", "ai-detection"]
    assert len([line for line in told if line[0] == " "]) == 12
