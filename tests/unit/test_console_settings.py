"""The configuration as the commands read it."""

import subprocess
import sys
from pathlib import Path

import pytest

from watchfolder.console import settings
from watchfolder.errors import ConfigError
from watchfolder.events import redacted

TEST_KEY = {"BIZMORI_API_KEY": "sk_test_0123456789"}


@pytest.fixture
def write(tmp_path: Path) -> str:
    return str(tmp_path / "config.yaml")


def configured(path: str, **api: object) -> str:
    lines = "".join(f"  {key}: {value}\n" for key, value in api.items())
    Path(path).write_text(
        f"api:\n{lines or '  {}'}\ninboxes:\n  a: {{path: /a/in, outbox: /a/out, quarantine: /a/q}}\n", encoding="utf-8"
    )
    return path


def test_a_test_key_for_the_real_service_is_refused(write: str) -> None:
    with pytest.raises(ConfigError, match=r"api\.allow_test_key.*sample pictures"):
        settings.read_for_work(configured(write), TEST_KEY)


def test_a_test_key_that_is_allowed_is_taken(write: str) -> None:
    assert settings.read_for_work(configured(write, allow_test_key="true"), TEST_KEY).api.has_sample_results


def test_a_test_key_for_this_machine_is_taken(write: str) -> None:
    path = configured(write, base_url="http://127.0.0.1:8642")
    assert settings.read_for_work(path, TEST_KEY).api.mode == "test"


def test_a_key_that_was_read_is_secret_from_then_on(write: str) -> None:
    settings.read_for_work(configured(write), {"BIZMORI_API_KEY": "sk_0123456789abcdef"})
    assert "0123456789abcdef" not in redacted("Bearer sk_0123456789abcdef")


def with_address(path: str, url: str) -> str:
    configured(path)
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"notify: ['{url}']\n")
    return path


def test_an_address_that_was_read_is_secret_from_then_on(write: str) -> None:
    url = "slack://T1JJ3T3L2C/A1BRTD4JDX/TIiajkdnlazkcOXrIdevi7FQ"
    settings.read_for_work(with_address(write, url), {"BIZMORI_API_KEY": "sk_0123456789abcdef"})
    assert url not in redacted(f"posting to {url} failed")
    assert "TIiajkdnlazkcOXrIdevi7FQ" not in redacted("POST /services/TIiajkdnlazkcOXrIdevi7FQ HTTP/1.1")


def test_the_host_of_a_heartbeat_may_be_named_and_the_rest_may_not(write: str) -> None:
    configured(write)
    with Path(write).open("a", encoding="utf-8") as file:
        file.write("heartbeat_url: https://monitor.of.my.studio.example/8d6f4a1c-5c0f-4f0a\n")
    settings.read_for_work(write, {"BIZMORI_API_KEY": "sk_0123456789abcdef"})
    said = redacted("monitor.of.my.studio.example stopped answering /8d6f4a1c-5c0f-4f0a")
    assert said == "monitor.of.my.studio.example stopped answering /sk_…"


def test_a_run_without_addresses_never_loads_apprise(write: str) -> None:
    program = (
        "import sys; from watchfolder.console import cli, settings; from watchfolder.notify import Alarms\n"
        "from watchfolder.counters import Counters\n"
        f"found = settings.read_for_work({configured(write)!r}, {{'BIZMORI_API_KEY': 'sk_0123456789abcdef'}})\n"
        "alarms = Alarms(Counters(())); alarms.follow(found); alarms.close()\n"
        "sys.exit('apprise' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0
