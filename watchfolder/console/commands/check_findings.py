"""Is everything as a run needs it? Each answer is found by doing it, under names that a running daemon leaves alone."""

import contextlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Final

from watchfolder import disk, watcher
from watchfolder.api import Pace, Service
from watchfolder.command_line import Advised, CommandLine, quoted
from watchfolder.config import Config, Inbox
from watchfolder.config.installed_unit import unit_of
from watchfolder.console import exit_codes
from watchfolder.console.commands.init_setup import opened
from watchfolder.console.settings import notify_faults, test_key_fault
from watchfolder.disk import Place
from watchfolder.errors import Blocked, FolderFault, UnknownName, WatchfolderError
from watchfolder.folders import TOKEN, Folders, has_default_originals
from watchfolder.health import SILENT_SECONDS
from watchfolder.journal import instance_in
from watchfolder.report.conditions import no_webhook
from watchfolder.report.phrases import clock
from watchfolder.services import flow_of

_OWNER: Final = "check"  # signs our probes
_USER: Final = "watchfolder"  # as the install pages call the daemon's
_EVENT_SECONDS = 3.0
_PACE = Pace(connect_seconds=5.0, read_seconds=10.0, total_seconds=20.0, attempts=2)
_RELEASED = 2026  # no clock that is right shows an earlier year
_REMEDIES = {
    "EROFS": "mount it for writing; under systemd, add it to ReadWritePaths= in a drop-in",
    "ENOSPC": "make room there",
    "EDQUOT": "make room there",
}


@dataclass(frozen=True)
class CheckResult:
    """`text` says what is, or what to do; `code` is the exit code that it asks for."""

    text: str
    code: int = exit_codes.DONE

    @property
    def is_done(self) -> bool:
        return self.code == exit_codes.DONE


def findings(config: Config, user: str | None) -> Iterator[CheckResult]:
    """Check everything but the configuration itself, which was read before. `user` is whom we act as, if not root."""
    yield _configuration(config)
    yield _key(config)
    yield from _notify(config)
    if config.http.listen:
        through = f", and {config.http.public_url}/ through a proxy" if config.http.public_url else ""
        yield CheckResult(f"status page: http://{config.http.listen}/{through}")
    if config.webhook.public_url:
        yield CheckResult(f"webhook: {_webhook(config)}")
    if user is not None:
        yield from _closed_files(config, user)
    yield from _unit(config)
    state = _state(config, user)
    yield state
    if state.is_done:
        yield from _inboxes(config, Folders(config.state_dir, _OWNER, config.commands, config.inboxes.values()))
    yield _clock(datetime.now().astimezone())
    yield _service(config)


def accept(config: Config, name: str) -> Iterator[str]:
    """Accept a configured folder, or all of an inbox, as they are now, because a person says so; give each path.

    Raises UnknownName, FolderFault.
    """
    known = {inbox: list(each.folders.values()) for inbox, each in config.inboxes.items()}
    places = list(dict.fromkeys(place for each in known.values() for place in each))
    path = os.path.abspath(name)
    if name not in known and path not in places:
        names = ", ".join([*known, *places])
        raise UnknownName([f"{name} is no inbox, and {path} none of the configured folders: {names}"])
    folders = Folders(config.state_dir, _OWNER, config.commands, config.inboxes.values())
    for place in known.get(name, [path]):
        disk.answer_of(partial(folders.accept, place), place, SILENT_SECONDS)
        yield place


def _configuration(config: Config) -> CheckResult:
    names = ", ".join(sorted(config.from_environment))
    if not config.source:
        return CheckResult(f"configuration: from the environment alone: {names}")
    return CheckResult(f"configuration: {config.source}" + (f", and from the environment: {names}" if names else ""))


def _key(config: Config) -> CheckResult:
    fault = test_key_fault(config)
    if fault:
        return CheckResult(fault, exit_codes.CONFIG)
    if config.api.has_sample_results:
        return CheckResult("key: a test key: what is delivered are sample pictures, marked (TEST)")
    return CheckResult(f"key: a {config.api.mode} key, and no file of it that others can read")


def _webhook(config: Config) -> str:
    if not config.webhook.secret.get_secret_value():
        return no_webhook(config.commands)
    says_so = f"{config.commands.to(Advised.TRY_WEBHOOK)} says if they arrive"
    return f"pushes are taken from {config.webhook.public_url}: {says_so}"


