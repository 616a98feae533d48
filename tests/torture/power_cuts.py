"""Power cuts: what each can leave is laid out anew, beside the service as it then was, and a daemon started on it."""

import copy
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from campaign import Verdict
from deaths import breaks
from faults import Trait
from stage import Picture, Stage
from stories import Story
from strace_log import Recording, traced
from witness import complaints
from worst_disk import Disk, State, states

from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.front import Front

_KNOWN = ("orders", "created", "confirms", "marks", "reports", "usage", "_credits", "_paid_files", "_to_give_back")


@dataclass(frozen=True)
class Service:
    """What the service knew at one moment. A power cut takes nothing back from it."""

    known: dict[str, object] = field(repr=False)
    uploads: dict[str, bytes] = field(repr=False)
    origins: dict[str, bytes | None] = field(repr=False)  # what lies at addresses
    port: int  # of the program, from which the request came that it heard last

    @classmethod
    def of(cls, sandbox: Sandbox, port: int = 0) -> "Service":
        state = sandbox._state
        with state.lock:
            known = copy.deepcopy({name: getattr(state, name) for name in _KNOWN})
            files = [file for order in state.orders.values() for file in order.files]
            uploads = {str(file.path): file.path.read_bytes() for file in files if file.path}
            return cls(known, uploads, dict(sandbox.origins), port)

    def restore(self, sandbox: Sandbox) -> None:
        state = sandbox._state
        sandbox.origins = dict(self.origins)
        with state.lock:
            for name, value in copy.deepcopy(self.known).items():
                setattr(state, name, value)
            for order in state.orders.values():
                for file in order.files:
                    if file.path:
                        content = self.uploads[str(file.path)]
                        file.path = sandbox._folder / file.path.name
                        file.path.write_bytes(content)


@dataclass(frozen=True)
class Scene:
    """What a story had set up, beside what lies on the disk."""

    pictures: Sequence[Picture]
    foreign: dict[str, bytes]
    settings: dict[str, object]
    traits: Trait
    root: str

    def set_up(self, stage: Stage) -> None:
        stage.clear()
        stage.settings = dict(self.settings)
        stage.foreign, stage.traits = dict(self.foreign), self.traits

    @classmethod
    def of(cls, stage: Stage, pictures: Sequence[Picture]) -> "Scene":
        assert not stage.elsewhere, "the model knows one file system"
        return cls(pictures, dict(stage.foreign), dict(stage.settings), stage.traits, str(stage.root))


@dataclass(frozen=True)
class Cut:
    group: str
    scene: Scene
    state: State
    service: Service


def cuts_of(stage: Stage, group: str, story: Story) -> Iterator[Cut]:
    """Record one undisturbed life, and give every state that a power cut in it can leave."""
    stage.clear()
    outcome = story.set_up(stage)
    before, log = Disk.of(stage.root), stage.aside / "strace"
    with noted_services(stage.sandbox) as services:
        ending = stage.run_watched(traced(log), mischief=story.mischief)
    found = complaints(stage, outcome())
    assert ending.word in {"done", "quarantined"}, ending
    assert not found, found
    recording = Recording(before, stage.root)
    recording.read(log)
    scene = Scene.of(stage, outcome())
    for state in states(before, recording.operations):
        yield Cut(group, scene, state, _after(services, state.requests))


def _after(services: Sequence[Service], ports: Iterable[int]) -> Service:
    """Return the service as it was last while it had heard nothing but the requests from these ports.

    It may have heard those of several threads in another order than they were sent in.
    """
    last, out = services[0], Counter(ports)
    for service in services[1:]:
        if not out[service.port]:
            break
        out[service.port] -= 1
        last = service
    return last


@contextmanager
def noted_services(sandbox: Sandbox, then: Callable[[int], None] = lambda _count: None) -> Iterator[list[Service]]:
    """Give a list that gets the service's state after each request, before its answer leaves; the first is now.

    It hears one at a time, so that no state holds half of what another request does.
    """
    services = [Service.of(sandbox)]
    lock = threading.Lock()
    call = Front.__call__

    def noting(self: Front, environ: dict[str, Any], start_response: object) -> object:
        with lock:
            answer = call(self, environ, start_response)  # type: ignore[arg-type] # passed on as they came
            services.append(Service.of(sandbox, int(environ["REMOTE_PORT"])))
            then(len(services) - 1)
        return answer

    with patch.object(Front, "__call__", noting):
        yield services


def play(stage: Stage, cut: Cut) -> Verdict:
    cut.scene.set_up(stage)
    moved(cut.state, cut.scene.root, stage.root).lay_out(stage.root)
    cut.service.restore(stage.sandbox)
    return Verdict(cut.group, was_struck=True, faults=judge(stage, cut.scene.pictures), at=cut.state.label)


def judge(stage: Stage, pictures: Sequence[Picture]) -> list[str]:
    """Let the daemon go on with what is there, and say what is wrong in the end."""
    ending = stage.finish()
    found = [] if ending.word in {"done", "quarantined"} else [f"ended: {ending.word} {ending.error} {ending.left}"]
    return [*found, *complaints(stage, pictures), *breaks(stage)]


def moved(state: State, old: str, new: Path) -> State:
    """Return the state as if it had been recorded at another root: some files of ours hold whole paths."""
    contents = {node: data.replace(old.encode(), str(new).encode()) for node, data in state.disk.contents.items()}
    return replace(state, disk=replace(state.disk, contents=contents))
