"""The one door to apprise, which knows a hundred ways to reach a person. It is loaded only when a way is configured."""
# ruff: noqa: PLC0415 - apprise takes half a second and 20 MB, which a daemon without it should not pay

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import SecretStr

from watchfolder.notify.message import Message

if TYPE_CHECKING:
    from apprise import Apprise

_TOO_TALKATIVE = ("apprise", "urllib3", "requests_oauthlib")  # their lines quote addresses, tokens and all


def faults(addresses: Sequence[SecretStr]) -> list[str]:
    """Say which addresses cannot be used, by their place in the configuration: they hold tokens and are not shown."""
    return [
        f"{label(number, address).replace(' ', ': ', 1)}: this is no address that apprise knows, or a part of "
        "it is missing (it is not shown here): see https://github.com/caronc/apprise/wiki"
        for number, address in enumerate(addresses)
        if not len(_loaded(address))
    ]


def label(number: int, address: SecretStr) -> str:
    """Name an address without what is secret of it: in many of them the host is the token."""
    return f"notify[{number}] ({address.get_secret_value().partition('://')[0].lower()})"


class Recipient:
    """One address that messages go to."""

    def __init__(self, address: SecretStr) -> None:
        self._apprise = _loaded(address)

    def deliver(self, message: Message) -> bool:
        """Return whether the service took it. May take as long as the service lets it."""
        from apprise import NotifyFormat, NotifyType

        kind = NotifyType.SUCCESS if message.is_good else NotifyType.WARNING
        try:
            return bool(
                self._apprise.notify(
                    body=message.text, title=message.subject, notify_type=kind, body_format=NotifyFormat.TEXT
                )
            )
        except Exception:  # noqa: BLE001 - of a hundred foreign programs; its text may quote the address
            return False


def _loaded(address: SecretStr) -> "Apprise":
    for name in _TOO_TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    from apprise import Apprise, AppriseAsset, PersistentStoreMode

    asset = AppriseAsset(
        app_id="watchfolder",
        app_desc="watchfolder",
        async_mode=False,
        storage_mode=PersistentStoreMode.MEMORY,  # it writes nothing
    )
    service = Apprise(asset=asset)
    service.add(address.get_secret_value())
    return service
