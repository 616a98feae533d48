"""A program: writes docs/status-page.png, what the page looks like on a day of a studio that is played here."""

import io
import random
import tempfile
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from browser import SECONDS, browser
from cli_studio import Studio, quarantined_order
from contents import files_in
from free_ports import free_port
from PIL import Image
from played_clock import PlayedClock
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait
from waiting import wait_until

from watchfolder.journal import Journal
from watchfolder.order import Result, State
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

TARGET = Path(__file__).parents[2] / "docs/status-page.png"
NAMES = (
    *("Harbour at dawn", "Hills near Siena", "Lake, first snow", "Evening over the bay"),
    *("Vineyard, October", "Pass road", "Last light", "Fog in the valley"),
    *("Old town", "Ferry, 6 am", "Olive grove", "Storm coming"),
)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="studio-") as folder, Sandbox(processing_seconds=0.1) as sandbox:
        studio = Studio(Path(folder), sandbox.url)
        port = free_port()
        tree = yaml.safe_load(studio.config.read_text(encoding="utf-8")) | {"http": {"listen": f"127.0.0.1:{port}"}}
        studio.config.write_text(yaml.safe_dump(tree), encoding="utf-8")
        live_through_a_day(str(studio.folder("state")))
        studio.set_aside("IMG_0417.jpg")
        with studio.daemon():
            for seed, name in enumerate(NAMES):
                studio.drop(f"{name}.jpg", sample("jpeg", width=1280, height=960, seed=seed))
            wait_until(lambda: len(files_in(studio.folder("originals"))) == len(NAMES))
            sandbox.processing_seconds = 600.0
            for seed in range(12):
                studio.drop(f"Wedding {seed + 1}.jpg", sample("jpeg", width=640, height=480, seed=seed))
            wait_until(lambda: len(sandbox.orders) > 1 and all(order.is_confirmed for order in sandbox.orders.values()))
            take(f"http://127.0.0.1:{port}/")


def live_through_a_day(state_dir: str) -> None:
    """Write the history of deliveries that are older than this run."""
    chance = random.Random(7)  # noqa: S311 - a drawing
    now = datetime.now(UTC)
    for quarter in range(90, 5, -1):
        at = now - timedelta(minutes=15 * quarter)
        if not 8 <= at.astimezone().hour < 19 or chance.random() < 0.3:
            continue
        order = quarantined_order("a.jpg", why=None, key=str(uuid.uuid4()), state=State.COMPLETED)
        (file,) = order.files
        result = Result(delivery="a.jpg", delivered_at=at, size=file.size, sha256="0" * 64)
        files = (file.having(results=(result,)),) * chance.randint(1, 40)
        journal = Journal(state_dir, PlayedClock(at))
        order = journal.advance(journal.enter(order.having(files=files)), State.DELIVERED)
        journal.record(order)
        journal.forget(order)


def take(url: str) -> None:
    with browser(size=(1000, 1475)) as driver:
        driver.get(url)
        loaded = "return [...document.images].every(image => image.naturalWidth)"
        WebDriverWait(driver, SECONDS).until(
            lambda seen: seen.find_elements(By.CSS_SELECTOR, ".orders") and seen.execute_script(loaded)
        )
        with Image.open(io.BytesIO(driver.get_screenshot_as_png())) as shot:
            shot.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
                TARGET, optimize=True
            )


if __name__ == "__main__":
    main()
