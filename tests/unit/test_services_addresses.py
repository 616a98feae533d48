"""Only public https addresses are taken, whatever they are spelled like, and never more than the sandbox lets pass."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfolder.sandbox.addresses import flaw_of_address
from watchfolder.services.addresses import AddressFault, fault_of, name_in

NOT_AN_ADDRESS, NOT_HTTPS, HAS_LOGIN, HAS_FRAGMENT, NOT_PUBLIC = AddressFault


@pytest.mark.parametrize(
    "address",
    [
        "https://img.example.com/beach.jpg",
        "HTTPS://IMG.EXAMPLE.COM/beach.jpg",
        "https://img.example.com:8443/a/b.jpg?X-Amz-Signature=abc&b=%20",
        "https://xn--strae-oqa.example/a.jpg",
        "https://example.com./a.jpg",
        "https://8.8.8.8/a.jpg",
        "https://[2606:4700:4700::1111]/a.jpg",
        "https://a_b.example.com",
    ],
)
def test_a_public_https_address_is_taken(address: str) -> None:
    assert fault_of(address) is None


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("", NOT_AN_ADDRESS),
        ("beach.jpg", NOT_AN_ADDRESS),
        ("//example.com/a.jpg", NOT_AN_ADDRESS),
        ("https:///a.jpg", NOT_AN_ADDRESS),
        ("https://", NOT_AN_ADDRESS),
        ("https://example.com/a b.jpg", NOT_AN_ADDRESS),
        ("https://example.com/a\nb.jpg", NOT_AN_ADDRESS),
        ("https://example.com/größe.jpg", NOT_AN_ADDRESS),
        ("https://１２７.0.0.1/a.jpg", NOT_AN_ADDRESS),
        ("https://example.com\\@127.0.0.1/", NOT_AN_ADDRESS),
        ("https://example.com:99999/a.jpg", NOT_AN_ADDRESS),
        ("https://example.com:0/a.jpg", NOT_AN_ADDRESS),
        ("https://[example.com]/a.jpg", NOT_AN_ADDRESS),
        ("https://[::1/a.jpg", NOT_AN_ADDRESS),
        ("https://example.com/" + "a" * 2048, NOT_AN_ADDRESS),
        ("http://example.com/a.jpg", NOT_HTTPS),
        ("ftp://example.com/a.jpg", NOT_HTTPS),
        ("smb://nas/share/a.jpg", NOT_HTTPS),
        ("https://user@example.com/a.jpg", HAS_LOGIN),
        ("https://user:word@example.com/a.jpg", HAS_LOGIN),
        ("https://@example.com/a.jpg", HAS_LOGIN),
        ("https://example.com/a.jpg#top", HAS_FRAGMENT),
        ("https://example.com/a.jpg#", HAS_FRAGMENT),
        *(
            (f"https://{host}/a.jpg", NOT_PUBLIC)
            for host in (
                *("localhost", "nas", "nas.local", "db.internal", "router.home.arpa", "a.test", "a..com", "-a.com"),
                *("exa%6Dple.com", "127.0.0.1", "127.1", "127.0.0.1.", "2130706433", "0x7f000001", "0x7f.1"),
                *("0177.0.0.1", "017700000001", "0", "10.1.2.3", "172.31.255.255", "192.168.1.1"),
                *("169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255", "256.1.1.1", "1.2.3.999"),
                *("[::]", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::10.0.0.1]", "[2002:7f00:1::]"),
                *("[fe80::1]", "[fe80::1%25eth0]", "[fc00::1]", "[ff02::1]"),
            )
        ),
    ],
)
def test_any_other_address_is_refused_with_its_reason(address: str, fault: AddressFault) -> None:
    assert fault_of(address) is fault


hosts = st.sampled_from(["example.com", "nas", "127.0.0.1", "[::1]", "0x7f.1", "8.8.8.8", "a.local", "1.2.3", ""])
pieces = st.lists(st.sampled_from([*":/@#?%.[]\\0x", "https", "http", "a", "::ffff:"]) | hosts, max_size=8).map("".join)


@given(st.text(max_size=40) | pieces | pieces.map("https://".__add__))
def test_what_is_taken_is_no_breach_in_the_sandbox(address: str) -> None:
    if fault_of(address) is None:
        assert flaw_of_address(address) == ""
        assert name_in(address)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://img.example.com/a/beach.jpg?token=s3cret", "beach.jpg"),
        ("https://img.example.com/a/gr%C3%B6%C3%9Fe%20eins.jpg", "größe eins.jpg"),
        ("https://img.example.com/a/", "a"),
        ("https://img.example.com", "img.example.com"),
        ("https://img.example.com/?token=s3cret", "img.example.com"),
        ("https://img.example.com/..%2F..%2Fetc%2Fpasswd", "_.._etc_passwd"),
        ("https://img.example.com/a%00b%0A.jpg", "a_b_.jpg"),
        ("https://img.example.com/%ff.jpg", "\ufffd.jpg"),
        ("https://img.example.com/.hidden.jpg", "hidden.jpg"),
    ],
)
def test_a_result_is_named_after_the_path_alone(address: str, name: str) -> None:
    assert name_in(address) == name
