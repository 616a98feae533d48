"""The demands of the hypothesis tests, from a fuzzer that coverage leads on: for each a minute."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from made_orders import made_file, made_order

from watchfolder.clock import Moment
from watchfolder.order import State
from watchfolder.sandbox.pictures import FORMATS, sample
from watchfolder.services import named
from watchfolder.services.anti_ai import ANTI_AI

SECONDS = 60
TARGETS = Path(__file__).with_name("targets.py")
RUNS = re.compile(rb"Done (\d+) runs")


def pictures() -> list[bytes]:
    return [sample(kind, width=16, height=12, seed=1) for kind in FORMATS]


def answers() -> list[bytes]:
    slot = {"fileId": 1, "fileName": "a.jpg", "uploadUrl": "https://x/y"}
    order = {"orderId": "7", "status": "pending", "files": [slot], "inputFiles": [slot], "expiresAt": "2026-01-01"}
    result = {"result": {"outputFiles": [{"fileId": "2", "inputFileId": 1}]}, "errors": {"errorCode": "X"}}
    links = {"downloadUrl": "https://x", "files": [{"fileId": 2, "downloadUrl": "https://y"}], "expiresInSeconds": 60}
    found = {"orders": [{"orderId": 7, "orderName": "wf-k"}], "pageInfo": {"totalPages": 2}}
    return [json.dumps({"data": data}).encode() for data in (order, order | result, links, found)]


def entries() -> list[bytes]:
    key = "00000000-0000-4000-8000-000000000001"
    body = ANTI_AI.body(key, [named("b.jpg")], {"strength": "high"})
    times = {State.CLAIMING: Moment(at=datetime(2026, 1, 1, tzinfo=UTC))}
    order = made_order(made_file("a/b \udcff.jpg", sent_name="b.jpg"), key=key, body=body, times=times)
    return [order.model_dump_json().encode()]


def configurations() -> list[bytes]:
    inbox = b"{path: /i, outbox: /o, quarantine: /q, originals: delete, ignore: ['*.x']}"
    return [b"api: {base_url: https://x, key_file: /k}\nstate_dir: /s\ninboxes:\n  photos: %s\n" % inbox]


SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "images": pictures,
    "api": answers,
    "journal": entries,
    "configuration": configurations,
}


@pytest.mark.lab
@pytest.mark.thorough
@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.parametrize("target", SEEDS)
def test_a_fuzzer_finds_nothing_in_a_minute(tmp_path: Path, target: str, is_thorough: bool) -> None:
    if not is_thorough:
        pytest.skip("a minute each: for make torture")
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed: pip install -e '.[fuzz]'")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(SEEDS[target]()):
        (corpus / str(number)).write_bytes(seed)
    command = [sys.executable, str(TARGETS), target, f"-max_total_time={SECONDS}", "-timeout=20", "-rss_limit_mb=2000"]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command.append(str(corpus))
    played = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, check=False, timeout=150)
    shutil.rmtree(corpus)
    runs = RUNS.search(played.stderr)
    assert played.returncode == 0, played.stderr[-4000:].decode("utf-8", "replace")
    assert runs is not None
    assert int(runs[1]) > 1000
    sys.stdout.write(f"{target}: {int(runs[1])} runs\n")
