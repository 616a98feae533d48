"""The nouns: an Order, its files, its states, and which state may follow which. Pure: no disk, no network, no clock."""

import hashlib
import json
import os
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal, Self
from urllib.parse import quote, unquote_to_bytes

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
)

from watchfolder.clock import Instant, Moment
from watchfolder.errors import ConfigError

_UUID4 = r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
_READABLE = "/ :!@#$&'()+,;=[]{}~^`"  # left as they are in JSON; every other byte outside A-Za-z0-9_.- becomes %XX


class State(StrEnum):
    """A fact that is already durable. The verb between two facts is a step of the pipeline."""

    CLAIMING = "claiming"
    MATCHED = "matched"
    LISTED = "listed"
    CLAIMED = "claimed"
    CREATED = "created"
    UPLOADED = "uploaded"
    CONFIRMED = "confirmed"
    COMPLETED = "completed"
    DELIVERED = "delivered"
    RECORDED = "recorded"
    RELEASED = "released"
    SUPERSEDING = "superseding"
    QUARANTINING = "quarantining"
    QUARANTINED = "quarantined"


_S = State
TRANSITIONS: Mapping[State, frozenset[State]] = {
    _S.CLAIMING: frozenset({_S.MATCHED, _S.LISTED, _S.CLAIMED, _S.RELEASED, _S.QUARANTINING}),
    _S.MATCHED: frozenset({_S.DELIVERED, _S.RELEASED, _S.QUARANTINING}),
    _S.LISTED: frozenset({_S.DELIVERED, _S.QUARANTINING}),
    _S.CLAIMED: frozenset({_S.CREATED, _S.RELEASED, _S.SUPERSEDING, _S.QUARANTINING}),
    _S.CREATED: frozenset({_S.UPLOADED, _S.CONFIRMED, _S.RELEASED, _S.SUPERSEDING, _S.QUARANTINING}),
    _S.UPLOADED: frozenset({_S.CONFIRMED, _S.CREATED, _S.RELEASED, _S.SUPERSEDING, _S.QUARANTINING}),
    _S.CONFIRMED: frozenset({_S.COMPLETED, _S.CREATED, _S.SUPERSEDING, _S.QUARANTINING}),
    _S.COMPLETED: frozenset({_S.DELIVERED, _S.SUPERSEDING, _S.QUARANTINING}),
    _S.DELIVERED: frozenset({_S.RECORDED}),
    _S.RECORDED: frozenset(),
    _S.RELEASED: frozenset({_S.QUARANTINED}),
    _S.SUPERSEDING: frozenset(),
    _S.QUARANTINING: frozenset({_S.QUARANTINED}),
    _S.QUARANTINED: frozenset({_S.CLAIMING}),
}
"""What may follow what; the journal refuses the rest. The diagram in docs/architecture.md is pinned to it by a test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What is so of every order in a state. `STATES` is the only place that says it."""

    needs_service: bool = False  # its step makes requests for the order
    buys: bool = False  # one of these creates or starts it, and is refused while there are no credits
    is_at_service: bool = False  # the service has the order, and has not said that it ended, which a push may do first
    holds_slot: bool = True  # of `orders_in_flight`, unless it waits
    is_unread: bool = False  # the hashes of its files are not known before they are uploaded
    leads_home: bool = False  # a result is still to come
    brings_home: bool = False  # its step delivers, and gives back an original that has changed since it was sent
    waits_for_others: bool = False  # its step may find that another order has to go on first
    may_lie_in_inbox: bool = False  # its files lie there still, or again
    gives_back: bool = False  # its step returns files to the inbox, and so proves nothing about the service
    is_end: bool = False  # it gets a line in the history


