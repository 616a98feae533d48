"""Fetch the results of an order and put each in its place as it arrives."""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial

from watchfolder.api import Link, OrderView
from watchfolder.errors import FolderFault, OrderRetry, Reject, Resync, Retry, WatchfolderError
from watchfolder.events import event
from watchfolder.order import Order, OrderFile, State
from watchfolder.pipeline import timing
from watchfolder.pipeline.context import StepContext
from watchfolder.pipeline.poll import identify, note_known
from watchfolder.pipeline.signed_urls import Asking, ask_links
from watchfolder.pipeline.transfers import Round
from watchfolder.publish import RESULT_LIMIT_BYTES, Archive, Received, part_gone
from watchfolder.services import flow_of

TEST_KEY = "TEST_KEY"
_ARCHIVE_GROWTH = 4  # how much larger than what was sent the results may be, all together
_S = State


def deliver(context: StepContext, order: Order) -> Order:
    """Fetch the results, several side by side; each goes to the outbox as it arrives, and its original to its place."""
    context.folders.require(context.inbox)
    if flow_of(order).findings is not None:
        return context.journal.advance(context.findings.deliver(order), _S.DELIVERED)
    round_ = Round(context.memory_of(order).failed)
    received = [number for number, (_, result) in enumerate(order.results) if result.part is not None]
    order = _put_in_place(context, order, received, round_)
    if held := context.take_left_over(order):  # received by an earlier try of this step
        order = _put_in_place(context, context.accept(order, held), list(held), round_)
    with closing(Fetching(context, order)) as fetching:
        order = _fetch_missing(context, order, fetching, round_)
    if fetching.is_known:
        order = note_known(context, order)
    if fetching.has_missed:
        context.memory_of(order).links = None
    if round_.failures:
        raise round_.main_error()
    if any(file.is_under_way for file in order.files):
        raise part_gone(context.inbox.outbox)
    return context.journal.advance(order, _S.DELIVERED)


def _fetch_missing(context: StepContext, order: Order, fetching: "Fetching", round_: Round) -> Order:
    def fetch(number: int) -> Received:
        return context.publisher.receive(order.files[order.results[number][0]], partial(fetching.copy, number))

    results = enumerate(order.results)
    missing = [n for n, (index, result) in results if result.part is None and not order.files[index].is_placed]
    arrivals = context.transfers.run_all(
        order.inbox,
        fetch,
        round_.in_turn(missing),
        round_,
        at_once=1 if missing and fetching.is_in_archive() else None,
        gather_seconds=timing.GATHER_SECONDS,
        drop=Received.remove,
    )
    with closing(arrivals):
        for group in arrivals:
            _refuse_same(order, group, round_)
            order = _put_in_place(context, context.accept(order, group), list(group), round_)
    return order


def _refuse_same(order: Order, group: dict[int, Received], round_: Round) -> None:
    """Drop equal bytes that came for two texts: somebody would get the copy that names another."""
    texts = defaultdict[str, set[str]](set)
    for _, result in order.results:
        texts[result.sha256 or ""].add(result.text)
    for number, came in group.items():
        texts[came.sha256].add(order.results[number][1].text)
    for number in [number for number, came in group.items() if len(texts[came.sha256]) > 1]:
        group.pop(number).remove()
        reason = "the service delivered one and the same copy for two watermarks"
        round_.failures[number] = OrderRetry(reason, code="RESULT_OF_ANOTHER")


def _put_in_place(context: StepContext, order: Order, numbers: Sequence[int], round_: Round) -> Order:
    """Put in place what has been received; a sub-folder that takes nothing keeps back its own pictures only."""
    try:
        return context.publisher.put_in_place(order, numbers)
    except FolderFault as fault:
        if context.is_of_the_inbox(order, fault):
            raise
        known = context.journal.newest(order)
        at_fault = {order.results[number][0] for number in numbers}
        files = enumerate(zip(known.files, order.files, strict=True))
        order = known.having(files=tuple(old if index in at_fault else new for index, (old, new) in files))
        if len(numbers) == 1:
            round_.failures[numbers[0]] = fault
            return order
        event("order.obstructed", logging.WARNING, order=order.key, inbox=order.inbox, reason=fault.reason)
    for number in numbers:  # each by itself: what was done before is found done
        order = _put_in_place(context, order, [number], round_)
    return order


