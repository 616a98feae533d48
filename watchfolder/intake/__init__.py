"""Look, wait until a file has settled, claim it: one inbox, one beat at a time."""

from watchfolder.intake.candidates import UnderWay
from watchfolder.intake.claim import Claims
from watchfolder.intake.decide import Action, Decision, Ready
from watchfolder.intake.dedup import DedupScope
from watchfolder.intake.explain import Beside, explain
from watchfolder.intake.inbox import Intake
