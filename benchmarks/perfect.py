"""A perfect client, for comparison: orders of 100 from memory to nowhere, a look exactly when the order is done.

python benchmarks/perfect.py URL KEY FOLDER PROCESSING_SECONDS TRANSFERS prints how many seconds it took. It keeps
nothing durable, knows the service's time beforehand and is under no plan: nobody can be quicker at this sandbox.
"""

import http.client
import json
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

FILES_PER_ORDER = 100
ORDERS_AT_ONCE = 8
_TYPES = {".jpg": "image/jpeg", ".tif": "image/tiff"}


class Client:
    """One kept-alive connection for each thread."""

    def __init__(self, base: str, key: str) -> None:
        self._host = urlsplit(base).netloc
        self._key = key
        self._own = threading.local()

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - what stands under "data"
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        answer = self._exchange(method, path, None if body is None else json.dumps(body).encode(), headers)
        return json.loads(answer)["data"]

    def put(self, url: str, path: Path) -> None:
        self._exchange("PUT", _target(url), path.read_bytes(), {"Content-Type": _TYPES[path.suffix]})

    def get(self, url: str) -> bytes:
        return self._exchange("GET", _target(url), None, {})

    def _exchange(self, method: str, target: str, body: bytes | None, headers: dict[str, str]) -> bytes:
        if not hasattr(self._own, "connection"):
            self._own.connection = http.client.HTTPConnection(self._host)
        self._own.connection.request(method, target, body, headers)
        response = self._own.connection.getresponse()
        content: bytes = response.read()
        if response.status // 100 != 2:  # noqa: PLR2004 - all of 2xx
            raise RuntimeError(f"{method} {target}: {response.status} {content[:200]!r}")
        return content


def _target(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def protect(client: Client, workers: ThreadPoolExecutor, files: list[Path], processing_seconds: float) -> None:
    names = [{"fileName": path.name} for path in files]
    order = client.call("POST", "/api/v2/orders/anti-ai", {"idempotencyKey": str(uuid.uuid4()), "files": names})
    list(workers.map(client.put, [each["uploadUrl"] for each in order["files"]], files))
    confirm = {"idempotencyKey": str(uuid.uuid4()), "orderId": order["orderId"]}
    client.call("POST", "/api/v2/orders/anti-ai/confirm", confirm)
    time.sleep(processing_seconds + 0.01)
    found = client.call("GET", f"/api/v3/orders/{order['orderId']}")
    if found["status"] != "complete":
        raise RuntimeError(f"the order is {found['status']}")
    links = client.call("GET", f"/api/v3/orders/{order['orderId']}/download")
    list(workers.map(client.get, [each["downloadUrl"] for each in links["files"]]))


def main() -> None:
    base, key, folder, processing_seconds, transfers = sys.argv[1:]
    client, files = Client(base, key), sorted(Path(folder).iterdir())
    orders = [files[at : at + FILES_PER_ORDER] for at in range(0, len(files), FILES_PER_ORDER)]
    began = time.monotonic()
    with ThreadPoolExecutor(int(transfers)) as workers, ThreadPoolExecutor(ORDERS_AT_ONCE) as clerks:
        under_way = [clerks.submit(protect, client, workers, order, float(processing_seconds)) for order in orders]
        for each in under_way:
            each.result()
    print(time.monotonic() - began)


if __name__ == "__main__":
    main()
