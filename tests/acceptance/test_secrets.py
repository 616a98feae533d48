"""The key and the links' signatures appear nowhere: all journeys at the most talkative level, searched everywhere."""

import base64
import contextlib
import http.client
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from cli_studio import Studio
from contents import files_in
from free_ports import free_port
from typing_extensions import override
from waiting import wait_until

from watchfolder.sandbox import Options, Sandbox
from watchfolder.sandbox.pictures import sample

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

KEYS = {"live": "sk_live_c4n4ry0f7h3k3y", "test": "sk_test_c4n4ry0f7h3k3y"}
ECHO = "5ec4e7519na7u4e0f7h3m3ss4ge"  # a signature that the service quotes in its messages
PROXY_PASSWORD = "hun7er2c4n4ry"  # noqa: S105 - to be searched for
# The program with its waits made short; and with its door to `requests` taken off, so that foreign exceptions, which
# quote whole links, come as far as the log.
HASTY = """
import sys
from watchfolder import intake
from watchfolder.console import cli
from watchfolder.pipeline import timing
timing.FIRST_BACKOFF_SECONDS = timing.LONGEST_BACKOFF_SECONDS = timing.FIRST_POLL_SECONDS = 0.3
sys.argv = ["watchfolder", *sys.argv[1:]]
"""
DOORLESS = """
from watchfolder.api import transport
transport._FOREIGN = ()
"""
RUN = "cli.main()\n"


class Program(Studio):
    """Runs HASTY, talkative."""

    preamble = HASTY
    log_format = "json"

    @override
    def command(self, *arguments: str) -> list[str]:
        command, *rest = arguments
        if command == "run":
            rest = [*(word for word in rest if word not in {"--log-format", "json"}), "--log-level", "debug"]
            rest += ["--log-format", self.log_format]
        return [sys.executable, "-c", self.preamble + RUN, command, "-c", str(self.config), *rest]


@dataclass
class Search:
    """Everything that was said or lay on the disk at any time, as far as it holds a secret."""

    root: Path
    sandbox: Sandbox
    key: str
    found: set[str] = field(default_factory=set)
    searched: int = 0

    def secrets(self) -> list[bytes]:
        words = {self.key, ECHO, PROXY_PASSWORD, "X-Amz-Signature"}
        for link in self.sandbox.links:
            parts = urlsplit(link)
            words.add(parse_qs(parts.query).get("X-Amz-Signature", [parts.path.rpartition("/")[2]])[0])
        packed = [base64.b64encode(f"{start}{self.key}".encode())[:-4] for start in ("", "Bearer ")]
        return [word.encode() for word in words] + packed

    def look_at(self, where: str, content: bytes) -> None:
        self._look(where, content, self.secrets())

    def look_through_disk(self) -> None:
        secrets = self.secrets()
        for path in self._everything():
            with contextlib.suppress(OSError):  # gone again
                content = path.read_bytes() if path.is_file() and path.suffix != ".yaml" else b""
                self._look(str(path.relative_to(self.root)), content + os.fsencode(path.name), secrets)

    def _everything(self) -> Iterator[Path]:
        for folder, folders, files in os.walk(self.root):  # goes on where a folder has gone meanwhile; rglob does not
            yield from (Path(folder, name) for name in (*folders, *files))

    def _look(self, where: str, content: bytes, secrets: list[bytes]) -> None:
        self.searched += 1
        self.found |= {f"{where}: {secret.decode()}" for secret in secrets if secret in content}

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        """Look through the disk again and again: what lay there only for a moment is found as well."""
        stop = threading.Event()

        def look() -> None:
            while not stop.wait(0.1):
                self.look_through_disk()

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.look_through_disk()


