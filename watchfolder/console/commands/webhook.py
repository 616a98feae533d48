"""The commands of `watchfolder webhook`: the service pushes what it has finished, instead of being asked."""

import json
import os
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final

import typer

from watchfolder import disk
from watchfolder.command_line import Advised, Control
from watchfolder.config import WEBHOOK_PATH, Config
from watchfolder.console import exit_codes, settings
from watchfolder.console.shell import ConfigFile, configuration_at, fail
from watchfolder.disk import Place
from watchfolder.errors import Blocked, FolderFault, Reject, WatchfolderError
from watchfolder.events import printable, redacted
from watchfolder.pushes import SIGNATURE_HEADER, signature
from watchfolder.report.conditions import control
from watchfolder.report.phrases import clock_with_seconds
from watchfolder.report.status import running

if TYPE_CHECKING:
    from watchfolder.api import PushEvent, Webhook, Webhooks

_NAME: Final = "watchfolder"
_SUCCESS: Final = range(200, 300)
_ANSWERS: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "the program that answers does not know this secret: {reload}",
    HTTPStatus.SERVICE_UNAVAILABLE: "nobody there knows a secret, or the proxy finds nobody behind it: {reload}",
    HTTPStatus.NOT_FOUND: "nothing takes pushes there: {reload}, and see that the proxy passes the path on",
    HTTPStatus.BAD_GATEWAY: "the proxy finds nobody behind it: is watchfolder running, and does it listen there?",
}

