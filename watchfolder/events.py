"""One log line: a stable event name plus facts, and what must never be in one.

Flow modules call `event`; how a line looks is decided in `console.logs`. Every text that leaves the process and was not
written by us goes through `redacted`, then `printable`.
"""

import logging
import re

_log = logging.getLogger("watchfolder")

# Control characters, line separators, the marks that turn text around, surrogates (bytes that were no UTF-8), and the
# backslash itself, so that what is escaped can be told from what was there.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\\\\]")
_SHORT_ESCAPES = {"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"}

# Each runs in linear time, however hostile the text. A query ends at a character that no URL may hold. A path without
# its host (urllib3 logs its requests so) has a query only if it names a value: a file name may hold a question mark.
_USER = re.compile(r"://[^\s\"<>/?#]*@")
_URL = re.compile(r"(://[^\s\"<>?#]*)([?#][^\s\"<>]*)?")
_QUERY_OF_PATH = re.compile(r"\?[^\s\"<>=/?]+=[^\s\"<>]*")

_secrets: tuple[str, ...] = ()


def event(name: str, /, level: int = logging.INFO, *, trace: bool | BaseException = False, **facts: object) -> None:
    """Log `name` with `facts`; with `trace`, also the exception that is being handled, or the one given."""
    _log.log(level, name, exc_info=trace, stacklevel=2, extra={"facts": facts})


def keep_secret(secret: str) -> None:
    """Never let `secret` into a log line again."""
    global _secrets  # noqa: PLW0603 - one process, one set of secrets; readers see the old tuple or the new one
    if secret:
        _secrets = tuple(sorted({*_secrets, secret}, key=len, reverse=True))


def redacted(text: str) -> str:
    """Return `text` without the secrets of this process, and `without_secret_parts` of URLs."""
    for secret in _secrets:
        text = text.replace(secret, "sk_…")
    return without_secret_parts(text)


def without_secret_parts(text: str) -> str:
    """Return `text` with user info, query and fragment of every URL cut off: there live passwords and signatures."""
    text = _URL.sub(lambda url: url[1] + ("?…" if url[2] else ""), _USER.sub("://…@", text))
    return _QUERY_OF_PATH.sub("?…", text)


def printable(text: str) -> str:
    """Return `text` with everything escaped that could forge a line, move a cursor or fail to encode."""
    return _UNPRINTABLE.sub(_as_text, text)


def _as_text(match: re.Match[str]) -> str:
    char = match.group()
    if "\udc80" <= char <= "\udcff":  # a byte that os.fsdecode could not read
        return f"\\x{ord(char) - 0xDC00:02x}"
    return _SHORT_ESCAPES.get(char) or f"\\u{ord(char):04x}"
