"""What an address of a picture must be for a service that fetches it: public by its name, https, nobody's log-in."""

import ipaddress
import re
import socket
from urllib.parse import urlsplit

_PLAIN = re.compile(r"[\x21-\x5b\x5d-\x7e]{1,2048}")  # without a backslash
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NOT_PUBLIC = frozenset({"corp", "home", "internal", "intranet", "invalid", "lan", "local", "localdomain", "localhost"})
_NOT_PUBLIC_EITHER = frozenset({"arpa", "onion", "private", "test"})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


def flaw_of_address(address: object) -> str:
    """Return what is wrong with it, without quoting it, or an empty text."""
    if not isinstance(address, str) or not _PLAIN.fullmatch(address):
        return "is no plain text of an address"
    try:
        parts = urlsplit(address)
        _, ip = parts.port, _ip((parts.hostname or "").removesuffix("."))
    except ValueError:
        return "is no address"
    if parts.scheme != "https":
        return "is not https"
    if "@" in parts.netloc:
        return "names a user"
    if "#" in address:
        return "has a fragment"
    return _flaw_of_name((parts.hostname or "").removesuffix(".")) if ip is None else _flaw_of_ip(ip)


def _flaw_of_ip(ip: _Ip) -> str:
    is_public = all(each.is_global and not each.is_multicast for each in _meant_by(ip))
    return "" if is_public else "names a host of no public network"


def _flaw_of_name(host: str) -> str:
    labels = host.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        return "names no host"
    is_public = len(labels) > 1 and labels[-1] not in _NOT_PUBLIC | _NOT_PUBLIC_EITHER
    return "" if is_public else "names a host of no public network"


def _ip(host: str) -> _Ip | None:
    """Read an IP address in any spelling that a fetcher may know: 127.0.0.1, 127.1, 0x7f.1, 2130706433, ::1."""
    if ":" in host:
        return ipaddress.IPv6Address(host)
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def _meant_by(ip: _Ip) -> list[_Ip]:
    """Return the address and those of IPv4 that it stands for."""
    if not isinstance(ip, ipaddress.IPv6Address):
        return [ip]
    behind = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
    if ip in _NAT64:
        behind.append(ipaddress.IPv4Address(ip.packed[-4:]))
    return [ip, *(each for each in behind if each is not None)] if ip.ipv4_mapped is None else [ip.ipv4_mapped]
