"""The table: what can be so, how it is brought about, what is true then, and how a person mends it by what was said."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cli_studio import KEY
from truth_office import SOMEBODY, Office, Surfaces

from watchfolder.report.conditions import ConditionKind
from watchfolder.sandbox import Sandbox

NEW_KEY = "sk_new_0123456789"
KEYS = (KEY, NEW_KEY)  # of one account


@dataclass(frozen=True)
class Scene:
    """An office and the service's stand-in."""

    office: Office
    sandbox: Sandbox


@dataclass(frozen=True)
class Situation:
    """`truth` is what must be said, known from how it was brought about, and not from the program.

    `begin` returns the file to ask `explain` about, if there is one. `mend` does what the sentences say.
    `unless` names the surfaces that cannot tell, each with its reason.
    """

    name: str
    kind: ConditionKind
    section: int  # of docs/operations.md
    begin: Callable[[Scene], Path | None]
    truth: tuple[str, ...]
    mend: Callable[[Scene, Surfaces], None]
    event: str = ""  # that the log has of it
    explained: str = ""  # what explain says, where that is not the sentence itself
    unless: Mapping[str, str] | None = None


def _type_command(scene: Scene, said: Surfaces, kind: ConditionKind) -> None:
    command = said.command(kind)
    assert command
    assert command in said.sentence(kind)
    scene.office.type_in(command)


# --- pictures that cannot be taken


def _anna_makes_a_folder(scene: Scene) -> Path:
    paths = scene.office.drop_pictures(3, "Anna's day/", seed=100)
    folder = paths[0].parent
    for path in (folder, *paths):
        os.chown(path, SOMEBODY, SOMEBODY)
    folder.chmod(0o755)
    return paths[0]


def _open_what_anna_made(scene: Scene, said: Surfaces) -> None:
    _type_command(scene, said, ConditionKind.OUT_OF_REACH)


# --- the key


def _the_service_takes_another_key(scene: Scene) -> Path:
    scene.sandbox.keys = [NEW_KEY]
    scene.office.drop_pictures(2, seed=200)
    return scene.office.folder("inbox") / "201.jpg"


def _write_the_right_key(scene: Scene, said: Surfaces) -> None:
    assert str(scene.office.key_file) in said.sentence(ConditionKind.KEY_REFUSED)
    scene.office.key_file.write_text(NEW_KEY, encoding="ascii")
    _type_command(scene, said, ConditionKind.KEY_REFUSED)
    scene.sandbox.keys = KEYS


SITUATIONS = (
    Situation(
        "a folder of umask 022",
        ConditionKind.OUT_OF_REACH,
        1,
        _anna_makes_a_folder,
        ("3 files cannot be taken", "Anna's day", "mode 0755"),
        _open_what_anna_made,
        event="file.stays",
        explained="we may not move it",
    ),
    Situation(
        "the key is refused",
        ConditionKind.KEY_REFUSED,
        3,
        _the_service_takes_another_key,
        ("the service refuses the API key", "Nothing is lost"),
        _write_the_right_key,
        event="service.blocked",
    ),
)
