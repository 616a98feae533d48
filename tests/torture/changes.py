"""Lives between which a person changes the configuration, as docs/configuration.md tells how to."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from stage import Picture, Stage, other_file_system, picture
from stories import STORIES, Outcome, Story
from witness import unmarked

_LIVES = (
    "one file",
    "three in one order",
    "split",
    "quarantine: failed",
    "reuse",
    "detection: all beside",
    "embed: three",
    "links: list",
)
_LIVES_OF_MORE = (*_LIVES, "retry", "extract")  # of which the inbox before would keep a part


def _move(*names: str) -> Callable[[Stage], None]:
    """Give folders other places, with all that is hidden in them."""

    def change(stage: Stage) -> None:
        for name in names:
            stage.folder(name).mkdir(exist_ok=True)  # the first run makes the originals
            stage.elsewhere[name] = stage.folder(name).rename(stage.root / f"new {name}")

    return change


def _set(**settings: object) -> Callable[[Stage], None]:
    """Give the inbox these settings, and no others."""

    def change(stage: Stage) -> None:
        stage.settings = settings

    return change


def _begin_elsewhere(stage: Stage) -> None:
    _begin_in(stage.root / "new inbox", stage)


def _begin_on_another_disk(stage: Stage) -> None:
    _begin_in(other_file_system() or stage.root / "new inbox", stage)


def _begin_in(folder: Path, stage: Stage) -> None:
    stage.elsewhere["inbox"] = folder
    for name in ("inbox", "originals"):  # they are not beside the inbox any more, so a person makes them
        stage.folder(name).mkdir(exist_ok=True)


def _take_out_for_a_while(stage: Stage) -> None:
    """Let a daemon run that does not know the inbox: what is under way waits until it is back."""
    stage.has_inbox = False
    stage.run()
    stage.has_inbox = True


def _stop_for_a_while(stage: Stage) -> None:
    """What is under way comes out, and what is in the inbox stays there."""
    stage.settings["ignore"] = ["*"]
    stage.finish()
    del stage.settings["ignore"]


def _beside_another(story: Story) -> Callable[[Stage], Outcome]:
    def set_up(stage: Stage) -> Outcome:
        stage.add_inbox("press")
        return story.set_up(stage)

    return set_up


def _some_left_behind(story: Story) -> Callable[[Stage], Outcome]:
    """What waits in the old inbox stays there; what is under way goes over by itself."""

    def set_up(stage: Stage) -> Outcome:
        outcome, old = story.set_up(stage), stage.root / "inbox"

        def is_left(each: Picture) -> bool:
            place = old / each.name
            return place.exists() and place.read_bytes() == (each.link or each.content)

        def left_out() -> Sequence[Picture]:
            pictures = outcome()
            if stage.folder("inbox") == old:
                return pictures
            if any(each.is_list and is_left(each) for each in pictures):
                return []  # nothing has become of its lines
            return [each for each in pictures if not is_left(each)]

        return left_out

    return set_up


def _one_for_either_service(stage: Stage) -> Outcome:
    """The service for which it was taken finishes it."""
    one = picture("a.jpg", 1)
    stage.drop(one)

    def outcome() -> Sequence[Picture]:
        delivered = stage.folder("outbox") / one.name
        return [replace(one, is_marked=delivered.exists() and bool(unmarked(delivered.read_bytes(), is_marked=True)))]

    return outcome


def _one_for_somebody(stage: Stage) -> Outcome:
    """Its recipient is the one of the time at which it was taken."""
    stage.settings = _marking("Times")
    one = replace(picture("a.jpg", 1), is_marked=True)
    stage.drop(one)

    def outcome() -> Sequence[Picture]:
        is_later = (stage.folder("outbox") / "Sun").exists()
        return [replace(one, delivered_as="Sun/a.jpg" if is_later else "Times/a.jpg")]

    return outcome


def _marking(*recipients: str) -> dict[str, object]:
    return {"service": "watermark-embed", "watermark": {"text": "© Berg {serial}", "recipients": recipients}}


def _anywhere(life: Story) -> Sequence[Story]:
    """Return the life, once for each change that any inbox may meet."""
    return [
        Story(f"inbox moved: {life.name}", life.set_up, change=_move("inbox")),
        Story(f"inbox taken out for a while: {life.name}", _beside_another(life), change=_take_out_for_a_while),
        Story(f"inbox stopped for a while: {life.name}", life.set_up, change=_stop_for_a_while),
        Story(f"outbox and quarantine moved: {life.name}", life.set_up, change=_move("outbox", "quarantine")),
        Story(f"state moved: {life.name}", life.set_up, change=_move("state")),
    ]


def _begun_elsewhere(life: Story) -> Sequence[Story]:
    set_up = _some_left_behind(life)
    return [
        Story(f"inbox begun elsewhere: {life.name}", set_up, change=_begin_elsewhere),
        Story(f"inbox begun on another disk: {life.name}", set_up, change=_begin_on_another_disk),
    ]


_OTHER = {"strength": "low", "max_files_per_order": 1, "duplicates": "reuse", "delivered_time": "now"}
CHANGED = {
    story.name: story
    for story in (
        *(story for name in _LIVES_OF_MORE for story in _anywhere(STORIES[name])),
        *(story for name in _LIVES for story in _begun_elsewhere(STORIES[name])),
        Story("originals moved: one file", STORIES["one file"].set_up, change=_move("originals")),
        Story("another service: one file", _one_for_either_service, change=_set(**_marking())),
        Story("another recipient: one file", _one_for_somebody, change=_set(**_marking("Sun"))),
        Story("other settings: one file", STORIES["one file"].set_up, change=_set(**_OTHER)),
    )
}
