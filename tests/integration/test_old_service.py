"""What a service lacks is asked for again: a server learns, and nobody is there to start us anew."""

from pathlib import Path

from shop import OTHER, PICTURE, opening

from watchfolder.pipeline import tempo


def test_an_inbox_that_waits_for_v3_reads_goes_on_once_the_service_has_them(tmp_path: Path) -> None:
    with opening(tmp_path, service="watermark-extract", originals=str(tmp_path / "originals")) as build:
        shop, service = build({"dialect": "v2", "look_seconds": 0})
        shop.drop("a.jpg", PICTURE)
        shop.drop("a.original.jpg", OTHER)
        shop.work(lambda: shop.pipeline.capacity.lack("photos"))
        for _ in range(3):
            shop.beat()
            shop.rest()
        asked = len(service.requests)
        service.dialect = "both"
        shop.clock.pass_time(tempo.ASK_FOR_V3_SECONDS + 1)
        shop.to_the_end()
        assert shop.files("inbox") == []
        assert (len(service.orders), service.sins) == (1, [])
        assert asked <= 2
