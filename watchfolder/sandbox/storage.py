"""The object storage beside the API: presigned links that expire, what they lead to, and what lies at addresses."""

import hashlib
import hmac
import io
import os
import secrets
import threading
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast
from urllib.parse import quote, unquote, urlencode, urlsplit

from flask import Response, request, send_file

from watchfolder.sandbox.api import Route
from watchfolder.sandbox.bodies import media_type_of
from watchfolder.sandbox.examination import check, format_of
from watchfolder.sandbox.mark import write_with_mark, write_with_token
from watchfolder.sandbox.orders import InputFile, OrderType, OutputFile, SandboxOrder, now
from watchfolder.sandbox.pictures import sample, sample_pdf
from watchfolder.sandbox.state import SandboxState

ORIGIN = "https://pictures.example.com"
_LARGEST_ORIGIN = 32 << 20
_INSTANT = "%Y%m%dT%H%M%S.%fZ"  # to the microsecond, so that tests can be quick
_CONTENT_TYPE = "content-type"


class StorageRefusal(Exception):
    """S3 would answer this status, with this code in XML."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def answer(self) -> Response:
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{self.code}</Code><Message>{self}</Message>"
            f"<RequestId>{secrets.token_hex(8).upper()}</RequestId></Error>"
        )
        return Response(xml, self.status, mimetype="application/xml")


class PresignedLinks:
    """Signs with the fields of S3's query authentication, and admits what it signed."""

    def __init__(self, state: SandboxState) -> None:
        self._state = state
        self._secret = secrets.token_bytes(32)
        self.base_url = ""
        self.given: list[str] = []  # every link so far
        self.valid_since: datetime = now()

    def give(self, path: str) -> str:
        """Give out a link whose path is its secret."""
        link = f"{self.base_url}{path}"
        self.given.append(link)
        return link

    def link(self, method: str, path: str, seconds: float | None = None, media_type: str | None = None) -> str:
        """Return a link that is valid for `seconds`, by default `link_seconds`, and for `media_type` alone if given."""
        date = now().strftime(_INSTANT)
        expires = f"{self._state.options.link_seconds if seconds is None else seconds:g}"
        query = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": "SANDBOX/local/s3/aws4_request",
            "X-Amz-Date": date,
            "X-Amz-Expires": expires,
            "X-Amz-SignedHeaders": f"{_CONTENT_TYPE};host" if media_type else "host",
            "X-Amz-Signature": self._signature(method, path, date, expires, media_type),
        }
        return self.give(f"{path}?{urlencode(query)}")

    def _signature(self, *parts: str | None) -> str:
        return hmac.new(self._secret, "\n".join(part or "" for part in parts).encode(), "sha256").hexdigest()

    def let_in(self, media_type: str | None = None) -> None:
        """Raise StorageRefusal unless the request has a valid link; `media_type` is that which it may be signed for."""
        self.refuse_key()
        signed_type = media_type if _CONTENT_TYPE in request.args.get("X-Amz-SignedHeaders", "") else None
        date, expires = request.args.get("X-Amz-Date", ""), request.args.get("X-Amz-Expires", "")
        signature = self._signature(request.method, quote(request.path), date, expires, signed_type)
        sin = ""
        if not hmac.compare_digest(signature.encode(), request.args.get("X-Amz-Signature", "").encode()):
            sin = "a signature that was never valid"
        elif signed_type and request.headers.get("Content-Type") != signed_type:
            sin = f"a Content-Type that is not {signed_type}, for which the link is signed"
        if sin:
            self.note(sin)
            raise StorageRefusal(403, "SignatureDoesNotMatch", "The request signature does not match.")
        self.refuse_ended(datetime.strptime(date, _INSTANT).replace(tzinfo=UTC), float(expires))

    def refuse_ended(self, given_at: datetime, seconds: float) -> None:
        if given_at < self.valid_since or now() > given_at + timedelta(seconds=seconds):
            raise StorageRefusal(403, "AccessDenied", "Request has expired")

    def refuse_key(self) -> None:
        if "Authorization" in request.headers:
            self.note("an Authorization header on a presigned URL")
            raise StorageRefusal(400, "InvalidArgument", "Only one auth mechanism allowed")

    def note(self, text: str) -> None:
        self._state.note(f"{request.method} {request.path}: {text}")


