"""A share that has stopped answering: a FUSE file system behind which nobody listens."""

import contextlib
import os
from collections.abc import Iterator

from machine import Machine


@contextlib.contextmanager
def hung_share(machine: Machine, folder: str) -> Iterator[None]:
    """Cover a folder of the machine by it: each look waits. In the end the share dies, and the folder is back."""
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    try:
        options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
        machine.run("mount", "-i", "-t", "fuse.sshfs", "-o", options, "nas:", folder, files=[device])
        yield
    finally:
        os.close(device)
        machine.run("umount", "--lazy", folder, check=False)
