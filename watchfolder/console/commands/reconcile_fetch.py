"""Fetch what was paid and never delivered, straight from the service, while it keeps that: nothing is paid again.

For orders whose picture is no longer here, or that nothing is known of; where it is, `retry` brings the result home.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from watchfolder import disk, names
from watchfolder.api import Link, Service
from watchfolder.config import Config
from watchfolder.console.commands.reconcile import Undelivered, service_of
from watchfolder.disk import Place
from watchfolder.errors import UnknownName, WatchfolderError
from watchfolder.events import printable
from watchfolder.publish import RESULT_LIMIT_BYTES, TEST_MARK, free_name, receive

_OWNER = "reconcile"  # signs what is half fetched; the daemon sweeps its own only


def require_outside(folder: str, config: Config) -> str:
    """Return the folder's full path. Raises UnknownName when it is none, or one whose files would be bought again."""
    path = os.path.realpath(folder)
    if not os.path.isdir(path):
        raise UnknownName([f"{folder}: there is no such folder"])
    for name, inbox in config.inboxes.items():
        if os.path.commonpath([path, os.path.realpath(inbox.path)]) == os.path.realpath(inbox.path):
            raise UnknownName([f"{folder}: it lies in the inbox {name}, where what is fetched would be bought again"])
    return path


def rescue(orders: Sequence[Undelivered], folder: str, config: Config) -> Iterator[str]:
    """Fetch each result that is kept there, and say so; one that lies in the folder already is not put there twice."""
    service = service_of(config)
    mark = TEST_MARK if config.api.mode == "test" else ""
    try:
        for order in orders:
            if order.is_kept:
                yield from _rescue(order, folder, mark, service)
    finally:
        service.close()


def _rescue(order: Undelivered, folder: str, mark: str, service: Service) -> Iterator[str]:
    try:
        links = service.links(order.order_id).files
        for number, link in enumerate(links, 1):
            name = _name(order, number, len(links), mark)
            path = _fetch(service, link, folder, name)
            yield f"order {order.order_id}: fetched: {printable(path)}"
    except WatchfolderError as error:
        yield f"order {order.order_id}: not fetched: {error.reason}"


def _fetch(service: Service, link: Link, folder: str, stem: Callable[[str], str]) -> str:
    disk.sweep(folder, disk.HIDDEN, _OWNER)  # what an interrupted one left
    part = disk.hidden_part(folder, _OWNER)
    try:
        received = receive(None, part, partial(service.fetch, link.url, limit_bytes=RESULT_LIMIT_BYTES), takes_pdf=True)
        is_ours = partial(disk.holds, size=received.size, sha256=received.sha256)
        place = Place(folder, free_name(folder, stem(received.format.extension), is_ours=is_ours))
        if disk.stat_of(place) is None:
            disk.publish_new(part, place, owner=_OWNER)
    finally:
        disk.remove(part, durable=False)
    return place.path


def _name(order: Undelivered, number: int, count: int, mark: str) -> Callable[[str], str]:
    """Return how a result is called: as its picture was, where that is sure, else by the order's number."""
    if count == len(order.files) == 1:
        base = os.path.basename(order.files[0])
    else:
        base = f"order {order.order_id}" + (f" {number}" if count > 1 else "")

    def named(extension: str) -> str:
        return names.marked(names.with_extension(base, extension), mark)

    return named
