"""What `watchfolder init` makes where it is missing: the group's folders, configuration, key file, systemd unit."""

import grp
import json
import os
import pwd
import re
import subprocess
import sys
import sysconfig
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from watchfolder import disk
from watchfolder.command_line import Advised
from watchfolder.config import Config, Inbox, installed_unit
from watchfolder.config.installed_unit import path_to_start
from watchfolder.config.sections import DEFAULT_SERVICE, OF_SERVICES
from watchfolder.disk import Place
from watchfolder.errors import ConfigError, FolderFault
from watchfolder.folders import no_mount
from watchfolder.services import FLOWS

PLANS: Final = {"free": 60, "pro": 300, "enterprise": 1000}  # requests a minute
_SHIPPED_PROGRAM, _SHIPPED_CONFIG = "/opt/watchfolder/bin/watchfolder", "/etc/watchfolder/config.yaml"  # in the unit
_EXAMPLE = "config.example.yaml"
_UNITS = installed_unit.PLACES[0]
_SECONDS = 60.0
_LIMIT = 1 << 20


@dataclass(frozen=True)
class Wishes:
    """What a person wants where nothing is there yet. `folder` is above inbox, protected, quarantine and originals."""

    config: str
    folder: str
    state_dir: str
    key_file: str
    key: str  # empty: they will put it there themselves
    service: str  # what is bought for the pictures
    requests_per_minute: int
    user: str  # whom the daemon runs as; empty: the caller
    group: str  # of the people who share the pictures; empty: the caller's own


def make_user(wishes: Wishes) -> Iterator[str]:
    """Make the group and the daemon's user, as root alone can."""
    try:
        grp.getgrnam(wishes.group)
    except KeyError:
        _call("groupadd", "--system", wishes.group)
        yield f"made the group {wishes.group}: add people with usermod -aG {wishes.group} NAME"
    try:
        user = pwd.getpwnam(wishes.user)
    except KeyError:
        options = ["--system", "--user-group", "--groups", wishes.group, "--home-dir", wishes.state_dir]
        _call("useradd", *options, "--no-create-home", "--shell", "/usr/sbin/nologin", wishes.user)
        yield f"made the user {wishes.user}, in the group {wishes.group}"
        return
    if grp.getgrnam(wishes.group).gr_gid not in os.getgrouplist(wishes.user, user.pw_gid):
        _call("usermod", "--append", "--groups", wishes.group, wishes.user)
        yield f"put the user {wishes.user} into the group {wishes.group}"


def configuration(wishes: Wishes) -> Iterator[str]:
    """Write the configuration from the example, with its comments, and the key's file."""
    if os.path.lexists(wishes.config):
        yield f"{wishes.config} is there, and stays as it is"
    else:
        values = {"key_file": wishes.key_file, "state_dir": wishes.state_dir}
        values["requests_per_minute"] = str(wishes.requests_per_minute)
        write(wishes.config, configuration_text(wishes.folder, values, wishes.service), 0o644)
        yield f"wrote {wishes.config}"
    if os.path.lexists(wishes.key_file):
        yield f"{wishes.key_file} is there, and stays as it is"
    elif wishes.key:
        write(wishes.key_file, f"{wishes.key}\n", 0o600)
        yield f"wrote the key into {wishes.key_file}, which only its owner can read"
    else:
        yield f"no key was given: put it into {wishes.key_file} (chmod 600)"


def configuration_text(folder: str, values: Mapping[str, str], service: str = DEFAULT_SERVICE) -> str:
    """Return the example configuration with other values, for a service; its folders lie below `folder`.

    What other services alone have is left out.
    """
    outbox = FLOWS[service].done
    bases = {"path": "inbox", "outbox": outbox, "quarantine": "quarantine", "originals": "originals"}
    folders = {key: os.path.join(folder, base) for key, base in bases.items()}
    bought = {"service": service, "sort": json.dumps(Inbox.add_default({"service": service})["sort"])}
    text = _read_file(_EXAMPLE)
    for key, value in (folders | bought | dict(values)).items():
        said = value if re.fullmatch("[A-Za-z0-9/._-]+", value) else json.dumps(value, ensure_ascii=False)
        line = f"{key}: {said}".replace("\\", r"\\")
        text, found = re.subn(rf"^( *){key}:.*$", rf"\1{line}", text, flags=re.MULTILINE)
        if found != 1:
            raise ValueError(f"{key} stands {found} times in the example")
    others = {key for key, of in OF_SERVICES.items() if service not in of.services}
    return "".join(_without(others, text.splitlines(keepends=True)))


def _without(keys: Collection[str], lines: Iterable[str]) -> Iterator[str]:
    """Leave out the lines of these keys of an inbox, and the comments that go before them."""
    comments: list[str] = []
    for line in lines:
        if line.startswith("    #"):
            comments.append(line)
            continue
        found = re.match(" {4}([a-z_]+):", line)
        if not found or found[1] not in keys:
            yield from (*comments, line)
        comments = []


def folders(found: Config, wishes: Wishes) -> Iterator[str]:
    """Make the folders that the configuration names, for the group, and the state directory, for the daemon alone."""
    user, user_group, user_name = os.geteuid(), os.getegid(), str(os.geteuid())
    if wishes.user:
        user_name, _, user, user_group, *_ = pwd.getpwnam(wishes.user)
    yield from make_folders(found, grp.getgrnam(wishes.group).gr_gid if wishes.group else user_group)
    if not os.path.lexists(found.state_dir):
        disk.make_group_folder(found.state_dir, user_group, user=user)
        yield f"made {found.state_dir}"
    elif disk.give_empty_folder(found.state_dir, user, user_group, is_private=True):
        yield f"gave {found.state_dir}, which was empty, to {user_name}"


