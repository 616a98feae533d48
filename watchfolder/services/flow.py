"""The shape of a service: what it is asked, when it may have cost money, and what comes of it."""

import os
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import NamedTuple

from watchfolder.config import Inbox
from watchfolder.images import Format, Mode
from watchfolder.names import told_apart
from watchfolder.order import Finding, Key, Order, OrderFile, Result, product
from watchfolder.services.addresses import picture_name
from watchfolder.services.ledgers import Ledger


class Stage(StrEnum):
    CREATE = "create"
    UPLOAD = "upload"
    START = "start"


_REPORT_REQUESTS = 2  # ask for it, and how far it is


def named(name: str, **facts: object) -> OrderFile:
    """Return a file of which only its name and these facts are known."""
    unknown = {"media_type": "", "size": 0, "mtime_ns": 0}
    return OrderFile.model_validate({"name": name, "sent_name": name, **unknown, **facts})


def body_of(file: OrderFile) -> dict[str, object]:
    """Return a file as it stands in the body of a create call that accepts addresses."""
    address = {"originalFileUrl": file.address} if file.address else {}
    return {"fileName": file.sent_name, **address}


RecipientOf = Callable[[str], str | None]
"""Return the recipient of the copy that holds a text, None where that is not known."""

TakeSerials = Callable[[str, int], Sequence[str]]
"""Reserve so many serial numbers for the inbox of this name, none of which was ever given out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The result is a statement, no picture: the picture that was sent comes out untouched, with a sidecar.

    `read` takes an order as the service shows it, by itself or in its list, and returns None where the result is not
    in there; `about` adds what we know of it besides.
    """

    read: Callable[[Mapping[str, object]], Finding | None]
    sidecar: str  # appended to the picture's name
    say: Callable[[Finding], str]  # what it means, for a person
    caution: str  # and what it does not mean
    heatmap: Callable[[Mapping[str, object]], str | None] = lambda _shown: None  # its link, as the order shows it
    passing: frozenset[str] = frozenset()  # verdicts that say nothing and cost nothing: asked for again, a few times
    worth_report: frozenset[str] = frozenset()  # the verdicts of which `report: detected` wants one
    pdf_reports: frozenset[str] = frozenset()  # the languages in which there is one on a PDF
    report_credits: int = 0  # that a report costs, where that is documented
    about: Callable[[Finding, Order, RecipientOf], Finding] = lambda finding, _order, _recipient_of: finding


class Pair(NamedTuple):
    """The names of two files that belong together, in the order in which the service is told of them."""

    original: str
    picture: str


