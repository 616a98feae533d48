"""Watermarks as services.md, sections b and c, tell them: v3, no confirm, and extract finds what embed has marked."""

import contextlib
import io
import struct
import time
import uuid
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
import requests
from contents import sha256
from PIL import Image
from sandbox_client import PICTURE, Client, Json, answer, client, data, sandbox, tester
from test_sandbox_pictures import ODD_BITMAP

from watchfolder import images
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample, sample_pdf

__all__ = ["client", "sandbox", "tester"]

PDF = sample_pdf("a brochure")
JPEG_TYPE, PDF_TYPE = "image/jpeg", "application/pdf"
HASH = sha256(PICTURE)
FORMATS = {"jpg": "jpeg", "png": "png", "webp": "webp", "tif": "tiff", "bmp": "bmp"}


def embedded(client: Client, *texts: str, content: bytes = PICTURE, kind: str = "jpg") -> list[bytes]:
    """Return a copy for each text."""
    media_type = PDF_TYPE if kind == "pdf" else f"image/{FORMATS[kind]}"
    order = data(client.embed(f"a.{kind}", texts=texts or ("© Berg 1",)))
    order_id = client.sent(order, (content, media_type))
    files = data(client.link(order_id, "v3"))["files"]
    return [client.get(file["downloadUrl"]).content for file in files]


def extracted(client: Client, query: bytes, original: bytes = PICTURE) -> Json:
    order_id = client.sent(data(client.extract()), (original, JPEG_TYPE), (query, JPEG_TYPE))
    result: Json = client.status(order_id, "v3")["result"]
    return result


# --- embed


def test_a_create_gives_slots_in_order_and_ids_that_nothing_later_knows(client: Client, sandbox: Sandbox) -> None:
    order = data(client.embed("a.png", "b.pdf", texts=("one", "two")))
    first, second = order["files"]
    assert order.keys() == {
        *("orderId", "status", "processingDelayed", "expiresAt", "files", "outputs", "result", "reports")
    }
    assert [file.keys() for file in order["files"]] == [{"fileId", "uploadUrl"}] * 2
    assert (order["status"], order["processingDelayed"], order["result"], order["reports"]) == (
        *("pending", False, None),
        [],
    )
    assert order["outputs"][1] == {
        "fileId": f"{first['fileId']}-2",
        "inputFileId": first["fileId"],
        "outputIndex": 1,
        "watermarkText": "two",
        "status": "pending",
        "mediaKind": "image",
    }
    assert order["outputs"][2]["fileId"] == f"{second['fileId']}-1"
    assert order["outputs"][2]["mediaKind"] == "pdf"
    assert sandbox.sins == []


def test_the_last_upload_starts_the_order_and_is_the_purchase(client: Client, sandbox: Sandbox) -> None:
    sandbox.processing_seconds = 3600
    order = data(client.embed("a.jpg", "b.jpg", texts=("one", "two")))
    first, second = order["files"]
    assert client.put(first["uploadUrl"]).ok
    assert (client.status(order["orderId"], "v3")["status"], sandbox.paid) == ("pending", 0)
    assert client.put(second["uploadUrl"]).ok
    assert (client.status(order["orderId"], "v3")["status"], sandbox.paid) == ("inProgress", 4)
    assert (sandbox.credits, sandbox.paid_files) == ({"watermarkEmbed": 4}, {HASH: 2})
    assert sandbox.orders[order["orderId"]].watermarks == ("one", "two", "one", "two")
    assert client.confirm(order["orderId"]).json() == {"code": "ORDER_TYPE_NOT_MATCH"}
    assert len(sandbox.sins) == 1


def test_the_last_upload_may_be_repeated_when_its_answer_was_lost(client: Client, sandbox: Sandbox) -> None:
    (file,) = data(client.embed())["files"]
    sandbox.faults.add("upload", "reset_after")
    with pytest.raises(requests.ConnectionError):
        client.put(file["uploadUrl"])
    assert sandbox.paid == 1
    assert client.put(file["uploadUrl"]).ok
    assert (sandbox.paid, sandbox.sins) == (1, [])
    assert client.put(file["uploadUrl"], PICTURE + b"\0").status_code == 403
    assert len(sandbox.sins) == 1


