"""The page of a list that a request asks for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from flask import request

_LONGEST = 100
_T = TypeVar("_T")


@dataclass(frozen=True)
class Page:
    number: int
    limit: int

    def of(self, entries: Sequence[_T]) -> Sequence[_T]:
        return entries[(self.number - 1) * self.limit : self.number * self.limit]

    def count(self, entries: Sequence[object]) -> int:
        return -(-len(entries) // self.limit)

    def pagination(self, entries: Sequence[object]) -> dict[str, int]:
        """Return what the lists of webhooks and events say beside a page; that of orders has other words for it."""
        return {"page": self.number, "limit": self.limit, "total": len(entries), "totalPages": self.count(entries)}


def asked_page(default_limit: int, refuse: Callable[[str], NoReturn]) -> Page:
    """Read `page` and `limit` of the request under way; `refuse` raises for what is neither."""

    def number(name: str, default: int, most: int) -> int:
        text = request.args.get(name, str(default))
        value = int(text) if text.isascii() and text.isdigit() else 0
        if not 1 <= value <= most:
            refuse(f"{name} is not from 1 to {most}")
        return value

    return Page(number("page", 1, 10**9), number("limit", default_limit, _LONGEST))
