"""In the machine: Samba and the kernel's NFS server on one small disk, and what befalls servers. As root."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from waiting import wait_until

STORE = Path("/srv/store")  # what the servers keep
DISK_BYTES = 300 << 20
SMB_PORT, NFS_PORT = 445, 2049
GRACE_SECONDS = 10  # in which an NFS server that starts only lets its clients reclaim; the least that it takes
_MODULES = ("ext4", "loop", "cifs", "nfs", "nfsv3", "nfsv4", "nfsd", "autofs4", "iptable_filter")
_SMB_CONF = """[global]
interfaces = lo
bind interfaces only = yes
server min protocol = SMB3_11
load printers = no
"""
_SMB_SHARE = """[{name}]
path = {path}
read only = no
force user = studio
force group = photos
create mask = 0664
directory mask = 2775
"""


class Servers:
    """Serve the folders of `smb` and of `nfs` below the store under their own names, as //nas/NAME and nas:/NAME."""

    def __init__(self, smb: Sequence[str], nfs: Sequence[str]) -> None:
        self._smb = smb
        self._nfs = nfs

    def set_up(self) -> None:
        """Make everything that outlives the servers' own lives."""
        for module in _MODULES:
            subprocess.run(["modprobe", module], check=False, capture_output=True)
        disk = Path("/tmp/disk")  # noqa: S108 - the machine is nobody else's
        with disk.open("wb") as file:
            file.truncate(DISK_BYTES)
        call("mkfs.ext4", "-q", "-m", "0", str(disk))
        STORE.mkdir(parents=True)
        call("mount", "-o", "loop", str(disk), str(STORE))
        for name in (*self._smb, *self._nfs):
            (STORE / name).mkdir()
        with open("/etc/hosts", "a") as hosts:
            hosts.write("127.0.0.1 nas\n")
        call("smbpasswd", "-s", "-a", "studio", text="pw\npw\n")
        for folder in ("/run/samba", "/var/log/samba", "/run/rpcbind", "/var/lib/nfs/v4recovery"):
            Path(folder).mkdir(parents=True, exist_ok=True)
        call("rpcbind")
        call("mount", "-t", "nfsd", "nfsd", "/proc/fs/nfsd")
        call("rpc.statd", "--no-notify")
        self._export()
        self.start()

    def start(self) -> None:
        subprocess.run(["rpc.mountd"], check=False, capture_output=True)
        call("rpc.nfsd", "-G", str(GRACE_SECONDS), "-L", str(GRACE_SECONDS), "8")
        call("smbd", "-D")
        wait_until(lambda: all(map(_answers, (SMB_PORT, NFS_PORT))), 60, "the servers answer")

    def stop(self) -> None:
        """End them as a NAS does that is shut down."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.kill()
        self.start()

    def lose_power(self) -> None:
        """Let every packet to them get lost."""
        for port in (SMB_PORT, NFS_PORT):
            call("iptables-legacy", "-I", "INPUT", "-p", "tcp", "--dport", str(port), "-j", "DROP")

    def boot(self) -> None:
        """Come back after the loss of power, and remember no connection."""
        self.kill()
        call("iptables-legacy", "-F", "INPUT")
        self.start()

    def withdraw(self) -> None:
        """Serve the folders no more, though clients have them mounted.

        Samba ends its connections for it. A share that it closes on one that lives (`smbcontrol smbd close-share`) has
        the client of Linux 6.1 write what is under way again and again, and nothing else runs on the one processor.
        """
        call("exportfs", "-au")
        _configure_samba([])
        self._restart_samba()

    def grant(self) -> None:
        """Serve them again."""
        self._export()
        self._restart_samba()

    def _restart_samba(self) -> None:
        """Let its clients connect anew: only then they ask which shares there are."""
        _end_processes(signal.SIGTERM, "smbd")
        wait_until(lambda: not _answers(SMB_PORT), 60, "Samba is gone")
        call("smbd", "-D")

    def fill(self) -> None:
        """Leave not one free byte on the servers' disk."""
        with contextlib.suppress(OSError), (STORE / "ballast").open("wb", buffering=0) as ballast:
            os.posix_fallocate(ballast.fileno(), 0, shutil.disk_usage(STORE).free)
        with contextlib.suppress(OSError), (STORE / "ballast").open("ab", buffering=0) as ballast:
            while ballast.write(bytes(512)):
                pass
        os.sync()

    def make_room(self) -> None:
        (STORE / "ballast").unlink()

    def _export(self) -> None:
        for number, name in enumerate(self._nfs, start=1):
            options = f"rw,no_subtree_check,no_root_squash,fsid={number}"
            call("exportfs", "-o", options, f"127.0.0.1:{STORE / name}")
        _configure_samba(self._smb)

    def _end(self, number: signal.Signals) -> None:
        _end_processes(number, "smbd", "rpc.mountd")
        call("rpc.nfsd", "0")
        wait_until(lambda: not any(map(_answers, (SMB_PORT, NFS_PORT))), 60, "the servers are gone")


def _configure_samba(names: Sequence[str]) -> None:
    shares = [_SMB_SHARE.format(name=name, path=STORE / name) for name in names]
    Path("/etc/samba/smb.conf").write_text(_SMB_CONF + "".join(shares))
    subprocess.run(["smbcontrol", "all", "reload-config"], check=False, capture_output=True)


def _end_processes(number: signal.Signals, *names: str) -> None:
    for name in names:
        subprocess.run(["pkill", f"-{number}", "-x", name], check=False, capture_output=True)


def call(*command: str, text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{command}: {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    return False
