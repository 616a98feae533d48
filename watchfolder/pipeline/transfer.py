"""Sending originals and fetching results: by signed links that run out and are renewed."""

import hashlib
import io
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import BinaryIO, Self

from watchfolder import disk
from watchfolder.api import Link, Links, MovedOn, Output, Slot, Status
from watchfolder.errors import FolderFault, OrderRetry, Reject, Resync, Retry, WatchfolderError
from watchfolder.order import Order, OrderFile
from watchfolder.pipeline import tempo
from watchfolder.pipeline.charging import is_charged_at
from watchfolder.pipeline.context import StepContext, id_of
from watchfolder.publish import RESULT_LIMIT_BYTES, Archive, Fetch, is_unchanged
from watchfolder.services import Stage, flow_of

TEST_KEY = "TEST_KEY"
_FAILURES_BEFORE_V2 = 3  # in a row: some four minutes
_ARCHIVE_GROWTH = 4  # how much larger than what was sent the results may be, all together
_IN_MEMORY_BYTES = 4 << 20  # files up to this size are read once for hash, MD5 and upload


def remember_urls(context: StepContext, order: Order, slots: tuple[Slot, ...]) -> None:
    context.urls[order.key] = {slot.file_id: slot.upload_url for slot in slots if slot.upload_url}


def ask_links(context: StepContext, order: Order) -> Links:
    """Ask where the results lie, and remember it for as long as that is true."""
    links = context.service.links(id_of(order), or_of_v2=order.failures >= _FAILURES_BEFORE_V2)
    context.links[order.key] = (context.journal.clock.elapsed() + links.expires_in_seconds, links)
    return links


class _Asking:
    """Ask the service for links, for all files of a round at once: when there are none, and when they are refused.

    That is twice a minute at most, and once when it fails: the failure then holds for all files.
    """

    def __init__(self, ask: Callable[[], object]) -> None:
        self._ask = ask
        self._asked: deque[float] = deque(maxlen=2)
        self._error: WatchfolderError | None = None

    def __call__(self) -> None:
        now = time.monotonic()
        while self._asked and now - self._asked[0] >= tempo.LINKS_SECONDS:
            self._asked.popleft()
            self._error = None
        if self._error is None and len(self._asked) < 2:  # noqa: PLR2004 (as above)
            self._asked.append(now)
            try:
                self._ask()
            except WatchfolderError as error:
                self._error = error
        if self._error is not None:
            raise self._error


class Sending:
    """The uploads of one order. Several threads may send its files side by side; a link is renewed once for all.

    A file to which the service gives no link any more has arrived: an earlier answer was lost.
    """

    def __init__(self, context: StepContext, order: Order) -> None:
        self._context = context
        self._order = order
        self._renewing = threading.Lock()
        self._is_renewed_by_read = flow_of(order).needs_v3
        self._slots: tuple[Slot, ...] = ()
        self._renew = _Asking(self._refresh)

    def send(self, index: int) -> str:
        """Upload one file; return the SHA-256 of what was sent.

        A refused link is replaced once; refused again, the upload goes without Content-MD5 (some stores refuse to sign
        it); then it is a matter for later. Raises FileNotFoundError when the file has vanished, or changed before that.
        """
        context, file = self._context, self._order.files[index]
        place = context.publisher.work_place(self._order, file)
        with os.fdopen(disk.open_regular(place), "rb") as opened:
            with disk.translated(place.path):
                source, sha256, md5 = _digested(opened, file.size)
            if not is_unchanged(place, file):
                raise FileNotFoundError
            refusal, url = "", ""
            for checksum in (md5, md5, None):
                url = self._url(index, refused=url)  # outside: the service's word is not the storage's refusal
                if not url:
                    return sha256
                try:
                    source.seek(0)
                    context.service.upload(url, source, file.size, file.media_type, checksum)
                except Resync as redo:
                    refusal = redo.code
                    if redo.was_repeated and is_charged_at(self._order, Stage.UPLOAD):
                        reason = "the storage refused an upload that may have arrived when it was first tried"
                        raise Retry(reason, code=refusal) from None
                else:
                    return sha256
        raise Retry(f"the storage refused the upload three times: {refusal}", code=refusal)

    def _url(self, index: int, *, refused: str) -> str:
        context, order = self._context, self._order
        with self._renewing:
            file_id = order.files[index].file_id or ""
            if context.urls.get(order.key, {}).get(file_id) in {None, refused}:
                self._renew()
                if order.files[index].file_id is None and len(self._slots) == len(order.files):
                    file_id = self._slots[index].file_id
            url = context.urls.get(order.key, {}).get(file_id, "")
            has_arrived = self._is_renewed_by_read and file_id in {slot.file_id for slot in self._slots}
            if not url and not has_arrived:
                raise OrderRetry("the service gave no upload link for a file", code="NO_UPLOAD_LINK")
            return url

    def _refresh(self) -> None:
        if self._is_renewed_by_read:
            seen = self._context.look(self._order)
            if seen.status is not Status.PENDING:
                raise MovedOn(f"the service waits for no upload any more: it calls the order {seen.raw_status}")
            self._slots = seen.inputs
        else:
            self._slots = self._context.service.refresh(id_of(self._order))
        remember_urls(self._context, self._order, self._slots)


