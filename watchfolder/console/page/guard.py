"""Who may see the page and press its buttons; and what every answer tells the browser to refuse."""

import base64
import hmac
import ipaddress
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Flask, Response, abort, g, make_response, request

from watchfolder.console.page.webhook import ENDPOINT

if TYPE_CHECKING:
    from watchfolder.config import HttpSection

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_POLICY = (
    "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def protect(app: Flask, http: "HttpSection") -> None:
    """Let only those in who may; with no password that is this machine, by a name of its own.

    What the service pushes comes from outside, through a proxy, and shows its right by its signature.
    """
    password = http.password.get_secret_value()

    @app.before_request
    def let_in() -> Response | None:
        g.nonce = secrets.token_urlsafe(16)
        if request.endpoint == ENDPOINT:  # nothing but a POST to that one path has it
            return None
        if password:
            if not _knows(password):
                refused = make_response("The page's password, please (any user name).\n", 401)
                refused.headers["WWW-Authenticate"] = 'Basic realm="watchfolder", charset="UTF-8"'
                return refused
        elif not _is_of_this_machine(request.host):  # a foreign name that was made to point here
            abort(403, "This page is for this machine alone: call it by 127.0.0.1 or localhost.")
        if request.method not in {"GET", "HEAD"} and not _is_same_origin():
            abort(403, "This button belongs to a page from elsewhere.")
        return None

    @app.after_request
    def seal(response: Response) -> Response:
        response.headers.update(_HEADERS)
        response.headers["Content-Security-Policy"] = _POLICY.format(nonce=g.nonce)
        response.headers.setdefault("Cache-Control", "no-store")
        return response


def _knows(password: str) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    try:
        _, _, text = base64.b64decode(given, validate=True).partition(b":")
    except ValueError:  # no base64
        return False
    return scheme.lower() == "basic" and hmac.compare_digest(text, password.encode())


def _is_of_this_machine(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_same_origin() -> bool:
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc == request.host
