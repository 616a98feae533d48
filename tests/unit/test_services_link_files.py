"""Whatever a link file holds, each address in it is found, judged and never quoted, and nothing is raised."""

import plistlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfolder.services.addresses import AddressFault
from watchfolder.services.link_files import BYTES_AT_MOST, Line, LinkFault, is_link_file, read

ADDRESS = "https://img.example.com/beach.jpg?token=s3cret"
GOOD = (Line(1, ADDRESS, None),)
SHORTCUT = f"[InternetShortcut]\r\nURL={ADDRESS}\r\nIconIndex=0\r\n"
DESKTOP = f"[Desktop Entry]\nVersion=1.0\nType=Link\nName=Beach\nName[de]=Strand\nURL={ADDRESS}\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.url", SHORTCUT.encode()),
        ("A.URL", b"\xef\xbb\xbf" + SHORTCUT.encode()),
        ("a.url", SHORTCUT.encode("utf-16")),
        ("a.url", b"[{000214A0-0000-0000-C000-000000000046}]\r\nProp3=19,11\r\n" + SHORTCUT.encode()),
        ("a.url", f"[DEFAULT]\nBASEURL=https://x\n[internetshortcut]\nurl = {ADDRESS}\n".encode()),
        ("gr\xf6\xdfe.url", SHORTCUT.encode() + b"IconFile=C:\\Gr\xf6\xdfe.ico\r\n"),
        ("a.desktop", DESKTOP.encode()),
        ("a.desktop", b"#!/usr/bin/env xdg-open\n" + DESKTOP.replace("URL=", "URL[$e]=").encode()),
        ("a.webloc", plistlib.dumps({"URL": ADDRESS})),
        ("a.webloc", plistlib.dumps({"URL": f"{ADDRESS}\n", "x": [1]}, fmt=plistlib.FMT_BINARY)),
        ("a.urls", f"{ADDRESS}".encode()),
        ("a.urls", b"\xef\xbb\xbf" + f"  {ADDRESS}  \r\n\r\n# beaches\r\n".encode()),
        ("a.urls", f"{ADDRESS}\n\u00a0\n\u3000\n".encode()),  # other spaces than ASCII's, from a web page
    ],
)
def test_the_address_is_found(name: str, content: bytes) -> None:
    assert is_link_file(name)
    assert read(name, content) == GOOD


def test_a_list_is_judged_line_by_line() -> None:
    content = (
        b"# mine\nhttps://a.example/1.jpg\nhttp://a.example/2.jpg\n\n\xff\nhttps://nas/3.jpg\nhttps://a.example/1.jpg\n"
    )
    assert read("a.urls", content) == (
        Line(2, "https://a.example/1.jpg", None),
        Line(3, "http://a.example/2.jpg", AddressFault.NOT_HTTPS),
        Line(5, "", LinkFault.NOT_READABLE),
        Line(6, "https://nas/3.jpg", AddressFault.NOT_PUBLIC),
        Line(7, "https://a.example/1.jpg", LinkFault.REPEATED),
    )


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.url", b"", LinkFault.NO_ADDRESS),
        ("a.url", b"https://example.com/a.jpg", LinkFault.NOT_READABLE),
        ("a.url", b"[InternetShortcut]\nURL=\n", LinkFault.NO_ADDRESS),
        ("a.url", b"[InternetShortcut]\nURL\n", LinkFault.NO_ADDRESS),
        ("a.url", b"[Other]\nURL=https://example.com/a.jpg\n", LinkFault.NO_ADDRESS),
        ("a.url", b"[InternetShortcut]\nURL=https://example.com/a\n b.jpg\n", AddressFault.NOT_AN_ADDRESS),
        ("a.url", b"[InternetShortcut]\nURL=file:///etc/passwd\n", AddressFault.NOT_AN_ADDRESS),
        ("a.url", b"[InternetShortcut]\nURL=https://example.com/a.jpg\nIcon\n 0\n", LinkFault.NOT_READABLE),
        ("a.url", b"\xff\xfe[", LinkFault.NOT_READABLE),
        ("a.desktop", DESKTOP.replace("Link", "Application").encode(), LinkFault.NO_ADDRESS),
        ("a.desktop", DESKTOP.replace("Type=Link\n", "").encode(), LinkFault.NO_ADDRESS),
        ("a.webloc", b"", LinkFault.NOT_READABLE),
        ("a.webloc", b"bplist00" + b"\xff" * 40, LinkFault.NOT_READABLE),
        ("a.webloc", plistlib.dumps([ADDRESS]), LinkFault.NO_ADDRESS),
        ("a.webloc", plistlib.dumps({"URL": 7}), LinkFault.NO_ADDRESS),
        (
            "a.webloc",
            b'<!DOCTYPE p [<!ENTITY u SYSTEM "file:///etc/passwd">]><plist><dict><key>URL</key><string>&u;</string></dict></plist>',
            LinkFault.NOT_READABLE,
        ),
        ("a.webloc", b"<plist>" + b"<array>" * 100_000, LinkFault.NOT_READABLE),
        ("a.urls", b"a\n" * 10_001, LinkFault.TOO_LONG),
        ("a.urls", b"#" * (BYTES_AT_MOST + 1), LinkFault.TOO_LONG),
    ],
)
def test_what_holds_no_good_address_says_why(name: str, content: bytes, fault: AddressFault | LinkFault) -> None:
    (line,) = read(name, content)
    assert line.fault is fault
    assert "s3cret" not in fault.value


def test_a_binary_webloc_that_holds_itself_is_no_link() -> None:
    nested = bytearray(plistlib.dumps([[]], fmt=plistlib.FMT_BINARY))
    nested[nested.index(b"\xa1") + 1] = 0  # the array's only element is the array
    assert read("a.webloc", bytes(nested))[0].fault in {LinkFault.NOT_READABLE, LinkFault.NO_ADDRESS}


def test_a_list_without_addresses_has_no_lines() -> None:
    assert read("a.urls", b"# nothing yet\n\n") == ()


@pytest.mark.parametrize("name", ["a.jpg", "url", ".url", "a.url.part", "urls", ""])
def test_other_files_are_no_link_files(name: str) -> None:
    assert not is_link_file(name)


NAMES = st.sampled_from(["a.url", "a.desktop", "a.webloc", "a.urls"])
SHORTCUTS = [b"[InternetShortcut]\nURL=", b"[InternetShortcut]\nURL\n "]
STARTS = st.sampled_from([b"", *SHORTCUTS, b"[Desktop Entry]\n", b"bplist00", b"<plist>", b"\xff\xfe"])
MUTATED = st.builds(
    lambda content, at, byte: content[:at] + byte + content[at + 1 :],
    st.sampled_from([plistlib.dumps({"URL": ADDRESS}, fmt=fmt) for fmt in plistlib.PlistFormat]),
    st.integers(0, 200),
    st.binary(max_size=4),
)


@given(NAMES, MUTATED | st.builds(bytes.__add__, STARTS, st.binary(max_size=200)))
def test_any_bytes_are_answered(name: str, content: bytes) -> None:
    for line in read(name, content):
        assert line.fault is not None or line.address.startswith(("https://", "HTTPS://"))
