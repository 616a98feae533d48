"""From quarantine back into the inbox, while people work there as well."""

from pathlib import Path

import pytest
from shop import PICTURE, Shop, opened

from watchfolder import retry
from watchfolder.errors import FolderFault, UnknownName


def test_what_a_person_has_just_taken_is_said_to_be_gone_and_holds_up_no_other(tmp_path: Path) -> None:
    with opened(Shop(tmp_path)) as shop:
        for name in ("a.jpg", "b.jpg"):
            (shop.folder("quarantine") / name).write_bytes(PICTURE)
        found = retry.find(shop.config, ["a.jpg", "b.jpg"])
        (shop.folder("quarantine") / "a.jpg").unlink()
        gone, moved = retry.move_back(found, shop.config)
        assert isinstance(gone, FolderFault)
        assert gone.reason == f"{shop.folder('quarantine')}/a.jpg: it is gone"
        assert isinstance(moved, retry.Moved)
        assert shop.files("inbox") == ["b.jpg"]


def test_a_name_that_lies_in_several_quarantines_is_told_with_their_paths(tmp_path: Path) -> None:
    with opened(Shop(tmp_path, inboxes=("photos", "press"))) as shop:
        paths = [str(shop.folder(name) / "quarantine/a.jpg") for name in ("photos", "press")]
        for path in paths:
            Path(path).write_bytes(PICTURE)
        with pytest.raises(UnknownName) as refused:
            retry.find(shop.config, ["a.jpg"])
        assert all(path in str(refused.value) for path in paths)
        (found,) = retry.find(shop.config, paths[:1])
        assert found.place.path == paths[0]
