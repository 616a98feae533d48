"""Looks at what a life has left behind, and says what should not be so."""

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote_to_bytes

from stage import Fate, Picture, Stage

_MARK = ".watchfolder-id"
_HIDDEN = ".watchfolder"
_SIDECARS = {"ai-detection": ".ai.json", "watermark-extract": ".watermark.json"}
_LEDGER, _ISSUES = "verdicts.csv", "watermarks.csv"
_WATERMARK = re.compile(rb"\n%MORI-SANDBOX-MARK [0-9a-f]{32}\n\Z")
_RANDOM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\.wf-\w+(-[0-9a-f]+)+")
_OF_STATE = {"lock", "instance", "folders.json", "status.json", "serials.json"}
_OF_STATE |= {f"delivery_index.sqlite{suffix}" for suffix in ("", "-wal", "-journal")}


def complaints(stage: Stage, pictures: Sequence[Picture]) -> list[str]:
    """Return each breach of the promises, in words; none is as it should be."""
    return [
        *_of_places(stage, pictures),
        *_of_findings(stage, pictures),
        *_of_issues(stage, pictures),
        *_of_strays(stage, _folders(pictures), parked=sum(picture.is_parked for picture in pictures)),
        *_of_history(stage, pictures),
        *_of_service(stage, pictures),
    ]


def _of_places(stage: Stage, pictures: Sequence[Picture]) -> Iterator[str]:
    """Each picture lies where its fate says, byte for byte, and nothing else lies in a person's folders."""
    marked = {picture.result for picture in pictures if picture.is_marked}
    for folder, files in _expected(stage, pictures).items():
        found = {name: path for name, path in _files(stage.folder(folder)) if not _is_ours(name)}
        if stage.settings.get("service") and folder == "outbox":
            found.pop(_LEDGER, None)
            found.pop(_ISSUES, None)
        for name, content in files.items():
            path = found.pop(name, None)
            if path is None:
                yield f"{folder}: {name} is not there"
            elif content is None:  # whatever it holds
                continue
            elif unmarked(path.read_bytes(), is_marked=name in marked and folder == "outbox") != content:
                yield f"{folder}: {name} is not what it should be ({path.stat().st_size} of {len(content)} bytes)"
            if folder == "outbox" and (sidecar := _sidecar(stage, name)) not in files:
                found.pop(sidecar, None)
            if folder == "outbox":
                missing = [suffix for suffix in _beside(stage) if found.pop(f"{name}{suffix}", None) is None]
                yield from (f"outbox: {name} has no {suffix} beside it" for suffix in missing)
            if folder == "quarantine" and found.pop(f"{name}.why.txt", None) is None:
                yield f"quarantine: {name} has no reason beside it"
        yield from (f"{folder}: {name} should not be there" for name in found)


def _expected(stage: Stage, pictures: Sequence[Picture]) -> dict[str, dict[str, bytes | None]]:
    expected: dict[str, dict[str, bytes | None]] = {folder: {} for folder in _folders(pictures)}
    for picture in pictures:
        own = f"{picture.of}/" if picture.of else ""
        match picture.fate:
            case _ if picture.is_list:
                _expect_list(expected, picture)
            case Fate.DELIVERED if picture.is_gone:
                pass
            case Fate.DELIVERED if picture.is_compared:
                expected["originals"][picture.moved_as or picture.name] = picture.content
            case Fate.DELIVERED if picture.verdict:
                expected["outbox"][picture.result] = picture.content
            case Fate.DELIVERED:
                if not picture.moves_on:
                    expected[f"{own}outbox"][picture.result] = stage.expected(picture)
                if picture.keeps_original:
                    expected[f"{own}originals"][picture.moved_as or picture.name] = picture.link or picture.content
            case fate:
                folder = "quarantine" if fate is Fate.QUARANTINED else "inbox"
                expected[folder][picture.name] = picture.link or picture.content
    for name, content in stage.foreign.items():
        folder, _, base = name.partition("/")
        expected[folder][base] = content
    return expected


