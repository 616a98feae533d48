"""The service's webhooks, for the commands: registered, listed, removed; and a delivery like one of its own."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from watchfolder.api.answers import PushEvent, Webhook, faulty, read_events, read_webhook, read_webhooks, webhook_body
from watchfolder.api.service import Service
from watchfolder.api.table import Call
from watchfolder.errors import Reject, WatchfolderError

_PATH: Final = "/api/v2/orders/webhooks"
_GONE: Final = "WEBHOOK_NOT_FOUND"


class Webhooks(Service):
    """Speaks by the same rules as a run: one budget, the same errors."""

    def registered(self) -> list[Webhook]:
        return self._ask(Call.WEBHOOK, "GET", _PATH, read_webhooks)

    def register(self, url: str, name: str, *, is_test: bool) -> Webhook:
        """Register `url`; the answer alone has the secret. Not to be repeated blindly: each try may make one more."""
        try:
            body = webhook_body(url, name, is_test=is_test)
            made = self._ask(Call.WEBHOOK, "POST", _PATH, read_webhook, body=body)
        except Reject as error:
            raise Reject("the service refuses this address for a webhook", code=error.code) from None
        if not made.secret:
            raise faulty("a webhook without its secret")
        return made

    def remove(self, id_: str) -> bool:
        """Remove a webhook; False when there was none."""
        try:
            self._ask(Call.WEBHOOK, "DELETE", _path_of(id_), lambda _: None)
        except WatchfolderError as error:
            if error.code != _GONE:
                raise
            return False
        return True

    def events(self, id_: str) -> list[PushEvent]:
        """Return what the service last pushed to a webhook."""
        return self._ask(Call.WEBHOOK, "GET", f"{_path_of(id_)}/events", read_events)

    def deliver(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Send `body` to `url` as the service does, without our key; return the status of the answer."""
        return self._transport.call("POST", url, {"Content-Type": "application/json", **headers}, body).status


def _path_of(id_: str) -> str:
    return f"{_PATH}/{quote(id_, safe='')}"