class Storage:
    """Keeps inputs and results in files below `folder`, so that memory holds one picture at a time."""

    def __init__(self, state: SandboxState, folder: Path) -> None:
        self._state = state
        self._folder = folder
        self._marking = threading.Lock()  # one picture in memory at a time
        self._makers: dict[str, Callable[[SandboxOrder], Response]] = {}
        self.links = PresignedLinks(state)
        self.test_uploads: dict[str, tuple[str, int, datetime]] = {}  # by token: order, number of the file, since when

    def routes(self) -> list[Route]:
        return [
            ("GET", "/storage/output/<order_id>/<int:number>/<name>", "fetch", self._fetch),
            ("GET", "/storage/output/<order_id>/archive.zip", "fetch", self._fetch_archive),
            ("GET", "/storage/made/<order_id>/<name>", "fetch", self._fetch_made),
            ("GET", "/api/v2/test-samples/<token>", "fetch", self._fetch_sample),
        ]

    def upload_link(self, order: SandboxOrder, file: InputFile) -> str:
        if order.is_test:
            token = secrets.token_hex(16)
            self.test_uploads[token] = order.order_id, file.number, now()
            return self.links.give(f"/api/v2/test-uploads/{token}")
        path = f"/storage/input/{order.order_id}/{file.number}/{quote(file.name)}"
        if order.type.is_watermark:
            seconds = self._state.options.watermark_link_seconds
            return self.links.link("PUT", path, seconds, media_type_of(file.name))
        return self.links.link("PUT", path)

    def results(self, order: SandboxOrder) -> list[OutputFile]:
        """Return what can be fetched. A test key's Anti-AI order that is complete may have nothing."""
        has_samples = not order.is_test or order.type.is_watermark or self._state.options.test_samples
        return order.outputs if has_samples else []

    def result_link(self, order: SandboxOrder, output: OutputFile) -> str:
        path = f"/storage/output/{order.order_id}/{output.number}/{quote(output.file.name)}"
        return self.links.link("GET", f"/api/v2/test-samples/{output.token}" if order.is_test else path)

    def archive_link(self, order: SandboxOrder) -> str:
        path = f"/storage/output/{order.order_id}/archive.zip"
        return self.links.link("GET", f"/api/v2/test-samples/{order.token}" if order.is_test else path)

    def add(self, name: str, make: Callable[[SandboxOrder], Response]) -> None:
        """Serve under this name what `make` returns for an order."""
        self._makers[name] = make

    def made_link(self, order: SandboxOrder, name: str, seconds: float | None = None) -> str:
        return self.links.link("GET", f"/storage/made/{order.order_id}/{name}", seconds)

    def fetch_files(self, order: SandboxOrder) -> None:
        """Store each file that has an address, or let it fail; for a test key nothing is stored.

        No request goes out: there is nothing at an address but what the options say.
        """
        for file in order.files:
            if file.address:
                file.is_uploaded = file.was_uploaded = True
                if not order.is_test:
                    self._fetch_file(file, order)

    def _fetch_file(self, file: InputFile, order: SandboxOrder) -> None:
        content = self._state.options.origins.get(file.address)
        if content is None:
            content = _in_folder(self._state.options.origins_folder, file.address)
        if content is None:
            file.failure = "PROCESSING_ERROR"
            return
        file.path = self._folder / f"{order.order_id}-{file.number}.input"
        file.path.write_bytes(content)
        file.sha256 = hashlib.sha256(content).hexdigest()
        kind = "application/pdf" if content.startswith(b"%PDF-") else f"image/{format_of(content).lower()}"
        media_type = kind if kind != "image/" else media_type_of(file.name) or ""  # where the bytes tell nothing
        file.failure = check(order.type, file.path, media_type).code
        if len(content) > _LARGEST_ORIGIN:
            is_embed = order.type is OrderType.WATERMARK_EMBED
            file.failure = "WATERMARK_FILE_SIZE_UNSUPPORTED" if is_embed else "PROCESSING_ERROR"

    def file_of_link(self, path: str) -> InputFile | None:
        """Return the file whose result lies at this path."""
        *_, kind, order_id, number, _ = path.split("/")
        with self._state.lock:
            order = self._state.orders.get(order_id)
        return order.outputs[int(number)].file if order is not None and kind == "output" else None

    def order(self, order_id: str) -> SandboxOrder:
        with self._state.lock:
            order = self._state.orders.get(order_id)
        if order is None:
            raise StorageRefusal(404, "NoSuchKey", "The specified key does not exist.")
        return order

    # Results: marked when first asked for, kept until the sandbox ends.

    def _fetch(self, order_id: str, number: int, name: str) -> Response:  # noqa: ARG002 - the name is for people
        order = self._order_of_link(order_id)
        output = order.outputs[number]
        return self._send(self._result(order, output), output.file.name)

    def _fetch_archive(self, order_id: str) -> Response:
        order = self._order_of_link(order_id)
        archive = self._folder / f"{order.order_id}.zip"
        if not archive.exists():
            part = self._folder / f"{secrets.token_hex(16)}.part"
            with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as target:
                for output in order.outputs:
                    name = output.file.name
                    target.write(
                        self._result(order, output), f"{output.number}-{name}" if name in target.namelist() else name
                    )
            part.replace(archive)
        return self._send(archive, f"{order.order_id}.zip")

    def _fetch_made(self, order_id: str, name: str) -> Response:
        return self._makers[name](self._order_of_link(order_id))

    def _fetch_sample(self, token: str) -> Response:
        """Answer a test key, whose uploads are not kept: a sample in the format of the file, or a ZIP for the order."""
        self.links.let_in()
        with self._state.lock:
            names = {o.token: o.file.name for order in self._state.orders.values() for o in order.outputs}
        content = sample_for(names.get(token, "sample.jpg"))
        if token in names:
            return Response(content, mimetype=media_type_of(names[token]))
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target:
            target.writestr("sample.jpg", content)
        return Response(archive.getvalue(), mimetype="application/zip")

    def _result(self, order: SandboxOrder, output: OutputFile) -> Path:
        result = self._folder / f"{order.order_id}-{output.number}.output"
        with self._marking:
            if not result.exists():
                part = self._folder / f"{secrets.token_hex(16)}.part"
                source = cast("Path", output.file.path)
                if order.type is OrderType.WATERMARK_EMBED:
                    write_with_token(source, part, output.token)
                else:
                    write_with_mark(source, part)
                part.replace(result)
        return result

    def _send(self, path: Path, name: str) -> Response:
        # Read into the answer piece by piece from a descriptor that the answer closes.
        return send_file(path, mimetype=media_type_of(name) or "application/zip", conditional=False, max_age=0)

    def _order_of_link(self, order_id: str) -> SandboxOrder:
        self.links.let_in()
        order = self.order(order_id)
        if order.status != "complete":
            raise StorageRefusal(404, "NoSuchKey", "The specified key does not exist.")
        return order


def sample_for(name: str) -> bytes:
    media_type = media_type_of(name) or "image/jpeg"
    if media_type == "application/pdf":
        return sample_pdf("SANDBOX: a sample")
    return sample(media_type.removeprefix("image/"), width=320, height=240, seed=0)


def _in_folder(folder: str, address: str) -> bytes | None:
    """Return what lies at an address of ORIGIN: the file in the folder that its path names."""
    parts = urlsplit(address)
    path = os.path.realpath(os.path.join(folder, unquote(parts.path).lstrip("/").replace("\0", "_")))
    is_inside = path.startswith(os.path.realpath(folder) + os.sep)
    is_there = folder and f"https://{parts.netloc.lower()}" == ORIGIN and is_inside and os.path.isfile(path)
    return Path(path).read_bytes() if is_there else None