def test_there_is_an_output_for_each_text_and_file(client: Client, sandbox: Sandbox) -> None:
    order = data(client.embed("a.jpg", "a.jpg", texts=("one", "two")))
    order_id = client.sent(order, (PICTURE, JPEG_TYPE), (PICTURE, JPEG_TYPE))
    read, link = client.status(order_id, "v3"), data(client.link(order_id, "v3"))
    outputs = read["result"]["outputFiles"]
    inputs = [file["fileId"] for file in order["files"]]
    assert [output["inputFileId"] for output in outputs] == [inputs[0], inputs[0], inputs[1], inputs[1]]
    assert [output["watermarkText"] for output in outputs] == ["one", "two"] * 2
    assert [output.keys() for output in outputs] == [{"fileId", "fileName", "inputFileId", "watermarkText"}] * 4
    assert [file["fileId"] for file in link["files"]] == [output["fileId"] for output in outputs]
    assert all(output["fileId"].isdigit() for output in outputs)
    with zipfile.ZipFile(io.BytesIO(client.get(link["archiveUrl"]).content)) as archive:
        assert len({archive.read(name) for name in archive.namelist()}) == 4
    assert (read["type"], read["orderName"]) == ("watermarkEmbed", "a.jpg")
    assert sandbox.sins == []


def test_the_archive_of_one_output_is_the_file_itself(client: Client) -> None:
    order_id = client.sent(data(client.embed()), (PICTURE, JPEG_TYPE))
    link = data(client.link(order_id, "v3"))
    assert client.get(link["archiveUrl"]).content == client.get(link["files"][0]["downloadUrl"]).content


@pytest.mark.parametrize("kind", FORMATS)
def test_a_marked_picture_is_a_whole_picture_of_its_format(client: Client, kind: str) -> None:
    source = sample(FORMATS[kind], width=160, height=120, seed=7)
    (marked,) = embedded(client, content=source, kind=kind)
    assert marked != source
    with Image.open(io.BytesIO(marked)) as image:
        image.load()
        assert (image.format, image.size) == (FORMATS[kind].upper(), (160, 120))

    def read_at(offset: int, length: int) -> bytes:
        return marked[offset : offset + length]

    assert images.judge(read_at, len(marked), f"a.{kind}").kind is images.Kind.WHOLE


def test_a_marked_pdf_is_the_pdf_and_its_mark(client: Client) -> None:
    (marked,) = embedded(client, content=PDF, kind="pdf")
    assert marked.startswith(PDF)
    assert b"%%EOF" in marked[-1024:]


def test_upload_links_are_signed_for_the_content_type_of_the_name(client: Client, sandbox: Sandbox) -> None:
    (file,) = data(client.embed("a.png"))["files"]
    response = client.put(file["uploadUrl"], PICTURE, {"Content-Type": "image/jpeg"})
    assert (response.status_code, "<Code>SignatureDoesNotMatch</Code>" in response.text) == (403, True)
    assert "Content-Type" in sandbox.sins[0]
    assert "SignedHeaders=content-type%3Bhost" in file["uploadUrl"]
    stripped = file["uploadUrl"].replace("content-type%3B", "")
    assert client.put(stripped, PICTURE, {"Content-Type": "image/jpeg"}).status_code == 403
    assert sandbox.paid == 0


def test_upload_links_live_900_seconds_and_are_renewed_by_the_v3_read(client: Client, sandbox: Sandbox) -> None:
    assert "X-Amz-Expires=900&" in data(client.embed())["files"][0]["uploadUrl"]
    order = data(client.embed("a.jpg", "b.jpg"))
    assert client.put(order["files"][0]["uploadUrl"]).ok
    sandbox.end_links()
    assert client.put(order["files"][1]["uploadUrl"]).status_code == 403
    inputs = client.status(order["orderId"], "v3")["inputFiles"]
    assert ["uploadUrl" in file for file in inputs] == [False, True]
    assert client.put(inputs[1]["uploadUrl"]).ok
    assert client.status(order["orderId"], "v3")["status"] == "complete"
    assert sandbox.sins == []


def test_an_order_whose_uploads_never_came_has_failed_and_cost_nothing(client: Client, sandbox: Sandbox) -> None:
    sandbox.watermark_upload_seconds = 0.1
    order = data(client.embed())
    time.sleep(0.1)
    read = client.status(order["orderId"], "v3")
    assert (read["status"], read["errors"]["errorCode"]) == ("failed", "UPLOAD_EXPIRED")
    assert client.put(order["files"][0]["uploadUrl"]).status_code == 403
    assert (sandbox.paid, sandbox.sins) == (0, [])


