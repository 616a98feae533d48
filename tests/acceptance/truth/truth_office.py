"""One daemon in an office, all that tells how it goes, and a person who types what is said, as it stands."""

import contextlib
import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from cli_studio import KEY, PICTURE, Daemon, Studio
from contents import files_in
from free_ports import free_port
from notify_socket import Notified
from receiver import Receiver, receiving
from share_studio import skip_unless_possible
from telling import flat
from typing_extensions import override
from waiting import wait_until

from watchfolder.report.conditions import Condition, ConditionKind, told
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

WELL = "All done, nothing waits"
SOMEBODY = 54_321  # a person of the office: neither the daemon's user nor in a group of that
_DAEMON = 65_534  # nobody: as root, the tests let the daemon be another user
_HASTY = """
import signal
import sys
import time
from datetime import timedelta
from watchfolder import health
from watchfolder.api import service
from watchfolder.console import cli
from watchfolder.daemon import disk_usage, loop, supervisor
from watchfolder.intake import decide as looks, inbox
from watchfolder.notify import alarms, decide
from watchfolder.pipeline import timing
from watchfolder.report import conditions
def hasten(module, **waits):
    for name, wait in waits.items():
        getattr(module, name)  # it has gone where it is not there
        setattr(module, name, wait)
hasten(decide, LASTS_SECONDS=dict.fromkeys(decide.LASTS_SECONDS, 1.0), QUIET_SECONDS=1.0, _HOLD_DOWN=timedelta())
hasten(decide, _MOST_AN_HOUR=10_000, _FIRST_LOOK=timedelta(seconds=1))
hasten(alarms, EVERY_SECONDS=0.2, AGAIN_SECONDS=0.2, LOOK_SECONDS=0.2)
hasten(looks, _RIGHTS_SECONDS=1.0)
hasten(inbox, _REASONS_SECONDS=1.0, _FAULT_SECONDS=0.5)
hasten(disk_usage, _AGAIN_SECONDS=1.0)
hasten(supervisor, _STATUS_SECONDS=0.2)
hasten(service, ASK_FOR_V3_SECONDS=5.0, _ASK_AGAIN_SECONDS=1.0)
hasten(timing, FIRST_BACKOFF_SECONDS=0.2, LONGEST_BACKOFF_SECONDS=1.0)
hasten(timing, FIRST_ORDER_AGAIN_SECONDS=4.0, FIRST_POLL_SECONDS=0.2, REPEAT_SECONDS=0.5)
hasten(timing, FOLDER_BACKOFF_SECONDS=0.5, RECOVERY_SPREAD_SECONDS=0.5)
hasten(loop, _TICK_SECONDS=2.0)
hasten(conditions, _NO_TURN_SECONDS=20.0)
signal.signal(signal.SIGUSR2, lambda *_: time.sleep(3600))  # of the main thread alone
"""
"""Makes the waits of the program short."""
_MAIN = """
sys.argv = ["watchfolder", *sys.argv[1:]]
cli.main()
"""
_STOP = """
[ "$1" = stop ] || exit 0
read -r process <daemon.pid
kill "$process"
while [ -n "$(tr -d '\\0' <"/proc/$process/cmdline")" ]; do sleep 0.1; done
"""


@dataclass(frozen=True)
class Surfaces:
    """What each of them said, blanks made one."""

    status: str
    errors: str  # of the command `status`
    conditions: list[Condition]
    waiting: int | None  # of status --json, as the next one; None where that cannot know
    under_way: int
    health: tuple[int, str]
    page: str
    alarms: list[str]
    systemd: str
    log: str
    beats: bool  # the heartbeat

    def counted(self) -> tuple[object, ...]:
        return self.waiting, self.under_way, self.conditions, re.findall(r"\d+ waiting", self.systemd)

    def sentence(self, kind: ConditionKind) -> str:
        """Say it as the condition does, or, where none is known but to the message, as that."""
        same = [each for each in self.conditions if each.kind is kind]
        return told(same) if same else "".join(self.alarms[:1]).removesuffix(".")

    def command(self, kind: ConditionKind) -> str:
        return next((each.command for each in self.conditions if each.kind is kind), "")