def _folders(pictures: Sequence[Picture]) -> list[str]:
    """Return those of the inbox, and of others in which pictures end."""
    whose = {"", *(f"{picture.of}/" for picture in pictures if picture.of)}
    return ["inbox", *(f"{own}{folder}" for own in whose for folder in ("outbox", "originals", "quarantine"))]


def _expect_list(expected: dict[str, dict[str, bytes | None]], list_: Picture) -> None:
    """It lies in the originals with its table, what failed of it in quarantine."""
    stem, _ = os.path.splitext(list_.name)
    expected["originals"] |= {list_.name: list_.link, f"{stem}.done.csv": None}
    expected["quarantine"] |= {f"{stem}.failed.urls": list_.content} if list_.content else {}


def unmarked(content: bytes, *, is_marked: bool) -> bytes:
    """Return the picture without its one watermark; nothing, where it should have one and has not."""
    if not is_marked:
        return content
    return _WATERMARK.sub(b"", content) if _WATERMARK.search(content) else b""


def _of_issues(stage: Stage, pictures: Sequence[Picture]) -> Iterator[str]:
    """Each picture that was marked has its line in the table once, with a text of its own."""
    lines = _lines_of(stage, _ISSUES, "sha256_result")
    for text, count in Counter(line["text"] for line in lines).items():
        if count > 1:
            yield f"issues: {count} × {text}"
    told = Counter((line["sha256_source"], line["file"]) for line in lines)
    issued = [picture for picture in pictures if picture.is_marked and picture.fate is Fate.DELIVERED]
    for picture in issued:
        source = "" if stage.settings.get("links") else picture.sha256  # what lies at an address was never here
        if told.pop((source, picture.result), 0) != 1:
            yield f"issues: {picture.name} is not there once"
    yield from (f"issues: {count} × {line}" for line, count in told.items())


def _of_findings(stage: Stage, pictures: Sequence[Picture]) -> Iterator[str]:
    """Each picture that was judged and lies in the outbox has its sidecar, and its line in the ledger once."""
    lines, has_ledger = _lines_of_ledger(stage), stage.settings.get("service") == "ai-detection"
    for picture in pictures:
        if not picture.verdict or picture.fate is not Fate.DELIVERED or picture.is_gone:
            continue
        if has_ledger and lines.pop((picture.sha256, picture.verdict, picture.result), 0) != 1:
            yield f"ledger: {picture.name} is not there once"
        sidecar = stage.folder("outbox") / _sidecar(stage, picture.result)
        try:
            told = json.loads(sidecar.read_bytes())
        except (FileNotFoundError, ValueError) as error:
            yield f"sidecar of {picture.name}: {type(error).__name__}"
            continue
        if (told["verdict"], told["sha256"]) != (picture.verdict, picture.sha256):
            yield f"sidecar of {picture.name}: {told}"
    yield from (f"ledger: {count} × {line}" for line, count in lines.items())


def _beside(stage: Stage) -> Sequence[str]:
    """Return what comes to lie beside each picture."""
    wanted = stage.settings
    suffixes = {
        ".heatmap.webp": wanted.get("heatmaps"),
        ".report.en-US.pdf": wanted.get("report"),
        ".xmp": wanted.get("xmp"),
    }
    return [suffix for suffix, is_wanted in suffixes.items() if is_wanted]


def _sidecar(stage: Stage, name: str) -> str:
    """Return the name of what is said of a picture; of a service that says nothing, that of the picture itself."""
    return f"{name}{_SIDECARS.get(str(stage.settings.get('service')), '')}"


def _lines_of_ledger(stage: Stage) -> Counter[tuple[str, str, str]]:
    lines = _lines_of(stage, _LEDGER, "sha256")
    return Counter((line["sha256"], line["verdict"], line["file"]) for line in lines)


def _lines_of(stage: Stage, ledger: str, last: str) -> list[dict[str, str]]:
    """Return the lines that have their last column: a cut may cost a line, which is written again."""
    place = stage.folder("outbox") / ledger
    if not place.exists():
        return []
    with place.open(encoding="utf-8", newline="") as table:
        return [line for line in csv.DictReader(table) if line[last]]


