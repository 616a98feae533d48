"""The command `demo`: the whole way on this machine, in a temporary folder, with a sandbox and sample pictures."""
# ruff: noqa: PLC0415 - each command imports what it alone needs

import json
import logging
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import typer

from watchfolder.console import exit_codes, logs, settings
from watchfolder.console.shell import in_words
from watchfolder.services import FLOWS

if TYPE_CHECKING:
    from watchfolder.config import Config
    from watchfolder.daemon import Outcome
    from watchfolder.snapshot import Snapshot

_ADDRESS: Final = "https://images.example.com/from%20an%20address.jpg"
_PAGE_PORT: Final = 8686  # the one of the documents; another one where it is taken


class Show(NamedTuple):
    """One service, shown by an inbox of its name."""

    service: str
    effect: str  # what becomes of its pictures, in a few words
    write_sample_files: Callable[[Path], list[Path]]
    more: Mapping[str, object] = {}  # of the configuration
    leaks_to: str = ""  # the service that is shown with what comes out here

    @property
    def folders(self) -> dict[str, str]:
        """Return where they lie, by the key of each in the configuration; originals go where they go by default."""
        bases = {"path": "inbox", "outbox": FLOWS[self.service].done, "quarantine": "quarantine"}
        return {key: f"{self.service}/{base}" for key, base in bases.items()}


def demo() -> None:
    """Show the whole way here: sandbox, sample pictures, status page.

    On a terminal it goes on until Ctrl-C and then removes its folder. Elsewhere it ends by itself and leaves the
    folder, for a look.
    """
    typer.echo("The whole way on this machine: a stand-in for the service, sample pictures, watchfolder. Some seconds…")
    logs.set_up("text", logging.WARNING, {}, sys.stderr)
    has_person = sys.stdin.isatty() and sys.stdout.isatty()
    try:
        with in_words(), _kept_at_end() as root:
            outcome = _run(root, has_person=has_person)
    except KeyboardInterrupt:
        typer.echo("The demo has ended, its folder is removed.")
        raise typer.Exit(exit_codes.DONE if has_person else exit_codes.UNFINISHED) from None
    raise typer.Exit(exit_codes.QUARANTINED if outcome.snapshot.quarantined else exit_codes.DONE)


