"""What the contract demands of a request, and is stricter about than the service itself: each breach in words."""

import re
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from watchfolder.sandbox.addresses import flaw_of_address

MEDIA_TYPES = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "bmp": "image/bmp",
    "pdf": "application/pdf",
}
PICTURES = frozenset(MEDIA_TYPES) - {"pdf"}
INVALID = "VALIDATION_FAILED"

_FILES_PER_ORDER = 100
_ORDER_NAME_CHARACTERS = 64
_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)
# Printable ASCII that is a name everywhere: no path, no option, nothing that Windows forbids, no space at an end.
_HARMLESS = re.compile(r"(?![-. ])[^\x00-\x1f\x7f-\U0010ffff\"*/:<>?\\|]{1,255}(?<![. ])")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


class Breach(NamedTuple):
    code: str
    sin: str


BreachesOf = Callable[[dict[str, object]], Iterator[Breach]]
"""What else is demanded of a body that is an object."""


def extension_of(name: str) -> str:
    """Return what stands behind the last dot, in small letters; nothing where the only dot is the first letter."""
    return name.rpartition(".")[2].lower() if "." in name[1:] else ""


def media_type_of(name: str) -> str | None:
    return MEDIA_TYPES.get(extension_of(name))


def breaches_of_body(body: object, fields: Collection[str], breaches_of: BreachesOf) -> Iterator[Breach]:
    """Look at the body of a call that knows these fields: a key is demanded of those that have one."""
    if not isinstance(body, dict):
        yield Breach(INVALID, "the body is no JSON object")
        return
    key = body.get("idempotencyKey")
    if "idempotencyKey" in fields and not (isinstance(key, str) and _UUID4.fullmatch(key)):
        yield Breach("VALIDATION_IDEMPOTENCY_KEY_INVALID", "idempotencyKey is no UUIDv4")
    yield from unknown_fields(body, fields, "the body")
    yield from breaches_of(body)


def breaches_of_confirm(body: dict[str, object]) -> Iterator[Breach]:
    if not isinstance(body.get("orderId"), str):
        yield Breach(INVALID, "orderId is no text")


def breaches_of_order_name(body: dict[str, object]) -> Iterator[Breach]:
    name = body.get("orderName", "")
    if not isinstance(name, str) or len(name) > _ORDER_NAME_CHARACTERS:
        yield Breach(INVALID, f"orderName is no text of at most {_ORDER_NAME_CHARACTERS} characters")


def breaches_of_list(
    files: object, breaches_of_file: Callable[[dict[str, object], str], Iterator[Breach]]
) -> Iterator[Breach]:
    """Look at `files` of a create call, and at each of them."""
    if not isinstance(files, list) or not files:
        yield Breach(INVALID, "files is no list of files")
        return
    if len(files) > _FILES_PER_ORDER:
        yield Breach(INVALID, f"{len(files)} files in one order")
    for number, file in enumerate(files):
        where = f"files[{number}]"
        if isinstance(file, dict):
            yield from breaches_of_file(file, where)
        else:
            yield Breach(INVALID, f"{where} is no object")


def breaches_of_name(name: object, where: str, extensions: Collection[str]) -> Iterator[Breach]:
    if not isinstance(name, str) or not _HARMLESS.fullmatch(name) or _RESERVED.fullmatch(name):
        yield Breach(INVALID, f"{where}.fileName is no plain name (printable ASCII, a name on every system)")
    elif extension_of(name) not in extensions:
        yield Breach(INVALID, f"{where}.fileName has no extension of a supported format")


def breaches_of_address(file: dict[str, object], where: str) -> Iterator[Breach]:
    flaw = flaw_of_address(file["originalFileUrl"]) if "originalFileUrl" in file else ""
    if flaw:
        yield Breach("INVALID_PARAMETER", f"{where}.originalFileUrl {flaw}")


def unknown_fields(body: dict[str, object], known: Collection[str], where: str) -> Iterator[Breach]:
    for name in sorted(body.keys() - set(known)):
        yield Breach(INVALID, f"{where} has an unknown field {name!r}")
