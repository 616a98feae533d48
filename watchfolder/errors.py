"""What can go wrong, sorted by what to do next.

A foreign exception (OSError, requests, pydantic) becomes one of these on the line where it arises; above that line
nobody asks what happened, only what to do. `reason` is a sentence that a person can act on and that holds no secret.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Self


class WatchfolderError(Exception):
    """The root. `reason` is for people; `code` is that of the service, the storage or the kernel, for support.

    `was_repeated`: the same call had been tried before without a clear answer, and may have been heard then.
    """

    was_repeated = False

    def __init__(self, reason: str, *, code: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class Retry(WatchfolderError):
    """A passing fault: the same call again later, under the same key."""


class OrderRetry(Retry):
    """A passing fault of one order: the service answered, or was not even asked. It says little about other orders."""


class FolderFault(Retry):
    """A configured folder is full, read-only, gone or not ours to write: its inbox waits, the others go on."""

    def __init__(self, reason: str, *, code: str = "", path: str = "") -> None:
        super().__init__(reason, code=code)
        self.path = path  # of the file or folder at fault, where it is known

    @property
    def is_closed(self) -> bool:
        """Do permissions keep us out? Only its owner or root can change them."""
        return self.code in {"EACCES", "EPERM"}

    @property
    def is_kept(self) -> bool:
        """Do permissions, or a program that uses it, keep it from being changed? Windows shares answer the latter."""
        return self.is_closed or self.code in {"EBUSY", "ETXTBSY"}

    @property
    def is_held(self) -> bool:
        """Does another program keep it from being read for now? EAGAIN is a lease, or a share that has gone."""
        return self.code in {"EAGAIN", "EBUSY", "ETXTBSY"}

    @classmethod
    def at(cls, path: str, words: str, *, code: str = "") -> Self:
        return cls(f"{path}: {words}", code=code, path=path)


class SlowDown(Retry):
    """Too many requests. `retry_after_seconds` is what the service asked for, if it did."""

    def __init__(self, reason: str, *, code: str = "", retry_after_seconds: float | None = None) -> None:
        super().__init__(reason, code=code)
        self.retry_after_seconds = retry_after_seconds


class Throttled(SlowDown):
    """Our own rate limit: the service was not even asked."""


class Scope(StrEnum):
    """How far a refusal of the service reaches."""

    EVERYTHING = "everything"  # the key, or the endpoint itself: no call will pass
    PURCHASES = "purchases"  # no credits: create and confirm only; what is under way is still fetched
    ORDER = "order"  # one order only: it was made with another account's key


class Blocked(WatchfolderError):
    """The service as a whole refuses. Nothing is any file's fault: stop, keep everything, probe now and then."""

    def __init__(self, reason: str, *, code: str = "", scope: Scope = Scope.EVERYTHING) -> None:
        super().__init__(reason, code=code)
        self.scope = scope


class KeyRefused(Blocked):
    """The service does not take the key."""


class Resync(WatchfolderError):
    """The order is not where we thought: poll it and go on from there (upload again, fetch again)."""


class OrderMissing(WatchfolderError):
    """The service says it does not have this order. Believed only when said twice, ten minutes apart."""


class OrderAgain(WatchfolderError):
    """The service charged nothing for an order and says nothing about its files: order them again, under a new key."""


class Reject(WatchfolderError):
    """This file will never pass: quarantine it with the reason. `advice` is the next step for its owner."""

    def __init__(self, reason: str, *, code: str = "", advice: str = "") -> None:
        super().__init__(reason, code=code)
        self.advice = advice


class ConfigError(WatchfolderError):
    """The configuration, or what it names, is wrong. `faults` holds one line each, with its path in the YAML."""

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class InstanceLocked(WatchfolderError):
    """Another watchfolder holds this state directory."""


class UnknownName(Exception):
    """The arguments name something that is not there; nothing was done. `lines` says what, with near matches."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
