"""The webhooks of an account: registered, changed, listed, removed, and what was sent to them."""

import secrets

from flask import Response, request

from watchfolder.sandbox.api import Api, Route, answer, instant
from watchfolder.sandbox.bodies import Registration, RetryFailed
from watchfolder.sandbox.courier import Courier, PushedEvent
from watchfolder.sandbox.orders import now
from watchfolder.sandbox.product import Json
from watchfolder.sandbox.state import ApiRefusal, Endpoint

_PATH = "/api/v2/orders/webhooks"
_RETRY_DAYS, _RETRY_EVENTS = 7, 50  # of what failed, sent again at once


class WebhookCalls:
    """All count as `webhook` in the records."""

    def __init__(self, api: Api, courier: Courier) -> None:
        self._api = api
        self._state = api.state
        self._courier = courier

    def routes(self) -> list[Route]:
        one = f"{_PATH}/<int:number>"
        return [
            ("POST", _PATH, "webhook", self._create),
            ("GET", _PATH, "webhook", self._list),
            ("GET", one, "webhook", lambda number: self._show_one(self._webhook(number))),
            ("PUT", one, "webhook", self._put),
            ("DELETE", one, "webhook", self._remove),
            ("GET", f"{one}/events", "webhook", self._events),
            ("POST", f"{one}/events/<int:event>/retry", "webhook", self._retry),
            ("POST", f"{one}/events/retry-failed", "webhook", self._retry_failed),
        ]

    def _create(self) -> Response:
        body, caller = self._body(), self._api.caller()
        with self._state.lock:
            webhook = Endpoint(
                number=next(self._state.webhook_numbers),
                account=caller.account,
                url=body.url,
                name=body.name,
                is_test=body.is_test if "is_test" in body.model_fields_set else caller.is_test,
                secret=f"whsec_{secrets.token_urlsafe(24)}",
            )
            self._state.webhooks[webhook.number] = webhook
        shown = {"id": webhook.number, "name": webhook.name, "secret": webhook.secret, "isTest": webhook.is_test}
        return answer(shown)

    def _list(self) -> Response:
        page, keyword = self._api.page(10), request.args.get("keyword", "").lower()
        with self._state.lock:
            found = [
                webhook
                for webhook in reversed(self._state.webhooks.values())
                if self._may_see(webhook) and keyword in f"{webhook.name} {webhook.url}".lower()
            ]
        shown = [self._show(webhook) for webhook in page.of(found)]
        return answer({"webhooks": shown, "pagination": page.tell(found)})

    def _show_one(self, webhook: Endpoint) -> Response:
        return answer(self._show(webhook) | {"updatedAt": instant(webhook.updated_at)})

    def _put(self, number: int) -> Response:
        webhook, body = self._webhook(number), self._body()
        with self._state.lock:
            vars(webhook).update(body.model_dump(exclude_unset=True), updated_at=now())
        return self._show_one(webhook)

    def _remove(self, number: int) -> Response:
        webhook = self._webhook(number)
        self._state.webhooks.pop(webhook.number, None)
        return answer(None)

    def _events(self, number: int) -> Response:
        page, found = self._api.page(20), self._courier.events(self._webhook(number).number)[::-1]
        return answer({"events": [_tell(event) for event in page.of(found)], "pagination": page.tell(found)})

    def _retry(self, number: int, event: int) -> Response:
        events = {each.number: each for each in self._courier.events(self._webhook(number).number)}
        if event not in events:
            raise ApiRefusal(404, "WEBHOOK_EVENT_NOT_FOUND")
        if events[event].status == "SENT":
            raise ApiRefusal(422, "VALIDATION_FAILED")
        self._courier.send(events[event])
        status, is_sent = events[event].attempts[-1].status, events[event].status == "SENT"
        error = None if is_sent else "the address did not take it"
        return answer({"event_id": event, "success": is_sent, "status_code": status or None, "error": error})

    def _retry_failed(self, number: int) -> Response:
        webhook, span = self._webhook(number), self._api.body(RetryFailed)
        since, until = span.from_date, span.to_date
        if not 0 <= (until - since).days <= _RETRY_DAYS:
            raise ApiRefusal(422, "VALIDATION_FAILED")
        events = self._courier.events(webhook.number)
        failed = [event for event in events if event.status == "FAILED" and since <= event.occurred_at.date() <= until]
        again = failed[:_RETRY_EVENTS]
        for event in again:
            self._courier.send(event)
        succeeded = sum(event.status == "SENT" for event in again)
        return answer({"total": len(again), "succeeded": succeeded, "failed": len(again) - succeeded})

    def _webhook(self, number: int) -> Endpoint:
        with self._state.lock:
            webhook = self._state.webhooks.get(number)
        if webhook is None or not self._may_see(webhook):
            raise ApiRefusal(404, "WEBHOOK_NOT_FOUND")
        return webhook

    def _may_see(self, webhook: Endpoint) -> bool:
        """A test key sees those for test orders only."""
        caller = self._api.caller()
        return webhook.account == caller.account and (webhook.is_test or not caller.is_test)

    def _body(self) -> Registration:
        body = self._api.body(Registration)
        if self._api.caller().is_test and "is_test" in body.model_fields_set and not body.is_test:
            self._api.note("a test key asks for orders that are no tests")
            raise ApiRefusal(403, "AUTH_FORBIDDEN")
        return body

    def _show(self, webhook: Endpoint) -> Json:
        """Return what may be seen again: all but the secret."""
        sent = [event.last_sent_at for event in self._courier.events(webhook.number) if event.last_sent_at]
        return {
            "id": webhook.number,
            "name": webhook.name,
            "url": webhook.url,
            "isActive": True,
            "isTest": webhook.is_test,
            "lastSentAt": instant(max(sent, default=None)),
            "createdAt": instant(webhook.created_at),
        }


def _tell(event: PushedEvent) -> Json:
    return {
        "id": event.number,
        "eventId": event.event_id,
        "eventType": event.event_type,
        "status": event.status,
        "retries": max(0, len(event.attempts) - 1),
        "lastSentAt": instant(event.last_sent_at),
        "createdAt": instant(event.occurred_at),
    }
