"""Things to do at a time to come, with the real clock and the real thread."""

import threading

from watchfolder.timers import _CLOCK, Timer


def test_alarms_ring_in_the_order_of_their_times_whatever_the_order_of_setting() -> None:
    rung, done = list[str](), threading.Event()
    Timer(1.0, done.set)
    Timer(0.5, lambda: rung.append("late"))
    Timer(0.02, lambda: rung.append("early"))
    assert done.wait(5)
    assert rung == ["early", "late"]


def test_an_alarm_that_is_called_off_does_not_ring() -> None:
    rung, done = list[str](), threading.Event()
    alarm = Timer(1.0, lambda: rung.append("never"))
    Timer(1.1, done.set)
    alarm.call_off()
    assert done.wait(5)
    assert rung == []


def test_thousands_of_cancelled_timers_delay_nothing() -> None:
    for _ in range(5000):
        Timer(3600.0, lambda: None).call_off()
    assert len(_CLOCK.queue) < 500
    done = threading.Event()
    Timer(0.05, done.set)
    assert done.wait(30)


def test_many_calls_need_one_thread() -> None:
    before = threading.active_count()
    alarms = [Timer(3600.0, lambda: None) for _ in range(100)]
    assert threading.active_count() <= before + 1
    for alarm in alarms:
        alarm.call_off()
