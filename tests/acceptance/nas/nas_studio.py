"""In the machine: an inbox on each kind of mount and one on the local disk, the daemon, and what must be in the end."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from contents import sha256, whole_lines
from nas_servers import STORE, Servers, call
from waiting import wait_until

from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.mark import write_with_mark
from watchfolder.sandbox.pictures import sample

LOCAL = "local"
FOLDERS = {"path": "inbox", "outbox": "protected", "quarantine": "quarantine", "originals": "originals"}
ROOT = Path("/srv/studio")  # of what is not on a share
READY_SECONDS = 180.0
STOP_SECONDS = 45.0  # it takes 20 s itself, whatever a share does
DELIVERY_SECONDS = 120.0  # of what nothing is in the way of
_MOST_WAITS = 3  # for a delivery that goes on
_MARKS = {".watchfolder-id", "owner.json"}


@dataclass(frozen=True)
class Kind:
    """A mount as a line of docs/nas-share.md says, with changes to its options."""

    protocol: str  # the type in the line: cifs or nfs
    changes: Mapping[str, str] = field(default_factory=dict)
    by_autofs: bool = False

    def options(self, line: str) -> str:
        options = line.split()[3]
        for old, new in self.changes.items():
            assert old in options, f"{old} is not in {options}"
            options = options.replace(old, new)
        return options


HARD_SMB = {"vers=3.1.1": "vers=3.1.1,hard"}
SOFT_NFS = {"hard": "soft,timeo=30,retrans=1"}  # soft as it is, only sooner
KINDS = {
    "smb": Kind("cifs"),
    "smb-hard": Kind("cifs", HARD_SMB),
    "nfs4": Kind("nfs"),
    "nfs4-soft": Kind("nfs", SOFT_NFS),
    "nfs3": Kind("nfs", {"vers=4.2": "vers=3"}),
    "nfs3-soft": Kind("nfs", {"vers=4.2": "vers=3"} | SOFT_NFS),
    "autofs": Kind("nfs", by_autofs=True),
}
SHARES = (*KINDS, LOCAL)


@dataclass(frozen=True)
class Share:
    """`far` is what the server keeps, `near` where it is mounted here."""

    name: str
    kind: Kind
    line: str  # of docs/nas-share.md

    @property
    def far(self) -> Path:
        return STORE / self.name

    @property
    def near(self) -> Path:
        return Path("/auto" if self.kind.by_autofs else "/mnt") / self.name

    @property
    def source(self) -> str:
        return f"//nas/{self.name}" if self.kind.protocol == "cifs" else f"nas:{self.far}"

    def mount(self) -> None:
        if not self.kind.by_autofs:
            call("mount", str(self.near))

    def check_protocol(self) -> None:
        """Refuse to play on what is no share: autofs may bind the folder of a server that runs here."""
        found = call("stat", "--file-system", "--format=%T", str(self.near / ".")).strip()
        assert found == {"cifs": "smb2", "nfs": "nfs"}[self.kind.protocol], f"{self.name} is {found}"

    def unmount(self) -> None:
        call("umount", "--lazy", str(self.near))

    @property
    def fstab(self) -> str:
        kind, rest = self.line.split()[2], self.line.split()[4:]
        return " ".join([self.source, str(self.near), kind, self.kind.options(self.line), *rest]) + "\n"

    @property
    def autofs(self) -> str:
        return f"{self.name} -fstype=nfs,{self.kind.options(self.line)} {self.source}\n"


class Studio:
    """Knows what was dropped where, so that it can tell in the end whether all of it arrived."""

    def __init__(self, servers: Servers, shares: Mapping[str, Share], sandbox: Sandbox) -> None:
        self.servers = servers
        self.shares = shares
        self.sandbox = sandbox
        self.dropped: dict[str, dict[str, bytes]] = {name: {} for name in SHARES}
        self.process: subprocess.Popen[bytes] | None = None
        self._expected: dict[bytes, bytes] = {}

    def far(self, share: str) -> Path:
        return ROOT / LOCAL if share == LOCAL else self.shares[share].far

    def near(self, share: str) -> Path:
        return ROOT / LOCAL if share == LOCAL else self.shares[share].near

    def set_up(self) -> None:
        """Begin anew: empty folders, a service that knows nothing, a daemon without a past."""
        self.sandbox.clear()
        self.dropped = {name: {} for name in SHARES}
        shutil.rmtree(ROOT, ignore_errors=True)
        for name in SHARES:
            for folder in FOLDERS.values():
                path = self.far(name) / folder
                shutil.rmtree(path, ignore_errors=True)
                path.mkdir(parents=True)
                shutil.chown(path, "studio" if name.startswith("smb") else "watchfolder", "photos")
                path.chmod(0o2775)
        state = ROOT / "state"
        state.mkdir()
        shutil.chown(state, "watchfolder", "watchfolder")
        (ROOT / "config.yaml").write_text(yaml.safe_dump(self._configuration()))

    def _configuration(self) -> dict[str, object]:
        quick = {"settle_seconds": 1, "scan_seconds": 2, "duplicates": "again"}
        inboxes = {
            name: quick | {key: str(self.near(name) / folder) for key, folder in FOLDERS.items()} for name in SHARES
        }
        api = {"base_url": self.sandbox.url, "requests_per_minute": 0}
        return {"api": api, "state_dir": str(ROOT / "state"), "inboxes": inboxes}

    def start(self) -> None:
        """Start the daemon as its own user, and wait until it is ready."""
        user = ["setpriv", "--reuid=watchfolder", "--regid=watchfolder", "--init-groups"]
        command = ["python3", "-m", "watchfolder", "run", "-c", str(ROOT / "config.yaml"), "--log-format", "json"]
        before = self.log().count("daemon.ready")
        with (ROOT / "log").open("ab") as log:
            environment = os.environ | {"BIZMORI_API_KEY": self.sandbox.key}
            self.process = subprocess.Popen([*user, *command], env=environment, cwd="/", stderr=log)
        wait_until(lambda: self.log().count("daemon.ready") > before or self._has_ended(), READY_SECONDS, "ready")
        assert not self._has_ended(), self.log()[-2000:]

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def stop(self) -> list[str]:
        """End the daemon as systemd does; return where it hangs if it does not end in time."""
        hangs = []
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                self._send(number)
            except subprocess.TimeoutExpired:
                hangs.append(f"{number.name} does not end the daemon: {self._stacks()}")
        self.process = None
        return hangs

    def _send(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(STOP_SECONDS)
            self.process = None

    def _stacks(self) -> str:
        assert self.process is not None
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return "\n".join(f"{task.name}: {(task / 'stack').read_text()}" for task in tasks)

    def _has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def log(self) -> str:
        path = ROOT / "log"
        return whole_lines(path) if path.exists() else ""

    def drop(self, stem: str, count: int = 2, *, large: bool = False, shares: tuple[str, ...] = SHARES) -> None:
        """Let somebody else put pictures onto each share, who reaches the NAS by another way."""
        for share in shares:
            for number in range(count):
                name = f"{stem} {number}.{'bmp' if large else 'jpg'}"
                seed = sum(map(len, self.dropped.values()))
                content = sample("bmp", width=800, height=500, seed=seed) if large else _small(seed)
                self.dropped[share][name] = content
                self._write_half(share, name, content).rename(self.far(share) / "inbox" / name)

    def drop_unseen(self, name: str) -> None:
        """Drop a picture by two changes of a folder that bear one time, and list the folder between them."""
        for share in SHARES:
            inbox = self.far(share) / "inbox"
            content = self.dropped[share][name] = _small(sum(map(len, self.dropped.values())))
            half = self._write_half(share, name, content)
            changed = inbox.stat().st_ctime_ns
            os.listdir(self.near(share) / "inbox")
            time.clock_settime_ns(time.CLOCK_REALTIME, changed)
            half.rename(inbox / name)

    def _write_half(self, share: str, name: str, content: bytes) -> Path:
        half = self.far(share) / "inbox" / f".{name}.half"
        half.write_bytes(content)
        shutil.chown(half, "anna", "photos")
        half.chmod(0o664)
        return half

    def requests(self, operation: str) -> int:
        return self.sandbox.requests_by_operation().get(operation, 0)

    def await_delivery(self, *shares: str, seconds: float) -> None:
        """Wait for so long, and again while the log shows that it goes on: a machine under load takes its time."""
        for _ in range(_MOST_WAITS):
            said = self.log()
            with suppress(AssertionError):  # what is missing is told picture by picture
                wait_until(lambda: self._is_over(*shares), seconds, "")
                return
            if self.log() == said:
                return

    def _is_over(self, *shares: str) -> bool:
        return self._have_arrived(*shares) and not any((ROOT / "state/journal").glob("*.json"))

    def expect_delivery(self, share: str) -> None:
        wait_until(lambda: self._have_arrived(share), DELIVERY_SECONDS, f"all is delivered to {share}")

    def has_delivered(self, count: int) -> bool:
        return self.delivered() >= count

    def delivered(self) -> int:
        return sum(len(_pictures(self.far(share) / "protected")) for share in SHARES)

    def _have_arrived(self, *shares: str) -> bool:
        return all(_pictures(self.far(share) / "protected") >= set(self.dropped[share]) for share in shares)

    # --- in the end

    def complaints(self, share: str) -> list[str]:
        """Return each breach of the promises on this share, in words; the local one's are also those of the whole."""
        found = [*self._of_folders(share), *self._of_payments(share)]
        return found + list(self._of_all()) if share == LOCAL else found

    def has_only_parts_left(self) -> bool:
        """Is all that is wrong a hidden part of a result? A share that goes may keep it until the next start."""
        found = [complaint for share in SHARES for complaint in self.complaints(share)]
        return bool(found) and all("/.wf-" in complaint for complaint in found)

    def _of_folders(self, share: str) -> Iterator[str]:
        dropped, far = self.dropped[share], self.far(share)
        results = {name: self.expected(content) for name, content in dropped.items()}
        wanted = {"inbox": {}, "protected": results, "quarantine": {}, "originals": dropped}
        for folder, files in wanted.items():
            found = dict(_files(far / folder))
            for name, content in files.items():
                size = len(found[name]) if name in found else -1
                if found.pop(name, None) != content:
                    yield f"{folder}: {name} is not as it must be ({size} of {len(content)} bytes)"
            yield from (f"{folder}: {name} should not be there ({len(there)} bytes)" for name, there in found.items())

    def _of_payments(self, share: str) -> Iterator[str]:
        paid = self.sandbox.paid_files
        for name, content in self.dropped[share].items():
            times = paid.get(sha256(content), 0)
            if times != 1:
                yield f"{name} was paid for {times} times"

    def _of_all(self) -> Iterator[str]:
        yield from (f"sin: {sin}" for sin in self.sandbox.sins)
        yield from (f"an order is left: {path.read_text()[:600]}" for path in (ROOT / "state/journal").glob("*.json"))
        yield from (line for line in self.log().splitlines() if json.loads(line)["exception"])
        if self._has_ended():
            yield "the daemon has ended"
        if self.sandbox.paid != sum(map(len, self.dropped.values())):
            yield f"paid for {self.sandbox.paid} files"

    def expected(self, content: bytes) -> bytes:
        """Return what the service makes of the picture."""
        if content not in self._expected:
            with tempfile.TemporaryDirectory() as folder:
                source, target = Path(folder, "source"), Path(folder, "target")
                source.write_bytes(content)
                write_with_mark(source, target)
                self._expected[content] = target.read_bytes()
        return self._expected[content]


