"""A stand-in for the BIZ MORI service on this machine: for the demo, the tests and the newcomer."""

from watchfolder.sandbox.faults import PlannedFault
from watchfolder.sandbox.options import Dialect, Options
from watchfolder.sandbox.stand_in import Sandbox
from watchfolder.sandbox.state import RequestRecord
from watchfolder.sandbox.storage import ORIGIN