@contextmanager
def _kept_at_end() -> Iterator[Path]:
    """Give a folder that stays when the block ends normally, and is removed when it raises."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    root = Path(tempfile.mkdtemp(prefix="watchfolder-demo-"))
    try:
        yield root
    except BaseException:
        shutil.rmtree(root)
        raise


def _run(root: Path, *, has_person: bool) -> "Outcome":
    """Run the daemon on sample pictures until they are through. Raises KeyboardInterrupt when told to stop."""
    from watchfolder import daemon
    from watchfolder.pushes import Pushes
    from watchfolder.sandbox import Sandbox
    from watchfolder.sandbox.pictures import sample
    from watchfolder.web import Page

    shows = _to_show()
    with Sandbox(origins={_ADDRESS: sample("jpeg", width=640, height=480, seed=6)}) as sandbox:
        found = _set_up(root, shows, sandbox.url, sandbox.key)
        programme = _Programme(root, shows, has_person=has_person)
        pushes = Pushes()
        with closing(Page(found.http, pushes)) as page:
            onlookers = (page, programme)
            for is_last in (True,) if has_person else (False, True):  # the second takes what came out of the first
                outcome = daemon.run(
                    found, _end_at_reload(found), once=not has_person, onlookers=onlookers, pushes=pushes
                )
                programme.tell(is_over=is_last)
                if programme.is_over or outcome.ending is daemon.Ending.STOPPED:
                    break
    if outcome.ending is daemon.Ending.STOPPED:
        raise KeyboardInterrupt
    return outcome


def _to_show() -> tuple[Show, ...]:
    from watchfolder.sandbox.pictures import write_sample_files

    marks, text = "an invisible text in each, of its own: watermarks.csv has it", {"text": "for dpa {serial}"}
    whose = "whose was it? What was marked says so, beside each"
    of_marked = {"sort": False, "originals_from": "watermark-embed", "scan_seconds": 1}
    return (
        Show("anti-ai", "protected against AI training", _write_with_link, {"links": True}),
        Show("watermark-embed", marks, write_sample_files, {"watermark": text}, leaks_to="watermark-extract"),
        Show("watermark-extract", whose, lambda _: [], of_marked),
        Show("ai-detection", "made by AI or not: the verdict lies beside each", write_sample_files),
    )


def _write_with_link(folder: Path) -> list[Path]:
    """Write the samples, and the address of a picture, as a browser saves it."""
    from watchfolder.sandbox.pictures import write_sample_files

    samples = write_sample_files(folder)
    (folder / "some page.url").write_text(f"[InternetShortcut]\nURL={_ADDRESS}\n", encoding="utf-8")
    return [*samples, folder / "from an address.jpg"]


def _set_up(root: Path, shows: tuple[Show, ...], url: str, key: str) -> "Config":
    key_file = root / "api-key"
    key_file.touch(mode=0o600)
    key_file.write_text(key)
    for show in shows:
        for folder in show.folders.values():
            (root / folder).mkdir(parents=True)
    (root / "state").mkdir()
    config = root / "config.yaml"
    config.write_text("\n".join(_configuration(root, shows, url, key_file)) + "\n", encoding="utf-8")
    return settings.read(str(config), {})


def _configuration(root: Path, shows: tuple[Show, ...], url: str, key_file: Path) -> Iterator[str]:
    def line(indent: int, key: str, value: object = None) -> str:
        return f"{' ' * indent}{key}:" + ("" if value is None else f" {json.dumps(value)}")  # YAML takes JSON as well

    yield from (line(0, "api"), line(2, "base_url", url), line(2, "key_file", str(key_file)))
    yield line(2, "requests_per_minute", 0)
    yield from (line(0, "state_dir", str(root / "state")), line(0, "http"))
    yield line(2, "listen", _free_address())
    yield line(0, "orders_in_flight", 30)  # of one picture each, for two of the services: none waits for another
    yield line(0, "inboxes")
    for show in shows:
        yield from (line(2, show.service), line(4, "service", show.service))
        yield from (line(4, key, str(root / folder)) for key, folder in show.folders.items())
        yield from (line(4, key, value) for key, value in show.more.items())
        yield line(4, "settle_seconds", 1)


def _free_address() -> str:
    try:
        listener = socket.create_server(("127.0.0.1", _PAGE_PORT))
    except OSError:
        listener = socket.create_server(("127.0.0.1", 0))
    with listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


def _end_at_reload(found: "Config") -> "Callable[[], Config]":
    """Return what the daemon calls when the terminal is closed: for others a reload, here the end."""

    def end() -> "Config":
        signal.raise_signal(signal.SIGTERM)
        return found

    return end


class _Programme:
    """Prints the deliveries, those of a service together, and, when all have come, what to look at."""

    def __init__(self, root: Path, shows: tuple[Show, ...], *, has_person: bool) -> None:
        self._root = root
        self._to_show = shows
        self._has_person = has_person
        self._awaited: dict[str, set[str]] = {}  # by service, what the samples and their table will be called
        self._told: set[Path] = set()
        self._told_last: Show | None = None
        self.is_over = False

    def follow(self, config: "Config") -> None:
        if self._awaited:
            return
        for show in self._to_show:
            samples = {sample.name for sample in show.write_sample_files(self._root / show.folders["path"])}
            for service in filter(None, (show.service, show.leaks_to)):
                ledger = FLOWS[service].ledger
                self._awaited.setdefault(service, set()).update(samples, {ledger.name} if ledger else ())
        typer.echo(f"The status page, as long as this runs: http://{config.http.listen}/")

    def see(self, _snapshot: "Snapshot") -> None:
        self.tell(is_over=False)

    def tell(self, *, is_over: bool) -> None:
        """Print what has come; of a service of which some is missing, only when the run is over."""
        are_whole = []
        for show in self._to_show:
            there = self._deliveries_of(show)
            are_whole.append(self._awaited[show.service] <= {path.name for path in there})
            if there - self._told and (is_over or are_whole[-1]):
                self._tell_deliveries(show, there - self._told)
        if all(are_whole) and not self.is_over:
            self.is_over = True
            self._tell_the_end()

    def _deliveries_of(self, show: Show) -> set[Path]:
        found = (self._root / show.folders["outbox"]).rglob("[!.]*")
        return {path for path in found if path.is_file() and "/." not in str(path.relative_to(self._root))}

    def _tell_deliveries(self, show: Show, fresh: set[Path]) -> None:
        if self._told_last is not show:
            self._told_last = show
            typer.echo(f"{show.service}: {show.effect}")
        for path in sorted(fresh):
            typer.echo(f"  {path}")
            if show.leaks_to and path.name in self._awaited[show.leaks_to]:
                shutil.copy(path, self._root / show.leaks_to / "inbox")
        self._told |= fresh

    def _tell_the_end(self) -> None:
        typer.echo("The marks and the verdicts are the sandbox's, and mean nothing.")
        typer.echo(f"The originals lie beside them, the configuration is {self._root}/config.yaml.")
        if self._has_person:
            typer.echo(f"Drop a picture of your own: {self._root}/{self._to_show[0].service}/inbox")
            typer.echo("Ctrl-C ends the demo and removes its folder.")
        else:
            typer.echo(f"To remove all this: rm -r {self._root}")
