"""Anti-AI protection: a picture comes back protected, at the strength of its inbox.

Source: the vendor's API description as of 2026-10-09. When a credit is taken is not documented: assumed at the start.
"""

import json
from collections.abc import Mapping, Sequence
from typing import get_args

from watchfolder.config import Strength
from watchfolder.order import Key, OrderFile
from watchfolder.services.flow import Flow, Stage, body_of, named


def _body(key: Key, files: Sequence[OrderFile], options: Mapping[str, str]) -> str:
    asked = {"files": [body_of(file) for file in files], "options": options, "orderName": f"wf-{key}"}
    return json.dumps({"idempotencyKey": key, **asked})


def _read_body(body: str) -> Sequence[OrderFile]:
    asked = json.loads(body)["files"]
    return [named(file["fileName"], address=file.get("originalFileUrl", "")) for file in asked]


ANTI_AI = Flow(
    name="anti-ai",
    type="antiAi",
    done="protected",
    charged_at=Stage.START,
    files=range(1, 101),
    requests=5,  # create, start, two polls, the links
    create_path="/api/v2/orders/anti-ai",
    start_path="/api/v2/orders/anti-ai/confirm",
    body=_body,
    read_body=_read_body,
    takes_addresses=True,
    options={"strength": frozenset(get_args(Strength))},
)
