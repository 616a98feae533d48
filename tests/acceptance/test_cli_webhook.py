"""The service pushes to the real daemon: registered, tried out, delivered, stopped and removed by an operator."""

import json
import re
import signal
import stat
import sys
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli_studio import Daemon, Studio
from contents import files_in
from free_ports import free_port
from receiver import Receiver, receiving
from typing_extensions import override
from waiting import wait_until

from watchfolder.command_line import Advised
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

DONE, USAGE, UNFINISHED, CONFIG = 0, 2, 75, 78


class Pushed(Studio):
    """A studio whose daemon listens for pushes; what stands between it and the service is `public_url`."""

    def listen(self, public_url: str = "") -> None:
        port = free_port()
        self.listener = f"127.0.0.1:{port}"
        self.secret_file = self.root / "state" / "webhook-secret"
        tree = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        tree["http"] = {"listen": self.listener}
        tree["webhook"] = {
            "public_url": public_url or f"http://{self.listener}",
            "secret_file": str(self.secret_file),
        }
        self.config.write_text(yaml.safe_dump(tree), encoding="utf-8")

    def webhook(self, *arguments: str) -> tuple[int, str]:
        done = self.run("webhook", *arguments)
        return done.returncode, done.stdout + done.stderr

    @override
    def command(self, *arguments: str) -> list[str]:
        if arguments[0] == "webhook":  # a group, whose commands take -c
            return [sys.executable, "-m", "watchfolder", *arguments, "-c", str(self.config)]
        return super().command(*arguments)

    def pushes(self) -> dict[str, int]:
        with urllib.request.urlopen(f"http://{self.listener}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        found = re.findall(r'^watchfolder_pushes_total\{outcome="(\w+)"\} ([\d.]+)$', text, re.MULTILINE)
        return {outcome: int(float(number)) for outcome, number in found}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(processing_seconds=0.3, processing_spread_seconds=3.0) as running:
        yield running


@pytest.fixture
def studio(tmp_path: Path, sandbox: Sandbox) -> Pushed:
    studio = Pushed(tmp_path, sandbox.url)
    studio.listen()
    return studio


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def ask(sandbox: Sandbox, key: str, body: dict[str, object] | None = None) -> Any:  # noqa: ANN401 - foreign JSON
    """List the webhooks of `key`'s account, or register one more."""
    request = urllib.request.Request(f"{sandbox.url}/api/v2/orders/webhooks")  # noqa: S310 - http, to the sandbox
    request.add_header("Authorization", f"Bearer {key}")
    request.add_header("Content-Type", "application/json")
    sent = json.dumps(body).encode() if body else None
    with urllib.request.urlopen(request, sent, timeout=30) as answer:  # noqa: S310 - as above
        return json.load(answer)["data"]


@pytest.fixture
def others(studio: Pushed, sandbox: Sandbox) -> Callable[[int], None]:
    """Register so many webhooks of other programs of the account."""
    studio.environment = {"BIZMORI_API_KEY": sandbox.key}

    def register(count: int) -> None:
        for _ in range(count):
            ask(sandbox, sandbox.key, {"url": f"https://{len(sandbox.webhooks)}.example.com/webhooks/bizmori"})

    return register


def reload(daemon: Daemon) -> None:
    before = daemon.log().count("config.reloaded")
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: daemon.log().count("config.reloaded") > before)


def has_paid(sandbox: Sandbox, pictures: int) -> bool:
    return sandbox.paid == pictures


def deliver(studio: Studio, *names: str) -> None:
    for name in names:
        studio.drop(name, sample("jpeg", width=64, height=48, seed=sum(name.encode())))
    wait_until(lambda: set(names) <= set(files_in(studio.folder("outbox"))))


