"""The lives that are tortured: what lies in the inbox, what happens meanwhile, and how each must end."""

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from faults import Trait
from stage import Fate, Picture, Stage, picture
from witness import unmarked

from watchfolder.journal import Journal
from watchfolder.services.addresses import AddressFault

Outcome = Callable[[], Sequence[Picture]]
"""Asked at the end: what must have become of everything."""


@dataclass(frozen=True)
class Story:
    """`set_up` prepares the stage up to the moment at which the faults begin."""

    name: str
    set_up: Callable[[Stage], Outcome]
    mischief: str = ""  # of warm.MISCHIEF, done to the stage's accomplice
    command: tuple[str, ...] = ()  # what the faults befall, instead of a daemon
    change: Callable[[Stage], None] = lambda _: None  # of the configuration, after the first death


def _drop_all(stage: Stage, pictures: Sequence[Picture]) -> Outcome:
    for each in pictures:
        stage.drop(each)
    return lambda: pictures


def _one_file(stage: Stage) -> Outcome:
    return _drop_all(stage, [picture("a.jpg", 1)])


def _three_files(stage: Stage) -> Outcome:
    """Three orders side by side."""
    stage.settings["max_files_per_order"] = 1
    names = ["a.jpg", "sub folder/b.png", "sub folder/ü 100%.webp"]
    return _drop_all(stage, [picture(name, seed) for seed, name in enumerate(names)])


def _three_in_one_order(stage: Stage) -> Outcome:
    names = ["a.jpg", "sub folder/b.png", "sub folder/ü 100%.webp"]
    return _drop_all(stage, [picture(name, seed) for seed, name in enumerate(names)])


def _split(stage: Stage) -> Outcome:
    """One bad picture in an order of two: both were paid with it, and once more alone."""
    good, bad = picture("a.jpg", 1), picture("x_fail.jpg", 2, Fate.QUARANTINED)
    return _drop_all(stage, [replace(each, paid=2, paid_less=1) for each in (good, bad)])


def _name_is_taken(stage: Stage) -> Outcome:
    """A foreign file has the name that the delivery wants, another the original's."""
    for folder in ("outbox", "originals"):
        (stage.root / folder).mkdir(exist_ok=True)
        (stage.root / folder / "a.jpg").write_bytes(b"somebody else's")
    one = replace(picture("a.jpg", 1), delivered_as="a (2).jpg", moved_as="a (2).jpg")
    stage.drop(one)
    stage.foreign = {"outbox/a.jpg": b"somebody else's", "originals/a.jpg": b"somebody else's"}
    return lambda: [one]


def _fails_at_the_service(stage: Stage) -> Outcome:
    return _drop_all(stage, [picture("x_fail.jpg", 2, Fate.QUARANTINED)])


def _is_no_picture(stage: Stage) -> Outcome:
    return _drop_all(stage, [Picture("text.jpg", b"%PDF-1.4 no picture at all", Fate.QUARANTINED, paid=0)])


def _was_refused(stage: Stage) -> Picture:
    """Bring a picture into quarantine that is paid for and whose order is alive at the service: it was given up."""
    one = picture("sub/a.jpg", 3)
    stage.drop(one)
    never_whole = stage.sandbox.faults.add("fetch", "truncated", times=None)
    for _ in range(5):  # on a machine that is too busy to answer for its folders a run ends before it takes anything
        ending = stage.run()
        with closing(Journal(str(stage.root / "state"))) as journal:
            journal.open()
            for order in journal.orders():
                journal.note(order, failing_seconds=1e9, not_before=None)
        if ending.word == "quarantined":
            break
    assert ending.word == "quarantined", ending
    never_whole.times = 0
    return replace(one, earlier=(Fate.QUARANTINED,))


def _comes_back_from_quarantine(stage: Stage) -> Outcome:
    """A person moves it back: the same order goes on."""
    one = _was_refused(stage)
    (stage.folder("quarantine") / one.name).rename(stage.root / "inbox" / one.name)
    return lambda: [one]


