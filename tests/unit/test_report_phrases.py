"""How counts read."""

import pytest

from watchfolder.report import phrases


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