def _closed_files(config: Config, user: str) -> Iterator[CheckResult]:
    """Name the files that `user`, as whom we act, cannot read, and the command that changes it.

    Reading the configuration has reported missing ones.
    """
    unit = unit_of(config.source)
    is_key_ours = config.api.key_origin == "file" and not (unit and unit.reads_key)
    files = {
        "api.key_file": config.api.key_file if is_key_ours else None,
        "http.password_file": config.http.password_file,
        "webhook.secret_file": config.webhook.secret_file,
        "api.ca_file": config.api.ca_file,
        "configuration": config.source,
    }
    for field, path in files.items():
        closed = disk.closed_folder(path) if path else None
        if path and not os.access(path, os.R_OK) and (closed or os.path.lexists(path)):
            command = config.commands.as_root(_advice(path, field, user, closed))
            reason = f"{field}: {path} cannot be read by {user}, as whom the daemon runs: {command}"
            yield CheckResult(reason, exit_codes.CONFIG)


def _advice(path: str, field: str, user: str, closed: str | None) -> str:
    if closed:
        return f"chmod o+x {quoted(closed)}"
    if field in {"configuration", "api.ca_file"}:  # no secret of the daemon's own
        return f"chgrp {disk.group_name(os.getegid())} {quoted(path)} && chmod g+r {quoted(path)}"
    return f"chown {user} {quoted(path)} && chmod 600 {quoted(path)}"


def _notify(config: Config) -> Iterator[CheckResult]:
    """Nothing is sent here: the command notify test does that."""
    if config.notify:
        faults = notify_faults(config)
        yield from (CheckResult(fault, exit_codes.CONFIG) for fault in faults)
        if not faults:
            trial = config.commands.to(Advised.TRY_NOTIFY)
            yield CheckResult(f"notify: the addresses can be used ({trial} sends a message to each)")
    has_addresses = bool(config.notify or config.heartbeat_url)
    if has_addresses and config.source and stat.S_IMODE(os.stat(config.source).st_mode) & stat.S_IRWXO:
        source = quoted(config.source)
        remedy = config.commands.as_root(f"chgrp {disk.group_name(os.getegid())} {source} && chmod 640 {source}")
        yield CheckResult(f"notify, heartbeat_url: others can read these addresses: {remedy}", exit_codes.CONFIG)


def _unit(config: Config) -> Iterator[CheckResult]:
    """Say what the installed unit keeps from the daemon: all that we try here is tried outside of it."""
    unit = unit_of(config.source)
    if unit is None or unit.writes is None:
        return
    named = {"state_dir": [config.state_dir]}
    named |= {name: list(inbox.folders.values()) for name, inbox in config.inboxes.items()}
    real = disk.follow_links({*unit.writes, *chain.from_iterable(named.values())})
    writable = tuple(f"{real[path].rstrip('/')}/" for path in unit.writes)
    for where, paths in named.items():
        closed = [path for path in paths if not f"{real[path]}/".startswith(writable)]
        above = os.path.commonpath(paths)
        if closed:
            folders = closed if above == "/" else [above]
            lines = ["[Service]", *chain(*map(opened, folders))]
            words = f"{where}: the unit {unit.name} may not write to {', '.join(folders)}; to let it, as root: "
            command = config.commands.add_to_unit(unit.name, unit.drop_in_folder, lines)
            yield CheckResult(words + command, exit_codes.CONFIG)


def _state(config: Config, user: str | None) -> CheckResult:
    path, is_root = config.state_dir, os.geteuid() == 0
    try:
        with _probe(path) as place:
            _write(place)
    except FolderFault as fault:
        owner = user or (_USER if is_root else disk.user_name(os.geteuid()))
        commands = {
            "ENOENT": f"install -d -m 750 -o {owner} {quoted(path)}",
            "EACCES": f"chown -R {user or _USER} {quoted(path)} && chmod 750 {quoted(path)}",
        }
        remedy = config.commands.as_root(commands[fault.code]) if fault.code in commands else ""
        return CheckResult(f"state_dir: {_with_advice(fault, remedy)}", exit_codes.CONFIG)
    if user is not None:
        return CheckResult(f"state_dir: {path}: writable for {user}, as whom this check acts")
    advice = " for root, as whom this check acts: if the daemon is another user, chown it to that one" * is_root
    return CheckResult(f"state_dir: {path}: writable{advice}")