STATES: Mapping[State, Traits] = {
    _S.CLAIMING: Traits(holds_slot=False, is_unread=True, leads_home=True, may_lie_in_inbox=True),
    _S.MATCHED: Traits(holds_slot=False, leads_home=True, brings_home=True, waits_for_others=True),
    _S.LISTED: Traits(holds_slot=False, leads_home=True, waits_for_others=True),
    _S.CLAIMED: Traits(needs_service=True, buys=True, is_unread=True, leads_home=True),
    _S.CREATED: Traits(needs_service=True, is_at_service=True, is_unread=True, leads_home=True),
    _S.UPLOADED: Traits(needs_service=True, buys=True, is_at_service=True, leads_home=True),
    _S.CONFIRMED: Traits(needs_service=True, is_at_service=True, leads_home=True),
    _S.COMPLETED: Traits(needs_service=True, leads_home=True, brings_home=True),
    _S.DELIVERED: Traits(is_end=True),
    _S.RECORDED: Traits(holds_slot=False),
    _S.RELEASED: Traits(gives_back=True, may_lie_in_inbox=True),
    _S.SUPERSEDING: Traits(gives_back=True),
    _S.QUARANTINING: Traits(),
    _S.QUARANTINED: Traits(holds_slot=False, is_end=True),
}


def _read_text(value: object, info: ValidationInfo) -> object:
    return os.fsdecode(unquote_to_bytes(value)) if info.mode == "json" and isinstance(value, str) else value


def is_base_name(value: str) -> bool:
    """Can this be the name of something in a folder?"""
    return value not in {"", ".", ".."} and not {"/", "\0"} & set(value)


def _within_folder(value: str) -> str:
    """Return the relative name. Raises ValueError for one that leads out of its folder."""
    if not all(map(is_base_name, value.split("/"))):
        raise ValueError("not a name inside a folder")
    return value


