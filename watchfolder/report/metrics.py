"""The status as Prometheus reads it: `/metrics` of the page, and `watchfolder status --prometheus` for node_exporter.

watchfolder_up                                       1 while a daemon holds the state directory
watchfolder_service_state{state}                     1 for the state that it is in, 0 for the others
watchfolder_blocked{code}                            1 while the service refuses; its word, or none
watchfolder_limit{by}                                1 for what keeps the flow from being faster
watchfolder_requests_total{operation,outcome}        to the service and its storage, since the daemon's start
watchfolder_pushes_total{outcome}                    deliveries of the service to our webhook, since the daemon's start
watchfolder_sent_bytes_total                         of pictures, since the daemon's start
watchfolder_received_bytes_total                     of pictures, since the daemon's start
watchfolder_notifications_total{outcome}             messages to people: sent, or dropped after several tries
watchfolder_state_seconds_sum{state}                 how long orders were in a state that they left (and _count)
watchfolder_delivered_files_total                    since the daemon's start
watchfolder_reused_files_total                       of these, copied from an earlier delivery and not paid for
watchfolder_delivered_bytes_total                    since the daemon's start
watchfolder_start_time_seconds                       of the daemon, Unix time; 0 while none runs
watchfolder_held_files                               whose inbox left the configuration
watchfolder_journal_broken_entries                   that cannot be read
watchfolder_inbox_up{inbox}                          1 while its folders are usable
watchfolder_inbox_files{inbox,state}                 state: waiting, staying, in_progress, deferred, quarantined
watchfolder_inbox_delivered_today_files{inbox}       since local midnight
watchfolder_inbox_oldest_waiting_time_seconds{inbox} when the longest-waiting file came, Unix time; 0 without one
"""

from collections.abc import Iterator
from itertools import product

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from watchfolder.counters import NOTIFIED, OPERATIONS, OUTCOMES
from watchfolder.order import State
from watchfolder.pushes import PushResult
from watchfolder.report.status import StatusReport
from watchfolder.snapshot import Counts

_SERVICE_STATES = ("ok", "slowed", "down", "blocked", "unknown")
_LIMITS = ("service", "plan", "line", "nothing")
_FILE_STATES = ("waiting", "staying", "in_progress", "deferred", "quarantined")


def as_text(status: StatusReport) -> str:
    registry = CollectorRegistry()
    registry.register(_StatusCollector(status))
    return generate_latest(registry).decode()


class _StatusCollector(Collector):
    def __init__(self, status: StatusReport) -> None:
        self._status = status

    @override
    def collect(self) -> Iterator[Metric]:
        yield from self._daemon()
        yield from self._counts()
        yield from self._inboxes()

    def _daemon(self) -> Iterator[Metric]:
        status = self._status
        started = status.started.timestamp() if status.started else 0.0
        yield GaugeMetricFamily("watchfolder_up", "Whether a daemon runs.", float(status.is_running))
        service = GaugeMetricFamily("watchfolder_service_state", "What the service lets us do.", labels=["state"])
        for state in _SERVICE_STATES:
            service.add_metric([state], float(state == status.service.state))
        yield service
        blocked = GaugeMetricFamily("watchfolder_blocked", "Whether the service refuses.", labels=["code"])
        blocked.add_metric([status.service.code or "none"], float(status.service.state == "blocked"))
        yield blocked
        limit = GaugeMetricFamily("watchfolder_limit", "What keeps the flow from being faster.", labels=["by"])
        for by in _LIMITS:
            limit.add_metric([by], float(by == (status.limit or "nothing")))
        yield limit
        yield CounterMetricFamily("watchfolder_delivered_files", "Files since the start.", status.delivered)
        yield CounterMetricFamily("watchfolder_reused_files", "Of these, not paid for.", status.reused)
        yield CounterMetricFamily("watchfolder_delivered_bytes", "Bytes since the start.", status.delivered_bytes)
        yield GaugeMetricFamily("watchfolder_start_time_seconds", "When the daemon started.", started)
        yield GaugeMetricFamily("watchfolder_held_files", "Files whose inbox is not configured.", status.held_files)
        broken = status.broken_entries
        yield GaugeMetricFamily("watchfolder_journal_broken_entries", "Entries that cannot be read.", broken)

    def _counts(self) -> Iterator[Metric]:
        counts = Counts.model_validate(self._status.counts)
        labels = ["operation", "outcome"]
        requests = CounterMetricFamily("watchfolder_requests", "Requests since the start.", labels=labels)
        for operation, outcome in product(OPERATIONS, OUTCOMES):
            requests.add_metric([operation, outcome], counts.requests.get(operation, {}).get(outcome, 0))
        yield requests
        pushes = CounterMetricFamily("watchfolder_pushes", "The service's pushes since the start.", labels=["outcome"])
        for fate in PushResult:
            pushes.add_metric([fate], counts.pushes.get(fate, 0))
        yield pushes
        yield CounterMetricFamily("watchfolder_sent_bytes", "Bytes of pictures since the start.", counts.sent_bytes)
        received = counts.received_bytes
        yield CounterMetricFamily("watchfolder_received_bytes", "Bytes of pictures since the start.", received)
        messages = CounterMetricFamily("watchfolder_notifications", "Messages since the start.", labels=["outcome"])
        for outcome in NOTIFIED:
            messages.add_metric([outcome], counts.notifications.get(outcome, 0))
        yield messages
        seconds = SummaryMetricFamily("watchfolder_state_seconds", "How long orders were in a state.", labels=["state"])
        for state in State:
            changes, total = counts.state_changes.get(state, 0), counts.state_seconds.get(state, 0.0)
            seconds.add_metric([state], count_value=changes, sum_value=total)
        yield seconds

    def _inboxes(self) -> Iterator[Metric]:
        is_up = GaugeMetricFamily("watchfolder_inbox_up", "Whether its folders are usable.", labels=["inbox"])
        files = GaugeMetricFamily("watchfolder_inbox_files", "Files by what they do.", labels=["inbox", "state"])
        today = GaugeMetricFamily(
            "watchfolder_inbox_delivered_today_files", "Files since local midnight.", labels=["inbox"]
        )
        oldest = GaugeMetricFamily(
            "watchfolder_inbox_oldest_waiting_time_seconds", "When the oldest came.", labels=["inbox"]
        )
        for name, inbox in self._status.inboxes.items():
            is_up.add_metric([name], float(inbox.state in {"ok", "held"}))
            for state in _FILE_STATES:
                files.add_metric([name, state], getattr(inbox, state) or 0)
            today.add_metric([name], inbox.delivered_today)
            since = inbox.oldest_waiting_since
            oldest.add_metric([name], since.timestamp() if since else 0.0)
        yield from (is_up, files, today, oldest)
