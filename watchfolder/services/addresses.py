"""Which addresses of pictures the service may be told to fetch: public ones, by https, without a log-in in them.

We make no request to an address ourselves. An address may carry a signature, so no answer here quotes one.
"""

import contextlib
import ipaddress
import os
import re
import socket
from collections.abc import Iterator
from enum import Enum
from urllib.parse import SplitResult, unquote, urlsplit

from watchfolder.events import without_secret_parts


class AddressFault(Enum):
    """Why an address is not taken, in a sentence for people."""

    NOT_AN_ADDRESS = "It is no address of a picture: copy one from the browser, without spaces and letters like ü."
    NOT_HTTPS = "It does not begin with https://: the service fetches nothing over an open connection."
    HAS_LOGIN = "It has a user name in it: give the picture an address that needs no log-in."
    HAS_FRAGMENT = "It names a part of a page (#): give the address of the picture itself."
    NOT_PUBLIC = "Its host cannot be reached from the internet: the service could not fetch the picture."


_CHARACTERS_AT_MOST = 2048
_PLAIN = re.compile(r"[!-\[\]-~]+")  # printable ASCII without the backslash, which some readers take for a slash
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_INSIDE = frozenset(  # last parts of host names that cannot be reached from the internet
    {"alt", "arpa", "corp", "home", "internal", "intranet", "invalid", "lan", "local", "localdomain", "localhost"}
    | {"mail", "onion", "private", "test"}
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


def fault_of(address: str) -> AddressFault | None:
    parts = _parts_of(address)
    if parts is None:
        return AddressFault.NOT_AN_ADDRESS
    faults = {
        AddressFault.NOT_HTTPS: parts.scheme != "https",
        AddressFault.HAS_LOGIN: "@" in parts.netloc,
        AddressFault.HAS_FRAGMENT: "#" in address,
        AddressFault.NOT_PUBLIC: not _is_public(_host(parts)),
    }
    return next((fault for fault, is_there in faults.items() if is_there), None)


def _parts_of(address: str) -> SplitResult | None:
    if len(address) > _CHARACTERS_AT_MOST or not _PLAIN.fullmatch(address):
        return None
    with contextlib.suppress(ValueError):
        parts = urlsplit(address)
        list(_read_host(_host(parts)))  # raises for a malformed IPv6 address
        if parts.scheme and parts.hostname and parts.port != 0:
            return parts
    return None


def _is_public(host: str) -> bool:
    if ips := list(_read_host(host)):
        return all(ip.is_global and not ip.is_multicast for ip in ips)
    labels = host.split(".")
    is_name = len(labels) > 1 and all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdigit()
    return is_name and labels[-1] not in _INSIDE


def without_secret(address: str) -> str:
    """Return what may be shown of an address, good or not: all but its query, its fragment and a log-in."""
    return without_secret_parts(address.partition("?")[0].partition("#")[0])


def name_in(address: str) -> str:
    """Return the last part of the path, as people read it; the host's name where there is none. Never the query."""
    parts = urlsplit(address)
    last = unquote(parts.path.rstrip("/").rpartition("/")[2], errors="replace")
    name = "".join("_" if not char.isprintable() or char in "/\\" else char for char in last).strip()
    return name.lstrip(".") or _host(parts)


def picture_name(name: str, address: str) -> str:
    """Return the picture's name: that in the address, if the file holds one, in the file's sub-folder; else its own."""
    return os.path.join(os.path.dirname(name), name_in(address)) if address else name


def _host(parts: SplitResult) -> str:
    return (parts.hostname or "").removesuffix(".")


def _read_host(host: str) -> Iterator[_Ip]:
    """Yield the IP address that `host` is, in any spelling that a client may accept, and those embedded in it.

    127.0.0.1 is also 127.1, 0x7f.1, 0177.0.0.1, 2130706433 and ::ffff:7f00:1. ValueError for a malformed IPv6 address.
    """
    if ":" not in host:
        with contextlib.suppress(OSError):
            yield ipaddress.IPv4Address(socket.inet_aton(host))
        return
    ip = ipaddress.IPv6Address(host)
    if ip.ipv4_mapped is not None:
        yield ip.ipv4_mapped
        return
    yield ip
    yield from filter(None, (ip.sixtofour, *(ip.teredo or ())))
    if ip in _NAT64:
        yield ipaddress.IPv4Address(ip.packed[-4:])