def _small(seed: int) -> bytes:
    return sample("jpeg", width=64, height=48, seed=seed)


def _pictures(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Give every file below the folder, hidden ones too, but for our marks."""
    for top, _, names in os.walk(folder):
        for name in names:
            if name not in _MARKS:
                path = Path(top, name)
                yield str(path.relative_to(folder)), path.read_bytes()


@contextmanager
def studio(lines: Mapping[str, str]) -> Iterator[Studio]:
    """Start the servers and mount the shares, each by the document's line of its protocol."""
    shares = {name: Share(name, kind, lines[kind.protocol]) for name, kind in KINDS.items()}
    smb = [name for name, share in shares.items() if share.kind.protocol == "cifs"]
    servers = Servers(smb, [name for name in shares if name not in smb])
    for user in ("studio", "anna"):
        call("useradd", "--no-create-home", "--groups", "photos", user)
    servers.set_up()
    _write_tables(shares)
    for share in shares.values():
        share.mount()
        share.check_protocol()
    with Sandbox(processing_seconds=0.5, look_seconds=0) as sandbox:
        yield Studio(servers, shares, sandbox)


def _write_tables(shares: Mapping[str, Share]) -> None:
    """Write /etc/fstab, the login for SMB and the map of autofs, and start that."""
    credentials = Path("/etc/watchfolder/nas")
    credentials.parent.mkdir(exist_ok=True)
    credentials.write_text("username=studio\npassword=pw\n")
    by_fstab = [share for share in shares.values() if not share.kind.by_autofs]
    for share in by_fstab:
        share.near.mkdir(parents=True)
    Path("/etc/fstab").write_text("".join(share.fstab for share in by_fstab))
    Path("/auto").mkdir()
    Path("/etc/auto.master").write_text("/auto /etc/auto.nas --timeout=5 nobind\n")
    Path("/etc/auto.nas").write_text("".join(share.autofs for share in shares.values() if share.kind.by_autofs))
    call("automount")
