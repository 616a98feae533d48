"""A share that hangs, and what is mounted in its place: a real mount each, and a question that never ends."""

import os
import subprocess
import threading
from pathlib import Path

import pytest
from file_systems import tmpfs

from watchfolder.disk import Question, answer_of
from watchfolder.errors import FolderFault


def test_what_is_mounted_anew_while_the_share_is_waited_for_is_asked(tmp_path: Path) -> None:
    never, share = threading.Event(), tmp_path / "share"
    with tmpfs(share):
        held = os.open(share, os.O_RDONLY)  # what hangs keeps the share's number: the next one has another
        asked = Question(never.wait, str(share))
        subprocess.run(["umount", "--lazy", share], check=True, timeout=60)
        subprocess.run(["mount", "-t", "tmpfs", "none", share], check=True, timeout=60)
        try:
            with pytest.raises(FolderFault, match="it does not answer"):
                asked.answer(0.05)
            assert answer_of(lambda: 7, str(share)) == 7
        finally:
            never.set()
            os.close(held)
