"""An order whose entry was lost, made again from the copy in its work folder: anybody on the share may have written it.

What the copy says is believed only where it is what we would have written, and of deliveries and payments nothing is.
"""

import re
from collections.abc import Collection, Iterator

from watchfolder import disk
from watchfolder.config import Inbox
from watchfolder.disk import NotAFolder, NotRegular, Place
from watchfolder.errors import ConfigError, FolderFault
from watchfolder.images import Format
from watchfolder.intake.look import why_unread
from watchfolder.journal import read_order
from watchfolder.order import KeyMode, Order, OrderFile, Result, Role, State, key_of_one
from watchfolder.services import FLOWS, Flow
from watchfolder.services.addresses import is_public

_LIMIT = 16 << 20  # bytes
_EXTENSIONS = {format_.media_type: format_.extensions for format_ in Format}
_HARMLESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_KEPT = (
    "key",
    "confirm_key",
    "service",
    "options",
    "body",
    "mode",
    "fingerprint",
    "of_many",
    "reused_from",
    "is_list",
)
_KEPT_OF_FILES = {"name", "sent_name", "media_type", "size", "mtime_ns", "role", "address", "line"}


def read_copy(place: Place, key: str) -> Order | None:
    """Read the copy of an entry; None where it is none. Raises FolderFault for one that may be readable next time."""
    try:
        return read_order(disk.read_bytes(place, _LIMIT), key)
    except (FileNotFoundError, NotAFolder, NotRegular, ValueError, ConfigError):
        return None
    except FolderFault as fault:  # of the file, for good? else it may yet tell what was paid
        if fault.code != "EFBIG" and why_unread(place, fault) in {"", disk.HELD}:
            raise
        return None


def is_ours(copy: Order, inbox: Inbox, mode: KeyMode, found: Collection[str]) -> bool:
    """Could we have written it, for this inbox and this `mode` of key, and is one of its files among those `found`?"""
    flow = FLOWS.get(copy.service)
    if flow is None or not flow.allows(copy.options) or len(copy.files) not in flow.files:
        return False
    if copy.mode != mode or copy.why is not None or (copy.reused_from is not None and copy.is_of_many):
        return False
    names = {file.name for file in copy.files}
    if len(names) != len(copy.files) or names.isdisjoint(found):
        return False
    if any(file.address and not (inbox.links and is_public(file.address)) for file in copy.files):
        return False
    return _is_list_ours(copy, inbox) if copy.is_list else _is_asked_as_ours(copy, flow)


def rebuilt(copy: Order, inbox: Inbox, found: Collection[str], *, of_list: str | None) -> Order:
    """Return the order of a copy that is ours.

    A file that is not among those `found` was delivered before: its original is the last to move. `of_list` is the list
    that tells of its failures, if there is one.
    """
    facts = set(_KEPT_OF_FILES)
    facts |= set() if copy.reused_from is None else {"sha256"}  # which is compared with the bytes before it is used
    facts |= set() if copy.of_many is None else {"file_id"}  # which tells it among the others of its order
    claimed = (OrderFile.model_validate(file.model_dump(include=facts)) for file in copy.files)
    state = begins_as(copy)
    return Order(
        **{name: getattr(copy, name) for name in _KEPT},
        of_list=of_list,
        inbox=inbox.name,
        files=tuple(
            _kept(file).having(is_placed=file.name not in found, results=made)
            for file, made in zip(claimed, _results_in(copy, FLOWS[copy.service]), strict=True)
        ),
        state=state,
        times={state: copy.times.get(State.CLAIMING) or copy.times[min(copy.times)]},
        was_rebuilt=True,
    )


def begins_as(order: Order) -> State:
    """Return the state in which an order is whose files have all been taken."""
    if order.is_list:
        return State.LISTED
    return State.CLAIMED if order.reused_from is None else State.MATCHED


def _is_list_ours(copy: Order, inbox: Inbox) -> bool:
    return inbox.links and len(copy.files) == 1 and not copy.body and copy.reused_from is None


def _is_asked_as_ours(copy: Order, flow: Flow) -> bool:
    return _is_body_ours(copy, flow) and all(map(_is_sendable, copy.files)) and _has_roles(copy, flow)


def _is_body_ours(copy: Order, flow: Flow) -> bool:
    """Is it what we send for this key and these files, or, for one parked by itself, what its order of many sent?"""
    if copy.of_many is None:
        return copy.body == flow.body(copy.key, copy.files, copy.options)
    if not flow.has_made(copy.body, copy.of_many, copy.options):
        return False
    asked, of_all = [_asked(file) for file in copy.files], flow.read_body(copy.body)
    keys = {key_of_one(copy.of_many, index) for index, file in enumerate(of_all) if [_asked(file)] == asked}
    return copy.key in keys and len(of_all) > 1 and len(of_all) in flow.files


def _has_roles(copy: Order, flow: Flow) -> bool:
    """Has each file the role that it has in such an order?"""
    of_pair = [{Role.ORIGINAL, Role.COPY}, {Role.PICTURE}]
    roles = [{Role.PICTURE}] * len(copy.files) if flow.pairs is None else of_pair
    return all(file.role in fitting for file, fitting in zip(copy.files, roles, strict=False))


def _kept(file: OrderFile) -> OrderFile:
    """Return it as the user's own: that it is a copy, which is removed in the end, is not believed."""
    return file.having(role=Role.ORIGINAL) if file.role is Role.COPY else file


def _results_in(copy: Order, flow: Flow) -> Iterator[tuple[Result, ...]]:
    """Give what was ordered of each file; what the copy says of deliveries is not believed."""
    for file in copy.files:
        yield tuple(result.as_ordered for result in file.results) if flow.issues else (Result(),)


def _asked(file: OrderFile) -> tuple[str, str, list[str]]:
    """Return what tells a file from the others in the body of an order."""
    return file.sent_name, file.address, [result.text for result in file.results]


def _is_sendable(file: OrderFile) -> bool:
    endings = _EXTENSIONS.get(file.media_type, ())
    return bool(_HARMLESS.fullmatch(file.sent_name)) and file.sent_name.endswith(endings)