commands = typer.Typer(
    help="Have the service push what it has finished, instead of asking it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@commands.command()
def register(
    *,
    config_file: ConfigFile = None,
    replace: Annotated[bool, typer.Option("--replace", help="Also if this address is registered already.")] = False,
) -> None:
    """Register this daemon's address at the service and store the secret."""
    with _opened(config_file) as (found, webhooks):
        hook, before = found.webhook, webhooks.list_all()
        old, has_secret = _ours(before, found), _has_secret(found)
        if old and has_secret and not replace:
            reason = "is registered already, and its secret is not shown again: say --replace for a new one"
            fail(f"{hook.public_url} {reason}", exit_codes.USAGE)
        made = _add_webhook(found, webhooks, before)
        _write_secret(made, found, webhooks)
        _say(f"registered: {hook.public_url} (webhook {made.id}); its secret is in {hook.secret_file}")
        for webhook in old:  # only now: the new one works, and the secret of this one may be lost
            webhooks.remove(webhook.id)
            _say(f"removed: the one before it (webhook {webhook.id})")
        for webhook in before if has_secret and not old else ():  # an address that this daemon had before
            if webhook.name == _NAME:
                command = found.commands.to(Advised.REMOVE_WEBHOOK, webhook.id)
                _say(f"still registered: {_name_of(webhook)}; if that was this daemon's address: {command}")
        _say(f"If watchfolder is running: {_reload(found)}; then: {found.commands.to(Advised.TRY_WEBHOOK)}")


@commands.command(name="list")
def show(*, config_file: ConfigFile = None) -> None:
    """List the webhooks of this account."""
    with _opened(config_file, needs_address=False) as (found, webhooks):
        registered = webhooks.list_all()
        for webhook in registered:
            mark = "  (this daemon)" if webhook.url == found.webhook.public_url else ""
            _say(f"{webhook.id}  {webhook.url or '?'}  {webhook.name or ''}{mark}")
        if not registered:
            _say("No webhook is registered.")


@commands.command()
def remove(
    id_: Annotated[str | None, typer.Argument(metavar="ID", hidden=True)] = None,
    *,
    config_file: ConfigFile = None,
) -> None:
    """Remove this daemon's webhook, or the one with this ID."""
    with _opened(config_file, needs_address=id_ is None) as (found, webhooks):
        registered = webhooks.list_all()
        here = _ours(registered, found)
        going = [webhook for webhook in registered if webhook.id == id_] if id_ else here
        if id_ and not going:
            fail(f"there is no webhook {id_}: see {found.commands.to(Advised.WEBHOOKS)}", exit_codes.USAGE)
        for webhook in going:
            webhooks.remove(webhook.id)
            _say(f"removed: {_name_of(webhook)}")
        if here in ([], going) and _has_secret(found):  # without a webhook of ours it is of no use
            disk.remove(_secret_place(found))
            _say(f"removed: {found.webhook.secret_file}")
        elif not going:
            _say("Nothing is registered for this daemon.")


@commands.command(name="test")
def try_out(*, config_file: ConfigFile = None) -> None:
    """Send a push as the service does, and say whether it reaches this daemon."""
    with _opened(config_file) as (found, webhooks):
        if not found.webhook.secret.get_secret_value():
            fail(f"nothing is registered yet: {found.commands.run(Advised.REGISTER)}", exit_codes.CONFIG)
        are_well = []
        for line, is_well in _findings(found, webhooks):
            _say(line[:1].upper() + line[1:] + ".")
            are_well.append(is_well)
    raise typer.Exit(exit_codes.DONE if all(are_well) else exit_codes.UNFINISHED)


@contextmanager
def _opened(config_file: str | None, *, needs_address: bool = True) -> Iterator[tuple[Config, "Webhooks"]]:
    from watchfolder.api import Webhooks  # noqa: PLC0415 - other commands need not wait for it

    with configuration_at(config_file, settings.read) as found:
        if needs_address and found.webhook.public_url is None:
            fail("webhook.public_url: name the address there that the service can reach", exit_codes.CONFIG)
        with closing(Webhooks(found.api)) as webhooks:
            yield found, webhooks


def _say(text: str) -> None:
    typer.echo(redacted(printable(text)))


def _ours(registered: "Sequence[Webhook]", config: Config) -> "list[Webhook]":
    return [webhook for webhook in registered if webhook.url == config.webhook.public_url]


def _has_secret(config: Config) -> bool:
    return os.path.lexists(config.webhook.secret_file or "")


def _secret_place(config: Config) -> Place:
    return Place(*os.path.split(config.webhook.secret_file or ""))


def _name_of(webhook: "Webhook") -> str:
    return f"{webhook.url or 'an unknown address'} (webhook {webhook.id})"


def _reload(config: Config) -> str:
    snapshot = running(config.state_dir).snapshot
    return control(Control.RELOAD, snapshot, config).words


def _add_webhook(config: Config, webhooks: "Webhooks", before: "Sequence[Webhook]") -> "Webhook":
    """Register this daemon's address; one that was made and whose answer was lost is removed again."""
    try:
        return webhooks.register(config.webhook.public_url or "", _NAME, is_test=config.api.mode == "test")
    except (Blocked, Reject):
        raise
    except WatchfolderError as error:  # its answer, and with it the secret, may be lost
        reason = error.reason
    try:
        for webhook in _ours(webhooks.list_all(), config):
            if webhook.id not in {each.id for each in before}:
                webhooks.remove(webhook.id)
    except WatchfolderError:
        effect = f"it may be registered, with a secret that nobody knows: see {config.commands.to(Advised.WEBHOOKS)}"
    else:
        effect = "nothing was registered"
    raise WatchfolderError(f"{reason}: {effect}")


def _write_secret(made: "Webhook", config: Config, webhooks: "Webhooks") -> None:
    """Store the secret; if that fails, remove the registration, which nobody could use without it."""
    try:
        disk.write_atomically(_secret_place(config), f"{made.secret or ''}\n".encode(), mode=0o600)
    except FolderFault as fault:
        effect = "the secret could not be stored, so the registration was removed again"
        try:
            webhooks.remove(made.id)
        except WatchfolderError as error:
            command = config.commands.to(Advised.REMOVE_WEBHOOK, made.id)
            reason = f"the registration could not be removed again ({error.reason})"
            effect = f"the secret could not be stored, and {reason}: {command}"
        raise FolderFault(f"{fault.reason}: {effect}", code=fault.code) from fault


def _findings(config: Config, webhooks: "Webhooks") -> Iterator[tuple[str, bool]]:
    """Do pushes reach this daemon? Give sentences, each with whether what it says is well."""
    url, listener = config.webhook.public_url or "", f"http://{config.http.listen}{WEBHOOK_PATH}"
    if trouble := _fault_at(webhooks, url, config):
        yield f"pushes do not reach this daemon: {url}: {trouble}", False
        if trouble := _fault_at(webhooks, listener, config):
            yield f"nor at its own address, {listener}: {trouble}", False
        else:
            between = "what is between (name, TLS, firewall, proxy) is at fault"
            yield f"at its own address, {listener}, all is well: {between}", False
    else:
        yield f"pushes reach this daemon: {url} took a signed one and refused a forged one", True
    try:
        here = _ours(webhooks.list_all(), config)
        fault = _fault_of(here, config)
        yield fault or _last_pushes(webhooks.events(here[0].id)), fault is None
    except WatchfolderError as error:
        yield f"what the service pushed could not be asked: {error.reason}", False


def _fault_at(webhooks: "Webhooks", url: str, config: Config) -> str | None:
    """Say why what answers at `url` is not this daemon, if so: send a push, and a forged one beside it."""
    push = {"eventId": str(uuid.uuid4()), "eventType": "watchfolder.test"}
    body = json.dumps({**push, "occurredAt": datetime.now(UTC).isoformat(), "data": {}}).encode()
    secret = config.webhook.secret.get_secret_value()
    try:
        answer = webhooks.deliver(url, {SIGNATURE_HEADER: signature(secret, body)}, body)
        if answer not in _SUCCESS:
            words = _ANSWERS.get(answer, f"it answers {answer}, where the service wants a 2xx")
            return words.format(reload=_reload(config))
        if webhooks.deliver(url, {SIGNATURE_HEADER: signature("forged", body)}, body) in _SUCCESS:
            return "the program that answers takes forged ones as well: that is not watchfolder"
    except WatchfolderError as error:
        return error.reason
    return None


def _fault_of(here: "Sequence[Webhook]", config: Config) -> str | None:
    """Say what is wrong with the webhooks of this address, which should be one."""
    again = config.commands.run(Advised.REGISTER_AGAIN)
    if not here:
        return f"the service has no webhook for this address: {config.commands.run(Advised.REGISTER)}"
    if len(here) > 1:
        ids = ", ".join(webhook.id for webhook in here)
        reason = f"the service has {len(here)} webhooks for this address ({ids}), each with a secret of its own"
        return f"{reason}: {again}"
    return None if here[0].is_active else f"the service has switched this webhook off ({here[0].id}): {again}"


def _last_pushes(events: "Sequence[PushEvent]") -> str:
    if not events:
        return "the service has pushed nothing yet"
    counts = Counter((event.status or "unknown").lower() for event in events)
    told = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
    moments = [event.created_at for event in events if event.created_at]
    last = f"; the last is of {clock_with_seconds(max(moments))}" if moments else ""
    return f"the service's last pushes by its own word: {told}{last}"
