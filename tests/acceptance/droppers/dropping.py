"""How people and programs put a picture into the inbox: one row of DROPPERS each."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from drop_line import SlowLine
from drop_servers import START_SECONDS, Server, end

SLOW = 400_000  # bytes per second
APPENDIX_BYTES = 100_000
STALL_AFTER_SECONDS = 1.5
PROGRAMS = {
    "smbd": "samba",
    "smbclient": "smbclient",
    "sshd": "openssh-server",
    "sftp": "openssh-client",
    "scp": "openssh-client",
    "rsync": "rsync",
    "vsftpd": "vsftpd",
    "curl": "curl",
    "vim": "vim",
    "sshfs": "sshfs",
}


@dataclass(frozen=True)
class Drop:
    """One picture on its way to its name in the inbox."""

    source: Path
    name: str
    inbox: Path
    servers: Mapping[str, Server]
    is_slow: bool = False
    port: int = 0  # of the slow line

    @property
    def target(self) -> Path:
        return self.inbox / self.name

    def ssh(self) -> str:
        return f"-F {self.servers['ssh'].home}/client.conf"

    def brake(self, option: str, per_unit: float) -> str:
        return f"{option}{int(SLOW / per_unit)}" if self.is_slow else ""

    def quoted(self, words: str) -> str:
        """Fill in the words of a shell command."""
        facts = {"source": self.source, "name": self.name, "inbox": self.inbox, "target": self.target}
        return words.format(**{word: shlex.quote(str(fact)) for word, fact in facts.items()})


def _smb(drop: Drop) -> str:
    port = drop.port or drop.servers["smb"].port
    put = shlex.quote(f'put "{drop.source}" "{drop.name}"')
    return f"smbclient -p {port} -N -m SMB3 //127.0.0.1/inbox -c {put}"


def _sftp(drop: Drop) -> str:
    put = shlex.quote(f'put "{drop.source}" "{drop.target}"')
    return f"echo {put} | sftp -q {drop.brake('-l ', 125)} {drop.ssh()} -b - nas"


def _scp(drop: Drop) -> str:
    return drop.quoted(f"scp -q {drop.brake('-l ', 125)} {drop.ssh()} {{source}} nas:{{target}}")


def _scp_old(drop: Drop) -> str:
    return drop.quoted(f"scp -O -q {drop.brake('-l ', 125)} {drop.ssh()} {{source}} nas:{{target}}")


def _rsync(drop: Drop, options: str = "") -> str:
    door = f"rsync://127.0.0.1:{drop.servers['rsync'].port}/inbox/"
    return drop.quoted(f"rsync {options} {drop.brake('--bwlimit=', 1024)} {{source}} {door}{{name}}")


def _rsync_in_place(drop: Drop) -> str:
    return _rsync(drop, "--inplace --ignore-times")


def _ftp(drop: Drop) -> str:
    door = f"ftp://127.0.0.1:{drop.servers['ftp'].port}/inbox/"
    return drop.quoted(f"curl -sS {drop.brake('--limit-rate ', 1)} -T {{source}} {door}{{name}}")


def _cp(drop: Drop) -> str:
    if drop.is_slow:
        return f"{_slowly(drop)} | {drop.quoted('cp /dev/stdin {target}')}"
    return drop.quoted("cp {source} {target}")


def _slowly(drop: Drop) -> str:
    """Print the picture four times a second a piece."""
    piece = SLOW // 4
    last = drop.source.stat().st_size // piece
    dd = drop.quoted(f"dd if={{source}} bs={piece} count=1 skip=$piece status=none")
    return f"for piece in {{0..{last}}}; do {dd}; sleep 0.25; done"


def _in_two_sittings(tool: str) -> Callable[[Drop], str]:
    """Write what is a whole picture by itself, keep it open, and add what a camera lays behind it (a motion photo)."""
    parts = f"(head -c -{APPENDIX_BYTES} {{source}}; sleep 2.5; tail -c {APPENDIX_BYTES} {{source}})"
    return lambda drop: drop.quoted(f"{parts} | {tool}").replace("SSH", f"ssh {drop.ssh()} nas")


def _mv(drop: Drop) -> str:
    return drop.quoted("cp {source} {inbox}/../{name} && mv {inbox}/../{name} {target}")


def _mv_from_elsewhere(drop: Drop) -> str:
    elsewhere = f"/dev/shm/{drop.source.parent.name}"  # noqa: S108 - another file system; the name is from mkdtemp
    return drop.quoted(f"cp {{source}} {elsewhere} && mv {elsewhere} {{target}}")


def _editor(drop: Drop) -> str:
    save = shlex.quote(f"write! {drop.target}")
    return drop.quoted(f"vim -u NONE -i NONE -N -es -b -c {save} -c quit! {{source}}")


def _browser(drop: Drop) -> str:
    load = _slowly(drop) if drop.is_slow else drop.quoted("cat {source}")
    return f"({load})" + drop.quoted(" > {target}.crdownload && mv {target}.crdownload {target}")


DROPPERS: dict[str, Callable[[Drop], str]] = {
    "smbclient": _smb,
    "sftp": _sftp,
    "scp": _scp,
    "scp -O": _scp_old,
    "rsync": _rsync,
    "rsync --inplace": _rsync_in_place,
    "ftp": _ftp,
    "cp": _cp,
    "mv": _mv,
    "mv from another disk": _mv_from_elsewhere,
    "an editor": _editor,
    "a browser": _browser,
}
TWO_SITTINGS: dict[str, Callable[[Drop], str]] = {
    "cp in two sittings": _in_two_sittings("cp /dev/stdin {target}"),
    "ssh in two sittings": _in_two_sittings("SSH 'cat >'{target}"),
}
WITH_A_BRAKE = [name for name in DROPPERS if name not in {"mv", "mv from another disk", "an editor"}]


def missing() -> list[str]:
    """Return the Debian packages that are wanting."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    return sorted({package for program, package in PROGRAMS.items() if shutil.which(program, path=path) is None})