@disk.folders_kept_open()
def send_unchanged(context: StepContext, order: Order, index: int, sending: Sending) -> OrderFile | None:
    """Return the file with what is known of it since it was sent; None if it is no longer what was claimed.

    Where an upload is what costs money, one that changes after it was sent counts as sent.
    """
    file = order.files[index]
    place = context.publisher.work_place(order, file)
    before = disk.stat_of(place)
    if before is None or not is_unchanged(place, file):
        return None
    try:
        digest = sending.send(index)
    except FileNotFoundError:
        return None
    sent = file.having(sha256=digest, ctime_ns=before.st_ctime_ns)
    return sent if is_charged_at(order, Stage.UPLOAD) or is_unchanged(place, sent) else None


def _digested(opened: BinaryIO, size: int) -> tuple[BinaryIO, str, bytes]:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    if size <= _IN_MEMORY_BYTES:
        content = opened.read(size + 1)
        sha256.update(content)
        md5.update(content)
        return io.BytesIO(content), sha256.hexdigest(), md5.digest()
    while block := opened.read(1 << 20):
        sha256.update(block)
        md5.update(block)
    return opened, sha256.hexdigest(), md5.digest()


class Fetching:
    """The downloads of one order, side by side as well. What they need together lies there while a block lasts."""

    def __init__(self, context: StepContext, order: Order) -> None:
        self._context = context
        self._order = order
        self._seen: Sequence[Output] | WatchfolderError | None = None
        self.is_known = False  # the service has just given links for the order
        self.has_missed = False  # a result: then the links are to be asked for anew, next time
        self._renewing = threading.Lock()
        self._renew = _Asking(self._ask)
        self._unpacking = threading.Lock()
        self._archive: Archive | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._archive is not None:
            with suppress(FolderFault):  # then the next start sweeps it away
                self._archive.discard()

    def of(self, number: int) -> Fetch:
        """Return how one result is streamed, with a fresh link when the one at hand has run out."""

        def fetch(sink: Callable[[bytes], object]) -> int:
            if self.is_in_archive():
                return self._unpack(number, sink)
            return self._stream(number, sink, RESULT_LIMIT_BYTES)

        return fetch

    def _stream(self, number: int, sink: Callable[[bytes], object], limit_bytes: int) -> int:
        refusal, url = "", ""
        for _ in range(2):  # a refused link has poured nothing: it may have run out, and is replaced once
            url = self._link(number, refused=url)  # outside: the service's word is not the storage's refusal
            try:
                return self._context.service.fetch(url, sink, limit_bytes=limit_bytes)
            except Resync as redo:
                refusal = redo.code
        raise Retry(f"the storage refused the download twice: {refusal}", code=refusal)

    def _unpack(self, number: int, sink: Callable[[bytes], object]) -> int:
        """Take one result out of the archive, which is fetched once for all of them."""
        with self._unpacking:
            if self._archive is None:
                limit_bytes = max(RESULT_LIMIT_BYTES, _ARCHIVE_GROWTH * self._order.size)
                download = partial(self._stream, number, limit_bytes=limit_bytes)
                self._archive = Archive.receive(self._context.publisher.hidden_part(), download)
            try:
                return self._archive.pour(self._file(number).sent_name, sink)
            except OrderRetry:
                self.has_missed = True
                raise

    def _link(self, number: int, *, refused: str) -> str:
        with self._renewing:
            found = self._find(number)
            if found == refused:
                self._renew()
                found = self._find(number)
            return found

    def _file(self, number: int) -> OrderFile:
        return self._order.files[self._order.results[number][0]]

    def _ask(self) -> None:
        ask_links(self._context, self._order)
        self.is_known = True

    def is_in_archive(self) -> bool:
        """Has the service nothing but one link for several files? That is a ZIP."""
        with self._renewing:
            (link, *others) = self._links()
        return link.file_id is None and not others and flow_of(self._order).files_in(self._order.body) > 1

    def _links(self) -> Sequence[Link]:
        context, order = self._context, self._order
        expiry, _ = context.links.get(order.key, (0.0, None))
        if context.journal.clock.elapsed() >= expiry:
            self._renew()
        _, links = context.links[order.key]
        if order.mode == "test" and all(link.file_id is None for link in links.files):
            raise _no_sample()  # the archive is the service's own, whatever was sent
        return links.files

    def _find(self, number: int) -> str:
        """Return the link of one result, matched by the input's id and its text, or of what holds it."""
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
        """Look once more: the order was called complete before it named this result."""
        wanted = (self._file(number).file_id, self._order.results[number][1].text)
        made = {(output.input_file_id, output.text): output.file_id for output in self._outputs()}
        return made.get(wanted)

    def _outputs(self) -> Sequence[Output]:
        """Look at most once for all files; what comes of that, also an error, holds for all of them."""
        if self._seen is None:
            try:
                self._seen = self._context.look(self._order).outputs
            except WatchfolderError as error:
                self._seen = error
        if isinstance(self._seen, WatchfolderError):
            raise self._seen
        return self._seen


def _no_sample() -> Reject:
    return Reject(
        "The service made no result for this picture: the API key is a test key.",
        code=TEST_KEY,
        advice="Use a live key, then move this file back into the inbox.",
    )
