"""What the YAML may hold: keys, types, defaults and bounds."""

import contextlib
import hashlib
import ipaddress
import os
import re
import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, Self, get_args
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from watchfolder.command_line import CommandLine
from watchfolder.names import Ignored, is_portable
from watchfolder.order import KeyMode, is_base_name
from watchfolder.watermark_text import Template

FIRST_FOLDER: Final = "folder"
_MOST_RECIPIENTS = 10
_LONGEST_FOLDER = 200  # bytes
DEFAULT_KEY_FILE: Final = "/etc/watchfolder/api-key"
DELETE: Final = "delete"
KeyOrigin = Literal["credential", "environment", "file"]
WORK_FOLDER: Final = ".watchfolder"
WEBHOOK_PATH: Final = "/webhooks/bizmori"
_PORTS: Final = {"http": 80, "https": 443}


def absolute(value: str) -> str:
    """Return `value` without doubled and trailing slashes, so that its parent and its name are what they seem."""
    if not value.startswith("/"):
        raise ValueError("must be an absolute path (begin with /)")
    if ".." in value.split("/"):
        raise ValueError('must not contain ".."')
    if not value.strip("/."):
        raise ValueError("must lie below /")
    if not _can_name_a_file(value):
        raise ValueError("holds a character that no file name can have")
    return os.path.normpath("/" + value.lstrip("/"))


def _can_name_a_file(value: str) -> bool:
    with contextlib.suppress(UnicodeEncodeError):
        return b"\0" not in os.fsencode(value)
    return False


def _split_url(value: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        is_plain = re.fullmatch(r"[!-~]+", value) and parts.port != 0 and _is_host(parts.hostname or "")
    except ValueError:
        is_plain = False
    if not is_plain or parts.scheme not in {"http", "https"}:
        raise ValueError("must be a URL: https:// and a host name")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("must end after the host name and port")
    return parts


def _is_host(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", host) is not None


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _base_url(value: str) -> str:
    parts = _split_url(value)
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or password")
    if parts.scheme != "https" and not _is_loopback(parts.hostname or ""):
        raise ValueError("must begin with https:// (http is for this machine alone: localhost, 127.0.0.1)")
    return f"{parts.scheme}://{parts.netloc}"


def _page_url(value: str) -> str:
    """Return the address as a browser names the origin of a page there."""
    parts = _split_url(value)
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or password")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = "" if parts.port in {None, _PORTS[parts.scheme]} else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def _public_url(value: str) -> str:
    """Return the whole address: it may have a path of its own, which a proxy maps to ours."""
    parts = re.fullmatch(r"([^/]*//[^/]*)((?:/[A-Za-z0-9._~-]+)*)/?", value)
    if parts is None:
        raise ValueError("must be a URL: https://, a host name and, if it needs one, a plain path")
    return f"{_base_url(parts[1])}{parts[2] or WEBHOOK_PATH}"


def _proxy(value: str) -> str:
    parts = _split_url(value)
    return f"{parts.scheme}://{parts.netloc}"


def _listen(value: str) -> str:
    try:
        parts = urlsplit(f"//{value}")
        host = parts.hostname or ""
        is_address = host == "localhost" or ipaddress.ip_address(host)
        is_plain = parts.netloc == value and "@" not in value and parts.port and is_address
    except ValueError:
        is_plain = False
    if not is_plain:
        raise ValueError("must be an address and a port, such as 127.0.0.1:8686")
    return value


def _service_url(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9.+-]*://[^\s]+", value.get_secret_value()):
        raise ValueError("must be an address such as ntfy://… or mailto://… (it is not shown here)")
    return value


def _heartbeat_url(value: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(value.get_secret_value())
        is_plain = re.fullmatch(r"[!-~]+", value.get_secret_value()) and parts.port != 0
        is_plain = is_plain and _is_host(parts.hostname or "") and "@" not in parts.netloc and not parts.fragment
    except ValueError:
        is_plain = False
    is_safe = is_plain and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname or "")))
    if not is_safe:
        raise ValueError(
            "must be a URL that begins with https:// (http is for this machine alone), without user or password "
            "(it is not shown here)"
        )
    return value


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _template(value: str) -> str:
    Template.parse(value)
    return value


def _recipients(value: object) -> object:
    """Return the names: of each a folder is made in the outbox."""
    if value == FIRST_FOLDER:
        return value
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"must be a list of names, or the word: {FIRST_FOLDER}")
    if len(value) > _MOST_RECIPIENTS:
        raise ValueError(f"names {len(value)} recipients; {_MOST_RECIPIENTS} is the most that one order takes")
    for name in value:
        _be_folder(name)
    if len({unicodedata.normalize("NFKC", name).casefold() for name in value}) < len(value):
        raise ValueError("names a recipient twice (capitals do not count: not every share tells them apart)")
    return tuple(value)


