"""A keyword is added to a sidecar, or the sidecar is refused with its reason; nothing in it is guessed."""

import pytest

from watchfolder.publish.xmp import UnfitSidecar, new_sidecar, with_keyword

FRESH = new_sidecar("sea")


def test_the_same_keyword_is_added_once() -> None:
    added = with_keyword(FRESH, "a < b")
    assert added is not None
    assert b"<rdf:li>a &lt; b</rdf:li>" in added
    assert with_keyword(added, "a < b") is None


@pytest.mark.parametrize(
    ("sidecar", "reason"),
    [
        (FRESH.replace(b"rdf:Bag", b"rdf:Seq"), "no list"),
        (b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>", "no rdf:RDF"),
        (FRESH.replace(b"rdf:", b"r:").replace(b"xmlns:rdf", b"xmlns:r"), "no rdf:RDF"),
        (FRESH.replace(b"http://purl.org/dc/elements/1.1/", b"urn:mine"), "by the names rdf and dc"),
        (FRESH.decode().encode("utf-16"), "UTF-8"),
    ],
    ids=["keywords in sequence", "nothing", "other prefix", "other meaning", "UTF-16"],
)
def test_a_sidecar_that_leaves_something_to_guess_is_refused(sidecar: bytes, reason: str) -> None:
    with pytest.raises(UnfitSidecar, match=reason):
        with_keyword(sidecar, "mountain")
