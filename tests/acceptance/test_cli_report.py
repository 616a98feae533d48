"""Reports by the command line: on what was checked before, beside it or elsewhere, and what is said without one."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_studio import PICTURE, Studio

from watchfolder.sandbox import Sandbox

NAME = "Büro/Plakat ü.jpg"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(processing_seconds=0.1, report_seconds=0.0) as running:
        yield running


@pytest.fixture
def studio(tmp_path: Path, sandbox: Sandbox) -> Studio:
    """Give a studio in which one picture was checked."""
    studio = Studio(tmp_path, sandbox.url)
    studio.configure(service="ai-detection", originals=None, report_locale="ja-JP")
    studio.drop(NAME)
    done = studio.run("run", "--once")
    assert done.returncode == 0, done.stderr
    return studio


def picture(studio: Studio) -> Path:
    return studio.folder("outbox") / NAME


def refused(studio: Studio, *arguments: object, code: int = 2) -> str:
    told = studio.run("report", *map(str, arguments))
    assert (told.returncode, told.stdout) == (code, ""), told.stderr
    return told.stderr


@pytest.mark.parametrize("of", ["", ".ai.json"], ids=["picture", "sidecar"])
def test_a_report_is_fetched_beside_its_picture_in_the_inboxs_language(
    studio: Studio, sandbox: Sandbox, of: str
) -> None:
    told = studio.run("report", f"{picture(studio)}{of}")
    assert told.returncode == 0, told.stderr
    fetched = Path(f"{picture(studio)}.report.ja-JP.pdf")
    assert told.stdout == f"fetched: {fetched}\n"
    assert fetched.read_bytes().startswith(b"%PDF-")
    assert {path.name for path in fetched.parent.iterdir()} == {
        picture(studio).name,
        f"{picture(studio).name}.ai.json",
        fetched.name,
    }
    assert sandbox.sins == []


def test_the_inboxs_language_holds_also_by_a_link_to_its_outbox(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(studio.folder("outbox"))
    assert studio.run("report", str(tmp_path / "link" / NAME)).returncode == 0
    assert Path(f"{picture(studio)}.report.ja-JP.pdf").exists()


def test_a_picture_that_was_moved_away_with_its_sidecar_has_its_report_too(studio: Studio, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    picture(studio).parent.rename(archive)
    assert studio.run("report", str(archive / "Plakat ü.jpg"), "--quiet").stdout == ""
    assert (archive / "Plakat ü.jpg.report.en-US.pdf").exists()


def test_it_goes_where_the_command_says_or_into_a_pipe(studio: Studio, tmp_path: Path) -> None:
    assert (
        studio.run("report", str(picture(studio)), "--locale", "ko-KR", "-o", str(tmp_path / "r.pdf")).returncode == 0
    )
    piped = studio.run("report", str(picture(studio)), "--locale", "ko-KR", "--output", "-")
    assert piped.stdout.startswith("%PDF-")
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF-")


def test_a_report_that_is_still_being_made_is_waited_for(studio: Studio, sandbox: Sandbox) -> None:
    sandbox.report_seconds = 1.0
    assert studio.run("report", str(picture(studio))).returncode == 0
    assert sandbox.sins == []


def test_nothing_that_is_there_is_overwritten(studio: Studio, tmp_path: Path, sandbox: Sandbox) -> None:
    (tmp_path / "r.pdf").write_bytes(b"mine")
    assert "it is there already" in refused(studio, picture(studio), "-o", tmp_path / "r.pdf")
    assert (tmp_path / "r.pdf").read_bytes() == b"mine"
    assert sandbox.requests_by_operation().get("report", 0) == 0


def test_a_report_that_lies_beside_its_picture_is_not_fetched_again(studio: Studio, sandbox: Sandbox) -> None:
    assert studio.run("report", str(picture(studio))).returncode == 0
    asked = sandbox.requests_by_operation()
    again = studio.run("report", str(picture(studio)))
    assert (again.returncode, again.stdout) == (0, f"there already: {picture(studio)}.report.ja-JP.pdf\n")
    assert sandbox.requests_by_operation() == asked


def test_without_a_sidecar_no_order_is_known(studio: Studio) -> None:
    sidecar = Path(f"{picture(studio)}.ai.json")
    for content in ('{"orderId": "../1", "sha256": ""}', '{"orderId": "1"}', "[1]", "no JSON", "[" * 9999):
        sidecar.write_text(content)
        assert "it is no sidecar of ours" in refused(studio, picture(studio))
    sidecar.unlink()
    assert "Plakat ü.jpg.ai.json is not beside it" in refused(studio, picture(studio))
    assert "is no folder" in refused(studio, "/nowhere/at/all.jpg")


def test_a_picture_that_was_changed_since_is_not_what_the_report_is_about(studio: Studio) -> None:
    picture(studio).write_bytes(PICTURE + b"more")
    assert "it is not the picture any more that was checked" in refused(studio, picture(studio), code=3)


def test_where_there_is_no_report_it_is_said_why(studio: Studio, sandbox: Sandbox) -> None:
    assert "--locale must be" in refused(studio, picture(studio), "--locale", "de-DE")
    sandbox.faults.add("report", "answer", status=409, code="REPORT_NOT_AVAILABLE")
    assert "the service has no report on this result" in refused(studio, picture(studio))
    sandbox.faults.add("report", "answer", status=400, code="REPORT_LOCALE_UNSUPPORTED")
    assert "no report in this language" in refused(studio, picture(studio))
    failed = {"status": "failed", "failure": {"code": "REPORT_GENERATION_FAILED", "retryable": False}}
    sandbox.faults.add("report", "other_json", body=json.dumps({"data": failed}))
    assert "the service could not make the report" in refused(studio, picture(studio))
    sandbox.faults.add("report", "answer", status=400, code="ORDER_EXPIRED")
    assert "keeps this order no longer" in refused(studio, picture(studio))
    sandbox.faults.add("report", "answer", status=401, code="AUTH_TOKEN_EXPIRED")
    assert "the service refuses the API key" in refused(studio, picture(studio), code=75)


def test_a_key_of_another_account_is_told_from_an_order_that_is_gone(studio: Studio) -> None:
    studio.environment["BIZMORI_API_KEY"] = "sk_someone_else_0123456789"
    assert "another account" in refused(studio, picture(studio), code=75)
    del studio.environment["BIZMORI_API_KEY"]
    assert "api.key" in refused(studio, picture(studio), code=78)


def test_an_output_folder_that_is_not_there_is_said_to_be_missing(studio: Studio, tmp_path: Path) -> None:
    assert "is no folder" in refused(studio, picture(studio), "-o", tmp_path / "none" / "r.pdf")


@pytest.mark.parametrize(
    ("beside", "what"),
    [
        (".heatmap.webp", "the service's heatmap of"),
        (".report.ja-JP.pdf", "the service's report on"),
        (".xmp", "a sidecar with keywords, ours or somebody's, of"),
    ],
)
def test_explain_knows_what_lies_beside_a_picture(studio: Studio, beside: str, what: str) -> None:
    told = studio.run("explain", f"{picture(studio)}{beside}").stdout
    assert told.startswith(f"This is {what} the picture beside it.\nDelivered ")
    stranger = studio.folder("outbox") / f"b.jpg{beside}"
    stranger.write_bytes(b"somebody's")
    assert "watchfolder did not put this file here" in studio.run("explain", str(stranger)).stdout


def test_what_is_still_to_come_is_told_by_a_run_and_by_explain(studio: Studio, sandbox: Sandbox) -> None:
    studio.configure(service="ai-detection", originals=None, heatmaps=True)
    sandbox.faults.add("fetch", "answer", times=None, status=500)
    studio.drop("b.jpg")
    ended = studio.run("run", "--once")
    assert ended.returncode == 75
    assert "b.jpg: the storage did not take or give the file" in ended.stdout + ended.stderr
    assert (studio.folder("outbox") / "b.jpg.ai.json").exists()
    told = studio.run("explain", str(studio.folder("outbox") / "b.jpg")).stdout
    assert "Still to come beside it: heatmap.\nThe last try failed: the storage did not take or give the file" in told
    status = studio.run("status")
    assert "1 file delivered, with something still to come beside it: " in status.stdout
    assert json.loads(studio.run("status", "--json").stdout)["inboxes"]["photos"]["to_come_beside"] == 1
    assert "A probability is no proof" in told
