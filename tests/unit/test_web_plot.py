"""The figures of the page's drawing."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from typing_extensions import override

from watchfolder.web.plot import HEIGHT, WIDTH, Plot, Waiting

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def ago(**spans: float) -> datetime:
    return NOW - timedelta(**spans)


def test_deliveries_of_a_quarter_of_an_hour_share_a_bar() -> None:
    plot = Plot(NOW, [*2 * [ago(minutes=1)], *3 * [ago(minutes=14)], ago(minutes=16), NOW], ())
    bars = list(plot.bars())
    assert len(bars) == 2
    assert bars[1].height > 5 * bars[0].height
    assert (plot.delivered, plot.most) == (7, 6)


def test_what_is_older_than_a_day_is_not_drawn() -> None:
    plot = Plot(NOW, [*5 * [ago(hours=24.1)], ago(hours=23.9)], [Waiting(ago(hours=25), 9), Waiting(NOW, 1)])
    assert plot.delivered == 1
    assert plot.line().count(",") == 1


def test_everything_lies_within_the_drawing() -> None:
    delivered_at = [ago(minutes=7 * number) for number in range(220) for _ in range(number)]
    plot = Plot(NOW, delivered_at, [Waiting(ago(hours=1), 5000)])
    assert all(0 <= bar.x <= WIDTH and bar.y >= 0 and bar.y + bar.height <= HEIGHT + 0.1 for bar in plot.bars())
    x, y = map(float, plot.line().split(","))
    assert 0 <= x <= WIDTH
    assert 0 <= y <= HEIGHT


def test_the_axis_tells_what_the_clock_showed_every_six_hours() -> None:
    marks = Plot(NOW, (), ()).marks()
    assert marks == {0: ago(hours=24), 240: ago(hours=18), 480: ago(hours=12), 720: ago(hours=6)}


def test_a_day_without_anything_can_be_drawn() -> None:
    plot = Plot(NOW, (), ())
    assert (list(plot.bars()), plot.line(), plot.most) == ([], "", 1)


def test_a_day_s_deliveries_are_gone_through_once_for_the_whole_drawing() -> None:
    class CountedList(list[datetime]):
        times = 0

        @override
        def __iter__(self) -> Iterator[datetime]:
            self.times += 1
            return super().__iter__()

    delivered_at = CountedList(ago(minutes=number) for number in range(1000))
    plot = Plot(NOW, delivered_at, [Waiting(ago(minutes=number), number) for number in range(100)])
    assert (len(list(plot.bars())), plot.line().count(","), plot.delivered, plot.most) == (67, 100, 1000, 99)
    assert delivered_at.times == 1
