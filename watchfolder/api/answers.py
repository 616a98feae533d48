"""What the API answers, read tolerantly: from foreign JSON to our few nouns.

A field that we cannot do without is `faulty` (Retry) when it cannot be read; every other oddity is data. No reason made
here quotes a value: values hold signed links.
"""

import contextlib
import json
import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from typing_extensions import override

from watchfolder.clock import within_limit
from watchfolder.errors import Retry
from watchfolder.events import redacted

_LINK_SECONDS = 3600.0  # the life of a link whose answer names none
_LONGEST_LINK_SECONDS = 7 * 86400.0  # S3 signs for no longer
_MARGIN = 0.9  # of a link's life: the rest is for clocks and slow starts
_ID = re.compile(r"[!-~]{1,255}")
_LONGEST_TEXT = 500  # characters of a foreign sentence
_T = TypeVar("_T")


class _Word(StrEnum):
    """A word of the service; one that is not known here is UNKNOWN."""

    @classmethod
    @override
    def _missing_(cls, _value: object) -> Self:
        return cls("unknown")


class Status(_Word):
    PENDING = "pending"
    IN_PROGRESS = "inProgress"
    COMPLETE = "complete"
    FAILED = "failed"
    EXPIRED = "expired"
    UNKNOWN = "unknown"  # see `raw_status`


class ReportStatus(_Word):
    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    UNKNOWN = "unknown"


def _id(value: object) -> str:
    """Keep an id as text. A float has already lost digits of it, and a bool was never one."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("not an id")  # noqa: TRY004 (pydantic collects only ValueError)
    text = str(value)
    if not _ID.fullmatch(text) or text.strip(".") == "":  # dots alone would climb about in a URL's path
        raise ValueError("not an id")
    return text


def _text_of_watermark(value: object) -> str:
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else ""


def _instant(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment and within_limit(moment.replace(tzinfo=moment.tzinfo or UTC))


Id = Annotated[str, BeforeValidator(_id)]
Text = Annotated[str | None, BeforeValidator(lambda value: _text(value) if isinstance(value, str) else None)]
Instant = Annotated[datetime | None, BeforeValidator(_instant)]


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    @classmethod
    def read(cls, value: object) -> Self:
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            where = sorted({".".join(str(step) for step in fault["loc"]) or "data" for fault in error.errors()})
        raise faulty("cannot read " + ", ".join(where)[:200])  # outside the `except`: its error quotes the values

    @classmethod
    def read_known(cls, entries: object) -> list[Self]:
        """Leave out what cannot be read."""
        found = []
        for entry in entries if isinstance(entries, list) else []:
            with contextlib.suppress(ValidationError):
                found.append(cls.model_validate(entry))
        return found


class Slot(_Read):
    """A place for one input at the service. The URL is a secret, hence not in the repr."""

    file_id: Id
    file_name: Text = None
    upload_url: str | None = Field(default=None, repr=False)


class Output(_Read):
    """What was made of an input: several may be, each with a watermark's text of its own."""

    file_id: Id
    input_file_id: Id | None = None
    text: Annotated[str, BeforeValidator(_text_of_watermark)] = Field(default="", alias="watermarkText")


class Created(_Read):
    order_id: Id
    order_name: Text = None
    status: Status
    slots: tuple[Slot, ...] = Field(alias="files")


class Listed(_Read):
    order_id: Id
    order_name: Text = None
    type: Text = None  # of its service
    status: Status
    created_at: Instant = None


class Webhook(_Read):
    """Where the service pushes to. The secret is in the first answer alone, and not in the repr."""

    id: Id
    url: Text = None
    name: Text = None
    is_active: Annotated[bool, BeforeValidator(lambda value: value is not False)] = True
    secret: str | None = Field(default=None, repr=False)


class PushEvent(_Read):
    id: Id
    status: Text = None  # PENDING, SENT, RETRYING or FAILED
    created_at: Instant = None


class Link(_Read):
    """`file_id` is None where the server knows only one link for the whole order: a ZIP if it has several files."""

    file_id: Id | None
    url: str = Field(alias="downloadUrl", min_length=1, repr=False)