def test_v2_knows_no_more_than_the_common_fields(client: Client, sandbox: Sandbox) -> None:
    order_id = client.sent(data(client.embed()), (PICTURE, JPEG_TYPE))
    read = client.status(order_id, "v2")
    assert read["type"] == "watermarkEmbed"
    assert read.keys() & {"result", "inputFiles", "statusCode"} == set()
    assert sandbox.sins == []
    assert answer(client.link(order_id, "v2")) == (400, "ORDER_TYPE_CANT_DOWNLOAD")
    refreshed = client.call("POST", f"/api/v2/orders/{order_id}/refresh-urls")
    assert answer(refreshed) == (400, "ORDER_TYPE_NOT_MATCH")
    assert len(sandbox.sins) == 2


@pytest.mark.parametrize("service", ["wtr-embed", "wtr-extract"])
def test_the_old_endpoints_are_gone_and_calling_them_is_a_sin(client: Client, sandbox: Sandbox, service: str) -> None:
    response = client.call("POST", f"/api/v2/orders/{service}", {})
    assert answer(response) == (410, "WATERMARK_V2_API_SUNSET")
    assert "Link" in response.headers
    assert len(sandbox.sins) == 1


def test_a_service_that_knows_only_v2_has_no_watermarks(client: Client, sandbox: Sandbox) -> None:
    sandbox.dialect = "v2"
    response = client.embed()
    assert response.status_code == 404
    assert response.headers["Content-Type"].startswith("text/html")


def test_the_same_key_gives_back_the_same_order_and_another_body_a_conflict(client: Client, sandbox: Sandbox) -> None:
    key = str(uuid.uuid4())
    first, second = (data(client.embed(idempotencyKey=key)) for _ in range(2))
    assert first["orderId"] == second["orderId"]
    assert sandbox.sins == []
    other = client.embed(texts=("another",), idempotencyKey=key)
    assert answer(other) == (409, "WATERMARK_V2_CONFLICT")
    assert len(sandbox.sins) == len(sandbox.orders) == 1


def test_a_repeated_create_tells_how_the_order_stands(client: Client) -> None:
    key = str(uuid.uuid4())
    client.sent(data(client.embed(idempotencyKey=key)), (PICTURE, JPEG_TYPE))
    again = data(client.embed(idempotencyKey=key))
    assert (again["status"], again["files"][0]["uploadUrl"]) == ("complete", None)
    assert again["outputs"][0]["status"] == "completed"


def test_a_test_keys_other_body_gives_back_the_old_order(tester: Client) -> None:
    key = str(uuid.uuid4())
    first = data(tester.embed(idempotencyKey=key))
    assert data(tester.embed(texts=("another",), idempotencyKey=key))["orderId"] == first["orderId"]


@pytest.mark.parametrize(
    "file",
    [
        {"fileName": "a.gif", "watermarks": [{"text": "x"}]},
        {"fileName": "a.jpg", "watermarks": []},
        {"fileName": "a.jpg", "watermarks": [{"text": str(number)} for number in range(11)]},
        {"fileName": "a.jpg", "watermarks": [{"text": ""}]},
        {"fileName": "a.jpg", "watermarks": [{"text": "x" * 1001}]},
        {"fileName": "a.jpg", "watermarks": [{"text": "x "}]},
        {"fileName": "a.jpg", "watermarks": [{"text": "x"}, {"text": "x"}]},
        {"fileName": "a.jpg", "watermarks": [{"text": "x", "strength": "high"}]},
        {"fileName": "a.jpg", "watermarks": ["x"]},
        {"fileName": "a.jpg"},
        {"fileName": "a.jpg", "watermarks": [{"text": "x"}], "options": {}},
    ],
)
def test_a_file_that_breaks_the_contract_is_refused_and_a_sin(client: Client, sandbox: Sandbox, file: Json) -> None:
    assert answer(client.embed(files=[file])) == (400, "VALIDATION_FAILED")
    assert len(sandbox.sins) == 1
    assert sandbox.orders == {}


