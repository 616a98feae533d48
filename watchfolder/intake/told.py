"""What the intake tells of the files that it has not taken: counts and reasons, bounded."""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from watchfolder.intake.look import Action, Decision
from watchfolder.intake.settle import Sighting
from watchfolder.snapshot import OutOfReach

if TYPE_CHECKING:
    from watchfolder.intake.obstacles import Obstacle

_MAX_TOLD = 1000

Decisions = Mapping[str, Decision]
Sightings = Mapping[str, Sighting]


def counts(sightings: Sightings, decisions: Decisions, taken: frozenset[str]) -> dict[str, int]:
    """Return how many files there are by answer; those not decided yet wait; `raw` of those that stay are RAW.

    `single` of those that wait lack their partner. What was `taken` is an order's, though it may still be seen here.
    """
    found = Counter(str(decision.answer) for name, decision in decisions.items() if name not in taken)
    found[str(Action.WAIT)] += sum(name not in decisions and name not in taken for name in sightings)
    return dict(found) | {
        "raw": sum(decision.is_raw for decision in decisions.values()),
        "single": sum(decision.lacks_partner for decision in decisions.values()),
    }


def out_of_reach(decisions: Decisions) -> list[OutOfReach]:
    """Return the folders whose pictures cannot be taken, the one with the most of them first."""
    shared: dict[tuple[str, str], list[Obstacle]] = {}
    for each in (decision.obstacle for decision in decisions.values() if decision.obstacle):
        shared.setdefault((each.folder, each.together or each.reason), []).append(each)
    found = [
        OutOfReach(
            folder=folder,
            files=sum(each.files for each in same),
            reason=same[0].reason,
            command=same[0].together if len(same) > 1 else same[0].command,
        )
        for (folder, _), same in shared.items()
    ]
    return sorted(found, key=lambda each: -each.files)


def remarks(decisions: Decisions) -> dict[str, str]:
    """Return the files that a person should know of, with the reason."""
    told = ((name, each.reason) for name, each in decisions.items() if each.is_warning or each.lacks_partner)
    return dict(itertools.islice(told, _MAX_TOLD))


def oldest_waiting(sightings: Sightings, decisions: Decisions) -> float | None:
    """Return when (monotonic seconds) the longest-waiting file was first seen."""
    for name, sighting in itertools.islice(sightings.items(), _MAX_TOLD):
        decision = decisions.get(name)
        if decision is None or decision.answer is Action.WAIT:
            return sighting.first_seen
    return None


def unfinished(decisions: Decisions, quiet: Iterable[str], held: str) -> dict[str, str]:
    """Return files that were left for later, with the reason."""
    left = {name: each.reason for name, each in decisions.items() if each.answer is Action.WAIT}
    left |= dict.fromkeys(quiet, f"held: {held}" if held else "it waits for its turn")
    return dict(itertools.islice((remarks(decisions) | left).items(), _MAX_TOLD))
