"""Samba, OpenSSH, rsync and vsftpd as a NAS runs them: on loopback ports, all writing into one inbox."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from free_ports import free_port

START_SECONDS = 60.0

SAMBA = """[global]
server role = standalone server
map to guest = Bad User
interfaces = lo
bind interfaces only = yes
smb ports = {port}
disable netbios = yes
load printers = no
printcap name = /dev/null
private dir = {home}/private
lock directory = {home}/lock
state directory = {home}/state
cache directory = {home}/cache
pid directory = {home}/pid
ncalrpc dir = {home}/ncalrpc
log file = {home}/log
[inbox]
path = {inbox}
guest ok = yes
read only = no
"""

SSH = """Port {port}
ListenAddress 127.0.0.1
HostKey {home}/host
PidFile {home}/pid
AuthorizedKeysFile {home}/user.pub
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
# Its default turns some of those away who come at the same time.
MaxStartups 100
Subsystem sftp internal-sftp
"""

SSH_CLIENT = """Host nas
  HostName 127.0.0.1
  Port {port}
  User root
  IdentityFile {home}/user
  IdentitiesOnly yes
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
"""

RSYNC = """address = 127.0.0.1
port = {port}
use chroot = no
uid = root
gid = root
log file = {home}/log
[inbox]
path = {inbox}
read only = no
"""

VSFTPD = """listen=YES
listen_address=127.0.0.1
listen_port={port}
background=NO
anonymous_enable=YES
no_anon_password=YES
anon_root={share}
write_enable=YES
anon_upload_enable=YES
anon_other_write_enable=YES
anon_umask=022
local_enable=NO
pasv_address=127.0.0.1
vsftpd_log_file={home}/log
"""


@dataclass(frozen=True)
class Server:
    """Where one listens, and where it keeps what it needs."""

    port: int
    home: Path


@contextlib.contextmanager
def servers(top: Path, inbox: Path) -> Iterator[Mapping[str, Server]]:
    """Run all of them. `inbox` lies in a folder that anonymous FTP may see."""
    starts = {"smb": _start_samba, "ssh": _start_ssh, "rsync": _start_rsync, "ftp": _start_ftp}
    with contextlib.ExitStack() as running:
        found = {}
        for name, start in starts.items():
            home = top / name
            home.mkdir()
            found[name] = Server(free_port(), home)
            command = start(found[name], inbox)
            running.enter_context(_running(command, found[name]))
        yield found


def _start_samba(server: Server, inbox: Path) -> Sequence[str]:
    for folder in ("private", "lock", "state", "cache", "pid", "ncalrpc"):
        (server.home / folder).mkdir()
    config = _write(server.home / "smb.conf", SAMBA, server, inbox)
    return ["smbd", "--foreground", "--no-process-group", "-s", config]


def _start_ssh(server: Server, inbox: Path) -> Sequence[str]:
    for key in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(server.home / key)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    Path("/run/sshd").mkdir(exist_ok=True)
    _write(server.home / "client.conf", SSH_CLIENT, server, inbox)
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")  # it insists on its whole path
    return [str(sshd), "-D", "-e", "-f", _write(server.home / "sshd.conf", SSH, server, inbox)]


def _start_rsync(server: Server, inbox: Path) -> Sequence[str]:
    return ["rsync", "--daemon", "--no-detach", f"--config={_write(server.home / 'rsyncd.conf', RSYNC, server, inbox)}"]


def _start_ftp(server: Server, inbox: Path) -> Sequence[str]:
    Path("/run/vsftpd/empty").mkdir(parents=True, exist_ok=True)
    return ["vsftpd", _write(server.home / "vsftpd.conf", VSFTPD, server, inbox)]


def _write(path: Path, text: str, server: Server, inbox: Path) -> str:
    path.write_text(text.format(port=server.port, home=server.home, inbox=inbox, share=inbox.parent))
    return str(path)


@contextlib.contextmanager
def _running(command: Sequence[str], server: Server) -> Iterator[None]:
    """Run one in a session of its own, so that its end is that of its workers too."""
    log = server.home / "out"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    try:
        _wait_for(server.port, process, log)
        yield
    finally:
        end(process)


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and all of its session."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, log.read_text()[-2000:]
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.05)
