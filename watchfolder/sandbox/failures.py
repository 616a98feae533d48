"""What the service says of an order that failed: one of its codes, and the sentence that belongs to it."""

from collections.abc import Mapping

from watchfolder.sandbox.orders import SandboxOrder

SENTENCES: Mapping[str, str] = {
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
_ANY = "요청을 처리할 수 없습니다."


def failure_of(order: SandboxOrder) -> dict[str, object] | None:
    """Return `errors` of an order that failed; None where the service says nothing of why."""
    code = order.failure_code
    return {"errorCode": code, "errorMessage": SENTENCES.get(code, _ANY)} if code else None
