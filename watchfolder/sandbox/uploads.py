"""Where uploads arrive: length and MD5 are checked as by S3, the content as by the service that will work on it."""

import base64
import binascii
import hashlib
import secrets
import threading
from pathlib import Path
from typing import IO, NamedTuple, NoReturn, cast

from flask import Response, request

from watchfolder.sandbox.api import Route
from watchfolder.sandbox.bodies import media_type_of
from watchfolder.sandbox.examination import check
from watchfolder.sandbox.orders import InputFile, SandboxOrder
from watchfolder.sandbox.state import ApiRefusal, SandboxState
from watchfolder.sandbox.storage import Storage, StorageRefusal

_CHUNK = 1 << 20
_TEST_UPLOAD_BYTES = 50 << 20


class _Received(NamedTuple):
    path: Path
    md5: bytes
    sha256: str


class Uploads:
    """Writes uploads into files below `folder`, and starts the orders that start with their last upload."""

    def __init__(self, state: SandboxState, storage: Storage, folder: Path) -> None:
        self._state = state
        self._storage = storage
        self._links = storage.links
        self._folder = folder
        self._examining = threading.Lock()  # one picture in memory at a time

    def routes(self) -> list[Route]:
        return [
            ("PUT", "/storage/input/<order_id>/<int:number>/<name>", "upload", self._upload),
            ("PUT", "/api/v2/test-uploads/<token>", "upload", self._test_upload),
        ]

    def _upload(self, order_id: str, number: int, name: str) -> Response:
        self._links.let_in(media_type_of(name))
        order = self._storage.order(order_id)
        return self._take(order, order.files[number])

    def _test_upload(self, token: str) -> Response:
        self._links.refuse_key()
        if token not in self._storage.test_uploads:
            self._links.note("an upload link that was never given out")
            raise StorageRefusal(403, "AccessDenied", "Access Denied")
        order_id, number, given_at = self._storage.test_uploads[token]
        self._links.refuse_ended(given_at, self._state.options.link_seconds)
        order = self._storage.order(order_id)
        if (request.content_length or 0) > _TEST_UPLOAD_BYTES:
            raise ApiRefusal(413, "TEST_UPLOAD_TOO_LARGE")
        return self._take(order, order.files[number])

    def _take(self, order: SandboxOrder, file: InputFile) -> Response:
        self._refuse_body()
        is_late = order.status != "pending"
        if is_late and not (order.is_started and order.type.is_watermark):
            self._refuse_upload(order)
        received = self._receive()
        stored = Response(status=200, headers={"ETag": f'"{received.md5.hex()}"'})
        if is_late:  # the answer to the upload that started the order may have been lost: the same bytes pass again
            received.path.unlink()
            if received.sha256 != file.sha256:
                self._refuse_upload(order)
            return stored
        self._check(received.path, order, file)
        with self._state.lock:
            self._keep(received, order, file)
            file.was_uploaded = True
            file.is_uploaded = "sandbox.loss" not in request.environ
            if order.type.is_watermark and not order.is_started and all(each.is_uploaded for each in order.files):
                self._state.start(order, request.environ.get("sandbox.failure"))
        return stored

    def _refuse_body(self) -> None:
        if request.environ.get("sandbox.is_chunked") or request.headers.get("Content-Length") is None:
            self._links.note("an upload without a Content-Length of its own")
            raise StorageRefusal(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")

    def _refuse_upload(self, order: SandboxOrder) -> NoReturn:
        if order.is_started:
            self._links.note("an upload to an order that is no longer pending")
        raise StorageRefusal(403, "AccessDenied", "Access Denied")

    def _keep(self, received: _Received, order: SandboxOrder, file: InputFile) -> None:
        """Keep the bytes as the order's; those of a test key are thrown away."""
        file.path = None if order.is_test else self._folder / f"{order.order_id}-{file.number}.input"
        if file.path is None:
            received.path.unlink()
        else:
            received.path.replace(file.path)
        file.sha256 = received.sha256

    def _receive(self) -> _Received:
        path = self._folder / f"{secrets.token_hex(16)}.part"
        md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
        source = cast("IO[bytes]", request.environ["wsgi.input"])
        with path.open("wb") as target:
            while chunk := source.read(_CHUNK):
                md5.update(chunk)
                sha256.update(chunk)
                target.write(chunk)
        received = _Received(path, md5.digest(), sha256.hexdigest())
        self._check_bytes(received)
        return received

    def _check_bytes(self, received: _Received) -> None:
        announced = request.headers.get("Content-MD5")
        if announced is None:
            return
        try:
            digest = base64.b64decode(announced, validate=True)
        except binascii.Error:
            digest = b""
        if digest == received.md5:
            return
        received.path.unlink()
        self._links.note("a Content-MD5 that is not the body's")
        code = "BadDigest" if len(digest) == len(received.md5) else "InvalidDigest"
        raise StorageRefusal(400, code, "The Content-MD5 you specified did not match what we received.")

    def _check(self, path: Path, order: SandboxOrder, file: InputFile) -> None:
        media_type = request.headers.get("Content-Type", "")
        if media_type != media_type_of(file.name):
            self._links.note(f"Content-Type {media_type!r} for a file named {file.name!r}")
        with self._examining:
            flaw = check(order.type, path, media_type)
        if flaw.sin:
            self._links.note(flaw.sin)
        file.failure, file.is_unsupported = flaw.code, flaw.is_unsupported
