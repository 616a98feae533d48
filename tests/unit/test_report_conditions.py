"""What is wrong, in a sentence: which come first, how they read, and whom they concern."""

from datetime import UTC, datetime

import pytest
from made_orders import made_file, made_order

from watchfolder.clock import Moment
from watchfolder.command_line import CommandLine
from watchfolder.config import ApiSection, Config, Inbox
from watchfolder.daemon import Ending, Outcome
from watchfolder.order import Enclosure, Order, Result, State
from watchfolder.report.conditions import (
    Condition,
    ConditionKind,
    Severity,
    alarms,
    beside_counts,
    conditions,
    has_work,
    headline,
    held_by,
    left,
    line,
    put_back,
    say_all,
    say_found,
    say_quarantined,
)
from watchfolder.snapshot import NO_V3, Disk, FileGroup, InboxSnapshot, OutOfReach, Snapshot

NOW = datetime(2026, 11, 24, tzinfo=UTC)
OPEN = InboxSnapshot(is_open=True)
AWAY = InboxSnapshot(fault="/srv/in: is the share mounted?")
HELD = InboxSnapshot(is_open=True, held="9 new files in 1 minute; run: watchfolder release b", waiting=9)
CONFIG = Config(
    api=ApiSection.model_validate({"key": "sk_live_0123456789", "key_file": "/keys/bizmori"}),
    inboxes={"a": Inbox(name="a", path="/srv/in", outbox="/srv/out", quarantine="/srv/quarantine")},
)


def seen(**facts: object) -> Snapshot:
    return Snapshot.model_validate({"at": NOW, "pid": 17, "unit": "photos", "version": "1", "started": NOW, **facts})


def found(**facts: object) -> list[Condition]:
    return conditions(seen(**facts), CONFIG)


def test_where_nothing_is_wrong_it_says_how_it_goes() -> None:
    assert headline(found(inboxes={"a": OPEN})) == "All done, nothing waits"
    assert headline(found(inboxes={"a": OPEN}, in_progress=2)) == "Working: 2 files under way"
    assert {each.kind.severity for each in found(in_progress=2)} == {Severity.FINE}
    waiting = {"a": InboxSnapshot(is_open=True, waiting=3)}
    assert headline(found(inboxes=waiting, in_progress=2, deferred=1)) == "Working: 3 files under way, 3 waiting"
    assert headline(found(inboxes=waiting)) == "Waiting: 3 files in the inboxes"


def test_a_pace_is_told_only_while_something_goes_on_at_it() -> None:
    assert headline(found(inboxes={"a": OPEN}, is_slowed=True)) == "All done, nothing waits"
    slowed = headline(found(inboxes={"a": OPEN}, in_progress=2, is_slowed=True))
    assert slowed.startswith("Working: 2 files under way, at the pace of your plan's rate limit. ")
    assert slowed.endswith(" to what your plan leaves for watchfolder, then systemctl reload photos (as root)")


def test_what_is_still_to_come_beside_a_finding_is_not_called_done() -> None:
    said = "All is delivered; something is still to come beside 1 file"
    assert headline(found(inboxes={"a": OPEN}, to_come_beside=1)) == said


def test_the_worst_comes_first_and_nothing_is_hidden_by_it() -> None:
    inboxes = {"a": AWAY, "b": HELD}
    told = found(inboxes=inboxes, blocked="no credits", refused="settle_seconds: soon", not_configured={"c": 2})
    assert [each.kind for each in told] == [
        ConditionKind.SERVICE_REFUSES,
        ConditionKind.FOLDER_AWAY,
        ConditionKind.HELD,
        ConditionKind.CONFIGURATION_REFUSED,
        ConditionKind.NOT_CONFIGURED,
    ]
    assert headline(told).startswith("Blocked: no credits. Nothing is lost")
    assert len(say_all(told, Severity.NEEDS_PERSON)) == 5
    assert len(say_all(told, Severity.ALARM)) == 3


