"""How counts, and what is wrong, read."""

from datetime import UTC, datetime

import pytest

from watchfolder.config import ApiSection
from watchfolder.report import phrases
from watchfolder.snapshot import Snapshot


@pytest.mark.parametrize(
    ("number", "verb", "said"),
    [
        (0, "", "0 files"),
        (1, "", "1 file"),
        (2, "", "2 files"),
        (1, "need", "1 file needs"),
        (2, "need", "2 files need"),
    ],
)
def test_one_file_is_no_plural(number: int, verb: str, said: str) -> None:
    assert phrases.files(number, verb=verb) == said


@pytest.mark.parametrize(
    ("origin", "remedy"),
    [
        ("file", "Write the right key into /keys/bizmori, then systemctl reload watchfolder"),
        ("credential", "Write the right key into /keys/bizmori, then systemctl restart watchfolder"),
        ("environment", "Write the right key into $BIZMORI_API_KEY, then systemctl restart watchfolder"),
    ],
)
def test_a_refused_key_is_replaced_where_it_came_from(origin: str, remedy: str) -> None:
    api = ApiSection.model_validate({"key": "sk_live_0123456789", "key_file": "/keys/bizmori"})
    said = phrases.blocked(refusing(is_key_refused=True, key_origin=origin), api)
    assert said == f"Blocked: no. Nothing is lost. {remedy}"


def test_used_up_credits_ask_for_no_other_key() -> None:
    api = ApiSection.model_validate({"key": "sk_live_0123456789"})
    assert phrases.blocked(refusing(), api).endswith("within 300 s, or at once after systemctl reload watchfolder")


def refusing(**facts: object) -> Snapshot:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    return Snapshot.model_validate({"at": now, "pid": 1, "version": "1", "started": now, "blocked": "no", **facts})
