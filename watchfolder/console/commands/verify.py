"""The command `verify`: are the delivered files still what was delivered? What a person took out is no fault."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Annotated

import typer

from watchfolder import disk, history
from watchfolder.config import Config
from watchfolder.console import exit_codes
from watchfolder.console.commands.history import Since, broken_lines
from watchfolder.console.shell import ConfigFile, Quiet, configuration_at, warn
from watchfolder.disk import NotAFolder, NotRegular, Place
from watchfolder.errors import FolderFault
from watchfolder.events import printable
from watchfolder.folders import NOT_KNOWN, Folders, read_token
from watchfolder.journal import read_orders
from watchfolder.report.phrases import files


class VerifyOutcome(StrEnum):
    FINE = "fine"
    CHANGED = "changed"
    TAKEN_OUT = "taken out"
    UNKNOWN = "not looked at"


@dataclass(frozen=True, slots=True)
class ExpectedFile:
    place: Place
    size: int
    sha256: str


Verified = tuple[ExpectedFile, VerifyOutcome, str]  # and what is to be said of it


def verify(
    *,
    config_file: ConfigFile = None,
    since: Since = None,
    every: Annotated[bool, typer.Option("--all", help="Also name the files that were taken out.")] = False,
    quiet: Quiet = False,
) -> None:
    """Check that delivered files are still what was delivered.

    Exit code 3: some have changed. A file that somebody took out of the outbox is counted, and is no fault.
    """
    counts: Counter[VerifyOutcome] = Counter()
    unseen: set[str] = set()
    named = {VerifyOutcome.CHANGED, VerifyOutcome.TAKEN_OUT} if every else {VerifyOutcome.CHANGED}
    with configuration_at(config_file) as config, broken_lines() as on_broken:
        wanted = all_delivered(config, since, on_broken)
        for file, outcome, detail in _with_bar(_check(wanted, config), len(wanted), quiet=quiet):
            counts[outcome] += 1
            if outcome is VerifyOutcome.UNKNOWN:
                unseen.add(detail)
            if outcome in named:
                said = printable(f"{file.place.path} ({detail})").removesuffix(" ()")
                typer.echo(f"{outcome}: {said}")
    for reason in sorted(unseen):
        warn(reason)
    if not quiet or counts[VerifyOutcome.CHANGED]:
        typer.echo(
            f"{files(counts[VerifyOutcome.FINE])} as delivered, {counts[VerifyOutcome.CHANGED]} changed, "
            f"{counts[VerifyOutcome.TAKEN_OUT]} taken out of the outbox, {counts[VerifyOutcome.UNKNOWN]} not looked at."
        )
    if counts[VerifyOutcome.CHANGED]:
        raise typer.Exit(exit_codes.DIFFERS)
    raise typer.Exit(exit_codes.UNFINISHED if unseen else exit_codes.DONE)


def _with_bar(found: Iterator[Verified], total: int, *, quiet: bool) -> Iterator[Verified]:
    if quiet or not sys.stderr.isatty():
        return found
    from rich.console import Console  # noqa: PLC0415 - the other commands need not wait for it
    from rich.progress import track  # noqa: PLC0415

    return iter(track(found, "verifying", total, console=Console(stderr=True), transient=True))


def all_delivered(
    config: Config, since: datetime | None = None, on_broken: Callable[[str], None] = lambda _month: None
) -> list[ExpectedFile]:
    """Return what was delivered into the outboxes of the configuration, the latest first.

    Of several under one name only the latest counts: it came when the others had been taken out.
    """
    latest: dict[tuple[str, str], ExpectedFile] = {}
    for each in history.deliveries(read_orders(config.state_dir), config.state_dir, since, on_broken):
        inbox, file = config.inboxes.get(each.order.inbox), each.file
        if inbox is None or file.delivered is None or file.delivered_size is None or file.delivered_sha256 is None:
            continue
        place = Place(inbox.outbox, file.delivered)
        delivery = ExpectedFile(place, file.delivered_size, file.delivered_sha256)
        latest.setdefault((place.root, place.name), delivery)
    return list(latest.values())


def _check(wanted: list[ExpectedFile], config: Config) -> Iterator[Verified]:
    """Look at each; the files of a folder that is not there, or not the one we know, are not looked at."""
    folders = Folders(config.state_dir, "", config.commands)
    roots = {delivery.place.root for delivery in wanted}
    tokens = {root: disk.Question(partial(read_token, root), root) for root in roots}
    faults = {root: _fault_of(root, token, folders) for root, token in tokens.items()}
    for delivery in wanted:
        fault = faults[delivery.place.root]
        yield delivery, *((VerifyOutcome.UNKNOWN, fault) if fault is not None else _look(delivery))


def _fault_of(root: str, token: disk.Question[str | None], folders: Folders) -> str | None:
    """Say what is wrong with an outbox. A folder without a token is reported, never given one: we only look."""
    try:
        if token.answer() is None:
            return f"{root}: {NOT_KNOWN}"
        folders.require_folder(root)
    except FolderFault as fault:
        return fault.reason
    return None


def _look(delivery: ExpectedFile) -> tuple[VerifyOutcome, str]:
    place = delivery.place
    try:
        found = disk.stat_of(place)
        if found is None:
            return VerifyOutcome.TAKEN_OUT, ""
        if not disk.is_regular(found):
            return VerifyOutcome.CHANGED, "it is no plain file any more"
        if found.st_size != delivery.size:
            return VerifyOutcome.CHANGED, f"{found.st_size} bytes, delivered were {delivery.size}"
        if disk.hash_of(place) != delivery.sha256:
            return VerifyOutcome.CHANGED, "as many bytes as were delivered, but other ones"
    except FileNotFoundError:
        return VerifyOutcome.TAKEN_OUT, ""
    except (NotAFolder, NotRegular):
        return VerifyOutcome.CHANGED, "something else lies in its place"
    except FolderFault as fault:
        return VerifyOutcome.UNKNOWN, fault.reason
    return VerifyOutcome.FINE, ""
