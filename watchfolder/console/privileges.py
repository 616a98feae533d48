"""A command run by root acts as the daemon's user: root's own files would lock the daemon out."""

import os
import pwd

from watchfolder import disk
from watchfolder.config.installed_unit import unit_of


def act_as_daemon(source: str, state_dir: str) -> str | None:
    """Become whom the daemon runs as: the user of its unit, or else the owner of its state directory."""
    unit = unit_of(source)
    try:
        user = pwd.getpwnam(unit.user) if unit else None
    except KeyError:  # the check of the folders will tell
        user = None
    if user is None or user.pw_uid == 0 or os.geteuid() != 0:
        return act_as_owner_of(state_dir)
    return _act_as(user.pw_uid, user.pw_gid)


def act_as_owner_of(folder: str) -> str | None:
    """Become the owner of `folder`, for good, when we are root and the folder is another user's; return their name.

    Call it before anything is written and after what only root may read has been read.
    """
    if os.geteuid() != 0:
        return None
    try:
        owner = os.stat(folder)
    except OSError:  # what is wrong with it is said where it is used
        return None
    return _act_as(owner.st_uid, owner.st_gid) if owner.st_uid else None


def is_of_another(folder: str) -> bool:
    """Tell whether `folder` belongs to somebody else than whom we act as."""
    try:
        return os.stat(folder).st_uid != os.geteuid()
    except OSError:  # what is wrong with it is said where it is used
        return False


def _act_as(user_id: int, group: int) -> str:
    try:
        user = pwd.getpwuid(user_id)
        name, group, groups = user.pw_name, user.pw_gid, os.getgrouplist(user.pw_name, user.pw_gid)
    except KeyError:  # a number without a name, as containers and NAS shares have them
        name, groups = str(user_id), []
    disk.act_as(user_id, group, groups)
    return name
