"""What a sandbox can be told to be like. Everything may also be changed while it runs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

KEY = "sk_sandbox_0123456789abcdef"
TEST_KEY = "sk_test_sandbox_0123456789abcdef"

Dialect = Literal["both", "v2", "v3"]


class Caller(NamedTuple):
    """Who asks: an account with one of its keys."""

    account: str
    owner: str  # of orders: the account, with a live key; a test key sees its own alone
    is_test: bool


@dataclass(kw_only=True)
class Options:
    """All have the values of a quick, generous service with the free plan's retention."""

    processing_seconds: float = 1.0  # from confirm to complete or failed
    processing_spread_seconds: float = 0.0  # at random, up to so much more
    test_processing_seconds: float = 5.0  # the same for orders of a test key
    test_samples: bool = False  # a test key's order has a sample for each file; else nothing but a ZIP
    link_seconds: float = 3600.0  # validity of presigned links
    watermark_link_seconds: float = 900.0  # the same for uploads to watermark orders
    watermark_upload_seconds: float = 43200.0  # within which all uploads of a watermark order must be there
    processing_delayed: bool = False  # what v3 reads say of watermark orders that are in progress
    retention_days: float | None = 7.0  # then the order is expired; None: not known yet, v3 gives no links
    requests_per_minute: int = 0  # of one account, in any minute; 0 = no limit
    minute_seconds: float = 60.0  # how long a minute is
    look_seconds: float = 1.0  # looking at one order twice within this time is a sin; 0 = never a sin
    push_retry_seconds: Sequence[float] = (1.0, 2.0, 4.0, 1800.0, 7200.0, 14400.0)  # between tries at one push
    push_answer_seconds: float = 5.0  # how long a push waits to be answered
    # v2: as the quickstart has it, v3 reads answer 404 without JSON; v3: the v2 GETs that have a successor answer 410
    dialect: Dialect = "both"
    credits_left: int | None = None  # credits that live keys may still spend; None = any number
    # What lies at the addresses that a service is told to fetch; nothing at all others, and where it is None.
    origins: dict[str, bytes | None] = field(default_factory=dict, repr=False)
    # A folder that lies at https://pictures.example.com/: what a service is told to fetch there is read from it.
    origins_folder: str = ""
    report_seconds: float = 1.0  # from asking for a report to its end
    # AI detection: what a picture is worth, by its SHA-256; the others by their names' suffixes.
    probabilities: dict[str, float | None] = field(default_factory=dict)
    has_small_copies: bool = True  # of what AI detection shows; else there are PNGs in full size
    # Extract: what is found in a file, by its SHA-256; in the others, what was embedded here.
    detections: dict[str, str] = field(default_factory=dict)
    undetected_word: str = "undetected"  # older reads say not_detected
    # Keys that are let in: as a mapping, each with its account; as a collection, all of one account.
    # None: any key that begins with sk_, each of its own account.
    keys: Mapping[str, str] | Collection[str] | None = field(default=None, repr=False)

    def caller_of(self, key: str) -> Caller | None:
        """Return who asks with this key, None for a key that is not let in."""
        if self.keys is None:
            account: str | None = key
        elif isinstance(self.keys, Mapping):
            account = self.keys.get(key)
        else:
            account = "the account" if key in self.keys else None
        if account is None:
            return None
        is_test = key.startswith("sk_test_")
        return Caller(account, key if is_test else account, is_test)
