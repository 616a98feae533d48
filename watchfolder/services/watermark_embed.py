"""Watermark embed: a copy of each file for each recipient, with an invisible text in it that no other copy has.

Source: the vendor's API description as of 2026-10-09. It starts by itself when it has the last file, so the last upload
is the purchase; where it fetches all files by their addresses, the create is. Its orders have no name of ours: the key
alone, with the very same body, finds one again. Outputs are told apart by the input's id and the text, since all of one
input have the same name.
"""

import json
import os
from collections.abc import Mapping, Sequence
from datetime import date

from watchfolder.config import FIRST_FOLDER, Inbox
from watchfolder.events import printable
from watchfolder.images import Mode
from watchfolder.order import Key, OrderFile, Result
from watchfolder.services.flow import Flow, Issues, Stage, body_of, named
from watchfolder.services.ledgers import of_results
from watchfolder.watermark_text import Field, Template


def _body(key: Key, files: Sequence[OrderFile], _options: Mapping[str, str]) -> str:
    asked = [body_of(file) | {"watermarks": [{"text": result.text} for result in file.results]} for file in files]
    return json.dumps({"idempotencyKey": key, "files": asked})


def _read_body(body: str) -> Sequence[OrderFile]:
    files = []
    for asked in json.loads(body)["files"]:
        results = tuple(Result(text=mark["text"]) for mark in asked["watermarks"])
        files.append(named(asked["fileName"], address=asked.get("originalFileUrl", ""), results=results))
    return files


def _copies(inbox: Inbox, name: str) -> tuple[Result, ...]:
    """Return a copy for each recipient, or one without; none for a file that lacks the folder to name its recipient."""
    wanted = inbox.watermark.recipients
    if wanted == FIRST_FOLDER:
        first, slash, _ = name.partition("/")
        return (Result(recipient=first),) if slash else ()
    return tuple(Result(recipient=each, folder=each) for each in wanted) or (Result(),)


def _text(inbox: Inbox, name: str, copy: Result, serial: str, today: date) -> str:
    folder, base = os.path.split(name)
    is_sorted = inbox.watermark.recipients == FIRST_FOLDER
    facts = {
        Field.NAME: printable(base),
        Field.STEM: printable(os.path.splitext(base)[0]),
        Field.FOLDER: printable(folder.partition("/")[2] if is_sorted else folder),
        Field.YEAR: f"{today:%Y}",
        Field.DATE: today.isoformat(),
        Field.RECIPIENT: printable(copy.recipient or ""),
        Field.SERIAL: serial,
    }
    return Template.parse(inbox.watermark.text).fill(facts)


WATERMARK_EMBED = Flow(
    name="watermark-embed",
    type="watermarkEmbed",
    done="marked",
    charged_at=Stage.UPLOAD,
    files=range(1, 101),
    requests=4,  # create, two polls, the links
    create_path="/api/v3/orders/wtr-embed",
    body=_body,
    read_body=_read_body,
    takes_pdf=True,
    takes_addresses=True,
    refuses=frozenset(Mode),
    refunds_failed=True,
    is_listed=False,
    needs_v3=True,
    issues=Issues(copies=_copies, text=_text),
    ledger=of_results("watermarks.csv"),
)