def _be_folder(name: str) -> None:
    is_base = is_base_name(name) and name == name.strip() and is_portable(name) and not name.startswith((".", "~"))
    if not is_base or len(name.encode()) > _LONGEST_FOLDER or Ignored().folder(name):
        raise ValueError(f"{name!r} cannot be the name of a folder on every share; use letters, digits, - and spaces")


OnFailure = Literal["split", "single"]
ServiceName = Literal["anti-ai", "watermark-embed", "watermark-extract", "ai-detection"]
ReportLocale = Literal["en-US", "ja-JP", "ko-KR"]
SERVICES: Final = get_args(ServiceName)
DEFAULT_SERVICE: Final = "anti-ai"
KEEPS_ORIGINALS: Final = "watermark-embed"
"""The service of an inbox whose originals another one may borrow."""
OF_SERVICES: Final[Mapping[str, frozenset[str]]] = {
    "strength": frozenset({"anti-ai"}),
    "watermark": frozenset({"watermark-embed"}),
    "originals": frozenset({"anti-ai", "watermark-embed", "watermark-extract"}),  # detection gives back the picture
    "max_files_per_order": frozenset({"anti-ai", "watermark-embed"}),
    "on_failure": frozenset({"anti-ai", "watermark-embed"}),
    "delivered_time": frozenset({"anti-ai", "watermark-embed"}),
    "links": frozenset({"anti-ai", "watermark-embed"}),
    "originals_from": frozenset({"watermark-extract"}),
    "sort": frozenset({"ai-detection", "watermark-extract"}),
    "heatmaps": frozenset({"ai-detection"}),
    "xmp": frozenset({"ai-detection"}),
    "report": frozenset({"ai-detection", "watermark-extract"}),
    "report_locale": frozenset({"ai-detection", "watermark-extract"}),
    "notify_verdicts": frozenset({"ai-detection", "watermark-extract"}),
    "duplicates": frozenset({"anti-ai", "ai-detection"}),  # what was found of a picture holds for one original only
}
"""The keys of an inbox that not every service has."""
VERDICTS_OF_SERVICES: Final[Mapping[str, tuple[str, ...]]] = {
    "ai-detection": ("likely_real", "uncertain_real", "uncertain_ai", "likely_ai"),
    "watermark-extract": ("detected", "undetected", "inconclusive", "unsupported", "error"),
}
"""What the service can say of a picture, where it makes none."""
WORDS_OF_SERVICES: Final[Mapping[tuple[str, str], frozenset[str]]] = {
    ("originals", DELETE): frozenset(
        {"anti-ai", "watermark-extract"}
    ),  # a watermark is found by comparing a copy with its original
    ("report", "detected"): frozenset({"watermark-extract"}),
}
"""The same for a word that only some of them know."""


AbsolutePath = Annotated[str, AfterValidator(absolute)]


class Section(BaseModel):
    """Frozen and strict about types; a blank value counts as left out."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True)

    not_in_file: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def known_keys(cls) -> list[str]:
        """Return the keys that the YAML may hold, in their order."""
        return [name for name in cls.model_fields if name not in cls.not_in_file]

    @model_validator(mode="before")
    @classmethod
    def _blanks_are_defaults(cls, values: object) -> object:
        return _without_blanks(values) if isinstance(values, dict) else values


_FINGERPRINT_BYTES = 6  # of the API key, in the journal


class ApiSection(Section):
    not_in_file = frozenset({"key", "key_origin"})

    base_url: Annotated[str, AfterValidator(_base_url)] = "https://api.bizmori.com"  # without a slash at its end
    key: SecretStr
    key_origin: KeyOrigin = "file"
    key_file: AbsolutePath = DEFAULT_KEY_FILE
    requests_per_minute: int = Field(default=60, ge=0, le=1_000_000)  # 0: no limit of ours
    reads: Literal["auto", "v2", "v3"] = "auto"
    blocked_probe_seconds: float = Field(default=300.0, ge=1, le=86_400)
    proxy: Annotated[str, AfterValidator(_proxy)] | None = Field(default=None, repr=False)  # may hold a password
    ca_file: AbsolutePath | None = None
    allow_test_key: bool = False

    @property
    def mode(self) -> KeyMode:
        return "test" if self.key.get_secret_value().startswith("sk_test_") else "live"

    @property
    def fingerprint(self) -> str:
        """Tells this key from others, and nothing more: too short to be the key's only fit."""
        key = self.key.get_secret_value().encode()
        return hashlib.blake2b(key, digest_size=_FINGERPRINT_BYTES, person=b"watchfolder key").hexdigest()

    @property
    def is_loopback(self) -> bool:
        return _is_loopback(urlsplit(self.base_url).hostname or "")

    @property
    def delivers_samples(self) -> bool:
        """A test key at the real service: what comes back are sample pictures (contract.md, Test keys)."""
        return self.mode == "test" and not self.is_loopback


