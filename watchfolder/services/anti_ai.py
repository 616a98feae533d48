"""Anti-AI protection: a picture comes back protected, at the strength of its inbox.

Source: the vendor's API description as of 2026-10-09. When a credit is taken is not documented: assumed at the start.
"""

import json
from collections.abc import Mapping, Sequence

from watchfolder.order import Key
from watchfolder.services.flow import Flow, Stage


def _body(key: Key, sent_names: Sequence[str], options: Mapping[str, str]) -> str:
    files = [{"fileName": name} for name in sent_names]
    return json.dumps({"idempotencyKey": key, "files": files, "options": options, "orderName": f"wf-{key}"})


ANTI_AI = Flow(
    name="anti-ai",
    type="antiAi",
    done="protected",
    charged_at=Stage.START,
    files=range(1, 101),
    requests=5,  # create, start, two looks, the links
    create_path="/api/v2/orders/anti-ai",
    start_path="/api/v2/orders/anti-ai/confirm",
    body=_body,
    options={"strength": frozenset({"low", "standard", "high"})},
)
