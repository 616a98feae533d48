"""The tables in the outboxes: a line for each result, written when its order has come to its end."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from watchfolder.events import printable
from watchfolder.order import Order

Cell = str | float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The lines of an order depend on its journal entry alone: a second try finds those that it has written."""

    name: str  # of the file
    says: str  # what it holds, for a person
    columns: tuple[str, ...]
    lines: Callable[[Order], Iterable[Sequence[Cell]]]


def of_findings(name: str, facts: tuple[str, ...]) -> Ledger:
    """Return the table of what the service says of pictures; `facts` of a finding have columns of their own."""

    def lines(order: Order) -> Iterable[Sequence[Cell]]:
        for index, result in order.results:
            file = order.files[index]
            if file.finding is None or result.delivered_at is None or not result.is_to_be_told:
                continue
            when = (file.finding.checked_at or result.delivered_at).isoformat(timespec="seconds")
            told = [file.finding.facts.get(fact) for fact in facts]
            where = printable(result.delivery or file.name)
            yield [when, where, file.finding.verdict, *told, f"wf-{order.key}", file.sha256]

    says = "what the service says of the pictures here"
    return Ledger(name=name, says=says, columns=("time", "file", "verdict", *facts, "order", "sha256"), lines=lines)


def of_results(name: str) -> Ledger:
    """Return the table of who got which text: by it a leaked copy is traced to its recipient."""

    def lines(order: Order) -> Iterable[Sequence[Cell]]:
        for index, result in order.results:
            if result.delivered_at is not None and result.is_to_be_told:
                when, where = result.delivered_at.isoformat(timespec="seconds"), printable(result.delivery or "")
                sources = (f"wf-{order.key}", order.files[index].sha256, result.sha256)
                yield [when, where, printable(result.recipient or ""), result.text, *sources]

    columns = ("time", "file", "recipient", "text", "order", "sha256_source", "sha256_result")
    return Ledger(name=name, says="the watermarks that were given out here", columns=columns, lines=lines)