class HttpSection(Section):
    """Where the status page is served; nowhere when `listen` is left out."""

    not_in_file = frozenset({"password"})

    listen: Annotated[str, AfterValidator(_listen)] | None = None
    password_file: AbsolutePath | None = None
    public_url: Annotated[str, AfterValidator(_page_url)] | None = None  # of a proxy that passes the page on
    password: SecretStr = SecretStr("")

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(f"//{self.listen or ''}")
        return parts.hostname or "", parts.port or 0

    @model_validator(mode="after")
    def _only_this_machine_needs_no_password(self) -> Self:
        if self.public_url and self.password_file is None:
            raise ValueError("public_url: other machines reach the page there: name a password_file as well")
        if self.listen and not _is_loopback(self.address[0]) and self.password_file is None:
            raise ValueError(
                "listen: other machines could reach the page there: name a password_file as well, "
                "or listen at 127.0.0.1 alone"
            )
        return self


class WebhookSection(Section):
    """Where the service pushes to, and the secret that it signs with; nowhere when both are left out."""

    not_in_file = frozenset({"secret"})

    public_url: Annotated[str, AfterValidator(_public_url)] | None = None  # with its path
    secret_file: AbsolutePath | None = None
    secret: SecretStr = SecretStr("")  # empty until one was registered

    @model_validator(mode="after")
    def _needs_both(self) -> Self:
        if (self.public_url is None) != (self.secret_file is None):
            missing, other = ("public_url", "secret_file") if self.secret_file else ("secret_file", "public_url")
            raise ValueError(f"{missing}: is required together with {other}")
        return self


class BurstSection(Section):
    """As many new files within so many minutes are a person's work; more may be a mistake."""

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

    def require(self, copies: int) -> None:
        """Check that a file of which so many copies are made may be taken at all."""
        limits = {"files_per_day": self.files_per_day, "burst.files": self.burst.files if self.burst else None}
        for key, files in limits.items():
            if files is not None and files < copies:
                raise ValueError(f"{key}: {files} lets no picture through: each counts as {copies}, its copies")


class WatermarkSection(Section):
    """What is written into a picture, and for whom a copy is made."""

    text: Annotated[str, AfterValidator(_template)] = "{recipient} {serial}"
    recipients: Annotated[tuple[str, ...] | Literal["folder"], BeforeValidator(_recipients)] = ()

    @property
    def copies(self) -> int:
        """How many are made of each file: one for each recipient who is named."""
        return 1 if self.recipients == FIRST_FOLDER else max(1, len(self.recipients))