@dataclass
class Office(Studio):
    """Folders of the daemon's user, one inbox called photos, and the daemon."""

    receiver: Receiver = field(default_factory=Receiver)
    notified: Notified = field(default_factory=Notified)
    port: int = 0
    daemon_now: Daemon | None = None
    life: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    typed_in: list[str] = field(default_factory=list)  # all commands
    shares: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)  # that do not answer
    film: Path = Path()  # what fills a disk
    patience: str = ""  # lines that make waits of the program long
    _hangs: bool = False

    @override
    def __post_init__(self) -> None:
        self.root.chmod(0o755)
        super().__post_init__()
        self.key_file.write_text(KEY, encoding="ascii")
        self.key_file.chmod(0o600)
        self.environment |= {"COLUMNS": "10000"}
        self.environment["PATH"] = f"{self.root}/bin:{os.environ['PATH']}"
        del self.environment["BIZMORI_API_KEY"]
        self.say_how_to_call()
        (self.root / "units").mkdir()
        self.install_unit()
        self.configure()
        self.give_to_daemon()

    def install_unit(self, name: str = "watchfolder.service") -> None:
        """Let systemd know the daemon by this name alone; "" for one that is started by hand."""
        for unit in (self.root / "units").iterdir():
            unit.unlink()
        self.environment.pop("NOTIFY_SOCKET", None)
        if name:
            line = f"ExecStart=watchfolder run -c {self.root}/{'%i' if '@' in name else 'config'}.yaml\n"
            (self.root / "units" / name).write_text(line, encoding="utf-8")
            self.environment["NOTIFY_SOCKET"] = self.notified.address

    @property
    def unit(self) -> str:
        """Return what systemd calls the daemon, if it has started it."""
        names = [unit.name for unit in (self.root / "units").iterdir()]
        return names[0].removesuffix(".service").replace("@", "@config") if names else ""

    @property
    def key_file(self) -> Path:
        return self.root / "api-key"

    @property
    def nas(self) -> Path:
        return self.root / "nas"

    @property
    def fstab(self) -> Path:
        return self.root / "fstab"

    def give_to_daemon(self) -> None:
        """Let all that is there be the daemon's own. It may be at work: what goes meanwhile is left out."""
        if os.geteuid() == 0:
            for folder, _, files in os.walk(self.root):
                for name in (".", *files):
                    with contextlib.suppress(FileNotFoundError):
                        os.chown(os.path.join(folder, name), _DAEMON, _DAEMON, follow_symlinks=False)

    def arrange(
        self, *, inboxes: Mapping[str, Any] | None = None, photos: Mapping[str, Any] | None = None, **top: object
    ) -> None:
        """Write the configuration, with changes."""
        self.configure(
            api={"key_file": str(self.key_file), "blocked_probe_seconds": 1}, inboxes=inboxes, **(photos or {})
        )
        tree = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        tree |= {"http": {"listen": f"127.0.0.1:{self.port}"}, "notify": [f"json://127.0.0.1:{self.receiver.port}/"]}
        tree |= {"heartbeat_url": f"http://127.0.0.1:{self.receiver.port}/beat"} | top
        self.config.write_text(yaml.safe_dump(tree), encoding="utf-8")
        self.config.chmod(0o640)
        self.give_to_daemon()

    def change(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the configuration as it stands."""
        tree = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        change(tree)
        self.config.write_text(yaml.safe_dump(tree), encoding="utf-8")

    @override
    def command(self, *arguments: str) -> list[str]:
        command, *rest = arguments
        table = f"from watchfolder.disk import mounts; mounts.FSTAB = {str(self.fstab)!r}\n"
        table += f"from watchfolder.config import installed_unit; installed_unit.PLACES = ({f'{self.root}/units'!r},)"
        return [sys.executable, "-c", table + _HASTY + self.patience + _MAIN, command, "-c", str(self.config), *rest]

    # --- the daemon

    def start(self) -> None:
        self.daemon_now = self.life.enter_context(self.daemon())
        (self.root / "daemon.pid").write_text(f"{self.daemon_now.process.pid}\n", encoding="ascii")

    @property
    def answers(self) -> bool:
        """Does it run, and is it not stopped by a signal?"""
        if self.daemon_now is None or self.daemon_now.process.poll() is not None:
            return False
        status = Path(f"/proc/{self.daemon_now.process.pid}/status").read_text(encoding="utf-8")
        return "State:\tT" not in status

    def hang(self) -> None:
        """Let the main loop stand still, and nothing else."""
        assert self.daemon_now is not None
        self.daemon_now.process.send_signal(signal.SIGUSR2)
        self._hangs = True

    def stop(self) -> None:
        """End it; what hangs or is suspended is killed, as systemd does after a while."""
        if self.daemon_now is not None and (self._hangs or not self.answers):
            self.daemon_now.process.kill()
        self._hangs = False
        self.life.close()
        self.daemon_now = None

    def reload(self) -> None:
        assert self.daemon_now is not None
        said, logged = len(self.notified.messages), len(self.daemon_now.log())
        self.daemon_now.process.send_signal(signal.SIGHUP)
        if self.unit:
            wait_until(lambda: "READY=1" in self.notified.messages[said:])
        else:
            wait_until(lambda: '"config.re' in self.log_since(logged))

    # --- the person

    def say_how_to_call(self) -> None:
        """Put what a machine has where a shell finds it: `mount` reads our table, `systemctl` notes what it is told.

        What it stops has ended when it comes back.
        """
        (self.root / "bin").mkdir()
        lines = {
            "systemctl": f'cd {self.root} && echo "$@" >>systemctl\n{_STOP}',
            "mount": f'exec {shutil.which("mount")} --fstab {self.fstab} "$@"',
        }
        for name, line in lines.items():
            script = self.root / "bin" / name
            script.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
            script.chmod(0o755)

    def type_in(self, command: str) -> None:
        """Do in a shell what was said, and in systemd's place what that asks of it."""
        self.typed_in.append(command)
        asked = self.root / "systemctl"
        asked.unlink(missing_ok=True)
        done = subprocess.run(
            ["sh", "-c", command], env=self.environ(), cwd="/", timeout=60, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        for line in asked.read_text(encoding="ascii").splitlines() if asked.exists() else ():
            verb, unit = line.split()
            assert unit == self.unit
            {"start": self.start, "stop": self.stop, "reload": self.reload, "restart": self.restart}[verb]()

    def start_as_told(self, command: str) -> None:
        """Type what starts it, in a terminal of its own, see that it runs, and go on with our hasty one."""
        self.typed_in.append(command)
        before = self.daemon_now
        shell = subprocess.Popen(
            ["sh", "-c", command], env=self.environ(), cwd="/", stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            wait_until(lambda: before is None or before.process.poll() is not None)
            wait_until(lambda: self._fetched("/healthz")[0] == 200 and self.told())
            os.kill(self.told()["pid"], signal.SIGTERM)
            assert shell.wait(60) == 0
        finally:
            if shell.poll() is None:
                os.killpg(shell.pid, signal.SIGKILL)
                shell.wait()
        self.restart()

    def restart(self) -> None:
        self.stop()
        self.start()

    def press(self, address: str, near: str) -> None:
        """Press the button on the page whose entry holds `near`."""
        page = self._fetched("/main")[1]
        form = next(
            each for each in re.findall(r"<(?:li|article)\b.*?</(?:li|article)>", page, re.DOTALL) if near in each
        )
        fields = dict(re.findall(r'name="(\w+)" value="(\w+)"', form))
        assert f'action="{address}"' in form, form
        data = urllib.parse.urlencode(fields).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{address}", data, timeout=30) as answer:
            assert answer.status == 200

    def drop_pictures(self, number: int, folder: str = "", seed: int = 0) -> list[Path]:
        """Put pictures into the inbox, as a person does whose files the daemon may move."""
        paths = []
        for each in range(seed, seed + number):
            picture = sample("jpeg", width=64, height=48, seed=each)
            path = self.drop(f"{folder}{each}.jpg", picture)
            if os.geteuid() == 0:
                os.chown(path, _DAEMON, _DAEMON)
            paths.append(path)
        return paths

    def drop_cut(self, name: str) -> None:
        """Put the beginning of a picture into the inbox, as a copy does that is under way."""
        self.drop(name, PICTURE[:-30])
        self.give_to_daemon()

    def deliver_to_nas(self) -> None:
        """Let the outbox lie on a share of 32 MiB, which fstab names."""
        skip_unless_possible(is_network=False)
        server = self.root / "server"
        if not self.nas.is_mount():
            for folder in (server, self.nas):
                folder.mkdir(exist_ok=True)
            self.fstab.write_text(f"{server} {self.nas} none bind 0 0\n", encoding="ascii")
            for how in (f"-t tmpfs -o size=32m none {server}", f"--bind {server} {self.nas}"):
                subprocess.run(["mount", *how.split()], check=True, timeout=30)
        outbox = self.nas / "outbox"
        outbox.mkdir(exist_ok=True)
        self.arrange(photos={"outbox": str(outbox)})
        self.reload()
        wait_until((outbox / ".watchfolder-id").exists)

    def move_state(self, *, to_small_disk: bool) -> None:
        """Let the state lie on a disk of 32 MiB, or where it lay before; a stopped daemon's is moved."""
        skip_unless_possible(is_network=False)
        state, kept = self.folder("state"), self.root / "kept state"
        self.stop()
        shutil.copytree(state, kept)
        if to_small_disk:
            subprocess.run(["mount", *f"-t tmpfs -o size=32m none {state}".split()], check=True, timeout=30)
        else:
            self.unmount("state")
        shutil.copytree(kept, state, dirs_exist_ok=True)
        shutil.rmtree(kept)
        self.give_to_daemon()
        self.start()

    def unmount(self, folder: str) -> None:
        subprocess.run(["umount", "--lazy", str(self.root / folder)], check=False, capture_output=True, timeout=30)

    def fill(self, disk: Path, free_bytes: int) -> None:
        """Leave so much room there, and up to a block less."""
        room = os.statvfs(disk)
        self.film = disk / "holiday.mp4"
        with self.film.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - free_bytes)

    def another_inbox(self, name: str) -> dict[str, object]:
        """Make the folders of one more inbox, if they are not there, and return its settings."""
        paths = {role: self.root / name / role for role in ("path", "outbox", "quarantine", "originals")}
        for path in paths.values():
            path.mkdir(parents=True, exist_ok=True)
        self.give_to_daemon()
        folders: dict[str, object] = {role: str(path) for role, path in paths.items()}
        return folders | {"settle_seconds": 0.2, "scan_seconds": 1}

    # --- the surfaces

    def log_since(self, place: int) -> str:
        return self.daemon_now.log()[place:] if self.daemon_now else ""

    def alarms_since(self, number: int) -> list[str]:
        return [flat(call.message) for call in self.receiver.calls[number:] if call.method == "POST"]

    def page(self) -> str:
        return self._fetched("/main")[1]

    def told(self) -> dict[str, Any]:
        """Return the page's JSON, which costs no process."""
        status, text = self._fetched("/api/status")
        return dict(json.loads(text)) if status == 200 else {}

    def kinds(self) -> list[str]:
        return [each["kind"] for each in self.told().get("conditions", ())]

    def explained(self, path: Path) -> str:
        done = self.run("explain", str(path))
        return flat(done.stdout + done.stderr)

    def surfaces(self, since: int = 0) -> Surfaces:
        if self.daemon_now is not None and self.daemon_now.process.poll() is not None:
            raise AssertionError(f"the daemon has died: {self.daemon_now.log()[-3000:]}")
        status, found = self.run("status"), self.run("status", "--json")
        is_there = self.answers
        text = found.stdout if found.returncode == 0 else self._fetched("/api/status")[1]
        told_json: dict[str, Any] = json.loads(text)
        health, page = (self._fetched("/healthz"), self._fetched("/main")[1]) if is_there else ((0, ""), "")
        inbox = told_json.get("inboxes", {}).get("photos", {})
        beats = len(self._beats())
        return Surfaces(
            status=flat(status.stdout),
            errors=flat(status.stderr),
            conditions=[_condition(each) for each in told_json.get("conditions", ())],
            waiting=inbox.get("waiting"),
            under_way=inbox.get("in_progress", 0) + inbox.get("deferred", 0),
            health=(health[0], flat(health[1])),
            page=flat(html.unescape(re.sub(r"<[^>]+>", " ", page))),
            alarms=self.alarms_since(since),
            systemd=self.notified.status if self.unit else "",
            log=self.daemon_now.log() if self.daemon_now else "",
            beats=beats > 0,
        )

    def _beats(self) -> list[object]:
        return [call for call in self.receiver.calls if call.method == "GET"]

    def _fetched(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
                return int(answer.status), str(answer.read().decode())
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.read().decode()
        except urllib.error.URLError:  # it does not listen yet
            return 0, ""

    def wait_until_well(self, seconds: float = 90) -> None:
        try:
            wait_until(self.is_well, seconds)
        except AssertionError:
            said = self.surfaces()
            raise AssertionError(f"not well again: {said.status}\n{said.health}\n{said.log[-3000:]}") from None

    def note_of(self, path: Path) -> str:
        """Return the reason that stands beside a picture in quarantine."""
        note = path.with_name(f"{path.name}.why.txt").read_text(encoding="utf-8")
        return next(line for line in note.splitlines() if line.startswith("What happened: ")).split(": ", 1)[1].strip()

    def is_well(self) -> bool:
        """Does everything say that all is well?"""
        if self.daemon_now is None or self._fetched("/healthz") != (200, "ok\n"):
            return False
        return WELL in self.page() and flat(self.run("status").stdout).startswith(WELL)


def _condition(facts: Mapping[str, Any]) -> Condition:
    return Condition(ConditionKind(facts["kind"]), **{name: each for name, each in facts.items() if name != "kind"})


@contextlib.contextmanager
def open_office(sandbox: Sandbox) -> Iterator[Office]:
    """Give an office whose daemon runs, and in which all is well."""
    root = tempfile.mkdtemp(prefix="watchfolder-truth-")
    notified = Notified()
    try:
        with receiving() as receiver, notified.listening():
            office = Office(Path(root), sandbox.url, receiver=receiver, notified=notified, port=free_port())
            office.arrange()
            office.start()
            try:
                office.wait_until_well()
                yield office
            finally:
                office.shares.close()
                office.stop()
                for folder in ("nas", "server", "state"):
                    office.unmount(folder)
    finally:
        shutil.rmtree(root)


__all__ = ["SOMEBODY", "WELL", "Office", "Surfaces", "files_in", "flat", "open_office"]