def test_what_is_of_one_kind_is_one_sentence_with_one_advice() -> None:
    said = headline(found(inboxes={"a": AWAY, "b": AWAY}))
    fault = "/srv/in: is the share mounted?"
    assert said == f"Not available: a ({fault}); b ({fault}). It goes on by itself when the folders are back"


def test_every_advice_to_type_something_stands_in_the_sentence() -> None:
    many = conditions(None, CONFIG, is_running=False, quarantined=3)
    many += conditions(seen(), CONFIG, silent_seconds=500)
    many += found(inboxes={"a": AWAY, "b": HELD}, refused="x", blocked="no", is_key_refused=True)
    assert all(each.command in headline([each]) for each in many)
    assert sum(bool(each.command) for each in many) >= 5


@pytest.mark.parametrize(
    ("origin", "remedy"),
    [
        ("file", "Write the right key into /keys/bizmori, then systemctl reload photos (as root)"),
        ("credential", "Write the right key into /keys/bizmori, then systemctl restart photos (as root)"),
        (
            "environment",
            (
                "Write the right BIZMORI_API_KEY into the unit's environment, then systemctl daemon-reload && "
                "systemctl restart photos (as root)"
            ),
        ),
    ],
)
def test_a_refused_key_is_replaced_where_it_came_from(origin: str, remedy: str) -> None:
    said = headline(found(blocked="no", is_key_refused=True, key_origin=origin))
    assert said == f"Blocked: no. Nothing is lost. {remedy}"


def test_in_a_container_it_is_the_engine_that_starts_and_stops() -> None:
    inside = CONFIG.model_copy(update={"commands": CommandLine(in_container=True)})
    many = conditions(None, inside, is_running=False) + conditions(seen(), inside, silent_seconds=500)
    many += conditions(seen(refused="x", blocked="no"), inside)
    commands = {each.command for each in many if each.command}
    assert commands == {"docker start watchfolder", "docker restart watchfolder", "docker kill -s HUP watchfolder"}
    assert all(each.command in headline([each]) for each in many)


def test_started_by_hand_it_is_told_by_signals() -> None:
    commands = CommandLine("/opt/w/watchfolder", "/home/anna/config.yaml")
    by_hand = CONFIG.model_copy(update={"commands": commands})
    stuck = headline(conditions(seen(unit=""), by_hand, silent_seconds=500))
    run = "/opt/w/watchfolder run -c /home/anna/config.yaml"
    assert stuck.endswith(f"Restart it: kill -9 17 && while kill -0 17 2>/dev/null; do sleep 1; done; {run}")
    assert headline(conditions(seen(unit="", refused="x"), by_hand)).endswith("Mend it, then kill -HUP 17")
    started = headline(conditions(None, by_hand, is_running=False))
    assert started.endswith(f"Start it: {run}")


def test_a_question_is_followed_by_no_full_stop_and_a_path_stays_as_it_is() -> None:
    away = InboxSnapshot(fault="/srv/who?. me/in: away", fault_code="NOT_MOUNTED")
    told = conditions(seen(inboxes={"a": away}, is_down=True, in_progress=1), CONFIG, stalled_hours=24)
    apart, stalled = say_all(told, Severity.FINE)[1:]
    assert apart.endswith("is this machine's network up?")
    path = "Not available: a (/srv/who?. me/in: away). It goes on by itself when it is mounted"
    assert headline(told) == path
    assert f" under way. {apart} {path}" in stalled


def test_used_up_credits_ask_for_no_other_key() -> None:
    assert headline(found(blocked="no")).endswith("within 300 s, or at once after systemctl reload photos (as root)")


def test_what_a_single_run_leaves_is_said_with_what_holds_it() -> None:
    last = seen(inboxes={"a": AWAY, "b": HELD}, blocked="no credits", not_configured={"c": 2})
    waiting = {"b": {"two\n.jpg": "held: 9 new files"}}
    said = left(Outcome(Ending.UNFINISHED, CONFIG, last, waiting, [deferred()]))
    assert said == [
        "Blocked: no credits",
        "Not available: a (/srv/in: is the share mounted?)",
        "b: held: 9 new files in 1 minute; run: watchfolder release b",
        r"b: two\n.jpg: held: 9 new files",
        f"a: one.jpg: no answer, next try {NOW.astimezone():%Y-%m-%d %H:%M}",
    ]