@pytest.mark.parametrize("field", ["orderName", "options", "strength", "mode"])
def test_an_embed_has_no_field_of_the_other_services(client: Client, sandbox: Sandbox, field: str) -> None:
    assert answer(client.embed(**{field: "x"})) == (400, "VALIDATION_FAILED")
    assert len(sandbox.sins) == 1


def encoded(kind: str, image: Image.Image, **ways: Any) -> bytes:  # noqa: ANN401 - as Pillow has them
    target = io.BytesIO()
    image.save(target, kind, **ways)
    return target.getvalue()


def rgb(color: str = "red") -> Image.Image:
    return Image.new("RGB", (16, 16), color)


def deep_png() -> bytes:
    return encoded("png", Image.new("I;16", (8, 8)))


COLORS, INPUT = "WATERMARK_IMAGE_COLOR_MODE_UNSUPPORTED", "WATERMARK_INPUT_UNSUPPORTED"
REFUSED: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "a CMYK JPEG": ("jpg", lambda: encoded("jpeg", Image.new("CMYK", (8, 8))), COLORS),
    "a PNG with a palette": ("png", lambda: encoded("png", rgb().quantize()), COLORS),
    "a PNG of 16 bits": ("png", deep_png, COLORS),
    "a PNG of grey with alpha": ("png", lambda: encoded("png", Image.new("LA", (8, 8))), COLORS),
    "a BMP of 32 bits": ("bmp", lambda: encoded("bmp", Image.new("RGBA", (8, 8))), COLORS),
    "a TIFF with alpha": ("tif", lambda: encoded("tiff", Image.new("RGBA", (8, 8))), COLORS),
    "a TIFF of 16 bits": ("tif", lambda: encoded("tiff", Image.new("I;16", (8, 8))), COLORS),
    "an animated WebP": (
        "webp",
        lambda: encoded("webp", rgb(), save_all=True, append_images=[rgb("blue")]),
        INPUT,
    ),
    "a TIFF of two pages": ("tif", lambda: encoded("tiff", rgb(), save_all=True, append_images=[rgb()]), INPUT),
    "a BMP that hardly anybody reads": ("bmp", lambda: ODD_BITMAP, INPUT),
    "a PDF with a password": (
        "pdf",
        lambda: PDF.replace(b"/Root", b"/Encrypt 9 0 R /Root"),
        "WATERMARK_PDF_UNSUPPORTED",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_embed_does_not_take_fails_the_order_and_gives_the_credits_back(
    client: Client, sandbox: Sandbox, what: str
) -> None:
    kind, make, code = REFUSED[what]
    sandbox.credits_left = 10
    order = data(client.embed(f"a.{kind}", "b.jpg"))
    media_type = PDF_TYPE if kind == "pdf" else f"image/{FORMATS[kind]}"
    read = client.status(client.sent(order, (make(), media_type), (PICTURE, JPEG_TYPE)), "v3")
    assert (read["status"], read["errors"]["errorCode"], read["result"]) == ("failed", code, None)
    assert (sandbox.paid, sandbox.paid_failed, sandbox.paid_files, sandbox.sins) == (0, 0, {}, [])
    assert answer(client.link(order["orderId"], "v3")) == (400, "ORDER_NOT_COMPLETED")
    assert client.embed(texts=[str(number) for number in range(10)]).ok  # all ten are there again


ACCEPTED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a PNG with alpha": ("png", lambda: encoded("png", Image.new("RGBA", (8, 8)))),
    "a WebP with alpha": ("webp", lambda: encoded("webp", Image.new("RGBA", (8, 8)), lossless=True)),
    "a BMP of one bit": ("bmp", lambda: encoded("bmp", Image.new("1", (8, 8)))),
    "a grey BMP": ("bmp", lambda: encoded("bmp", Image.new("L", (8, 8)))),
    "a grey TIFF": ("tif", lambda: encoded("tiff", Image.new("L", (8, 8)))),
    "a TIFF of one bit": ("tif", lambda: encoded("tiff", Image.new("1", (8, 8)))),
    "a PDF": ("pdf", lambda: PDF),
}


