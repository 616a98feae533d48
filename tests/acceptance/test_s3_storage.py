"""Uploads and downloads against a real S3 store with real presigned links, and whole orders by way of it."""

import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from contents import sha256
from flask import Flask, request
from misbehaviour_door import standing
from misbehaviour_studio import PICTURE, Studio, shortened
from s3_store import Store, running_in
from typing_extensions import override

from watchfolder.api import Pace, Service
from watchfolder.config import ApiSection
from watchfolder.errors import Resync, Retry, WatchfolderError
from watchfolder.pipeline.upload import _IN_MEMORY_BYTES
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.orders import InputFile, OutputFile, SandboxOrder

pytestmark = pytest.mark.lab
LONG_AGO = timedelta(hours=2)
SIZES = {"nothing": 0, "one byte": 1, "a picture": len(PICTURE), "60 MiB": 60 << 20}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with running_in(tmp_path_factory.mktemp("s3")) as store:
        yield store


@pytest.fixture
def service() -> Iterator[Service]:
    settings = ApiSection.model_validate({"base_url": "http://127.0.0.1:9", "key": "sk_s3_0123456789"})
    service = Service(settings, transfers=2, stop=threading.Event(), pace=Pace(attempts=1))
    yield service
    service.close()


def upload(service: Service, url: str, content: bytes, md5: bytes | None = None, *, size: int | None = None) -> None:
    service.upload(url, io.BytesIO(content), len(content) if size is None else size, "image/jpeg", md5)


