"""Look, wait until a file has settled, claim it: one inbox, one beat at a time."""

from watchfolder.intake.claim import Claims
from watchfolder.intake.dedup import DedupScope
from watchfolder.intake.explained import Beside, explain
from watchfolder.intake.inbox import Intake
from watchfolder.intake.look import Action, Decision
from watchfolder.intake.ready import Ready
from watchfolder.intake.under_way import UnderWay

__all__ = [
    "Action",
    "Beside",
    "Claims",
    "Decision",
    "DedupScope",
    "Intake",
    "Ready",
    "UnderWay",
    "explain",
]