def key_of_one(many: str, index: int) -> str:
    """Return the key of one picture, parked by itself, of an order of many: derived, so that it is always the same."""
    digest = hashlib.sha256(f"{many}/{index}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


AnyText = Annotated[
    str,
    BeforeValidator(_read_text),
    PlainSerializer(lambda text: quote(os.fsencode(text), safe=_READABLE), return_type=str, when_used="json"),
]
"""A path, or a text with one in it, as os.fsdecode gives it: any bytes. In JSON it is percent-encoded."""

RelativeName = Annotated[AnyText, AfterValidator(_within_folder)]
"""A path below a folder."""

Key = Annotated[str, Field(pattern=_UUID4)]
LostSeconds = Annotated[float, Field(ge=0, le=1e9)]
"""Thirty years at most: far more than any configuration lets an order fail, and small enough to calculate with."""

_SCHEMA = 1
KeyMode = Literal["live", "test"]


def product(service: str, options: Mapping[str, str]) -> str:
    """Return what two drops of the same bytes must share for one result to serve both."""
    return " ".join([service, *(f"{name}={options[name]}" for name in sorted(options))])


class Record(BaseModel):
    """Frozen, and as strict as hostile input demands."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    def having(self, **facts: object) -> Self:
        return self.model_copy(update=facts)


Fact = str | float | bool | None


class Finding(Record):
    """What the service says of a picture, where it makes none: a verdict, one of a few words, and further facts."""

    verdict: Annotated[str, Field(pattern=r"^[a-z_]{1,64}$")]
    facts: dict[str, Fact] = {}
    order_id: str = ""  # the order in which it was said
    checked_at: Instant | None = None  # when we were told


class Result(Record):
    """What the service makes of a file: one, or one for each recipient. Each is received and delivered by itself."""

    recipient: RelativeName | None = None  # whose copy it is
    folder: RelativeName | None = None  # below the outbox: the recipient's own, where all have one
    text: str = ""  # the watermark in it; with the file's id it identifies the result in the order
    result_id: str | None = None  # the service's name for it, where it tells
    part: RelativeName | None = None  # below the outbox: the verified download, waiting for its name
    delivery: RelativeName | None = None  # below the outbox: the final name, journalled before the link
    sha256: str | None = None
    size: int | None = None
    delivered_at: Instant | None = None  # when it got its name in the outbox
    was_told: bool = False  # it is in the history already: its file was parked after this delivery

    @property
    def is_delivered(self) -> bool:
        return self.delivered_at is not None

    @property
    def is_to_be_told(self) -> bool:
        """Is it delivered, and not yet in the history, which gets it at its order's end?"""
        return self.is_delivered and not self.was_told

    @property
    def as_new(self) -> "Result":
        """Return what was known of it when the order was made."""
        return Result(recipient=self.recipient, folder=self.folder, text=self.text)


class EnclosureKind(StrEnum):
    """What can lie beside a picture, in addition to its sidecar."""

    KEYWORDS = "keywords"
    HEATMAP = "heatmap"
    REPORT = "report"


class Enclosure(Record):
    """An enclosure that is still to come. Its name, size and hash are journalled before the link."""

    kind: EnclosureKind
    locale: str = ""  # of a report
    asked_at: Moment | None = None  # when the service was asked to make the report
    attempts: int = 0  # how often the service has tried to make it
    name: RelativeName | None = None  # below the outbox
    size: int | None = None
    sha256: str | None = None


class Role(StrEnum):
    """What a file is in its order."""

    PICTURE = "picture"  # what the order is made for
    ORIGINAL = "original"  # the user's own, with which that picture is compared
    COPY = "copy"  # of an original that lies elsewhere: it goes when the order is done with it


class OrderFile(Record):
    """One file of an order. The first five fields are known at the claim, the others come as they become facts."""

    name: RelativeName  # below the inbox, the user's own
    sent_name: str  # what the service is told: harmless, with the extension of the bytes' format
    media_type: str
    size: int = Field(ge=0, lt=1 << 63)  # bytes
    mtime_ns: int
    address: str = Field(default="", repr=False)  # that the service fetches the picture from: a secret, for its query
    role: Role = Role.PICTURE
    line: int | None = None  # of the list that the address stands in; the first is 1
    sha256: str | None = None  # hex, of the bytes that were uploaded
    ctime_ns: int | None = None  # when that hash was taken: while it stays, nobody has touched the file
    file_id: str | None = None  # the service's name for the input
    finding: Finding | None = None  # what it says of it, where it makes nothing
    is_uploaded: bool = False
    results: tuple[Result, ...] = Field(default=(Result(),), min_length=1)
    destination: RelativeName | None = None  # below originals or quarantine, or the inbox on the way back
    is_placed: bool = False  # the original has reached its destination, or was deleted as configured

    @property
    def result(self) -> Result:
        """Its only result, of a service that makes one of each file."""
        (result,) = self.results
        return result

    def taken_again(self, name: str, size: int, mtime_ns: int, line: int | None = None) -> Self:
        """Return this file of a parked order as the one whose bytes, or address, have come back."""
        kept = self.model_dump(include={"sent_name", "media_type", "role", "address", "sha256", "file_id"})
        results = tuple(each.having(was_told=True) if each.is_delivered else each.as_new for each in self.results)
        return type(self)(name=name, size=size, mtime_ns=mtime_ns, line=line, results=results, **kept)

    @property
    def as_new(self) -> Self:
        """Return this file as it is ordered anew: of its results only what is delivered stays."""
        results = tuple(each if each.is_delivered else each.as_new for each in self.results)
        return self.having(file_id=None, is_uploaded=False, ctime_ns=None, results=results)

    @property
    def is_to_be_sent(self) -> bool:
        """Does the service wait for its bytes? It fetches by itself what has an address."""
        return not self.is_uploaded and not self.address

    @property
    def is_delivered(self) -> bool:
        return all(result.is_delivered for result in self.results)

    @property
    def is_under_way(self) -> bool:
        """Are neither all its results nor the picture itself where a person looks for them?"""
        return not self.is_delivered and not self.is_placed and self.role is not Role.COPY


class Why(Record):
    """Why an order went to quarantine, in words for the owner of the picture."""

    reason: AnyText
    advice: AnyText = ""
    code: str = ""
    said: str = ""  # the service's own sentence, for support
    retry_helps: bool = True  # False: the same bytes would fail for the same reason


GOING_ON: Mapping[str, object] = {
    "deaths": 0,
    "failures": 0,
    "failing_seconds": 0.0,
    "failed_at": None,
    "not_before": None,
    "last_error": "",
    "is_delayed": False,
    "is_overdue": False,
    "missing_since": None,
}
"""The facts that are reset when an order moves on: failures, deaths and delays."""


class Order(Record):
    """The unit of work: one or more files that were sent to the service together. One JSON file in the journal."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    key: Key  # journal file name, work folder name and idempotencyKey in one
    confirm_key: Key  # the start's own idempotencyKey; a new one after each redo
    inbox: str  # the inbox's name in the configuration
    mode: KeyMode  # of the API key the order was begun with
    service: str  # what is bought
    options: dict[str, str]  # of the service, on which the result depends
    body: str  # the exact JSON text of the create call; never changes for a key
    files: tuple[OrderFile, ...] = Field(min_length=1)
    state: State = State.CLAIMING
    times: dict[State, Moment] = {}  # when each state was last reached, the first one first
    order_id: str | None = None
    fingerprint: str = ""  # of the API key by which the service last knew the order, or with which it was begun
    refused_by: str = ""  # of the API key by which the service does not know it: the order waits for another key
    work: AnyText = ""  # the work folder of its inbox that its folder is in; "": the one that is configured
    work_folder_of: Key | None = None  # the superseded order whose work folder holds the files
    of_many: Key | None = None  # the order of many, at the service, of which this is one picture, parked by itself
    is_list: bool = False  # its file holds addresses, for which orders of their own are begun
    of_list: Key | None = None  # the list in which the addresses of its files stand
    reused_from: Key | None = None  # its bytes are those of a delivery that this order brought: nothing is bought
    split_from: Key | None = None  # the order that failed and was split, this being a part of it
    doubted_seconds: LostSeconds | None = None  # lost so far while every order failed: perhaps no fault of its own
    failed_alone: int = 0  # how often its one picture failed with no other one beside it
    last_success: Key | None = None  # the order that had succeeded last when its pictures first failed
    reordered: int = 0  # how often its files were ordered again after failures at the service that may pass
    children: tuple["Order", ...] = ()  # of a superseded order
    was_rebuilt: bool = False  # the entry was lost, and made again from the work folder: the service may have the order
    charged: bool = False  # it may have cost money, whatever state it goes back to
    redos: int = 0
    deaths: int = 0  # of the process, in a row, while a step of this order was under way
    failures: int = 0  # in a row; sets the backoff
    failing_seconds: LostSeconds = 0.0  # time lost to failures while service and folders were otherwise usable
    failed_at: Moment | None = None
    not_before: Moment | None = None  # when its step may be tried again; may lie in the past
    last_error: AnyText = ""  # the last failure's reason
    is_delayed: bool = False  # the service could not finish it by itself: people there see to it
    is_overdue: bool = False  # the service takes very long over it, and that was reported
    missing_since: Moment | None = None  # the service said once that it does not know the order
    expires_at: Instant | None = None  # until when the service says that it keeps the results; shown, never acted on
    enclosures: tuple[Enclosure, ...] = ()  # that are still to come; the history tells of the order already
    why: Why | None = None
    was_recorded: bool = False  # its quarantine is in the history
    is_resumable: bool = False  # quarantined, yet alive and not failed at the service: the same bytes take it up again

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    def taken_up(self, inbox: str, files: tuple[OrderFile, ...]) -> Self:
        """Return this parked order as it begins anew, with the files that have come back."""
        fresh = {"work_folder_of": None, "of_list": None, "split_from": None, "redos": 0, "why": None}
        return self.having(inbox=inbox, files=files, **fresh, is_resumable=False, was_recorded=False, **GOING_ON)

    @property
    def name(self) -> str:
        """The name by which the order can be found in the service's list."""
        return f"wf-{self.of_many or self.key}"

    @property
    def product(self) -> str:
        return product(self.service, self.options)

    def has_product(self, mode: KeyMode, product: str) -> bool:
        """Was it asked for with such a key, as that product? Only then may its result serve for an order like that."""
        return (self.mode, self.product) == (mode, product)

    @property
    def needs_service(self) -> bool:
        """Does its step make requests? Not any more once every picture has its finding."""
        return self.traits.needs_service and not all(file.finding is not None for file in self.pictures)

    @property
    def is_paid(self) -> bool:
        """Money may have been taken for it. A test key costs none."""
        return self.charged and self.mode == "live"

    @property
    def may_be_given_back(self) -> bool:
        """Is it certain to have cost nothing? Only then may it be released, parted, split or begun anew."""
        return not self.charged and not self.may_be_there

    @property
    def may_be_there(self) -> bool:
        """Was it rebuilt, and not looked for yet? Then the service may have it, and it may have cost money."""
        return self.was_rebuilt and self.order_id is None

    @property
    def is_to_be_paid(self) -> bool:
        return self.traits.leads_home and not self.charged and self.reused_from is None and not self.is_list

    @property
    def pictures(self) -> tuple[OrderFile, ...]:
        return tuple(file for file in self.files if file.role is Role.PICTURE)

    @property
    def is_of_many(self) -> bool:
        """Does it hold several pictures? A picture and the original it is compared with are one."""
        return len(self.pictures) > 1

    @property
    def is_open(self) -> bool:
        """Does work remain? Not at its end, nor when parked; but one of many has still to be parted or to leave."""
        if self.state is State.RECORDED:
            return False
        return self.state is not State.QUARANTINED or self.is_of_many

    @property
    def is_parked(self) -> bool:
        """Does it wait in quarantine until the same bytes take it up again? One of many does not: each is by itself."""
        return self.state is State.QUARANTINED and self.is_resumable and not self.is_of_many

    @property
    def told(self) -> OrderFile | None:
        """The first delivered picture with a finding."""
        return next((file for file in self.files if file.finding is not None and file.is_delivered), None)

    @property
    def has_failed(self) -> bool:
        """Have its pictures failed at the service before, under another key?"""
        return self.split_from is not None or self.doubted_seconds is not None

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def started(self) -> Moment | None:
        """When it was claimed, or took another one's place."""
        return next(iter(self.times.values()), None)

    @property
    def traits(self) -> Traits:
        return STATES[self.state]

    def is_due(self, elapsed: float) -> bool:
        """Is its wait over, by the seconds since this boot?"""
        return self.not_before is None or self.not_before.elapsed <= elapsed

    @property
    def results(self) -> tuple[tuple[int, Result], ...]:
        """All results, file by file, each with the index of its file. The place of a result here is its number."""
        return tuple((index, result) for index, file in enumerate(self.files) for result in file.results)

    def with_result(self, number: int, **facts: object) -> Self:
        """Return a copy whose result of this number has `facts`."""
        index, result = self.results[number]
        place = number - sum(len(file.results) for file in self.files[:index])
        results = self.files[index].results
        return self.with_file(index, results=(*results[:place], result.having(**facts), *results[place + 1 :]))

    def with_enclosure(self, enclosure: Enclosure) -> Self:
        """Return a copy that has it in place of the one of its kind."""
        changed = (enclosure if each.kind is enclosure.kind else each for each in self.enclosures)
        return self.having(enclosures=tuple(changed))

    def without_enclosure(self, kind: EnclosureKind) -> Self:
        return self.having(enclosures=tuple(each for each in self.enclosures if each.kind is not kind))

    def with_file(self, index: int, **facts: object) -> Self:
        changed = self.files[index].having(**facts)
        return self.having(files=(*self.files[:index], changed, *self.files[index + 1 :]))


def files_without_inbox(orders: Iterable[Order], inboxes: Collection[str]) -> dict[str, int]:
    """Count, by inbox, the files of unfinished orders whose inbox has left the configuration, for which they wait."""
    files = Counter[str]()
    for order in orders:
        if order.inbox not in inboxes and (order.is_open or order.enclosures):
            under_way = sum(file.is_under_way for file in order.files)
            files[order.inbox] += under_way or len(order.pictures) * bool(order.enclosures)
    return dict(files)


def read_order(content: bytes, key: str) -> Order:
    """Read one entry as hostile input: it must be whole, of our schema and under its own key. Raises ValueError."""
    try:
        schema = json.loads(content)["schema"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError("it is empty, cut short or no journal entry") from error
    if isinstance(schema, int) and schema > _SCHEMA:
        raise ConfigError(
            f"the journal was written by a newer watchfolder (schema {schema}): install that version again"
        )
    try:
        order = Order.model_validate_json(content)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None
    if order.key != key:
        raise ValueError("its name is not its key")
    if order.state not in order.times:
        raise ValueError("it does not say since when it is what it is")
    return order
