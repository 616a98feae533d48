"""All services that can be bought, by the names that the configuration, the journal and the history have for them."""

from collections.abc import Mapping

from watchfolder.config import Inbox
from watchfolder.order import Finding, Order
from watchfolder.services.ai_detection import AI_DETECTION
from watchfolder.services.anti_ai import ANTI_AI
from watchfolder.services.flow import Flow
from watchfolder.services.watermark_embed import WATERMARK_EMBED
from watchfolder.services.watermark_extract import WATERMARK_EXTRACT

FLOWS: Mapping[str, Flow] = {flow.name: flow for flow in (ANTI_AI, WATERMARK_EMBED, WATERMARK_EXTRACT, AI_DETECTION)}
LEDGERS = {flow.ledger.name: flow.ledger for flow in FLOWS.values() if flow.ledger is not None}
SIDECARS = tuple(flow.findings.sidecar for flow in FLOWS.values() if flow.findings is not None)
"""The suffixes of the files beside a picture that say what a service has found in it."""


def flow_of(bought: Inbox | Order) -> Flow:
    return FLOWS[bought.service]


def picture_told_of(name: str) -> str:
    """Return the name of the picture that a sidecar is about; any other name as it is."""
    return name.removesuffix(next(filter(name.endswith, SIDECARS), ""))


def words_of(service: str, finding: Finding | None) -> str:
    """Return what a finding means, for a person; "" where there is none, or its service is no longer known."""
    findings = FLOWS[service].findings if service in FLOWS else None
    return findings.say(finding) if findings and finding else ""
