"""One answer for the intake: is it a picture, is it whole, and if not, what is it?"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from watchfolder.images import bmp, jpeg, pdf, png, tiff, webp
from watchfolder.images.formats import (
    LOCKED_PDF,
    Foreign,
    Format,
    foreign_named,
    identify,
    is_named_picture,
)
from watchfolder.images.source import (
    BYTES_AT_MOST,
    SEARCHED_AT_MOST,
    FindHole,
    Incomplete,
    ReadAt,
    Source,
)

HEAD_BYTES = 4096

_CHECKS: dict[Format, tuple[Callable[[Source], None], int]] = {
    Format.JPEG: (jpeg.check, SEARCHED_AT_MOST),
    Format.PNG: (png.check, SEARCHED_AT_MOST),
    Format.WEBP: (webp.check, SEARCHED_AT_MOST),
    Format.TIFF: (lambda source: tiff.Tiff(source).check(), BYTES_AT_MOST),
    Format.BMP: (bmp.check, BYTES_AT_MOST),
    Format.PDF: (pdf.check, BYTES_AT_MOST),
}


class Kind(StrEnum):
    """What the intake should think of a file."""

    EMPTY = "empty"
    WHOLE = "whole"
    # The picture may be there, but the bytes do not prove it (a black one ends in zeros, too): to be taken after it has
    # stayed unchanged for longer.
    SUSPECT = "suspect"
    PARTIAL = "partial"  # a picture that is not complete, or a picture's name over bytes that tell nothing yet
    FOREIGN_PICTURE = "foreign_picture"  # RAW, HEIC, PSD…: `foreign.advice` says how to convert it
    NOT_A_PICTURE_BUT_NAMED_SO = "not_a_picture_but_named_so"
    OTHER = "other"  # no picture at all: it stays where it is


@dataclass(frozen=True)
class Verdict:
    """`detail` says in plain words what is missing when `kind` is PARTIAL or SUSPECT."""

    kind: Kind
    format: Format | None = None
    foreign: Foreign | None = None
    detail: str = ""


def judge(
    read_at: ReadAt, size: int, name: str, find_hole: FindHole = lambda _offset: None, *, takes_pdf: bool = False
) -> Verdict:
    """Judge a file of `size` bytes. Bytes decide; the name is asked only where they do not.

    Bytes behind a complete picture do not matter, unless they announce more than there is.
    """
    if size <= 0:
        return Verdict(Kind.EMPTY)
    head = read_at(0, min(size, HEAD_BYTES))
    what = identify(head, name, takes_pdf=takes_pdf)
    if isinstance(what, Format):
        return _check(what, read_at, size, find_hole)
    if what is None:
        return _judge_by_name(head, name)
    if what.is_picture:
        return Verdict(Kind.FOREIGN_PICTURE, foreign=what)
    return Verdict(Kind.NOT_A_PICTURE_BUT_NAMED_SO if is_named_picture(name) else Kind.OTHER, foreign=what)


def _judge_by_name(head: bytes, name: str) -> Verdict:
    foreign = foreign_named(name)
    if not any(head) and (foreign is not None or is_named_picture(name)):
        return Verdict(Kind.PARTIAL, detail="the file has its size but nothing has been written into it yet")
    if foreign is not None:
        return Verdict(Kind.FOREIGN_PICTURE if foreign.is_picture else Kind.OTHER, foreign=foreign)
    if is_named_picture(name):
        return Verdict(Kind.PARTIAL, detail="it does not begin like a JPEG, PNG, WebP, TIFF or BMP picture")
    return Verdict(Kind.OTHER)


def _check(form: Format, read_at: ReadAt, size: int, find_hole: FindHole) -> Verdict:
    check, bytes_at_most = _CHECKS[form]
    source = Source(read_at, size, find_hole, bytes_at_most)
    kind = Kind.WHOLE
    try:
        check(source)
        detail = source.doubts
        if detail:
            kind = Kind.SUSPECT
        elif source.is_locked:
            return Verdict(Kind.FOREIGN_PICTURE, foreign=LOCKED_PDF)
    except Incomplete as finding:
        kind, detail = Kind.PARTIAL, str(finding)
    return Verdict(kind, form, detail=detail.format(label=form.label))
