"""In a real container all surfaces say the same, and what they say to type works as it stands."""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from engine import SANDBOX, Engine, engine
from installation import steps
from running import picture
from telling import AS_ROOT, SECONDS, Teller
from test_typed_lines import repository
from waiting import wait_until

from watchfolder.report.conditions import ConditionKind, told

__all__ = ["engine"]

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]  # the image is built first


@dataclass
class InContainer:
    engine: Engine
    copy: Path

    def type(self, command: str) -> str:
        return self.engine.type(command, at=self.copy)

    def fetched(self, path: str) -> str:
        password = (self.copy / "config/page-password").read_text().strip()
        address = shlex.quote(f"http://127.0.0.1:8686{path}")
        return self.type(f"curl --silent --user {shlex.quote(f'any:{password}')} {address} || true")

    def others(self) -> list[str]:
        return []

    @property
    def photos(self) -> Path:
        return self.copy / "photos"

    def configure(self, change: Callable[[dict[str, Any]], object]) -> None:
        path = self.copy / "config/config.yaml"
        tree = yaml.safe_load(path.read_text())
        change(tree)
        path.write_text(yaml.safe_dump(tree))

    def reload(self) -> None:
        def counted() -> int:
            return self.type("docker logs watchfolder 2>&1").count("config.re")

        before = counted()
        self.type("docker kill -s HUP watchfolder")
        wait_until(lambda: counted() > before, SECONDS, "it is read anew")

    def refuse_key(self, *, is_refused: bool) -> None:
        """Let the service take no key, or any again."""
        fault = {"operation": "any", "does": "answer", "times": None, "status": 401, "code": "AUTH_TOKEN_EXPIRED"}
        what = f"faults --data {shlex.quote(json.dumps(fault))}" if is_refused else "reset"
        process = self.type("podman inspect --format '{{.State.Pid}}' watchfolder").strip()
        self.type(f"nsenter --target={process} --net curl --silent --fail --request POST {SANDBOX}/_sandbox/{what}")

    def drop(self, seed: int) -> None:
        path = self.photos / "inbox" / f"{seed}.jpg"
        path.write_bytes(picture(seed))


@pytest.fixture
def container(engine: Engine, tmp_path: Path) -> Iterator[tuple[InContainer, str]]:
    copy = repository(tmp_path / "watchfolder")
    compose = copy / "compose.yaml"
    once_a_second = "WATCHFOLDER__INBOXES__PHOTOS__SCAN_SECONDS: 1"
    compose.write_text(compose.read_text().replace("TZ: Etc/UTC", f"TZ: Etc/UTC\n      {once_a_second}"))
    place = InContainer(engine, copy)
    place.type(steps("docs/install/docker.md", "Start")[0].replace("cat ", "sleep 3; cat "))
    with engine.served("watchfolder") as key:
        (copy / "config/api-key").write_text(f"{key}\n")
        wait_until((copy / "photos/inbox").is_dir, SECONDS, "it runs")
        yield place, key


def test_in_a_container_each_command_is_typed_as_it_stands(container: tuple[InContainer, str]) -> None:
    place, key = container
    teller = Teller(place, "docker exec --env COLUMNS=9999 watchfolder watchfolder")
    teller.expect_well()

    (place.copy / "config/api-key").write_text("wrong_0123456789\n")
    place.reload()
    refused = teller.expect(ConditionKind.CONFIGURATION_REFUSED, "api.key_file", "then docker kill -s HUP watchfolder")
    (place.copy / "config/api-key").write_text(f"{key}\n")
    teller.do(refused)
    teller.expect_well()

    token = place.photos / "protected/.watchfolder-id"
    token.write_text(f"{0:032x}\n")
    away = teller.expect(ConditionKind.FOLDER_AWAY, "run: docker exec watchfolder watchfolder check --accept ")
    place.type(re.findall(r"run: (docker exec [^()]+)\)", away.words)[0])
    teller.expect_well()

    place.type("chown root:root photos/protected && chmod 755 photos/protected")
    place.drop(2)
    closed = teller.expect(ConditionKind.FOLDER_AWAY, "run: docker exec -u 0 watchfolder sh -c ")
    place.type(AS_ROOT.findall(closed.words)[0])
    teller.expect_well()

    place.configure(lambda tree: tree["inboxes"]["photos"].update(budget={"burst": {"files": 1, "minutes": 10}}))
    place.reload()
    for seed in (3, 4, 5):
        place.drop(seed)
    teller.do(teller.expect(ConditionKind.HELD, "docker exec watchfolder watchfolder release photos"))
    teller.expect_well()

    place.refuse_key(is_refused=True)
    place.drop(6)
    other = teller.expect(ConditionKind.KEY_REFUSED, "key into /config/api-key, then docker kill -s HUP watchfolder")
    place.refuse_key(is_refused=False)
    (place.copy / "config/api-key").write_text("sk_new_0123456789\n")
    teller.do(other)
    teller.expect_well()

    place.configure(lambda tree: tree["inboxes"]["photos"].update(settle_seconds="soon"))
    place.reload()
    wait_until(lambda: teller.conditions(ConditionKind.CONFIGURATION_REFUSED), SECONDS, "it is refused")
    (wrong,) = teller.conditions(ConditionKind.CONFIGURATION_REFUSED)
    assert told([wrong]) in teller.page()
    place.configure(lambda tree: tree["inboxes"]["photos"].pop("settle_seconds"))
    place.type(wrong.command)
    teller.expect_well()

    place.type("docker stop watchfolder && rm -r config/state && docker start watchfolder")
    lost = teller.expect(ConditionKind.FOLDER_AWAY, "another watchfolder works here", "--volumes-from watchfolder")
    place.type(re.findall(r"for good, run: (docker stop [^()]+)\)", lost.words)[0])
    teller.expect_well()