def test_a_single_run_tells_an_order_that_has_only_its_line_to_write() -> None:
    done = deferred().files[0].having(results=(Result(delivered_at=NOW),))
    order = deferred().having(state=State.DELIVERED, files=(done,), last_error="history: the disk is full")
    assert not done.is_under_way
    (said,) = left(Outcome(Ending.UNFINISHED, CONFIG, seen(), {}, [order]))
    assert said.startswith("a: one.jpg: history: the disk is full, next try ")


def test_a_single_run_tells_what_is_still_to_come_beside_a_picture() -> None:
    order = deferred().having(enclosures=(Enclosure(kind="report"), Enclosure(kind="heatmap")), last_error="")
    order = order.having(not_before=None)
    (said,) = left(Outcome(Ending.UNFINISHED, CONFIG, seen(), {}, [order]))
    assert said == "a: one.jpg: still without its report and heatmap"
    (said,) = left(Outcome(Ending.UNFINISHED, CONFIG, seen(), {}, [order.having(enclosures=())]))
    assert said == "a: one.jpg: it is created"


def test_of_an_order_a_single_run_tells_only_the_files_that_are_under_way() -> None:
    done = made_file("done.jpg").having(results=(Result(delivered_at=NOW),), is_placed=True)
    order = deferred().having(files=(done, made_file("two.jpg")))
    (said,) = left(Outcome(Ending.UNFINISHED, CONFIG, seen(), {}, [order]))
    assert said.startswith("a: two.jpg: ")


def deferred() -> Order:
    told = {"state": State.CREATED, "not_before": Moment(at=NOW), "last_error": "no answer"}
    return made_order(made_file("one.jpg"), inbox="a", **told)


def test_without_a_word_of_the_daemon_nothing_is_called_well() -> None:
    assert say_all(alarms(None, CONFIG, 0.0), Severity.FINE) == ["Starting: what was begun before is being read"]
    assert alarms(seen(), CONFIG, 0.0) == []
    assert alarms(seen(), CONFIG, 500.0)[0].words.startswith("Stuck: ")


@pytest.mark.parametrize(
    ("charged", "holding"), [(None, ["Not available", "a"]), (False, ["Not available"]), (True, ["Not available"])]
)
def test_an_order_under_way_is_not_held_up_by_what_holds_new_files(charged: bool | None, holding: list[str]) -> None:
    both = InboxSnapshot(fault="/srv/in: away", held="9 new files in 1 minute")
    order = None if charged is None else deferred().having(charged=charged)
    assert [each.split(":")[0] for each in held_by(found(inboxes={"a": both}), "a", order)] == holding


def test_a_paid_order_is_not_held_up_by_a_service_that_refuses_new_ones() -> None:
    told = found(blocked="no credits")
    assert [len(held_by(told, "a", deferred().having(charged=charged))) for charged in (False, True)] == [1, 0]


def test_an_inbox_is_held_up_by_its_own_troubles_and_by_those_of_all() -> None:
    told = found(inboxes={"a": AWAY, "b": HELD}, blocked="no credits")
    assert [each.split(":")[0] for each in held_by(told, "b")] == ["Blocked", "b"]
    assert [each.split(":")[0] for each in held_by(told, "a")] == ["Blocked", "Not available"]


def test_the_line_for_systemd_says_the_worst_and_the_counts() -> None:
    assert line(seen(inboxes={"a": OPEN}, delivered=3), CONFIG) == (
        "0 waiting, 0 in progress, 0 deferred; since the start 3 delivered, 0 quarantined"
    )
    said = line(seen(inboxes={"b": HELD}), CONFIG)
    assert said.startswith("b: held: 9 new files")
    assert said.endswith("; 9 waiting, 0 in progress, 0 deferred; since the start 0 delivered, 0 quarantined")


