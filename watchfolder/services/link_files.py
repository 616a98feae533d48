"""Files that hold addresses: .url, .webloc and .desktop hold one, .urls one a line. Read as hostile input.

The query part of an address is a secret: no fault quotes it.
"""

import configparser
import plistlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial

from watchfolder.services.addresses import AddressFault, fault_of

BYTES_AT_MOST = 1 << 20
"""The longest file that is taken for a list. `read` is given one byte more, so that it can tell a longer one."""

LINES_AT_MOST = 10_000


class LinkFault(Enum):
    """Why a file, or a line of it, holds no address, in a sentence for people."""

    TOO_LONG = f"It is too long: a list has at most {LINES_AT_MOST} addresses and 1 MiB. Split it."
    NOT_READABLE = "It cannot be read: save the link again from the browser, or the list as UTF-8 text."
    NO_ADDRESS = "There is no address in it: save the link again from the browser."
    REPEATED = "This address stands further up already: each is fetched, and paid for, once."


@dataclass(frozen=True)
class Line:
    """One address, or why there is none. `number` counts from 1; files of one address have one line."""

    number: int
    address: str
    fault: AddressFault | LinkFault | None


NO_LINE = Line(1, "", LinkFault.NO_ADDRESS)


def is_link_file(name: str) -> bool:
    return _extension(name) in _READERS


def is_list(name: str) -> bool:
    return _extension(name) == "urls"


def link_file(address: str) -> bytes:
    """Return the content of a .url file."""
    return f"[InternetShortcut]\r\nURL={address}\r\n".encode()


def read(name: str, content: bytes) -> tuple[Line, ...]:
    """Return every address in a file of this name, good or not, in its order; never raises."""
    if len(content) > BYTES_AT_MOST:
        return (Line(1, "", LinkFault.TOO_LONG),)
    return tuple(_judge(_READERS[_extension(name)](content)))


def _extension(name: str) -> str:
    return name.rpartition(".")[2].lower() if "." in name[1:] else ""


_Read = Iterator[tuple[int, str | LinkFault]]


def _judge(found: _Read) -> Iterator[Line]:
    seen: set[str] = set()
    for number, address in found:
        if isinstance(address, LinkFault):
            yield Line(number, "", address)
            continue
        fault = LinkFault.REPEATED if address in seen else fault_of(address)
        seen.add(address)
        yield Line(number, address, fault)


def _list(content: bytes) -> _Read:
    lines = enumerate(map(bytes.strip, content.removeprefix(b"\xef\xbb\xbf").splitlines()), start=1)
    found = [(number, line) for number, line in lines if line and not line.startswith(b"#")]
    if len(found) > LINES_AT_MOST:
        yield 1, LinkFault.TOO_LONG
        return
    for number, line in found:
        try:
            text = line.decode().strip()
        except UnicodeDecodeError:
            yield number, LinkFault.NOT_READABLE
            continue
        if text:
            yield number, text


def _entry(content: bytes, section: str, **demands: str) -> _Read:
    """Yield the `URL` of a section of an INI file whose other keys have the values of `demands`."""
    try:
        named = _lines_by_key(content, section)
    except (UnicodeDecodeError, configparser.Error, AttributeError):  # the last: a continued line, but no value
        yield 1, LinkFault.NOT_READABLE
        return
    is_ours = all(named.get(key, "").lower() == word for key, word in demands.items())
    address = (named.get("url") or named.get("url[$e]") or "").strip()
    yield 1, address if is_ours and address else LinkFault.NO_ADDRESS


def _lines_by_key(content: bytes, section: str) -> Mapping[str, str]:
    """Return the values of a section by their lower-case keys; nothing where there is no such section."""
    ini = configparser.RawConfigParser(
        strict=False, allow_no_value=True, delimiters=("=",), comment_prefixes=("#", ";"), default_section="\n"
    )
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # as Windows writes it
        ini.read_string(content.decode("utf-16"))
    else:  # in the code page of any country: they differ beyond ASCII
        ini.read_string(content.removeprefix(b"\xef\xbb\xbf").decode("latin-1"))
    found = next((ini[name] for name in ini.sections() if name.strip().lower() == section), None)
    return {key: value or "" for key, value in found.items()} if found else {}


def _webloc(content: bytes) -> _Read:
    try:
        found = plistlib.loads(content)
    except Exception:  # noqa: BLE001 - plistlib and expat raise almost anything for malformed bytes
        yield 1, LinkFault.NOT_READABLE
        return
    address = found.get("URL") if isinstance(found, dict) else None
    yield 1, address.strip() if isinstance(address, str) and address.strip() else LinkFault.NO_ADDRESS


_READERS: Mapping[str, Callable[[bytes], _Read]] = {
    "url": partial(_entry, section="internetshortcut"),
    "desktop": partial(_entry, section="desktop entry", type="link"),
    "webloc": _webloc,
    "urls": _list,
}
