"""A service that has no v3 reads, and an inbox whose service needs them: it is said, and the pictures wait."""

import json
from pathlib import Path

from cli_studio import PICTURE, Studio, sandbox, studio

from watchfolder.sandbox import Sandbox

__all__ = ["sandbox", "studio"]


def test_check_and_status_say_what_the_service_lacks_and_the_pictures_wait(tmp_path: Path) -> None:
    with Sandbox(dialect="v2") as sandbox:
        studio = Studio(tmp_path, sandbox.url)
        studio.configure(service="watermark-extract", duplicates=None)
        checked = studio.run("check")
        assert checked.returncode == 75
        told = next(line for line in checked.stdout.splitlines() if line.startswith("FAIL "))
        assert "has no v3 reads, which these inboxes need; their pictures wait: photos (watermark-extract)" in told

        studio.drop("a.jpg")
        studio.drop("a.original.jpg", PICTURE)
        with studio.daemon() as daemon:
            said = ""
            while "Not available: photos (the service has no v3 reads" not in said:
                assert daemon.process.poll() is None
                said = studio.run("status").stdout
            assert "It goes on by itself when it has them" in said
            assert json.loads(studio.run("status", "--json").stdout)["inboxes"]["photos"]["state"] == "waits"
        assert sandbox.orders == {}
        assert (studio.folder("inbox") / "a.jpg").exists()


def test_a_single_run_ends_and_says_what_the_service_lacks(tmp_path: Path) -> None:
    with Sandbox(dialect="v2") as sandbox:
        studio = Studio(tmp_path, sandbox.url)
        studio.configure(service="watermark-extract", duplicates=None)
        studio.drop("a.jpg")
        studio.drop("a.original.jpg", PICTURE)
        ran = studio.run("run", "--once")
        assert ran.returncode == 75
        lacks = "the service has no v3 reads, without which there is no watermark-extract"
        assert f"Not available: photos ({lacks})" in ran.stdout
        assert sandbox.orders == {}


def test_a_single_run_of_an_empty_inbox_ends_as_it_says(studio: Studio) -> None:
    studio.configure(api={"reads": "v2"}, service="watermark-embed", duplicates=None)
    ran = studio.run("run", "--once")
    assert "Not available: photos (the service has no v3 reads" in ran.stdout.partition("What remains:")[2]
    assert ran.returncode == 75
