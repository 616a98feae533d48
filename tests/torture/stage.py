"""The stage of one life: folders, a service and a daemon to be brought up, all of it thrown away for the next one."""

import ctypes
import functools
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from faults import Faults, Plan, Trait, fast_folder
from nursery import Ending, Nursery, Run

from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.mark import write_with_mark
from watchfolder.sandbox.pictures import sample

INBOX = "photos"
_NEW_MOUNT_NAMESPACE = 0x00020000  # CLONE_NEWNS
_RUN_SECONDS = 30.0
_RUNS_AT_MOST = 12  # of a daemon that says "trying again may help"


class Fate(StrEnum):
    """What becomes of a file in the end."""

    DELIVERED = "delivered"
    QUARANTINED = "quarantined"
    STAYS = "stays"


@dataclass(frozen=True)
class Picture:
    """A file that a person drops into the inbox, and what must have become of it."""

    name: str
    content: bytes = field(repr=False)
    fate: Fate = Fate.DELIVERED
    paid: int = 1  # how often its bytes are paid for
    paid_less: int = 0  # so much less, if a death lets it go its way without its neighbours
    delivered_as: str = ""  # another name in the outbox, where its own was taken
    moved_as: str = ""  # the same for its original
    keeps_original: bool = True
    is_gone: bool = False  # the bytes are nowhere any more, but the history tells what was paid for them
    verdict: str = ""  # the service finds this of it, and it comes out as it is
    is_compared: bool = False  # it is the original of another one, and costs nothing of its own
    is_marked: bool = False  # it comes out with a watermark that no other one has
    moves_on: bool = False  # what is made of it is taken by the next inbox
    of: str = ""  # the other inbox whose picture it is
    is_parked: bool = False  # its order is kept, for it may have been paid for
    earlier: tuple[Fate, ...] = ()  # what the history tells of it besides
    link: bytes = field(default=b"", repr=False)  # what is dropped in its place
    is_list: bool = False  # of addresses: no picture, and `content` is the file of its lines that fail

    @property
    def result(self) -> str:
        return self.delivered_as or self.name

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


