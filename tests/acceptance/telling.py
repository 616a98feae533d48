"""A person where watchfolder is installed: reads what every surface says, and types what is said as it stands."""

import html
import json
import re
from typing import Protocol

from waiting import wait_until

from watchfolder.report.conditions import Condition, ConditionKind, told

SECONDS = 90.0
WELL = "All done, nothing waits"
AS_ROOT = re.compile(r"as root, run: ([^)]+)\)")


class Place(Protocol):
    """Where it is installed: a shell there, its page, and what starts it."""

    def type(self, command: str) -> str: ...

    def fetched(self, path: str) -> str: ...

    def others(self) -> list[str]:
        """Return what besides status and page says how it goes."""


class Teller:
    """Reads what is said in a place, and does it."""

    def __init__(self, place: Place, call: str) -> None:
        self.place = place
        self.call = call  # what people type to reach the program

    def expect(self, kind: ConditionKind, *words: str) -> Condition:
        """Wait until all surfaces say it, and the same; return the condition with the whole sentence as its words."""
        said: dict[str, str] = {}

        def is_said_by_all() -> bool:
            found = self.conditions(kind)
            if not found:  # nor does `status` succeed before a start has come as far as its state folder
                said.update(sentence="no such condition", page=self.page())
                return False
            said.update(sentence=told(found), status=self.status(), page=self.page())
            said.update({f"other {number}": flat(text) for number, text in enumerate(self.place.others())})
            return all(said["sentence"] in text for text in said.values())

        wait_until(is_said_by_all, SECONDS, lambda: f"all say {kind}: {said}")
        assert all(word in said["sentence"] for word in words), said
        return Condition(kind, said["sentence"], command=self.conditions(kind)[0].command)

    def do(self, condition: Condition) -> str:
        assert condition.command in condition.words
        return self.place.type(condition.command)

    def expect_well(self) -> None:
        def is_well() -> bool:
            return WELL in self.page() and self.status().startswith(WELL) and self.place.fetched("/healthz") == "ok\n"

        wait_until(is_well, SECONDS, lambda: f"all is well: {self.status()}")

    def conditions(self, kind: ConditionKind) -> list[Condition]:
        said = self.place.fetched("/api/status")
        found = json.loads(said).get("conditions", ()) if said.startswith("{") else ()  # else it is just starting
        return [Condition(**{**each, "kind": kind}) for each in found if each["kind"] == kind]

    def status(self) -> str:
        return flat(self.place.type(f"{self.call} status"))

    def page(self) -> str:
        return flat(html.unescape(re.sub(r"<[^>]+>", " ", self.place.fetched("/main"))))


def flat(text: str) -> str:
    return " ".join(text.split())
