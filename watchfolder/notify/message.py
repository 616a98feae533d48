"""What a person gets to read: a subject and a few sentences, with nothing secret and no character that plays tricks."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from watchfolder.command_line import Advised, CommandLine
from watchfolder.config import Config
from watchfolder.events import printable, redacted
from watchfolder.report.phrases import files
from watchfolder.services import FLOWS
from watchfolder.snapshot import FileGroup, Quarantined, VerdictCount

_MOST_LINES = 20


@dataclass(frozen=True)
class Message:
    subject: str
    text: str
    is_good: bool = False


def told(sentences: Sequence[str], commands: CommandLine, *, is_good: bool, is_finding: bool = False) -> Message:
    lines = [f"{redacted(sentence)}." for sentence in sentences[:_MOST_LINES]]
    if len(sentences) > _MOST_LINES:
        lines.append(f"And {len(sentences) - _MOST_LINES} more: {commands.to(Advised.STATUS)} has them all.")
    what = "has found something" if is_finding else "well again" if is_good else "needs you"
    return Message(_subject(what), "\n\n".join(lines), is_good)


def trial() -> Message:
    return Message(_subject("a test"), "This is a test. When something needs you, it is said here.", is_good=True)


def quarantine(count: int, some: Sequence[Quarantined], config: Config) -> str:
    """Bundle what went to quarantine: how many for each reason, and where they lie."""
    inboxes = config.inboxes
    named = [_line(each) for each in reversed(some)]
    if rest := count - sum(each.files for each in some):
        named.append(f"and {rest} more")
    folders = {printable(inboxes[each.inbox].quarantine): None for each in some if each.inbox in inboxes}
    where = f" They lie in {', '.join(folders)}, each beside" if folders else " Each lies beside"
    listed = "".join(f"\n  {line}" for line in named)
    can_retry = any(each.retry_helps for each in some)
    again = f"; then: {config.commands.to(Advised.RETRY_ALL)}" if can_retry else ""
    return f"{files(count)} went to quarantine:{listed}\n{where[1:]} a note that says what to do{again}"


def findings(count: int, some: Sequence[VerdictCount], config: Config) -> str:
    """Bundle what was found: how many of each verdict, and how much that is worth."""
    inboxes = config.inboxes
    listed = "".join(f"\n  {_files_of(each)}: {each.verdict}" for each in reversed(some))
    if rest := count - sum(each.files for each in some):
        listed += f"\n  and {rest} more"
    told_of = (FLOWS[inboxes[each.inbox].service].findings for each in some if each.inbox in inboxes)
    cautions = dict.fromkeys(found.caution for found in told_of if found is not None)
    worth = "".join(f"\n{caution.removesuffix('.')}" for caution in cautions)
    return f"{files(count)} came out with a verdict that you want to be told of:{listed}{worth}"


def _files_of(group: FileGroup) -> str:
    more = f" and {group.files - 1} more" if group.files > 1 else ""
    return f"{group.inbox}: {group.name}{more}"


def _line(group: Quarantined) -> str:
    return f"{_files_of(group)}: {group.reason.removesuffix('.')}"


def _subject(what: str) -> str:
    return f"watchfolder on {printable(socket.gethostname())}: {what}"
