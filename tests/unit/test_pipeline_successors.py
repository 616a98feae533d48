"""Into which parts a failed order is split, and what that buys again."""

import pytest

from watchfolder.config import OnFailure
from watchfolder.pipeline.successors import paid_again, split_counts


@pytest.mark.parametrize("files", range(2, 101))
@pytest.mark.parametrize("how", ["split", "single"])
def test_the_parts_hold_each_file_once_and_are_about_equal(files: int, how: OnFailure) -> None:
    sizes = split_counts(files, how)
    assert sum(sizes) == files
    assert len(sizes) > 1
    assert max(sizes) - min(sizes) <= 1


def test_a_hundred_are_ten_parts_of_ten_and_these_are_single_files() -> None:
    assert list(split_counts(100, "split")) == [10] * 10
    assert list(split_counts(10, "split", is_part=True)) == [1] * 10
    assert list(split_counts(100, "single")) == [1] * 100


@pytest.mark.parametrize(
    ("files", "how", "again"), [(100, "split", 110), (100, "single", 100), (2, "split", 2), (1, "split", 0)]
)
def test_what_one_bad_picture_costs(files: int, how: OnFailure, again: int) -> None:
    assert paid_again(files, how) == again