def _is_ours(name: str) -> bool:
    return name == _MARK or name.startswith(f"{_HIDDEN}/") or os.path.basename(name).startswith(".wf-")


def _of_strays(stage: Stage, folders: Sequence[str], *, parked: int) -> Iterator[str]:
    """No temporary file, no orphaned work folder, no entry of an order that is at its end."""
    for folder in folders:
        root = stage.folder(folder)
        for name, _ in _files(root):
            if _is_ours(name) and name != _MARK and not _is_owner(name):
                yield f"{folder}: left over: {plain(name)}"
        work = root / _HIDDEN
        for instance in filter(Path.is_dir, work.iterdir() if work.is_dir() else ()):
            for each in instance.iterdir():
                if each.is_dir():
                    yield f"{folder}: orphaned work folder {plain(each.name)}"
    for name, path in _files(stage.folder("state")):
        if name in _OF_STATE or name.startswith("history/"):
            continue
        what = _state_of(path) if name.startswith("journal/") and name.endswith(".json") else ""
        if parked and what.startswith("(quarantined"):
            parked -= 1
            continue
        yield f"state: left over: {plain(name)} {what}".rstrip()


def _is_owner(name: str) -> bool:
    parts = name.split("/")
    return len(parts) == 3 and parts[0] == _HIDDEN and parts[2] == "owner.json"


def plain(text: str) -> str:
    """Replace what is random in names, so that equal complaints are equal."""
    return _RANDOM.sub("#", text)


def _state_of(path: Path) -> str:
    try:
        entry = json.loads(path.read_bytes())
        return f"({entry['state']}: {entry.get('last_error') or 'no error'})"
    except (ValueError, KeyError):
        return "(unreadable)"


def history(stage: Stage) -> tuple[list[dict[str, object]], int]:
    """Return the lines that can be read, and how many cannot."""
    lines, torn = [], 0
    for _, path in _files(stage.folder("state") / "history"):
        for line in path.read_bytes().splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                torn += 1
    return lines, torn


def _of_history(stage: Stage, pictures: Sequence[Picture]) -> Iterator[str]:
    lines, torn = history(stage)
    if torn > 1:  # one cut may cost one line: what was being written, which is then written again
        yield f"history: {torn} unreadable lines"
    found = Counter((str(line["outcome"]), str(name)) for line in lines for name in names_in(line))
    expected = Counter(
        (str(fate), picture.name)
        for picture in pictures
        for fate in (picture.fate, *picture.earlier)
        if fate is not Fate.STAYS
    )
    failed = (os.path.splitext(picture.name)[0] for picture in pictures if picture.is_list and picture.content)
    expected.update((str(Fate.QUARANTINED), f"{stem}.failed.urls") for stem in failed)
    for outcome, name in sorted(expected.keys() | found.keys()):
        if found[outcome, name] != expected[outcome, name]:
            told = f"{found[outcome, name]} lines, not {expected[outcome, name]}"
            yield f"history: {told}, say that {name} was {outcome}"
    for key, count in Counter((str(line["key"]), str(line["outcome"])) for line in lines).items():
        if count > 1:
            yield f"history: {count} lines for one order ({key[1]})"


def names_in(line: dict[str, object]) -> list[str]:
    files = line["files"]
    assert isinstance(files, list)
    return [os.fsdecode(unquote_to_bytes(file["name"])) for file in files]


def _of_service(stage: Stage, pictures: Sequence[Picture]) -> Iterator[str]:
    paid = stage.sandbox.paid_files
    for picture in pictures:
        times = paid.pop(picture.sha256, 0)
        if not picture.paid - picture.paid_less <= times <= picture.paid:
            yield f"service: {picture.name} was paid for {times} times"
    if paid:
        yield f"service: paid for {sum(paid.values())} files that nobody dropped"
    yield from (f"sin: {sin}" for sin in stage.sandbox.sins)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if not path.is_dir() or path.is_symlink():
            yield str(path.relative_to(folder)), path