class Fetching:
    """The downloads of one order, of which several threads may make some, until it is closed."""

    def __init__(self, context: StepContext, order: Order) -> None:
        self._context = context
        self._order = order
        self._seen: OrderView | WatchfolderError | None = None
        self.is_known = False  # the service has just given links for the order
        self.has_missed = False  # the links lacked a result: they are asked for anew next time
        self._signed = Asking(self._ask)
        self._unpacking = threading.Lock()
        self._archive: Archive | None = None

    def close(self) -> None:
        if self._archive is not None:
            with suppress(FolderFault):  # then the next start sweeps it away
                self._archive.remove()

    def copy(self, number: int, sink: Callable[[bytes], object]) -> int:
        """Stream one result, with a fresh link when the one at hand has run out."""
        if self.is_in_archive():
            return self._take_out(number, sink)
        return self._fetch(number, sink, RESULT_LIMIT_BYTES)

    def _fetch(self, number: int, sink: Callable[[bytes], object], limit_bytes: int) -> int:
        refusal, url = "", ""
        for _ in range(2):  # a refused link has given nothing: it may have run out, and is replaced once
            url = self._signed.find(partial(self._find, number), refused=url)  # outside: this Resync is the service's
            try:
                return self._context.service.fetch(url, sink, limit_bytes=limit_bytes)
            except Resync as error:
                refusal = error.code
        raise Retry(f"the storage refused the download twice: {refusal}", code=refusal)

    def _take_out(self, number: int, sink: Callable[[bytes], object]) -> int:
        """Take one result out of the archive, which is fetched once for all of them."""
        with self._unpacking:
            if self._archive is None:
                limit_bytes = max(RESULT_LIMIT_BYTES, _ARCHIVE_GROWTH * self._order.size)
                download = partial(self._fetch, number, limit_bytes=limit_bytes)
                with self._context.publisher.new_part() as part:
                    self._archive = Archive.receive(part, download)
            try:
                return self._archive.copy(self._file(number).sent_name, sink)
            except OrderRetry:
                self.has_missed = True
                raise

    def _file(self, number: int) -> OrderFile:
        return self._order.files[self._order.results[number][0]]

    def _ask(self) -> None:
        ask_links(self._context, self._order)
        self.is_known = True

    def is_in_archive(self) -> bool:
        """Has the service nothing but one link for several files? That is a ZIP."""
        (link, *others) = self._signed.find(self._links)
        return link.file_id is None and not others and flow_of(self._order).files_in(self._order.body) > 1

    def _links(self) -> Sequence[Link]:
        memory = self._context.memory_of(self._order)
        if memory.links is None or self._context.journal.clock.elapsed() >= memory.links_end_at:
            self._signed.ask_again()
        links = memory.links.files if memory.links is not None else ()
        if self._order.mode == "test" and all(link.file_id is None for link in links):
            raise _no_sample()  # the archive is the service's sample, not what was sent
        return links

    def _find(self, number: int) -> str:
        """Return the link of one result, matched by the input's id and its text, or of the archive that holds it."""
        (_, result), order, links = self._order.results[number], self._order, self._links()
        is_lone = len(links) == 1 and not result.text
        if is_lone and (links[0].file_id is None or flow_of(order).files_in(order.body) == 1):
            return links[0].url
        result_id = result.result_id or self._result_id(number)
        for link in links:
            if link.file_id is not None and link.file_id == result_id:
                return link.url
        self.has_missed = True
        if order.mode == "test":
            raise _no_sample()
        raise OrderRetry("the service calls the order complete but names no result for a file", code="NO_RESULT")

    def _result_id(self, number: int) -> str | None:
        """Poll once more: the order was called complete before it named this result.

        That is done once for all files; its outcome, also an error, holds for all of them.
        """
        if self._seen is None:
            try:
                self._seen = self._context.poll(self._order)
            except WatchfolderError as error:
                self._seen = error
        if isinstance(self._seen, WatchfolderError):
            raise self._seen
        index, result = self._order.results[number]
        file = identify(self._order, self._seen.inputs)[index]
        made = (each for each in self._seen.outputs if (each.input_file_id, each.text) == (file.file_id, result.text))
        return next((each.file_id for each in made if file.file_id is not None), None)


def _no_sample() -> Reject:
    return Reject(
        "The service made no result for this picture: the API key is a test key.",
        code=TEST_KEY,
        advice="Use a live key, then move this file back into the inbox.",
    )