def _is_to_be_retried(stage: Stage) -> Outcome:
    one = _was_refused(stage)
    return lambda: [one]


def _is_to_be_retried_from_elsewhere(stage: Stage) -> Outcome:
    stage.put_elsewhere("quarantine")
    return _is_to_be_retried(stage)


def _key_is_taken(stage: Stage) -> Outcome:
    """The service has seen the key with another body and has no such order: a new key takes its place."""
    stage.sandbox.faults.add("create", "answer", status=409, code="IDEMPOTENCY_KEY_CONFLICT")
    return _one_file(stage)


def _service_forgets(stage: Stage) -> Outcome:
    """The order is gone before it was paid: believed, and begun again under a new key."""
    stage.sandbox.faults.add("upload", "answer", status=403)
    stage.sandbox.faults.add("refresh", "forget")
    return _one_file(stage)


def _upload_is_lost(stage: Stage) -> Outcome:
    stage.sandbox.faults.add("upload", "lose")
    return _one_file(stage)


def _changes_before_upload(stage: Stage) -> Outcome:
    """The file goes back to the inbox and is taken again as what it now is; the first order is never paid."""
    one = picture("a.jpg", 4)
    _give_accomplice(stage, one)
    return lambda: [replace(one, content=stage.accomplice.read_bytes())]


def _changes_after_confirm(stage: Stage) -> Outcome:
    """What was sent is delivered; the changed file is a new one."""
    one = picture("a.jpg", 5)
    _give_accomplice(stage, one)

    def outcome() -> Sequence[Picture]:
        now = stage.accomplice.read_bytes()
        if now == one.content:
            return [one]
        return [replace(one, keeps_original=False), replace(one, content=now, delivered_as="a (2).jpg")]

    return outcome


def _give_accomplice(stage: Stage, one: Picture) -> None:
    """Drop the picture with a second name outside the root, and what shall be written there meanwhile."""
    os.link(stage.drop(one), stage.accomplice)
    stage.accomplice.with_suffix(".new").write_bytes(picture(one.name, 77).content)


def _originals_elsewhere(stage: Stage) -> Outcome:
    """Originals on another file system: copied, compared, and only then removed."""
    stage.put_elsewhere("originals")
    return _one_file(stage)


def _originals_deleted(stage: Stage) -> Outcome:
    stage.settings["originals"] = "delete"
    return _drop_all(stage, [replace(picture("a.jpg", 6), keeps_original=False)])


def _dropped_again(stage: Stage, **settings: object) -> tuple[Picture, Picture]:
    """Bring one the whole way, then drop its bytes again under another name."""
    stage.settings |= {"duplicates": "reuse"} | settings
    first = picture("a.jpg", 1)
    stage.drop(first)
    ending = stage.run()
    assert ending.word == "done", ending
    again = replace(first, name="sub folder/b.jpg", paid=0)
    stage.drop(again)
    return first, again


def _is_reused(stage: Stage) -> Outcome:
    both = _dropped_again(stage)
    return lambda: both


def _is_reused_without_index(stage: Stage) -> Outcome:
    """It is made anew from the history meanwhile."""
    both = _dropped_again(stage)
    for file in (stage.root / "state").glob("delivery_index.sqlite*"):
        file.unlink()
    return lambda: both


def _is_no_longer_there(stage: Stage) -> Outcome:
    """A person has put as many other bytes in the place of what was delivered: found out by its hash, and bought."""
    first, again = _dropped_again(stage)
    delivered = stage.folder("outbox") / first.name
    delivered.rename(delivered.with_name("taken out.jpg"))
    other = bytes(len(stage.expected(first)))
    delivered.write_bytes(other)
    stage.foreign = {f"outbox/{first.name}": other}
    return lambda: [replace(first, delivered_as="taken out.jpg", paid=2), again]


def _is_quarantined_as_duplicate(stage: Stage) -> Outcome:
    first, again = _dropped_again(stage, duplicates="quarantine")
    return lambda: [first, replace(again, fate=Fate.QUARANTINED)]


