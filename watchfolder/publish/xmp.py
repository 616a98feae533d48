"""Add a keyword to an XMP sidecar; every other byte stays as the user's program wrote it. Pure.

Source: XMP specification, part 1 (ISO 16684-1): `dc:subject` is an unordered array (`rdf:Bag`) of text.
"""

from xml.parsers import expat

_SPACES = {
    "xmlns:rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xmlns:dc": "http://purl.org/dc/elements/1.1/",
}
_RDF = ["rdf:RDF"]
_DESCRIPTION = [*_RDF, "rdf:Description"]
_SUBJECT = [*_DESCRIPTION, "dc:subject"]
_BAG = [*_SUBJECT, "rdf:Bag"]
_KEYWORD = [*_BAG, "rdf:li"]
_FRESH = """\
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="{rdf}">
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""
_DESCRIBED = """\
 <rdf:Description rdf:about={about} xmlns:dc="{dc}">
   <dc:subject>
    <rdf:Bag>
     <rdf:li>{keyword}</rdf:li>
    </rdf:Bag>
   </dc:subject>
  </rdf:Description>
 """


class UnfitSidecar(Exception):
    """A sidecar to which a keyword cannot be added without guessing. `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def new_sidecar(keyword: str) -> bytes:
    made = with_keyword(_FRESH.format(rdf=_SPACES["xmlns:rdf"]).encode(), keyword)
    assert made is not None  # noqa: S101 - it holds no keyword yet
    return made


def with_keyword(content: bytes, keyword: str) -> bytes | None:
    """Return the sidecar with one keyword more, or None if it has that. Raises UnfitSidecar."""
    from xml.sax.saxutils import escape, quoteattr  # noqa: PLC0415 - it imports an HTTP client, slow for every command

    found = _read(content)
    if keyword in found.keywords:
        return None
    if found.bag_ends is not None:
        before = content[: found.bag_ends].rpartition(b"\n")[2]
        indent = before.decode() if before.isspace() else ""
        text, at = f" <rdf:li>{escape(keyword)}</rdf:li>\n{indent}", found.bag_ends
    elif found.has_subject:
        raise UnfitSidecar("its keywords are no list to which one could be added")
    elif found.ends is not None:
        about, dc = quoteattr(found.about), _SPACES["xmlns:dc"]
        text, at = _DESCRIBED.format(about=about, dc=dc, keyword=escape(keyword)), found.ends
    else:
        raise UnfitSidecar("it holds no rdf:RDF to which something could be added")
    made = content[:at] + text.encode() + content[at:]
    if sorted(_read(made).keywords) != sorted([*found.keywords, keyword]):
        raise UnfitSidecar("a keyword could not be added to it")
    return made


def _read(content: bytes) -> "_Reader":
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        raise UnfitSidecar("it is not written in UTF-8") from None
    reader = _Reader(content)
    try:
        reader.parser.Parse(content, True)  # noqa: FBT003 - expat's own: this is all of it
    except expat.ExpatError as error:
        raise UnfitSidecar(f"it is no whole XML ({expat.errors.messages[error.code]})") from None
    return reader


class _Reader:
    """Collects from expat's events what is needed. Nothing external is fetched, and a document type is refused."""

    def __init__(self, content: bytes) -> None:
        self.keywords: list[str] = []
        self.about = ""  # what the sidecar says it is about
        self.has_subject = False
        self.bag_ends: int | None = None  # where the list of keywords ends, in bytes
        self.ends: int | None = None  # where rdf:RDF ends
        self._content = content
        self._path: list[str] = []
        self._text = ""
        self.parser = expat.ParserCreate("utf-8")
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.StartElementHandler = self._begin
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._read_text

    def _refuse(self, *_: object) -> None:
        raise UnfitSidecar("it declares a document type, which no XMP does")

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        if any(attributes.get(prefix, space) != space for prefix, space in _SPACES.items()):
            raise UnfitSidecar("it calls other things by the names rdf and dc")
        self._path.append(name)
        self._text = ""
        if self._is_at(_DESCRIPTION):
            self.about = self.about or attributes.get("rdf:about", "")
        self.has_subject |= self._is_at(_SUBJECT)

    def _read_text(self, text: str) -> None:
        self._text += text

    def _end(self, _name: str) -> None:
        at = self.parser.CurrentByteIndex
        has_end_of_its_own = self._content.startswith(b"</", at)
        if self._is_at(_KEYWORD):
            self.keywords.append(self._text.strip())
        elif self._is_at(_BAG) and self.bag_ends is None and has_end_of_its_own:
            self.bag_ends = at
        elif self._is_at(_RDF) and has_end_of_its_own:
            self.ends = at
        self._path.pop()

    def _is_at(self, place: list[str]) -> bool:
        return self._path[1:] == place or self._path == place