@pytest.mark.lab
def test_from_the_first_push_to_the_last_one(studio: Pushed, sandbox: Sandbox) -> None:
    with studio.daemon() as daemon:
        wait_until(lambda: "webhook.not_registered" in daemon.log())
        assert daemon.log().count("webhook.not_registered") == 1
        deliver(studio, "before.jpg")
        code, said = studio.webhook("test")
        assert (code, "webhook register" in said) == (CONFIG, True)

        code, said = studio.webhook("register")
        assert code == DONE, said
        code, said = studio.webhook("test")
        assert code == UNFINISHED
        assert f"kill -HUP {daemon.process.pid}" in said
        reload(daemon)
        code, said = studio.webhook("test")
        assert code == DONE, said
        assert "Pushes reach this daemon" in said

        for number in range(4):
            deliver(studio, f"proof {number}.jpg")
        wait_until(lambda: "pushes.arrive" in daemon.log())
        before = sandbox.requests_by_operation()["status"]
        for number in range(6):
            deliver(studio, f"pushed {number}.jpg")
        assert sandbox.requests_by_operation()["status"] == before
        wait_until(lambda: studio.pushes()["nudged"] >= 6)
        _, said = studio.webhook("test")
        assert re.search(r"The service's last pushes by its own word: \d+ sent; the last is of ", said)
        assert set(studio.pushes()) >= {"duplicate", "oversized", "unknown_order", "wrong_signature"}

        sandbox.faults.add("push", "never", times=None)
        for number in range(3):
            studio.drop(f"not pushed {number}.jpg", sample("jpeg", width=64, height=48, seed=number))
            wait_until(partial(has_paid, sandbox, 12 + number))  # else they would share an order, and its push
        wait_until(lambda: "pushes.stopped" in daemon.log())
        deliver(studio, "asked for.jpg")
    assert sandbox.sins == []
    assert sandbox.paid == 15
    assert studio.secret_file.read_text(encoding="ascii").strip() not in daemon.log()
    assert [link for link in sandbox.links if link in daemon.log()] == []


@pytest.mark.lab
def test_pushes_that_come_twice_forged_or_late_are_counted_and_cost_no_picture(
    studio: Pushed, sandbox: Sandbox
) -> None:
    sandbox.push_retry_seconds = (0.1, 0.1)
    assert studio.webhook("register")[0] == DONE
    with studio.daemon():
        sandbox.faults.add("push", "duplicate")
        deliver(studio, "twice.jpg")
        wait_until(lambda: studio.pushes()["duplicate"] == 1)
        sandbox.faults.add("push", "wrong_signature")
        deliver(studio, "forged.jpg")
        wait_until(lambda: studio.pushes()["wrong_signature"] == 3)  # each retry as well
        sandbox.faults.add("push", "late", seconds=25.0)
        deliver(studio, "late.jpg")
        wait_until(lambda: studio.pushes()["late"] == 1)
    assert sandbox.requests_by_operation()["status"] <= 12
    assert (sandbox.paid, sandbox.sins) == (3, [])


def test_the_secret_is_stored_for_its_owner_alone_and_shown_to_nobody(studio: Pushed) -> None:
    code, said = studio.webhook("register")
    secret = studio.secret_file.read_text(encoding="ascii").strip()
    assert code == DONE
    assert secret.startswith("whsec_")
    assert stat.S_IMODE(studio.secret_file.stat().st_mode) == 0o600
    for spoken in (said, studio.webhook("list")[1], studio.run("check").stdout, studio.run("status").stdout):
        assert secret not in spoken


def test_with_a_test_key_it_is_a_webhook_for_test_orders(studio: Pushed, sandbox: Sandbox) -> None:
    studio.environment = {"BIZMORI_API_KEY": sandbox.test_key}
    assert studio.webhook("register")[0] == DONE
    (webhook,) = ask(sandbox, sandbox.test_key)["webhooks"]
    assert (webhook["url"], webhook["isTest"]) == (f"http://{studio.listener}/webhooks/bizmori", True)


def test_what_is_registered_is_registered_again_only_on_request(studio: Pushed, sandbox: Sandbox) -> None:
    studio.webhook("register")
    first = studio.secret_file.read_bytes()
    code, said = studio.webhook("register")
    assert code == USAGE
    assert "--replace" in said
    assert studio.secret_file.read_bytes() == first
    assert studio.webhook("list")[1].count("this daemon") == 1

    code, said = studio.webhook("register", "--replace")
    assert code == DONE
    assert studio.secret_file.read_bytes() != first
    assert studio.webhook("list")[1].count("this daemon") == 1
    assert sandbox.sins == []


def test_a_damaged_secret_is_mended_as_the_message_says(studio: Pushed, sandbox: Sandbox) -> None:
    assert studio.webhook("register")[0] == DONE
    studio.secret_file.write_text("half a\n")
    told = studio.run("check").stdout + studio.run("check").stderr
    assert f"remove the file, then {studio.typed.run(Advised.REGISTER)}\n" in told
    studio.secret_file.unlink()
    code, said = studio.webhook("register")
    assert code == DONE, said
    assert "removed: the one before it" in said
    assert len(sandbox.webhooks) == 1
    with studio.daemon():
        assert studio.webhook("test")[0] == DONE