@dataclass
class Journeys:
    """One after the other through one daemon, and the commands beside it."""

    studio: Program
    sandbox: Sandbox
    search: Search
    port: int  # of the page
    dropped: int = 0

    def drop(self, *names: str) -> None:
        for name in names:
            self.dropped += 1
            self.studio.drop(name, sample("jpeg", width=64, height=48, seed=self.dropped))

    def await_end_of(self, *names: str) -> None:
        """Wait until each has been delivered or quarantined."""

        def has_ended() -> bool:
            places = [files_in(self.studio.folder(name)) for name in ("originals", "quarantine")]
            ended = {Path(name).name for place in places for name in place}
            return ended.issuperset(names)

        wait_until(has_ended, 240)

    def say(self, *arguments: str) -> str:
        """Run a command beside the daemon, and search what it says."""
        done = self.studio.run(*arguments)
        self.search.look_at(" ".join(arguments), (done.stdout + done.stderr).encode())
        return done.stdout

    def say_all(self, name: str) -> None:
        for words in (["status"], ["status", "--json"], ["status", "--prometheus"], ["check"]):
            self.say(*words)
        self.say("explain", str(self.studio.folder("inbox") / name))

    def look_back(self) -> None:
        for words in (["history", "--csv"], ["history", "--json"], ["verify", "--all"], ["reconcile"]):
            self.say(*words)
        for words in (["release", "photos"], ["run", "--once", "--dry-run"]):
            self.say(*words)

    def show_all(self) -> None:
        """Ask the running daemon for all that its page tells."""
        for path in ("", "main", "healthz", "metrics", "api/status", "thumbnails/0", "release"):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            with contextlib.closing(connection):
                connection.request("GET", f"/{path}")
                answer = connection.getresponse()
                told = str(answer.getheaders()).encode() + answer.read()
            assert len(told) > 100
            self.search.look_at(f"/{path}", told)

    # --- the journeys

    def deliver(self) -> None:
        self.drop("plain.jpg", "below/folder.jpg")
        self.await_end_of("plain.jpg", "folder.jpg")

    def fail_on_the_way(self) -> None:
        faults = self.sandbox.faults
        for operation in ("create", "refresh", "confirm", "status", "link"):
            for does in ("reset_before", "reset_after", "html", "truncated", "redirect"):
                faults.add(operation, does)
        for does in ("reset_before", "reset_after", "redirect", "html"):
            faults.add("upload", does)
        for does in ("reset_before", "redirect", "wrong_length", "truncated", "same_bytes", "html"):
            faults.add("fetch", does)
        faults.add("upload", "answer", times=2, status=403, body=f"<Error><Code>{ECHO}</Code></Error>")
        self.drop("rocky.jpg")
        wait_until(lambda: self.sandbox.requests_by_operation().get("upload", 0) > 2)
        self.sandbox.end_links()
        self.await_end_of("rocky.jpg")
        faults.clear()

    def quote_secrets(self) -> None:
        """Let the service, or a gateway before it, echo what it was sent."""
        quoted = f"cannot read https://s3.example/a?X-Amz-Signature={ECHO} for Bearer {self.search.key}"
        failed = {"status": "failed", "errors": {"errorCode": self.search.key, "errorMessage": quoted}}
        unknown = {"status": quoted}
        add = self.sandbox.faults.add
        add("create", "answer", status=400, body=json.dumps({"code": quoted, "message": quoted}))
        add("create", "answer", status=401, body=json.dumps({"code": f"AUTH_{self.search.key}", "message": quoted}))
        add("confirm", "answer", status=409, body=json.dumps({"code": quoted}))
        add("status", "other_json", body=json.dumps({"data": unknown}))
        add("status", "other_json", body=json.dumps({"data": failed}))
        self.drop("quoted.jpg")
        self.await_end_of("quoted.jpg")
        self.sandbox.faults.clear()
        self.show_all()

    def quarantine_and_retry(self) -> None:
        self.drop("bad_fail.jpg")
        self.studio.drop("poster.psd", b"8BPS" + bytes(100))
        self.await_end_of("bad_fail.jpg", "poster.psd")
        self.say("explain", str(self.studio.folder("quarantine") / "bad_fail.jpg"))
        self.say("retry", "bad_fail.jpg")
        self.await_end_of("bad_fail.jpg")

    def outlive_an_outage(self) -> None:
        self.sandbox.faults.add("any", "reset_before", times=12)
        self.drop("outage.jpg")
        self.say("status")
        self.await_end_of("outage.jpg")
        self.sandbox.faults.clear()

    def be_blocked(self, reload: Callable[[], None], log: Callable[[], str]) -> None:
        self.sandbox.faults.add("any", "answer", times=None, status=401, code="AUTH_TOKEN_INVALID")
        self.drop("blocked.jpg")
        wait_until(lambda: "service.blocked" in log())
        self.say_all("blocked.jpg")
        self.look_back()
        self.show_all()
        self.sandbox.faults.clear()
        reload()
        self.await_end_of("blocked.jpg")

    def reload_wrongly(self, reload: Callable[[], None], log: Callable[[], str]) -> None:
        """Reload a configuration with the key in it, where it does not belong, and with a proxy's password."""
        good = self.studio.config.read_text()
        self.studio.configure({"key": self.search.key, "base_url": f"http://me:{PROXY_PASSWORD}@api.example"})
        reload()
        wait_until(lambda: "config.refused" in log())
        self.say("check")
        self.studio.configure({"base_url": "https://127.0.0.1:9", "proxy": f"http://me:{PROXY_PASSWORD}@127.0.0.1:9"})
        self.say("check")
        self.say("run", "--once")
        self.studio.config.write_text(good)


