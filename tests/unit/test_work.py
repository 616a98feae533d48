"""A copy of an entry, which anybody on the share may have written: which are believed."""

import uuid
from pathlib import Path
from typing import Any

import pytest
from made_orders import made_file, made_order

from watchfolder.clock import Clock
from watchfolder.config import Inbox
from watchfolder.disk import Place
from watchfolder.errors import FolderFault
from watchfolder.order import Order, OrderFile, Result, Role, State, Why, key_of_one
from watchfolder.services import FLOWS
from watchfolder.work import WorkFolder, is_ours

KEY, MANY = str(uuid.UUID(int=1, version=4)), str(uuid.UUID(int=2, version=4))
ADDRESS = "https://img.example.com/one.jpg"
ONE, TWO = made_file("sub/one.jpg", sent_name="one.jpg"), made_file("two.jpg", sent_name="two.jpg")
LINK = made_file("one.url", sent_name="one.jpg", address=ADDRESS)
LIST = made_file("many.urls", sent_name="many.jpg")
OTHER_LIST = made_file("other.urls", sent_name="other.jpg")
FOUND = made_file("found.jpg", sent_name="found.jpg")
ITS_ORIGINAL = made_file("found.original.jpg", sent_name="original.jpg", role=Role.ORIGINAL)


def inbox(**facts: object) -> Inbox:
    folders = {"name": "photos", "path": "/in", "outbox": "/out", "quarantine": "/quarantine"}
    return Inbox.model_validate(folders | facts)


def copy(*files: OrderFile, service: str = "anti-ai", options: dict[str, str] | None = None, **facts: object) -> Order:
    """Return what we write for these files, but for the facts that are given."""
    if options is None:
        options = {"strength": "high"} if service == "anti-ai" else {}
    facts = {"key": KEY, "service": service, "options": options} | facts
    return made_order(*files, **{"body": FLOWS[service].body(str(facts["key"]), files, options)} | facts)


def parked(index: int, *of_all: OrderFile, **facts: Any) -> Order:  # noqa: ANN401 - an order's
    """Return what we write for one file of an order of several, parked by itself."""
    body = copy(*of_all, key=MANY).body
    return copy(of_all[index], **{"key": key_of_one(MANY, index), "of_many": MANY, "body": body} | facts)


@pytest.mark.parametrize(
    ("ours", "inbox"),
    [
        (copy(ONE), inbox()),
        (copy(ONE, TWO), inbox()),
        (copy(ONE, reused_from=KEY), inbox()),
        (copy(LINK), inbox(links=True)),
        (copy(LINK, TWO), inbox(links=True)),
        (copy(LIST, is_list=True, body=""), inbox(links=True)),
        (parked(0, ONE, TWO), inbox()),
        (parked(1, ONE, TWO), inbox()),
        (copy(ITS_ORIGINAL, FOUND, service="watermark-extract"), inbox(service="watermark-extract")),
        (
            copy(ITS_ORIGINAL.having(role=Role.COPY), FOUND, service="watermark-extract"),
            inbox(service="watermark-extract"),
        ),
    ],
)
def test_what_we_write_is_believed(ours: Order, inbox: Inbox) -> None:
    assert is_ours(ours, inbox, "live", {ours.files[0].name})


@pytest.mark.parametrize(
    "forged",
    [
        copy(ONE, mode="test"),
        copy(ONE, why=Why(reason="It has failed.")),
        copy(ONE, body="{}"),
        copy(ONE).having(service="another"),
        copy(ONE, options={"strength": "extreme"}),
        copy(ONE, options={}),
        copy(ONE, ONE.having(sent_name="b.jpg")),
        copy(*(made_file(f"{number}.jpg", sent_name=f"{number}.jpg") for number in range(101))),
        copy(ONE, TWO, reused_from=KEY),
        copy(ONE.having(role=Role.ORIGINAL)),
        copy(ONE.having(role=Role.COPY)),
        copy(ONE.having(sent_name="one.png")),
        copy(ONE.having(media_type="text/plain")),
        copy(ONE.having(sent_name="../one.jpg")),
        copy(ONE.having(sent_name=".jpg")),
        copy(LINK.having(address="http://img.example.com/one.jpg")),
        copy(LINK.having(address="https://localhost/one.jpg")),
        copy(LIST, OTHER_LIST, is_list=True, body=""),
        copy(LIST, is_list=True),
        copy(LIST.having(address=ADDRESS), is_list=True, body=""),
        copy(LIST, is_list=True, body="", reused_from=KEY),
        parked(0, ONE, TWO, key=key_of_one(MANY, 1)),
        parked(0, ONE, TWO, body=copy(ONE, TWO).body),
        parked(0, ONE, TWO, body="{}"),
        parked(0, ONE),
        parked(0, ONE.having(results=(Result(text="a"),)), TWO, files=(ONE.having(sent_name="zwei.jpg"),)),
        copy(FOUND, ITS_ORIGINAL, service="watermark-extract"),
        copy(FOUND, made_file("b.jpg", sent_name="b.jpg"), service="watermark-extract"),
        copy(ITS_ORIGINAL, FOUND, service="watermark-extract", files=(ITS_ORIGINAL,)),
    ],
)
def test_what_we_would_never_write_is_not_believed(forged: Order) -> None:
    assert not is_ours(forged, inbox(links=True), "live", {file.name for file in forged.files})


@pytest.mark.parametrize("copy", [copy(LINK), copy(LIST, is_list=True, body="")])
def test_addresses_are_not_believed_where_the_inbox_takes_none(copy: Order) -> None:
    assert not is_ours(copy, inbox(), "live", {copy.files[0].name})


def test_a_copy_of_which_no_file_is_there_is_not_believed() -> None:
    assert not is_ours(copy(ONE), inbox(), "live", {"two.jpg"})
    assert not is_ours(copy(ONE), inbox(), "live", ())


@pytest.fixture
def work(tmp_path: Path) -> WorkFolder:
    return WorkFolder(inbox(), Place(str(tmp_path), "instance"), "instance")


@pytest.mark.parametrize("has_moved", [False, True])
def test_files_that_have_moved_need_no_folder_before(work: WorkFolder, tmp_path: Path, *, has_moved: bool) -> None:
    before = str(tmp_path / "away/instance")
    if has_moved:
        work.make_folder(copy(ONE))
        work.move_in(before, KEY, is_here=False)
    else:
        with pytest.raises(FolderFault, match="it is away: bring it back"):
            work.move_in(before, KEY, is_here=False)
    work.move_in(before, KEY, is_here=True)


@pytest.mark.parametrize(
    ("is_known", "has_folder", "of_list"), [(True, False, MANY), (False, True, MANY), (False, False, None)]
)
def test_a_line_belongs_to_its_list_as_long_as_that_is_there(
    work: WorkFolder, *, is_known: bool, has_folder: bool, of_list: str | None
) -> None:
    line = copy(ONE, of_list=MANY, times={State.CLAIMING: Clock().read()})
    work.make_folder(line)
    if has_folder:
        work.make_folder(copy(LIST, key=MANY))
    order = work.rebuild(KEY, "live", {ONE.name}, lambda key: is_known and key == MANY)
    assert order is not None
    assert order.of_list == of_list