@pytest.mark.parametrize("what", ACCEPTED)
def test_what_embed_takes_is_marked(client: Client, sandbox: Sandbox, what: str) -> None:
    kind, make = ACCEPTED[what]
    assert embedded(client, content=make(), kind=kind)
    assert sandbox.sins == []


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.jpg", PICTURE[:-500], "WATERMARK_FILE_CORRUPTED"),
        ("a.jpg", PDF, "WATERMARK_FILE_FORMAT_UNSUPPORTED"),
        ("a.pdf", PICTURE, "WATERMARK_FILE_FORMAT_UNSUPPORTED"),
        ("a.pdf", PDF[:-10], "WATERMARK_FILE_CORRUPTED"),
    ],
)
def test_bytes_that_are_not_whole_or_not_what_the_name_says_are_a_sin(
    client: Client, sandbox: Sandbox, name: str, content: bytes, code: str
) -> None:
    media_type = PDF_TYPE if name.endswith("pdf") else JPEG_TYPE
    read = client.status(client.sent(data(client.embed(name)), (content, media_type)), "v3")
    assert (read["status"], read["errors"]["errorCode"]) == ("failed", code)
    assert len(sandbox.sins) == 1


def test_too_few_credits_are_told_as_a_limit_of_the_plan(client: Client, sandbox: Sandbox) -> None:
    sandbox.credits_left = 1
    assert answer(client.embed(texts=("one", "two"))) == (429, "PLAN_LIMIT_EXCEEDED")


def test_an_order_that_needs_people_says_so_while_it_is_in_progress(client: Client, sandbox: Sandbox) -> None:
    sandbox.processing_seconds, sandbox.processing_delayed = 3600, True
    order = data(client.embed())
    assert client.status(order["orderId"], "v3")["processingDelayed"] is False
    client.sent(order, (PICTURE, JPEG_TYPE))
    read = client.status(order["orderId"], "v3")
    assert (read["status"], read["processingDelayed"]) == ("inProgress", True)
    assert client.status(client.confirmed(), "v3")["processingDelayed"] is False