def test_pictures_out_of_reach_come_with_a_count_a_folder_and_what_to_type() -> None:
    closed = OutOfReach(folder="/srv/in/Day", files=12, reason="the folder has mode 0755", command="chmod -R g+w Day")
    told = found(inboxes={"a": InboxSnapshot(is_open=True, staying=12, out_of_reach=12, closed=(closed,))})
    assert headline(told) == (
        "a: 12 files cannot be taken (/srv/in/Day: the folder has mode 0755). "
        "To let them be taken within a minute, type as root: chmod -R g+w Day"
    )
    assert told[0].kind.severity is Severity.ALARM


def test_pictures_out_of_reach_without_a_remedy_are_to_be_copied_again() -> None:
    closed = (OutOfReach(folder="/srv/in/x", files=0, reason="no answer"),)
    told = found(inboxes={"a": InboxSnapshot(is_open=True, closed=closed)})
    assert headline(told) == "a: what is in a folder cannot be taken (/srv/in/x: no answer). Copy them there again"


def test_each_remedy_for_pictures_out_of_reach_is_typed_once() -> None:
    commands = ("chmod 1", "", "chmod 2", "chmod 1")
    closed = tuple(OutOfReach(folder="/srv/in/x", files=1, reason="r", command=command) for command in commands)
    told = found(inboxes={"a": InboxSnapshot(is_open=True, out_of_reach=4, closed=closed)})
    assert told[0].command == "chmod 1 && chmod 2"


def test_a_retry_of_what_is_in_quarantine_is_told_where_it_may_help() -> None:
    for can_retry, advice in ((False, "Do what it says"), (True, "Do what it says, then: watchfolder retry --all")):
        told = conditions(seen(inboxes={"a": OPEN}), CONFIG, quarantined=2, can_retry=can_retry)
        assert headline(told) == f"2 files need you: in quarantine, each with its note. {advice}"
        assert [each.kind for each in told] == [ConditionKind.QUARANTINED]


def test_a_folder_that_may_not_be_written_says_how_to_find_out_why() -> None:
    told = found(inboxes={"a": InboxSnapshot(fault="/srv/in: read-only", fault_code="EROFS")})
    said = "Not available: a (/srv/in: read-only). It goes on by itself when we may; watchfolder check says what is in"
    assert headline(told).startswith(said)


def test_a_service_without_v3_is_a_fault_of_the_inbox_that_needs_it() -> None:
    lacking = InboxSnapshot(service="watermark-embed", fault_code=NO_V3)
    why = "the service has no v3 reads, without which there is no watermark-embed"
    assert headline(found(inboxes={"a": lacking})) == f"Not available: a ({why}). It goes on by itself when it has them"


def test_until_the_first_look_it_says_that_it_starts() -> None:
    assert headline(found(inboxes={"a": OPEN, "b": InboxSnapshot()})).startswith("Starting: the first look")


def test_a_service_that_fails_every_picture_is_told_apart_from_one_that_refuses() -> None:
    kinds = [found(blocked="no", is_failing_all=is_all)[0].kind for is_all in (False, True)]
    assert kinds == [ConditionKind.SERVICE_REFUSES, ConditionKind.SERVICE_FAILS_ALL]


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        (0.5, "Nothing is delivered"),
        (1.0, "Nothing was delivered for 1 hour"),
        (25.9, "Nothing was delivered for 25 hours"),
    ],
)
def test_a_flow_that_stands_still_names_its_cause_or_how_to_find_it(hours: float, words: str) -> None:
    work = f"{words}, though there is work: 0 files in the inboxes, 1 file under way. "
    (_, blocked) = say_all(
        conditions(seen(blocked="no", in_progress=1), CONFIG, stalled_hours=hours), Severity.NEEDS_PERSON
    )
    assert blocked.startswith(f"{work}Blocked: no. ")
    (unknown,) = say_all(conditions(seen(in_progress=1), CONFIG, stalled_hours=hours), Severity.NEEDS_PERSON)
    assert unknown == f"{work}watchfolder status and, of one file, watchfolder explain PATH say what they wait for"
    other = conditions(seen(in_progress=1, refused="x"), CONFIG, stalled_hours=hours)
    assert headline(each for each in other if each.kind is ConditionKind.STALLED) == unknown


