"""The one address of the page that is for the service: it takes pushes, and hands on no more than a hint."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from flask import Flask, Response, abort, request

from watchfolder.config import WEBHOOK_PATH
from watchfolder.pushes import SIGNATURE_HEADER, Pushes, PushResult
from watchfolder.web.cache import PageCache

ENDPOINT: Final = "push"

_REFUSED: Mapping[PushResult, HTTPStatus] = {
    PushResult.WRONG_SIGNATURE: HTTPStatus.UNAUTHORIZED,
    PushResult.NOT_REGISTERED: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""What is not a success the service sends again. So what it has signed is taken, whatever it says: another try would
say the same. A wrong signature may be right at the next one: a new secret is known here only after a reload."""


def add_webhook(app: Flask, book: PageCache, pushes: Pushes) -> None:
    @app.post(WEBHOOK_PATH, endpoint=ENDPOINT, provide_automatic_options=False)
    def push() -> Response:
        webhook = book.config.webhook
        if webhook.public_url is None:
            abort(404)
        signed = request.headers.get(SIGNATURE_HEADER, "")
        fate = pushes.receive(request.get_data(), signed, webhook.secret.get_secret_value())
        return Response(status=_REFUSED.get(fate, HTTPStatus.NO_CONTENT) if fate else HTTPStatus.NO_CONTENT)
