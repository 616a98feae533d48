"""What the YAML may hold: keys, types, defaults and bounds."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    Strict,
    ValidationInfo,
    field_validator,
    model_validator,
)
from typing_extensions import override

from watchfolder.command_line import CommandLine
from watchfolder.config import values
from watchfolder.order import KeyMode

DEFAULT_KEY_FILE: Final = "/etc/watchfolder/api-key"
DELETE: Final = "delete"
KeyOrigin = Literal["credential", "environment", "file"]
WORK_FOLDER: Final = ".watchfolder"

Strength = Literal["low", "standard", "high"]
OnFailure = Literal["split", "single"]
ServiceName = Literal["anti-ai", "watermark-embed", "watermark-extract", "ai-detection"]
ReportLocale = Literal["en-US", "ja-JP", "ko-KR"]
SERVICES: Final = get_args(ServiceName)
DEFAULT_SERVICE: Final = "anti-ai"
KEEPS_ORIGINALS: Final = "watermark-embed"
"""The service of an inbox whose originals another one may borrow."""
VERDICTS: Final[Mapping[str, tuple[str, ...]]] = {
    "ai-detection": ("likely_real", "uncertain_real", "uncertain_ai", "likely_ai"),  # the later, the likelier AI
    "watermark-extract": ("detected", "undetected", "inconclusive", "unsupported", "error"),
}
"""What a service can say of a picture, where it makes none."""


@dataclass(frozen=True)
class Of:
    """Marks a key of an inbox that only these services have.

    `words` are values that only some of them know. If it `may_idle`, its default may be written with any service.
    """

    services: frozenset[str]
    words: Mapping[str, frozenset[str]] = field(default_factory=dict)
    may_idle: bool = False

    def fault(self, service: str, value: object, default: object) -> str:
        """Say why the key may not have this value with a service; "" where it may."""
        if service not in self.services:
            is_idle = value in (None, []) or (self.may_idle and value == default)
            return "" if is_idle else f"belongs to {_listed(self.services)}; leave it out of {service}"
        knowing = self.words.get(value, self.services) if isinstance(value, str) else self.services
        return "" if service in knowing else f"{value} belongs to {_listed(knowing)}, not to {service}"


def _listed(services: frozenset[str]) -> str:
    return " and ".join(sorted(services))


_ANTI_AI, _EMBED, _EXTRACT, _DETECTION = (frozenset({service}) for service in SERVICES)
_MAKES_PICTURES, _FINDS = _ANTI_AI | _EMBED, _EXTRACT | _DETECTION

AbsolutePath = Annotated[str, AfterValidator(values.require_path)]
ServiceUrl = Annotated[SecretStr, AfterValidator(values.service_url)]
Texts = Annotated[tuple[str, ...], Strict(strict=False)]


_BESIDE: Final = "beside the file"
"""Marks a field that the loader sets, and that the YAML may not hold."""


class Section(BaseModel):
    """Frozen and strict about types; a blank value counts as left out."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True)

    @classmethod
    def key_names(cls) -> list[str]:
        """Return the keys that the YAML may hold, in their order."""
        return [name for name, info in cls.model_fields.items() if _BESIDE not in info.metadata]

    @classmethod
    def sections(cls) -> dict[str, type["Section"]]:
        """Return the keys that hold sections, with the section of each; `inboxes` holds one by name for each inbox."""
        return {key: each for key, info in cls.model_fields.items() for each in _sections_in(info.annotation)}

    @classmethod
    def add_default(cls, section: Mapping[str, Any]) -> dict[str, Any]:
        """Leave out what is blank; a section whose defaults depend on its values adds them."""
        return {key: value for key, value in section.items() if value is not None}

    @model_validator(mode="before")
    @classmethod
    def _empty_is_default(cls, section: object) -> object:
        return cls.add_default(section) if isinstance(section, dict) else section


