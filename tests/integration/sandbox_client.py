"""The plainest client of the service there can be, so that tests of the sandbox show the very requests they make."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import requests

from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

PICTURE = sample("jpeg", width=160, height=120, seed=7)
Json = dict[str, Any]


class Client:
    def __init__(self, sandbox: Sandbox, key: str | None = None) -> None:
        self.sandbox = sandbox
        self.headers = {"Authorization": f"Bearer {key or sandbox.key}"}
        self._session = requests.Session()
        self._session.trust_env = False

    def close(self) -> None:
        self._session.close()

    def call(self, method: str, path: str, body: object = None, **options: Any) -> requests.Response:  # noqa: ANN401 - as requests has them
        options = {"headers": self.headers, "timeout": 10, "allow_redirects": False, **options}
        return self._session.request(method, self.sandbox.url + path, json=body, **options)

    def create(self, *names: str, **changes: object) -> requests.Response:
        files = [{"fileName": name} for name in names or ("picture.jpg",)]
        body = {"idempotencyKey": str(uuid.uuid4()), "files": files, "options": {"strength": "high"}} | changes
        return self.call("POST", "/api/v2/orders/anti-ai", body)

    def created(self, *names: str, **changes: object) -> Json:
        return data(self.create(*names, **changes))

    def detect(self, name: str = "picture.jpg", **changes: object) -> requests.Response:
        body = {"idempotencyKey": str(uuid.uuid4()), "fileName": name} | changes
        return self.call("POST", "/api/v2/orders/ai-detection", body)

    def detected(self, name: str = "picture.jpg", body: bytes = PICTURE, **changes: object) -> str:
        """Return the id of an order for AI detection that is confirmed."""
        order = data(self.detect(name, **changes))
        assert self.put(order["file"]["uploadUrl"], body).ok
        assert self.confirm(order["orderId"], service="ai-detection").ok
        return str(order["orderId"])

    def embed(self, *names: str, texts: Sequence[str] = ("© Berg 1",), **changes: object) -> requests.Response:
        files = [{"fileName": name, "watermarks": [{"text": text} for text in texts]} for name in names or ("a.jpg",)]
        body = {"idempotencyKey": str(uuid.uuid4()), "files": files} | changes
        return self.call("POST", "/api/v3/orders/wtr-embed", body)

    def extract(self, query: str = "found.jpg", original: str = "a.jpg", **changes: object) -> requests.Response:
        file = {"fileName": query, "originalFile": {"fileName": original}}
        body = {"idempotencyKey": str(uuid.uuid4()), "file": file} | changes
        return self.call("POST", "/api/v3/orders/wtr-extract", body)

    def sent(self, order: Json, *files: tuple[bytes, str]) -> str:
        """Upload bytes of these media types to an order's slots, one after the other; return the order's id."""
        for slot, (content, media_type) in zip(order["files"], files, strict=True):
            assert self.put(slot["uploadUrl"], content, {"Content-Type": media_type}).ok
        return str(order["orderId"])

    def put(
        self, url: str, body: object = PICTURE, headers: Mapping[str, str | None] | None = None
    ) -> requests.Response:
        return self._session.put(
            url,
            data=cast("bytes", body),
            headers=cast("dict[str, str]", {"Content-Type": "image/jpeg"} | dict(headers or {})),
            timeout=10,
        )

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> requests.Response:
        return self._session.get(url, headers=dict(headers or {}), timeout=10)

    def confirm(self, order_id: str, key: str = "", service: str = "anti-ai") -> requests.Response:
        body = {"idempotencyKey": key or str(uuid.uuid4()), "orderId": order_id}
        return self.call("POST", f"/api/v2/orders/{service}/confirm", body)

    def uploaded(self, *names: str, **changes: object) -> Json:
        order = self.created(*names, **changes)
        for file in order["files"]:
            assert self.put(file["uploadUrl"]).ok
        return order

    def confirmed(self, *names: str, **changes: object) -> str:
        order_id = str(self.uploaded(*names, **changes)["orderId"])
        assert self.confirm(order_id).ok
        return order_id

    def status(self, order_id: str, version: str = "v2") -> Json:
        return data(self.call("GET", f"/api/{version}/orders/{order_id}"))

    def link(self, order_id: str, version: str = "v2") -> requests.Response:
        return self.call("GET", f"/api/{version}/orders/{order_id}/download")

    def result_url(self, order_id: str) -> str:
        return str(data(self.link(order_id, "v3"))["files"][0]["downloadUrl"])


def data(response: requests.Response) -> Json:
    assert response.ok, response.text
    return cast("Json", response.json()["data"])


def answer(response: requests.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(processing_seconds=0, test_processing_seconds=0, look_seconds=0) as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Client]:
    client = Client(sandbox)
    yield client
    client.close()


@pytest.fixture
def tester(sandbox: Sandbox) -> Iterator[Client]:
    client = Client(sandbox, sandbox.test_key)
    yield client
    client.close()


def found_in(service: Sandbox, leaked: Path, original: bytes) -> str:
    """Ask the service, by itself, which text is in a copy."""
    client, kind = Client(service), "application/pdf" if leaked.suffix == ".pdf" else "image/jpeg"
    order = data(client.extract(f"found{leaked.suffix}", original=f"a{leaked.suffix}"))
    told = client.status(client.sent(order, (original, kind), (leaked.read_bytes(), kind)), "v3")["result"]
    client.close()
    return str(told["watermarkText"])
