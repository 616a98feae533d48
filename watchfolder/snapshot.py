"""What the running daemon knows and the journal does not, as it lies in `<state_dir>/status.json` for the console."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, field_serializer

from watchfolder.clock import Instant
from watchfolder.order import AnyText

FILE = "status.json"
NO_V3 = "NO_V3"  # a fault's code: the service lacks the v3 reads that the inbox needs
_LOW_BYTES = 10 * 1024**3  # what an order of a hundred pictures of 50 MiB needs: twice its size
_LOW_SHARE = 0.05  # of a small disk, on which less than that is always free
_ROOM_AGAIN = 1.5  # times that limit, so that small changes do not toggle the verdict


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class OutOfReach(Part):
    """A folder whose pictures cannot be taken; `files` is 0 where nobody can look, `command` is for root to type."""

    folder: AnyText
    files: int
    reason: AnyText
    command: str = ""


class InboxSnapshot(Part):
    """One inbox. Counts are files by what the intake thinks of them: wait, stay (no picture, or out of reach)."""

    is_open: bool = False
    service: str = ""
    fault: AnyText = ""  # why it is not open, in words, where a folder is at fault
    fault_code: str = ""
    held: str = ""  # why its files stay until a person says so: the quota
    watch: str = ""  # events or polling
    watch_reason: AnyText = ""
    waiting: int = 0
    staying: int = 0
    raw: int = 0  # of those that stay: camera RAW files, left beside the pictures
    out_of_reach: int = 0  # of those that stay: pictures, as far as we can tell, that cannot be taken
    single: int = 0  # of those that wait: for their partner, a picture or its original
    closed: tuple[OutOfReach, ...] = ()  # the folders with the most that are out of reach, a few
    oldest_waiting_since: Instant | None = None
    remarks: dict[AnyText, AnyText] = {}  # files that a person should see to, with the reason

    @property
    def is_at_fault(self) -> bool:
        return bool(self.fault or self.fault_code)

    @property
    def is_held(self) -> bool:
        return bool(self.held)


class Counts(Part):
    """Since the start of the process."""

    requests: dict[str, dict[str, int]] = {}  # operation → outcome → how many
    sent_bytes: int = 0  # of pictures
    received_bytes: int = 0
    pushes: dict[str, int] = {}  # what became of them → how many
    state_changes: dict[str, int] = {}  # state → how many orders have left it
    state_seconds: dict[str, float] = {}  # state → how long they were in it, all together
    notifications: dict[str, int] = {}  # to people, by what became of them: sent, dropped


class Disk(Part):
    """The file system of one configured folder."""

    device: int
    free_bytes: int
    total_bytes: int

    @property
    def is_low(self) -> bool:
        return self.free_bytes < self._low_bytes

    @property
    def has_room_again(self) -> bool:
        return self.free_bytes >= _ROOM_AGAIN * self._low_bytes

    @property
    def told_bytes(self) -> int:
        """Return the free bytes, rounded to two figures (9.7 GB): the others change all the time."""
        return int(float(f"{self.free_bytes:.2g}"))

    @property
    def _low_bytes(self) -> float:
        return min(_LOW_BYTES, _LOW_SHARE * self.total_bytes)


class FileGroup(Part):
    """Files of one inbox that went to quarantine for one reason, or came out with one verdict."""

    inbox: str
    name: str  # of the latest, escaped
    reason: str  # or the verdict
    files: int = 1
    retry_helps: bool = True  # what is in quarantine

    def is_same_as(self, other: "FileGroup") -> bool:
        return (self.inbox, self.reason) == (other.inbox, other.reason)


class Snapshot(Part):
    at: Instant
    pid: int
    unit: str = ""  # systemd's name of it, if that has started it
    config_file: AnyText = ""  # that it was started with, "" for the environment alone
    version: str
    started: Instant
    configured: Instant | None = None  # since when it works by this configuration
    inboxes: dict[str, InboxSnapshot] = {}
    blocked: str = ""  # the refusal that stops everything or every purchase, in words
    blocked_code: str = ""
    blocked_since: Instant | None = None
    is_key_refused: bool = False  # it is the key that is refused
    is_failing_all: bool = False  # it is not refused, but fails every picture
    key_origin: Literal["credential", "environment", "file"] = "file"
    is_down: bool = False  # the service has not answered for a while
    is_slowed: bool = False  # the service's refusals set the pace
    limit: str = ""  # what keeps the flow from being faster now: service, plan, line, or nothing
    in_progress: int = 0  # files of orders under way …
    deferred: int = 0  # … and of those that wait for their time
    to_come_beside: int = 0  # files delivered, and what is to lie beside them is still to come
    delivered: int = 0  # files since the start
    reused: int = 0  # of these, copied from an earlier delivery and not paid for
    quarantined: int = 0  # files since the start
    last_quarantined: tuple[FileGroup, ...] = ()  # since the start; of a few reasons, the latest at the end
    found: int = 0  # files since the start with a verdict that a person wants to be told of
    last_found: tuple[FileGroup, ...] = ()  # as above
    delivered_bytes: int = 0
    refused: AnyText = ""  # what is wrong with the configuration that was read last: the one before it still runs
    not_configured: dict[str, int] = {}  # inbox that left the configuration → files of its orders, which wait
    is_stuck: bool = False  # work stands still although its folders answer
    counts: Counts = Counts()
    disks: dict[AnyText, Disk] = {}  # by folder; only those that are nearly full are written to the file

    def is_same_as(self, other: "Snapshot | None") -> bool:
        """Compare what the file holds, but for what changes all the time: `at`, and the room on disks."""
        if other is None or self.low_disks != other.low_disks:
            return False
        return self.model_copy(update={"at": other.at, "disks": other.disks}) == other

    @property
    def waiting(self) -> int:
        return sum(inbox.waiting for inbox in self.inboxes.values())

    @property
    def low_disks(self) -> dict[str, int]:
        """Return the rounded free bytes of each folder whose disk is nearly full."""
        return {folder: disk.told_bytes for folder, disk in self.disks.items() if disk.is_low}

    @field_serializer("disks")
    def _write_low_disks(self, disks: dict[str, Disk]) -> dict[str, Disk]:
        return {folder: disk for folder, disk in disks.items() if disk.is_low}
