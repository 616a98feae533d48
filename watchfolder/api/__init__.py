"""The service over HTTP: retries what is safe to retry within seconds, and speaks only our errors."""

from watchfolder.api.answers import (
    Created,
    Link,
    Links,
    Listed,
    OrderView,
    PushEvent,
    ReportStatus,
    ReportView,
    Slot,
    Status,
    Webhook,
)
from watchfolder.api.failures import FailedAtService, failed_at_service, failed_report
from watchfolder.api.service import Service
from watchfolder.api.table import Ended, MovedOn
from watchfolder.api.transport import Pace, Pulse
from watchfolder.api.webhooks import Webhooks
