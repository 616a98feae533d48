"""What keeps us from taking a file though it is a picture, and what a person types to mend it."""

import os
import stat
from dataclasses import dataclass

from watchfolder import disk
from watchfolder.config import Inbox
from watchfolder.disk import NotAFolder, Place
from watchfolder.errors import FolderFault
from watchfolder.services import flow_of


@dataclass(frozen=True, slots=True)
class Obstacle:
    """`folder` is the path that is told to people; files with the same `folder` and `together` share one obstacle.

    `command` mends it for this file, `together` for all such files of that folder; "" where no command can.
    """

    folder: str
    reason: str
    command: str = ""
    together: str = ""
    files: int = 1  # 0: of a folder that nobody can look into


def to_look_in(inbox: Inbox, folder: str) -> Obstacle:
    """Return what keeps us from reading a sub-folder."""
    place = Place(inbox.path, folder)
    command = disk.command_to_open(inbox.path, folder)
    return Obstacle(place.path, f"the folder has {disk.rights_of(place)}", command, command, files=0)


def to_read(inbox: Inbox, name: str, reason: str, *, is_of_rights: bool) -> Obstacle:
    """Return what keeps us from reading a file that is there: its rights, or what `reason` says."""
    place, folder = Place(inbox.path, name), os.path.dirname(name)
    where = os.path.dirname(place.path)
    if not is_of_rights:
        return Obstacle(where, reason)
    together = disk.command_to_open(inbox.path, folder, is_for_all=True)
    command = disk.command_to_open(inbox.path, name)
    return Obstacle(where, f"we may not read what has {disk.rights_of(place)}", command, together)


def to_move(inbox: Inbox, name: str, descriptor: int) -> Obstacle | None:
    """Return what forbids us to move the file, as far as that can be known without trying."""
    folder = os.path.dirname(name)
    if disk.is_kept_in_place(descriptor):
        command = disk.command_to_move(inbox.path, name)
        together = disk.command_to_move(inbox.path, folder, is_for_all=True)
        return Obstacle(_path(inbox.path, folder), "it is marked unchangeable (chattr)", command, together)
    with disk.open_folder(inbox.path, folder) as above:
        found = os.fstat(above)
        if disk.is_kept_in_place(above):
            command = disk.command_to_move(inbox.path, folder)
            return Obstacle(_path(inbox.path, folder), "the folder is marked unchangeable (chattr)", command, command)
    if not disk.may_write(inbox.path, folder):
        return closed(inbox.path, folder)
    is_sticky = bool(found.st_mode & stat.S_ISVTX)
    if is_sticky and os.geteuid() not in {0, os.fstat(descriptor).st_uid, found.st_uid}:
        command = disk.command_to_open(inbox.path, folder, is_sticky=True)
        return Obstacle(_path(inbox.path, folder), f"the folder has {_rights(inbox.path, folder)}", command, command)
    return None


def closed(root: str, folder: str) -> Obstacle:
    """Return that we may not write in a folder. Names the highest closed one: its command opens all that is in it."""
    parts = folder.split("/")
    above = ["/".join(parts[:number]) for number in range(1, len(parts))]
    first = next((each for each in above if not os.access(os.path.join(root, each), os.W_OK | os.X_OK)), folder)
    command = disk.command_to_open(root, first)
    return Obstacle(_path(root, first), f"the folder has {_rights(root, first)}", command, command)


def on_the_way(inbox: Inbox, name: str) -> Obstacle | None:
    """Return the first sub-folder of the outbox or the originals that will not take the file: asked before it is paid.

    A file in a folder's place is no obstacle, for another folder will do; but a recipient's folder is the only one.
    """
    flow = flow_of(inbox)
    has_recipients = any(flow.recipients_of(inbox, name))
    places = [(inbox.outbox, folder) for folder in flow.folders_of(inbox, name)]
    places += [(inbox.originals, os.path.dirname(name))] if inbox.originals else []
    for root, wanted in places:
        folder = wanted
        while folder:
            try:
                if disk.may_write(root, folder):
                    break
                reason = f"{os.path.join(root, folder)} has {disk.rights_of(Place(root, folder))}"
                command = disk.command_to_open(root, folder)
                return Obstacle(_path(inbox.path, os.path.dirname(name)), reason, command, command)
            except (FileNotFoundError, FolderFault) as fault:  # not there, or not to be reached: what is above it tells
                if isinstance(fault, NotAFolder) and has_recipients and root == inbox.outbox:
                    return Obstacle(_path(inbox.path, os.path.dirname(name)), fault.reason)
                folder = os.path.dirname(folder)
    return None


def _path(root: str, folder: str) -> str:
    return os.path.join(root, folder) if folder else root


def _rights(root: str, folder: str) -> str:
    return disk.rights_of(Place(root, folder or "."))
