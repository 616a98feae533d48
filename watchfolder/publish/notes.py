"""Notes beside pictures: in quarantine what happened, when, and what to do now, for the picture's owner."""

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from typing_extensions import override

from watchfolder import disk, names
from watchfolder.disk import Place
from watchfolder.errors import FolderFault
from watchfolder.events import printable
from watchfolder.order import Order, State, Why, is_base_name
from watchfolder.services import flow_of

SUFFIX = ".why.txt"
_LINE = re.compile(r"^(What happened|What to do): +(.*)$", re.MULTILINE)
_MARK = re.compile(r'^watchfolder: (\{"order": .*\})$', re.MULTILINE)
_LIMIT = 1 << 16
_TRY_AGAIN = "Move this file back into the inbox to try again: {inbox}"
_ALREADY_PAID = "It was already paid for. Moving it back resumes the same order; it is not paid again."
_PERHAPS_PAID = "It may have been paid for. Moving it back asks for the same order again; it is not paid twice."


class PictureNote:
    """A file that tells of the picture beside it: written before that comes, removed if that gets another name."""

    def __init__(self, owner: str, place: Callable[[Place], Place], content: Callable[[Place], bytes]) -> None:
        """`place` and `content` are given the picture's place. `owner` marks the temporary files of a crash."""
        self.place = place
        self.content = content
        self._owner = owner

    def is_there(self, picture: Place) -> bool:
        content = self.content(picture)
        return disk.is_ours(self.place(picture), len(content), hashlib.sha256(content).hexdigest())

    def write(self, picture: Place) -> None:
        """Write it before the picture comes to its place. Raises FileExistsError when another file has its name."""
        try:
            disk.write_new(self.place(picture), self.content(picture), owner=self._owner)
        except FileExistsError:
            if not self.is_there(picture):
                raise

    def remove(self, picture: Place) -> None:
        """Take it away again, if it is this order's."""
        if self.is_there(picture):
            disk.remove(self.place(picture))


class QuarantineNote(PictureNote):
    def __init__(self, order: Order, inbox_path: str, owner: str) -> None:
        super().__init__(owner, place_of, lambda picture: _text(picture, order, inbox_path))
        self._order = order

    @override
    def is_there(self, picture: Place) -> bool:
        found = read(self.place(picture))
        return (found.order, found.picture) == (self._order.key, picture.base)


@dataclass(frozen=True)
class Note:
    """What a note in quarantine says."""

    reason: str = "its note is missing"
    advice: str = ""
    order: str | None = None  # its key; None: it is no note of ours
    picture: str = ""  # the base name of the picture beside it
    retry_helps: bool = True  # as far as anybody knows
    is_ours: bool = False  # our mark is its last line: nobody has written below


def place_of(picture: Place) -> Place:
    return picture.beside(names.with_end(picture.base, SUFFIX, disk.name_limit(picture.root)))


def read(why: Place) -> Note:
    """Read a note as far as that can be read: anybody on the share can have changed it."""
    try:
        text = disk.read_bytes(why, _LIMIT).decode("utf-8", "replace")
    except (FileNotFoundError, FolderFault):
        return Note()
    said = dict(_LINE.findall(text))
    note = Note(said.get("What happened", Note.reason), said.get("What to do", ""))
    try:
        last = _MARK.findall(text)[-1]
        mark = json.loads(last)
        picture = os.fsdecode(unquote_to_bytes(str(mark["file"])))
    except (IndexError, KeyError, ValueError, RecursionError):
        return note
    if not is_base_name(picture):
        return note
    retry_helps = mark.get("retry_helps") is not False
    is_ours = text.rstrip("\n").endswith(last)
    return Note(note.reason, note.advice, str(mark["order"]), picture, retry_helps, is_ours)


def _text(picture: Place, order: Order, inbox_path: str) -> bytes:
    why = order.why or Why(reason="unknown")
    when = order.times[State.QUARANTINING].at.astimezone()
    unknown = "unknown" if order.was_rebuilt or order.charged else "none was made"
    lines = [
        f"{printable(picture.base)} could not be {flow_of(order).done}.",
        "",
        f"What happened: {printable(why.reason)}",
        f"When:          {when:%Y-%m-%d %H:%M:%S %Z}",
        f"What to do:    {why.advice or _TRY_AGAIN.format(inbox=printable(inbox_path))}",
        *_paid_lines(order),
    ]
    support = {
        "order at the service": order.order_id or unknown,
        "our name for it": order.name if flow_of(order).is_listed else f"none; its key is {order.key}",
        "code": printable(why.code) or "none",
    }
    support |= {"the service says": printable(why.said)} if why.said else {}
    lines += ["", "For support:", *(f"  {f'{what}:':21} {words}" for what, words in support.items())]
    lines += ["", "This note goes away by itself when its picture has left this folder."]
    mark = {"order": order.key, "file": quote(os.fsencode(picture.base)), "retry_helps": why.retry_helps}
    text = "\n".join([*lines, f"watchfolder: {json.dumps(mark)}", ""])
    return text.encode("utf-8", "backslashreplace")


def _paid_lines(order: Order) -> list[str]:
    words = _ALREADY_PAID if order.order_id else _PERHAPS_PAID
    return [f"{'':15}{words}"] if order.is_paid and order.is_resumable else []
