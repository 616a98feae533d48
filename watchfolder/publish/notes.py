"""The why file beside each quarantined picture: what happened, when, and what to do now, for its owner."""

import json
import os
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from watchfolder import disk, names
from watchfolder.disk import Place
from watchfolder.errors import FolderFault
from watchfolder.events import printable
from watchfolder.order import Order, State, Why, is_base_name
from watchfolder.services import flow_of

SUFFIX = ".why.txt"
_MARK = "watchfolder: "
_LIMIT = 1 << 16
_TRY_AGAIN = "Move this file back into the inbox to try again: {inbox}"
_ALREADY_PAID = "It was already paid for. Moving it back resumes the same order; it is not paid again."
_PERHAPS_PAID = "It may have been paid for. Moving it back asks for the same order again; it is not paid twice."


class Mark(NamedTuple):
    """The last line of a why file: the order's key, and the base name of the picture beside it."""

    key: str
    picture: str


def place_of(picture: Place) -> Place:
    return picture.beside(names.appended(picture.base, SUFFIX, disk.longest_name(picture.root)))


@dataclass(frozen=True)
class QuarantineNote:
    """The reason, where the picture will lie. `owner` signs what a crash can leave."""

    inbox_path: str
    owner: str

    def place(self, picture: Place) -> Place:
        return place_of(picture)

    def write(self, picture: Place, order: Order) -> None:
        """Raises FileExistsError when another file holds that name."""
        place, text = place_of(picture), _text(picture, order, self.inbox_path)
        try:
            disk.write_new(place, text.encode("utf-8", "backslashreplace"), owner=self.owner)
        except FileExistsError:
            if mark_of(place) != Mark(order.key, picture.base):
                raise

    def remove(self, picture: Place, order: Order) -> None:
        place = place_of(picture)
        if mark_of(place) == Mark(order.key, picture.base):
            disk.remove(place)


def picture_of(why: Place) -> str | None:
    """Return the base name of the picture that this why file belongs to; None when it is not one of ours."""
    mark = mark_of(why)
    return mark.picture if mark else None


def mark_of(why: Place) -> Mark | None:
    """Read whose reason this is; None when it is not one of ours."""
    try:
        last = disk.read_bytes(why, _LIMIT).decode("utf-8", "replace").rstrip("\n").rpartition("\n")[2]
        mark = json.loads(last.removeprefix(_MARK)) if last.startswith(_MARK) else {}
        picture = os.fsdecode(unquote_to_bytes(str(mark["file"])))
        return Mark(str(mark["order"]), picture) if is_base_name(picture) else None
    except (FileNotFoundError, FolderFault, ValueError, TypeError, KeyError, RecursionError):
        return None


def _mark(picture: Place, order: Order) -> dict[str, object]:
    retry_helps = order.why is None or order.why.retry_helps
    return {"order": order.key, "file": quote(os.fsencode(picture.base)), "retry_helps": retry_helps}


def _text(picture: Place, order: Order, inbox_path: str) -> str:
    why = order.why or Why(reason="unknown")
    when = order.times[State.QUARANTINING].at.astimezone()
    lines = [
        f"{printable(picture.base)} could not be {flow_of(order).done}.",
        "",
        f"What happened: {printable(why.reason)}",
        f"When:          {when:%Y-%m-%d %H:%M:%S %Z}",
        f"What to do:    {why.advice or _TRY_AGAIN.format(inbox=printable(inbox_path))}",
        *([f"               {_of_money(order)}"] if order.is_paid and order.is_resumable else []),
    ]
    support = {
        "order at the service": order.order_id or _unknown_id(order),
        "our name for it": order.name if flow_of(order).is_listed else f"none; its key is {order.key}",
        "code": printable(why.code) or "none",
    }
    support |= {"the service says": printable(why.said)} if why.said else {}
    lines += ["", "For support:", *(f"  {f'{what}:':21} {words}" for what, words in support.items())]
    lines += ["", "This note goes away by itself when its picture has left this folder."]
    return "\n".join([*lines, _MARK + json.dumps(_mark(picture, order)), ""])


def _of_money(order: Order) -> str:
    return _ALREADY_PAID if order.order_id else _PERHAPS_PAID


def _unknown_id(order: Order) -> str:
    return "unknown" if order.was_rebuilt or order.charged else "none was made"
