"""This daemon's webhook at the service, made and removed together with the file that holds its secret."""

import os
from collections.abc import Iterator
from typing import Final

from watchfolder import disk
from watchfolder.api import Webhook, Webhooks
from watchfolder.command_line import Advised
from watchfolder.config import Config
from watchfolder.disk import Place
from watchfolder.errors import Blocked, FolderFault, Reject, WatchfolderError

_NAME: Final = "watchfolder"


class AlreadyRegistered(Exception):
    """The service pushes to this address already; the secret of that was shown once, and is not shown again."""


def ours(registered: list[Webhook], config: Config) -> list[Webhook]:
    return [webhook for webhook in registered if webhook.url == config.webhook.public_url]


def register(config: Config, webhooks: Webhooks, *, replace: bool) -> Iterator[str]:
    """Register and store the secret; yield what was done.

    The new one is there before an old one goes, as one does whose secret is lost; what may be this daemon's under an
    address that it had before is named.
    Raises AlreadyRegistered; and FolderFault when the secret could not be stored: then the registration, which nobody
    could use, has been removed again.
    """
    before = webhooks.registered()
    old = ours(before, config)
    has_secret = _has_secret(config)
    if old and has_secret and not replace:
        raise AlreadyRegistered
    made = _made(config, webhooks, {webhook.id for webhook in before})
    _store(config, made, webhooks)
    yield f"registered: {config.webhook.public_url} (webhook {made.id}); its secret is in {config.webhook.secret_file}"
    for webhook in old:
        webhooks.remove(webhook.id)
        yield f"removed: the one before it (webhook {webhook.id})"
    if has_secret and not old:
        yield from _perhaps_ours(before, config)


def _perhaps_ours(registered: list[Webhook], config: Config) -> Iterator[str]:
    for webhook in registered:
        if webhook.name == _NAME:
            if_ours = f"if that was this daemon's address: {config.commands.to(Advised.REMOVE_WEBHOOK, webhook.id)}"
            yield f"still registered: {_called(webhook)}; {if_ours}"


def _called(webhook: Webhook) -> str:
    return f"{webhook.url or 'an unknown address'} (webhook {webhook.id})"


def remove(config: Config, webhooks: Webhooks, id_: str | None) -> Iterator[str]:
    """Remove one webhook, or all that push here; without any, the secret is of no use and goes as well."""
    registered = webhooks.registered()
    here = ours(registered, config)
    going = [webhook for webhook in registered if webhook.id == id_] if id_ else here
    for webhook in going:
        webhooks.remove(webhook.id)
        yield f"removed: {_called(webhook)}"
    if (going or id_ is None) and all(webhook in going for webhook in here):
        yield from _remove_secret(config)


def _has_secret(config: Config) -> bool:
    return os.path.lexists(config.webhook.secret_file or "")


def _secret_place(config: Config) -> Place:
    return Place(*os.path.split(config.webhook.secret_file or ""))


def _remove_secret(config: Config) -> Iterator[str]:
    if _has_secret(config):
        disk.remove(_secret_place(config))
        yield f"removed: {config.webhook.secret_file}"


def _made(config: Config, webhooks: Webhooks, before: set[str]) -> Webhook:
    url = config.webhook.public_url or ""
    try:
        return webhooks.register(url, _NAME, is_test=config.api.mode == "test")
    except (Blocked, Reject):
        raise
    except WatchfolderError as error:  # its answer, and with it the secret, may be lost
        reason = error.reason
    try:
        for webhook in ours(webhooks.registered(), config):
            if webhook.id not in before:
                webhooks.remove(webhook.id)
    except WatchfolderError:
        effect = f"it may be registered, with a secret that nobody knows: see {config.commands.to(Advised.WEBHOOKS)}"
    else:
        effect = "nothing was registered"
    raise WatchfolderError(f"{reason}: {effect}")


def _store(config: Config, made: Webhook, webhooks: Webhooks) -> None:
    """Write the secret down, or take the registration back."""
    try:
        disk.write_atomically(_secret_place(config), f"{made.secret or ''}\n".encode(), mode=0o600)
    except FolderFault as fault:
        raise FolderFault(f"{fault.reason}: {_undone(made, webhooks, config)}", code=fault.code) from fault


def _undone(made: Webhook, webhooks: Webhooks, config: Config) -> str:
    try:
        webhooks.remove(made.id)
    except WatchfolderError as error:
        return (
            "the secret could not be stored, and the registration could not be removed again "
            f"({error.reason}): {config.commands.to(Advised.REMOVE_WEBHOOK, made.id)}"
        )
    return "the secret could not be stored, so the registration was removed again"
