"""What is moved out of quarantine by hand, as its note says, comes back there under its own name."""

import shutil
from functools import partial

from cli_studio import Daemon, Studio, sandbox, studio
from contents import files_in
from waiting import wait_until

__all__ = ["sandbox", "studio"]

PHOTOSHOP = b"8BPS\0\1" + bytes(4000)


def has_failed(daemon: Daemon, times: int) -> bool:
    return daemon.log().count('"file.quarantined"') == times


def test_a_picture_moved_back_within_seconds_keeps_its_name(studio: Studio) -> None:
    studio.drop("wedding/poster.psd", PHOTOSHOP)
    both = ["wedding/poster.psd", "wedding/poster.psd.why.txt"]
    with studio.daemon() as daemon:
        for times in range(1, 4):
            wait_until(partial(has_failed, daemon, times))
            assert files_in(studio.folder("quarantine")) == both
            if times < 3:
                source = studio.folder("quarantine") / "wedding/poster.psd"
                shutil.move(source, studio.folder("inbox") / "wedding/poster.psd")


def test_a_note_of_somebody_elses_keeps_its_name_and_the_picture_gets_another(studio: Studio) -> None:
    (studio.folder("quarantine") / "poster.psd.why.txt").write_text("ask Anna about this one\n", encoding="utf-8")
    studio.drop("poster.psd", PHOTOSHOP)
    with studio.daemon() as daemon:
        wait_until(lambda: '"file.quarantined"' in daemon.log())
    names = ["poster (2).psd", "poster (2).psd.why.txt", "poster.psd.why.txt"]
    assert files_in(studio.folder("quarantine")) == names
