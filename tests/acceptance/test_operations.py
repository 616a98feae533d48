"""docs/operations.md, situation by situation: brought about for real, and compared with what the document says."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_studio import PICTURE, Studio, sandbox, studio
from share_studio import skip_unless_possible
from waiting import wait_until

from watchfolder import config
from watchfolder.report.conditions import conditions, headline
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample
from watchfolder.snapshot import Snapshot

__all__ = ["sandbox", "studio"]

DOCUMENT = Path(__file__).parents[2] / "docs" / "operations.md"
SITUATION = re.compile(r"^## (\d+)\. (.*?)$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
BOX = re.compile(r"^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PHOTOSHOP = b"8BPS\0\1" + bytes(4000)
BY_HAND = {
    "Write the right key into …, then systemctl restart watchfolder (as root)": (
        "Export the right BIZMORI_API_KEY in a shell, then kill … there"
    ),
    "systemctl reload watchfolder (as root)": "kill -HUP …",
    "systemctl restart watchfolder (as root)": "kill … && while kill -0 … 2>/dev/null; do sleep 1; done; …",
    "systemctl start watchfolder (as root)": "… run -c …",
    "as root, run: systemctl stop watchfolder && watchfolder run --once --adopt; systemctl start watchfolder": (
        "run: kill … && while kill -0 … 2>/dev/null; do sleep 1; done; … run -c … --once --adopt; … run -c …"
    ),
}


pytestmark = pytest.mark.lab


def said(number: int) -> list[str]:
    """Return the sentences that the document shows for a situation."""
    boxes = {int(found[1]): BOX.findall(found[3]) for found in SITUATION.finditer(DOCUMENT.read_text(encoding="utf-8"))}
    return [line for box in boxes[number] for line in box.splitlines()]


def is_said(sentence: str, number: int) -> bool:
    return any(re.fullmatch(re.escape(by_hand(line)).replace("…", ".*"), sentence) for line in said(number))


def by_hand(line: str) -> str:
    """Return how that is said where systemd has no part in it, and the configuration is none that is found."""
    for installed, here in BY_HAND.items():
        line = line.replace(installed, here)
    return re.sub(r"(as root, )?run: watchfolder (\w+)|watchfolder (retry|check)", _called, line)


def _called(found: re.Match[str]) -> str:
    return f"run: … {found[2]} -c …" if found[2] else f"… {found[3]} -c …"


def wait_for(studio: Studio, number: int) -> None:
    """Wait until the status begins with a sentence of this situation."""
    seen: list[str] = []

    def holds() -> bool:
        seen.append(studio.headline())
        return is_said(seen[-1], number)

    try:
        wait_until(holds)
    except AssertionError:
        pytest.fail(f"the document says {said(number)}, the status says {seen[-1]!r}")


def test_the_document_has_eleven_situations_and_lists_each() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    found = [(int(number), title) for number, title, _ in SITUATION.findall(text)]
    assert [number for number, _ in found] == list(range(1, 12))
    for number, title in found:
        anchor = re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")
        assert f"[{number}](#{number}-{anchor})" in text


def test_1_a_file_stays_in_the_inbox(studio: Studio) -> None:
    studio.drop("cut.jpg", PICTURE[:-30])
    studio.drop("invoice.pdf", b"%PDF-1.4 no picture")
    with studio.daemon():
        wait_for(studio, 1)
        for name in ("cut.jpg", "invoice.pdf"):
            assert is_said(studio.run("explain", str(studio.folder("inbox") / name)).stdout.strip(), 1)


def test_2_a_picture_is_in_quarantine(studio: Studio) -> None:
    studio.drop("poster.psd", PHOTOSHOP)
    with studio.daemon():
        wait_for(studio, 2)


def test_3_the_key_is_refused(studio: Studio, sandbox: Sandbox) -> None:
    sandbox.faults.add("any", "answer", times=None, status=401, code="AUTH_TOKEN_EXPIRED")
    studio.drop("a.jpg")
    with studio.daemon():
        wait_for(studio, 3)


def test_4_the_credits_are_used_up(studio: Studio, sandbox: Sandbox) -> None:
    sandbox.faults.add("create", "answer", times=None, status=429, code="USAGE_NOT_ENOUGH")
    studio.drop("a.jpg")
    with studio.daemon():
        wait_for(studio, 4)


def test_5_the_service_does_not_answer(studio: Studio, sandbox: Sandbox) -> None:
    sandbox.faults.add("any", "answer", times=None, status=503)
    for seed in range(6):
        studio.drop(f"{seed}.jpg", sample("jpeg", width=64, height=48, seed=seed))
    with studio.daemon():
        wait_for(studio, 5)


def _unmount(outbox: Path) -> None:
    outbox.rename(outbox.with_name("elsewhere"))
    outbox.mkdir()


def _exchange(outbox: Path) -> None:
    (outbox / ".watchfolder-id").write_text(f"{0:032x}\n", encoding="ascii")


@pytest.mark.parametrize("happens", [_unmount, _exchange])
def test_6_a_share_is_away_or_another_one(studio: Studio, happens: Callable[[Path], None]) -> None:
    with studio.daemon():
        wait_until((studio.folder("outbox") / ".watchfolder-id").exists)
        happens(studio.folder("outbox"))
        studio.drop("a.jpg")
        wait_for(studio, 6)


@pytest.mark.parametrize("how", ["size=32k", "ro"])
def test_7_a_folder_is_full_or_read_only(studio: Studio, how: str) -> None:
    skip_unless_possible(is_network=False)
    outbox = str(studio.folder("outbox"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", how, "none", outbox], check=True, timeout=30)
    try:
        studio.drop("large.jpg", sample("jpeg", width=640, height=480, seed=1))
        with studio.daemon():
            wait_for(studio, 7)
    finally:
        subprocess.run(["umount", "--lazy", outbox], check=True, timeout=30)


def test_7_a_folder_is_closed_to_us(sandbox: Sandbox) -> None:
    skip_unless_possible(is_network=False)
    with tempfile.TemporaryDirectory(prefix="watchfolder-operations-") as root:
        os.chmod(root, 0o755)  # noqa: S103 - pytest's own folders are closed to other users
        studio = Studio(Path(root), sandbox.url)
        subprocess.run(["chown", "-R", "nobody", root], check=True, timeout=30)  # the daemon acts as its owner
        with studio.daemon():
            wait_until((studio.folder("outbox") / ".watchfolder-id").exists)
            os.chown(studio.folder("outbox"), 0, 0)
            studio.drop("a.jpg")
            wait_for(studio, 7)


def test_8_the_brake_holds_an_inbox(studio: Studio) -> None:
    studio.configure(budget={"burst": {"files": 3, "minutes": 10}})
    for seed in range(9):
        studio.drop(f"{seed}.jpg", sample("jpeg", width=64, height=48, seed=seed))
    with studio.daemon():
        wait_for(studio, 8)


def test_9_it_is_not_running(studio: Studio) -> None:
    wait_for(studio, 9)


def test_10_the_state_was_lost(studio: Studio) -> None:
    with studio.daemon():
        wait_until(lambda: list((studio.folder("inbox") / ".watchfolder").glob("*")))
    shutil.rmtree(studio.folder("state"))
    studio.folder("state").mkdir()
    with studio.daemon():
        wait_for(studio, 10)


def test_11_the_configuration_was_refused(studio: Studio) -> None:
    before = config.load(str(studio.config), studio.environment)

    def seen() -> Snapshot:
        return Snapshot.model_validate_json((studio.folder("state") / "status.json").read_bytes())

    studio.drop("a.jpg")
    with studio.daemon() as daemon:
        right = studio.config.read_text()
        studio.config.write_text(right.replace("settle_seconds: 0.2", "settle_seconds: soon"))
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: seen().refused)
        assert is_said(headline(conditions(seen(), before)), 11)
        assert studio.run("check", "--configuration").returncode == 78
        done = studio.run("status")
        assert done.returncode == 78
        assert is_said(done.stderr.splitlines()[-1], 11)
        studio.config.write_text(right)
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: not seen().refused)
        assert studio.run("status").returncode == studio.run("check", "--configuration").returncode == 0
