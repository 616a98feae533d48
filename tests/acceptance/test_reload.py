"""SIGHUP: what systemd, `status` and the log say before it is still counted after it, and is the truth again."""

import json
import signal

import pytest
from cli_studio import PICTURE, Studio, files_in, sandbox, studio, wait_until
from notify_socket import Notified, notified

__all__ = ["notified", "sandbox", "studio"]

PHOTOSHOP = b"8BPS\0\1" + bytes(4000)
COUNTED = "0 waiting, 0 in progress, 0 deferred; since the start 1 delivered, 1 quarantined"


@pytest.mark.parametrize("change", ["nothing", "a setting", "a mistake"])
def test_systemd_s_line_is_the_truth_again_after_a_reload(studio: Studio, notified: Notified, change: str) -> None:
    studio.environment["NOTIFY_SOCKET"] = notified.address
    studio.drop("a.jpg")
    studio.drop("poster.psd", PHOTOSHOP)
    with studio.daemon() as daemon:
        wait_until(lambda: notified.status == COUNTED)
        right = studio.config.read_text()
        wrong = {"a setting": "settle_seconds: 0.3", "a mistake": "settle_seconds: soon"}
        studio.config.write_text(right.replace("settle_seconds: 0.2", wrong.get(change, "settle_seconds: 0.2")))
        said = len(notified.messages)
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "READY=1" in notified.messages[said:])
        assert any(message.startswith("RELOADING=1") for message in notified.messages[said:])
        wait_until(lambda: notified.status.endswith(COUNTED))
        assert "STATUS=stopping" not in notified.messages
        studio.drop("b.jpg", PICTURE + b"b")
        wait_until(lambda: files_in(studio.folder("outbox")) == ["a.jpg", "b.jpg"])
        wait_until(lambda: "2 delivered, 1 quarantined" in notified.status)
    assert notified.status == "stopping"


def test_a_reload_is_no_start(studio: Studio) -> None:
    def started() -> object:
        return json.loads((studio.folder("state") / "status.json").read_bytes())["started"]

    with studio.daemon() as daemon:
        before = started()
        studio.config.write_text(studio.config.read_text().replace("settle_seconds: 0.2", "settle_seconds: 0.3"))
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: daemon.log().count('"daemon.ready"') == 2)
        studio.drop("a.jpg")
        wait_until(lambda: files_in(studio.folder("outbox")) == ["a.jpg"])
        assert started() == before
