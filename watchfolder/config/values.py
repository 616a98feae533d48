"""What a single value may be, and the form in which it is kept. Each raises ValueError in plain words."""

import contextlib
import ipaddress
import os
import re
import unicodedata
from typing import Final
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

from watchfolder.names import Ignored, is_portable
from watchfolder.order import is_base_name
from watchfolder.watermark_text import Template

FIRST_FOLDER: Final = "folder"
WEBHOOK_PATH: Final = "/webhooks/bizmori"
_MOST_RECIPIENTS = 10
_LONGEST_FOLDER = 200  # bytes
_PORTS: Final = {"http": 80, "https": 443}


def require_path(value: str) -> str:
    """Return `value` without doubled and trailing slashes, so that its parent and its name are what they seem."""
    if not value.startswith("/"):
        raise ValueError("must be an absolute path (begin with /)")
    if ".." in value.split("/"):
        raise ValueError('must not contain ".."')
    if not value.strip("/."):
        raise ValueError("must lie below /")
    with contextlib.suppress(UnicodeEncodeError):
        if b"\0" not in os.fsencode(value):
            return os.path.normpath("/" + value.lstrip("/"))
    raise ValueError("holds a character that no file name can have")


def as_path(value: object) -> str:
    """Return the absolute path, or "" for what the validation refuses."""
    with contextlib.suppress(ValueError):
        return require_path(value) if isinstance(value, str) else ""
    return ""


def _parts_of(value: str, otherwise: str = "must be a URL: https:// and a host name") -> SplitResult:
    """Return the parts of a URL. Raises ValueError, which says what is `otherwise` wrong."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(value)
        is_plain = re.fullmatch(r"[!-~]+", value) and parts.port != 0 and _is_host(parts.hostname or "")
        if is_plain and parts.scheme in _PORTS:
            return parts
    raise ValueError(otherwise)


def _parts_of_host(value: str, *, may_have_user: bool = False) -> SplitResult:
    parts = _parts_of(value)
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("must end after the host name and port")
    if "@" in parts.netloc and not may_have_user:
        raise ValueError("must not hold a user name or password")
    return parts


def _is_host(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", host) is not None


def is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _is_for_the_network(parts: SplitResult) -> bool:
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


def base_url(value: str) -> str:
    parts = _parts_of_host(value)
    if not _is_for_the_network(parts):
        raise ValueError("must begin with https:// (http is for this machine alone: localhost, 127.0.0.1)")
    return f"{parts.scheme}://{parts.netloc}"


def page_url(value: str) -> str:
    """Return the address as a browser names the origin of a page there."""
    parts = _parts_of_host(value)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = "" if parts.port in {None, _PORTS[parts.scheme]} else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def public_url(value: str) -> str:
    """Return the whole address: it may have a path of its own, which a proxy maps to ours."""
    parts = re.fullmatch(r"([^/]*//[^/]*)((?:/[A-Za-z0-9._~-]+)*)/?", value)
    if parts is None:
        raise ValueError("must be a URL: https://, a host name and, if it needs one, a plain path")
    return f"{base_url(parts[1])}{parts[2] or WEBHOOK_PATH}"


def proxy(value: str) -> str:
    parts = _parts_of_host(value, may_have_user=True)
    return f"{parts.scheme}://{parts.netloc}"


def page_address(value: str) -> str:
    with contextlib.suppress(ValueError):
        parts = urlsplit(f"//{value}")
        is_address = parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname or "")
        if is_address and parts.port and parts.netloc == value and "@" not in value:
            return value
    raise ValueError("must be an address and a port, such as 127.0.0.1:8686")


def service_url(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9.+-]*://[^\s]+", value.get_secret_value()):
        raise ValueError("must be an address such as ntfy://… or mailto://… (it is not shown here)")
    return value


def beat_url(value: SecretStr) -> SecretStr:
    otherwise = (
        "must be a URL that begins with https:// (http is for this machine alone), without user or password "
        "(it is not shown here)"
    )
    parts = _parts_of(value.get_secret_value(), otherwise)
    if "@" in parts.netloc or parts.fragment or not _is_for_the_network(parts):
        raise ValueError(otherwise)
    return value


def inbox_name(value: str) -> str:
    if not re.fullmatch(r"\w[\w-]{0,63}", value):
        raise ValueError("an inbox's name is made of letters, digits, - and _, at most 64")
    return value


def patterns(value: tuple[str, ...]) -> tuple[str, ...]:
    Ignored(value)
    return value


def watermark_text(value: str) -> str:
    Template.parse(value)
    return value


def recipients(value: object) -> object:
    """Return the names: of each a folder is made in the outbox."""
    if value == FIRST_FOLDER:
        return value
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"must be a list of names, or the word: {FIRST_FOLDER}")
    if len(value) > _MOST_RECIPIENTS:
        raise ValueError(f"names {len(value)} recipients; {_MOST_RECIPIENTS} is the most that one order takes")
    for name in value:
        _be_folder(name)
    if len({unicodedata.normalize("NFKC", name).casefold() for name in value}) < len(value):
        raise ValueError("names a recipient twice (capitals do not count: not every share tells them apart)")
    return tuple(value)


def _be_folder(name: str) -> None:
    is_base = is_base_name(name) and name == name.strip() and is_portable(name) and not name.startswith((".", "~"))
    if not is_base or len(name.encode()) > _LONGEST_FOLDER or Ignored().folder(name):
        raise ValueError(f"{name!r} cannot be the name of a folder on every share; use letters, digits, - and spaces")
