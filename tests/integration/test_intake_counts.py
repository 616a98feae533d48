"""One count: a file waits or is under way, never both, at whatever instant of its way it is asked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shop import Shop, work_place

from watchfolder import disk
from watchfolder.intake import UnderWay
from watchfolder.order import State
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

FILES = 5


def counted(shop: Shop) -> int:
    """Return how many files are somewhere before their end, by the daemon's own counts."""
    orders = UnderWay.of(
        (order for order in shop.orders() if order.state is not State.QUARANTINED), shop.clock.elapsed()
    )
    return shop.intake.counts(orders)["wait"] + orders.moving + orders.deferred


def test_at_no_step_is_a_file_counted_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    with Sandbox(processing_seconds=0) as sandbox:
        shop = Shop(tmp_path, sandbox)

        def asked_around(gesture: Callable[..., object]) -> Callable[..., object]:
            def asks(*arguments: Any, **options: Any) -> object:  # noqa: ANN401 - the gesture's own
                seen.append(counted(shop))
                done = gesture(*arguments, **options)
                seen.append(counted(shop))
                return done

            return asks

        for name in ("move", "write_atomically", "remove"):
            monkeypatch.setattr(disk, name, asked_around(getattr(disk, name)))
        for seed in range(FILES):
            (tmp_path / "inbox" / f"{seed}.jpg").write_bytes(sample("jpeg", width=64, height=48, seed=seed))
        shop.work(lambda: len(list((tmp_path / "outbox").glob("*.jpg"))) == FILES)
        shop.to_the_end()
        shop.close()
    assert max(seen) == FILES
    assert counted(shop) == 0


def test_what_lies_in_the_inbox_again_is_counted_once(tmp_path: Path) -> None:
    shop = Shop(tmp_path, settle_seconds=60.0)
    picture = tmp_path / "inbox" / "a.jpg"
    picture.write_bytes(sample("jpeg", width=64, height=48, seed=1))
    shop.look(0.0)
    shop.look(100.0)
    order = shop.journal.advance(shop.order(), State.RELEASED)
    work_place(shop, order, "a.jpg").rename(picture)  # and the death that comes before the entry goes
    shop.intake.nudge(None)
    shop.look(200.0)
    assert "a.jpg" in shop.intake.candidates.sightings
    assert counted(shop) == 1
    shop.close()


def test_what_cannot_be_looked_into_takes_nothing_from_what_waits(tmp_path: Path) -> None:
    shop = Shop(tmp_path, settle_seconds=60.0)
    (tmp_path / "inbox" / "link.jpg").symlink_to("/nowhere")
    (tmp_path / "inbox" / "a.jpg").write_bytes(sample("jpeg", width=64, height=48, seed=1))
    shop.look(100.0)
    assert shop.intake.counts(UnderWay.of((), 0.0)) == {"stay": 1, "wait": 1, "raw": 0, "single": 0}
    shop.close()


def test_what_goes_to_quarantine_is_counted_once_with_its_reason(tmp_path: Path) -> None:
    with Sandbox(processing_seconds=0) as sandbox:
        shop = Shop(tmp_path, sandbox)
        for name, seed in (("a_fail.jpg", 1), ("b.jpg", 2)):
            (tmp_path / "inbox" / name).write_bytes(sample("jpeg", width=64, height=48, seed=seed))
        shop.to_the_end()
        shop.close()
    (told,) = shop.journal.counters.last_quarantined
    assert (told.inbox, told.name, told.files) == ("photos", "a_fail.jpg", 1)
    assert told.reason in (tmp_path / "quarantine" / "a_fail.jpg.why.txt").read_text()
    assert shop.journal.counters.quarantined_files == 1