@contextlib.contextmanager
def journeys(tmp_path: Path, kind: str) -> Iterator[Journeys]:
    key = KEYS[kind]
    quick = Options(keys=[key], processing_seconds=0.3, test_processing_seconds=0.3, look_seconds=0, test_samples=True)
    with Sandbox(**vars(quick)) as sandbox:
        studio = Program(tmp_path, sandbox.url, environment={"BIZMORI_API_KEY": key})
        studio.configure({"blocked_probe_seconds": 1})
        port = free_port()
        tree = yaml.safe_load(studio.config.read_text(encoding="utf-8")) | {"http": {"listen": f"127.0.0.1:{port}"}}
        studio.config.write_text(yaml.safe_dump(tree), encoding="utf-8")
        search = Search(tmp_path, sandbox, key)
        with search.going_on():
            yield Journeys(studio, sandbox, search, port)
        assert sandbox.links
        assert search.found == set()


@pytest.mark.parametrize(("kind", "log_format"), [("live", "json"), ("test", "text")])
def test_no_journey_leaves_the_key_or_a_signature_anywhere(
    tmp_path: Path, kind: str, log_format: Literal["json", "text"]
) -> None:
    with journeys(tmp_path, kind) as journey:
        journey.studio.log_format = log_format
        with journey.studio.daemon(is_anew=True) as daemon:

            def reload() -> None:
                daemon.process.send_signal(signal.SIGHUP)

            journey.deliver()
            journey.fail_on_the_way()
            journey.quote_secrets()
            journey.quarantine_and_retry()
            journey.outlive_an_outage()
            journey.be_blocked(reload, daemon.log)
            process = Path(f"/proc/{daemon.process.pid}")
            journey.search.look_at("command line", (process / "cmdline").read_bytes())
            assert re.search(r"Max core file size +0 +0 ", (process / "limits").read_text())
            journey.drop("killed.jpg", "killed too.jpg")
            wait_until(lambda: "killed" in (daemon.log().rpartition("order.uploaded")[0] or ""))
            daemon.process.kill()
            daemon.process.wait()
        journey.search.look_through_disk()
        journey.say_all("killed.jpg")
        with journey.studio.daemon(is_anew=True) as daemon:
            journey.await_end_of("killed.jpg", "killed too.jpg")
            journey.reload_wrongly(lambda: daemon.process.send_signal(signal.SIGHUP), daemon.log)


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_an_exception_that_quotes_a_whole_link_is_logged_without_its_signature(
    tmp_path: Path, log_format: Literal["json", "text"]
) -> None:
    with journeys(tmp_path, "live") as journey:
        studio = journey.studio
        studio.preamble, studio.log_format = HASTY + DOORLESS, log_format
        journey.sandbox._storage.links.base_url = "http://127.0.0.1:9"  # links that nobody answers
        journey.drop("one.jpg")
        with studio.daemon() as daemon:
            wait_until(lambda: "Max retries exceeded with url" in daemon.log())
            assert "Traceback (most recent call last)" in daemon.log()
            assert "?…" in daemon.log() or "?\\u2026" in daemon.log()
            journey.say_all("one.jpg")


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_CORE)[1] == 0, reason="nobody here may leave a core dump")
@pytest.mark.parametrize("words", [("run", "--once"), ("reconcile",)])
def test_a_command_that_has_the_key_leaves_no_core_dump(tmp_path: Path, words: tuple[str, ...]) -> None:
    with Sandbox() as sandbox:
        sandbox.faults.add("any", "hang", times=None, seconds=60)  # so that there is time to look
        studio = Studio(tmp_path, sandbox.url)
        studio.drop("one.jpg")
        process = subprocess.Popen(studio.command(*words), env=studio.environ(), stdout=subprocess.DEVNULL)
        try:
            wait_until(lambda: sandbox.requests)
            limits = Path(f"/proc/{process.pid}/limits").read_text(encoding="ascii")
            assert re.search(r"Max core file size +0 +0 ", limits)
        finally:
            process.kill()
            process.wait()
