"""What a person is told, and when: hours of the daemon's words played in a moment."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from watchfolder.config import ApiSection, Config, Inbox
from watchfolder.notify.decide import Decisions, NotifyState
from watchfolder.notify.delivery import Message
from watchfolder.snapshot import Counts, Disk, FileGroup, InboxSnapshot, Snapshot

START = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
GIB = 1024**3
MINUTE, HOUR = 60.0, 3600.0
OPEN = InboxSnapshot(is_open=True)
GONE = InboxSnapshot(fault="/srv/photos: not the folder we know: is the share mounted?", fault_code="NO_TOKEN")
CONFIG = Config(
    api=ApiSection(key="sk_live_0123456789"),  # type: ignore[arg-type]  # pydantic makes a secret of it
    inboxes={
        name: Inbox.model_validate(
            {"name": name, "path": f"/srv/{name}/in", "outbox": f"/srv/{name}/out", "service": service}
            | {"quarantine": f"/srv/{name}/quarantine"}
        )
        for name, service in (("photos", "anti-ai"), ("scans", "anti-ai"), ("seen", "ai-detection"))
    },
)


@dataclass
class Life:
    """A daemon of which we say what is so, and for how long; it turns every ten seconds (every minute, for hours)."""

    watch: Decisions = field(default_factory=lambda: Decisions(NotifyState()))
    now: datetime = START
    facts: dict[str, object] = field(default_factory=lambda: {"inboxes": {"photos": OPEN}})
    messages: list[Message] = field(default_factory=list)

    def lasts(self, seconds: float, **facts: object) -> "Life":
        self.facts |= facts
        end = self.now + timedelta(seconds=seconds)
        while self.now < end:
            self.now += timedelta(seconds=10 if seconds < 2 * HOUR else 60)
            told = self.watch.decide(self.snapshot(), CONFIG, self.now)
            self.messages += [told] if told else []
        return self

    def snapshot(self) -> Snapshot:
        return Snapshot(**{"at": self.now, "pid": 1, "version": "1", "started": START} | self.facts)

    def after_a_restart(self) -> "Life":
        remembered = NotifyState.model_validate_json(self.watch.state.model_dump_json())
        facts = {"inboxes": {"photos": InboxSnapshot()}, "started": self.now}
        return Life(Decisions(remembered), self.now, facts).lasts(10, inboxes={"photos": OPEN})

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.messages]


def said_done(**requests: int) -> Counts:
    return Counts(requests={name: {"done": number} for name, number in requests.items()})


@pytest.fixture
def life() -> Life:
    return Life().lasts(10 * MINUTE)


def test_a_life_in_which_all_is_well_says_nothing(life: Life) -> None:
    life.lasts(48 * HOUR)
    assert life.messages == []
    assert life.watch.state == NotifyState()


# The service


def test_a_refusal_is_told_once_and_so_is_its_end(life: Life) -> None:
    life.lasts(3 * HOUR, blocked="credits are used up", blocked_code="USAGE_NOT_ENOUGH")
    (told,) = life.messages
    assert "credits are used up" in told.text
    assert not told.is_good
    life.lasts(HOUR, blocked="")
    assert len(life.messages) == 2
    assert "Unblocked" in life.texts[1]
    assert life.messages[1].is_good
    assert [message.subject.rpartition(": ")[2] for message in life.messages] == ["needs you", "well again"]


def test_a_service_that_refuses_for_another_reason_is_one_topic(life: Life) -> None:
    life.lasts(HOUR, blocked="the service refuses the API key", is_key_refused=True)
    life.lasts(HOUR, blocked="credits are used up", is_key_refused=False)
    life.lasts(HOUR, blocked="it fails every picture", is_failing_all=True)
    (told,) = life.texts
    assert "the service refuses the API key" in told


def test_a_refusal_of_a_few_seconds_is_no_news(life: Life) -> None:
    for _ in range(100):
        life.lasts(40, blocked="the service refuses the API key").lasts(40, blocked="")
    assert life.messages == []


def test_a_restart_loop_does_not_tell_it_again_and_again(life: Life) -> None:
    life.lasts(5 * MINUTE, blocked="credits are used up")
    for _ in range(50):
        life = life.after_a_restart().lasts(5 * MINUTE, blocked="credits are used up")
        assert life.messages == []


def test_after_a_restart_only_an_accepted_purchase_unblocks(life: Life) -> None:
    life.lasts(5 * MINUTE, blocked="credits are used up")
    life = life.after_a_restart().lasts(5 * HOUR)
    assert life.messages == []
    life.lasts(5 * MINUTE, counts=said_done(create=1))
    assert len(life.messages) == 1
    assert "Unblocked" in life.texts[0]


def test_a_reload_is_no_proof_that_it_is_unblocked(life: Life) -> None:
    life.lasts(5 * MINUTE, blocked="credits are used up", counts=said_done(create=9))
    life.lasts(5 * HOUR, blocked="", configured=START + timedelta(hours=1))
    assert len(life.messages) == 1


# Folders


def test_a_share_that_goes_and_comes_is_told_both_times(life: Life) -> None:
    life.lasts(30 * MINUTE, inboxes={"photos": GONE}).lasts(30 * MINUTE, inboxes={"photos": OPEN})
    gone, back = life.texts
    assert "is the share mounted?" in gone
    assert "photos is back" in back


def test_a_share_that_flaps_each_minute_sends_nothing(life: Life) -> None:
    for _ in range(12 * 60):
        life.lasts(MINUTE, inboxes={"photos": GONE}).lasts(MINUTE, inboxes={"photos": OPEN})
    assert life.messages == []


def test_a_share_that_flaps_slowly_sends_a_bounded_number(life: Life) -> None:
    for _ in range(12 * 6):  # twelve hours
        life.lasts(5 * MINUTE, inboxes={"photos": GONE}).lasts(5 * MINUTE, inboxes={"photos": OPEN})
    assert 2 <= len(life.messages) <= 2 * 12


def test_a_share_that_stays_away_after_flapping_is_told_in_the_end(life: Life) -> None:
    life.lasts(5 * MINUTE, inboxes={"photos": GONE}).lasts(5 * MINUTE, inboxes={"photos": OPEN})
    life.lasts(2 * HOUR, inboxes={"photos": GONE})
    assert len(life.messages) == 3
    assert "is the share mounted?" in life.texts[2]


def test_inboxes_that_go_together_are_one_message(life: Life) -> None:
    life.lasts(10, inboxes={"photos": GONE, "scans": OPEN}).lasts(10 * MINUTE, inboxes={"photos": GONE, "scans": GONE})
    (told,) = life.texts
    assert "photos (" in told
    assert "scans (" in told


def test_a_share_that_comes_for_a_moment_is_not_called_back(life: Life) -> None:
    life.lasts(2 * MINUTE, inboxes={"photos": GONE}).lasts(10, inboxes={"photos": GONE})
    life.lasts(MINUTE, inboxes={"photos": OPEN}).lasts(HOUR, inboxes={"photos": GONE})
    life.lasts(MINUTE, inboxes={"photos": OPEN}).lasts(HOUR, inboxes={"photos": GONE})
    assert len(life.messages) == 1


def test_what_is_told_meanwhile_does_not_have_the_same_told_again(life: Life) -> None:
    life.lasts(3 * HOUR, inboxes={"photos": GONE})
    life.lasts(3 * HOUR, quarantined=1, last_quarantined=bad("a.jpg", 1))
    life.lasts(10 * MINUTE, inboxes={"photos": OPEN})
    life.lasts(10 * MINUTE, quarantined=2, last_quarantined=bad("b.jpg", 2))
    life.lasts(10 * MINUTE, inboxes={"photos": GONE})  # within the hour after it was called back
    assert [text.split()[0] for text in life.texts] == ["Not", "1", "photos", "1"]


def test_an_inbox_that_left_while_its_share_was_away_is_not_called_back(life: Life) -> None:
    life.lasts(HOUR, inboxes={"photos": GONE}).lasts(HOUR, inboxes={"scans": OPEN})
    assert len(life.messages) == 1


def test_of_very_many_troubles_a_message_names_some_and_says_where_all_stand(life: Life) -> None:
    life.lasts(10 * MINUTE, inboxes={f"inbox{number}": GONE for number in range(23)})
    (told,) = life.texts
    assert told.count("Not available: ") == 20
    assert told.endswith("And 3 more: watchfolder status has them all.")


def test_a_folder_that_was_not_looked_at_yet_is_neither_gone_nor_back(life: Life) -> None:
    life.lasts(10 * MINUTE, inboxes={"photos": GONE})
    life.lasts(HOUR, inboxes={"photos": InboxSnapshot()})
    assert len(life.messages) == 1


# Disks


def disk(free: float, total: float = 1000 * GIB, device: int = 1) -> Disk:
    return Disk(device=device, free_bytes=int(free), total_bytes=int(total))


def test_a_disk_that_fills_is_told_once_though_it_sways_around_the_threshold(life: Life) -> None:
    for _ in range(100):
        life.lasts(5 * MINUTE, disks={"/srv": disk(9 * GIB)}).lasts(5 * MINUTE, disks={"/srv": disk(11 * GIB)})
    (told,) = life.texts
    assert "/srv is nearly full: 9.7 GB are free" in told
    life.lasts(5 * MINUTE, disks={"/srv": disk(16 * GIB)})
    assert "room again" in life.texts[-1]


@pytest.mark.parametrize(
    ("free", "total", "is_told"),
    [
        (30 * GIB, 20_000 * GIB, False),  # of twenty terabytes hardly anything, and room for three full orders
        (9 * GIB, 20_000 * GIB, True),
        (1 * GIB, 8 * GIB, False),  # a card of a small computer
        (0.3 * GIB, 8 * GIB, True),
        (2**63 - 1, 2**63 - 1, False),  # a file system that keeps no count
    ],
)
def test_how_little_is_little(life: Life, free: float, total: float, *, is_told: bool) -> None:
    life.lasts(10 * MINUTE, disks={"/srv": disk(free, total)})
    assert bool(life.messages) == is_told


def test_folders_on_one_disk_are_one_alarm(life: Life) -> None:
    full = disk(GIB)
    life.lasts(10 * MINUTE, disks={"/srv/a": full, "/srv/b": full, "/var/lib/watchfolder": disk(GIB, device=2)})
    life.lasts(HOUR, disks={"/srv/b": full})  # the inbox of the first one is closed
    (told,) = life.texts
    assert told.count("nearly full") == 2


# The flow


WAITING = {"photos": InboxSnapshot(is_open=True, waiting=5)}


def test_files_that_wait_for_a_day_are_told(life: Life) -> None:
    life.lasts(24 * HOUR, inboxes=WAITING)
    assert life.messages == []
    life.lasts(HOUR)
    (told,) = life.texts
    assert "Nothing was delivered for 24 hours, though there is work: 5 files in the inboxes" in told
    life.lasts(48 * HOUR)
    assert len(life.messages) == 1


def test_each_delivery_begins_the_day_anew(life: Life) -> None:
    for number in range(10):
        life.lasts(20 * HOUR, inboxes=WAITING, delivered=number + 1)
    assert life.messages == []


def test_an_hour_without_work_begins_the_day_anew(life: Life) -> None:
    life.lasts(23 * HOUR, inboxes=WAITING).lasts(HOUR, inboxes={"photos": OPEN}).lasts(23 * HOUR, inboxes=WAITING)
    assert life.messages == []


def test_nothing_is_said_to_wait_once_it_was_taken_away(life: Life) -> None:
    life.lasts(24 * HOUR - MINUTE, inboxes=WAITING).lasts(HOUR, inboxes={"photos": OPEN})
    assert life.messages == []


def test_while_a_share_is_away_nobody_knows_whether_files_wait(life: Life) -> None:
    life.lasts(23 * HOUR, inboxes=WAITING).lasts(3 * HOUR, inboxes={"photos": GONE})
    (told,) = life.texts
    assert told.startswith("Not available: photos")


def test_a_share_that_goes_away_does_not_end_it(life: Life) -> None:
    life.lasts(25 * HOUR, inboxes=WAITING).lasts(HOUR, inboxes={"photos": GONE})
    assert ["delivered again" in text for text in life.texts] == [False, False]


def test_a_delivery_ends_it(life: Life) -> None:
    life.lasts(25 * HOUR, inboxes=WAITING).lasts(HOUR, delivered=1)
    assert "delivered again" in life.texts[1]


def test_a_service_that_is_down_is_told_when_it_has_been_for_a_day(life: Life) -> None:
    life.lasts(25 * HOUR, inboxes=WAITING, is_down=True)
    assert "The service does not answer" in life.texts[0]
    assert life.texts[0].endswith("is this machine's network up?")


def test_what_waits_for_a_word_is_told_though_the_rest_goes_on(life: Life) -> None:
    held = InboxSnapshot(is_open=True, waiting=9, held="9 new files in 2 minutes; run: watchfolder release photos")
    life.lasts(2 * 60, inboxes={"photos": held}, not_configured={"scans": 3})
    assert len(life.texts) == 1
    assert "photos: held: 9 new files" in life.texts[0]
    assert "3 files belong to inboxes that left the configuration (scans)" in life.texts[0]


def test_files_that_the_brake_holds_are_told_as_held(life: Life) -> None:
    held = InboxSnapshot(is_open=True, waiting=812, held="812 new files in 2 minutes; run: watchfolder release photos")
    life.lasts(25 * HOUR, inboxes={"photos": held})
    assert life.texts[0].startswith("photos: held: 812 new files")
    assert life.texts[1].partition("under way. ")[2].startswith("photos: held: 812 new files")
    assert "watchfolder release photos" in life.texts[0]


def test_a_restart_each_night_does_not_hide_it(life: Life) -> None:
    life.lasts(20 * HOUR, inboxes=WAITING)
    life = life.after_a_restart().lasts(3 * HOUR, inboxes=WAITING)
    assert life.messages == []
    life.lasts(2 * HOUR)
    assert "Nothing was delivered for 24 hours" in life.texts[0]


def test_files_under_way_count_as_waiting(life: Life) -> None:
    life.lasts(25 * HOUR, in_progress=3)
    assert "3 files under way" in life.texts[0]


# Quarantine


def bad(latest: str, number: int) -> tuple[FileGroup, ...]:
    return (FileGroup(inbox="photos", name=latest, reason="It is cut short.", files=number),)


def test_a_burst_of_bad_pictures_is_one_message(life: Life) -> None:
    for number in range(1, 101):
        life.lasts(10 if number % 10 == 0 else 0, quarantined=number, last_quarantined=bad(f"{number}.jpg", number))
    life.lasts(HOUR)
    (told,) = life.texts
    assert "100 files went to quarantine" in told
    assert "photos: 100.jpg and 99 more: It is cut short" in told
    assert told.count("It is cut short") == 1
    assert "/srv/photos/quarantine" in told


def test_each_reason_is_said_once_with_its_number_and_only_what_is_new(life: Life) -> None:
    no_raw = FileGroup(inbox="photos", name="x.psd", reason="This is a Photoshop file.", retry_helps=False, files=2)
    life.lasts(10, quarantined=3, last_quarantined=bad("c.jpg", 3)).lasts(10 * MINUTE)
    life.lasts(HOUR, quarantined=5, last_quarantined=(*bad("c.jpg", 3), no_raw)).lasts(HOUR)
    assert "c.jpg and 2 more: It is cut short" in life.texts[0]
    assert "watchfolder retry" in life.texts[0]
    assert "2 files went to quarantine:\n  photos: x.psd and 1 more: This is a Photoshop file" in life.texts[1]
    assert "cut short" not in life.texts[1]
    assert "watchfolder retry" not in life.texts[1]


def test_a_trickle_of_bad_pictures_is_a_message_an_hour_with_all_of_them(life: Life) -> None:
    for number in range(1, 24 * 20):
        life.lasts(180, quarantined=number, last_quarantined=bad("a.jpg", number))
    assert 12 <= len(life.messages) <= 25
    life.lasts(2 * HOUR)
    counts = [int(text.split()[0]) for text in life.texts]
    assert sum(counts) == 24 * 20 - 1


def found(name: str, files: int, verdict: str = "likely_ai", inbox: str = "seen") -> tuple[FileGroup, ...]:
    return (FileGroup(inbox=inbox, name=name, reason=verdict, files=files),)


def test_a_hundred_findings_are_one_message_with_their_number(life: Life) -> None:
    for number in range(1, 101):
        life.lasts(10 if number % 10 == 0 else 0, found=number, last_found=found(f"{number}.jpg", number))
    life.lasts(HOUR)
    (told,) = life.messages
    assert told.subject.endswith("has found something")
    assert "100 files" in told.text
    assert "seen: 100.jpg and 99 more: likely_ai" in told.text
    assert "A probability is no proof" in told.text
    assert not told.is_good


def test_findings_and_a_quarantine_are_told_side_by_side_and_each_once(life: Life) -> None:
    facts = {"found": 2, "last_found": found("b.jpg", 2), "quarantined": 1, "last_quarantined": bad("c.jpg", 1)}
    life.lasts(10, **facts).lasts(3 * HOUR)
    (told,) = life.messages
    assert "needs you" in told.subject
    assert "2 files came out" in told.text
    assert "1 file went to quarantine" in told.text


def test_findings_go_on_to_be_told_an_hour_later_and_over_a_restart(life: Life) -> None:
    life.lasts(10, found=2, last_found=found("b.jpg", 2)).lasts(5 * MINUTE)
    life = life.after_a_restart().lasts(10, found=1, last_found=found("c.jpg", 1)).lasts(5 * MINUTE)
    assert life.messages == []
    life.lasts(HOUR)
    (told,) = life.messages
    assert "seen: c.jpg: likely_ai" in told.text


def test_a_burst_that_a_restart_interrupts_is_told_after_it(life: Life) -> None:
    life.lasts(10, quarantined=3, last_quarantined=bad("c.jpg", 3))
    life = life.after_a_restart().lasts(5 * MINUTE)
    assert "3 files went to quarantine" in life.texts[0]


def test_a_reload_counts_nothing_twice(life: Life) -> None:
    life.lasts(10, quarantined=3, last_quarantined=bad("c.jpg", 3))
    life.lasts(10, configured=START + timedelta(hours=1))
    life.lasts(10, quarantined=4, last_quarantined=bad("d.jpg", 4)).lasts(5 * MINUTE)
    assert "4 files went to quarantine" in life.texts[0]


# All together


def flapping(number: int) -> Iterator[dict[str, InboxSnapshot]]:
    for turn in range(1000):
        yield {f"inbox{each}": GONE if (turn // 13 + each) % 7 < 3 else OPEN for each in range(number)}


def test_whatever_happens_there_are_six_messages_an_hour_at_most(life: Life) -> None:
    moments = []
    for inboxes in flapping(40):
        before = len(life.messages)
        life.lasts(20, inboxes=inboxes)
        moments += [life.now] * (len(life.messages) - before)
    assert len(moments) > 6
    assert len(life.watch.state.sent) <= 6
    for moment in moments:
        assert sum(moment <= other < moment + timedelta(hours=1) for other in moments) <= 6


def test_what_could_not_be_said_is_said_later(life: Life) -> None:
    for inboxes in flapping(40):
        life.lasts(20, inboxes=inboxes)
    life.lasts(3 * HOUR, inboxes={"inbox1": GONE} | {f"inbox{each}": OPEN for each in range(40) if each != 1})
    assert {topic for topic, told in life.watch.state.told.items() if told.is_on} == {"folder_away:inbox1"}


def test_a_clock_that_was_wrong_silences_nobody(life: Life) -> None:
    life.lasts(10 * MINUTE, inboxes={"photos": GONE}).lasts(10 * MINUTE, inboxes={"photos": OPEN})
    life = life.after_a_restart()
    earlier = Life(life.watch, START - timedelta(days=20_000), life.facts)
    earlier.watch = Decisions(life.watch.state)
    earlier.lasts(2 * HOUR, inboxes={"photos": GONE})
    assert len(earlier.messages) == 1


def test_nobody_is_told_of_years_when_the_clock_was_put_right(life: Life) -> None:
    life.lasts(HOUR, in_progress=1)
    later = Life(Decisions(life.watch.state), START + timedelta(days=20_000), life.facts)
    later.lasts(10 * MINUTE)
    assert later.texts[0].startswith("Nothing was delivered for 24 hours")


def test_what_went_to_quarantine_under_a_clock_that_was_wrong_is_told(life: Life) -> None:
    life.lasts(10, quarantined=3, last_quarantined=bad("c.jpg", 3))
    earlier = Life(Decisions(life.watch.state), START - timedelta(days=20_000), life.facts | {"quarantined": 0})
    earlier.lasts(10 * MINUTE)
    assert "3 files went to quarantine" in earlier.texts[0]


def test_what_is_said_holds_no_secret_and_no_character_that_plays_tricks(life: Life) -> None:
    url = "https://storage.example/a.jpg?X-Amz-Signature=c4n4ry"
    life.lasts(10, blocked=f"the service says {url}").lasts(10 * MINUTE)
    assert "c4n4ry" not in life.texts[0]
    assert "https://storage.example/a.jpg" in life.texts[0]
