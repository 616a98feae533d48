"""The commands that people are told to type: complete, for any folder and PATH, and for the host of a container."""

import itertools
import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from watchfolder.events import printable

_CONTAINER: Final = "watchfolder"  # as compose.yaml and the install pages call it, and the image


class Advised(StrEnum):
    """Every command of ours that people are told to type."""

    RUN = "run"
    ADOPT = "run --once --adopt"
    CHECK = "check"
    ACCEPT = "check --accept"
    STATUS = "status"
    EXPLAIN = "explain"
    RETRY = "retry"
    RETRY_ALL = "retry --all"
    RELEASE = "release"
    FETCH = "reconcile --fetch"
    REGISTER = "webhook register"
    REGISTER_AGAIN = "webhook register --replace"
    WEBHOOKS = "webhook list"
    REMOVE_WEBHOOK = "webhook remove"
    TRY_WEBHOOK = "webhook test"
    TRY_NOTIFY = "notify test"


class Control(StrEnum):
    """What is done to the daemon itself."""

    ENABLE = "enable --now"
    START = "start"
    RESTART = "restart"
    RELOAD = "reload"


@dataclass(frozen=True)
class ToControl:
    """`command` is what to type, "" where no command does it; `words` is the same as advice in a sentence."""

    command: str
    words: str


@dataclass(frozen=True)
class CommandLine:
    """`config_file` is "" where it is found without -c; `unit` is the systemd unit that starts this configuration."""

    program: str = "watchfolder"
    config_file: str = ""
    unit: str = ""
    in_container: bool = False

    def to(self, advised: Advised, *arguments: str) -> str:
        """Return the command. Arguments in capitals are for the person to fill in."""
        verb, dashes, options = advised.partition(" --")
        named = f" -c {quoted(self.config_file)}" if self.config_file else ""
        command = " ".join([f"{self.program} {verb}{named}{dashes}{options}", *map(quoted, arguments)])
        is_pattern = not all(map(_is_printable, arguments))  # a shell in the container has to match it
        return self._within(command, in_shell=is_pattern) if self.in_container else command

    def run(self, advised: Advised, *arguments: str) -> str:
        """Return the advice to run it: as root where a unit runs the daemon, whose files the caller may not change."""
        return self._say_run(self.to(advised, *arguments))

    def run_adopt(self, process: int | None) -> str:
        """Return the advice to stop the daemon (`process`, if it runs), adopt once, and start it again."""
        if self.in_container:  # in a container of its own, with our mounts and our user
            user = f"--env PUID={os.geteuid()} --env PGID={os.getegid()}"
            begin = f"docker stop {_CONTAINER} && docker run --rm --volumes-from {_CONTAINER} {user} {_CONTAINER} "
            return f"run: {begin}{Advised.ADOPT}; docker start {_CONTAINER}"
        adopt = self.to(Advised.ADOPT)
        if self.unit:
            return self._say_run(f"systemctl stop {self.unit} && {adopt}; systemctl start {self.unit}")
        return f"run: {_stop(process)}{adopt}; {self.to(Advised.RUN)}" if process else f"run: {adopt}"

    def as_root(self, command: str) -> str:
        """Return `command` as root types it on the host; where the daemon is in a container, it is run in there."""
        return self._within(command, "-u 0 ", in_shell=True) if self.in_container else command

    def control(self, verb: Control, *, unit: str, process: int | None, is_stuck: bool = False) -> ToControl:
        """Return how to control the daemon: it runs as this process, and as this unit where systemd started it.

        A daemon that `is_stuck` has to be killed (SIGKILL): it handles no other signal.
        """
        if self.in_container:
            command = f"docker kill -s HUP {_CONTAINER}" if verb is Control.RELOAD else f"docker {verb} {_CONTAINER}"
            return ToControl(command, command)
        if unit:
            command = f"systemctl {verb} {unit}"
            return ToControl(command, command if unit.startswith("--user ") else f"{command} (as root)")
        run = self.to(Advised.RUN)
        if verb in {Control.START, Control.ENABLE}:
            return ToControl(run, run)
        if process is None:
            return ToControl("", "send it SIGHUP" if verb is Control.RELOAD else f"stop it, then {run}")
        command = f"kill -HUP {process}" if verb is Control.RELOAD else f"{_stop(process, is_stuck=is_stuck)}{run}"
        return ToControl(command, command)

    def set_again(self, name: str, *, unit: str, process: int | None) -> ToControl:
        """Return how to start the daemon with another value of an environment variable: a running one keeps its own."""
        if self.in_container:
            command = "docker compose up --detach"
            told = f"Write the right {name} into compose.yaml, then, beside it, {command}"
            return ToControl(command, f"{told} (without Compose: docker rm --force {_CONTAINER}, and run it with that)")
        restart = self.control(Control.RESTART, unit=unit, process=process)
        if not unit:
            return ToControl(restart.command, f"Export the right {name} in a shell, then {restart.words} there")
        scope = "--user " if unit.startswith("--user ") else ""
        command = f"systemctl {scope}daemon-reload && {restart.command}"
        words = f"Write the right {name} into the unit's environment, then {command}"
        return ToControl(command, words + restart.words.removeprefix(restart.command))

    def add_to_unit(self, unit: str, drop_in_folder: str, lines: Iterable[str]) -> str:
        """Return the command that adds these lines to the unit in a drop-in, and restarts the daemon with them."""
        written = "; ".join(f"echo {shlex.quote(line)}" for line in lines)
        command = (
            f"mkdir -p {drop_in_folder} && ({written}) >>{drop_in_folder}/more-folders.conf && systemctl daemon-reload"
        )
        return f"{command} && {self.control(Control.RESTART, unit=unit, process=None).command}"

    def _say_run(self, command: str) -> str:
        return f"as root, run: {command}" if self.unit and not self.in_container else f"run: {command}"

    @staticmethod
    def _within(command: str, user: str = "", *, in_shell: bool) -> str:
        return f"docker exec {user}{_CONTAINER} {f'sh -c {shlex.quote(command)}' if in_shell else command}"


def _stop(process: int, *, is_stuck: bool = False) -> str:
    """Return what ends a process and waits until it has ended, in any shell."""
    return f"kill {'-9 ' if is_stuck else ''}{process} && while kill -0 {process} 2>/dev/null; do sleep 1; done; "


def quoted(word: str) -> str:
    """Quote a word for a shell, on one line. What is not printable (or no UTF-8) becomes a wildcard, ? or *."""
    pieces = []
    for is_plain, characters in itertools.groupby(word, _is_printable):
        text = "".join(characters)
        pieces.append(shlex.quote(text) if is_plain else "".join("?" if each.isascii() else "*" for each in text))
    return "".join(pieces) or "''"


def _is_printable(text: str) -> bool:
    return printable(text) == text
