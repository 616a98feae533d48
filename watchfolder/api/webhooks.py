"""The service's webhooks, for the commands: registered, listed, removed; and a delivery like one of its own."""

import json
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, TypeVar
from urllib.parse import quote

from watchfolder.api.answers import PushEvent, Webhook, faulty, read_events, read_webhooks
from watchfolder.api.client import Client
from watchfolder.api.table import Call
from watchfolder.api.transport import Pace
from watchfolder.config import ApiSection
from watchfolder.errors import Reject, Retry

_PATH: Final = "/api/v2/orders/webhooks"
_ONE_TRY: Final = Pace(connect_seconds=5.0, read_seconds=10.0, total_seconds=20.0, attempts=1)
_INVALID: Final = frozenset({"VALIDATION_FAILED", "INVALID_PARAMETER"})
_PAGE: Final = 100  # entries; the service gives ten unless told
_MOST_PAGES: Final = 100
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_T = TypeVar("_T")


class Webhooks(Client):
    """Speaks as a run does, but tries each call once: a registration whose answer is lost must not be made twice."""

    def __init__(self, settings: ApiSection) -> None:
        super().__init__(settings, transfers=1, stop=threading.Event(), pace=_ONE_TRY)

    def list_all(self) -> list[Webhook]:
        """Return every webhook of the account: of a test key, those for test orders."""
        found: dict[str, Webhook] = {}
        for page in range(1, _MOST_PAGES + 1):
            webhooks, pages = self._page(_PATH, page, read_webhooks)
            found |= {webhook.id: webhook for webhook in webhooks}
            if page >= pages:
                return list(found.values())
        raise faulty(f"more than {_MOST_PAGES} pages of webhooks")

    def register(self, url: str, name: str, *, is_test: bool) -> Webhook:
        """Register `url`; the answer alone has the secret."""
        try:
            body = json.dumps({"url": url, "name": name, "isTest": is_test})
            made = self._ask(Call.WEBHOOK, "POST", _PATH, Webhook.read, body=body)
        except Retry as error:
            if error.code not in _INVALID:
                raise
            raise Reject("the service refuses this address for a webhook", code=error.code) from None
        if not made.secret:
            raise faulty("a webhook without its secret")
        return made

    def remove(self, id_: str) -> None:
        self._ask(Call.WEBHOOK, "DELETE", _path_of(id_), lambda _: None)

    def events(self, id_: str) -> list[PushEvent]:
        """Return what the service last pushed to a webhook, a hundred at most, whichever end its list begins with."""
        path = f"{_path_of(id_)}/events"
        found, pages = self._page(path, 1, read_events)
        if pages > 1:
            found += self._page(path, pages, read_events)[0]
        found.sort(key=lambda event: event.created_at or _LONG_AGO, reverse=True)
        return found[:_PAGE]

    def _page(self, path: str, page: int, read: Callable[[object], _T]) -> _T:
        return self._ask(Call.WEBHOOK, "GET", f"{path}?page={page}&limit={_PAGE}", read)

    def deliver(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Send `body` to `url` as the service does, without our key; return the status of the answer."""
        return self._transport.call("POST", url, headers, body).status


def _path_of(id_: str) -> str:
    return f"{_PATH}/{quote(id_, safe='')}"
