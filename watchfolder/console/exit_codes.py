"""How the program ends, for scripts and for systemd/watchfolder.service, which quotes these numbers."""

from typing import Final

DONE: Final = 0
"""Everything that was asked for is done."""

QUARANTINED: Final = 1
"""Done, but some files were quarantined: each has a note beside it that says why."""

USAGE: Final = 2
"""The arguments are wrong, or name a file that is not there; nothing was done."""

DIFFERS: Final = 3
"""Looked at everything and found a difference: a delivered file that changed, or an order that only one side knows."""

LOCKED: Final = 69
"""Another instance holds the state directory."""

UNFINISHED: Final = 75
"""Stopped before the end, or not allowed or able to look; trying again may help."""

CONFIG: Final = 78
"""The configuration, a folder that it names, or the installation is wrong; trying again will not help."""
