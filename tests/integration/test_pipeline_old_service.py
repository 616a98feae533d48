"""What a service lacks is asked for again: a server learns, and nobody is there to start us anew."""

import threading
from pathlib import Path

from shop import OTHER, PICTURE, Shop, opened, opening

from watchfolder.api.service import ASK_FOR_V3_SECONDS


def test_an_inbox_that_waits_for_v3_reads_goes_on_once_the_service_has_them(tmp_path: Path) -> None:
    with opening(tmp_path, service="watermark-extract", originals=str(tmp_path / "originals")) as build:
        shop, service = build({"dialect": "v2", "look_seconds": 0})
        shop.drop("a.jpg", PICTURE)
        shop.drop("a.original.jpg", OTHER)
        shop.work(lambda: shop.pipeline.admission.has_no_v3("photos"))
        for _ in range(3):
            shop.beat()
            shop.rest()
        asked = len(service.requests)
        service.dialect = "both"
        shop.clock.pass_time(ASK_FOR_V3_SECONDS + 1)
        shop.to_the_end()
        assert shop.files("inbox") == []
        assert (len(service.orders), service.sins) == (1, [])
        assert asked <= 2


def test_every_inbox_that_waits_for_what_the_service_can_is_woken(tmp_path: Path) -> None:
    with opened(Shop(tmp_path, inboxes=("one", "two"))) as shop:  # nobody is there to answer
        woken = {name: threading.Event() for name in ("one", "two")}
        for name, runtime in shop.pipeline.runtimes.items():
            runtime.wake = woken[name].set
        shop.pipeline.admission.allowance("one", 2)
        assert all(each.wait(20) for each in woken.values())


def test_who_is_woken_when_the_service_has_been_asked_need_not_ask_again(tmp_path: Path) -> None:
    with opened(Shop(tmp_path)) as shop:  # nobody is there to answer
        admission, woken = shop.pipeline.admission, threading.Event()
        said: list[int] = []

        def wake() -> None:
            said.append(admission.allowance("photos", 2).files)
            woken.set()

        shop.pipeline.runtimes["photos"].wake = wake
        assert admission.allowance("photos", 2).files in {0, 1}
        assert woken.wait(20)
        assert said == [1]
