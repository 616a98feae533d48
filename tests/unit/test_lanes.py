"""Transfers side by side, and an inbox that has fallen silent amid its own."""

import threading

import pytest

from watchfolder.pipeline.lanes import Lanes

SECONDS = 5.0


def entering(lanes: Lanes, inbox: str) -> threading.Event:
    """Try to take a lane in a thread of its own; the event says that it was taken."""
    entered = threading.Event()

    def enter() -> None:
        lanes.take(inbox)
        entered.set()

    threading.Thread(target=enter, daemon=True).start()
    return entered


def test_no_more_go_side_by_side_than_there_are_lanes_whatever_their_inbox() -> None:
    lanes = Lanes(2)
    with lanes.of("photos"), lanes.of("nas"):
        third = entering(lanes, "archive")
        assert not third.wait(0.2)
    assert third.wait(SECONDS)


def test_what_hangs_on_a_silent_share_holds_up_nobody_until_it_answers_again() -> None:
    lanes = Lanes(1)
    with lanes.of("nas"):
        other = entering(lanes, "photos")
        assert not other.wait(0.2)
        lanes.set_silent("nas", is_silent=True)
        assert other.wait(SECONDS)
        lanes.give_back("photos")
        lanes.set_silent("nas", is_silent=False)
        third = entering(lanes, "photos")
        assert not third.wait(0.2)
    assert third.wait(SECONDS)


def test_a_lane_comes_back_from_a_transfer_that_failed() -> None:
    lanes = Lanes(1)
    with pytest.raises(ConnectionError), lanes.of("photos"):
        raise ConnectionError
    assert entering(lanes, "photos").wait(SECONDS)
