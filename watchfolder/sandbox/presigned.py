"""Presigned links: the fields of S3's query authentication, and what S3 says of one that is not right."""

import hmac
import secrets
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode

from flask import Response, request

from watchfolder.sandbox.orders import now
from watchfolder.sandbox.state import State

_INSTANT = "%Y%m%dT%H%M%S.%fZ"  # to the microsecond, so that tests can be quick
_CONTENT_TYPE = "content-type"


class StorageError(Exception):
    """S3 would answer this status, with this code in XML."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def response(self) -> Response:
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{self.code}</Code><Message>{self}</Message>"
            f"<RequestId>{secrets.token_hex(8).upper()}</RequestId></Error>"
        )
        return Response(xml, self.status, mimetype="application/xml")


class Links:
    """Signs, and admits what it signed."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._secret = secrets.token_bytes(32)
        self.base_url = ""
        self.given: list[str] = []  # all that were given out
        self.valid_since: datetime = now()

    def plain(self, path: str) -> str:
        """Return a link whose path is its secret."""
        link = f"{self.base_url}{path}"
        self.given.append(link)
        return link

    def signed(self, method: str, path: str, seconds: float | None = None, media_type: str | None = None) -> str:
        """Return a link for `seconds`, without for as long as the options say; for one Content-Type, if it is given."""
        date = now().strftime(_INSTANT)
        expires = f"{self._state.options.link_seconds if seconds is None else seconds:g}"
        query = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": "SANDBOX/local/s3/aws4_request",
            "X-Amz-Date": date,
            "X-Amz-Expires": expires,
            "X-Amz-SignedHeaders": f"{_CONTENT_TYPE};host" if media_type else "host",
            "X-Amz-Signature": self._signature(method, path, date, expires, media_type),
        }
        return self.plain(f"{path}?{urlencode(query)}")

    def _signature(self, *parts: str | None) -> str:
        return hmac.new(self._secret, "\n".join(part or "" for part in parts).encode(), "sha256").hexdigest()

    def admit(self, media_type: str | None = None) -> None:
        """Let the request under way in, or raise; `media_type` is what its link was signed for, if it was."""
        self.refuse_authorization()
        signed_type = media_type if _CONTENT_TYPE in request.args.get("X-Amz-SignedHeaders", "") else None
        date, expires = request.args.get("X-Amz-Date", ""), request.args.get("X-Amz-Expires", "")
        signature = self._signature(request.method, quote(request.path), date, expires, signed_type)
        if not hmac.compare_digest(signature.encode(), request.args.get("X-Amz-Signature", "").encode()):
            self.sin("a signature that was never valid")
            raise StorageError(403, "SignatureDoesNotMatch", "The request signature does not match.")
        if signed_type and request.headers.get("Content-Type") != signed_type:
            self.sin(f"a Content-Type that is not {signed_type}, for which the link is signed")
            raise StorageError(403, "SignatureDoesNotMatch", "The request signature does not match.")
        signed = datetime.strptime(date, _INSTANT).replace(tzinfo=UTC)
        if signed < self.valid_since or now() > signed + timedelta(seconds=float(expires)):
            raise StorageError(403, "AccessDenied", "Request has expired")

    def refuse_authorization(self) -> None:
        if "Authorization" in request.headers:
            self.sin("an Authorization header on a presigned URL")
            raise StorageError(400, "InvalidArgument", "Only one auth mechanism allowed")

    def sin(self, text: str) -> None:
        self._state.sin(f"{request.method} {request.path}: {text}")
