"""The status page in a real browser: what a person sees, presses, and is never harmed by."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from cli_studio import Studio
from contents import files_in
from free_ports import free_port
from waiting import wait_until

from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample
from watchfolder.web.thumbnails import EDGE_PIXELS

pytest.importorskip("selenium", reason="pip install -e '.[test]'")

from browser import SECONDS, browser, require_browser
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.wait import WebDriverWait

if TYPE_CHECKING:
    import subprocess

    from warm_watchfolder import Fork

pytestmark = pytest.mark.lab

HOSTILE = "<img src=x onerror=document.title='pwned'>\n\u202egpj.jpg"
ESCAPED = "<img src=x onerror=document.title='pwned'>\\n\\u202egpj.jpg"


@dataclass
class Shown:
    studio: Studio
    url: str
    process: "Fork | subprocess.Popen[bytes]"

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Shown]:
    """Give a running daemon whose page is served, with a hostile name in quarantine."""
    require_browser()
    with Sandbox(processing_seconds=0.1) as sandbox:
        studio = Studio(tmp_path, sandbox.url)
        port = free_port()
        tree = yaml.safe_load(studio.config.read_text(encoding="utf-8")) | {"http": {"listen": f"127.0.0.1:{port}"}}
        studio.config.write_text(yaml.safe_dump(tree), encoding="utf-8")
        studio.set_aside(HOSTILE)
        with studio.daemon() as daemon:
            yield Shown(studio, f"http://127.0.0.1:{port}/", daemon.process)


def text_of(driver: WebDriver) -> str:
    return driver.find_element(By.TAG_NAME, "main").text


def until_shown(driver: WebDriver, text: str) -> None:
    while_loading = (StaleElementReferenceException,)
    wait = WebDriverWait(driver, SECONDS, ignored_exceptions=while_loading)
    wait.until(lambda seen: text in text_of(seen), f"never shown: {text}")


def test_the_page_follows_what_happens_without_being_loaded_again(shown: Shown) -> None:
    with browser() as driver:
        driver.get(shown.url)
        until_shown(driver, "need")
        driver.execute_script("window.mark = 1; document.querySelector('h1').mark = 1")
        shown.studio.drop("new one.jpg", sample("jpeg", width=900, height=600, seed=3))
        until_shown(driver, "Left before, right after")
        assert "new one.jpg" in text_of(driver)
        assert driver.execute_script("return [window.mark, document.querySelector('h1').mark]") == [1, 1]
        last = driver.find_element(By.CSS_SELECTOR, ".deliveries")
        driver.execute_script("arguments[0].scrollIntoView()", last)
        width = "return [...document.querySelectorAll('.pair img')].map(image => image.naturalWidth)"
        WebDriverWait(driver, SECONDS).until(lambda seen: seen.execute_script(width) == [320, 320])
        log = driver.get_log("browser")  # type: ignore[no-untyped-call]  # selenium's
        assert [entry for entry in log if "favicon" not in entry["message"]] == []


def test_a_hostile_name_is_text_and_its_button_brings_it_back(shown: Shown) -> None:
    with browser() as driver:
        driver.get(shown.url)
        until_shown(driver, ESCAPED)
        assert driver.find_elements(By.CSS_SELECTOR, "img[src=x]") == []
        driver.find_element(By.CSS_SELECTOR, ".quarantine button").click()
        until_shown(driver, "is back in its inbox")
        WebDriverWait(driver, SECONDS).until(lambda seen: not seen.find_elements(By.CSS_SELECTOR, ".quarantine"))
        wait_until(lambda: files_in(shown.studio.folder("outbox")) == [HOSTILE])
        assert files_in(shown.studio.folder("quarantine")) == []
        assert "pwned" not in driver.title


def test_a_button_that_is_refused_says_why(shown: Shown) -> None:
    press = "const form = document.querySelector('.quarantine form'); form.token.value = 'old'; "
    press += "form.querySelector('button').click()"
    with browser() as driver:
        driver.get(shown.url)
        until_shown(driver, ESCAPED)
        driver.execute_script(press)
        refused = driver.find_element(By.ID, "refused")
        WebDriverWait(driver, SECONDS).until(lambda _: "load it again" in refused.text)
        driver.find_element(By.CSS_SELECTOR, ".quarantine button").click()
        until_shown(driver, "is back in its inbox")
        assert not refused.is_displayed()


def test_without_scripts_it_shows_the_same_and_the_button_works(shown: Shown) -> None:
    with browser() as driver:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        driver.get(shown.url)
        assert ESCAPED in text_of(driver)
        driver.find_element(By.CSS_SELECTOR, ".quarantine button").click()
        until_shown(driver, "is back in its inbox")


def test_it_is_readable_in_the_dark_and_on_a_phone(shown: Shown) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    with browser() as light:
        light.get(shown.url)
        assert light.execute_script(ground) == "rgb(246, 245, 242)"
    with browser(is_dark=True, size=(360, 740)) as dark:
        dark.get(shown.url)
        until_shown(dark, ESCAPED)
        assert dark.execute_script(ground) == "rgb(22, 22, 21)"
        assert dark.execute_script("return document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("letters", ["16px", "24px"])
def test_the_drawing_can_be_read_on_a_phone_in_letters_of_any_size(shown: Shown, letters: str) -> None:
    boxes = """return [...document.querySelectorAll("figure, figure p, .hours span")]
        .map(each => each.getBoundingClientRect())"""
    with browser(size=(360, 740)) as driver:
        driver.get(shown.url)
        driver.execute_script(f"document.documentElement.style.fontSize = '{letters}'")
        drawing, *texts = driver.execute_script(boxes)
        assert len(texts) == 6
        sizes = "return [...document.querySelectorAll('figure p')].map(each => getComputedStyle(each).fontSize)"
        assert all(float(size.removesuffix("px")) >= 10 for size in driver.execute_script(sizes))
        for text in texts:
            assert drawing["left"] <= text["left"]
            assert text["right"] <= drawing["right"]
            assert drawing["top"] <= text["top"]
            assert text["bottom"] <= drawing["bottom"]
        assert all(hour["right"] <= after["left"] for hour, after in pairwise(texts[2:]))
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 360


def test_a_delivery_that_was_taken_out_leaves_no_broken_picture(shown: Shown) -> None:
    with browser() as driver:
        shown.studio.drop("gone.png", sample("png", width=300, height=900, seed=3))
        wait_until(lambda: files_in(shown.studio.folder("outbox")) == ["gone.png"])
        (shown.studio.folder("outbox") / "gone.png").unlink()
        sizes = "return [...document.querySelectorAll('.pair img')].map(each => [each.complete, each.naturalHeight])"

        def shows_both(seen: WebDriver) -> bool:  # a machine under load makes a preview for another look
            seen.get(shown.url)
            until_shown(seen, "Left before, right after")
            seen.execute_script("arguments[0].scrollIntoView()", seen.find_element(By.CSS_SELECTOR, ".deliveries"))
            WebDriverWait(seen, SECONDS).until(lambda _: all(complete for complete, _ in seen.execute_script(sizes)))
            (_, before), (_, after) = seen.execute_script(sizes)
            return bool(before == EDGE_PIXELS and after)

        WebDriverWait(driver, SECONDS).until(shows_both)
        fit = "return getComputedStyle(document.querySelector('.pair img')).objectFit"
        assert driver.execute_script(fit) == "contain", "an upright picture is cut"


def test_it_says_so_when_nobody_answers_any_more(shown: Shown) -> None:
    with browser() as driver:
        driver.get(shown.url)
        until_shown(driver, ESCAPED)
        tree = yaml.safe_load(shown.studio.config.read_text(encoding="utf-8")) | {"http": None}
        shown.studio.config.write_text(yaml.safe_dump(tree), encoding="utf-8")
        shown.reload()
        silent = driver.find_element(By.ID, "silent")
        WebDriverWait(driver, SECONDS).until(lambda _: silent.is_displayed())
        assert ESCAPED in text_of(driver)