def test_a_fault_fails_what_an_upload_starts_and_loses_what_it_brings(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.add("upload", "fail", code="WATERMARK_ENGINE_UNAVAILABLE")
    failed = client.sent(data(client.embed()), (PICTURE, JPEG_TYPE))
    assert client.status(failed, "v3")["errors"]["errorCode"] == "WATERMARK_ENGINE_UNAVAILABLE"
    sandbox.faults.add("upload", "lose")
    lost = client.sent(data(client.embed()), (PICTURE, JPEG_TYPE))
    read = client.status(lost, "v3")
    assert (read["status"], "uploadUrl" in read["inputFiles"][0]) == ("pending", True)
    sandbox.faults.add("create", "answer_after", status=503, code="WATERMARK_V2_UNAVAILABLE", path="/wtr-embed")
    assert client.embed().status_code == 503
    assert (len(sandbox.orders), sandbox.paid) == (3, 0)


def test_a_test_key_gets_samples_of_the_files_own_type(tester: Client, sandbox: Sandbox) -> None:
    order = data(tester.embed("a.png", "b.pdf"))
    png = sample("png", width=8, height=8, seed=1)
    order_id = tester.sent(order, (png, "image/png"), (PDF, PDF_TYPE))
    link = data(tester.link(order_id, "v3"))
    picture, document = (tester.get(file["downloadUrl"]).content for file in link["files"])
    assert picture.startswith(b"\x89PNG")
    assert document.startswith(b"%PDF-")
    assert "/api/v2/test-samples/" in link["archiveUrl"]
    assert (sandbox.paid, sandbox.sins) == (0, [])


def test_a_test_keys_failure_is_always_the_same(tester: Client) -> None:
    order_id = tester.sent(data(tester.embed("a_fail.jpg")), (PICTURE, JPEG_TYPE))
    assert tester.status(order_id, "v3")["errors"]["errorCode"] == "PROCESSING_ERROR"


# --- extract


def test_an_extract_gives_two_slots_the_original_first(client: Client, sandbox: Sandbox) -> None:
    order = data(client.extract("found.png", "harbour.jpg"))
    assert (len(order["files"]), order["outputs"]) == (2, [])
    read = client.status(order["orderId"], "v3")
    assert [(file["role"], file["fileName"]) for file in read["inputFiles"]] == [
        ("original", "harbour.jpg"),
        ("query", "found.png"),
    ]
    assert (read["type"], sandbox.sins) == ("watermarkExtract", [])


def test_extract_says_for_whom_a_copy_was_marked(client: Client, sandbox: Sandbox) -> None:
    dpa, afp = embedded(client, "2026-0017 dpa", "2026-0018 afp")
    for copy, text in ((dpa, "2026-0017 dpa"), (afp, "2026-0018 afp")):
        assert extracted(client, copy) == {
            "detectionStatus": "detected",
            "watermarkText": text,
            "reportSupported": True,
            "reports": [],
        }
    assert sandbox.credits == {"watermarkEmbed": 2, "watermarkExtract": 2}
    assert sandbox.paid_files == {HASH: 1, **{sha256(copy): 1 for copy in (dpa, afp)}}
    assert sandbox.sins == []


def test_a_mark_is_found_behind_anti_ai(client: Client) -> None:
    (copy,) = embedded(client, "2026-0017 dpa")
    order = client.created()
    client.put(order["files"][0]["uploadUrl"], copy)
    client.confirm(order["orderId"])
    protected = client.get(client.result_url(order["orderId"])).content
    assert protected != copy
    assert extracted(client, protected)["watermarkText"] == "2026-0017 dpa"


def test_a_pdf_is_found_too(client: Client) -> None:
    (copy,) = embedded(client, "2026-0017 dpa", content=PDF, kind="pdf")
    order = data(client.extract("found.pdf", "brochure.pdf"))
    order_id = client.sent(order, (PDF, PDF_TYPE), (copy, PDF_TYPE))
    assert client.status(order_id, "v3")["result"]["watermarkText"] == "2026-0017 dpa"


@pytest.mark.parametrize("word", ["undetected", "not_detected"])
def test_nothing_is_found_in_what_was_not_marked(client: Client, sandbox: Sandbox, word: str) -> None:
    sandbox.undetected_word = word
    result = extracted(client, PICTURE + b"\0")
    assert (result["detectionStatus"], result["watermarkText"], result["reportSupported"]) == (word, None, False)
    assert sandbox.paid == 1


def test_nothing_is_found_beside_another_original(client: Client) -> None:
    (copy,) = embedded(client)
    other = sample("jpeg", width=160, height=120, seed=8)
    assert extracted(client, copy, other)["detectionStatus"] == "undetected"


def test_a_text_that_was_issued_twice_says_nothing(client: Client) -> None:
    (copy,), _ = embedded(client, "© Berg"), embedded(client, "© Berg")
    result = extracted(client, copy)
    assert (result["detectionStatus"], result["watermarkText"]) == ("detected", None)


def test_what_another_account_embedded_is_found_without_its_text(client: Client, sandbox: Sandbox) -> None:
    with contextlib.closing(Client(sandbox, "sk_another")) as other:
        (copy,) = embedded(other)
    result = extracted(client, copy)
    assert (result["detectionStatus"], result["watermarkText"]) == ("detected", None)


def test_a_pair_the_wrong_way_round_is_a_sin(client: Client, sandbox: Sandbox) -> None:
    (copy,) = embedded(client)
    assert extracted(client, PICTURE, original=copy)["detectionStatus"] == "undetected"
    assert "wrong way round" in sandbox.sins[0]


@pytest.mark.parametrize(("verdict", "paid"), [("inconclusive", 1), ("unsupported", 0), ("error", 0)])
def test_a_verdict_that_is_none_gives_the_credit_back(
    client: Client, sandbox: Sandbox, verdict: str, paid: int
) -> None:
    query = PICTURE + b"\0"
    sandbox.detections[sha256(query)] = verdict
    assert extracted(client, query)["detectionStatus"] == verdict
    assert (sandbox.paid, sandbox.paid_failed) == (paid, 0)


def test_a_bad_bitmap_is_unsupported_and_no_failure(client: Client, sandbox: Sandbox) -> None:
    order = data(client.extract("found.bmp"))
    bitmap = encoded("bmp", Image.new("RGBA", (8, 8)))
    read = client.status(client.sent(order, (PICTURE, JPEG_TYPE), (bitmap, "image/bmp")), "v3")
    assert (read["status"], read["result"]["detectionStatus"]) == ("complete", "unsupported")
    order = data(client.extract("found.bmp"))
    bitmap = sample("bmp", width=16, height=16, seed=1)[:-100] + b"\0" * struct.calcsize("I")
    read = client.status(client.sent(order, (PICTURE, JPEG_TYPE), (bitmap, "image/bmp")), "v3")
    assert (read["status"], read["result"]["detectionStatus"]) == ("complete", "unsupported")
    assert sandbox.paid == 0


def test_list_and_download_know_the_verdict_and_no_file(client: Client, sandbox: Sandbox) -> None:
    (copy,) = embedded(client)
    order_id = client.sent(data(client.extract()), (PICTURE, JPEG_TYPE), (copy, JPEG_TYPE))
    waiting = data(client.extract())["orderId"]
    listed = data(client.call("GET", "/api/v2/orders?type=watermarkExtract"))["orders"]
    assert {order["orderId"]: order["statusCode"] for order in listed} == {waiting: None, order_id: "detected"}
    assert all("watermarkText" not in order and "probability" not in order for order in listed)
    assert sandbox.sins == []
    assert answer(client.link(order_id, "v3")) == (400, "ORDER_TYPE_CANT_DOWNLOAD")
    assert len(sandbox.sins) == 1


@pytest.mark.parametrize(
    ("query", "original", "is_pair"),
    [
        ("a.webp", "b.tif", True),
        ("a.pdf", "b.pdf", True),
        ("a.png", "b.pdf", True),
        ("a.jpeg", "b.pdf", True),
        ("a.webp", "b.pdf", False),
        ("a.pdf", "b.jpg", False),
        ("a.gif", "b.jpg", False),
        ("a.jpg", "b", False),
    ],
)
def test_only_some_kinds_make_a_pair(
    client: Client, sandbox: Sandbox, query: str, original: str, is_pair: bool
) -> None:
    response = client.extract(query, original)
    assert (response.ok, len(sandbox.sins)) == (is_pair, not is_pair)


@pytest.mark.parametrize(
    "changes",
    [
        {"file": {"fileName": "a.jpg"}},
        {"file": {"fileName": "a.jpg", "originalFile": "b.jpg"}},
        {
            "file": {
                "fileName": "a.jpg",
                "originalFile": {"fileName": "b.jpg", "originalFileUrl": "https://x.org/b.jpg"},
            }
        },
        {"files": [{"fileName": "a.jpg"}]},
        {"orderName": "x"},
        {"idempotencyKey": "1"},
    ],
)
def test_an_extract_that_breaks_the_contract_is_refused_and_a_sin(
    client: Client, sandbox: Sandbox, changes: dict[str, Any]
) -> None:
    assert client.extract(**changes).status_code == 400
    assert len(sandbox.sins) == 1
    assert sandbox.orders == {}


@pytest.mark.parametrize(
    ("query", "original", "verdict"),
    [
        ("a_detected.jpg", "b.jpg", "detected"),
        ("a_undetected.jpg", "b.jpg", "undetected"),
        ("a.jpg", "b_detected.jpg", "undetected"),
    ],
)
def test_a_test_key_finds_by_the_name_of_the_checked_file_alone(
    tester: Client, query: str, original: str, verdict: str
) -> None:
    order = data(tester.extract(query, original))
    result = tester.status(tester.sent(order, (PICTURE, JPEG_TYPE), (PICTURE, JPEG_TYPE)), "v3")["result"]
    is_found = verdict == "detected"
    assert (result["detectionStatus"], result["reportSupported"]) == (verdict, is_found)
    assert result["watermarkText"] == ("MORI TEST WATERMARK" if is_found else None)


@pytest.mark.parametrize("names", [("a_fail.jpg", "b.jpg"), ("a.jpg", "b_fail.jpg")])
def test_either_file_fails_a_test_keys_extract(tester: Client, names: tuple[str, str]) -> None:
    order = data(tester.extract(*names))
    read = tester.status(tester.sent(order, (PICTURE, JPEG_TYPE), (PICTURE, JPEG_TYPE)), "v3")
    assert (read["status"], read["errors"]["errorCode"]) == ("failed", "PROCESSING_ERROR")


def test_a_test_keys_upload_has_a_limit(tester: Client) -> None:
    (file,) = data(tester.embed())["files"]
    assert "/api/v2/test-uploads/" in file["uploadUrl"]
    response = tester.put(file["uploadUrl"], b"\0" * ((50 << 20) + 1))
    assert answer(response) == (413, "TEST_UPLOAD_TOO_LARGE")
