"""A small file of ours in the state directory: read forgivingly, for what it says can be found out anew."""

import logging
from typing import TypeVar

from pydantic import BaseModel

from watchfolder import disk
from watchfolder.disk import Place
from watchfolder.events import event

_LIMIT = 16 << 20  # bytes

Content = TypeVar("Content", bound=BaseModel)


def read(place: Place, model: type[Content], effect: str) -> Content | None:
    """Return what the file holds; None if there is no file, or if it cannot be understood, which is logged.

    `effect`, for the log, says what follows from that. Raises FolderFault.
    """
    try:
        return model.model_validate_json(disk.read_bytes(place, _LIMIT))
    except FileNotFoundError:
        return None
    except ValueError:
        event("state.unreadable", logging.WARNING, file=place.path, effect=effect)
        return None


def write(place: Place, content: BaseModel, *, durable: bool = True) -> None:
    """Replace the file in one step. Raises FolderFault."""
    disk.write_atomically(place, content.model_dump_json(indent=1).encode(), durable=durable)