@pytest.mark.parametrize(("before", "after"), [(25, 25), (0, 120), (120, 0)])
def test_among_many_webhooks_ours_is_found_replaced_and_removed(
    studio: Pushed, sandbox: Sandbox, others: Callable[[int], None], before: int, after: int
) -> None:
    ours = f"http://{studio.listener}/webhooks/bizmori"
    others(before)
    assert studio.webhook("register")[0] == DONE
    others(after)
    code, said = studio.webhook("list")
    assert code == DONE
    assert len(said.splitlines()) == before + 1 + after
    assert said.count("(this daemon)") == 1

    assert studio.webhook("register")[0] == USAGE
    assert list(sandbox.webhooks.values()).count(ours) == 1
    _, said = studio.webhook("test")
    assert "The service has pushed nothing yet" in said

    assert studio.webhook("register", "--replace")[0] == DONE
    assert list(sandbox.webhooks.values()).count(ours) == 1
    assert studio.webhook("remove")[0] == DONE
    assert ours not in sandbox.webhooks.values()
    assert len(sandbox.webhooks) == before + after
    assert not studio.secret_file.exists()
    assert sandbox.sins == []


@pytest.mark.parametrize(("before", "after"), [(0, 25), (25, 0)])
def test_among_many_webhooks_one_is_removed_by_its_number(
    studio: Pushed, sandbox: Sandbox, others: Callable[[int], None], before: int, after: int
) -> None:
    others(before)
    gone = ask(sandbox, sandbox.key, {"url": "https://old.example.com/"})["id"]
    others(after)
    assert studio.webhook("remove", str(gone)) == (DONE, f"removed: https://old.example.com/ (webhook {gone})\n")
    assert gone not in sandbox.webhooks


def test_an_address_that_is_registered_twice_is_told_with_the_way_out(studio: Pushed, sandbox: Sandbox) -> None:
    studio.environment = {"BIZMORI_API_KEY": sandbox.key}
    ours = f"http://{studio.listener}/webhooks/bizmori"
    studio.webhook("register")
    ask(sandbox, sandbox.key, {"url": ours})
    code, said = studio.webhook("test")
    assert (code, "2 webhooks for this address" in said) == (UNFINISHED, True)
    assert studio.webhook("register", "--replace")[0] == DONE
    assert list(sandbox.webhooks.values()) == [ours]


def test_what_is_left_under_the_address_before_is_named_with_its_way_out(studio: Pushed, sandbox: Sandbox) -> None:
    studio.webhook("register")
    (old,) = sandbox.webhooks
    studio.listen(public_url="http://127.0.0.1:9")
    code, said = studio.webhook("register")
    assert code == DONE
    assert studio.typed.to(Advised.REMOVE_WEBHOOK, str(old)) in said
    assert studio.webhook("remove", str(old))[0] == DONE
    assert list(sandbox.webhooks.values()) == ["http://127.0.0.1:9/webhooks/bizmori"]


def test_a_webhook_that_the_service_has_switched_off_is_told(studio: Pushed, sandbox: Sandbox) -> None:
    studio.webhook("register")
    ((id_, url),) = sandbox.webhooks.items()
    page = {"webhooks": [{"id": id_, "url": url, "isActive": False}], "pagination": {"totalPages": 1}}
    sandbox.faults.add("webhook", "other_json", body=json.dumps({"data": page}), times=None)
    code, said = studio.webhook("test")
    assert (code, f"switched this webhook off ({id_})" in said) == (UNFINISHED, True)


def test_a_secret_that_cannot_be_stored_leaves_no_registration(studio: Pushed, sandbox: Sandbox) -> None:
    tree = yaml.safe_load(studio.config.read_text(encoding="utf-8"))
    tree["webhook"]["secret_file"] = str(studio.root / "nowhere" / "secret")
    studio.config.write_text(yaml.safe_dump(tree), encoding="utf-8")
    code, said = studio.webhook("register")
    assert code == UNFINISHED
    assert "removed again" in said
    assert "No webhook is registered" in studio.webhook("list")[1]

    sandbox.faults.add("webhook", "answer", nth=3, status=503)
    _, said = studio.webhook("register")
    assert studio.typed.to(Advised.REMOVE_WEBHOOK, str(*sandbox.webhooks)) in said


def test_an_address_that_the_service_refuses_is_told_and_registers_nothing(studio: Pushed, sandbox: Sandbox) -> None:
    sandbox.faults.add("webhook", "answer", nth=2, status=422, code="VALIDATION_FAILED")
    code, said = studio.webhook("register")
    assert (code, "the service refuses this address for a webhook" in said) == (UNFINISHED, True)
    assert sandbox.requests_by_operation()["webhook"] == 2