def md5_of(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


def never(block: bytes) -> None:
    pytest.fail(f"{len(block)} bytes came of a link that is refused")


@pytest.mark.parametrize("size", SIZES)
def test_what_is_sent_arrives_and_comes_back_the_same(store: Store, service: Service, size: str) -> None:
    content = (PICTURE * (1 + SIZES[size] // len(PICTURE)))[: SIZES[size]]
    upload(service, store.signed("PUT", "there"), content, md5_of(content))
    back: list[bytes] = []
    assert service.fetch(store.signed("GET", "there"), back.append, limit_bytes=64 << 20) == len(content)
    assert b"".join(back) == content == store.got("there")


def test_the_storage_is_told_the_length_and_neither_the_key_nor_chunks(store: Store, service: Service) -> None:
    with standing(store.port, "", "drip") as door:
        upload(service, store.signed("PUT", "plain", port=door.port), PICTURE, md5_of(PICTURE))
        assert service.fetch(store.signed("GET", "plain", port=door.port), lambda _: None, limit_bytes=1 << 20)
    put, get = (head.lower() for head in door.heads)
    assert f"content-length: {len(PICTURE)}".encode() in put
    assert b"content-md5: " in put
    assert b"transfer-encoding" not in put
    assert b"authorization" not in put + get
    assert b"cookie" not in put + get


Refused = Callable[[Store, str], str]
LINKS: dict[str, Refused] = {
    "another signature": lambda store, method: store.signed(method, "kept")[:-4] + "0000",
    "a link that has run out": lambda store, method: store.signed(method, "kept", at=datetime.now(UTC) - LONG_AGO),
    "a link for another file": lambda store, method: store.signed(method, "other").replace("other", "kept"),
    "a link for another method": lambda store, _: store.signed("DELETE", "kept"),
    "a longer life than was signed": lambda store, method: store.signed(method, "kept", seconds=1).replace(
        "Expires=1&", "Expires=9999&"
    ),
}


@pytest.mark.parametrize("link", LINKS)
def test_a_link_that_is_refused_is_replaced_and_no_file_is_blamed(store: Store, service: Service, link: str) -> None:
    store.put("kept", b"as it was")
    with pytest.raises(Resync) as refused:
        upload(service, LINKS[link](store, "PUT"), PICTURE)
    assert refused.value.code in {"SignatureDoesNotMatch", "AccessDenied"}
    with pytest.raises(Resync):
        service.fetch(LINKS[link](store, "GET"), never, limit_bytes=1 << 20)
    assert store.got("kept") == b"as it was"


def test_a_result_that_is_not_there_is_asked_for_again(store: Store, service: Service) -> None:
    with pytest.raises(Resync) as refused:
        service.fetch(store.signed("GET", "never put"), never, limit_bytes=1 << 20)
    assert refused.value.code == "NoSuchKey"


BROKEN: dict[str, tuple[bytes | None, int, str]] = {  # Content-MD5, announced length, what it is called
    "other bytes than were hashed": (md5_of(b"other"), 0, "BadDigest"),
    "no hash at all": (b"short", 0, "InvalidDigest"),
    "a file that lost its end": (None, 1, "FILE_CHANGED"),
    "a file that grew": (None, -1, "FILE_CHANGED"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_bytes_that_are_not_those_meant_are_never_stored(store: Store, service: Service, how: str) -> None:
    md5, longer, code = BROKEN[how]
    name = how.replace(" ", "-")
    with pytest.raises(Retry) as broken:
        upload(service, store.signed("PUT", name), PICTURE, md5, size=len(PICTURE) + longer)
    assert broken.value.code == code
    assert store.got(name) is None


def test_a_result_longer_than_any_limit_is_not_taken(store: Store, service: Service) -> None:
    store.put("long", PICTURE)
    poured: list[bytes] = []
    with pytest.raises(Retry) as refused:
        service.fetch(store.signed("GET", "long"), poured.append, limit_bytes=len(PICTURE) - 1)
    assert refused.value.code == "FILE_TOO_LONG"


def test_the_storage_that_is_away_is_a_passing_fault(store: Store, service: Service) -> None:
    with standing(store.port, "create", "refuse") as door, pytest.raises(WatchfolderError) as refused:
        upload(service, store.signed("PUT", "away", port=door.port), PICTURE)
    assert isinstance(refused.value, Retry)


# --- whole orders


@dataclass(kw_only=True)
class BucketSandbox(Sandbox):
    """A sandbox whose links lead to a real store; the first `stale` that are given out for a file have run out."""

    store: Store
    stale: int = 0
    given: dict[str, int] = field(default_factory=dict)

    @override
    def _app(self) -> Flask:
        self._storage.upload_link = self._upload_link  # type: ignore[method-assign]
        self._storage.result_link = self._result_link  # type: ignore[method-assign]
        app = super()._app()
        app.before_request(self._collect)
        return app

    def _link(self, method: str, name: str) -> str:
        self.given[name] = self.given.get(name, 0) + 1
        age = LONG_AGO if self.given[name] <= self.stale else timedelta()
        return self.store.signed(method, name, at=datetime.now(UTC) - age)

    def _upload_link(self, order: SandboxOrder, file: InputFile) -> str:
        return self._link("PUT", f"input/{order.order_id}/{file.number}")

    def _result_link(self, order: SandboxOrder, output: OutputFile) -> str:
        name = f"output/{order.order_id}/{output.number}"
        self.store.put(name, self._storage._result(order, output).read_bytes())
        return self._link("GET", name)

    def _collect(self) -> None:
        """Look, before a confirmation, which uploads have come."""
        if request.path != "/api/v2/orders/anti-ai/confirm":
            return
        order = self._state.orders[str((request.get_json() or {})["orderId"])]
        for file in order.files:
            content = self.store.got(f"input/{order.order_id}/{file.number}")
            if content is not None:
                file.path = self._folder / f"{order.order_id}-{file.number}.collected"
                file.path.write_bytes(content)
                file.sha256 = sha256(content)
                file.is_uploaded = file.was_uploaded = True


@pytest.mark.parametrize("stale", [0, 1])
def test_whole_orders_go_by_way_of_the_store(store: Store, tmp_path: Path, stale: int) -> None:
    around = {str(more): _IN_MEMORY_BYTES + more for more in (-1, 0, 1)}
    with BucketSandbox(processing_seconds=0, look_seconds=0, store=store, stale=stale) as sandbox, shortened():
        studio = Studio(tmp_path, sandbox, names=())
        for name, size in {**around, "small": len(PICTURE), "60 MiB": 60 << 20}.items():
            studio.drop(f"{name}.jpg", PICTURE.ljust(size, b"\0"))
        studio.live(lambda _: studio.is_over())
        assert studio.files("outbox") == studio.files("originals") == set(studio.contents)
        assert sandbox.paid_files == studio.paid_once_each()
        assert sandbox.sins == []
        asked = sandbox.requests_by_operation()
        assert {"upload", "fetch"}.isdisjoint(asked)
        assert asked.get("refresh", 0) == stale * len(studio.contents)
