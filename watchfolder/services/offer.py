"""All services that can be bought, by the names that the configuration, the journal and the history have for them."""

from collections.abc import Mapping
from typing import Protocol

from watchfolder.services.anti_ai import ANTI_AI
from watchfolder.services.flow import Flow

FLOWS: Mapping[str, Flow] = {flow.name: flow for flow in (ANTI_AI,)}


class _Bought(Protocol):
    """An inbox or an order."""

    @property
    def service(self) -> str: ...


def flow_of(bought: _Bought) -> Flow:
    return FLOWS[bought.service]