def _inboxes(config: Config, folders: Folders) -> Iterator[CheckResult]:
    """Check the inboxes side by side, and what is written there only where the folders answer at all."""
    silent = _silent(config)
    asked: dict[str, disk.Question[list[CheckResult]]] = {}
    for name, inbox in config.inboxes.items():
        if silent.keys().isdisjoint(inbox.folders.values()):
            asked[name] = disk.Question(partial(list, _inbox(inbox, folders, config.state_dir)), inbox.path)
    for name, inbox in config.inboxes.items():
        try:
            if name in asked:
                yield from asked[name].answer(SILENT_SECONDS)
        except FolderFault as fault:
            yield CheckResult(f"{name}: {fault.reason}", exit_codes.CONFIG)
        reasons = dict.fromkeys(silent[path] for path in inbox.folders.values() if path in silent)
        yield from (CheckResult(f"{name}: {reason}", exit_codes.CONFIG) for reason in reasons)


def _silent(config: Config) -> dict[str, str]:
    """Return the folders that do not answer, each with words for it."""
    paths = dict.fromkeys(path for inbox in config.inboxes.values() for path in inbox.folders.values())
    silent = {}
    for path, question in [(path, disk.Question(partial(os.path.lexists, f"{path}/{TOKEN}"), path)) for path in paths]:
        try:
            question.answer()
        except FolderFault as fault:
            silent[path] = fault.reason
    return silent


def _inbox(inbox: Inbox, folders: Folders, state_dir: str) -> Iterator[CheckResult]:
    found = [_folder(inbox, role, path, folders) for role, path in inbox.folders.items()]
    yield from found
    if all(finding.is_done for finding in found):
        yield _try(inbox.name, lambda: _claim(inbox))
        yield _try(inbox.name, lambda: _no_other(inbox, folders, state_dir))
        yield _try(inbox.name, lambda: _writer(inbox))
        yield _try(inbox.name, lambda: _events(inbox))
        yield _try(inbox.name, lambda: _new_folders(inbox, folders.commands))


def _folder(inbox: Inbox, role: str, path: str, folders: Folders) -> CheckResult:
    is_to_be_made = role == "originals" and has_default_originals(inbox) and not os.path.lexists(path)
    attempt = _to_be_made if is_to_be_made else _is_ready
    return _try(f"{inbox.name}: {role}", lambda: attempt(path, folders))


def _to_be_made(path: str, folders: Folders) -> str:
    """Check that a run can make the one folder that it makes itself."""
    folders.require_mount(path)
    above = os.path.dirname(path)
    with _rights_told(above, folders), _probe(above) as place:
        _write(place)
    return f"{path}: the first run makes it"


def _is_ready(path: str, folders: Folders) -> str:
    with _rights_told(path, folders), _probe(path) as one, _probe(path) as other:
        folders.require_folder(path)
        disk.sweep(path, "", _OWNER)  # what an interrupted check left
        _write(one)
        _write(other)
        _require_no_replace(one, other)
    free = disk.room_in(path).free / 1024**3
    return f"{path}: the folder we know, writable, nothing is ever replaced there, {free:.1f} GiB free"


def _require_no_replace(one: Place, other: Place) -> None:
    for put, name in ((disk.publish_new, "link"), (disk.move, "rename")):
        try:
            put(one, other, owner=_OWNER)
        except FileExistsError:
            continue
        raise FolderFault.at(one.root, f"a {name} replaced a file there: this file system is not safe", code="EEXIST")


def _no_other(inbox: Inbox, folders: Folders, state_dir: str) -> str:
    folders.require_no_other(inbox, lambda: instance_in(state_dir))
    return "no other watchfolder works here"


def _claim(inbox: Inbox) -> str:
    with _work_folder(inbox):
        if os.stat(inbox.path).st_dev == os.stat(inbox.work).st_dev and _is_one_rename(inbox):
            return "a file is taken by one rename into the work folder"
    reason = f"work: {inbox.work} is on another file system than the inbox: name a folder beside it under work"
    raise FolderFault(reason, code="EXDEV")


@contextlib.contextmanager
def _work_folder(inbox: Inbox) -> Iterator[None]:
    """Have a work folder in the block only: if it stayed, it would lock out every other user, such as the daemon's."""
    above, name = os.path.split(inbox.work)
    is_ours = not os.path.isdir(inbox.work)
    if is_ours:
        disk.make_folder(above, name, 0o700)
    try:
        yield
    finally:
        if is_ours:
            disk.remove_empty_folders(above, name)


