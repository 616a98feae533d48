"""Which of an order's files is which at the service, where its reads leave out what would tell."""

import uuid

from made_orders import made_file, made_order

from watchfolder.api import Slot
from watchfolder.order import key_of_one
from watchfolder.pipeline.poll import identify

MANY = str(uuid.uuid4())
NAMELESS = tuple(Slot(file_id=number) for number in ("11", "12", "13"))


def test_without_names_the_sequence_of_the_request_tells() -> None:
    order = made_order(*(made_file(f"{name}.jpg", sent_name=f"{name}.jpg") for name in "abc"))
    assert [file.file_id for file in identify(order, NAMELESS)] == ["11", "12", "13"]


def test_one_that_was_parked_by_itself_is_known_by_its_place_among_all() -> None:
    alone = made_order(made_file(), of_many=MANY, key=key_of_one(MANY, 1))
    assert [file.file_id for file in identify(alone, NAMELESS)] == ["12"]


def test_of_another_number_of_files_none_is_guessed() -> None:
    order = made_order(made_file("a.jpg", sent_name="a.jpg"), made_file("b.jpg", sent_name="b.jpg"))
    assert [file.file_id for file in identify(order, NAMELESS)] == [None, None]
