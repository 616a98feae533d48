"""Four inboxes, each with another folder on a share of its own, a fifth on the local disk, and what befalls a share."""

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cli_studio import Daemon, Studio
from contents import files_in, sha256
from waiting import wait_until

from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

ROLES = ("inbox", "outbox", "originals", "quarantine")
LOCAL = "photos"
SFTP_SERVER = Path("/usr/lib/openssh/sftp-server")
_SECONDS = 60


@dataclass
class Share:
    """`far` is what the server keeps, `near` where it is mounted here. `sshfs` serves it instead of the kernel."""

    far: Path
    near: Path
    is_network: bool = False
    server: "subprocess.Popen[bytes] | None" = None  # of the mount, if it is a network's

    def mount(self) -> None:
        self.near.mkdir(exist_ok=True)
        if self.is_network:
            self._serve()
        else:
            _call("mount", "--bind", str(self.far), str(self.near))

    def unmount(self) -> None:
        if self.server is not None:
            self.server.kill()  # a server that stands still would hold up the unmount
            self.server.wait()
            self.server = None
        subprocess.run(["umount", "--lazy", str(self.near)], check=False, capture_output=True, timeout=_SECONDS)

    def send(self, number: signal.Signals) -> None:
        assert self.server is not None
        self.server.send_signal(number)

    def remount(self, how: str) -> None:
        """Change the mount to `ro` or `rw`; while somebody writes the kernel refuses."""
        command = ["mount", "-o", f"remount,bind,{how}", str(self.near)]
        wait_until(lambda: subprocess.run(command, check=False, capture_output=True, timeout=_SECONDS).returncode == 0)

    def own(self, user: int) -> None:
        """Let everything on the share belong to `user` alone."""
        found = [Path(top, name) for top, folders, files in os.walk(self.far) for name in (*folders, *files)]
        for path in (self.far, *found):
            with contextlib.suppress(FileNotFoundError):
                os.chown(path, user, -1, follow_symlinks=False)

    def _serve(self) -> None:
        command = ["sshfs", "-f", f"nas:{self.far}", str(self.near), "-o"]
        login = self.far.with_suffix(".login")  # in place of ssh: it asks for a host that is not there
        login.write_text(f"#!/bin/sh\nexec {SFTP_SERVER}\n")
        login.chmod(0o755)
        options = f"ssh_command={login},allow_other,dir_cache=no"
        self.server = subprocess.Popen([*command, options], stdin=subprocess.DEVNULL)
        wait_until(self.near.is_mount)


@dataclass
class ShareStudio:
    """Knows what was dropped where, so that it can tell in the end whether all of it arrived."""

    studio: Studio
    sandbox: Sandbox
    shares: dict[str, Share]
    dropped: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def folder(self, inbox: str, role: str) -> Path:
        if inbox == LOCAL:
            return self.studio.folder(role)
        return self.shares[inbox].near if inbox == role else self.studio.root / "local" / inbox / role

    def drop(self, inbox: str, *names: str) -> None:
        for name in names:
            content = sample("jpeg", width=64, height=48, seed=sum(map(len, self.dropped.values())))
            self.dropped.setdefault(inbox, {})[name] = content
            far = self.shares[inbox].far if inbox == "inbox" else self.folder(inbox, "inbox")  # others reach the NAS
            (far / name).write_bytes(content)

    def await_delivery(self, inbox: str, seconds: float = _SECONDS) -> None:
        """Wait until all that was dropped there has arrived; names with `_fail` arrive in quarantine."""
        good = sorted(name for name in self.dropped[inbox] if "_fail" not in name)
        bad = sorted(name for name in self.dropped[inbox] if "_fail" in name)

        def has_arrived() -> bool:
            try:
                found = {role: files_in(self.folder(inbox, role)) for role in ROLES}
            except OSError:  # sshfs: a folder that goes while we look through it is stale
                return False
            notes = [f"{name}.why.txt" for name in bad]
            wanted = {"inbox": [], "outbox": good, "originals": good, "quarantine": sorted(bad + notes)}
            return found == wanted

        wait_until(has_arrived, seconds)

    def expect_all_is_well(self) -> None:
        self.expect_all_arrived()
        self.expect_nothing_left_over()

    def expect_all_arrived(self) -> None:
        """Everything is there byte for byte and was paid for once."""
        for inbox, files in self.dropped.items():
            self.await_delivery(inbox)
            for name, content in files.items():
                role = "quarantine" if "_fail" in name else "originals"
                assert (self.folder(inbox, role) / name).read_bytes() == content
        wait_until(lambda: not list((self.studio.root / "state/journal").iterdir()))
        contents = [content for files in self.dropped.values() for content in files.values()]
        assert self.sandbox.paid_files == {sha256(content): 1 for content in contents}
        assert self.sandbox.sins == []

    def expect_nothing_left_over(self) -> None:
        """Check that of hidden files there are only the folders' marks and the work folder's own."""
        folders = [self.folder(inbox, role) for inbox in self.dropped for role in ROLES]
        hidden = [path for folder in folders for path in folder.rglob(".*/**/*") if path.is_file()]
        assert [path for path in hidden if path.name != "owner.json"] == []


def told(daemon: Daemon, *events: str) -> list[tuple[str, str]]:
    """Return inbox and event of each of these log lines, in their order."""
    lines = map(json.loads, daemon.log().splitlines())
    return [(line["facts"]["inbox"], line["event"]) for line in lines if line["event"] in events]


@contextlib.contextmanager
def share_studio(*, is_network: bool = False, user: str = "root", make: type[Studio] = Studio) -> Iterator[ShareStudio]:
    """Give the five inboxes, the shares mounted; the daemon acts as `user`."""
    skip_unless_possible(is_network=is_network)
    root = Path(tempfile.mkdtemp(prefix="watchfolder-share-"))  # pytest's own folders are closed to other users
    root.chmod(0o755)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, root)
        sandbox = stack.enter_context(Sandbox(processing_seconds=2.0, look_seconds=0))
        studio = make(root, sandbox.url)
        shares = {role: Share(root / "nas" / role, root / "mounted" / role, is_network) for role in ROLES}
        made = ShareStudio(studio, sandbox, shares)
        (root / "mounted").mkdir()
        for share in shares.values():
            share.far.mkdir(parents=True)
            stack.callback(share.unmount)
            share.mount()
        studio.configure(inboxes={role: _settings(made, role) for role in ROLES})
        Share(root, root).own(pwd.getpwnam(user).pw_uid)
        yield made


def _settings(made: ShareStudio, inbox: str) -> dict[str, object]:
    folders = {role: made.folder(inbox, role) for role in ROLES}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    paths = {"path" if role == "inbox" else role: str(folder) for role, folder in folders.items()}
    each = {"max_files_per_order": 1, "duplicates": "again"}  # each is paid for once
    return paths | {"settle_seconds": 0.2, "scan_seconds": 1} | each


def skip_unless_possible(*, is_network: bool) -> None:
    """Skip without the right to mount; in CI as root a tool that is missing is a failure."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    if is_network:
        missing = [str(name) for name in ("sshfs", SFTP_SERVER) if shutil.which(name) is None]
        assert not (missing and "CI" in os.environ), f"CI must install {missing}"
        if missing or not os.path.exists("/dev/fuse"):
            pytest.skip(f"needs {', '.join(missing) or '/dev/fuse'}")
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True, timeout=_SECONDS).returncode:
        pytest.skip("mounts are forbidden here")


def _call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=_SECONDS)
