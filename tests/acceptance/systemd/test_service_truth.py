"""Under a real systemd all surfaces say the same, and what they say to type works as it stands."""

import re
import urllib.error
import urllib.request
from dataclasses import dataclass

import pytest
from free_ports import free_port
from installation import DROPINS, Installation, disks, picture, program, sandbox, watchfolder
from telling import AS_ROOT, SECONDS, Teller, flat
from waiting import wait_until

from watchfolder.report.conditions import ConditionKind, told

__all__ = ["disks", "program", "sandbox", "watchfolder"]

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]  # the first one may wait for debootstrap

NEW_KEY = "sk_new_0123456789"


@dataclass
class UnderSystemd:
    installation: Installation
    port: int

    def type(self, command: str) -> str:
        """Type it in a root's shell; the words of a command that ends well."""
        return self.installation.machine.run("sh", "-c", f"cd / && COLUMNS=9999 && export COLUMNS && {command}")

    def fetched(self, path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.read().decode()
        except OSError:
            return ""

    def others(self) -> list[str]:
        return [self.installation.facts()["StatusText"]]

    def configure(self, **photos: object) -> None:
        self.installation.config["inboxes"]["photos"] |= photos
        self.installation.write_config()

    def log(self) -> str:
        return self.type("journalctl -u watchfolder")


@pytest.fixture
def machine(watchfolder: Installation) -> UnderSystemd:
    port = free_port()
    watchfolder.config["http"] = {"listen": f"127.0.0.1:{port}"}
    watchfolder.config["api"]["blocked_probe_seconds"] = 1
    watchfolder.write_config()
    watchfolder.start()
    return UnderSystemd(watchfolder, port)


def test_under_systemd_each_command_is_typed_as_it_stands(machine: UnderSystemd) -> None:
    teller = Teller(machine, "watchfolder")
    teller.expect_well()
    for play in (
        *(_a_slip, _stopped, _another_key, _no_credits, _a_moved_state, _an_inbox_elsewhere, _another_folder),
        *(_a_closed_folder, _too_many, _a_lost_state, _the_key_of_the_environment),
    ):
        play(machine, teller)
        teller.expect_well()


def _a_slip(machine: UnderSystemd, teller: Teller) -> None:
    machine.configure(settle_seconds="soon")
    with pytest.raises(AssertionError, match="failed"):
        machine.type("systemctl reload watchfolder")
    wait_until(lambda: teller.conditions(ConditionKind.CONFIGURATION_REFUSED), SECONDS, "it is refused")
    (found,) = teller.conditions(ConditionKind.CONFIGURATION_REFUSED)
    sentence = told([found])
    assert "settle_seconds" in sentence
    assert sentence in flat(machine.fetched("/healthz"))
    assert sentence in teller.page()
    wait_until(lambda: sentence in machine.others()[0], SECONDS, "systemd says so")
    assert "runs on with the configuration before this one" in machine.type("watchfolder status || true")
    assert "config.refused" in machine.log()
    machine.configure(settle_seconds=0.3)
    assert found.command == "systemctl reload watchfolder"
    machine.type(found.command)


def _stopped(machine: UnderSystemd, teller: Teller) -> None:
    machine.type("systemctl stop watchfolder")
    assert "Start it: systemctl start watchfolder (as root)" in teller.status()
    machine.type("systemctl start watchfolder")


def _another_key(machine: UnderSystemd, teller: Teller) -> None:
    machine.installation.sandbox.keys = [NEW_KEY]
    machine.installation.drop("key.jpg", picture(2))
    found = teller.expect(ConditionKind.KEY_REFUSED, "/etc/watchfolder/api-key, then systemctl restart watchfolder")
    machine.installation.machine.path("/etc/watchfolder/api-key").write_text(NEW_KEY)
    teller.do(found)


def _no_credits(machine: UnderSystemd, teller: Teller) -> None:
    machine.installation.sandbox.credits_left = 0
    machine.installation.drop("credits.jpg", picture(3))
    found = teller.expect(ConditionKind.SERVICE_REFUSES, "within 1 s, or at once after systemctl reload watchfolder")
    machine.installation.sandbox.credits_left = None
    teller.do(found)


def _a_moved_state(machine: UnderSystemd, teller: Teller) -> None:
    machine.installation.config["state_dir"] = "/var/lib/elsewhere"
    machine.installation.write_config()
    with pytest.raises(AssertionError, match="failed"):
        machine.type("systemctl reload watchfolder")
    assert "to move it, stop watchfolder" in machine.type("watchfolder status 2>&1 || true")
    wait_until(lambda: "to move it, stop" in teller.page(), SECONDS, "the page says so")
    elsewhere, state = "/var/lib/elsewhere", "/var/lib/watchfolder"
    machine.type(f"systemctl stop watchfolder && cp -a {state} {elsewhere} && rm -rf {state}/*")  # it is a mount here
    (told,) = re.findall("FAIL state_dir: .*; to let it, as root: (.*)", machine.type("watchfolder check || true"))
    machine.type(told)
    teller.expect_well()
    assert "FAIL" not in machine.type("watchfolder check")
    machine.type(f"systemctl stop watchfolder && cp -a {elsewhere}/. {state} && rm -r {elsewhere}")
    machine.installation.config["state_dir"] = state
    machine.installation.write_config()
    machine.type(f"rm {DROPINS}/more-folders.conf; systemctl daemon-reload; systemctl start watchfolder")


def _an_inbox_elsewhere(machine: UnderSystemd, teller: Teller) -> None:
    folders = {role: f"/srv/press/{role}" for role in ("path", "outbox", "quarantine", "originals")}
    machine.type(f"install -d -g photos -m 2775 {' '.join(folders.values())}")
    inboxes = machine.installation.config["inboxes"]
    inboxes["press"] = inboxes["photos"] | folders
    machine.installation.write_config()
    machine.type("systemctl reload watchfolder")
    found = teller.expect(
        ConditionKind.FOLDER_AWAY, "press (", "it is read-only", "watchfolder check says what is in the way"
    )
    (told,) = re.findall("FAIL press: .*; to let it, as root: (.*)", machine.type(f"{found.command} || true"))
    machine.type(told)
    teller.expect_well()
    inboxes.pop("press")
    machine.installation.write_config()
    machine.type(f"rm {DROPINS}/more-folders.conf; systemctl daemon-reload; systemctl restart watchfolder")


def _another_folder(machine: UnderSystemd, teller: Teller) -> None:
    (machine.installation.photos / "protected/.watchfolder-id").write_text(f"{0:032x}\n")
    found = teller.expect(ConditionKind.FOLDER_AWAY, "another folder lies in its place")
    machine.type(AS_ROOT.findall(found.words)[0])


def _a_closed_folder(machine: UnderSystemd, teller: Teller) -> None:
    machine.type("chown root:root /srv/photos/protected && chmod 755 /srv/photos/protected")
    machine.installation.drop("closed.jpg", picture(4))
    found = teller.expect(ConditionKind.FOLDER_AWAY, "we may not write there")
    machine.type(AS_ROOT.findall(found.words)[0])


def _too_many(machine: UnderSystemd, teller: Teller) -> None:
    machine.configure(budget={"burst": {"files": 1, "minutes": 10}})
    machine.type("systemctl reload watchfolder")
    for seed in (5, 6, 7):
        machine.installation.drop(f"{seed}.jpg", picture(seed))
    teller.do(teller.expect(ConditionKind.HELD, "as root, run: watchfolder release photos"))
    teller.expect_well()
    machine.installation.config["inboxes"]["photos"].pop("budget")
    machine.installation.write_config()
    machine.type("systemctl reload watchfolder")


def _a_lost_state(machine: UnderSystemd, teller: Teller) -> None:
    machine.type("systemctl stop watchfolder; rm -rf /var/lib/watchfolder/* && systemctl start watchfolder")
    found = teller.expect(ConditionKind.FOLDER_AWAY, "another watchfolder works here")
    machine.type(AS_ROOT.findall(found.words)[0])


def _the_key_of_the_environment(machine: UnderSystemd, teller: Teller) -> None:
    def set_key(key: str) -> None:
        lines = f"[Service]\nLoadCredential=\nEnvironment=BIZMORI_API_KEY={key}\n"
        machine.installation.machine.path(f"{DROPINS}/zz-key.conf").write_text(lines)

    set_key("sk_old_0123456789")
    machine.type("systemctl daemon-reload && systemctl restart watchfolder")
    machine.installation.drop("environment.jpg", picture(8))
    found = teller.expect(ConditionKind.KEY_REFUSED, "Write the right BIZMORI_API_KEY into the unit's environment")
    set_key(NEW_KEY)
    teller.do(found)