class Alone(NamedTuple):
    reason: str
    lacks_original: bool = False  # it is a picture, and its original is not among those beside it


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """An order is of two files: a picture, and the original with which it is compared.

    `shared` is what the names of a pair have in common. `find` is given a name and all names beside it with that in
    common, itself among them; `fits` says whether the service compares the two. `mark` ends an original's stem.
    """

    mark: str
    fits: Callable[[Format, Format], bool]
    is_original: Callable[[str], bool]
    shared: Callable[[str], Hashable]
    find: Callable[[str, Collection[str]], Pair | Alone]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issues:
    """Each result is an issue of its own, with a text that no other one has: none serves for another drop.

    `copies` returns a result for each recipient of a file, with its folder; `text` is what is written into the copy
    with this serial.
    """

    copies: Callable[[Inbox, str], tuple[Result, ...]]
    text: Callable[[Inbox, str, Result, str, date], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """All that is known of one service.

    `charged` is durable before the first request of the stage `charged_at`. `options` are the keys of the inbox on
    which the result depends, each with its permitted values.
    """

    name: str
    type: str  # the service's own word: in its reads, its list and its pushes
    done: str  # what has been done to a picture, as a participle
    charged_at: Stage  # CREATE for an order of nothing but addresses: see `paid_at`
    files: range  # how many an order may hold
    requests: int  # that an order takes of the rate limit, about
    create_path: str
    start_path: str = ""  # "": it starts by itself as soon as it has every file
    body: Callable[[Key, Sequence[OrderFile], Mapping[str, str]], str]  # of the create: key, files, options
    read_body: Callable[[str], Sequence[OrderFile]]  # back to the files, with what the body says of each
    options: Mapping[str, frozenset[str]] = field(default_factory=dict)
    extensions: Mapping[Format, str] = field(default_factory=dict)  # that it wants in place of the usual ones
    takes_pdf: bool = False  # as well as pictures
    refuses: frozenset[Mode] = frozenset()  # pictures of these kinds
    refunds_failed: bool = False  # the credits of an order that fails come back
    is_listed: bool = True  # under the name that we give; else its key alone finds an order again
    needs_v3: bool = False  # its orders are read by v3 alone, which also gives new upload links
    pairs: Pairs | None = None  # None: each file goes by itself
    takes_addresses: bool = False  # of pictures, which it fetches by itself: in the key `links` of the inbox
    findings: Findings | None = None  # None: the results are pictures, which are fetched
    issues: Issues | None = None
    ledger: Ledger | None = None

    def paid_at(self, order: Order) -> Stage:
        """Return the stage whose requests may cost money: where nothing is to be sent, the create starts the work."""
        return self.charged_at if any(not file.address for file in order.files) else Stage.CREATE

    @property
    def needs_no_start(self) -> bool:
        return not self.start_path

    @property
    def files_limit(self) -> int:
        return self.files[-1]

    def recipients_of(self, inbox: Inbox, name: str) -> tuple[str | None, ...]:
        """Return the recipient of each copy of the file: each copy is a result, and is paid for."""
        return tuple(copy.recipient for copy in self.copies_of(inbox, name))

    def copies_of(self, inbox: Inbox, name: str) -> tuple[Result, ...]:
        return self.issues.copies(inbox, name) if self.issues else (Result(),)

    def is_for_the_same(self, known: OrderFile, inbox: Inbox, name: str) -> bool:
        """Does a known file have the recipients that a file of this name would have?"""
        return {result.recipient for result in known.results} == set(self.recipients_of(inbox, name))

    def asked(
        self, inbox: Inbox, files: Sequence[OrderFile], take_serials: TakeSerials, today: date
    ) -> tuple[OrderFile, ...]:
        """Return the files as one order sends them: under different names, each with the results to be made of it.

        The text in an order's body never changes, also if the order is rebuilt. A file that was ordered before keeps
        its recipients and gets new texts: the service may know the old ones from an order that failed, and reports no
        text that it was given twice.
        """
        results = [file.results for file in files]
        if self.issues is not None:
            results = self._make_results(self.issues, inbox, files, take_serials, today)
        facts = zip(files, told_apart(file.sent_name for file in files), results, strict=True)
        return tuple(file.having(sent_name=name, results=made) for file, name, made in facts)

    def _make_results(
        self, issues: Issues, inbox: Inbox, files: Sequence[OrderFile], take_serials: TakeSerials, today: date
    ) -> list[tuple[Result, ...]]:
        names = [picture_name(file.name, file.address) for file in files]
        copies = [
            file.results if file.results[0].text else issues.copies(inbox, name)  # a text: ordered before
            for file, name in zip(files, names, strict=True)
        ]
        serials = iter(take_serials(inbox.name, sum(map(len, copies))))
        return [
            tuple(
                each if each.is_delivered else each.having(text=issues.text(inbox, name, each, serial, today))
                for each, serial in zip(made, serials, strict=False)
            )
            for name, made in zip(names, copies, strict=True)
        ]

    def may_reuse(self, inbox: Inbox) -> bool:
        """May a result serve for another drop of the same bytes?"""
        return inbox.duplicates != "again" and self.pairs is None and self.issues is None

    def folders_of(self, inbox: Inbox, name: str) -> tuple[str, ...]:
        """Say in which folders of the outbox the results of the file will lie; "" is the outbox itself."""
        return tuple(os.path.dirname(os.path.join(copy.folder or "", name)) for copy in self.copies_of(inbox, name))

    def requests_of(self, inbox: Inbox) -> int:
        """Return about how many requests one order takes, with all that the inbox wants beside its result."""
        return self.requests + inbox.heatmaps + (_REPORT_REQUESTS if inbox.report != "never" else 0)

    def report_credits_of(self, inbox: Inbox) -> int:
        """Return the credits that the report on each picture costs, if the inbox wants one."""
        return self.findings.report_credits if self.findings is not None and inbox.report != "never" else 0

    def options_of(self, inbox: Inbox) -> dict[str, str]:
        return {name: getattr(inbox, name) for name in self.options}

    def product_of(self, inbox: Inbox) -> str:
        return product(self.name, self.options_of(inbox))

    def are_known(self, options: Mapping[str, str]) -> bool:
        """Could an order of ours have these options?"""
        known = options.keys() == self.options.keys()
        return known and all(value in self.options[name] for name, value in options.items())

    def files_in(self, body: str) -> int:
        return len(self.read_body(body))

    def has_made(self, body: str, key: Key, options: Mapping[str, str]) -> bool:
        """Is this text, which anybody may have written, the body that is sent for this key and the files it names?"""
        try:
            return body == self.body(key, self.read_body(body), options)
        except (ValueError, TypeError, KeyError, RecursionError):
            return False

    def is_original(self, name: str) -> bool:
        return self.pairs is not None and self.pairs.is_original(name)

    def extension_of(self, format_: Format) -> str:
        return self.extensions.get(format_, format_.extension)
