"""What an address of a picture must be for a service that fetches it: public by its name, https, without a log-in."""

import ipaddress
import re
import socket
from urllib.parse import urlsplit

_PLAIN = re.compile(r"[\x21-\x5b\x5d-\x7e]{1,2048}")  # without a backslash
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"({_LABEL}\.)*(?![0-9]+$){_LABEL}")
_NOT_PUBLIC = frozenset(  # top-level names of no public network
    {"arpa", "corp", "home", "internal", "intranet", "invalid", "lan", "local", "localdomain", "localhost"}
    | {"onion", "private", "test"}
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


def flaw_of_address(address: str) -> str:
    """Return what is wrong with the address, without quoting it, or an empty text."""
    if not _PLAIN.fullmatch(address):
        return "is no plain text of an address"
    try:
        parts = urlsplit(address)
        _, host = parts.port, (parts.hostname or "").removesuffix(".")
        ip = _read(host)
    except ValueError:
        return "is no address"
    is_public_name = "." in host and host.rpartition(".")[2] not in _NOT_PUBLIC
    flaws = {
        "is not https": parts.scheme != "https",
        "names a user": "@" in parts.netloc,
        "has a fragment": "#" in address,
        "names no host": ip is None and not _NAME.fullmatch(host),
        "names a host of no public network": not (is_public_name if ip is None else _is_public(ip)),
    }
    return next((flaw for flaw, is_so in flaws.items() if is_so), "")


def _read(host: str) -> _Ip | None:
    """Read an IP address in any spelling that a fetcher may know: 127.0.0.1, 127.1, 0x7f.1, 2130706433, ::1."""
    if ":" in host:
        return ipaddress.IPv6Address(host)
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def _is_public(ip: _Ip) -> bool:
    """Is the address public, and so is each IPv4 address that it embeds?"""
    meant: list[_Ip | None] = [ip]
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        meant = [ip.ipv4_mapped]
    elif isinstance(ip, ipaddress.IPv6Address):
        meant += [ip.sixtofour, *(ip.teredo or ())]
        meant += [ipaddress.IPv4Address(ip.packed[-4:])] if ip in _NAT64 else []
    return all(each.is_global and not each.is_multicast for each in meant if each is not None)
