"""What a folder refused: is it the inbox that cannot go on, or one file of it?"""

from watchfolder.disk import Held, NotAFolder, NotRegular
from watchfolder.errors import FolderFault
from watchfolder.order import Order, State
from watchfolder.pipeline.context import StepContext

_RIGHTS = frozenset({"EACCES", "EPERM"})  # a sub-folder may have others than the folder that was configured
BAD_SECTOR = "EIO"  # in a step that only reads, or of what could not be read before
_OBSTACLES = (NotAFolder, NotRegular)  # a link or the like lies in the place of one order's file or folder


def is_of_the_inbox(context: StepContext, order: Order, fault: FolderFault) -> bool:
    """Is a folder at fault that others of the inbox need? Else it is one file, or a sub-folder, and the inbox is well.

    What our own state directory refused is tried again as it is: a note of it could undo what a torn write has done.
    """
    if isinstance(fault, _OBSTACLES):
        return False
    is_perhaps_one_files = isinstance(fault, Held) or fault.code in _RIGHTS
    was_unreadable = order.why is not None and order.why.code == BAD_SECTOR
    is_perhaps_one_files |= fault.code == BAD_SECTOR and (order.state is State.CREATED or was_unreadable)
    if not is_perhaps_one_files or fault.path.startswith(f"{context.journal.state_dir}/"):
        return True
    try:
        context.folders.require(context.inbox)
        context.folders.require_room(context.inbox, order.size)
    except FolderFault:
        return True
    return False
