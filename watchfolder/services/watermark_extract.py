"""Watermark extract: who was a picture marked for? It is compared with its original, and comes out untouched.

Source: the vendor's API description as of 2026-10-09. Each order is of a pair, which starts by itself with the last
upload. The list tells all verdicts but the text of what was found: for that the order itself is read.
"""

import json
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from os.path import dirname

from watchfolder.config import VERDICTS
from watchfolder.images import Format
from watchfolder.names import split
from watchfolder.order import Finding, Key, Order, OrderFile, Role
from watchfolder.services.flow import Alone, Findings, Flow, Pair, Pairs, RecipientOf, Stage, named
from watchfolder.watermark_text import CHARACTERS_AT_MOST

_MARK = ".original"  # at the end of an original's stem
_WORDS = {
    "detected": "a watermark is there",
    "undetected": "no watermark was found",
    "inconclusive": "a trace of a watermark, too weak to tell",
    "unsupported": "the service cannot check this file (it cost nothing)",
    "error": "the check itself failed, also when it was repeated, which says nothing of the picture (it cost nothing)",
}
_CAPTURES = frozenset({Format.PDF, Format.PNG, Format.JPEG})  # of a page: what is compared with a PDF original
_OTHER_WORDS = {"not_detected": "undetected"}  # older answers, and test keys
_WHOSE = "whose it is the service does not say: another account set it, or the same text was given out more than once"


def _body(key: Key, files: Sequence[OrderFile], _options: Mapping[str, str]) -> str:
    original, picture = files
    file = {"fileName": picture.sent_name, "originalFile": {"fileName": original.sent_name}}
    return json.dumps({"idempotencyKey": key, "file": file})


def _read_body(body: str) -> Sequence[OrderFile]:
    file = json.loads(body)["file"]
    return [named(file["originalFile"]["fileName"], role=Role.ORIGINAL), named(file["fileName"])]


def read_finding(shown: Mapping[str, object]) -> Finding | None:
    """Return the finding of a complete order; None without a verdict, or where the list lacks the text of one."""
    result = shown.get("result")
    told = result if isinstance(result, dict) else shown
    word = str(told.get("detectionStatus") or told.get("statusCode"))
    verdict = _OTHER_WORDS.get(word, word)
    if verdict not in VERDICTS["watermark-extract"] or (
        verdict == "detected" and told is shown and "watermarkText" not in told
    ):
        return None
    return Finding(verdict=verdict, facts={"watermarkText": _text(told.get("watermarkText"))})


def _text(value: object) -> str | None:
    """Return a text no longer than a watermark, and encodable: JSON can spell half a surrogate pair."""
    if not isinstance(value, str):
        return None
    return value[:CHARACTERS_AT_MOST].encode("utf-8", "replace").decode("utf-8")


def _with_recipient(finding: Finding, order: Order, recipient_of: RecipientOf) -> Finding:
    original = next((file.sha256 for file in order.files if file.role is not Role.PICTURE), None)
    text = finding.facts.get("watermarkText")
    is_told = finding.verdict == "detected" and isinstance(text, str)  # of a mere trace nobody is named
    recipient = recipient_of(str(text)) if is_told else None
    return finding.having(facts={**finding.facts, "recipient": recipient, "originalSha256": original})


def _say(finding: Finding) -> str:
    words, text = _WORDS.get(finding.verdict, finding.verdict), finding.facts.get("watermarkText")
    if finding.verdict != "detected":
        return words
    recipient = f", given to {finding.facts['recipient']}" if finding.facts.get("recipient") else ""
    return f'{words}: "{text}"{recipient}' if text else f"{words}; {_WHOSE}"


def _without_mark(name: str) -> tuple[str, str]:
    stem, _ = _split_mark(name)
    return dirname(name), unicodedata.normalize("NFC", stem).casefold()  # macOS sends NFD


def _split_mark(name: str) -> tuple[str, bool]:
    """Return the stem without the mark, and whether it had that."""
    stem = split(name.rpartition("/")[2])[0]
    is_original = len(stem) > len(_MARK) and stem.casefold().endswith(_MARK)
    return (stem[: -len(_MARK)] if is_original else stem), is_original


def _pair(name: str, beside: Collection[str]) -> Pair | Alone:
    """Pair `name` with the file of its extension, if there is one; two files without such a partner are a pair."""
    originals = set(filter(_is_original, beside))
    both = {_extension(each) for each in originals} & {_extension(each) for each in beside if each not in originals}

    def may_go_with(each: str) -> bool:
        return _extension(each) == _extension(name) if _extension(name) in both else _extension(each) not in both

    alike = set(filter(may_go_with, beside))
    before, after = sorted(alike & originals), sorted(alike - originals)
    if len(before) == len(after) == 1:
        return Pair(before[0], after[0])
    if before and after:
        return Alone(f"which belongs to which? Give each pair a name of its own: {', '.join(sorted(alike))}")
    stem, is_original = _split_mark(name)
    if is_original:
        return Alone(f"the picture that it is the original of is not there yet: {stem}{_extension(name)}, beside it")
    reason = f"its original is not there yet: {stem}{_MARK}{_extension(name)}, beside it"
    return Alone(reason, lacks_original=not before)


def _may_be_original(original: Format, picture: Format) -> bool:
    return picture in _CAPTURES if original is Format.PDF else picture is not Format.PDF


def _is_original(name: str) -> bool:
    return _split_mark(name)[1]


def _extension(name: str) -> str:
    return split(name)[1].casefold()


WATERMARK_EXTRACT = Flow(
    name="watermark-extract",
    type="watermarkExtract",
    done="checked",
    charged_at=Stage.UPLOAD,
    files=range(2, 3),
    requests=3,  # create, its share of the list, and the read that tells the text
    create_path="/api/v3/orders/wtr-extract",
    body=_body,
    read_body=_read_body,
    is_listed=False,
    needs_v3=True,
    takes_pdf=True,
    pairs=Pairs(mark=_MARK, fits=_may_be_original, is_original=_is_original, shared=_without_mark, find=_pair),
    findings=Findings(
        read=read_finding,
        about=_with_recipient,
        sidecar=".watermark.json",
        say=_say,
        caution="It holds for the very original that it was compared with.",
        passing=frozenset({"error"}),
        worth_report=frozenset({"detected"}),
        pdf_reports=frozenset({"ko-KR"}),
        report_credits=1,
    ),
)
