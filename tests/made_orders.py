"""Orders and their files, for tests to which they are all alike: what a test does not say is the plainest."""

import uuid

from watchfolder.order import Order, OrderFile


def made_file(name: str = "a.jpg", **facts: object) -> OrderFile:
    plain = {"sent_name": "a.jpg", "media_type": "image/jpeg", "size": 3, "mtime_ns": 1}
    return OrderFile.model_validate({"name": name} | plain | facts)


def made_order(*files: OrderFile, **facts: object) -> Order:
    """Return an order of these files, else of one picture; its key is new."""
    key = facts.get("key", str(uuid.uuid4()))
    plain = {"key": key, "confirm_key": key, "inbox": "photos", "mode": "live", "service": "anti-ai", "body": "{}"}
    options = {"strength": "high"}
    return Order.model_validate({**plain, "options": options, "files": files or (made_file(),)} | facts)
