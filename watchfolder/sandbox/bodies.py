"""What the body of each call must be by the contract; stricter than the service itself."""

import re
from collections.abc import Collection, Mapping
from datetime import date
from functools import partial
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

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
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_CAPTURES = frozenset({"pdf", "png", "jpg", "jpeg"})  # what may be checked against a PDF
_CODES: Mapping[int | str, str] = {  # by the field that is wrong; VALIDATION_FAILED for all others
    "idempotencyKey": "VALIDATION_IDEMPOTENCY_KEY_INVALID",
    "originalFileUrl": "INVALID_PARAMETER",
}

_UUID4 = r"^(?i:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})$"
# Printable ASCII that is a name everywhere: no path, no option, nothing that Windows forbids, no space at an end.
_HARMLESS = re.compile(r"(?![-. ])[^\x00-\x1f\x7f-\U0010ffff\"*/:<>?\\|]{1,255}(?<![. ])")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def extension_of(name: str) -> str:
    """Return what follows the last dot, in lower case; nothing where the only dot is the first character."""
    return name.rpartition(".")[2].lower() if "." in name[1:] else ""


def media_type_of(name: str) -> str | None:
    return MEDIA_TYPES.get(extension_of(name))


def word_of(error: ValidationError) -> str:
    breach = error.errors()[0]
    known = [] if breach["type"] == "extra_forbidden" else [_CODES[step] for step in breach["loc"] if step in _CODES]
    return known[0] if known else "VALIDATION_FAILED"


def _named(name: str, extensions: Collection[str]) -> str:
    if not _HARMLESS.fullmatch(name) or _RESERVED.fullmatch(name):
        raise ValueError("no plain name (printable ASCII, a name on every system)")
    if extension_of(name) not in extensions:
        raise ValueError("no extension of a supported format")
    return name


def _public(address: str) -> str:
    if flaw := flaw_of_address(address):
        raise ValueError(flaw)
    return address


def _text(text: str) -> str:
    if text != text.strip():
        raise ValueError("a text with space around it")
    return text


def _url(url: str) -> str:
    """Return an https address, or one of http on this machine: the stand-in sends pushes to this machine alone."""
    parts = urlsplit(url)  # whose ValueError refuses the body as ours does
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)):
        raise ValueError("no https address")
    return url


class CallBody(BaseModel):
    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, alias_generator=to_camel, hide_input_in_errors=True
    )


_Key = Annotated[str, Field(pattern=_UUID4)]
_OrderName = Annotated[str, Field(max_length=64)]
_FileName = Annotated[str, AfterValidator(partial(_named, extensions=MEDIA_TYPES))]
_PictureName = Annotated[str, AfterValidator(partial(_named, extensions=PICTURES))]
# Of TIFFs, the documents list .tiff alone.
_DetectableName = Annotated[str, AfterValidator(partial(_named, extensions=PICTURES - {"tif"}))]
_Address = Annotated[str, AfterValidator(_public)]


class Keyed(CallBody):
    idempotency_key: _Key


class Confirm(Keyed):
    order_id: str


class PictureFile(CallBody):
    file_name: _PictureName
    original_file_url: _Address = ""


class AntiAiOptions(CallBody):
    strength: Literal["low", "standard", "high"] = "high"


class AntiAiOrder(Keyed):
    files: Annotated[list[PictureFile], Field(min_length=1, max_length=100)]
    options: AntiAiOptions = AntiAiOptions()
    order_name: _OrderName = ""


class WatermarkText(CallBody):
    text: Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_text)]


class EmbedFile(CallBody):
    file_name: _FileName
    original_file_url: _Address = ""
    watermarks: Annotated[list[WatermarkText], Field(min_length=1, max_length=10)]

    @model_validator(mode="after")
    def _has_no_same_text(self) -> Self:
        if len({mark.text for mark in self.watermarks}) < len(self.watermarks):
            raise ValueError("a text twice")
        return self


class EmbedOrder(Keyed):
    files: Annotated[list[EmbedFile], Field(min_length=1, max_length=100)]


class OriginalFile(CallBody):
    file_name: _FileName


class ExtractFile(CallBody):
    file_name: _FileName
    original_file: OriginalFile

    @model_validator(mode="after")
    def _is_a_pair(self) -> Self:
        query, original = extension_of(self.file_name), extension_of(self.original_file.file_name)
        if query not in (_CAPTURES if original == "pdf" else PICTURES):
            raise ValueError(f"a {query} is not checked against a {original}")
        return self


class ExtractOrder(Keyed):
    file: ExtractFile


class DetectionOptions(CallBody):
    generate_heatmap: bool = False
    generate_overlay: bool = False
    generate_thumbnail: bool = False


class DetectionOrder(Keyed):
    file_name: _DetectableName
    order_name: _OrderName = ""
    options: DetectionOptions = DetectionOptions()


class ReportOrder(CallBody):
    locale: str = "ko-KR"


class RetryFailed(CallBody):
    from_date: date
    to_date: date


class Registration(CallBody):
    url: Annotated[str, AfterValidator(_url)]
    name: str = ""
    is_test: bool = False
