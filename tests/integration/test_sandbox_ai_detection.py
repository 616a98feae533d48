"""AI detection as services.md, section d, tells it: one picture an order, a verdict, maps of what it is based on."""

import contextlib
import io
import uuid
from typing import Any

import pytest
from contents import sha256
from PIL import Image
from sandbox_client import PICTURE, Client, answer, client, data, sandbox, tester
from test_sandbox_pictures import ODD_BITMAP

from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.ai_detection import verdict_of
from watchfolder.sandbox.pictures import sample

__all__ = ["client", "sandbox", "tester"]

ALL = {"generateHeatmap": True, "generateOverlay": True, "generateThumbnail": True}
HASH = sha256(PICTURE)


def test_a_create_gives_one_file_and_no_list(client: Client, sandbox: Sandbox) -> None:
    order = data(client.detect(orderName="wf-1", options=ALL))
    assert order.keys() == {"orderId", "orderName", "status", "file"}
    assert (order["orderName"], order["status"]) == ("wf-1", "pending")
    assert order["file"].keys() == {"fileId", "fileName", "uploadUrl", "fileKey"}
    assert isinstance(order["file"]["fileId"], int)
    assert sandbox.sins == []


def test_a_picture_is_judged_after_upload_and_confirm(client: Client, sandbox: Sandbox) -> None:
    order_id = client.detected("photo_ai.jpg", options=ALL)
    order = client.status(order_id, "v3")
    result = order["result"]
    assert (order["type"], order["status"]) == ("aiDetection", "complete")
    assert result.keys() == {"verdict", "probability", "options", "originalImageUrl", "heatmapUrl", "overlayUrl"}
    assert (result["verdict"], result["probability"], result["options"]) == ("likely_ai", 0.98, ALL)
    assert (sandbox.paid, sandbox.credits, sandbox.paid_files) == (1, {"aiDetection": 1}, {HASH: 1})
    assert [record.type for record in sandbox.orders.values()] == ["aiDetection"]
    assert sandbox.requests_by_operation() == {"create": 1, "upload": 1, "confirm": 1, "status": 1}
    assert sandbox.sins == []


@pytest.mark.parametrize(
    ("name", "probability"), [("a_ai.png", 0.98), ("a_human.jpg", 0.02), ("a.jpg", 0.02), ("a_ai_b.jpg", 0.02)]
)
def test_a_test_keys_picture_is_judged_by_its_name(tester: Client, name: str, probability: float) -> None:
    order_id = data(tester.detect(name))
    kind = "png" if name.endswith("png") else "jpeg"
    picture = sample(kind, width=40, height=30, seed=1)
    tester.put(order_id["file"]["uploadUrl"], picture, {"Content-Type": f"image/{kind}"})
    tester.confirm(order_id["orderId"], service="ai-detection")
    assert tester.status(order_id["orderId"], "v3")["result"]["probability"] == probability


@pytest.mark.parametrize(
    ("probability", "verdict"),
    [
        (None, None),
        (0, "likely_real"),
        (0.2499, "likely_real"),
        (0.25, "uncertain_real"),
        (0.4999, "uncertain_real"),
        (0.5, "uncertain_ai"),
        (0.7499, "uncertain_ai"),
        (0.75, "likely_ai"),
        (1, "likely_ai"),
    ],
)
def test_a_verdict_is_a_range_of_probabilities(probability: float | None, verdict: str | None) -> None:
    assert verdict_of(probability) == verdict


@pytest.mark.parametrize(("probability", "verdict"), [(0.6, "uncertain_ai"), (None, None)])
def test_a_pictures_bytes_can_be_given_any_probability(
    client: Client, sandbox: Sandbox, probability: float | None, verdict: str | None
) -> None:
    sandbox.probabilities[HASH] = probability
    result = client.status(client.detected("photo_ai.jpg"), "v3")["result"]
    assert (result["probability"], result["verdict"]) == (probability, verdict)


def test_list_and_v2_read_tell_the_verdict_once_there_is_one(client: Client) -> None:
    waiting, done = data(client.detect())["orderId"], client.detected("photo_ai.jpg")
    listed = data(client.call("GET", "/api/v2/orders?type=aiDetection&channel=api"))["orders"]
    told = {order["orderId"]: (order["probability"], order["statusCode"], order["fileCount"]) for order in listed}
    assert told == {waiting: (None, None, 1), done: (0.98, "likely_ai", 1)}
    assert client.status(done, "v2")["statusCode"] == "likely_ai"
    assert data(client.call("GET", "/api/v2/orders?type=antiAi"))["orders"] == []


