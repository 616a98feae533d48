"""Anti-AI: pictures come back marked. A confirm starts the work, or the create call if every file has an address."""

from typing import ClassVar

from typing_extensions import override

from watchfolder.sandbox.bodies import AntiAiOrder
from watchfolder.sandbox.orders import NewFile, OrderType, now
from watchfolder.sandbox.product import Product


class AntiAi(Product[AntiAiOrder]):
    order_type: ClassVar[OrderType] = OrderType.ANTI_AI
    path: ClassVar[str] = "/api/v2/orders/anti-ai"
    body = AntiAiOrder

    @override
    def name(self, body: AntiAiOrder) -> str:
        return body.order_name or f"anti-ai {now():%Y-%m-%d}"

    @override
    def files(self, body: AntiAiOrder) -> list[NewFile]:
        return [NewFile(file.file_name, [""], file.original_file_url) for file in body.files]