class _ReportLink(_Read):
    url: str = Field(min_length=1, repr=False)


class ReportFailure(_Read):
    code: Text = None
    retryable: Annotated[bool, BeforeValidator(lambda value: value is True)] = False


class ReportView(_Read):
    """A report on an order, in one language. Its link lives for five minutes, and there is a new one with each look."""

    status: ReportStatus
    download: _ReportLink | None = Field(default=None, repr=False)
    failure: ReportFailure | None = None


@dataclass(frozen=True)
class Links:
    files: tuple[Link, ...]
    expires_in_seconds: float  # less a margin


@dataclass(frozen=True)
class Failure:
    code: str
    message: str

    @classmethod
    def read(cls, errors: object) -> Self | None:
        if not errors:
            return None
        if not isinstance(errors, dict):
            return cls("", _text(errors if isinstance(errors, str) else json.dumps(errors)))
        code, message = errors.get("errorCode"), errors.get("errorMessage")
        return cls(_text(str(code or ""))[:64], _text(str(message or "")))


@dataclass(frozen=True)
class OrderView:
    """What an order looks like at the service. A v2 server shows neither inputs nor outputs, nor does the list.

    `shown` is the whole answer, for services that read more of it; it may hold links, hence not in the repr.
    """

    status: Status
    failure: Failure | None
    inputs: tuple[Slot, ...]
    outputs: tuple[Output, ...]
    expires_at: datetime | None
    raw_status: str
    shown: Mapping[str, object] = field(repr=False)
    is_delayed: bool = False  # people at the service have to see to it

    @classmethod
    def read(cls, data: object) -> Self:
        """Read either dialect.

        Inputs only spare a refresh, so a strange one is left out. A strange output is faulty: a complete order without
        outputs would mean that nothing was made of a picture that was paid for.
        """
        order = _object(data)
        raw_status, result, inputs = order.get("status"), order.get("result"), order.get("inputFiles")
        outputs = result.get("outputFiles") if isinstance(result, dict) else None
        made = tuple(Output.read(entry) for entry in _list(outputs or [], "outputFiles"))
        _require_told_apart(made)
        return cls(
            status=Status(str(raw_status)),
            failure=Failure.read(order.get("errors")),
            inputs=tuple(Slot.read_known(inputs)),
            outputs=made,
            expires_at=_instant(order.get("expiresAt")),
            raw_status=_text(raw_status if isinstance(raw_status, str) else json.dumps(raw_status)),
            shown=order,
            is_delayed=order.get("processingDelayed") is True,
        )

    @property
    def waits_for_upload(self) -> bool:
        return any(slot.upload_url for slot in self.inputs)


@dataclass(frozen=True)
class Envelope:
    """One answer's JSON. `code` is None where it has none."""

    is_json: bool
    code: str | None = None
    has_data: bool = False
    data: object = None

    @classmethod
    def read(cls, body: bytes) -> Self:
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            return cls(is_json=False)
        if not isinstance(answer, dict):
            return cls(is_json=False)
        code = answer.get("code")
        code = _text(code) if isinstance(code, str) and code else None
        return cls(is_json=True, code=code, has_data="data" in answer, data=answer.get("data"))

    @property
    def is_of_service(self) -> bool:
        return self.has_data or self.code is not None


def read_created(data: object, sent_names: Sequence[str]) -> Created:
    """Check count and names as well: an order for other files than were sent is not one to pay for."""
    answer = _object(data)
    lone = {"files": [answer["file"]]} if not answer.get("files") and "file" in answer else {}
    created = Created.read({**answer, **lone})
    if len(created.slots) != len(sent_names):
        raise faulty(f"{len(created.slots)} files for the {len(sent_names)} that were sent")
    if any(slot.file_name not in (None, name) for slot, name in zip(created.slots, sent_names, strict=True)):
        raise faulty("other file names than were sent")
    if len({slot.file_id for slot in created.slots}) != len(sent_names):
        raise faulty("one id for two files")
    return created