def _sections_in(annotation: object) -> Iterator[type[Section]]:
    """Yield the section that a field holds, alone, as an option, or by name."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for part in get_args(annotation):
        yield from _sections_in(part)


_FINGERPRINT_BYTES = 6  # of the API key, in the journal


class ApiSection(Section):
    base_url: Annotated[str, AfterValidator(values.base_url)] = "https://api.bizmori.com"  # without a slash at its end
    key: Annotated[SecretStr, _BESIDE] = SecretStr("")  # empty where it was not looked for
    key_origin: Annotated[KeyOrigin, _BESIDE] = "file"
    key_file: AbsolutePath = DEFAULT_KEY_FILE
    requests_per_minute: int = Field(default=60, ge=0, le=1_000_000)  # 0: no limit of ours
    reads: Literal["auto", "v2", "v3"] = "auto"
    blocked_probe_seconds: float = Field(default=300.0, ge=1, le=86_400)
    proxy: Annotated[str, AfterValidator(values.proxy)] | None = Field(default=None, repr=False)  # may hold a password
    ca_file: AbsolutePath | None = None
    allow_test_key: bool = False

    @property
    def mode(self) -> KeyMode:
        return "test" if self.key.get_secret_value().startswith("sk_test_") else "live"

    @property
    def fingerprint(self) -> str:
        """A hash that tells this key, at this address, from others; so short that many keys would fit it.

        All loopback addresses count as one: a sandbox or a tunnel answers there, at any port.
        """
        is_usual = self.base_url == type(self).model_fields["base_url"].default
        address = "" if is_usual else f" {'loopback' if self.is_loopback else self.base_url}"
        key = f"{self.key.get_secret_value()}{address}".encode()
        return hashlib.blake2b(key, digest_size=_FINGERPRINT_BYTES, person=b"watchfolder key").hexdigest()

    @property
    def is_loopback(self) -> bool:
        return values.is_loopback(urlsplit(self.base_url).hostname or "")

    @property
    def has_sample_results(self) -> bool:
        """A test key at the real service: what comes back are sample pictures."""
        return self.mode == "test" and not self.is_loopback


class HttpSection(Section):
    """Where the status page is served; nowhere when `listen` is left out."""

    listen: Annotated[str, AfterValidator(values.page_address)] | None = None
    password_file: AbsolutePath | None = None
    public_url: Annotated[str, AfterValidator(values.page_url)] | None = None  # of a proxy that passes the page on
    password: Annotated[SecretStr, _BESIDE] = SecretStr("")

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(f"//{self.listen or ''}")
        return parts.hostname or "", parts.port or 0

    @model_validator(mode="after")
    def _needs_password(self) -> Self:
        if self.public_url and self.password_file is None:
            raise ValueError("public_url: other machines reach the page there: name a password_file as well")
        if self.listen and not values.is_loopback(self.address[0]) and self.password_file is None:
            raise ValueError(
                "listen: other machines could reach the page there: name a password_file as well, "
                "or listen at 127.0.0.1 alone"
            )
        return self


class WebhookSection(Section):
    """Where the service pushes to, and the secret that it signs with; nowhere when both are left out."""

    public_url: Annotated[str, AfterValidator(values.public_url)] | None = None  # with its path
    secret_file: AbsolutePath | None = None
    secret: Annotated[SecretStr, _BESIDE] = SecretStr("")  # empty until one was registered

    @model_validator(mode="after")
    def _url_has_a_secret(self) -> Self:
        if (self.public_url is None) != (self.secret_file is None):
            missing, other = ("public_url", "secret_file") if self.secret_file else ("secret_file", "public_url")
            raise ValueError(f"{missing}: is required together with {other}")
        return self


class BurstSection(Section):
    """So many new files within so many minutes are normal; more may be a mistake."""

    files: int = Field(ge=1, le=10_000_000)
    minutes: float = Field(gt=0, le=7 * 1440)

    @property
    def seconds(self) -> float:
        return self.minutes * 60


class BudgetSection(Section):
    """How many files may be sent before a person is asked; no limit where a key is left out.

    Each copy that is made of a file counts as one.
    """

    files_per_day: int | None = Field(default=None, ge=1, le=10_000_000)
    burst: BurstSection | None = None


class WatermarkSection(Section):
    """What is written into a picture, and for whom a copy is made."""

    text: Annotated[str, AfterValidator(values.watermark_text)] = "{recipient} {serial}"
    recipients: Annotated[tuple[str, ...] | Literal["folder"], BeforeValidator(values.recipients)] = ()

    @property
    def copies(self) -> int:
        """How many are made of each file: one for each recipient who is named."""
        return 1 if self.recipients == values.FIRST_FOLDER else max(1, len(self.recipients))


def _check_limit(budget: BudgetSection, info: ValidationInfo) -> BudgetSection:
    """Check that a file may be taken at all: with the copies of its inbox or, of all inboxes, the most copies."""
    watermarks = [info.data.get("watermark"), *(inbox.watermark for inbox in info.data.get("inboxes", {}).values())]
    copies = max((each.copies for each in watermarks if each), default=1)
    limits = {"files_per_day": budget.files_per_day, "burst.files": budget.burst.files if budget.burst else None}
    for key, files in limits.items():
        if files is not None and files < copies:
            raise ValueError(f"{key}: {files} lets no picture through: each counts as {copies}, its copies")
    return budget


Budget = Annotated[BudgetSection, AfterValidator(_check_limit)] | None


class Inbox(Section):
    name: Annotated[str, AfterValidator(values.inbox_name), _BESIDE]  # its key under `inboxes`
    path: AbsolutePath
    outbox: AbsolutePath
    quarantine: AbsolutePath
    originals: Annotated[  # None: deleted after delivery; left out: a folder beside the inbox
        AbsolutePath | None,
        # Detection gives back the picture; a watermark is found by comparing a copy with its original.
        Of(_MAKES_PICTURES | _EXTRACT, words={DELETE: _ANTI_AI | _EXTRACT}),
    ] = None
    service: ServiceName = DEFAULT_SERVICE
    strength: Annotated[Strength, Of(_ANTI_AI)] = "high"
    links: Annotated[bool, Of(_MAKES_PICTURES)] = False  # take files with addresses, which the service fetches
    watermark: Annotated[WatermarkSection, Of(_EMBED)] = Field(default_factory=WatermarkSection)
    originals_from: Annotated[str | None, Of(_EXTRACT)] = None  # the inbox whose originals are compared
    sort: Annotated[bool, Of(_FINDS, may_idle=True)] = False  # a folder for each verdict; watermark-extract: true
    heatmaps: Annotated[bool, Of(_DETECTION, may_idle=True)] = False
    xmp: Annotated[bool, Of(_DETECTION, may_idle=True)] = False
    report: Annotated[
        Literal["never", "detected", "always"], Of(_FINDS, words={"detected": _EXTRACT}, may_idle=True)
    ] = "never"
    report_locale: Annotated[ReportLocale, Of(_FINDS, may_idle=True)] = "en-US"
    notify_verdicts: Annotated[Texts, Of(_FINDS)] = ()  # of which a person is told
    recursive: bool = True
    settle_seconds: float = Field(default=5.0, ge=0, le=86_400)
    incomplete_seconds: float = Field(default=600.0, ge=0, le=30 * 86_400)
    scan_seconds: float = Field(default=30.0, ge=1, le=86_400)
    watch: Literal["auto", "events", "polling"] = "auto"
    max_files_per_order: Annotated[int, Of(_MAKES_PICTURES)] = Field(default=100, ge=1, le=100)
    max_file_bytes: int = Field(default=50 * 1024 * 1024, ge=1, le=5 * 1024**3)
    work: AbsolutePath = ""  # left out: a hidden folder in the inbox
    ignore: Annotated[Texts, AfterValidator(values.patterns)] = ()
    on_failure: Annotated[OnFailure, Of(_MAKES_PICTURES)] = "split"  # how the bad picture of a failed order is found
    duplicates: Annotated[  # what was found of a picture holds for one original only
        Literal["again", "reuse", "quarantine"], Of(_ANTI_AI | _DETECTION)
    ] = "reuse"
    raw: Literal["leave", "quarantine"] = "leave"
    delivered_time: Annotated[Literal["original", "now"], Of(_MAKES_PICTURES)] = "original"
    empty_folder_seconds: float = Field(default=86_400.0, ge=0, le=366 * 86_400)
    budget: Budget = None

    @property
    def folders(self) -> dict[str, str]:
        """The folders of people, each by its key."""
        folders = {"path": self.path, "outbox": self.outbox, "quarantine": self.quarantine}
        return folders | ({"originals": self.originals} if self.originals else {})

    @property
    def copies(self) -> int:
        return self.watermark.copies

    @override
    @classmethod
    def add_default(cls, section: Mapping[str, Any]) -> dict[str, Any]:
        """Add `originals` beside the inbox, for a service that has them, and `work` in it, unless its path is wrong."""
        found = super().add_default(section)
        service = str(found.setdefault("service", DEFAULT_SERVICE))
        if path := values.as_path(found.get("path")):
            if service in OF_SERVICES["originals"].services:
                found.setdefault("originals", os.path.join(os.path.dirname(path), "originals"))
            found.setdefault("work", os.path.join(path, WORK_FOLDER))
        found.setdefault("sort", service == "watermark-extract")
        return found

    @field_validator("originals", mode="before")
    @classmethod
    def _is_path_of_originals(cls, value: object) -> object:
        if isinstance(value, str) and not value.startswith("/") and value != DELETE:
            raise ValueError(f"must be an absolute path (begin with /), or the word: {DELETE}")
        return None if value == DELETE else value


OF_SERVICES: Final[Mapping[str, Of]] = {
    key: mark for key, info in Inbox.model_fields.items() for mark in info.metadata if isinstance(mark, Of)
}
"""The keys of an inbox that not every service has."""


class Config(Section):
    api: ApiSection
    state_dir: AbsolutePath = "/var/lib/watchfolder"
    inboxes: Mapping[str, Inbox] = Field(min_length=1)
    give_up_after_hours: float = Field(default=120.0, gt=0, le=24 * 365)
    orders_in_flight: int = Field(default=8, ge=1, le=1000)
    transfers: int = Field(default=4, ge=1, le=64)
    budget: Budget = None  # of all inboxes together
    http: HttpSection = Field(default_factory=HttpSection)
    webhook: WebhookSection = Field(default_factory=WebhookSection)
    notify: Annotated[tuple[ServiceUrl, ...], Strict(strict=False)] = ()
    alarm_after_hours: float = Field(default=24.0, gt=0, le=24 * 365)
    heartbeat_url: Annotated[SecretStr, AfterValidator(values.beat_url)] | None = None
    commands: Annotated[CommandLine, _BESIDE] = CommandLine()  # to this watchfolder, as people type them
    source: Annotated[str, _BESIDE] = ""  # the file it came from; none where the environment has it all
    from_environment: Annotated[Mapping[str, str], _BESIDE] = Field(default={}, repr=False)  # which variable gave what

    @field_validator("webhook")
    @classmethod
    def _webhook_has_a_page(cls, value: WebhookSection, info: ValidationInfo) -> WebhookSection:
        http = info.data.get("http")  # none where that section has faults of its own
        if value.public_url and http is not None and not http.listen:
            raise ValueError("needs http.listen: the listener of the status page takes the pushes")
        return value
