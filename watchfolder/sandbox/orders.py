"""An order as the vendor keeps it, of any service."""

import itertools
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from watchfolder.sandbox.options import Caller

SENTENCES: Mapping[str, str] = {  # of the service, for the codes of a failed order
    "PROCESSING_ERROR": "파일을 처리하는 중 오류가 발생했습니다.",
    "ORDER_TIMEOUT": "처리 시간이 초과되었습니다.",
    "UPLOAD_EXPIRED": "업로드 유효 시간이 만료되었습니다.",
    "WATERMARK_ENGINE_UNAVAILABLE": "워터마크 엔진을 일시적으로 사용할 수 없습니다.",
    "WATERMARK_FILE_FORMAT_UNSUPPORTED": "지원하지 않는 파일 형식입니다.",
    "WATERMARK_FILE_CORRUPTED": "파일이 손상되었습니다.",
    "WATERMARK_FILE_SIZE_UNSUPPORTED": "지원하지 않는 파일 크기입니다.",
    "WATERMARK_IMAGE_COLOR_MODE_UNSUPPORTED": "지원하지 않는 색상 모드입니다.",
    "WATERMARK_IMAGE_DIMENSIONS_UNSUPPORTED": "지원하지 않는 이미지 크기입니다.",
    "WATERMARK_PDF_UNSUPPORTED": "지원하지 않는 PDF입니다.",
    "WATERMARK_INPUT_UNSUPPORTED": "지원하지 않는 입력입니다.",
    "WATERMARK_V2_API_SUNSET": "종료된 API입니다.",
    "AI_DETECTION_TIMEOUT": "AI 탐지 시간이 초과되었습니다.",
    "AI_DETECTION_SERVICE_ERROR": "AI 탐지 서비스에 오류가 발생했습니다.",
    "AI_DETECTION_INVALID_IMAGE": "AI 탐지를 할 수 없는 이미지입니다.",
    "AI_DETECTION_FAILED": "AI 탐지에 실패했습니다.",
}


def now() -> datetime:
    return datetime.now(UTC)


_next_id = itertools.count(501).__next__


def _token() -> str:
    return secrets.token_hex(16)


class OrderType(StrEnum):
    ANTI_AI = "antiAi"
    WATERMARK_EMBED = "watermarkEmbed"
    WATERMARK_EXTRACT = "watermarkExtract"
    AI_DETECTION = "aiDetection"

    @property
    def is_watermark(self) -> bool:
        """Is it read by v3 alone, started by its last upload, and paid back when it fails?"""
        return self in (OrderType.WATERMARK_EMBED, OrderType.WATERMARK_EXTRACT)


@dataclass
class InputFile:
    """One file of an order; `path` is where its bytes lie once they are there (none for a test key's)."""

    number: int
    name: str
    texts: Sequence[str] = ()  # an output for each; of Anti-AI one, which is empty
    address: str = ""  # from which the service fetches it
    role: str = ""  # in a pair: original, query
    file_id: int = field(default_factory=_next_id)
    is_uploaded: bool = False
    was_uploaded: bool = False  # an upload was answered with success, whatever became of the bytes
    failure: str = ""  # the code with which these bytes fail their order; empty: they do not
    is_unsupported: bool = False  # these bytes end an extract with the verdict "unsupported"
    path: Path | None = None
    sha256: str = ""

    @property
    def is_to_fail(self) -> bool:
        return bool(self.failure) or not self.is_uploaded or Path(self.name).stem.endswith("_fail")


@dataclass
class OutputFile:
    number: int
    file: InputFile
    text: str  # of a watermark
    output_id: int = field(default_factory=_next_id)
    token: str = field(default_factory=_token)


class Detection(NamedTuple):
    status: str = ""
    text: str | None = None


@dataclass
class SandboxOrder:
    """`is_started` once it has been bought: by a confirm, by its last upload, or by an address for every file."""

    order_id: str
    type: OrderType
    caller: Caller
    body: dict[str, object]
    name: str
    files: list[InputFile]
    outputs: list[OutputFile]
    created_at: datetime
    processing_seconds: float
    retention_days: float | None
    upload_seconds: float | None = None  # within which all files must be there
    started_at: datetime | None = None
    detection: Detection = field(default_factory=Detection)  # of an extract
    failure: str | None = None  # the code with which it fails, whatever its files are; empty: no code is told
    token: str = field(default_factory=_token)  # of a test order's ZIP

    @property
    def is_test(self) -> bool:
        return self.caller.is_test

    @property
    def asked(self) -> dict[str, object]:
        """`options` of the create call."""
        options = self.body.get("options")
        return options if isinstance(options, dict) else {}

    @property
    def is_started(self) -> bool:
        return self.started_at is not None

    @property
    def credits(self) -> int:
        return len(self.outputs) or 1

    @property
    def is_to_fail(self) -> bool:
        return self.failure is not None or any(file.is_to_fail for file in self.files)

    @property
    def is_given_back(self) -> bool:
        return self.type.is_watermark and (self.is_to_fail or self.detection.status in ("unsupported", "error"))

    @property
    def reason(self) -> dict[str, object] | None:
        """What the service says of an order that failed; None where it says nothing of why."""
        if not self.is_started:
            code = "UPLOAD_EXPIRED"
        elif self.failure is not None:
            code = self.failure
        else:
            of_files = "" if self.is_test else next((file.failure for file in self.files if file.failure), "")
            code = of_files or "PROCESSING_ERROR"
        return {"errorCode": code, "errorMessage": SENTENCES.get(code, "요청을 처리할 수 없습니다.")} if code else None

    @property
    def ends_at(self) -> datetime | None:
        return None if self.retention_days is None else self.created_at + timedelta(days=self.retention_days)

    @property
    def _over_at(self) -> datetime | None:
        if self.started_at is not None:
            return self.started_at + timedelta(seconds=self.processing_seconds)
        return None if self.upload_seconds is None else self.created_at + timedelta(seconds=self.upload_seconds)

    @property
    def updated_at(self) -> datetime:
        moment, over_at = now(), self._over_at
        if over_at is not None and over_at <= moment:
            return over_at
        return moment if self.is_started else self.created_at

    @property
    def status(self) -> str:
        moment, over_at = now(), self._over_at
        if self.ends_at is not None and moment >= self.ends_at:
            return "expired"
        if over_at is None or moment < over_at:
            return "inProgress" if self.is_started else "pending"
        return "failed" if self.is_to_fail or not self.is_started else "complete"
