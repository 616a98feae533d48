"""The routes of the page: what each shows, and what its buttons and the service's pushes call."""

import logging
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus

from flask import Flask, Response, abort, g, redirect, render_template, request
from werkzeug.exceptions import HTTPException

from watchfolder.config import WEBHOOK_PATH, HttpSection
from watchfolder.events import event
from watchfolder.pushes import SIGNATURE_HEADER, Pushes, PushResult
from watchfolder.report import metrics
from watchfolder.report.conditions import Severity, say_all
from watchfolder.report.phrases import clock, files, other_files, size
from watchfolder.report.status import as_json
from watchfolder.web.actions import Actions
from watchfolder.web.cache import PageCache, PageState
from watchfolder.web.security import HEALTH, PUSH, protect

_TEXT = "text/plain; charset=utf-8"
_NO_PREVIEW = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 240"><text x="160" y="130" fill="#85827a"
font-family="system-ui, sans-serif" font-size="32" text-anchor="middle">no preview</text></svg>"""


_REFUSED: Mapping[PushResult | None, HTTPStatus] = {
    PushResult.WRONG_SIGNATURE: HTTPStatus.UNAUTHORIZED,
    PushResult.NOT_REGISTERED: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""The service sends again what is not answered with success. So whatever it has signed is taken: another try would say
the same. A wrong signature may be right at the next try, for a new secret is known here only after a reload."""


def make_app(cache: PageCache, http: HttpSection, pushes: Pushes) -> Flask:
    app = Flask(__name__, static_folder=None)
    app.jinja_env.filters |= {"clock": clock, "size": size, "files": files, "other_files": other_files}
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    protect(app, http)
    actions = Actions(cache)
    _add_page(app, cache, actions)
    _add_actions(app, cache, actions)
    _add_status(app, cache)
    _add_webhook(app, cache, pushes)
    app.register_error_handler(Exception, _in_words)
    return app


def make_waiting_app(http: HttpSection, faults: Callable[[], Sequence[str]]) -> Flask:
    """Return the page of a watchfolder that has no configuration yet: what is missing."""
    app = Flask(__name__, static_folder=None)
    protect(app, http)

    @app.get("/")
    def page() -> str:
        return render_template("waiting.html", faults=faults(), nonce=g.nonce)

    @app.get("/healthz", endpoint=HEALTH)
    def health() -> Response:
        return Response("not configured\n", 503, content_type=_TEXT)

    app.register_error_handler(Exception, _in_words)
    return app


def _add_page(app: Flask, cache: PageCache, actions: Actions) -> None:
    @app.get("/")
    def page() -> str:
        return show("page.html")

    @app.get("/main")
    def main() -> str:
        return show("main.html")

    def show(template: str) -> str:
        look, troubles = cache.look(), say_all(cache.alarms(), Severity.FINE)
        tone = "bad" if troubles else "wait" if look and look.beside else "good"
        told = troubles + (look.beside if look else [])
        title = "watchfolder" if tone == "good" else "watchfolder: needs you"
        facts = {"look": look, "tone": tone, "said": actions.lines(), "ids": cache.ids}
        facts["sentences"] = told or [look.status.headline if look else cache.headline()]
        return render_template(template, title=title, nonce=g.nonce, **facts)

    @app.get("/thumbnails/<id_>")
    def thumbnail(id_: str) -> Response:
        small = cache.thumbnails.of(id_)
        if not small:
            return Response(_NO_PREVIEW, 404, mimetype="image/svg+xml")
        return Response(small, mimetype="image/jpeg", headers={"Cache-Control": "private, max-age=86400"})


def _add_actions(app: Flask, cache: PageCache, actions: Actions) -> None:
    @app.post("/release")
    def release() -> Response:
        actions.release(asked_id())
        return back()

    @app.post("/retry")
    def retry() -> Response:
        if not actions.retry(asked_id()):
            abort(503, "A file is still on its way back into its inbox: try again in a minute.")
        return back()

    def asked_id() -> str:
        """Return the id of the button; it must be on a page of this process."""
        if not cache.ids.is_token(request.form.get("token", "")):
            abort(403, "This page is from before the last restart: load it again.")
        return request.form.get("id", "")

    def back() -> Response:
        return redirect("/", 303)  # type: ignore[return-value]  # werkzeug's response is flask's here


def _add_status(app: Flask, cache: PageCache) -> None:
    @app.get("/healthz", endpoint=HEALTH)
    def health() -> Response:
        alarms = cache.alarms()
        told = say_all(alarms, Severity.FINE) if g.is_known else dict.fromkeys(each.kind for each in alarms)
        lines = "".join(f"{each}\n" for each in told or ["ok"])
        return Response(lines, 503 if alarms else 200, content_type=_TEXT)

    @app.get("/metrics")
    def counts() -> Response:
        text = metrics.as_text(_known(cache).status)
        return Response(text, content_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/api/status")
    def status() -> Response:
        return Response(as_json(_known(cache).status) + "\n", content_type="application/json")


def _add_webhook(app: Flask, cache: PageCache, pushes: Pushes) -> None:
    """Take pushes, and hand on no more than a hint."""

    @app.post(WEBHOOK_PATH, endpoint=PUSH, provide_automatic_options=False)
    def push() -> Response:
        webhook = cache.config.webhook
        if webhook.public_url is None:
            abort(404)
        signed = request.headers.get(SIGNATURE_HEADER, "")
        result = pushes.receive(request.get_data(), signed, webhook.secret.get_secret_value())
        return Response(status=_REFUSED.get(result, HTTPStatus.NO_CONTENT))


def _in_words(error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return Response(f"{error.description}\n", error.code or 500, content_type=_TEXT)
    event("page.broke", logging.ERROR, trace=True)
    return Response("This should not have happened; the log says more.\n", 500, content_type=_TEXT)


def _known(cache: PageCache) -> PageState:
    look = cache.look()
    if look is None:
        abort(503, "Starting: nothing is known yet.")
    return look
