"""Who may see the page and press its buttons; and what every answer tells the browser to refuse."""

import base64
import contextlib
import hmac
import logging
import secrets
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from flask import Flask, Response, abort, g, make_response, request

from watchfolder.clock import back_off
from watchfolder.config.values import is_loopback
from watchfolder.events import event

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
HEALTH: Final = "health"
"""The endpoint that tells everybody what kind of thing is wrong, and those who may see the page (`g.is_known`) more."""

PUSH: Final = "push"
"""The endpoint that is for the service."""

_PROXY_HEADERS = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")
_FIRST_WAIT_SECONDS = 0.5  # for the first wrong password, then doubling
_LONGEST_WAIT_SECONDS = 16.0
_LONGEST_QUEUE_SECONDS = 60.0
_FORGIVEN_SECONDS = 900.0  # without another one
_MOST_ADDRESSES = 1000
_LONGEST_WORD = 200  # characters of what a proxy says, in the log
_POLICY = (
    "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def protect(app: Flask, http: "HttpSection") -> None:
    """Let in who may see the page: by its password, or without one from this machine alone and through no proxy.

    The health check is open to everybody: a monitor has no password.
    What a proxy says of itself is not believed: the address at which it serves the page is `http.public_url`.
    The service's pushes come from outside, through a proxy, and are let in by their signature.
    """
    password = http.password.get_secret_value()

    @app.before_request
    def let_in() -> Response | None:
        g.nonce = secrets.token_urlsafe(16)
        g.is_known = False
        if request.endpoint == PUSH:  # nothing but a POST to that one path has it
            return None
        if password:
            if _is_health_check():
                return None
            if not _is_password(password, request.headers.get("Authorization", "")):
                refused = make_response("The page's password, please (any user name).\n", 401)
                refused.headers["WWW-Authenticate"] = 'Basic realm="watchfolder", charset="UTF-8"'
                return refused
        elif _is_by_proxy():
            abort(403, "A proxy passed this on, and the page has no password: see http.public_url and password_file.")
        elif not _is_loopback_name(request.host):  # DNS rebinding: a foreign name that points here
            abort(403, "This page is for this machine alone: call it by 127.0.0.1 or localhost.")
        if request.method not in {"GET", "HEAD"} and not _is_same_origin(http.public_url):
            abort(403, "This button belongs to a page from elsewhere. Behind a proxy: name it in http.public_url.")
        g.is_known = True
        return None

    @app.after_request
    def set_headers(response: Response) -> Response:
        response.headers.update(_HEADERS)
        response.headers["Content-Security-Policy"] = _POLICY.format(nonce=g.nonce)
        response.headers.setdefault("Cache-Control", "no-store")
        return response


class WrongPasswords:
    """Slows those who guess: guesses from one address are answered one after the other, each after a longer wait.

    The right password is never held back: behind a proxy its owner has the same address as the guesser.
    """

    def __init__(self, password: str) -> None:
        self._password = password
        self._tries: OrderedDict[str, _Tries] = OrderedDict()  # by address, the latest last
        self._guard = threading.Lock()

    def seconds_for(self, address: str, authorization: str, now: float, forwarded_for: str = "") -> float:
        """Return how long to hold the answer back. `now` is in monotonic seconds.

        `forwarded_for` is what a proxy says of where the guess came from: it is logged, and not believed.
        """
        if not (self._password and authorization) or _is_password(self._password, authorization):
            return 0.0
        with self._guard:
            before = self._tries.pop(address, None)
            if before is None or now - before.answered_at > _FORGIVEN_SECONDS:
                before = _Tries(0, now)
            wait = back_off(before.number, _FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS)
            answered_at = min(max(now, before.answered_at) + wait, now + _LONGEST_QUEUE_SECONDS)
            tries = _Tries(before.number + 1, answered_at)
            self._tries[address] = tries
            if len(self._tries) > _MOST_ADDRESSES:
                self._tries.popitem(last=False)
        if tries.number & (tries.number - 1) == 0:  # the first, second, fourth, eighth …: the log is no place to flood
            said = forwarded_for[:_LONGEST_WORD]
            event("page.wrong_password", logging.WARNING, address=address, tries=tries.number, forwarded_for=said)
        return tries.answered_at - now


class _Tries(NamedTuple):
    number: int
    answered_at: float  # the latest; monotonic seconds


class Ids:
    """Ids in place of names in the page's URLs and forms, and the token of its forms: new with every start of it."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self.token = self.of("token")

    def of(self, *facts: str) -> str:
        """Return the id of a thing, always the same one."""
        text = "\0".join(facts).encode("utf-8", "surrogateescape")
        return hmac.digest(self._secret, text, "sha256").hex()[:32]

    def is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode("utf-8", "surrogateescape"), self.token.encode())


def _is_password(password: str, authorization: str) -> bool:
    scheme, _, given = authorization.partition(" ")
    try:
        _, _, text = base64.b64decode(given, validate=True).partition(b":")
    except ValueError:  # no base64
        return False
    return scheme.lower() == "basic" and hmac.compare_digest(text, password.encode())


def _is_health_check() -> bool:
    is_look = request.method in {"GET", "HEAD"}
    return request.endpoint == HEALTH and is_look and "Authorization" not in request.headers


def _is_loopback_name(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    return False


def _is_same_origin(public_url: str | None) -> bool:
    origin = request.headers.get("Origin")
    if origin is None or origin == public_url:
        return True
    return not (public_url and _is_by_proxy()) and urlsplit(origin).netloc == request.host


def _is_by_proxy() -> bool:
    return any(name in request.headers for name in _PROXY_HEADERS)
