"""The command `report`: the service's report on a picture that was delivered with a finding, by its sidecar."""
# ruff: noqa: PLC0415 - each command imports what it alone needs

import json
import os
import re
import sys
from dataclasses import dataclass
from typing import Annotated, get_args

import typer

from watchfolder import disk, names
from watchfolder.config import Config, ReportLocale
from watchfolder.console import exit_codes, settings
from watchfolder.console.shell import ConfigFile, Quiet, configuration_at, fail, say
from watchfolder.disk import Place
from watchfolder.errors import UnknownName
from watchfolder.events import printable
from watchfolder.publish import report_extension
from watchfolder.services import SIDECARS

_LOCALES: tuple[str, ...] = get_args(ReportLocale)
_OWNER = "report"  # signs what is half written
_SIDECAR_BYTES = 1 << 16
_ORDER_ID = re.compile(r"[0-9]{1,20}")


def report(
    path: Annotated[str, typer.Argument(metavar="FILE", hidden=True)],
    *,
    config_file: ConfigFile = None,
    locale: Annotated[
        str | None,
        typer.Option(metavar="LOCALE", help="en-US, ja-JP or ko-KR; else the inbox's report_locale."),
    ] = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="PATH", help="Write it there; - is the standard output.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Fetch the service's report on a picture that was checked.

    FILE is the picture, or its sidecar, which must lie beside it. The report is written beside it, too. It can be
    had while the service keeps the order, with the key of its account; one on a found watermark costs a credit.
    """
    from watchfolder.console.commands.report_fetch import fetch_report

    if locale is not None and locale not in _LOCALES:
        fail(f"--locale must be {', '.join(_LOCALES[:-1])} or {_LOCALES[-1]}", exit_codes.USAGE)
    with configuration_at(config_file, settings.read) as found:
        picture = _picture_of(path)
        if picture.has_changed():
            fail(
                f"{printable(picture.place.path)}: it is not the picture any more that was checked", exit_codes.DIFFERS
            )
        locale = locale or _locale_of(picture, found)
        place = _place_of(output, picture, locale)
        if place is not None and disk.stat_of(place) is not None:  # the report itself, of a delivery or an earlier time
            said = "there already"
        elif place is not None:
            _write(place, fetch_report(picture.order_id, locale, found))
            said = "fetched"
        else:
            sys.stdout.buffer.write(fetch_report(picture.order_id, locale, found))
            return
    say([f"{said}: {printable(place.path)}"], quiet=quiet)


@dataclass(frozen=True)
class _CheckedPicture:
    """A picture, and the order in which something was said of it."""

    place: Place
    order_id: str
    sha256: str

    def report(self, locale: str) -> Place:
        suffix = report_extension(locale)
        return self.place.beside(names.with_end(self.place.base, suffix, disk.name_limit(self.place.root)))

    def has_changed(self) -> bool:
        return disk.stat_of(self.place) is not None and disk.hash_of(self.place) != self.sha256


def _named(path: str) -> Place:
    """Return the place of a path. Raises UnknownName if its folder is not there."""
    folder, base = os.path.split(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise UnknownName([f"{printable(folder)} is no folder"])
    return Place(folder, base)


def _place_of(output: str | None, picture: _CheckedPicture, locale: str) -> Place | None:
    """Return where the report goes, None for the standard output. Raises UnknownName where another file is."""
    if output in {None, "-"}:
        return None if output else picture.report(locale)
    place = _named(str(output))
    if disk.stat_of(place) is not None:
        raise UnknownName([f"{printable(place.path)}: it is there already"])
    return place


def _picture_of(path: str) -> _CheckedPicture:
    """Read the sidecar of a picture, or one that is named itself. Raises UnknownName."""
    place = _named(path)
    for suffix in SIDECARS:
        picture = place.beside(place.base.removesuffix(suffix))
        sidecar = picture.beside(names.with_end(picture.base, suffix, 255))
        try:
            content = disk.read_bytes(sidecar, _SIDECAR_BYTES)
        except FileNotFoundError:
            continue
        return _read(content, picture, sidecar)
    wanted = " or ".join(f"{printable(place.base)}{suffix}" for suffix in SIDECARS)
    raise UnknownName(
        [f"{printable(path)}: {wanted} is not beside it, and nothing else says which order the report would be of"]
    )


def _read(content: bytes, picture: Place, sidecar: Place) -> _CheckedPicture:
    try:
        told = json.loads(content)
        order_id, sha256 = told["orderId"], told["sha256"]
    except (ValueError, TypeError, KeyError, RecursionError):
        order_id = sha256 = None
    if not isinstance(order_id, str) or not _ORDER_ID.fullmatch(order_id) or not isinstance(sha256, str):
        raise UnknownName([f"{printable(sidecar.path)}: it is no sidecar of ours: it names no order"])
    return _CheckedPicture(picture, order_id, sha256)


def _locale_of(picture: _CheckedPicture, config: Config) -> str:
    """Return the language of the outbox that the picture lies in, if it still does."""
    folder, inboxes = picture.place.root, config.inboxes.values()
    real = disk.follow_links({folder, *(inbox.outbox for inbox in inboxes)})
    own = (inbox for inbox in inboxes if f"{real[folder]}/".startswith(f"{real[inbox.outbox]}/"))
    return next((inbox.report_locale for inbox in own), _LOCALES[0])


def _write(place: Place, content: bytes) -> None:
    """Write a new file. Raises UnknownName when the name is taken."""
    try:
        disk.write_new(place, content, owner=_OWNER, hidden=False)
    except FileExistsError:
        raise UnknownName([f"{printable(place.path)}: it is there already; name another with --output"]) from None
