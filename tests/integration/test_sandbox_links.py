"""Orders from addresses as services.md, section a, tells them: the create call is the purchase."""

import uuid
from pathlib import Path

import pytest
from contents import sha256
from sandbox_client import PICTURE, Client, Json, answer, client, data, sandbox, tester

from watchfolder.sandbox import ORIGIN, Sandbox
from watchfolder.sandbox.pictures import sample, sample_pdf

__all__ = ["client", "sandbox", "tester"]

ADDRESS, OTHER, GONE = (f"https://img.example.com/{name}" for name in ("beach.jpg?token=s3cret", "b.jpg", "gone.jpg"))
PNG = sample("png", width=40, height=30, seed=2)
HASHES = [sha256(content) for content in (PICTURE, PNG)]


@pytest.fixture(autouse=True)
def _origins(sandbox: Sandbox) -> None:
    sandbox.origins |= {ADDRESS: PICTURE, OTHER: PNG, GONE: None}


def link(address: str, name: str = "beach.jpg") -> Json:
    return {"fileName": name, "originalFileUrl": address}


def test_an_order_of_addresses_alone_is_bought_by_its_create_call(client: Client, sandbox: Sandbox) -> None:
    sandbox.processing_seconds = 3600
    order = client.created(files=[link(ADDRESS), link(OTHER)])
    assert (order["status"], sandbox.paid, sandbox.credits) == ("inProgress", 2, {"antiAi": 2})
    assert sandbox.paid_files == dict.fromkeys(HASHES, 1)
    assert sandbox.orders[order["orderId"]].is_confirmed
    for file, address in zip(order["files"], (ADDRESS, OTHER), strict=True):
        assert file == {"fileId": file["fileId"], "fileName": "beach.jpg", "originalFileUrl": address}
        assert isinstance(file["fileId"], str)
    assert sandbox.sins == []
    assert answer(client.confirm(order["orderId"])) == (400, "ORDER_ALREADY_CONFIRMED")
    assert len(sandbox.sins) == 1


def test_its_results_are_those_of_the_pictures_that_lay_there(client: Client) -> None:
    order = client.created(files=[link(ADDRESS), link(OTHER, "b.png")])
    read = client.status(order["orderId"], "v3")
    assert all("uploadUrl" not in file for file in read["inputFiles"])
    assert [output["inputFileId"] for output in read["result"]["outputFiles"]] == [
        file["fileId"] for file in order["files"]
    ]
    files = data(client.link(order["orderId"], "v3"))["files"]
    first, second = (client.get(file["downloadUrl"]).content for file in files)
    assert first.startswith(b"\xff\xd8")
    assert second.startswith(b"\x89PNG")
    assert {first, second}.isdisjoint({PICTURE, PNG})


def test_a_mixed_order_waits_for_its_uploads_and_its_confirm(client: Client, sandbox: Sandbox) -> None:
    order = client.created(files=[link(ADDRESS), {"fileName": "mine.jpg"}])
    fetched, uploaded = order["files"]
    assert (order["status"], sandbox.paid) == ("pending", 0)
    assert "uploadUrl" not in fetched
    assert isinstance(uploaded["fileId"], int)
    assert answer(client.confirm(order["orderId"])) == (400, "ORDER_FILE_NOT_UPLOADED")
    assert client.put(uploaded["uploadUrl"]).ok
    assert client.confirm(order["orderId"]).ok
    assert sandbox.paid == 2
    assert client.status(order["orderId"])["status"] == "complete"


def test_a_create_repeated_under_its_key_is_paid_once(client: Client, sandbox: Sandbox) -> None:
    key = str(uuid.uuid4())
    first, second = (client.created(files=[link(ADDRESS)], idempotencyKey=key) for _ in range(2))
    assert first["orderId"] == second["orderId"]
    assert (sandbox.paid, sandbox.sins) == (1, [])
    assert client.create(files=[link(OTHER)], idempotencyKey=key).status_code == 409


