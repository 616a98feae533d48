"""Sending originals and fetching results: by signed links that run out and are renewed."""

import hashlib
import io
import os
import time
from collections.abc import Callable
from typing import BinaryIO

from watchfolder import disk
from watchfolder.api import Slot
from watchfolder.errors import Redo, Reject, Retry
from watchfolder.order import Order
from watchfolder.pipeline.bench import Bench, id_of
from watchfolder.publish import Fetch

_IN_MEMORY_BYTES = 4 << 20  # files up to this size are read once for hash, MD5 and upload
_RESULT_LIMIT = 2 << 30  # bytes of one result; far over anything sent


def remember_urls(bench: Bench, order: Order, slots: tuple[Slot, ...]) -> None:
    bench.urls[order.key] = {slot.file_id: slot.upload_url for slot in slots if slot.upload_url}


def _url(bench: Bench, order: Order, index: int) -> str:
    file_id = order.files[index].file_id or ""
    if file_id not in bench.urls.get(order.key, {}):
        slots = bench.service.refresh(id_of(order))
        if order.files[index].file_id is None and len(slots) == len(order.files):
            file_id = slots[index].file_id
        remember_urls(bench, order, slots)
    try:
        return bench.urls[order.key][file_id]
    except KeyError:
        raise Retry("the service gave no upload link for a file", code="NO_UPLOAD_LINK") from None


def send(bench: Bench, order: Order, index: int) -> str:
    """Upload one file; return the SHA-256 of what was sent.

    A refused link is replaced once; refused again, the upload goes without Content-MD5 (some stores refuse to sign
    it); then it is a matter for later.
    """
    file = order.files[index]
    place = bench.publisher.work_place(order, file)
    with os.fdopen(disk.open_regular(place), "rb") as opened:
        source, sha256, md5 = _digested(opened, file.size)
        refusal = ""
        for checksum in (md5, md5, None):
            url = _url(bench, order, index)  # outside: what the service says of the order is not the storage's refusal
            try:
                source.seek(0)
                bench.service.upload(url, source, file.size, file.media_type, checksum)
            except Redo as refused:
                refusal = refused.code
                bench.urls.pop(order.key, None)
            else:
                return sha256
    raise Retry(f"the storage refused the upload three times: {refusal}", code=refusal)


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


def fetcher(bench: Bench, order: Order, index: int) -> Fetch:
    """Return how one result is streamed, with a fresh link when the one at hand has run out."""

    def fetch(sink: Callable[[bytes], object]) -> int:
        with bench.transfers:
            refusal = ""
            for _ in range(2):  # a refused link has poured nothing: it may have run out, and is replaced once
                url = _link(bench, order, index)  # outside: what the service says is not the storage's refusal
                try:
                    return bench.service.fetch(url, sink, limit_bytes=_RESULT_LIMIT)
                except Redo as refused:
                    refusal = refused.code
                    bench.links.pop(order.key, None)
            raise Retry(f"the storage refused the download twice: {refusal}", code=refusal)

    return fetch


def _link(bench: Bench, order: Order, index: int) -> str:
    """Return the link of one file's result, matched by the input's id, never by name."""
    expiry, links = bench.links.get(order.key, (0.0, None))
    if links is None or time.monotonic() >= expiry:
        links = bench.service.links(id_of(order))
        bench.links[order.key] = (time.monotonic() + links.expires_in_seconds, links)
    if len(order.files) == 1 and len(links.files) == 1:
        return links.files[0].url
    seen = bench.looks.get(order.key) or bench.look(order)
    bench.looks[order.key] = seen
    wanted = {output.file_id for output in seen.outputs if output.input_file_id == order.files[index].file_id}
    for link in links.files:
        if link.file_id in wanted:
            return link.url
    bench.links.pop(order.key, None)
    if order.kind == "test":
        raise Reject(
            "The service made no result for this picture: the API key is a test key.",
            code="TEST_KEY",
            advice="Use a live key, then move this file back into the inbox.",
        )
    raise Retry("the service calls the order complete but names no result for a file", code="NO_RESULT")
