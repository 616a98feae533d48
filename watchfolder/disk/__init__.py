"""The only hands on the file system: what is written here survives a power cut, and nothing is ever overwritten.

The rules, each seen broken in a lab of power cuts on ext4, xfs and btrfs (a kill test finds none of them):

* Replace (`write_atomically`): a unique temporary name in the same folder, write in a loop, fsync the file, rename,
  fsync the folder, and only then act on it.
* Move (`move`): rename without replacing, fsync the *source* folder, then the destination (btrfs otherwise keeps both).
* Publish (`publish_new`): link the finished file to its last name, fsync the folder, only then drop the temporary one.
* Many files in one step (`FsyncBatch`): all renames or links, then each folder's fsync once, in the same order.
* A failed fsync is final: never again on the same data; a new try writes again, under a new name.
* Folders are opened one by one, never through a link, so that no one on a share can lead us outside.

FileNotFoundError and FileExistsError are answers and pass; every other OSError leaves as errors.FolderFault.
"""

from watchfolder.disk.durable import (
    append_line,
    append_to_table,
    hold_lock,
    make_marker,
    replace,
    show_beside_lock,
    sweep,
    write_atomically,
    write_new,
)
from watchfolder.disk.files import (
    create_new,
    has_writer,
    hash_of,
    holds,
    is_ours,
    is_regular,
    may_be_open,
    new_file,
    open_regular,
    open_to_read,
    read_bytes,
    remove,
    stat_of,
)
from watchfolder.disk.holes import find_hole
from watchfolder.disk.limits import (
    closed_folder,
    command_to_move,
    command_to_open,
    group_name,
    is_kept_in_place,
    may_write,
    name_limit,
    rights_of,
    room_in,
    user_name,
    why_not_read,
)
from watchfolder.disk.listing import Entry, folders_in, remove_empty_folders, scan
from watchfolder.disk.mounts import is_in_fstab, missing_mount, mount_of, mount_point_of, read_mount_table
from watchfolder.disk.moves import FsyncBatch, copy, move, publish_new
from watchfolder.disk.places import (
    HELD,
    HIDDEN,
    NOT_PLAIN,
    Held,
    NotAFolder,
    NotRegular,
    Place,
    UnfitName,
    folders_kept_open,
    hidden_part,
    make_folder,
    open_folder,
    translated,
)
from watchfolder.disk.sharing import (
    give_all,
    give_empty_folder,
    keep_secret,
    let_group_write,
    make_group_folder,
    may_write_in_new_folders,
)
from watchfolder.disk.standard_streams import hold_stdout, is_stdout_broken, open_closed_streams
from watchfolder.disk.timeouts import (
    ANSWER_SECONDS,
    Question,
    act_as,
    answer_of,
    follow_links,
    seconds_at_work,
    tell_answer,
)