def test_only_maps_that_were_asked_for_are_there(client: Client) -> None:
    order = client.status(client.detected(options={"generateHeatmap": True}), "v3")
    assert order["result"]["heatmapUrl"]
    assert (order["result"]["overlayUrl"], order["thumbnailImageUrl"]) == (None, None)
    assert client.status(client.detected(), "v3")["result"]["options"] is None


@pytest.mark.parametrize(("is_ready", "kind", "size"), [(True, "WEBP", (1600, 200)), (False, "PNG", (2000, 250))])
def test_a_map_is_a_small_webp_or_else_a_full_size_png(
    client: Client, sandbox: Sandbox, is_ready: bool, kind: str, size: tuple[int, int]
) -> None:
    sandbox.has_small_copies = is_ready
    order = client.status(client.detected(body=sample("jpeg", width=2000, height=250, seed=1), options=ALL), "v3")
    for name in ("heatmapUrl", "overlayUrl", "originalImageUrl"):
        response = client.get(order["result"][name])
        with Image.open(io.BytesIO(response.content)) as image:
            assert (image.format, image.size) == (kind, size)
            assert response.headers["Content-Type"] == image.get_format_mimetype()
    with Image.open(io.BytesIO(client.get(order["thumbnailImageUrl"]).content)) as thumbnail:
        assert (thumbnail.format, thumbnail.size) == ("WEBP", (320, 40))


def test_a_map_has_a_link_that_expires_and_takes_no_key(client: Client, sandbox: Sandbox) -> None:
    url = client.status(client.detected(options=ALL), "v3")["result"]["heatmapUrl"]
    assert url in sandbox.links
    assert client.get(url, headers=client.headers).status_code == 400
    sandbox.end_links()
    assert client.get(url).status_code == 403


def test_a_test_keys_maps_are_of_a_sample(tester: Client) -> None:
    result = tester.status(tester.detected(options=ALL), "v3")["result"]
    with Image.open(io.BytesIO(tester.get(result["originalImageUrl"]).content)) as image:
        assert image.size == (320, 240)


def test_maps_of_what_cannot_be_decoded_here_are_of_a_sample(client: Client, sandbox: Sandbox) -> None:
    order = data(client.detect("photo.bmp", options=ALL))
    assert client.put(order["file"]["uploadUrl"], ODD_BITMAP, {"Content-Type": "image/bmp"}).ok
    assert client.confirm(order["orderId"], service="ai-detection").ok
    result = client.status(order["orderId"], "v3")["result"]
    with Image.open(io.BytesIO(client.get(result["heatmapUrl"]).content)) as image:
        assert image.size == (320, 240)
    assert sandbox.sins == []


def test_the_upload_link_is_renewed_as_a_list_of_files(client: Client, sandbox: Sandbox) -> None:
    order = data(client.detect())
    sandbox.end_links()
    assert client.put(order["file"]["uploadUrl"]).status_code == 403
    (file,) = data(client.call("POST", f"/api/v2/orders/{order['orderId']}/refresh-urls"))["files"]
    assert client.put(file["uploadUrl"]).ok


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_a_download_is_refused_and_a_sin(client: Client, sandbox: Sandbox, version: str) -> None:
    assert answer(client.link(client.detected(), version)) == (400, "ORDER_TYPE_CANT_DOWNLOAD")
    assert len(sandbox.sins) == 1


def test_a_second_confirm_is_told_how_the_order_stands_and_costs_nothing(client: Client, sandbox: Sandbox) -> None:
    order, key = data(client.detect()), str(uuid.uuid4())
    client.put(order["file"]["uploadUrl"])
    for _ in range(2):
        told = data(client.confirm(order["orderId"], key, service="ai-detection"))
        assert told["orderId"] == order["orderId"]
    assert sandbox.sins == []

    assert data(client.confirm(order["orderId"], service="ai-detection"))["status"] == "complete"
    assert sandbox.paid == 1
    assert "confirmed before" in sandbox.sins[0]


