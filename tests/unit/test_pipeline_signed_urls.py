"""How often the service is asked for links: for all files of a round at once, and after a refusal once more."""

import pytest

from watchfolder.errors import OrderRetry
from watchfolder.pipeline import timing
from watchfolder.pipeline.signed_urls import Asking


def test_a_failure_to_get_links_holds_for_all_files_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[str]()

    def ask() -> None:
        asked.append("links")
        raise OrderRetry("no link")

    asking = Asking(ask)
    for _ in range(3):
        with pytest.raises(OrderRetry):
            asking.ask_again()
    assert len(asked) == 1
    monkeypatch.setattr(timing, "LINKS_SECONDS", 0.0)
    with pytest.raises(OrderRetry):
        asking.ask_again()
    assert len(asked) == 2