def _twins(stage: Stage) -> Outcome:
    stage.settings["duplicates"] = "reuse"
    first = picture("a.jpg", 1)
    return _drop_all(stage, [first, replace(first, name="sub folder/b.jpg", paid=0)])


def _detection(stage: Stage, *pictures: Picture, **settings: object) -> Outcome:
    stage.settings |= {"service": "ai-detection"} | settings
    return _drop_all(stage, [replace(each, verdict="likely_real", keeps_original=False) for each in pictures])


def _is_detected(stage: Stage) -> Outcome:
    return _detection(stage, picture("a.jpg", 1))


def _are_detected(stage: Stage) -> Outcome:
    return _detection(stage, picture("a.jpg", 1), picture("sub folder/ü 100%.png", 2))


def _detected_with_all_beside(stage: Stage) -> Outcome:
    """A heatmap, a report and keywords come to lie beside the picture, once it is delivered and told."""
    return _detection(stage, picture("a.jpg", 1), heatmaps=True, report="always", xmp=True)


def _detected_elsewhere(stage: Stage) -> Outcome:
    """The outbox is on another file system: the picture is copied there, compared, and only then removed."""
    stage.put_elsewhere("outbox")
    return _is_detected(stage)


def _detected_name_is_taken(stage: Stage) -> Outcome:
    """A foreign file has the name of the picture, and another one that of the sidecar beside the next name."""
    stage.foreign = {"outbox/a.jpg": b"somebody else's", "outbox/a (2).jpg.ai.json": b"somebody else's"}
    for name, content in stage.foreign.items():
        (stage.root / name).write_bytes(content)
    return _detection(stage, replace(picture("a.jpg", 1), delivered_as="a (3).jpg"))


def _is_detected_again(stage: Stage) -> Outcome:
    """The same bytes once more: answered from the history, without a request."""
    stage.settings |= {"service": "ai-detection", "duplicates": "reuse"}
    first = replace(picture("a.jpg", 1), verdict="likely_real", keeps_original=False)
    stage.drop(first)
    ending = stage.run()
    assert ending.word == "done", ending
    again = replace(first, name="sub folder/b.jpg", paid=0)
    stage.drop(again)
    return lambda: [first, again]


def _changes_after_its_start(stage: Stage) -> Outcome:
    """What was found is of bytes that are nowhere any more: the history has it, and the changed file is a new one."""
    stage.settings |= {"service": "ai-detection"}
    one = replace(picture("a.jpg", 5), verdict="likely_real", keeps_original=False)
    _give_accomplice(stage, one)

    def outcome() -> Sequence[Picture]:
        now = stage.accomplice.read_bytes()
        return [one] if now == one.content else [replace(one, is_gone=True), replace(one, content=now)]

    return outcome


def _extraction(stage: Stage, name: str, seed: int = 1, **facts: Any) -> list[Picture]:  # noqa: ANN401 - of a Picture
    """Choose the service; return a picture and its original."""
    stage.settings = {"service": "watermark-extract"}
    stem, extension = os.path.splitext(name)
    found = picture(name, seed, facts.get("fate", Fate.DELIVERED))
    found = replace(found, **({"delivered_as": f"undetected/{name}", "verdict": "undetected"} | facts))
    original = picture(f"{stem}.original{extension}", seed + 50, found.fate)
    return [found, replace(original, paid=0, is_compared=True)]


def _is_extracted(stage: Stage) -> Outcome:
    return _drop_all(stage, _extraction(stage, "a.jpg"))


def _are_extracted(stage: Stage) -> Outcome:
    return _drop_all(stage, [*_extraction(stage, "a.jpg"), *_extraction(stage, "sub folder/ü 100%.png", 2)])


def _extracted_elsewhere(stage: Stage) -> Outcome:
    """Outbox and originals are on other file systems: both are copied there, compared, and only then removed."""
    stage.put_elsewhere("outbox")
    stage.put_elsewhere("originals")
    return _is_extracted(stage)


