"""The object storage beside the API: presigned links that expire, uploads checked to the byte, results to fetch."""

import io
import secrets
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import quote

from flask import Blueprint, Response, send_file

from watchfolder.sandbox.demands import media_type_of
from watchfolder.sandbox.mark import write_marked, write_watermarked
from watchfolder.sandbox.orders import InputFile, OrderType, Output, SandboxOrder
from watchfolder.sandbox.origins import fetch_origins
from watchfolder.sandbox.pdf import sample_pdf
from watchfolder.sandbox.pictures import sample
from watchfolder.sandbox.presigned import Links, StorageError
from watchfolder.sandbox.state import State

if TYPE_CHECKING:
    from collections.abc import Callable


class Made(NamedTuple):
    """Something that is made when it is fetched."""

    content: bytes
    media_type: str


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
        rules: list[tuple[str, str, Callable[..., object]]] = [
            ("/storage/output/<order_id>/<int:number>/<name>", "fetch", self._fetch),
            ("/storage/output/<order_id>/archive.zip", "fetch_archive", self._fetch_archive),
            ("/storage/made/<order_id>/<name>", "fetch_made", self._fetch_made),
            ("/api/v2/test-samples/<token>", "fetch_sample", self._fetch_sample),
        ]
        for path, endpoint, view in rules:
            storage.add_url_rule(path, endpoint, cast("Any", view), methods=["GET"], provide_automatic_options=False)
        storage.register_error_handler(StorageError, StorageError.response)
        return storage

    def upload_link(self, order: SandboxOrder, file: InputFile) -> str:
        if order.is_test:
            return self.links.plain(f"/api/v2/test-uploads/{file.token}")
        path = f"/storage/input/{order.order_id}/{file.number}/{quote(file.name)}"
        if order.type.is_watermark:
            seconds = self._state.options.watermark_link_seconds
            return self.links.signed("PUT", path, seconds, media_type_of(file.name))
        return self.links.signed("PUT", path)

    def results(self, order: SandboxOrder) -> list[Output]:
        """Return what can be fetched. A test key's Anti-AI order that is complete may have nothing."""
        has_samples = not order.is_test or order.type.is_watermark or self._state.options.test_samples
        return order.outputs if has_samples else []

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

    def made_link(self, order: SandboxOrder, name: str, seconds: float | None = None) -> str:
        return self.links.signed("GET", f"/storage/made/{order.order_id}/{name}", seconds)

    def fetch_origins(self, order: SandboxOrder) -> None:
        """Have the files lie here that the service fetches by itself."""
        fetch_origins(order, self._state.options, self._folder)

    def file_behind(self, path: str) -> InputFile | None:
        """Return the input file that a live key's upload or result link is about."""
        *_, kind, order_id, number, _ = path.split("/")
        with self._state.lock:
            order = self._state.orders.get(order_id)
            if order is not None and kind == "input":
                return order.files[int(number)]
            if order is not None and kind == "output":
                return order.outputs[int(number)].file
        return None

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
                source = cast("Path", output.file.path)
                if order.type is OrderType.WATERMARK_EMBED:
                    write_watermarked(source, part, output.token)
                else:
                    write_marked(source, part)
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
    if media_type == "application/pdf":
        return sample_pdf("SANDBOX: a sample")
    return sample(media_type.removeprefix("image/"), width=320, height=240, seed=0)
