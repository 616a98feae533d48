"""The whole way on this machine: a sandbox, folders and sample pictures in a temporary place."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import write_samples

_FOLDERS = ("inbox", "protected", "quarantine", "originals", "state")


@dataclass(frozen=True)
class Stage:
    """Where everything lies. It stays there, for a look."""

    root: Path
    config: Path
    pictures: list[Path]

    def delivered(self) -> list[Path]:
        return sorted(path for path in (self.root / "protected").iterdir() if not path.name.startswith("."))


@contextmanager
def staged() -> Iterator[Stage]:
    """Give the stage for one run; the sandbox answers as long as the block lasts."""
    root = Path(tempfile.mkdtemp(prefix="watchfolder-demo-"))
    for folder in _FOLDERS:
        (root / folder).mkdir()
    with Sandbox() as sandbox:
        key = root / "api-key"
        key.touch(mode=0o600)
        key.write_text(sandbox.key)
        config = root / "config.yaml"
        config.write_text(_configuration(root, sandbox.url), encoding="utf-8")
        yield Stage(root, config, write_samples(root / "inbox"))


def _configuration(root: Path, url: str) -> str:
    def path(name: str) -> str:
        return json.dumps(str(root / name))  # quoted as YAML takes it as well

    return f"""\
api:
  base_url: {url}
  key_file: {path("api-key")}
  requests_per_minute: 0
state_dir: {path("state")}
inboxes:
  demo:
    path: {path("inbox")}
    outbox: {path("protected")}
    quarantine: {path("quarantine")}
    originals: {path("originals")}
    settle_seconds: 1
"""