def stall(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Let a client stand still amid its work, as one whose network is gone for a while."""
    os.killpg(process.pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGCONT)


@contextlib.contextmanager
def mounted(far: Path, near: Path, servers: Mapping[str, Server]) -> Iterator[None]:
    """Mount a folder of the NAS: what others write there makes no event here."""
    near.mkdir()
    options = f"dir_cache=no,ssh_command=ssh {Drop(far, '', far, servers).ssh()}"
    command = ["sshfs", "-f", f"nas:{far}", str(near), "-o", options]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not near.is_mount():
            assert process.poll() is None, "sshfs ended"
            assert time.monotonic() < deadline, "sshfs does not mount"
            time.sleep(0.05)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(near)], check=False)
        end(process)


def finish(how: str, drop: Drop, *, stalls_for: float = 0.0) -> float:
    """Drop the picture and return when (monotonic seconds) its writer had closed it."""
    with dropping(how, drop) as process:
        if stalls_for:
            time.sleep(STALL_AFTER_SECONDS)
            assert process.poll() is None, "it was over before it could stall"
            stall(process, stalls_for)
        out, _ = process.communicate(timeout=60)
        closed = time.monotonic()
        assert process.returncode == 0, out.decode()
        return closed


@contextlib.contextmanager
def dropping(how: str, drop: Drop) -> Iterator["subprocess.Popen[bytes]"]:
    """Have the client at work; what still runs at the end is killed."""
    with contextlib.ExitStack() as held:
        if how == "smbclient" and drop.is_slow:
            line = held.enter_context(SlowLine(drop.servers["smb"].port, SLOW))
            drop = Drop(drop.source, drop.name, drop.inbox, drop.servers, is_slow=True, port=line.port)
        command = ["bash", "-o", "pipefail", "-c", (DROPPERS | TWO_SITTINGS)[how](drop)]
        environ = {"PATH": f"{os.environ['PATH']}:/usr/sbin", "HOME": str(drop.source.parent), "LC_ALL": "C.UTF-8"}
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environ,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            end(process)
            assert process.stdout is not None
            process.stdout.close()
