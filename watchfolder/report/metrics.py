"""The status as Prometheus reads it: `/metrics` of the page, and `watchfolder status --prometheus` for node_exporter.

watchfolder_up                                       1 while a daemon holds the state directory
watchfolder_service_state{state}                     1 for one of ok, slowed, down, blocked, unknown
watchfolder_blocked{code}                            1 while the service refuses; code: its own, or none
watchfolder_limit{by}                                1 for what limits the flow: service, plan, line, nothing
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
watchfolder_inbox_files{inbox,state}                 state: waiting, staying, in_progress, deferred, quarantined;
                                                     no sample of what cannot be known now
watchfolder_inbox_delivered_today_files{inbox}       since local midnight
watchfolder_inbox_oldest_waiting_time_seconds{inbox} when the longest-waiting file came, Unix time; 0 without one
"""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily as Counter
from prometheus_client.metrics_core import GaugeMetricFamily as Gauge
from prometheus_client.metrics_core import Metric, SummaryMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from watchfolder.counters import NOTIFIED, OPERATIONS, OUTCOMES
from watchfolder.order import State
from watchfolder.pushes import PushResult
from watchfolder.report.status import InboxStatus, StatusReport
from watchfolder.snapshot import Counts

_SERVICE_STATES = ("ok", "slowed", "down", "blocked", "unknown")
_LIMITS = ("service", "plan", "line", "nothing")
_FILE_STATES = ("waiting", "staying", "in_progress", "deferred", "quarantined")
_Labels = TypeVar("_Labels", bound=tuple[str, ...])


def as_text(status: StatusReport) -> str:
    registry = CollectorRegistry()
    registry.register(_StatusCollector(status))
    return generate_latest(registry).decode()


class _StatusCollector(Collector):
    def __init__(self, status: StatusReport) -> None:
        self._status = status

    @override
    def collect(self) -> Iterator[Metric]:
        yield from _of_daemon(self._status)
        yield from _of_counts(Counts.model_validate(self._status.counts))
        yield from _of_inboxes(self._status.inboxes)


def _of_daemon(status: StatusReport) -> Iterator[Metric]:
    started = status.started.timestamp() if status.started else 0.0
    yield _make(Gauge, "up", "Whether a daemon runs.", {(): status.is_running})
    states = {(state,): state == status.service.state for state in _SERVICE_STATES}
    yield _make(Gauge, "service_state", "What the service lets us do.", states, "state")
    blocked = {(status.service.code or "none",): status.service.state == "blocked"}
    yield _make(Gauge, "blocked", "Whether the service refuses.", blocked, "code")
    limits = {(by,): by == (status.limit or "nothing") for by in _LIMITS}
    yield _make(Gauge, "limit", "What keeps the flow from being faster.", limits, "by")
    yield _make(Counter, "delivered_files", "Files since the start.", {(): status.delivered})
    yield _make(Counter, "reused_files", "Of these, not paid for.", {(): status.reused})
    yield _make(Counter, "delivered_bytes", "Bytes since the start.", {(): status.delivered_bytes})
    yield _make(Gauge, "start_time_seconds", "When the daemon started.", {(): started})
    yield _make(Gauge, "held_files", "Files whose inbox is not configured.", {(): status.held_files})
    yield _make(Gauge, "journal_broken_entries", "Entries that cannot be read.", {(): status.broken_entries})


def _of_counts(counts: Counts) -> Iterator[Metric]:
    requests = {each: counts.requests.get(each[0], {}).get(each[1], 0) for each in product(OPERATIONS, OUTCOMES)}
    yield _make(Counter, "requests", "Requests since the start.", requests, "operation", "outcome")
    pushes = {(result,): counts.pushes.get(result, 0) for result in PushResult}
    yield _make(Counter, "pushes", "The service's pushes since the start.", pushes, "outcome")
    yield _make(Counter, "sent_bytes", "Bytes of pictures since the start.", {(): counts.sent_bytes})
    yield _make(Counter, "received_bytes", "Bytes of pictures since the start.", {(): counts.received_bytes})
    messages = {(outcome,): counts.notifications.get(outcome, 0) for outcome in NOTIFIED}
    yield _make(Counter, "notifications", "Messages since the start.", messages, "outcome")
    seconds = SummaryMetricFamily("watchfolder_state_seconds", "How long orders were in a state.", labels=["state"])
    for state in State:
        changes, total = counts.state_changes.get(state, 0), counts.state_seconds.get(state, 0.0)
        seconds.add_metric([state], count_value=changes, sum_value=total)
    yield seconds


def _of_inboxes(inboxes: Mapping[str, InboxStatus]) -> Iterator[Metric]:
    each = inboxes.items()
    is_up = {(name,): inbox.state in {"ok", "held"} for name, inbox in each}
    yield _make(Gauge, "inbox_up", "Whether its folders are usable.", is_up, "inbox")
    files = {(name, state): getattr(inbox, state) for name, inbox in each for state in _FILE_STATES}
    known = {labels: number for labels, number in files.items() if number is not None}
    yield _make(Gauge, "inbox_files", "Files by what they do.", known, "inbox", "state")
    today = {(name,): inbox.delivered_today for name, inbox in each}
    yield _make(Gauge, "inbox_delivered_today_files", "Files since local midnight.", today, "inbox")
    since = {(name,): inbox.oldest_waiting_since for name, inbox in each}
    oldest = {name: at.timestamp() if at else 0.0 for name, at in since.items()}
    yield _make(Gauge, "inbox_oldest_waiting_time_seconds", "When the oldest came.", oldest, "inbox")


def _make(kind: type[Gauge | Counter], name: str, says: str, values: Mapping[_Labels, float], *labels: str) -> Metric:
    family = kind(f"watchfolder_{name}", says, labels=labels)
    for each, value in values.items():
        family.add_metric(each, float(value))
    return family
