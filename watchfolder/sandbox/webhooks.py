"""The webhooks of an account: registered, changed, listed, removed, and what was sent to them."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NoReturn, cast
from urllib.parse import urlsplit

from flask import Blueprint, Response, jsonify, request

from watchfolder.sandbox.courier import Courier, Event
from watchfolder.sandbox.options import Caller
from watchfolder.sandbox.state import Refusal, State, Webhook

_FIELDS = {"url", "name", "isTest"}
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class Webhooks:
    """Each public method is one operation; all count as `webhook` in the records."""

    def __init__(self, state: State, courier: Courier, caller: Callable[[], Caller]) -> None:
        self._state = state
        self._courier = courier
        self._caller = caller

    def blueprint(self, admit: Callable[[], object]) -> Blueprint:
        webhooks = Blueprint("webhooks", __name__, url_prefix="/api/v2/orders/webhooks")
        rules: list[tuple[str, str, Callable[..., object]]] = [
            ("POST", "", self._create),
            ("GET", "", self._list),
            ("GET", "/<int:number>", self._show),
            ("PUT", "/<int:number>", self._change),
            ("DELETE", "/<int:number>", self._remove),
            ("GET", "/<int:number>/events", self._events),
            ("POST", "/<int:number>/events/<event_id>/retry", self._retry),
            ("POST", "/<int:number>/events/retry-failed", self._retry_failed),
        ]
        for index, (method, path, view) in enumerate(rules):
            endpoint = f"webhook_{index}"
            webhooks.add_url_rule(path, endpoint, cast("Any", view), methods=[method], provide_automatic_options=False)
        webhooks.before_request(cast("Any", admit))
        return webhooks

    def _create(self) -> tuple[Response, int]:
        body = self._body()
        if "url" not in body:
            self._breach("a webhook without url")
        with self._state.lock:
            webhook = Webhook(
                number=next(self._state.webhook_numbers),
                account=self._caller().account,
                url=body["url"],
                name=body.get("name", ""),
                is_test=body.get("isTest", False),
                secret=f"whsec_{secrets.token_urlsafe(24)}",
            )
            self._state.webhooks[webhook.number] = webhook
        return _data({"id": webhook.number, "name": webhook.name, "secret": webhook.secret}), 201

    def _list(self) -> Response:
        account = self._caller().account
        with self._state.lock:
            found = [_shown(webhook) for webhook in self._state.webhooks.values() if webhook.account == account]
        return _data(found)

    def _show(self, number: int) -> Response:
        return _data(_shown(self._webhook(number)))

    def _change(self, number: int) -> Response:
        webhook, body = self._webhook(number), self._body()
        with self._state.lock:
            webhook.url = body.get("url", webhook.url)
            webhook.name = body.get("name", webhook.name)
            webhook.is_test = body.get("isTest", webhook.is_test)
        return _data(_shown(webhook))

    def _remove(self, number: int) -> Response:
        webhook = self._webhook(number)
        with self._state.lock:
            self._state.webhooks.pop(webhook.number, None)
        return _data(None)

    def _events(self, number: int) -> Response:
        webhook = self._webhook(number)
        return _data([_told(event) for event in reversed(self._courier.events_of(webhook.number))])

    def _retry(self, number: int, event_id: str) -> Response:
        webhook = self._webhook(number)
        event = next((each for each in self._courier.events_of(webhook.number) if each.event_id == event_id), None)
        if event is None:
            raise Refusal(404, "RESOURCE_NOT_FOUND")
        self._courier.send_again(event)
        return _data(_told(event))

    def _retry_failed(self, number: int) -> Response:
        webhook, body = self._webhook(number), request.get_json(force=True, silent=True) or {}
        try:
            since, until = (datetime.fromisoformat(body[name]).astimezone(UTC) for name in ("fromDate", "toDate"))
        except (TypeError, KeyError, ValueError):
            self._breach("retry-failed without fromDate and toDate")
        events = self._courier.events_of(webhook.number)
        failed = [event for event in events if not event.is_delivered and since <= event.occurred_at <= until]
        for event in failed:
            self._courier.send_again(event)
        return _data({"count": len(failed)})

    def _webhook(self, number: int) -> Webhook:
        account = self._caller().account
        with self._state.lock:
            webhook = self._state.webhooks.get(number)
        if webhook is None or webhook.account != account:
            raise Refusal(404, "WEBHOOK_NOT_FOUND")
        return webhook

    def _body(self) -> dict[str, Any]:
        if request.mimetype != "application/json":
            self._state.sin(f"webhook {request.path}: the Content-Type is not application/json")
        body = request.get_json(force=True, silent=True)
        if not isinstance(body, dict) or body.keys() - _FIELDS:
            self._breach(f"the body is no object of {', '.join(sorted(_FIELDS))}")
        if "url" in body and not _is_url(body["url"]):
            self._breach("url is no https address")
        if not isinstance(body.get("name", ""), str) or not isinstance(body.get("isTest", False), bool):
            self._breach("name is no text, or isTest is neither true nor false")
        return body

    def _breach(self, sin: str) -> NoReturn:
        self._state.sin(f"webhook {request.path}: {sin}")
        raise Refusal(400, "VALIDATION_FAILED")


def _is_url(value: object) -> bool:
    """Https, or this machine: this stand-in reaches out to nobody else."""
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
    except ValueError:
        return False
    if parts is None or not parts.hostname:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def _shown(webhook: Webhook) -> dict[str, object]:
    """Return what may be seen again: all but the secret."""
    return {"id": webhook.number, "name": webhook.name, "url": webhook.url, "isTest": webhook.is_test}


def _told(event: Event) -> dict[str, object]:
    return {
        "eventId": event.event_id,
        "eventType": event.event_type,
        "orderId": event.order_id,
        "status": "success" if event.is_delivered else "failed" if event.attempts else "pending",
        "attempts": len(event.attempts),
        "responseStatus": event.attempts[-1].status if event.attempts else None,
        "occurredAt": event.occurred_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }


def _data(data: object) -> Response:
    return jsonify({"data": data})