LOST = [("reset_after", None), ("truncated", None), ("other_json", None), ("other_json", '{"data": {"id": 1}}')]


@pytest.mark.parametrize(("does", "body"), LOST, ids=["reset", "torn", "foreign", "without its secret"])
def test_a_registration_whose_answer_is_lost_is_not_left_behind(
    studio: Pushed, sandbox: Sandbox, does: str, body: str | None
) -> None:
    sandbox.faults.add("webhook", does, nth=2, body=body)  # the first one lists
    code, said = studio.webhook("register")
    assert code == UNFINISHED
    assert "nothing was registered" in said
    assert not studio.secret_file.exists()
    assert "No webhook is registered" in studio.webhook("list")[1]


def test_a_lost_answer_takes_no_older_registration_along(studio: Pushed, sandbox: Sandbox) -> None:
    studio.webhook("register")
    old = dict(sandbox.webhooks)
    studio.secret_file.unlink()
    sandbox.faults.add("webhook", "reset_after", nth=2)
    assert "nothing was registered" in studio.webhook("register")[1]
    assert sandbox.webhooks == old
    sandbox.faults.add("webhook", "reset_after", nth=2, times=2)  # nor can it be asked what there is
    assert f"with a secret that nobody knows: see {studio.typed.to(Advised.WEBHOOKS)}" in studio.webhook("register")[1]


def test_remove_takes_the_registration_and_the_secret_away(studio: Pushed) -> None:
    studio.webhook("register")
    code, said = studio.webhook("remove")
    assert code == DONE
    assert said.count("removed: ") == 2
    assert not studio.secret_file.exists()
    assert "No webhook is registered" in studio.webhook("list")[1]
    assert studio.webhook("remove") == (DONE, "Nothing is registered for this daemon.\n")
    assert studio.webhook("remove", "77")[0] == USAGE


def test_a_service_that_refuses_the_key_is_told_as_everywhere(studio: Pushed, sandbox: Sandbox) -> None:
    sandbox.keys = ["sk_another_0123456789"]
    for command in ("register", "list", "remove"):
        code, said = studio.webhook(command)
        assert code == UNFINISHED
        assert "refuses the API key" in said


def test_without_an_address_the_commands_say_which_key_is_missing(tmp_path: Path, sandbox: Sandbox) -> None:
    studio = Pushed(tmp_path, sandbox.url)
    for command in ("register", "test", "remove"):
        code, said = studio.webhook(command)
        assert code == CONFIG
        assert "webhook.public_url" in said
    assert studio.webhook("list")[0] == DONE


def test_a_way_that_leads_elsewhere_is_told_from_a_daemon_that_is_down(studio: Pushed, sandbox: Sandbox) -> None:
    studio.listen(public_url=f"{sandbox.url}/elsewhere")
    studio.webhook("register")
    code, said = studio.webhook("test")
    assert code == UNFINISHED
    assert "404" in said or "nothing takes pushes there" in said
    assert "Nor at its own address" in said
    with studio.daemon():
        code, said = studio.webhook("test")
    assert code == UNFINISHED
    assert "all is well: what is between" in said


def test_a_program_that_takes_forged_pushes_is_not_this_daemon(studio: Pushed, receiver: Receiver) -> None:
    studio.listen(public_url=f"http://127.0.0.1:{receiver.port}")
    studio.webhook("register")
    code, said = studio.webhook("test")
    assert (code, "takes forged ones as well: that is not watchfolder" in said) == (UNFINISHED, True)


def test_what_the_service_no_longer_knows_or_does_not_say_is_told(studio: Pushed, sandbox: Sandbox) -> None:
    studio.webhook("register")
    studio.environment = {"BIZMORI_API_KEY": sandbox.key}
    sandbox.clear()
    with studio.daemon():
        code, said = studio.webhook("test")
        assert f"The service has no webhook for this address: {studio.typed.run(Advised.REGISTER)}" in said
        assert (code, "Pushes reach this daemon" in said) == (UNFINISHED, True)
        sandbox.faults.add("webhook", "answer", status=503)
        code, said = studio.webhook("test")
    assert (code, "What the service pushed could not be asked: " in said) == (UNFINISHED, True)


def test_check_says_whether_pushes_can_come(studio: Pushed) -> None:
    assert f"pushes are off until {studio.typed.to(Advised.REGISTER)} has been run" in studio.run("check").stdout
    studio.webhook("register")
    assert f"pushes are taken from http://{studio.listener}/webhooks/bizmori" in studio.run("check").stdout
    studio.secret_file.chmod(0o640)
    assert "webhook.secret_file: others can read" in studio.run("check").stdout