def _original_is_lent(stage: Stage) -> Outcome:
    """The original is copied from where another inbox keeps it, and stays there."""
    found, original = _extraction(stage, "sub folder/a.jpg")
    stage.settings["originals_from"] = "press"
    kept = stage.add_inbox("press", service="watermark-embed") / "originals" / "a.jpg"
    kept.write_bytes(original.content)
    stage.drop(found)

    def outcome() -> Sequence[Picture]:
        assert kept.read_bytes() == original.content
        return [found]

    return outcome


def _extraction_fails(stage: Stage) -> Outcome:
    return _drop_all(stage, _extraction(stage, "x_fail.jpg", fate=Fate.QUARANTINED, paid=0))


def _extraction_upload_is_lost(stage: Stage) -> Outcome:
    """The last upload, which is the purchase, comes to nothing, and its answer said so of neither."""
    stage.sandbox.faults.add("upload", "lose")
    return _is_extracted(stage)


def _extraction_pair_changes(stage: Stage) -> Outcome:
    """The picture changes before it is sent: both go back, and are taken again as what they now are."""
    one, original = _extraction(stage, "a.jpg", 4)
    stage.drop(original)
    _give_accomplice(stage, one)
    return lambda: [replace(one, content=stage.accomplice.read_bytes()), original]


def _embed(stage: Stage, *pictures: Picture) -> Outcome:
    stage.settings = {"service": "watermark-embed", "watermark": {"text": "© Berg {serial}"}}
    return _drop_all(stage, [replace(each, is_marked=each.fate is Fate.DELIVERED) for each in pictures])


def _is_marked(stage: Stage) -> Outcome:
    return _embed(stage, picture("a.jpg", 1))


def _are_marked(stage: Stage) -> Outcome:
    """Which upload is the last one, and so the purchase, nobody knows beforehand."""
    return _embed(stage, *(picture(name, seed) for seed, name in enumerate(["a.jpg", "sub/b.png", "sub/ü 100%.webp"])))


def _upload_link_runs_out(stage: Stage) -> Outcome:
    """It is renewed by the v3 read, which also tells what is there."""
    stage.sandbox.faults.add("upload", "answer", status=403)
    return _are_marked(stage)


def _upload_answer_is_lost(stage: Stage) -> Outcome:
    """The work may have begun: the service is asked before anything is sent again."""
    stage.sandbox.faults.add("upload", "reset_after", nth=3)
    return _are_marked(stage)


def _upload_to_mark_is_lost(stage: Stage) -> Outcome:
    stage.sandbox.faults.add("upload", "lose")
    return _is_marked(stage)


def _marking_times_out(stage: Stage) -> Outcome:
    """What the service calls failed, and gives back, is ordered again under another key."""
    stage.sandbox.faults.add("upload", "fail", code="ORDER_TIMEOUT")
    return _is_marked(stage)


def _one_cannot_be_marked(stage: Stage) -> Outcome:
    """One bad picture in an order of two: what failed is given back."""
    return _embed(stage, picture("a.jpg", 1), replace(picture("x_fail.jpg", 2, Fate.QUARANTINED), paid=0))


def _key_to_mark_is_taken(stage: Stage) -> Outcome:
    """There is no name to look for: it may have been paid for, so it is parked, and never bought again."""
    stage.sandbox.faults.add("create", "answer", times=None, status=409, code="WATERMARK_V2_CONFLICT")
    return _embed(stage, replace(picture("a.jpg", 1, Fate.QUARANTINED), paid=0, is_parked=True))


def _is_moved_back_to_be_marked(stage: Stage) -> Outcome:
    """The same bytes ask for the same order again."""
    stage.sandbox.faults.add("create", "answer", status=409, code="WATERMARK_V2_CONFLICT")
    outcome = _embed(stage, replace(picture("a.jpg", 1), earlier=(Fate.QUARANTINED,)))
    ending = stage.run()
    assert ending.word == "quarantined", ending
    (stage.folder("quarantine") / "a.jpg").rename(stage.root / "inbox" / "a.jpg")
    return outcome


