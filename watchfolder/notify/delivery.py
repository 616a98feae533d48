"""Messages on their way: each address has a queue and a thread of its own, so a service that hangs holds up no other.

The one door to apprise, which knows a hundred ways to reach a person. It is loaded only when a way is configured.
"""
# ruff: noqa: PLC0415 - apprise takes half a second and 20 MB, which a daemon without it should not pay

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import SecretStr

from watchfolder.events import event

if TYPE_CHECKING:
    from apprise import Apprise

TRY_SECONDS = 60.0  # for one try, also while bytes keep dripping in
TRY_AGAIN_SECONDS = (30.0, 120.0, 600.0, 1800.0)  # after each try that failed; then the message is dropped
_MOST_WAITING = 20
_STOP_SECONDS = 1.0
_TOO_TALKATIVE = ("apprise", "urllib3", "requests_oauthlib")  # their lines quote addresses, tokens and all

Deliver = Callable[["Message"], bool]


@dataclass(frozen=True)
class Message:
    subject: str
    text: str
    is_good: bool = False


def faults(addresses: Sequence[SecretStr]) -> list[str]:
    """Say which addresses cannot be used, by their place in the configuration: they hold tokens and are not shown."""
    return [
        f"{label(number, address).replace(' ', ': ', 1)}: this is no address that apprise knows, or a part of "
        "it is missing (it is not shown here): see https://github.com/caronc/apprise/wiki"
        for number, address in enumerate(addresses)
        if not len(_open(address))
    ]


def label(number: int, address: SecretStr) -> str:
    """Name an address by its place and its scheme alone: in many of them even the host is a secret token."""
    return f"notify[{number}] ({address.get_secret_value().partition('://')[0].lower()})"


def recipient(address: SecretStr) -> Deliver:
    """Return a function that sends a message to the address and tells whether it was taken. It may block for long.

    It raises nothing: apprise takes whatever breaks one of its plugins for a message that was not taken.
    """
    from apprise import NotifyFormat, NotifyType

    service = _open(address)

    def deliver(message: Message) -> bool:
        kind = NotifyType.SUCCESS if message.is_good else NotifyType.WARNING
        return bool(
            service.notify(body=message.text, title=message.subject, notify_type=kind, body_format=NotifyFormat.TEXT)
        )

    return deliver


def _open(address: SecretStr) -> "Apprise":
    for name in _TOO_TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    from apprise import Apprise, AppriseAsset, PersistentStoreMode

    asset = AppriseAsset(
        app_id="watchfolder",
        app_desc="watchfolder",
        async_mode=False,
        storage_mode=PersistentStoreMode.MEMORY,  # it writes nothing
    )
    service = Apprise(asset=asset)
    service.add(address.get_secret_value())
    return service


class Attempt:
    """One try, in a thread of its own, which is left behind when it never ends."""

    def __init__(self, deliver: Deliver, message: Message, change: threading.Condition | None = None) -> None:
        self.has_arrived: bool | None = None  # while it is under way
        self.message = message
        self._deliver = deliver
        self._change = change or threading.Condition()
        threading.Thread(target=self._run, name="notify-try", daemon=True).start()

    def wait(self, is_stopped: Callable[[], bool] = lambda: False) -> bool:
        """Wait, for a while, until it is over or `is_stopped`, which `change` tells of; has the message arrived?"""
        with self._change:
            self._change.wait_for(lambda: self.has_arrived is not None or is_stopped(), TRY_SECONDS)
        return bool(self.has_arrived)

    def _run(self) -> None:
        has_arrived = False
        try:
            has_arrived = self._deliver(self.message)
        finally:  # also after a fault of ours: nothing else is tried while this seems to hang
            with self._change:
                self.has_arrived = has_arrived
                self._change.notify()


class MessageQueue:
    """Sends in order, tries again, drops what no try delivers; `count` is told "sent" or "dropped" for each message."""

    def __init__(self, label: str, deliver: Deliver, count: Callable[[str], None]) -> None:
        self.label = label
        self._deliver = deliver
        self._count = count
        self._waiting: deque[Message] = deque()
        self._change = threading.Condition()
        self._attempt: Attempt | None = None
        self._is_stopped = False
        self._thread: threading.Thread | None = None

    def send(self, message: Message) -> None:
        """Queue a message; never blocks. When too many wait, the oldest one is dropped."""
        with self._change:
            if len(self._waiting) >= _MOST_WAITING:
                self._drop(self._waiting.popleft(), "too many wait")
            self._waiting.append(message)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="notify", daemon=True)
                self._thread.start()
            self._change.notify()

    def stop(self) -> None:
        """End at once; what was not sent is dropped."""
        with self._change:
            self._is_stopped = True
            while self._waiting:
                self._drop(self._waiting.popleft(), "stopping")
            self._change.notify()
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)  # long enough to log what it drops

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._is_stopped)
                if self._is_stopped:
                    return
                message = self._waiting.popleft()
            self._retry(message)

    def _retry(self, message: Message) -> None:
        for seconds in (*TRY_AGAIN_SECONDS, 0.0):
            if self._try(message):
                self._count("sent")
                event("notification.sent", to=self.label, subject=message.subject)
                return
            with self._change:
                if self._change.wait_for(lambda: self._is_stopped, seconds):
                    break
        why = "stopping" if self._is_stopped else "the service did not take it"
        self._drop(message, why)

    def _try(self, message: Message) -> bool:
        last = self._attempt
        if last is not None and last.has_arrived is None:
            return False  # it hangs: no second thread beside it
        if last is not None and last.message is message and last.has_arrived:
            return True  # the last try took it after we had stopped waiting
        self._attempt = Attempt(self._deliver, message, self._change)
        return self._attempt.wait(lambda: self._is_stopped)

    def _drop(self, message: Message, reason: str) -> None:
        self._count("dropped")
        event("notification.dropped", logging.WARNING, to=self.label, subject=message.subject, reason=reason)
