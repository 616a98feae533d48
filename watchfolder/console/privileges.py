"""A command run by root acts as the daemon's user: root's own files would lock the daemon out."""

import os
import pwd


def act_as_owner_of(folder: str) -> str | None:
    """Become the owner of `folder`, for good, when we are root and the folder is another user's; return their name.

    Real and effective ids change together: access(2) asks the real one. Call it before anything is written and after
    what only root may read has been read.
    """
    if os.geteuid() != 0:
        return None
    try:
        owner = os.stat(folder)
    except OSError:  # what is wrong with it is said where it is used
        return None
    if owner.st_uid == 0:
        return None
    try:
        user = pwd.getpwuid(owner.st_uid)
        os.initgroups(user.pw_name, user.pw_gid)
        name, group = user.pw_name, user.pw_gid
    except KeyError:  # a number without a name, as containers and NAS shares have them
        os.setgroups([])
        name, group = str(owner.st_uid), owner.st_gid
    os.setresgid(group, group, group)
    os.setresuid(owner.st_uid, owner.st_uid, owner.st_uid)
    return name