@pytest.mark.parametrize(
    ("facts", "works"),
    [
        ({"in_progress": 1}, True),
        ({"deferred": 1}, True),
        ({"inboxes": {"a": InboxSnapshot(is_open=True, waiting=1)}}, True),
        ({"inboxes": {"a": OPEN}}, False),
        ({"inboxes": {"a": OPEN, "b": AWAY}}, None),
        ({"inboxes": {"b": AWAY}, "in_progress": 1}, True),
    ],
)
def test_there_is_work_or_none_or_it_cannot_be_told(facts: dict[str, object], works: bool | None) -> None:
    assert has_work(seen(**facts)) is works


def test_files_of_an_inbox_that_left_go_on_after_a_reload_or_a_start() -> None:
    running = put_back(seen(), CONFIG)
    assert (running.command, running.words.split(", then ")[1]) == (
        "systemctl reload photos",
        "systemctl reload photos (as root)",
    )
    assert " run" in put_back(None, CONFIG, is_running=False).command


def test_what_waits_beside_the_counts_is_told_with_its_number() -> None:
    assert beside_counts(None, 0, None) == []
    assert beside_counts(1, 2, 3) == [
        "1 file waiting for what belongs to it",
        "2 files delivered, with something still to come beside them",
        "camera RAW: 3 files left beside the pictures (raw: leave)",
    ]


def test_what_went_to_quarantine_is_told_by_its_reasons_the_latest_first() -> None:
    some = [
        FileGroup(inbox="a", name="one.jpg", reason="It is cut short.", files=3, retry_helps=False),
        FileGroup(inbox="gone", name="two.jpg", reason="It is empty.", retry_helps=False),
    ]
    said = "\n  gone: two.jpg: It is empty\n  a: one.jpg and 2 more: It is cut short"
    note = "each beside a note that says what to do"
    assert say_quarantined(4, some, CONFIG) == f"4 files went to quarantine:{said}\nThey lie in /srv/quarantine, {note}"
    more = say_quarantined(9, [some[1].model_copy(update={"retry_helps": True})], CONFIG)
    assert more == (
        "9 files went to quarantine:\n  gone: two.jpg: It is empty\n  and 8 more\n"
        "Each lies beside a note that says what to do; then: watchfolder retry --all"
    )


def test_a_verdict_is_told_with_what_it_is_worth() -> None:
    detecting = CONFIG.model_copy(
        update={"inboxes": {**CONFIG.inboxes, "d": CONFIG.inboxes["a"].model_copy(update={"service": "ai-detection"})}}
    )
    some = [FileGroup(inbox=inbox, name="one.jpg", reason="likely_ai") for inbox in ("d", "a", "gone")]
    said = say_found(3, some, detecting)
    assert said.startswith("3 files came out with a verdict that you want to be told of:\n  gone: one.jpg: likely_ai\n")
    assert said.endswith(
        "\n  d: one.jpg: likely_ai\nA probability is no proof: ask where the picture comes from before you act on it"
    )


def test_folders_on_one_disk_are_one_condition() -> None:
    full = Disk(device=7, free_bytes=1000, total_bytes=10**12)
    told = found(
        disks={"/srv/a": full, "/srv/b": full, "/other": Disk(device=8, free_bytes=10**12, total_bytes=10**12)}
    )
    assert [(each.kind, each.subject) for each in told] == [(ConditionKind.DISK_LOW, "/srv/a")]


def test_a_name_that_plays_tricks_is_escaped() -> None:
    assert "\x1b" not in headline(found(inboxes={"a": InboxSnapshot(fault="\x1b[2J")}))
