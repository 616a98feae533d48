"""When an order is looked at next: learned from those before. The clock is an argument."""

from watchfolder.api import create_body
from watchfolder.order import Order, OrderFile
from watchfolder.pipeline import tempo
from watchfolder.pipeline.visits import Visits


def order(files: int = 1, number: int = 1) -> Order:
    key = f"00000000-0000-4000-8000-{number:012}"
    names = [f"{index}.jpg" for index in range(files)]
    return Order(
        key=key,
        confirm_key=key,
        inbox="photos",
        kind="live",
        strength="high",
        body=create_body(key, names, "high"),
        files=tuple(OrderFile(name=n, sent_name=n, media_type="image/jpeg", size=1, mtime_ns=1) for n in names),
    )


def serve(visits: Visits, seconds: float, files: int = 1) -> tuple[int, float]:
    """Let the service take so long; return how many looks that took and how late the last one was."""
    each, now, looks = order(files), 0.0, 0
    visits.confirmed(each, now)
    while True:
        visit = visits.get(each.key)
        assert visit is not None
        now, looks = visit.at, looks + 1
        if now >= seconds:
            visits.done(each, now, now)
            return looks, now - seconds
        visits.at_work(each.key, now, now)


def test_what_has_been_learned_makes_the_first_look_the_last_one() -> None:
    visits = Visits()
    serve(visits, 60.0)
    looks = [serve(visits, 60.0)[0] for _ in range(100)]
    assert sum(looks) / 100 <= 1.25
    assert max(looks) == 2


def test_nobody_waits_much_longer_than_the_service_takes() -> None:
    visits = Visits()
    for seconds in (1.0, 5.0, 60.0, 600.0):
        late = [serve(visits, seconds)[1] for _ in range(60)]
        assert max(late[30:]) <= max(2.0, 0.35 * seconds)


def test_a_service_that_becomes_quicker_is_noticed() -> None:
    visits = Visits()
    for _ in range(5):
        serve(visits, 60.0)
    late = [serve(visits, 5.0)[1] for _ in range(100)]
    assert late[-1] < 3.0


def test_small_orders_do_not_wait_for_what_large_ones_take() -> None:
    visits = Visits()
    for _ in range(5):
        serve(visits, 2.0, files=1)
        serve(visits, 300.0, files=100)
    assert serve(visits, 2.0, files=1)[1] < 2.0
    assert serve(visits, 300.0, files=100)[0] <= 2
    assert serve(visits, 2.0, files=2)[1] < 2.0  # as the nearest smaller ones


def test_looks_at_an_order_that_takes_long_become_rare() -> None:
    visits, now = Visits(), 0.0
    each = order()
    visits.confirmed(each, now)
    waits = []
    for _ in range(400):
        visit = visits.get(each.key)
        assert visit is not None
        waits.append(visit.at - now)
        now = visit.at
        visits.at_work(each.key, now, now)
    assert min(waits) >= tempo.LEAST_BETWEEN_LOOKS_SECONDS
    first_hour = [wait for wait, at in zip(waits, _running_sum(waits), strict=True) if at <= 3600]
    assert len(first_hour) <= 100
    assert waits[-1] > 600


def _running_sum(waits: list[float]) -> list[float]:
    total, sums = 0.0, []
    for wait in waits:
        total += wait
        sums.append(total)
    return sums


def test_an_outage_is_no_lesson() -> None:
    visits = Visits()
    for _ in range(5):
        serve(visits, 5.0)
    each = order()
    visits.confirmed(each, 0.0)
    visits.at_work(each.key, 5.0, 5.0)
    visits.done(each, 86_400.0, 86_400.0)
    visits.confirmed(each, 0.0)
    visit = visits.get(each.key)
    assert visit is not None
    assert visit.at <= 12.0


def test_an_order_of_an_earlier_life_teaches_nothing() -> None:
    visits = Visits()
    visits.done(order(), 86_400.0, 86_400.0)
    visits.confirmed(order(), 0.0)
    visit = visits.get(order().key)
    assert visit is not None
    assert visit.at == tempo.FIRST_LOOK_SECONDS


def test_the_list_is_asked_for_those_that_were_looked_at_too_early_and_not_for_what_it_knows_no_better() -> None:
    visits, (fresh, early, listed) = Visits(), (order(number=number) for number in (1, 2, 3))
    for each in (fresh, early, listed):
        visits.confirmed(each, 0.0)
    visits.at_work(early.key, 2.0, 2.0)
    visits.at_work(listed.key, 2.0, 2.0)
    visits.look_alone(listed.key, 3.0)
    assert visits.asked_before([fresh, early, listed, order(number=4)]) == [early]
    visits.at_work(listed.key, 3.0, 3.0)
    assert visits.asked_before([listed]) == [listed]
