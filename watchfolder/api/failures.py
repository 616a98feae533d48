"""What the service says of an order that it failed, and what that means: literal tables, read by code.

Source: the failure codes of the vendor's API description as of 2026-10-09. Its sentence is Korean, one for each code:
people get our own, and that one for support.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from watchfolder.api.answers import Failure, ReportView
from watchfolder.errors import OrderRetry, Reject
from watchfolder.events import printable

_TRIES = 3
_MOST_REPORT_ATTEMPTS = 3  # of the service at one report, all together
_ANEW = "Moving it back into the inbox tries again. If that fails as well, save it anew in a picture editor first."
_LATER = "Nothing is known to be wrong with this file. Move it back into the inbox later to try again."
_CONVERT = "Export it as an ordinary JPEG or PNG and move that into the inbox."


@dataclass(frozen=True)
class FailureCode:
    """A code that we know: sentence and next step for people, and how to go on."""

    reason: str
    advice: str
    tries: int = 0  # how often the same files are ordered again, with pauses, since it may pass


class FailedAtService(Reject):
    """The order has ended at the service without a result: it cannot be taken up again.

    `said` is the service's own sentence.
    """

    def __init__(self, known: FailureCode, *, code: str, said: str) -> None:
        super().__init__(known.reason, code=code, advice=known.advice)
        self.said = said
        self.tries = known.tries
        self.is_of_the_file = code in OF_THE_FILE


_UNKNOWN = FailureCode("The service could not process this picture.", _ANEW)

OF_THE_FILE: Mapping[str, FailureCode] = {
    "WATERMARK_FILE_FORMAT_UNSUPPORTED": FailureCode("The service does not take this file format.", _CONVERT),
    "WATERMARK_FILE_CORRUPTED": FailureCode(
        "The service says that this file is damaged.",
        "Copy it once more from where it came from; if it is the same, save it anew in a picture editor.",
    ),
    "WATERMARK_FILE_SIZE_UNSUPPORTED": FailureCode(
        "The service does not take a file of this size.",
        "Save it smaller, or less compressed if it is tiny, and move that into the inbox.",
    ),
    "WATERMARK_IMAGE_COLOR_MODE_UNSUPPORTED": FailureCode(
        "The service does not take the colour mode of this picture, such as CMYK, a palette or 16 bits.",
        "Convert it to RGB with 8 bits a channel and move that into the inbox.",
    ),
    "WATERMARK_IMAGE_DIMENSIONS_UNSUPPORTED": FailureCode(
        "The service does not take a picture of this width and height.",
        "Scale it, most likely down, and move that into the inbox.",
    ),
    "WATERMARK_PDF_UNSUPPORTED": FailureCode(
        "The service does not take this PDF: it is encrypted, damaged or has too many pages.",
        "Save it without a password, in fewer pages, and move that into the inbox.",
    ),
    "WATERMARK_INPUT_UNSUPPORTED": FailureCode("The service can not work on this file.", _CONVERT),
    "AI_DETECTION_INVALID_IMAGE": FailureCode("The service can not read this as a picture.", _CONVERT),
}
"""Where the file is at fault, beyond doubt: these failures say nothing about the service."""

FAILURES: Mapping[str, FailureCode] = {
    "PROCESSING_ERROR": _UNKNOWN,
    # passing
    "ORDER_TIMEOUT": FailureCode("The service did not finish this picture in time.", _LATER, _TRIES),
    "WATERMARK_ENGINE_UNAVAILABLE": FailureCode("The service's watermark engine was not available.", _LATER, _TRIES),
    "AI_DETECTION_TIMEOUT": FailureCode("The service's AI detection did not finish in time.", _LATER, _TRIES),
    "AI_DETECTION_SERVICE_ERROR": FailureCode("The service's AI detection had a fault of its own.", _LATER, _TRIES),
    "UPLOAD_EXPIRED": FailureCode("The upload did not reach the service in time; nothing was begun.", _LATER, _TRIES),
    "AI_DETECTION_FAILED": FailureCode("The service's AI detection failed on this picture.", _ANEW, tries=1),
    "WATERMARK_V2_API_SUNSET": FailureCode(
        "The service has retired the way in which this was ordered; it cost nothing.",
        "Move it back into the inbox to order it anew. If that fails as well, a newer watchfolder is needed.",
        tries=1,
    ),
    **OF_THE_FILE,
}
"""An unknown code, and none at all, are read as PROCESSING_ERROR."""


def failed_at_service(failure: Failure | None) -> FailedAtService:
    code = failure.code if failure else ""
    said = printable(failure.message) if failure else ""
    return FailedAtService(FAILURES.get(code, _UNKNOWN), code=code or "FAILED", said=said)


def failed_report(report: ReportView, attempts: int) -> Reject | OrderRetry:
    """Return OrderRetry if a failed report may be asked for again (three attempts in all), else Reject."""
    code = (report.failure.code if report.failure else None) or "REPORT_FAILED"
    reason = "the service could not make the report"
    if report.failure is None or not report.failure.retryable or attempts >= _MOST_REPORT_ATTEMPTS:
        return Reject(reason, code=code)
    return OrderRetry(reason, code=code)