def _changes_before_it_is_sent(stage: Stage) -> Outcome:
    """Nothing was begun without it: it is taken again as what it now is."""
    _embed(stage)
    one = replace(picture("a.jpg", 4), is_marked=True)
    _give_accomplice(stage, one)
    return lambda: [replace(one, content=stage.accomplice.read_bytes())]


def _address(number: int) -> str:
    return f"https://img.example.com/%C3%BC%20{number}.jpg?token=s3cret"


def _lie_at_addresses(stage: Stage, count: int) -> list[Picture]:
    """Let so many pictures lie at addresses; return each as what a link to it becomes."""
    stage.settings |= {"links": True}
    pictures = [
        replace(
            picture(f"{number}.url.jpg", number), name=f"{number}.url", delivered_as=f"ü {number}.jpg", link=shortcut
        )
        for number in range(1, count + 1)
        for shortcut in [f"[InternetShortcut]\nURL={_address(number)}\n".encode()]
    ]
    stage.sandbox.origins = {_address(number): each.content for number, each in enumerate(pictures, start=1)}
    return pictures


def _is_fetched(stage: Stage) -> Outcome:
    return _drop_all(stage, _lie_at_addresses(stage, 1))


def _are_fetched(stage: Stage) -> Outcome:
    return _drop_all(stage, _lie_at_addresses(stage, 3))


def _create_answer_is_lost(stage: Stage) -> Outcome:
    """The create is what is paid for: it is repeated under the same key, in the same bytes."""
    stage.sandbox.faults.add("create", "reset_after")
    return _are_fetched(stage)


def _are_listed(stage: Stage) -> Outcome:
    """Each good line of a list is an order; the one that is refused comes back."""
    stage.settings["max_files_per_order"] = 1
    lines = [
        replace(each, name=f"press.{number}.url", link=b"", keeps_original=False)
        for number, each in enumerate(_lie_at_addresses(stage, 2), start=1)
    ]
    refused = "http://img.example.com/3.jpg"
    content = "".join(f"{address}\n" for address in [_address(1), _address(2), refused])
    failed = f"# {AddressFault.NOT_HTTPS.value}\n{refused}\n"
    list_ = Picture("press.urls", failed.encode(), Fate.QUARANTINED, paid=0, link=content.encode(), is_list=True)
    stage.drop(list_)
    return lambda: [list_, *lines]


def _marked_of_addresses(stage: Stage, outcome: Outcome) -> Outcome:
    """Let the service mark what lies there: nothing is uploaded, so the create is the purchase."""
    stage.settings |= {"service": "watermark-embed", "watermark": {"text": "© Berg {serial}"}}
    del stage.settings["duplicates"]  # each drop is an issue of its own
    return lambda: [replace(each, is_marked=not each.is_list) for each in outcome()]


def _is_fetched_and_marked(stage: Stage) -> Outcome:
    return _marked_of_addresses(stage, _is_fetched(stage))


def _are_fetched_and_marked(stage: Stage) -> Outcome:
    return _marked_of_addresses(stage, _are_fetched(stage))


def _create_answer_to_mark_is_lost(stage: Stage) -> Outcome:
    return _marked_of_addresses(stage, _create_answer_is_lost(stage))


def _are_listed_and_marked(stage: Stage) -> Outcome:
    return _marked_of_addresses(stage, _are_listed(stage))


def _is_marked_then_protected(stage: Stage) -> Outcome:
    """Two inboxes in a row: the outbox of the first is the second one's inbox."""
    one = picture("sub/a.jpg", 1)
    _embed(stage, one)
    own = stage.add_inbox("protect", path=f"{stage.root}/outbox", duplicates="again")
    marked = own / "originals" / one.name

    def outcome() -> Sequence[Picture]:
        content = marked.read_bytes() if marked.exists() else b""
        if unmarked(content, is_marked=True) != stage.expected(one):
            content = stage.expected(one)  # which is not what lies there, and told
        return [replace(one, is_marked=True, moves_on=True), replace(one, content=content, of="protect")]

    return outcome