def _require_told_apart(outputs: Sequence[Output]) -> None:
    """Raise for results that cannot each be matched to one input: somebody would get another one's."""
    entries = set(outputs)  # one that is listed twice is one
    ids = {output.file_id for output in entries}
    made_of = {(output.input_file_id, output.text) for output in entries if output.input_file_id is not None}
    if len(ids) < len(entries):
        raise faulty("one id for two results")
    if len(made_of) < sum(output.input_file_id is not None for output in entries):
        raise faulty("two results of one file")


def read_of(read: Callable[[object], _T], order_id: str, data: object) -> _T:
    """Read what was asked of one order. What is said of another one is faulty."""
    if isinstance(data, dict) and str(data.get("orderId") or order_id) != order_id:
        raise faulty("it is about another order")
    return read(data)


def read_slot_list(data: object) -> tuple[Slot, ...]:
    return tuple(Slot.read(entry) for entry in _list(_object(data).get("files"), "files"))


def read_links(data: object) -> Links:
    """Take what is there: a link per file, else the one link, else the archive (which may turn out to be a ZIP)."""
    answer = _object(data)
    files = Link.read_known(answer.get("files"))
    single = answer.get("downloadUrl") or answer.get("url") or answer.get("archiveUrl")
    if not files and isinstance(single, str):
        files = [Link(file_id=None, url=single)]
    if not files:
        raise faulty("no link")
    if len({link.url for link in files}) < len({link.file_id for link in files}):
        raise faulty("one link for two files")
    lifetime = answer.get("expiresInSeconds") or answer.get("expiresIn")
    return Links(tuple(files), _seconds_of(lifetime) * _MARGIN)


def read_found(data: object, order_name: str) -> tuple[Listed | None, int]:
    """Return the order of exactly this name on one page of the list, and how many pages there are."""
    entries, pages = _page(data, "orders")
    for entry in entries:
        if isinstance(entry, dict) and entry.get("orderName") == order_name:
            return Listed.read({"status": None, **entry}), 1  # raises for one that cannot be read: it is ours
    return None, pages


def read_newest(data: object) -> Mapping[str, OrderView]:
    """Return what one page of the list shows of each order, by its id; entries that cannot be read are left out."""
    views = {}
    for entry in _page(data, "orders")[0]:
        with contextlib.suppress(ValidationError, Retry):
            views[Listed.model_validate(entry).order_id] = OrderView.read(entry)
    return views


def read_listed(data: object) -> tuple[list[Listed], int]:
    """Return what one page of the list says, and how many pages there are; unreadable entries are left out."""
    entries, pages = _page(data, "orders")
    return Listed.read_known(entries), pages


def read_webhooks(data: object) -> tuple[list[Webhook], int]:
    """Return what one page says, and how many pages there are. An unreadable entry is faulty: it may be ours."""
    entries, pages = _page(data, "webhooks")
    return [Webhook.read(entry) for entry in entries], pages


def read_events(data: object) -> tuple[list[PushEvent], int]:
    """Return what one page says, and how many pages there are; unreadable entries are left out."""
    entries, pages = _page(data, "events")
    return PushEvent.read_known(entries), pages


def _page(data: object, name: str) -> tuple[list[object], int]:
    page = _object(data)
    info = page.get("pageInfo" if name == "orders" else "pagination")
    pages = info.get("totalPages") if isinstance(info, dict) else None
    return _list(page.get(name), name), pages if isinstance(pages, int) else 1


def faulty(what: str) -> Retry:
    return Retry(f"the service gave a faulty answer: {what}", code="FAULTY_ANSWER")


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise faulty("no data")
    return value


def _list(value: object, name: str) -> list[object]:
    if not isinstance(value, list):
        raise faulty(f"no list of {name}")
    return value


def _seconds_of(value: object) -> float:
    try:
        seconds = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        return _LINK_SECONDS
    return seconds if 0 < seconds <= _LONGEST_LINK_SECONDS else _LINK_SECONDS


def _text(text: str) -> str:
    """Bound a foreign text, and make it encodable: JSON can spell half a surrogate pair.

    It is redacted, for it goes into the journal and onto the share, and the service may quote a secret.
    """
    return redacted(text)[:_LONGEST_TEXT].encode("utf-8", "replace").decode("utf-8")
