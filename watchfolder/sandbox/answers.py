"""How the service writes an answer."""

from datetime import datetime

from flask import Response, jsonify


def data(content: object) -> Response:
    return jsonify({"data": content})


def instant(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def whole(number: float) -> float:
    """Return it as the service writes it: without a fraction; times of less than a second, of tests, keep theirs."""
    return int(number) if number >= 1 else number
