"""What the contract demands of a request, and is stricter about than the service itself: each breach in words."""

import re
from collections.abc import Iterator
from typing import NamedTuple

MEDIA_TYPES = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "bmp": "image/bmp",
}
FILES_PER_ORDER = 100
ORDER_NAME_CHARACTERS = 64

_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)
# Printable ASCII that is a name everywhere: no path, no option, nothing that Windows forbids, no space at an end.
_HARMLESS = re.compile(r"(?![-. ])[^\x00-\x1f\x7f-\U0010ffff\"*/:<>?\\|]{1,255}(?<![. ])")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_INVALID = "VALIDATION_FAILED"


class Breach(NamedTuple):
    code: str
    sin: str


def media_type_of(name: str) -> str | None:
    return MEDIA_TYPES.get(name.rpartition(".")[2].lower()) if "." in name[1:] else None


def breaches_of_create(body: object) -> Iterator[Breach]:
    if not isinstance(body, dict):
        yield Breach(_INVALID, "the body is no JSON object")
        return
    yield from _breaches_of_key(body)
    yield from _unknown_fields(body, {"idempotencyKey", "files", "options", "orderName"}, "the body")
    yield from _breaches_of_options(body.get("options", {}))
    yield from _breaches_of_files(body.get("files"))
    name = body.get("orderName", "")
    if not isinstance(name, str) or len(name) > ORDER_NAME_CHARACTERS:
        yield Breach(_INVALID, f"orderName is no text of at most {ORDER_NAME_CHARACTERS} characters")


def breaches_of_confirm(body: object) -> Iterator[Breach]:
    if not isinstance(body, dict):
        yield Breach(_INVALID, "the body is no JSON object")
        return
    yield from _breaches_of_key(body)
    yield from _unknown_fields(body, {"idempotencyKey", "orderId"}, "the body")
    if not isinstance(body.get("orderId"), str):
        yield Breach(_INVALID, "orderId is no text")


def _breaches_of_key(body: dict[str, object]) -> Iterator[Breach]:
    key = body.get("idempotencyKey")
    if not isinstance(key, str) or not _UUID4.fullmatch(key):
        yield Breach("VALIDATION_IDEMPOTENCY_KEY_INVALID", "idempotencyKey is no UUIDv4")


def _breaches_of_options(options: object) -> Iterator[Breach]:
    if not isinstance(options, dict):
        yield Breach(_INVALID, "options is no object")
        return
    yield from _unknown_fields(options, {"strength"}, "options")
    if options.get("strength", "high") not in ("low", "standard", "high"):
        yield Breach(_INVALID, "unknown strength")


def _breaches_of_files(files: object) -> Iterator[Breach]:
    if not isinstance(files, list) or not files:
        yield Breach(_INVALID, "files is no list of files")
        return
    if len(files) > FILES_PER_ORDER:
        yield Breach(_INVALID, f"{len(files)} files in one order")
    for number, file in enumerate(files):
        yield from _breaches_of_file(file, f"files[{number}]")


def _breaches_of_file(file: object, where: str) -> Iterator[Breach]:
    if not isinstance(file, dict):
        yield Breach(_INVALID, f"{where} is no object")
        return
    yield from _unknown_fields(file, {"fileName", "originalFileUrl"}, where)
    name, url = file.get("fileName"), file.get("originalFileUrl", "https://")
    if not isinstance(name, str) or not _HARMLESS.fullmatch(name) or _RESERVED.fullmatch(name):
        yield Breach(_INVALID, f"{where}.fileName is no plain name (printable ASCII, a name on every system)")
    elif media_type_of(name) is None:
        yield Breach(_INVALID, f"{where}.fileName has no extension of a supported format")
    if not isinstance(url, str) or not url.startswith("https://"):
        yield Breach("INVALID_PARAMETER", f"{where}.originalFileUrl is no https URL")


def _unknown_fields(body: dict[str, object], known: set[str], where: str) -> Iterator[Breach]:
    for name in sorted(body.keys() - known):
        yield Breach(_INVALID, f"{where} has an unknown field {name!r}")
