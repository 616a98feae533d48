"""The image can be built for the processors that a NAS has: nothing that it needs would have to be compiled there."""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest
from requirements_of import requirements

pytestmark = pytest.mark.lab  # it asks pip's index

PYTHON = "3.13"  # the Containerfile's
GLIBC = ("manylinux2014", "manylinux_2_28")  # what Debian 12 and later run


@pytest.mark.parametrize("processor", ["x86_64", "aarch64"])
def test_what_is_no_plain_python_has_a_wheel_for_each_processor(processor: str, tmp_path: Path) -> None:
    compiled = {each.metadata["Name"]: each.version for each in requirements("watchfolder") if not is_pure(each)}
    assert "pillow" in compiled
    report = tmp_path / "report.json"
    asked = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps"]
    asked += [f"--platform={glibc}_{processor}" for glibc in GLIBC]
    asked += ["--only-binary=:all:", f"--python-version={PYTHON}", f"--target={tmp_path}", f"--report={report}"]
    asked += [f"{name}=={version}" for name, version in compiled.items()]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    urls = [each["download_info"]["url"] for each in json.loads(report.read_text())["install"]]
    assert len(urls) == len(compiled)
    assert [url for url in urls if processor not in url] == []


def is_pure(package: importlib.metadata.Distribution) -> bool:
    tags = (package.read_text("WHEEL") or "").splitlines()
    return any(tag.endswith("-none-any") for tag in tags)