class Inbox(Section):
    not_in_file = frozenset({"name"})

    name: str  # its key under `inboxes`
    path: AbsolutePath
    outbox: AbsolutePath
    quarantine: AbsolutePath
    originals: AbsolutePath | None = None  # None: deleted after delivery; left out: a folder beside the inbox
    service: ServiceName = DEFAULT_SERVICE
    strength: Literal["low", "standard", "high"] = "high"
    links: bool = False  # take files with addresses of pictures, which the service fetches
    watermark: WatermarkSection = Field(default_factory=WatermarkSection)
    originals_from: str | None = None  # the inbox whose originals these pictures are compared with
    sort: bool = False  # a folder of the outbox for each verdict; watermark-extract: true
    heatmaps: bool = False
    xmp: bool = False
    report: Literal["never", "detected", "always"] = "never"
    report_locale: ReportLocale = "en-US"
    notify_verdicts: Annotated[tuple[str, ...], BeforeValidator(_tuple)] = ()  # of which a person is told
    recursive: bool = True
    settle_seconds: float = Field(default=5.0, ge=0, le=86_400)
    incomplete_seconds: float = Field(default=600.0, ge=0, le=30 * 86_400)
    scan_seconds: float = Field(default=30.0, ge=1, le=86_400)
    watch: Literal["auto", "events", "polling"] = "auto"
    max_files_per_order: int = Field(default=100, ge=1, le=100)
    max_file_bytes: int = Field(default=50 * 1024 * 1024, ge=1, le=5 * 1024**3)
    work: AbsolutePath = ""  # left out: a hidden folder in the inbox
    ignore: Annotated[tuple[str, ...], BeforeValidator(_tuple)] = ()
    on_failure: OnFailure = "split"  # how the bad picture of a failed order is found
    duplicates: Literal["again", "reuse", "quarantine"] = "reuse"
    raw: Literal["leave", "quarantine"] = "leave"
    delivered_time: Literal["original", "now"] = "original"
    empty_folder_seconds: float = Field(default=86_400.0, ge=0, le=366 * 86_400)
    budget: BudgetSection | None = None

    @property
    def deletes_originals(self) -> bool:
        return self.originals is None

    @property
    def copies(self) -> int:
        """How many results are made of each file, and paid."""
        return self.watermark.copies

    @model_validator(mode="before")
    @classmethod
    def _folders_have_defaults(cls, values: object) -> object:
        return with_defaults(values) if isinstance(values, dict) else values

    @field_validator("name")
    @classmethod
    def _name_is_plain(cls, value: str) -> str:
        if not re.fullmatch(r"\w[\w-]{0,63}", value):
            raise ValueError("an inbox's name is made of letters, digits, - and _, at most 64")
        return value

    @field_validator("originals", mode="before")
    @classmethod
    def _delete_is_no_folder(cls, value: object) -> object:
        if isinstance(value, str) and not value.startswith("/") and value != DELETE:
            raise ValueError(f"must be an absolute path (begin with /), or the word: {DELETE}")
        return None if value == DELETE else value

    @field_validator("budget")
    @classmethod
    def _budget_lets_a_picture_through(cls, value: BudgetSection | None, info: ValidationInfo) -> BudgetSection | None:
        watermark = info.data.get("watermark")  # none where that section has faults of its own
        if value and watermark:
            value.require(watermark.copies)
        return value

    @field_validator("ignore")
    @classmethod
    def _patterns_do_something(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Ignored(value)
        return value


class Config(Section):
    not_in_file = frozenset({"source", "from_environment", "commands"})

    api: ApiSection
    state_dir: AbsolutePath = "/var/lib/watchfolder"
    inboxes: Mapping[str, Inbox] = Field(min_length=1)
    give_up_after_hours: float = Field(default=120.0, gt=0, le=24 * 365)
    orders_in_flight: int = Field(default=8, ge=1, le=1000)
    transfers: int = Field(default=4, ge=1, le=64)
    budget: BudgetSection | None = None  # of all inboxes together
    http: HttpSection = Field(default_factory=HttpSection)
    webhook: WebhookSection = Field(default_factory=WebhookSection)
    notify: Annotated[tuple[Annotated[SecretStr, AfterValidator(_service_url)], ...], BeforeValidator(_tuple)] = ()
    alarm_after_hours: float = Field(default=24.0, gt=0, le=24 * 365)
    heartbeat_url: Annotated[SecretStr, AfterValidator(_heartbeat_url)] | None = None
    commands: CommandLine = CommandLine()  # to this watchfolder, as people type them
    source: str = ""  # the file it came from; none where the environment has it all
    from_environment: Mapping[str, str] = Field(default={}, repr=False)  # path of a setting → the variable that gave it

    @field_validator("budget")
    @classmethod
    def _budget_lets_a_picture_through(cls, value: BudgetSection | None, info: ValidationInfo) -> BudgetSection | None:
        if value:
            value.require(max((inbox.watermark.copies for inbox in info.data.get("inboxes", {}).values()), default=1))
        return value

    @field_validator("webhook")
    @classmethod
    def _webhook_has_a_listener(cls, value: WebhookSection, info: ValidationInfo) -> WebhookSection:
        http = info.data.get("http")  # none where that section has faults of its own
        if value.public_url and http is not None and not http.listen:
            raise ValueError("needs http.listen: the listener of the status page takes the pushes")
        return value


def with_defaults(inbox: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in `originals` beside the inbox, for a service that has them, and `work` in it, unless its path is wrong."""
    values = _without_blanks(inbox)
    with contextlib.suppress(KeyError, AttributeError, TypeError, ValueError):
        path = absolute(values["path"])
        if values.get("service", DEFAULT_SERVICE) in OF_SERVICES["originals"]:
            values.setdefault("originals", os.path.join(os.path.dirname(path), "originals"))
        values.setdefault("work", os.path.join(path, WORK_FOLDER))
    values.setdefault("sort", values.get("service") == "watermark-extract")
    return values


def _without_blanks(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