def make_folders(found: Config, group: int) -> Iterator[str]:
    for path in dict.fromkeys(path for inbox in found.inboxes.values() for path in inbox.folders.values()):
        if point := disk.missing_mount(path):
            raise no_mount(point)
        if os.path.lexists(path):
            yield f"{path} is there, and stays as it is"
            continue
        disk.make_group_folder(path, group)
        is_inbox = any(path == inbox.path for inbox in found.inboxes.values())
        if is_inbox and not disk.let_group_write(path):
            yield f"made {path}; without ACLs there: folders that people make in it must be writable for their group"
        else:
            yield f"made {path}"


def unit(found: Config, wishes: Wishes) -> Iterator[str]:
    """Write the unit, for this program and its user, and a drop-in with the folders that the daemon may write to."""
    if not os.path.isdir(_UNITS):
        yield f"no systemd here: start it with your own means: {found.commands.to(Advised.RUN)}"
        return
    ours = installed_unit.unit_of(found.source)
    if ours and ours.name != installed_unit.UNIT.removesuffix(".service"):
        yield f"{ours.name} is there, and so are the drop-ins of its template, as they are"
        return
    there = installed_unit.path_of()
    program = path_to_start()
    hidden = [path for path in (program, os.path.realpath(sys.executable)) if path.startswith(installed_unit.HOMES)]
    if there:
        yield f"{there} is there, and stays as it is"
    elif hidden:
        raise ConfigError(
            f"{hidden[0]}: systemd hides people's homes from the daemon: install watchfolder and its Python where "
            "every user can read them, such as /opt/watchfolder, then run init there again"
        )
    else:
        text = _read_file(f"systemd/{installed_unit.UNIT}").replace(_SHIPPED_PROGRAM, program)
        text = text.replace(_SHIPPED_CONFIG, found.source)
        write(os.path.join(_UNITS, installed_unit.UNIT), text, 0o644)
        yield f"wrote {_UNITS}/{installed_unit.UNIT}"
    yield from _drop_in(found, wishes.user)
    if os.path.isdir("/run/systemd/system"):
        _call("systemctl", "daemon-reload")


def _drop_in(found: Config, user: str) -> Iterator[str]:
    path = os.path.join(_UNITS, f"{installed_unit.UNIT}.d", "folders.conf")
    if os.path.lexists(path):
        yield f"{path} is there, and stays as it is"
        return
    above = dict.fromkeys(os.path.commonpath(inbox.folders.values()) for inbox in found.inboxes.values())
    if "/" in above:  # the folder above them all: between two of them no file could be renamed
        raise ConfigError(
            f"{path}: the folders of an inbox have no folder in common: write it yourself, from "
            f"{_find_file(f'systemd/{installed_unit.UNIT}.d/folders.conf.example')}"
        )
    text = f"# Written by watchfolder init: the folders above those of {found.source}.\n[Service]\n"
    ours = installed_unit.unit_of(found.source)
    if ours and ours.user != user:
        text += f"User={user}\nGroup={grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name}\n"
    text += "".join(f"{line}\n" for line in dict.fromkeys(line for folder in above for line in opened(folder)))
    write(path, text, 0o644)
    yield f"wrote {path}"


def opened(folder: str) -> list[str]:
    """Return what lets the daemon write there. The unit hides all homes: of them it then sees this folder alone."""
    if f"{folder}/".startswith(installed_unit.HOMES):
        return ["ProtectHome=tmpfs", f"BindPaths={installed_unit.quoted_word(f'-{folder}')}"]
    return [f"ReadWritePaths={installed_unit.quoted_word(f'-{_off_share(folder)}')}"]


def _off_share(folder: str) -> str:
    """Return the folder above the mount point, where it lies on a share: a dead one would hold up systemd."""
    from watchfolder import watcher  # noqa: PLC0415 - it brings what other commands do not need

    above = os.path.dirname(folder)
    is_on_share = watcher.way_to_watch(folder, "auto")[0] == "polling"
    return _off_share(above) if is_on_share and above != "/" else folder


def _read_file(name: str) -> str:
    path = _find_file(name)
    return disk.read_bytes(Place(*os.path.split(path)), _LIMIT).decode()


def _find_file(name: str) -> str:
    """Find a file that comes with the program: of an installation, or of a checkout."""
    checkout = os.path.join(os.path.dirname(__file__), "..", "..", "..")
    places = (os.path.join(sysconfig.get_path("data"), "share", "watchfolder"), os.path.normpath(checkout))
    found = next((path for place in places if os.path.exists(path := os.path.join(place, name))), None)
    if found is None:
        raise ConfigError(f"{name}: it belongs to the installation and is missing: install watchfolder again")
    return found


def write(path: str, text: str, mode: int) -> None:
    folder, base = os.path.split(path)
    parent, name = os.path.split(folder)
    place = Place(folder, base) if os.path.isdir(folder) else Place(parent, f"{name}/{base}")
    disk.write_atomically(place, text.encode(), mode=mode)


def _call(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FolderFault(f"{command[0]}: {error}", code="EXEC") from error
    if done.returncode != 0:
        raise FolderFault(f"{' '.join(command)}: {done.stderr.strip()}", code="EXEC")