class Stage:
    """Everything that one life needs. `root` is made anew for each; `aside` is not, and no fault strikes there."""

    def __init__(self, sandbox: Sandbox, faults: Faults, nursery: Nursery, aside: Path) -> None:
        self.sandbox = sandbox
        self.aside = aside
        self.root = aside / "root"
        self.traits = Trait.COUNT_SENDS
        self.elsewhere: dict[str, Path] = {}  # folders with another place, as on another file system
        self.settings: dict[str, object] = {}  # of the inbox, besides its folders
        self.foreign: dict[str, bytes] = {}  # files of other people below root, which must stay as they are
        self.has_inbox = True
        self.more_inboxes = ""  # further lines of the configuration
        self._faults = faults
        self._nursery = nursery
        self._expected: dict[str, bytes] = {}

    # --- the set

    def clear(self) -> None:
        """Begin a new life: empty folders, a service that knows nothing."""
        self.traits = Trait.COUNT_SENDS
        for folder in self.elsewhere.values():
            shutil.rmtree(folder, ignore_errors=True)
        self.elsewhere, self.settings = {}, {"duplicates": "again"}  # but for the stories that are about that
        self.foreign, self.has_inbox, self.more_inboxes = {}, True, ""
        shutil.rmtree(self.root, ignore_errors=True)
        for name in ("inbox", "outbox", "quarantine", "state"):
            (self.root / name).mkdir(parents=True)
        for name in ("log", "config.yaml", "accomplice"):
            (self.aside / name).unlink(missing_ok=True)
        self.sandbox.clear()
        self.sandbox.credits_left = None
        self.sandbox.origins = {}
        self.sandbox.processing_seconds = 0.01

    def put_elsewhere(self, name: str) -> None:
        """Let a folder lie on another file system, where there is one."""
        folder = other_file_system()
        if folder is not None:
            self.elsewhere[name] = folder

    def folder(self, name: str) -> Path:
        return self.elsewhere.get(name, self.root / name)

    def add_inbox(self, name: str, **settings: object) -> Path:
        """Configure one more inbox; return the folder that holds all of its own."""
        own = self.root / name
        folders = {folder: str(own / folder) for folder in ("outbox", "quarantine", "originals")}
        for path in (own / "inbox", *map(Path, folders.values())):
            path.mkdir(parents=True, exist_ok=True)
        inbox = {"path": f"{own}/inbox", **folders, "settle_seconds": 0, **settings}
        self.more_inboxes = f"  {name}: {json.dumps(inbox)}\n"
        return own

    @property
    def accomplice(self) -> Path:
        """A second name of a file, outside the root, to change it by meanwhile; `.new` holds the new content."""
        return self.aside / "accomplice"

    def drop(self, picture: Picture) -> Path:
        """Put the picture into the inbox; no daemon is at work yet."""
        place = self.folder("inbox") / picture.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(picture.link or picture.content)
        return place

    def expected(self, picture: Picture) -> bytes:
        """Return what the service makes of the picture."""
        if picture.sha256 not in self._expected:
            source, target = self.aside / "picture", self.aside / "marked"
            source.write_bytes(picture.content)
            write_with_mark(source, target)
            self._expected[picture.sha256] = target.read_bytes()
        return self._expected[picture.sha256]

    # --- the play

    def run(self, plan: Plan | None = None, *, mischief: str = "", command: Sequence[str] = ()) -> Ending:
        """Let one daemon (or one other command) work until it ends, dies or hangs."""
        self.start(plan, once=True, mischief=mischief, command=command)
        return self.wait(_RUN_SECONDS)

    def start(
        self, plan: Plan | None = None, *, once: bool = False, mischief: str = "", command: Sequence[str] = ()
    ) -> None:
        self._faults.arm(plan or Plan(), [self.root, *self.elsewhere.values()], self.traits)
        run = Run(
            config=str(self._configured()),
            key=self.sandbox.key,
            log=str(self.aside / "log"),
            result=str(self.aside / "result"),
            once=once,
            mischief=mischief,
            accomplice=str(self.accomplice),
            command=tuple(command),
        )
        self._nursery.start(run)

    def wait(self, seconds: float) -> Ending:
        try:
            return self._nursery.wait(seconds)
        finally:
            self._faults.disarm()

    def run_watched(self, words: Sequence[str], *, mischief: str) -> Ending:
        """Let one daemon work, watched by the program that `words` start."""
        nursery = self._nursery
        with Nursery(self._faults.environment, words) as self._nursery:
            ending = self.run(mischief=mischief)
        self._nursery = nursery
        return ending

    def finish(self) -> Ending:
        """Restart the daemon until it has nothing left to do; return how that ended."""
        for _ in range(_RUNS_AT_MOST):
            ending = self.run()
            if ending.word != "unfinished":
                break
        return ending

    @property
    def faults(self) -> Faults:
        return self._faults

    @property
    def nursery(self) -> Nursery:
        return self._nursery

    def forget_log(self) -> None:
        (self.aside / "log").unlink(missing_ok=True)

    def log(self) -> str:
        """Return what the program has said, without a last line of which half is there."""
        path = self.aside / "log"
        text = path.read_text("utf-8", "replace") if path.exists() else ""
        return text[: text.rfind("\n") + 1]

    def _configured(self) -> Path:
        path = self.aside / "config.yaml"
        names = ["outbox", "quarantine", *(() if self.settings.get("service") == "ai-detection" else ["originals"])]
        folders = {name: str(self.folder(name)) for name in names}
        inbox = {"path": str(self.folder("inbox")), **folders, "settle_seconds": 0, **self.settings}
        path.write_text(
            f"api: {{base_url: '{self.sandbox.url}', requests_per_minute: 0, reads: v3}}\n"
            f"state_dir: {self.folder('state')}\n"
            "inboxes:\n" + (f"  {INBOX}: {json.dumps(inbox)}\n" if self.has_inbox else "") + f"{self.more_inboxes}",
            "utf-8",
        )
        return path


@contextmanager
def stage() -> Iterator[Stage]:
    aside = fast_folder()
    try:
        faults = Faults(aside)
        # look_seconds=0: our daemon's looks are a hundred times quicker here than a real one's, and each restart looks
        # once more, for a process that dies cannot tell the next one when it last looked.
        with Sandbox(processing_seconds=0.01, look_seconds=0) as sandbox, Nursery(faults.environment) as nursery:
            yield Stage(sandbox, faults, nursery, aside)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@functools.cache
def picture(name: str, seed: int, fate: Fate = Fate.DELIVERED) -> Picture:
    extension = os.path.splitext(name)[1].lstrip(".")
    kind = {"jpg": "jpeg", "tif": "tiff"}.get(extension, extension)
    return Picture(name, sample(kind, width=96, height=64, seed=seed), fate)


def keep_mounts_private() -> None:
    """Let what this process mounts be its own, gone when it ends; without the right to, do nothing."""
    if ctypes.CDLL(None).unshare(_NEW_MOUNT_NAMESPACE) == 0:
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def other_file_system() -> Path | None:
    """Return a folder on another file system than `fast_folder`'s, if there is one to write to."""
    folder, fast = Path(tempfile.mkdtemp(prefix="torture-")), fast_folder()
    is_other = folder.stat().st_dev != fast.stat().st_dev
    fast.rmdir()
    if is_other:
        return folder
    folder.rmdir()
    return None
