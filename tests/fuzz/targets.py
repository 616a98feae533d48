"""What a fuzzer may say to us: bytes in, an answer or one of our own errors out. Run by test_atheris.py, or by hand.

pip install atheris
python tests/fuzz/targets.py images -max_total_time=60 CORPUS_FOLDER
"""

import contextlib
import os
import sys
from collections.abc import Callable

import atheris

with atheris.instrument_imports(include=["watchfolder"]):
    from watchfolder.api import answers
    from watchfolder.config import load
    from watchfolder.errors import ConfigError, Retry
    from watchfolder.images import Kind, judge
    from watchfolder.order import read_order


def images(data: bytes) -> None:
    """Judge a file of these bytes, the last of them a hint at its name; what is whole must be a picture still."""
    name = ("a.jpg", "a.tif", "a.nef", "a.heic", "a.txt", "")[data[-1] % 6 if data else 0]
    hole = len(data) * data[0] // 256 if data else 0
    for find_hole in (lambda _offset: None, lambda offset: max(offset, hole)):
        reads: list[int] = []

        def read_at(offset: int, length: int, reads: list[int] = reads) -> bytes:
            reads.append(offset)
            return data[offset : offset + length]

        verdict = judge(read_at, len(data), name, find_hole)
        assert verdict.kind in Kind
        assert bool(verdict.format) >= (verdict.kind in {Kind.WHOLE, Kind.SUSPECT})
        assert len(reads) <= len(data) + 200


def api(data: bytes) -> None:
    envelope = answers.Envelope.read(data)
    for read in (
        lambda: answers.read_created(envelope.data, ["a.jpg"]),
        lambda: answers.read_slot_list(envelope.data),
        lambda: answers.OrderView.read(envelope.data),
        lambda: answers.read_links(envelope.data),
        lambda: answers.read_found(envelope.data, "wf-k"),
    ):
        with contextlib.suppress(Retry):
            repr(read()).encode("utf-8")


def journal(data: bytes) -> None:
    """Read an entry: it is whole or refused; what was read can be written and read again."""
    with contextlib.suppress(ValueError, ConfigError):
        order = read_order(data, KEY)
        assert read_order(order.model_dump_json().encode(), KEY) == order


def configuration(data: bytes) -> None:
    """Load a configuration of these bytes, from a file that is in memory only."""
    os.ftruncate(_file, 0)
    os.pwrite(_file, data, 0)
    told: tuple[str, ...] = ()
    try:
        load(f"/proc/self/fd/{_file}", {"BIZMORI_API_KEY": "sk_live_never_to_be_shown"})
    except ConfigError as error:
        told = error.faults
    assert not any("never_to_be_shown" in fault or "\n" in fault for fault in told)


KEY = "00000000-0000-4000-8000-000000000001"  # of the order that the fuzzer begins with
_file = os.memfd_create("config.yaml")
TARGETS: dict[str, Callable[[bytes], None]] = {f.__name__: f for f in (images, api, journal, configuration)}

if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()
