"""In which order files are synced and named: the rules of `watchfolder.disk`, each seen broken by power cuts."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from watchfolder import disk
from watchfolder.disk import Place, moves

OWNER = "0e5f1a2b"
PART = ".watchfolder/part"
WRITTEN = ["sync .", f"sync {PART}", "sync .watchfolder"]  # the hidden folder is made first


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is done from now on: `sync` of a file or folder, and names given or taken, below `tmp_path`."""
    done: list[str] = []

    def path(descriptor: int, base: str | bytes = "") -> str:
        found = os.path.join(os.readlink(f"/proc/self/fd/{descriptor}"), os.fsdecode(base))
        return re.sub(r"[.]wf-[^/]*[.]tmp$", "part", os.path.relpath(found, tmp_path))

    def noting(call: Callable[..., Any], word: str) -> Callable[..., Any]:
        def one(*values: Any, **at: Any) -> Any:  # noqa: ANN401 - whatever it takes
            answer = call(*values, **at)
            folders = [value for name, value in at.items() if name.endswith("dir_fd")]
            pairs = zip(folders, values, strict=False) if folders else [(values[0], "")]
            done.append(" ".join([word, *(path(*pair) for pair in pairs)]))
            return answer

        return one

    renameat2 = moves._renameat2
    assert renameat2 is not None

    def noting_renameat2(*values: Any) -> int:  # noqa: ANN401 - as above
        answer: int = renameat2(*values)
        done.append(f"rename {path(*values[:2])} {path(*values[2:4])}")
        return answer

    for name, word in (("fsync", "sync"), ("rename", "rename"), ("link", "link"), ("unlink", "unlink")):
        monkeypatch.setattr(os, name, noting(getattr(os, name), word))
    monkeypatch.setattr(moves, "_renameat2", noting_renameat2)
    return done


@pytest.fixture
def root(tmp_path: Path) -> str:
    for name in ("here/a", "here/b", "there/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return str(tmp_path)


def test_what_is_replaced_is_synced_before_it_has_the_name_and_its_folder_after(root: str, steps: list[str]) -> None:
    disk.write_atomically(Place(root, "here/a"), b"new")
    assert steps == ["sync here/part", "rename here/part here/a", "sync here"]


def test_what_is_new_keeps_its_temporary_name_until_the_last_one_is_durable(root: str, steps: list[str]) -> None:
    disk.write_new(Place(root, "here/new"), b"new", owner=OWNER)
    assert steps == [*WRITTEN, f"link {PART} here/new", "sync here", f"unlink {PART}", "sync .watchfolder"]


def test_what_takes_the_place_of_another_is_durable_in_both_folders(root: str, steps: list[str]) -> None:
    disk.replace(Place(root, "here/a"), b"new", owner=OWNER)
    assert steps == [*WRITTEN, f"rename {PART} here/a", "sync .watchfolder", "sync here"]


def test_a_move_is_synced_where_the_file_was_first(root: str, steps: list[str]) -> None:
    disk.move(Place(root, "here/a"), Place(root, "there/a"), owner=OWNER)
    assert steps == ["rename here/a there/a", "sync here", "sync there"]


def test_of_many_files_in_one_step_each_folder_is_synced_once_in_the_same_order(root: str, steps: list[str]) -> None:
    batch = disk.FsyncBatch()
    for name in ("a", "b"):
        disk.move(Place(root, f"here/{name}"), Place(root, f"there/{name}"), owner=OWNER, batch=batch)
    disk.publish_new(Place(root, "there/c"), Place(root, "here/c"), owner=OWNER, batch=batch)
    batch.sync()
    named = ["rename here/a there/a", "rename here/b there/b", "link there/c here/c"]
    assert steps == [*named, "sync here", "sync there", "sync here", "unlink there/c", "sync there"]


def test_a_line_is_durable_and_so_is_the_name_of_its_file(root: str, steps: list[str]) -> None:
    for _ in range(2):
        disk.append_line(Place(root, "here/lines"), b"one")
    assert steps == ["sync here/lines", "sync here", "sync here/lines"]