def _is_one_rename(inbox: Inbox) -> bool:
    """Try a rename: two mounts of one file system have one device number, and still no rename between them."""
    with _probe(inbox.path) as source, _probe(inbox.work) as target:
        _write(source)
        before = disk.stat_of(source)
        disk.move(source, target, owner=_OWNER)
        after = disk.stat_of(target)
        return before is not None and after is not None and os.path.samestat(before, after)


def _writer(inbox: Inbox) -> str:
    with _probe(inbox.path) as place:
        writing = disk.create_new(place)
        try:
            with open(disk.open_regular(place), "rb") as reading:
                can_see = disk.has_writer(reading.fileno())
        finally:
            os.close(writing)
    if can_see:
        return "a program that still writes a file can be seen"
    return "programs that still write cannot be seen on this file system: size, time and the picture's end decide"


def _new_folders(inbox: Inbox, commands: CommandLine) -> str:
    """Say whether we could take a picture from a folder that somebody of the group makes in the inbox."""
    match disk.may_write_in_new_folders(inbox.path):
        case True:
            return "what is in a folder that people make here can be taken, whatever their umask"
        case False:
            path = quoted(inbox.path)
            command = commands.as_root(f"chmod g+s {path} && setfacl -d -m u::rwx,g::rwx,o::rx {path}")
            return f"what is in a folder that others make here with umask 022 cannot be taken; to let it: {command}"
        case None:
            return "whether folders that people make here are ours to take from is for the share's server to say"


def _events(inbox: Inbox) -> str:
    kind, reason = watcher.way_to_watch(inbox.path, inbox.watch)
    if kind == "polling":
        return f"changes are looked for every {inbox.scan_seconds:g} s ({reason})"
    with _probe(inbox.path) as place:
        if watcher.are_events_told(inbox.path, lambda: _write(place), _EVENT_SECONDS):
            return f"changes are told at once ({reason})"
    raise FolderFault.at(inbox.path, "changes are not told: set watch: polling for this inbox")


def _clock(now: datetime) -> CheckResult:
    if now.year < _RELEASED:
        return CheckResult(f"clock: it shows {clock(now)}: set it (timedatectl set-ntp true)", exit_codes.CONFIG)
    return CheckResult(f"clock: {now:%Y-%m-%d %H:%M:%S %Z}")


def _service(config: Config) -> CheckResult:
    where = f"service: {config.api.base_url}"
    in_need = [f"{name} ({inbox.service})" for name, inbox in config.inboxes.items() if flow_of(inbox).needs_v3]
    try:
        with contextlib.closing(Service(config.api, transfers=1, stop=threading.Event(), pace=_PACE)) as service:
            service.ping()
            if not in_need or service.reads == "v3":
                return CheckResult(f"{where}: answers and takes the key (it does not tell your plan's limits)")
        reason = f"it has no v3 reads, which these inboxes need; their pictures wait: {', '.join(in_need)}"
    except Blocked as error:
        reason = f"{error.reason} ({error.code})"
    except WatchfolderError as error:
        reason = f"{error.reason} ({error.code}): is the network up, are base_url and proxy right?"
    return CheckResult(f"{where}: {reason}", exit_codes.UNFINISHED)


def _try(where: str, attempt: Callable[[], str]) -> CheckResult:
    try:
        return CheckResult(f"{where}: {attempt()}")
    except FolderFault as fault:
        return CheckResult(f"{where}: {_with_advice(fault)}", exit_codes.CONFIG)
    except FileNotFoundError:
        return CheckResult(f"{where}: another program removes our temporary files: try again", exit_codes.UNFINISHED)


def _with_advice(fault: FolderFault, remedy: str = "") -> str:
    remedy = remedy or _REMEDIES.get(fault.code, "")
    return f"{fault.reason}: {remedy}" if remedy else fault.reason


def _write(place: Place) -> None:
    with disk.new_file(place) as write:
        write(b"watchfolder check\n")


@contextlib.contextmanager
def _rights_told(folder: str, folders: Folders) -> Iterator[None]:
    try:
        yield
    except FolderFault as fault:
        if not fault.is_closed:
            raise
        raise folders.closed(folder, f"{_user()} may not write there") from fault


def _user() -> str:
    name = disk.user_name(os.geteuid())
    return f"user {name}" if name.isdigit() else name


@contextlib.contextmanager
def _probe(folder: str) -> Iterator[Place]:
    """Give a hidden name in `folder`; whatever lies there at the end is removed."""
    place = Place(folder, disk.hidden_part(folder, _OWNER).base)
    try:
        yield place
    finally:
        with contextlib.suppress(FolderFault):  # the first fault is the one to tell
            disk.remove(place, durable=False)
