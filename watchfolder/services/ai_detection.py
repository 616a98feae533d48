"""AI detection: how likely is it that a picture was made by a machine? The picture itself comes out untouched.

Source: the vendor's API description as of 2026-10-09. An order holds one picture and has a start of its own, which may
be repeated. The verdict is in the order's read and in the order list as well, so that one call to the list tells those
of a hundred orders. There is no result to fetch.
"""

import json
from bisect import bisect
from collections.abc import Mapping, Sequence

from watchfolder.config import VERDICTS
from watchfolder.images import Format
from watchfolder.order import Finding, Key, OrderFile
from watchfolder.services.flow import Findings, Flow, Stage, named
from watchfolder.services.ledgers import of_findings

_VERDICTS = VERDICTS["ai-detection"]
_WORDS = {
    "likely_real": "likely not made by AI",
    "uncertain_real": "uncertain, rather not made by AI",
    "uncertain_ai": "uncertain, rather made by AI",
    "likely_ai": "likely made by AI",
}
_BOUNDS = (0.25, 0.5, 0.75)  # of the probability, from one verdict to the next


def _body(key: Key, files: Sequence[OrderFile], _options: Mapping[str, str]) -> str:
    (file,) = files
    body = {"idempotencyKey": key, "fileName": file.sent_name, "orderName": f"wf-{key}"}
    return json.dumps(body | {"options": {"generateHeatmap": True}})  # it is free, and cannot be asked for later


def read_finding(shown: Mapping[str, object]) -> Finding | None:
    """Return the finding of a complete order, as its read or the list shows it; None where it tells nothing."""
    result = shown.get("result")
    told = result if isinstance(result, dict) else shown
    probability = _probability(told.get("probability"))
    word = told.get("verdict") or told.get("statusCode")
    if word not in _VERDICTS:
        if probability is None:
            return None
        word = _VERDICTS[bisect(_BOUNDS, probability)]
    return Finding(verdict=str(word), facts={"probability": probability})


def _heatmap(shown: Mapping[str, object]) -> str | None:
    result = shown.get("result")
    address = result.get("heatmapUrl") if isinstance(result, dict) else None
    return address if isinstance(address, str) and address else None


def _say(finding: Finding) -> str:
    probability = finding.facts.get("probability")
    how_sure = f" (probability {probability:.0%})" if isinstance(probability, float) else ""
    return f"{_WORDS[finding.verdict]}{how_sure}" if finding.verdict in _WORDS else finding.verdict


def _probability(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):  # a decimal can come as text
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number <= 1 else None


AI_DETECTION = Flow(
    name="ai-detection",
    type="aiDetection",
    done="checked",
    charged_at=Stage.START,
    files=range(1, 2),
    requests=3,  # create, start, its share of the list
    create_path="/api/v2/orders/ai-detection",
    start_path="/api/v2/orders/ai-detection/confirm",
    body=_body,
    read_body=lambda body: [named(json.loads(body)["fileName"])],
    extensions={Format.TIFF: ".tiff"},
    findings=Findings(
        read=read_finding,
        sidecar=".ai.json",
        say=_say,
        caution="A probability is no proof: ask where the picture comes from before you act on it.",
        heatmap=_heatmap,
    ),
    ledger=of_findings("verdicts.csv", ("probability",)),
)
