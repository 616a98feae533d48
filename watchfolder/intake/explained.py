"""What the daemon thinks of one file, asked beside it."""

import os

from watchfolder import disk
from watchfolder.config import Inbox
from watchfolder.disk import Place
from watchfolder.intake.look import STILL_WRITTEN, Action, Decision, decide
from watchfolder.intake.settle import Sighting
from watchfolder.names import Ignored


def explain(inbox: Inbox, name: str, now: float, wall: float, *, has_writer: bool = False) -> Decision | str:
    """Say what the daemon thinks of `name` in the inbox: a Decision, or the pattern that leaves it alone.

    `now` is monotonic, `wall` the clock's seconds; without the daemon's memory, age counts from the last change of
    the file or its name. `has_writer` is what was found out with more rights than ours. Raises FolderFault.
    """
    ignored = Ignored(inbox.ignore)
    folder, base = os.path.split(name)
    parts = [part for part in folder.split("/") if part]
    if parts and not inbox.recursive:
        return "sub-folders are not watched (recursive: false)"
    for pattern in [*map(ignored.folder, parts), ignored.file(base)]:
        if pattern is not None:
            return f"names like {pattern} are left alone (lift it with '!{pattern}' under ignore)"
    found = disk.stat_of(Place(inbox.path, name))
    if found is None:
        return Decision(Action.GONE, "there is no such file in the inbox")
    if not disk.is_regular(found):
        return Decision(Action.STAY, "it is no plain file (a folder, a link, a pipe or a device)")
    seen = now - max(0.0, wall - found.st_ctime)
    sighting = Sighting(found.st_size, found.st_mtime_ns, first_seen=seen, since=seen)
    decision = decide(inbox, name, sighting, now)
    is_done = decision.answer in {Action.TAKE, Action.REFUSE} or decision.obstacle is not None
    return Decision(Action.WAIT, STILL_WRITTEN) if has_writer and is_done else decision
