"""The object storage beside the API: presigned links that expire, uploads checked to the byte, results to fetch."""

import base64
import binascii
import hashlib
import io
import secrets
import threading
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple, cast
from urllib.parse import quote

from flask import Blueprint, Response, request, send_file

from watchfolder.sandbox.demands import media_type_of
from watchfolder.sandbox.mark import flaw_of, write_marked
from watchfolder.sandbox.orders import InputFile, OrderType, Output, SandboxOrder
from watchfolder.sandbox.pictures import sample
from watchfolder.sandbox.presigned import Links, StorageError
from watchfolder.sandbox.state import Refusal, State

_CHUNK = 1 << 20
_TEST_UPLOAD_BYTES = 50 << 20
_FAILURES: Mapping[OrderType, str] = {  # of bytes that are no whole picture
    OrderType.ANTI_AI: "PROCESSING_ERROR",
    OrderType.AI_DETECTION: "AI_DETECTION_INVALID_IMAGE",
}


class Made(NamedTuple):
    """Something that is made when it is fetched."""

    content: bytes
    media_type: str


class _Received(NamedTuple):
    path: Path
    size: int
    md5: bytes
    sha256: str


class Storage:
    """Keeps every byte in files below `folder`; memory holds none."""

    def __init__(self, state: State, folder: Path) -> None:
        self._state = state
        self._folder = folder
        self._marking = threading.Lock()  # one picture in memory at a time
        self._makers: dict[str, Callable[[SandboxOrder], Made]] = {}
        self.links = Links(state)

    def blueprint(self) -> Blueprint:
        storage = Blueprint("storage", __name__)
        rules: list[tuple[str, str, str, Callable[..., object]]] = [
            ("PUT", "/storage/input/<order_id>/<int:number>/<name>", "upload", self._upload),
            ("PUT", "/api/v2/test-uploads/<token>", "upload", self._test_upload),
            ("GET", "/storage/output/<order_id>/<int:number>/<name>", "fetch", self._fetch),
            ("GET", "/storage/output/<order_id>/archive.zip", "fetch", self._fetch_archive),
            ("GET", "/storage/made/<order_id>/<name>", "fetch", self._fetch_made),
            ("GET", "/api/v2/test-samples/<token>", "fetch", self._fetch_sample),
        ]
        for number, (method, path, operation, view) in enumerate(rules):
            endpoint = f"{operation}_{number}"
            storage.add_url_rule(path, endpoint, cast("Any", view), methods=[method], provide_automatic_options=False)
        storage.register_error_handler(StorageError, StorageError.response)
        return storage

    def upload_link(self, order: SandboxOrder, file: InputFile) -> str:
        if order.is_test:
            return self.links.plain(f"/api/v2/test-uploads/{file.token}")
        return self.links.signed("PUT", f"/storage/input/{order.order_id}/{file.number}/{quote(file.name)}")

    def results(self, order: SandboxOrder) -> list[Output]:
        """Return what can be fetched. A test order that is complete may have nothing."""
        return order.outputs if not order.is_test or self._state.options.test_samples else []

    def result_link(self, order: SandboxOrder, output: Output) -> str:
        if order.is_test:
            return self.links.signed("GET", f"/api/v2/test-samples/{output.token}")
        return self.links.signed("GET", f"/storage/output/{order.order_id}/{output.number}/{quote(output.file.name)}")

    def archive_link(self, order: SandboxOrder) -> str:
        if order.is_test:
            return self.links.signed("GET", f"/api/v2/test-samples/{order.token}")
        return self.links.signed("GET", f"/storage/output/{order.order_id}/archive.zip")

    def offer(self, name: str, make: "Callable[[SandboxOrder], Made]") -> None:
        """Have what `make` returns for an order fetched under this name."""
        self._makers[name] = make

    def made_link(self, order: SandboxOrder, name: str) -> str:
        return self.links.signed("GET", f"/storage/made/{order.order_id}/{name}")

    def file_behind(self, path: str) -> InputFile | None:
        """Return the input file that an upload or a result link is about."""
        *_, kind, order_id, number, name = path.split("/")
        with self._state.lock:
            order = self._state.orders.get(order_id)
            if order is not None and kind == "input":
                return order.files[int(number)]
            if order is not None and kind == "output":
                return order.outputs[int(number)].file
            return next((file for _, file in self._all_files() if file.token == name), None)

    def _all_files(self) -> list[tuple[SandboxOrder, InputFile]]:
        return [(order, file) for order in self._state.orders.values() for file in order.files]

    # Uploads.

    def _upload(self, order_id: str, number: int, name: str) -> Response:  # noqa: ARG002 - the name is for people
        self.links.admit()
        order = self._order(order_id)
        return self._take(order, order.files[number])

    def _test_upload(self, token: str) -> Response:
        self.links.refuse_authorization()
        with self._state.lock:
            found = next((pair for pair in self._all_files() if secrets.compare_digest(pair[1].token, token)), None)
        if found is None or not found[0].is_test:
            raise StorageError(403, "AccessDenied", "Access Denied")
        if (request.content_length or 0) > _TEST_UPLOAD_BYTES:
            raise Refusal(413, "TEST_UPLOAD_TOO_LARGE")
        return self._take(*found)

    def _take(self, order: SandboxOrder, file: InputFile) -> Response:
        self._refuse_length_unknown()
        if order.status != "pending":
            self.links.sin("an upload to an order that is no longer pending")
            raise StorageError(403, "AccessDenied", "Access Denied")
        received = self._receive()
        self._refuse_digest(received)
        flaw = self._flaw_of(received, file)
        if flaw:
            self.links.sin(flaw)
        target = None if order.is_test else self._folder / f"{order.order_id}-{file.number}.input"
        with self._state.lock:
            if target is None:
                received.path.unlink()
            else:
                received.path.replace(target)
            file.path, file.size, file.sha256 = target, received.size, received.sha256
            file.failure = _FAILURES[order.type] if flaw else ""
            file.is_uploaded = file.was_uploaded = True
        return Response(status=200, headers={"ETag": f'"{received.md5.hex()}"'})

    def _refuse_length_unknown(self) -> None:
        if request.environ.get("sandbox.is_chunked") or request.headers.get("Content-Length") is None:
            self.links.sin("an upload without a Content-Length of its own")
            raise StorageError(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")

    def _receive(self) -> _Received:
        path = self._folder / f"{secrets.token_hex(16)}.part"
        md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
        source = cast("IO[bytes]", request.environ["wsgi.input"])
        with path.open("wb") as target:
            while chunk := source.read(_CHUNK):
                md5.update(chunk)
                sha256.update(chunk)
                size += target.write(chunk)
        return _Received(path, size, md5.digest(), sha256.hexdigest())

    def _refuse_digest(self, received: _Received) -> None:
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
        self.links.sin("a Content-MD5 that is not the body's")
        code = "BadDigest" if len(digest) == len(received.md5) else "InvalidDigest"
        raise StorageError(400, code, "The Content-MD5 you specified did not match what we received.")

    def _flaw_of(self, received: _Received, file: InputFile) -> str:
        media_type = request.headers.get("Content-Type", "")
        if media_type != media_type_of(file.name):
            self.links.sin(f"Content-Type {media_type!r} for a file named {file.name!r}")
        with self._marking:
            return flaw_of(received.path, media_type)

    # Results: marked when first asked for, kept until the sandbox ends.

    def _fetch(self, order_id: str, number: int, name: str) -> Response:  # noqa: ARG002 - the name is for people
        self.links.admit()
        order = self._finished(order_id)
        output = order.outputs[number]
        return self._send(self._result(order, output), output.file.name)

    def _fetch_archive(self, order_id: str) -> Response:
        self.links.admit()
        order = self._finished(order_id)
        archive = self._folder / f"{order.order_id}.zip"
        if not archive.exists():
            self._write_archive(order, archive)
        return self._send(archive, f"{order.order_id}.zip")

    def _fetch_made(self, order_id: str, name: str) -> Response:
        self.links.admit()
        made = self._makers[name](self._finished(order_id))
        return Response(made.content, mimetype=made.media_type)

    def _fetch_sample(self, token: str) -> Response:
        """Give a sample in the file's own format, or as a ZIP in the order's: of a test key no upload is kept."""
        self.links.admit()
        with self._state.lock:
            names = {o.token: o.file.name for order in self._state.orders.values() for o in order.outputs}
        sample_of = sample_for(names.get(token, "sample.jpg"))
        if token in names:
            return Response(sample_of, mimetype=media_type_of(names[token]))
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target:
            target.writestr("sample.jpg", sample_of)
        return Response(archive.getvalue(), mimetype="application/zip")

    def _write_archive(self, order: SandboxOrder, archive: Path) -> None:
        results = [(output, self._result(order, output)) for output in order.outputs]
        part = self._folder / f"{secrets.token_hex(16)}.part"
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as target:
            taken: set[str] = set()
            for output, path in results:
                name = output.file.name
                name = name if name not in taken else f"{output.number}-{name}"
                taken.add(name)
                target.write(path, name)
        part.replace(archive)

    def _result(self, order: SandboxOrder, output: Output) -> Path:
        result = self._folder / f"{order.order_id}-{output.number}.output"
        with self._marking:
            if not result.exists():
                part = self._folder / f"{secrets.token_hex(16)}.part"
                write_marked(cast("Path", output.file.path), part)
                part.replace(result)
        return result

    def _send(self, path: Path, name: str) -> Response:
        # Read into the answer piece by piece from a descriptor that the answer closes.
        return send_file(path, mimetype=media_type_of(name) or "application/zip", conditional=False, max_age=0)

    def _finished(self, order_id: str) -> SandboxOrder:
        order = self._order(order_id)
        if order.status != "complete":
            raise StorageError(404, "NoSuchKey", "The specified key does not exist.")
        return order

    def _order(self, order_id: str) -> SandboxOrder:
        with self._state.lock:
            order = self._state.orders.get(order_id)
        if order is None:
            raise StorageError(404, "NoSuchKey", "The specified key does not exist.")
        return order


def sample_for(name: str) -> bytes:
    """Return a small picture that is nobody's, in the format that `name` calls for."""
    media_type = media_type_of(name) or "image/jpeg"
    return sample(media_type.removeprefix("image/"), width=320, height=240, seed=0)
