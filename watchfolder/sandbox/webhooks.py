"""The webhooks of an account: registered, changed, listed, removed, and what was sent to them."""

import secrets
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, NoReturn, cast
from urllib.parse import urlsplit

from flask import Blueprint, Response, request

from watchfolder.sandbox.answers import data, instant
from watchfolder.sandbox.courier import Courier, Event
from watchfolder.sandbox.options import Caller
from watchfolder.sandbox.orders import now
from watchfolder.sandbox.paging import asked_page
from watchfolder.sandbox.state import Refusal, State, Webhook

_FIELDS = {"url", "name", "isTest"}
_RETRY_DAYS, _RETRY_EVENTS = 7, 50  # of what failed, sent again at once
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
            ("POST", "/<int:number>/events/<int:event>/retry", self._retry),
            ("POST", "/<int:number>/events/retry-failed", self._retry_failed),
        ]
        for index, (method, path, view) in enumerate(rules):
            endpoint = f"webhook_{index}"
            webhooks.add_url_rule(path, endpoint, cast("Any", view), methods=[method], provide_automatic_options=False)
        webhooks.before_request(cast("Any", admit))
        return webhooks

    def _create(self) -> Response:
        body, caller = self._body(), self._caller()
        with self._state.lock:
            webhook = Webhook(
                number=next(self._state.webhook_numbers),
                account=caller.account,
                url=body["url"],
                name=body.get("name", ""),
                is_test=body.get("isTest", caller.is_test),
                secret=f"whsec_{secrets.token_urlsafe(24)}",
            )
            self._state.webhooks[webhook.number] = webhook
        shown = {"id": webhook.number, "name": webhook.name, "secret": webhook.secret, "isTest": webhook.is_test}
        return data(shown)

    def _list(self) -> Response:
        page, keyword = asked_page(10, self._breach), request.args.get("keyword", "").lower()
        with self._state.lock:
            found = [
                webhook
                for webhook in reversed(self._state.webhooks.values())
                if self._is_shown(webhook) and keyword in f"{webhook.name} {webhook.url}".lower()
            ]
        shown = [self._shown(webhook) for webhook in page.of(found)]
        return data({"webhooks": shown, "pagination": page.pagination(found)})

    def _show(self, number: int) -> Response:
        return self._detail(self._webhook(number))

    def _detail(self, webhook: Webhook) -> Response:
        return data(self._shown(webhook) | {"updatedAt": _text(webhook.updated_at)})

    def _change(self, number: int) -> Response:
        webhook, body = self._webhook(number), self._body()
        with self._state.lock:
            webhook.url, webhook.updated_at = body["url"], now()
            webhook.name = body.get("name", webhook.name)
            webhook.is_test = body.get("isTest", webhook.is_test)
        return self._detail(webhook)

    def _remove(self, number: int) -> Response:
        webhook = self._webhook(number)
        with self._state.lock:
            self._state.webhooks.pop(webhook.number, None)
        return data(None)

    def _events(self, number: int) -> Response:
        page, found = asked_page(20, self._breach), self._courier.events_of(self._webhook(number).number)[::-1]
        return data({"events": [_told(event) for event in page.of(found)], "pagination": page.pagination(found)})

    def _retry(self, number: int, event: int) -> Response:
        events = {each.number: each for each in self._courier.events_of(self._webhook(number).number)}
        if event not in events:
            raise Refusal(404, "WEBHOOK_EVENT_NOT_FOUND")
        if events[event].is_delivered:
            raise Refusal(422, "VALIDATION_FAILED")
        status = self._courier.send_now(events[event]).status
        error = None if events[event].is_delivered else "the address did not take it"
        told = {"event_id": event, "success": events[event].is_delivered, "status_code": status or None, "error": error}
        return data(told)

    def _retry_failed(self, number: int) -> Response:
        webhook, body = self._webhook(number), request.get_json(force=True, silent=True) or {}
        try:
            since, until = (date.fromisoformat(body[name]) for name in ("fromDate", "toDate"))
        except (TypeError, KeyError, ValueError):
            self._breach("retry-failed without fromDate and toDate as dates")
        if not 0 <= (until - since).days <= _RETRY_DAYS:
            raise Refusal(422, "VALIDATION_FAILED")
        events = self._courier.events_of(webhook.number)
        failed = [event for event in events if event.status == "FAILED" and since <= event.occurred_at.date() <= until]
        failed = failed[:_RETRY_EVENTS]
        for event in failed:
            self._courier.send_now(event)
        succeeded = sum(event.is_delivered for event in failed)
        return data({"total": len(failed), "succeeded": succeeded, "failed": len(failed) - succeeded})

    def _webhook(self, number: int) -> Webhook:
        with self._state.lock:
            webhook = self._state.webhooks.get(number)
        if webhook is None or not self._is_shown(webhook):
            raise Refusal(404, "WEBHOOK_NOT_FOUND")
        return webhook

    def _is_shown(self, webhook: Webhook) -> bool:
        """A test key sees those for test orders only."""
        caller = self._caller()
        return webhook.account == caller.account and (webhook.is_test or not caller.is_test)

    def _body(self) -> dict[str, Any]:
        if request.mimetype != "application/json":
            self._state.sin(f"webhook {request.path}: the Content-Type is not application/json")
        body = request.get_json(force=True, silent=True)
        if not isinstance(body, dict) or body.keys() - _FIELDS:
            self._breach(f"the body is no object of {', '.join(sorted(_FIELDS))}")
        if not _is_url(body.get("url")):
            self._breach("url is no https address")
        if not isinstance(body.get("name", ""), str) or not isinstance(body.get("isTest", False), bool):
            self._breach("name is no text, or isTest is neither true nor false")
        if self._caller().is_test and not body.get("isTest", True):
            self._state.sin(f"webhook {request.path}: a test key asks for orders that are no tests")
            raise Refusal(403, "AUTH_FORBIDDEN")
        return body

    def _shown(self, webhook: Webhook) -> dict[str, object]:
        """Return what may be seen again: all but the secret."""
        sent = [event.last_sent_at for event in self._courier.events_of(webhook.number) if event.last_sent_at]
        return {
            "id": webhook.number,
            "name": webhook.name,
            "url": webhook.url,
            "isActive": True,
            "isTest": webhook.is_test,
            "lastSentAt": _text(max(sent, default=None)),
            "createdAt": _text(webhook.created_at),
        }

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


def _told(event: Event) -> dict[str, object]:
    return {
        "id": event.number,
        "eventId": event.event_id,
        "eventType": event.event_type,
        "status": event.status,
        "retries": max(0, len(event.attempts) - 1),
        "lastSentAt": _text(event.last_sent_at),
        "createdAt": _text(event.occurred_at),
    }


def _text(moment: datetime | None) -> str | None:
    return instant(moment) if moment else None
