"""Reads of orders of every kind: status, list, download links, usage; and upload links that are renewed."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta

from flask import Response, request

from watchfolder.sandbox.api import Api, Route, answer, as_sent, instant
from watchfolder.sandbox.orders import OrderType, SandboxOrder, now
from watchfolder.sandbox.product import Json, Products
from watchfolder.sandbox.state import ApiRefusal
from watchfolder.sandbox.storage import Storage

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "status": ("pending", "inProgress", "complete", "failed", "expired"),
    "type": tuple(OrderType),
    "channel": ("api", "web"),
}
_DAYS = 7


class Reads:
    """Each view is one operation; its name in the records is the endpoint's."""

    def __init__(self, api: Api, storage: Storage, products: Products) -> None:
        self._api = api
        self._state = api.state
        self._storage = storage
        self._products = products

    def routes(self) -> list[Route]:
        return [
            ("POST", "/api/v2/orders/<order_id>/refresh-urls", "refresh", self._refresh),
            ("GET", "/api/v2/orders", "list", self._list),
            ("GET", "/api/v2/orders/stats/recent", "stats", self._counts),
            ("GET", "/api/<any(v2, v3):version>/orders/<order_id>", "status", self._status),
            ("GET", "/api/<any(v2, v3):version>/orders/<order_id>/download", "link", self._link),
        ]

    def _refresh(self, order_id: str) -> Response:
        order = self._api.order(order_id)
        if order.type.is_watermark:
            self._api.refuse("the upload links of a watermark order are renewed by the v3 read", "ORDER_TYPE_NOT_MATCH")
        if order.status != "pending":
            raise ApiRefusal(400, "ORDER_NOT_PENDING")
        files = [self._products[order.type].slot(file, order) for file in order.files]
        return answer({"orderId": order_id, "files": files})

    def _status(self, version: str, order_id: str) -> Response:
        order = self._api.order(order_id, version)
        if version == "v2":
            more = {} if order.type.is_watermark else self._products[order.type].listed(order)
            return answer(self._show(order) | more)
        return answer(self._show_all(order))

    def _link(self, version: str, order_id: str) -> Response:
        order = self._api.order(order_id, version)
        if not order.outputs or (version == "v2" and order.type.is_watermark):
            self._api.refuse(f"a download of an order that is {order.type}", "ORDER_TYPE_CANT_DOWNLOAD")
        status, expires_at = order.status, order.ends_at
        if status == "expired":
            raise ApiRefusal(400, "ORDER_EXPIRED")
        if version == "v3" and expires_at is None:
            raise ApiRefusal(409, "FILE_RETENTION_UNKNOWN")
        if status != "complete":
            raise ApiRefusal(400, "ORDER_NOT_COMPLETED")
        return self._one_link(order) if version == "v2" or expires_at is None else self._all_links(order, expires_at)

    def _one_link(self, order: SandboxOrder) -> Response:
        if order.is_test:
            raise ApiRefusal(404, "PROCESSED_FILE_NOT_FOUND")
        is_one = len(order.outputs) == 1
        link = self._storage.result_link(order, order.outputs[0]) if is_one else self._storage.archive_link(order)
        if self._state.options.dialect == "v2":
            return answer({"downloadUrl": link, "expiresIn": as_sent(self._state.options.link_seconds)})
        return answer({"url": link})

    def _all_links(self, order: SandboxOrder, expires_at: datetime) -> Response:
        files = [
            {"fileId": str(output.output_id), "downloadUrl": self._storage.result_link(order, output)}
            for output in self._storage.results(order)
        ]
        seconds = min(3600, self._state.options.link_seconds, (expires_at - now()).total_seconds())
        is_file = order.type is OrderType.WATERMARK_EMBED and len(files) == 1
        archive = files[0]["downloadUrl"] if is_file else self._storage.archive_link(order)
        return answer({"archiveUrl": archive, "files": files, "expiresInSeconds": as_sent(seconds)})

    def _list(self) -> Response:
        page = self._api.page(10, "INVALID_PARAMETER")
        chosen = {name: request.args.get(name, "all") for name in _CHOICES}
        unknown = request.args.keys() - _CHOICES - {"page", "limit", "keyword"}
        if unknown or any(chosen[name] not in ("all", *words) for name, words in _CHOICES.items()):
            self._api.refuse("an unknown parameter, or a word for one", "INVALID_PARAMETER")
        keyword = request.args.get("keyword", "")
        owner = self._api.caller().owner
        with self._state.lock:
            orders = [order for order in reversed(self._state.orders.values()) if order.caller.owner == owner]
        found = [order for order in orders if _is_asked_for(order, chosen, keyword)]
        pages = {
            "totalItems": len(found),
            "totalPages": page.count_all(found),
            "currentPage": page.number,
            "itemsPerPage": page.limit,
        }
        entries = [
            self._show(order) | {"fileCount": len(order.files)} | self._products[order.type].listed(order)
            for order in page.of(found)
        ]
        return answer({"orders": entries, "pageInfo": pages})

    def _counts(self) -> Response:
        """Return the usage of the seven days up to `date`, with the scale of a chart of them."""
        account = self._api.caller().account
        try:
            last = date.fromisoformat(request.args.get("date", ""))
        except ValueError:
            self._api.refuse("date is no YYYY-MM-DD")
        days = [last - timedelta(days=ago) for ago in reversed(range(_DAYS))]
        with self._state.lock:
            counts = [self._state.usage[account, day] for day in days]
        daily = [{"usageDate": f"{day:%m.%d}", "usageCount": count} for day, count in zip(days, counts, strict=True)]
        most = max(*counts, 1)
        return answer({"dailyStats": daily, "domain": [0, most], "ticks": [0, most]})

    def _show(self, order: SandboxOrder) -> Json:
        status = order.status
        has_thumbnail = status == "complete" and order.asked.get("generateThumbnail")
        return {
            "type": order.type,
            "orderId": order.order_id,
            "orderName": order.name,
            "channel": "api",
            "status": status,
            "thumbnailImageUrl": self._storage.made_link(order, "thumbnail") if has_thumbnail else None,
            "createdAt": instant(order.created_at),
            "updatedAt": instant(order.updated_at),
            "expiresAt": instant(order.ends_at),
            "errors": order.reason if status == "failed" else None,
        }

    def _show_all(self, order: SandboxOrder) -> Json:
        summary = self._show(order)
        waits = summary["status"] == "pending"
        inputs = [
            {"fileId": str(file.file_id), "fileName": file.name}
            | ({"role": file.role} if file.role else {})
            | ({"uploadUrl": self._storage.upload_link(order, file)} if waits and not file.is_uploaded else {})
            for file in order.files
        ]
        return summary | {
            "retentionDays": None if order.retention_days is None else as_sent(order.retention_days),
            "processingDelayed": self._state.is_delayed(order),
            "inputFiles": inputs,
            "result": self._products[order.type].result(order) if summary["status"] == "complete" else None,
        }


def _is_asked_for(order: SandboxOrder, chosen: Mapping[str, str], keyword: str) -> bool:
    is_named = keyword.lower() in order.name.lower() or keyword == order.order_id
    values = {"status": order.status, "type": order.type, "channel": "api"}
    return is_named and all(chosen[name] in ("all", value) for name, value in values.items())
