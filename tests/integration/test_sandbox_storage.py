"""The sandbox's storage is as fussy as S3, and fussier where a picture could come to harm."""

import base64
import hashlib
import io
from collections.abc import Iterator

import pytest
from contents import sha256
from PIL import Image
from sandbox_client import PICTURE, Client, client, sandbox

from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

__all__ = ["client", "sandbox"]


@pytest.fixture
def upload_url(client: Client) -> str:
    return str(client.created()["files"][0]["uploadUrl"])


def chunks() -> Iterator[bytes]:
    yield PICTURE


def md5_of(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def test_an_authorization_header_is_refused_both_ways(client: Client, sandbox: Sandbox, upload_url: str) -> None:
    assert client.put(upload_url, headers=client.headers).status_code == 400
    result = client.get(client.result_url(client.confirmed()), headers=client.headers)
    assert (result.status_code, "<Code>InvalidArgument</Code>" in result.text) == (400, True)
    assert len(sandbox.sins) == 2


def test_an_upload_in_chunks_is_refused(client: Client, sandbox: Sandbox, upload_url: str) -> None:
    response = client.put(upload_url, body=chunks())
    assert (response.status_code, "<Code>MissingContentLength</Code>" in response.text) == (411, True)
    assert len(sandbox.sins) == 1


def test_the_right_md5_passes(client: Client, sandbox: Sandbox, upload_url: str) -> None:
    assert client.put(upload_url, headers={"Content-MD5": md5_of(PICTURE)}).status_code == 200
    assert sandbox.sins == []


@pytest.mark.parametrize(("digest", "code"), [(md5_of(b"other"), "BadDigest"), ("no digest", "InvalidDigest")])
def test_a_wrong_md5_is_refused(client: Client, sandbox: Sandbox, upload_url: str, digest: str, code: str) -> None:
    response = client.put(upload_url, headers={"Content-MD5": digest})
    assert (response.status_code, f"<Code>{code}</Code>" in response.text) == (400, True)
    assert len(sandbox.sins) == 1


def test_an_expired_link_is_refused_but_no_sin(client: Client, sandbox: Sandbox, upload_url: str) -> None:
    sandbox.end_links()
    response = client.put(upload_url)
    assert (response.status_code, "<Code>AccessDenied</Code>" in response.text) == (403, True)
    assert sandbox.sins == []


def test_a_link_expires_by_itself(client: Client, sandbox: Sandbox) -> None:
    sandbox.link_seconds = 0
    assert client.put(client.created()["files"][0]["uploadUrl"]).status_code == 403


@pytest.mark.parametrize("change", ["X-Amz-Expires=36000", "X-Amz-Date=20990101T000000.000000Z", "X-Amz-Signature=00"])
def test_a_link_that_was_changed_is_refused_and_a_sin(
    client: Client, sandbox: Sandbox, upload_url: str, change: str
) -> None:
    path, _, query = upload_url.partition("?")
    name = change.partition("=")[0]
    fields = [change if field.startswith(name) else field for field in query.split("&")]
    response = client.put(f"{path}?{'&'.join(fields)}")
    assert (response.status_code, "<Code>SignatureDoesNotMatch</Code>" in response.text) == (403, True)
    assert "never valid" in sandbox.sins[0]
    assert "X-Amz" not in sandbox.sins[0]


def test_a_test_keys_link_that_was_never_given_out_is_a_sin(client: Client, sandbox: Sandbox) -> None:
    assert client.put(f"{sandbox.url}/api/v2/test-uploads/{'0' * 32}").status_code == 403
    assert "never given out" in sandbox.sins[0]


def test_an_upload_link_is_no_download_link(client: Client, upload_url: str) -> None:
    assert client.get(upload_url).status_code == 405


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(PICTURE[: len(PICTURE) // 2], id="half of it"),
        pytest.param(PICTURE[: len(PICTURE) // 2].ljust(len(PICTURE), b"\0"), id="zeros for the second half"),
        pytest.param(PICTURE[:-2].ljust(2 * len(PICTURE), b"\0"), id="zeros for the end mark"),
        pytest.param(b"", id="nothing"),
        pytest.param(sample("png", width=8, height=8, seed=1), id="another format"),
    ],
)
def test_bytes_that_are_no_whole_picture_fail_the_order(
    client: Client, sandbox: Sandbox, upload_url: str, body: bytes
) -> None:
    assert client.put(upload_url, body=body).status_code == 200
    assert len(sandbox.sins) == 1
    (order_id,) = sandbox.orders
    client.confirm(order_id)
    assert client.status(order_id)["status"] == "failed"


def test_bytes_behind_a_whole_picture_are_fine(client: Client, sandbox: Sandbox, upload_url: str) -> None:
    client.put(upload_url, body=PICTURE + b"\0" * 1000)
    assert sandbox.sins == []


def test_a_media_type_that_belies_the_name_is_a_sin(client: Client, sandbox: Sandbox, upload_url: str) -> None:
    client.put(upload_url, body=sample("png", width=8, height=8, seed=1), headers={"Content-Type": "image/png"})
    assert len(sandbox.sins) == 1


def test_an_upload_after_confirm_is_refused_and_a_sin(client: Client, sandbox: Sandbox) -> None:
    order = client.uploaded()
    client.confirm(order["orderId"])
    assert client.put(order["files"][0]["uploadUrl"]).status_code == 403
    assert len(sandbox.sins) == 1


def test_a_big_file_passes_through_the_disk(client: Client, sandbox: Sandbox, upload_url: str) -> None:
    body = PICTURE.ljust(64 << 20, b"\0")
    assert client.put(upload_url, body=body, headers={"Content-MD5": md5_of(body)}).status_code == 200
    (order_id,) = sandbox.orders
    client.confirm(order_id)
    assert sandbox.paid_files == {sha256(body): 1}


def test_the_result_is_the_picture_in_its_size_with_its_exif(client: Client) -> None:
    content = client.get(client.result_url(client.confirmed())).content
    with Image.open(io.BytesIO(content)) as result, Image.open(io.BytesIO(PICTURE)) as original:
        assert (result.format, result.size) == (original.format, original.size)
        assert dict(result.getexif()) == dict(original.getexif()) != {}


def test_a_result_goes_with_its_order(client: Client, sandbox: Sandbox) -> None:
    order_id = client.confirmed()
    url = client.result_url(order_id)
    assert client.get(url).ok
    sandbox._state.orders[order_id].retention_days = 0.0
    assert client.get(url).status_code == 404
    sandbox.forget(order_id)
    assert client.get(url).status_code == 404