@pytest.mark.parametrize("address", [GONE, "https://img.example.com/never-heard-of.jpg"])
def test_one_address_with_nothing_behind_it_fails_the_whole_order(
    client: Client, sandbox: Sandbox, address: str
) -> None:
    order = client.created(files=[link(ADDRESS), link(address)])
    read = client.status(order["orderId"], "v3")
    assert (read["status"], read["errors"]["errorCode"]) == ("failed", "PROCESSING_ERROR")
    assert (sandbox.paid, sandbox.paid_failed, sandbox.sins) == (2, 2, [])


@pytest.mark.parametrize(
    "content", [PICTURE[: len(PICTURE) // 2], b"<html>gone</html>", PICTURE.ljust((32 << 20) + 1, b"\0")]
)
def test_what_is_no_whole_picture_of_32_mib_fails_and_is_no_sin(
    client: Client, sandbox: Sandbox, content: bytes
) -> None:
    sandbox.origins[ADDRESS] = content
    order = client.created(files=[link(ADDRESS)])
    assert client.status(order["orderId"])["status"] == "failed"
    assert sandbox.sins == []


def test_a_fault_fails_what_a_create_starts(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.add("create", "fail", code="ORDER_TIMEOUT")
    order = client.created(files=[link(ADDRESS)])
    assert client.status(order["orderId"])["errors"]["errorCode"] == "ORDER_TIMEOUT"
    sandbox.faults.add("create", "reset_after")
    with pytest.raises(OSError, match="Connection"):
        client.create(files=[link(ADDRESS)])
    assert sandbox.paid == 2


def test_credits_are_asked_for_at_create(client: Client, sandbox: Sandbox) -> None:
    sandbox.credits_left = 1
    assert answer(client.create(files=[link(ADDRESS), link(OTHER)])) == (400, "USAGE_NOT_ENOUGH")
    assert client.create(files=[link(ADDRESS)]).ok
    assert sandbox.credits_left == 0


def test_an_embed_of_addresses_alone_starts_by_itself(client: Client, sandbox: Sandbox) -> None:
    sandbox.origins["https://example.com/brochure.pdf"] = sample_pdf("a brochure")
    marks = {"watermarks": [{"text": "dpa"}, {"text": "afp"}]}
    files = [link(ADDRESS) | marks, link("https://example.com/brochure.pdf", "brochure.pdf") | marks]
    order = data(client.embed(files=files))
    assert [file["uploadUrl"] for file in order["files"]] == [None, None]
    assert sandbox.credits == {"watermarkEmbed": 4}
    assert client.status(order["orderId"], "v3")["status"] == "complete"
    marked = client.get(client.result_url(order["orderId"])).content
    extract = client.sent(data(client.extract()), (PICTURE, "image/jpeg"), (marked, "image/jpeg"))
    assert client.status(extract, "v3")["result"]["watermarkText"] == "dpa"


def test_a_mixed_embed_starts_with_its_last_upload(client: Client, sandbox: Sandbox) -> None:
    marks = {"watermarks": [{"text": "dpa"}]}
    order = data(client.embed(files=[link(ADDRESS) | marks, {"fileName": "a.jpg"} | marks]))
    assert (order["status"], order["files"][0]["uploadUrl"]) == ("pending", None)
    assert client.put(order["files"][1]["uploadUrl"]).ok
    assert client.status(order["orderId"], "v3")["status"] == "complete"
    assert (sandbox.paid, sandbox.sins) == (2, [])


def test_a_test_key_fetches_nothing(tester: Client, sandbox: Sandbox) -> None:
    sandbox.test_processing_seconds = 3600
    assert tester.created(files=[link(GONE)])["status"] == "inProgress"
    sandbox.test_processing_seconds = 0
    assert tester.status(tester.created(files=[link(GONE)])["orderId"])["status"] == "complete"
    assert tester.status(tester.created(files=[link(GONE, "a_fail.jpg")])["orderId"])["status"] == "failed"
    assert sandbox.paid == 0


@pytest.mark.parametrize(
    "address",
    [
        "https://example.com/a.jpg",
        "https://EXAMPLE.com:8443/a.jpg?b=c&d=%20",
        "https://xn--grsse-lva.example.co.uk/",
        "https://8.8.8.8/a.jpg",
        "https://[2606:4700:4700::1111]/a.jpg",
        "https://example.com./a.jpg",
    ],
)
def test_a_public_https_address_is_taken(client: Client, sandbox: Sandbox, address: str) -> None:
    assert client.create(files=[link(address)]).ok
    assert sandbox.sins == []


@pytest.mark.parametrize(
    "address",
    [
        "",
        "beach.jpg",
        "http://example.com/a.jpg",
        "ftp://example.com/a.jpg",
        "file:///etc/passwd",
        "//example.com/a.jpg",
        "https:///a.jpg",
        "https://user@example.com/a.jpg",
        "https://user:word@example.com/a.jpg",
        "https://example.com/a.jpg#top",
        "https://example.com/a.jpg#",
        "https://example.com/a b.jpg",
        "https://example.com/ä.jpg",
        "https://example.com\\@127.0.0.1/a.jpg",
        "https://example.com:99999/a.jpg",
        "https://exa%6Dple.com/a.jpg",
        "https://localhost/a.jpg",
        "https://nas/a.jpg",
        "https://nas.local/a.jpg",
        "https://db.internal/a.jpg",
        "https://router.home.arpa/a.jpg",
        "https://a..com/a.jpg",
        "https://127.0.0.1/a.jpg",
        "https://127.1/a.jpg",
        "https://2130706433/a.jpg",
        "https://0x7f000001/a.jpg",
        "https://0177.0.0.1/a.jpg",
        "https://127.0.0.1./a.jpg",
        "https://0/a.jpg",
        "https://10.1.2.3/a.jpg",
        "https://172.16.0.1/a.jpg",
        "https://192.168.1.1/a.jpg",
        "https://169.254.169.254/latest/meta-data/",
        "https://100.64.0.1/a.jpg",
        "https://224.0.0.1/a.jpg",
        "https://255.255.255.255/a.jpg",
        "https://256.1.1.1/a.jpg",
        "https://[::1]/a.jpg",
        "https://[::]/a.jpg",
        "https://[::ffff:127.0.0.1]/a.jpg",
        "https://[::ffff:7f00:1]/a.jpg",
        "https://[64:ff9b::10.0.0.1]/a.jpg",
        "https://[2002:7f00:1::]/a.jpg",
        "https://[fe80::1%25eth0]/a.jpg",
        "https://[fc00::1]/a.jpg",
        "https://[example.com]/a.jpg",
        "https://example.com/" + "a" * 2048,
    ],
)
def test_any_other_address_is_refused_a_sin_and_never_quoted(client: Client, sandbox: Sandbox, address: str) -> None:
    assert answer(client.create(files=[link(address)])) == (400, "INVALID_PARAMETER")
    assert len(sandbox.sins) == 1
    assert not address or address not in sandbox.sins[0]
    embed = client.embed(files=[link(address) | {"watermarks": [{"text": "x"}]}])
    assert answer(embed) == (400, "INVALID_PARAMETER")
    assert sandbox.orders == {}


def test_the_deprecated_endpoint_and_zero_copy_are_sins(client: Client, sandbox: Sandbox) -> None:
    assert client.call("POST", "/api/v2/orders/anti-ai/with-urls", {}).status_code == 404
    assert client.create(files=[link(ADDRESS)], mode={"zeroCopy": True}).status_code == 400
    assert len(sandbox.sins) == 2


def test_a_folder_can_lie_at_an_address(client: Client, sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "Füße").mkdir()
    (tmp_path / "Füße/a b.jpg").write_bytes(PICTURE)
    sandbox.origins_folder = str(tmp_path)
    order = client.created(files=[link(f"{ORIGIN}/F%C3%BC%C3%9Fe/a%20b.jpg?token=1")])
    assert client.status(order["orderId"], "v3")["status"] == "complete"
    for address in (
        f"{ORIGIN}/gone.jpg",
        f"{ORIGIN}/../{tmp_path.name}x",
        f"{ORIGIN}/",
        "https://example.com/a%20b.jpg",
    ):
        order = client.created(files=[link(address)])
        assert client.status(order["orderId"], "v3")["status"] == "failed"