def _where(lacking: Trait, story: Story, share: str) -> Story:
    """Let the story happen on a file system without these calls."""

    def set_up(stage: Stage) -> Outcome:
        stage.traits = Trait.COUNT_SENDS | lacking
        return story.set_up(stage)

    return replace(story, name=f"{share}: {story.name}", set_up=set_up)


_ANYWHERE = {
    story.name: story
    for story in (
        Story("one file", _one_file),
        Story("three files", _three_files),
        Story("three in one order", _three_in_one_order),
        Story("split", _split),
        Story("name taken", _name_is_taken),
        Story("quarantine: failed", _fails_at_the_service),
        Story("quarantine: no picture", _is_no_picture),
        Story("retry", _comes_back_from_quarantine),
        Story("retry: the command", _is_to_be_retried, command=("retry", "--all")),
        Story("retry: the command, from elsewhere", _is_to_be_retried_from_elsewhere, command=("retry", "--all")),
        Story("re-key: key taken", _key_is_taken),
        Story("re-key: forgotten", _service_forgets),
        Story("redo: upload lost", _upload_is_lost),
        Story("release: changed", _changes_before_upload, "change before upload"),
        Story("changed after confirm", _changes_after_confirm, "change after confirm"),
        Story("originals elsewhere", _originals_elsewhere),
        Story("originals deleted", _originals_deleted),
        Story("reuse", _is_reused),
        Story("reuse: catalogue lost", _is_reused_without_index),
        Story("reuse: delivery changed", _is_no_longer_there),
        Story("reuse: quarantine", _is_quarantined_as_duplicate),
        Story("twins", _twins),
        Story("detection", _is_detected),
        Story("detection: two", _are_detected),
        Story("detection: all beside", _detected_with_all_beside),
        Story("detection: outbox elsewhere", _detected_elsewhere),
        Story("detection: name taken", _detected_name_is_taken),
        Story("detection: again", _is_detected_again),
        Story("detection: changed after its start", _changes_after_its_start, "change after confirm"),
        Story("extract", _is_extracted),
        Story("extract: two", _are_extracted),
        Story("extract: elsewhere", _extracted_elsewhere),
        Story("extract: lent", _original_is_lent),
        Story("extract: failed", _extraction_fails),
        Story("extract: upload lost", _extraction_upload_is_lost),
        Story("extract: changed", _extraction_pair_changes, "change before upload"),
        Story("links", _is_fetched),
        Story("links: three", _are_fetched),
        Story("links: answer lost", _create_answer_is_lost),
        Story("links: list", _are_listed),
        Story("embed: address", _is_fetched_and_marked),
        Story("embed: addresses", _are_fetched_and_marked),
        Story("embed: address, answer lost", _create_answer_to_mark_is_lost),
        Story("embed: address, list", _are_listed_and_marked),
        Story("embed: then protect", _is_marked_then_protected),
        Story("embed", _is_marked),
        Story("embed: three", _are_marked),
        Story("embed: link run out", _upload_link_runs_out),
        Story("embed: answer lost", _upload_answer_is_lost),
        Story("embed: upload lost", _upload_to_mark_is_lost),
        Story("embed: times out", _marking_times_out),
        Story("embed: split", _one_cannot_be_marked),
        Story("embed: key taken", _key_to_mark_is_taken),
        Story("embed: moved back", _is_moved_back_to_be_marked),
        Story("embed: changed before it is sent", _changes_before_it_is_sent, "change before upload"),
    )
}
_PLAIN = (  # every way that a file moves: claim, outbox, originals, quarantine, back to the inbox
    "one file",
    "name taken",
    "quarantine: failed",
    "retry: the command",
    "retry: the command, from elsewhere",
    "release: changed",
    "originals elsewhere",
    "detection",
    "extract",
)
_NFS = Trait.NO_EXCHANGE | Trait.TWO_STEPS
STORIES = {
    **_ANYWHERE,
    **{
        story.name: story
        for name in _PLAIN
        for story in (
            _where(Trait.NO_LINKS | _NFS, _ANYWHERE[name], "plain share"),  # as exFAT by FUSE, or an NFS without links
            _where(_NFS, _ANYWHERE[name], "NFS"),
        )
    },
}