def test_a_confirm_goes_to_the_service_of_its_order(client: Client, sandbox: Sandbox) -> None:
    order = data(client.detect())
    client.put(order["file"]["uploadUrl"])
    assert answer(client.confirm(order["orderId"])) == (400, "ORDER_TYPE_NOT_MATCH")
    other = client.uploaded()["orderId"]
    assert answer(client.confirm(other, service="ai-detection")) == (400, "ORDER_TYPE_NOT_MATCH")
    assert answer(client.confirm("1", service="ai-detection")) == (404, "RESOURCE_NOT_FOUND")
    assert (sandbox.paid, len(sandbox.sins)) == (0, 2)


def test_a_confirm_before_the_upload_is_refused_and_a_sin(client: Client, sandbox: Sandbox) -> None:
    response = client.confirm(data(client.detect())["orderId"], service="ai-detection")
    assert answer(response) == (400, "ORDER_FILE_NOT_UPLOADED")
    assert len(sandbox.sins) == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"idempotencyKey": "1"}, "VALIDATION_IDEMPOTENCY_KEY_INVALID"),
        ({"fileName": "a.tif"}, "VALIDATION_FAILED"),
        ({"fileName": "a.pdf"}, "VALIDATION_FAILED"),
        ({"fileName": "größe.jpg"}, "VALIDATION_FAILED"),
        ({"fileName": None}, "VALIDATION_FAILED"),
        ({"orderName": "x" * 65}, "VALIDATION_FAILED"),
        ({"files": [{"fileName": "a.jpg"}]}, "VALIDATION_FAILED"),
        ({"options": {"generateHeatmap": "yes"}}, "VALIDATION_FAILED"),
        ({"options": {"strength": "high"}}, "VALIDATION_FAILED"),
        ({"options": None}, "VALIDATION_FAILED"),
        ({"originalFileUrl": "https://img.example.com/a.jpg"}, "VALIDATION_FAILED"),
    ],
)
def test_a_create_that_breaks_the_contract_is_refused_and_a_sin(
    client: Client, sandbox: Sandbox, changes: dict[str, Any], code: str
) -> None:
    assert answer(client.detect(**changes)) == (400, code)
    assert len(sandbox.sins) == 1
    assert sandbox.orders == {}


def test_the_same_key_gives_back_the_same_order(client: Client, sandbox: Sandbox) -> None:
    key = str(uuid.uuid4())
    first, second = (data(client.detect(idempotencyKey=key)) for _ in range(2))
    assert first["orderId"] == second["orderId"]
    assert sandbox.sins == []
    assert client.detect("other.jpg", idempotencyKey=key).status_code == 409
    assert client.create(idempotencyKey=key).status_code == 409
    assert len(sandbox.orders) == 1


@pytest.mark.parametrize(
    ("name", "picture", "code"),
    [
        ("photo_fail.jpg", PICTURE, "PROCESSING_ERROR"),
        ("photo.jpg", PICTURE[: len(PICTURE) // 2], "AI_DETECTION_INVALID_IMAGE"),
    ],
)
def test_a_picture_that_cannot_be_judged_fails_its_order(client: Client, name: str, picture: bytes, code: str) -> None:
    order = client.status(client.detected(name, picture), "v3")
    assert (order["status"], order["errors"]["errorCode"], order["result"]) == ("failed", code, None)


def test_a_fault_fails_an_order_with_a_code_of_this_service(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.add("confirm", "fail", code="AI_DETECTION_TIMEOUT", path="/ai-detection/")
    assert client.status(client.confirmed())["status"] == "complete"
    assert client.status(client.detected())["errors"]["errorCode"] == "AI_DETECTION_TIMEOUT"


def test_credits_are_asked_for_at_create_and_taken_at_confirm(client: Client, sandbox: Sandbox) -> None:
    sandbox.credits_left = 1
    order = data(client.detect())
    client.detected()
    client.put(order["file"]["uploadUrl"])
    assert answer(client.confirm(order["orderId"], service="ai-detection")) == (400, "USAGE_NOT_ENOUGH")
    assert answer(client.detect()) == (400, "USAGE_NOT_ENOUGH")
    assert sandbox.credits == {"aiDetection": 1}


def test_another_account_sees_nothing_of_it(client: Client, sandbox: Sandbox) -> None:
    order_id = client.detected()
    with contextlib.closing(Client(sandbox, "sk_another")) as other:
        assert answer(other.call("GET", f"/api/v3/orders/{order_id}")) == (404, "ORDER_NOT_FOUND")
        assert answer(other.call("GET", f"/api/v2/orders/{order_id}")) == (403, "ORDER_NOT_OWNER")
