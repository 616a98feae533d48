"""What lies at the addresses that a service is told to fetch: nothing but what the options say; no request goes out."""

import hashlib
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from watchfolder.sandbox.demands import media_type_of
from watchfolder.sandbox.examination import examine
from watchfolder.sandbox.options import Options
from watchfolder.sandbox.orders import InputFile, OrderType, SandboxOrder
from watchfolder.sandbox.structure import kind_of

ORIGIN = "https://pictures.example.com"
_LARGEST = 32 << 20


def fetch_origins(order: SandboxOrder, options: Options, folder: Path) -> None:
    """Have each file that has an address lie in `folder`, or fail; for a test key nothing is fetched."""
    for file in order.files:
        if file.address:
            file.is_uploaded = file.was_uploaded = True
            if not order.is_test:
                _fetch(order, file, options, folder)


def _fetch(order: SandboxOrder, file: InputFile, options: Options, folder: Path) -> None:
    content = options.origins.get(file.address)
    if content is None:
        content = _in_folder(options.origins_folder, file.address)
    if content is None:
        file.failure = "PROCESSING_ERROR"
        return
    file.path = folder / f"{order.order_id}-{file.number}.input"
    file.path.write_bytes(content)
    file.size, file.sha256 = len(content), hashlib.sha256(content).hexdigest()
    file.failure = examine(order.type, file.path, _media_type(content, file.name)).code
    if file.size > _LARGEST:
        is_embed = order.type is OrderType.WATERMARK_EMBED
        file.failure = "WATERMARK_FILE_SIZE_UNSUPPORTED" if is_embed else "PROCESSING_ERROR"


def _in_folder(folder: str, address: str) -> bytes | None:
    """Return what lies at an address of ORIGIN: the file in the folder that its path names."""
    parts = urlsplit(address)
    path = os.path.realpath(os.path.join(folder, unquote(parts.path).lstrip("/").replace("\0", "_")))
    is_inside = path.startswith(os.path.realpath(folder) + os.sep)
    is_there = folder and f"https://{parts.netloc.lower()}" == ORIGIN and is_inside and os.path.isfile(path)
    return Path(path).read_bytes() if is_there else None


def _media_type(content: bytes, name: str) -> str:
    """Return that of the bytes, which no client has seen; the name's where they tell nothing."""
    kind = "application/pdf" if content.startswith(b"%PDF-") else f"image/{kind_of(content).lower()}"
    return kind if kind != "image/" else media_type_of(name) or ""
