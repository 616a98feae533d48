"""Do pushes reach this daemon? Found by sending one, and a forged one beside it, the way the service does."""

import json
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus

from watchfolder.api import PushEvent, Webhook, Webhooks
from watchfolder.command_line import Advised, Control
from watchfolder.config import WEBHOOK_PATH, Config
from watchfolder.console.commands.webhook_register import ours
from watchfolder.errors import WatchfolderError
from watchfolder.pushes import SIGNATURE_HEADER, signature
from watchfolder.report.conditions import control
from watchfolder.report.status import running

_ANSWERS: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "the program that answers does not know this secret: {reload}",
    HTTPStatus.SERVICE_UNAVAILABLE: "nobody there knows a secret, or the proxy finds nobody behind it: {reload}",
    HTTPStatus.NOT_FOUND: "nothing takes pushes there: {reload}, and see that the proxy passes the path on",
    HTTPStatus.BAD_GATEWAY: "the proxy finds nobody behind it: is watchfolder running, and does it listen there?",
}


def findings(config: Config, webhooks: Webhooks) -> Iterator[tuple[str, bool]]:
    """Yield sentences, each with whether what it says is well."""
    url = config.webhook.public_url or ""
    trouble = _trouble(webhooks, url, config)
    if trouble:
        yield f"pushes do not reach this daemon: {url}: {trouble}", False
        yield _beside_the_proxy(config, webhooks), False
    else:
        yield f"pushes reach this daemon: {url} took a signed one and refused a forged one", True
    yield _service_side(config, webhooks)


def _trouble(webhooks: Webhooks, url: str, config: Config) -> str:
    """Say why what answers at `url` is not this daemon, or nothing."""
    secret = config.webhook.secret.get_secret_value()
    body = json.dumps(
        {
            "eventId": str(uuid.uuid4()),
            "eventType": "watchfolder.test",
            "occurredAt": datetime.now(UTC).isoformat(),
            "data": {},
        }
    ).encode()
    try:
        answer = webhooks.deliver(url, {SIGNATURE_HEADER: signature(secret, body)}, body)
        if not _is_success(answer):
            _, snapshot = running(config.state_dir)
            reload = control(Control.RELOAD, snapshot, config).words
            return _ANSWERS.get(answer, f"it answers {answer}, where the service wants a 2xx").format(reload=reload)
        if _is_success(webhooks.deliver(url, {SIGNATURE_HEADER: signature("forged", body)}, body)):
            return "the program that answers takes forged ones as well: that is not watchfolder"
    except WatchfolderError as error:
        return error.reason
    return ""


def _is_success(status: int) -> bool:
    return HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES


def _beside_the_proxy(config: Config, webhooks: Webhooks) -> str:
    listener = f"http://{config.http.listen}{WEBHOOK_PATH}"
    trouble = _trouble(webhooks, listener, config)
    if trouble:
        return f"nor at its own address, {listener}: {trouble}"
    return f"at its own address, {listener}, all is well: what is between (name, TLS, firewall, proxy) is at fault"


def _service_side(config: Config, webhooks: Webhooks) -> tuple[str, bool]:
    try:
        here = ours(webhooks.registered(), config)
        if fault := _fault_of(here, config):
            return fault, False
        return _last_pushes(webhooks.events(here[0].id)), True
    except WatchfolderError as error:
        return f"what the service pushed could not be asked: {error.reason}", False


def _fault_of(here: Sequence[Webhook], config: Config) -> str:
    """Say what is wrong with the webhooks of this address, which should be one."""
    again = config.commands.run(Advised.REGISTER_AGAIN)
    if not here:
        return f"the service has no webhook for this address: {config.commands.run(Advised.REGISTER)}"
    if len(here) > 1:
        ids = ", ".join(webhook.id for webhook in here)
        reason = f"the service has {len(here)} webhooks for this address ({ids}), each with a secret of its own"
        return f"{reason}: {again}"
    return "" if here[0].is_active else f"the service has switched this webhook off ({here[0].id}): {again}"


def _last_pushes(events: Sequence[PushEvent]) -> str:
    if not events:
        return "the service has pushed nothing yet"
    counts = Counter((event.status or "unknown").lower() for event in events)
    told = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
    moments = [event.created_at for event in events if event.created_at]
    last = f"; the last is of {max(moments).astimezone():%Y-%m-%d %H:%M:%S}" if moments else ""
    return f"the service's last pushes by its own word: {told}{last}"
