"""What the bursts must reach, each with what was found."""

from collections.abc import Iterator, Sequence

from bursts import THE_CARD, THE_WEDDING
from figures import Burst, Figure, Row, at_most, under

JUDGED = (THE_CARD, THE_WEDDING)
_SAME = 1.1  # within 10 %
_CHEAPER = 15


def judge(ours: Sequence[Row], theirs: Sequence[Row]) -> Iterator[Figure]:
    card, wedding = find(ours, THE_CARD), find(ours, THE_WEDDING)
    if card is not None:
        yield from _judge_card(card)
        yield from _judge_cpu(card, theirs)
    if card is not None and wedding is not None:
        yield from _judge_wedding(card, wedding)
    sins = sum(row.sins for row in ours if row.burst in JUDGED)
    yield Figure("both: breaches of the contract seen by the sandbox", str(sins), "none", sins == 0)


def find(rows: Sequence[Row], burst: Burst) -> Row | None:
    return next((row for row in rows if row.burst == burst), None)


def _judge_card(card: Row) -> Iterator[Figure]:
    what, whole = f"{card.burst}", card.is_whole
    yield Figure(f"{what}: delivered", f"{card.delivered:,}", "all", whole)
    yield at_most(f"{what}: API requests a file", card.requests_per_file, 0.1, "{:.3f}", counts=whole)
    yield at_most(f"{what}: answers of 429", card.refusals, 5, "{}", counts=whole)
    yield at_most(f"{what}: times the ideal", card.times_ideal, 1.3, "{:.2f}", counts=whole)
    yield under(f"{what}: peak memory", card.peak_mib or 0.0, 120, "{:.0f} MiB", counts=whole)


def _judge_cpu(card: Row, theirs: Sequence[Row]) -> Iterator[Figure]:
    what, target = f"{card.burst}: CPU a file, of the cheapest shell script's", f"at most 1/{_CHEAPER}"
    scripts = [row.cpu_ms_per_file for row in theirs if row.is_whole and row.who.startswith("script")]
    if not scripts:
        yield Figure(what, "not measured", target, is_reached=False)
        return
    times = min(scripts) / card.cpu_ms_per_file
    yield Figure(what, f"1/{times:.1f}", target, card.is_whole and times >= _CHEAPER)


def _judge_wedding(card: Row, wedding: Row) -> Iterator[Figure]:
    yield at_most(f"{wedding.burst}: answers of 429", wedding.refusals, 5, "{}", counts=wedding.is_whole)
    yield under(f"{wedding.burst}: peak memory", wedding.peak_mib or 0.0, 120, "{:.0f} MiB", counts=wedding.is_whole)
    pairs = (
        ("API requests a file", wedding.requests_per_file, card.requests_per_file),
        ("CPU a file", wedding.cpu_ms_per_file, card.cpu_ms_per_file),
        ("times the ideal", wedding.times_ideal, card.times_ideal),
    )
    for what, found, before in pairs:
        told = f"{found / before - 1:+.0%} against the thousand"
        yield Figure(f"{wedding.burst}: {what}", told, "within 10 %", wedding.is_whole and found <= _SAME * before)
