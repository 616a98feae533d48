"""An order as the service keeps it, whichever service it was bought from."""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from watchfolder.sandbox.options import Caller


def now() -> datetime:
    return datetime.now(UTC)


def _token() -> str:
    return secrets.token_hex(16)


class OrderType(StrEnum):
    """The service's own word for what was bought."""

    ANTI_AI = "antiAi"
    WATERMARK_EMBED = "watermarkEmbed"
    WATERMARK_EXTRACT = "watermarkExtract"
    AI_DETECTION = "aiDetection"


@dataclass
class InputFile:
    """One file of an order; `path` is where its bytes lie once they are there (none for a test key's)."""

    number: int
    name: str
    file_id: int
    token: str = field(default_factory=_token)
    is_uploaded: bool = False
    was_uploaded: bool = False  # an upload was answered with success, whatever became of the bytes
    failure: str = ""  # the code that these bytes fail their order with; empty: they are fine
    path: Path | None = None
    sha256: str = ""
    size: int = 0

    @property
    def will_fail(self) -> bool:
        return bool(self.failure) or not self.is_uploaded or Path(self.name).stem.endswith("_fail")


@dataclass
class Output:
    """One picture that an order gives back."""

    number: int
    output_id: int
    file: InputFile
    token: str = field(default_factory=_token)


@dataclass
class SandboxOrder:
    order_id: str
    type: OrderType
    caller: Caller
    idempotency_key: str
    body: dict[str, object]
    name: str
    files: list[InputFile]
    outputs: list[Output]
    created_at: datetime
    processing_seconds: float
    retention_days: float | None
    started_at: datetime | None = None
    failure: str | None = None  # the code that it fails with, whatever its files are; empty: none is told
    token: str = field(default_factory=_token)  # of a test order's ZIP

    @property
    def is_test(self) -> bool:
        return self.caller.is_test

    @property
    def choices(self) -> dict[str, object]:
        """`options` of the create call."""
        options = self.body.get("options")
        return options if isinstance(options, dict) else {}

    @property
    def is_started(self) -> bool:
        return self.started_at is not None

    @property
    def price(self) -> int:
        return len(self.outputs) or 1

    @property
    def will_fail(self) -> bool:
        return self.failure is not None or any(file.will_fail for file in self.files)

    @property
    def failure_code(self) -> str:
        if self.failure is not None:
            return self.failure
        codes = [file.failure for file in self.files if file.failure]
        return "PROCESSING_ERROR" if self.is_test or not codes else codes[0]

    @property
    def expires_at(self) -> datetime | None:
        return None if self.retention_days is None else self.created_at + timedelta(days=self.retention_days)

    @property
    def updated_at(self) -> datetime:
        if self.started_at is None:
            return self.created_at
        return min(now(), self.started_at + timedelta(seconds=self.processing_seconds))

    @property
    def status(self) -> str:
        if self.expires_at is not None and now() >= self.expires_at:
            return "expired"
        if self.started_at is None:
            return "pending"
        if now() < self.started_at + timedelta(seconds=self.processing_seconds):
            return "inProgress"
        return "failed" if self.will_fail else "complete"
