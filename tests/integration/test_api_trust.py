"""Who hears the key, whom we trust, and how much we swallow: real TLS, proxies, redirects and bombs on loopback."""

import functools
import gzip
import io
import os
import socket
import ssl
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from certificates import self_signed
from test_api_transport import (
    KEY,
    OK,
    SECRET,
    _close_services,
    fetch,
    keeping,
    request_of,
    saying,
    service_at,
    service_of,
    serving,
)

from watchfolder.api import Service
from watchfolder.config import load
from watchfolder.errors import ConfigError, Retry, WatchfolderError

__all__ = ["_close_services"]

MEBIBYTE = 1 << 20
HERE = "IP:127.0.0.1"
ELSEWHERE = "DNS:elsewhere.example"


def calls(service: Service, url: str) -> dict[str, Callable[[], object]]:
    return {
        "api": service.ping,
        "upload": lambda: service.upload(url, io.BytesIO(b"abc"), 3, "image/png", None),
        "fetch": lambda: fetch(service, url),
    }


@pytest.mark.parametrize("call", ["api", "upload", "fetch"])
@pytest.mark.parametrize(("name", "is_in_ca_file"), [(HERE, False), (ELSEWHERE, True), (ELSEWHERE, False)])
def test_a_server_with_an_unknown_certificate_or_another_name_hears_nothing(
    name: str, *, is_in_ca_file: bool, call: str
) -> None:
    certificate = self_signed(name)
    heard: list[bytes] = []
    with serving(saying(OK, heard=heard), certificate.context) as server:
        base = f"https://127.0.0.1:{server.port}"
        service = service_at(base, ca_file=certificate.public if is_in_ca_file else None)
        with pytest.raises(Retry, match="no trusted TLS"):
            calls(service, f"{base}/a?{SECRET}")[call]()
        assert server.connections == 1
    assert heard == []


@pytest.mark.parametrize("call", ["api", "upload", "fetch"])
def test_a_server_is_believed_by_ca_file_and_its_own_name(call: str) -> None:
    certificate = self_signed(HERE)
    with serving(saying(OK), certificate.context) as server:
        base = f"https://127.0.0.1:{server.port}"
        calls(service_at(base, ca_file=certificate.public), f"{base}/a?{SECRET}")[call]()
        assert server.connections == 1


def test_no_variable_of_the_environment_makes_a_server_trusted() -> None:
    certificate = self_signed(HERE)
    folder = os.path.dirname(certificate.public)
    subprocess.run(["openssl", "rehash", folder], check=True, capture_output=True, timeout=60)
    heard: list[bytes] = []
    with serving(saying(OK, heard=heard), certificate.context) as server:
        code = f"from test_api_transport import service_at\nservice_at('https://127.0.0.1:{server.port}').ping()"
        files = dict.fromkeys(("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"), certificate.public)
        path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
        environ = os.environ | {"PYTHONPATH": path, "SSL_CERT_DIR": folder, "PYTHONHTTPSVERIFY": "0"} | files
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert "no trusted TLS" in done.stderr
    assert heard == []


@pytest.mark.parametrize(
    "line", ["verify: false", "tls_verify: false", "insecure: true", "ca_file: false", "ca_file: ''", "ca_file: /none"]
)
def test_no_configuration_takes_the_verification_away(tmp_path: Path, line: str) -> None:
    config = tmp_path / "config.yaml"
    inbox = f"{{path: {tmp_path}/in, outbox: {tmp_path}/out, quarantine: {tmp_path}/quarantine}}"
    config.write_text(f"api: {{{line}}}\nstate_dir: {tmp_path}/state\ninboxes: {{photos: {inbox}}}\n")
    with pytest.raises(ConfigError, match=rf"api\.{line.partition(':')[0]}: "):
        load(str(config), {"BIZMORI_API_KEY": KEY})


def test_a_proxy_that_looks_into_the_tunnel_hears_nothing() -> None:
    certificate = self_signed("DNS:api.example")
    heard: list[bytes] = []

    def meddle(line: socket.socket) -> None:
        heard.append(request_of(line))
        line.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with suppress(ssl.SSLError), certificate.context.wrap_socket(line, server_side=True) as secured:
            heard.append(request_of(secured))

    with serving(meddle) as proxy:
        service = service_at("https://api.example", proxy=f"http://me:secret@127.0.0.1:{proxy.port}")
        with pytest.raises(Retry):
            service.ping()
    (asked,) = filter(None, heard)
    assert asked.startswith(b"CONNECT api.example:443 ")
    assert KEY.encode() not in asked
    assert b"\r\nAuthorization" not in asked


def test_what_is_for_this_machine_goes_through_no_proxy() -> None:
    through: list[bytes] = []
    with serving(saying(OK, heard=through)) as proxy, serving(keeping(OK)) as server:
        base = f"http://127.0.0.1:{server.port}"
        service = service_at(base, proxy=f"http://127.0.0.1:{proxy.port}")
        for call in calls(service, f"{base}/a?{SECRET}").values():
            call()
    assert through == []


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_no_redirect_leads_anywhere(status: int) -> None:
    elsewhere: list[bytes] = []
    with serving(saying(OK, heard=elsewhere)) as other:
        away = f"HTTP/1.1 {status} Away\r\nLocation: http://127.0.0.1:{other.port}/a\r\nContent-Length: 0\r\n\r\n"
        with service_of(keeping(away.encode())) as (service, url, _):
            for call in calls(service, url).values():
                with pytest.raises(WatchfolderError):
                    call()
    assert elsewhere == []


@functools.cache
def packed(encoding: str) -> bytes:
    """Return 100 MiB of spaces, packed as named from left to right."""
    body = b" " * (100 * MEBIBYTE)
    for step in encoding.split(", "):
        body = gzip.compress(body) if step == "gzip" else zlib.compress(body)
    return body


@pytest.mark.parametrize("status", ["200 OK", "403 No", "500 No"])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, gzip"])
def test_a_bomb_is_not_unpacked_beyond_the_limit(encoding: str, status: str) -> None:
    bomb = packed(encoding)
    head = f"HTTP/1.1 {status}\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    with service_of(saying(head + bomb)) as (service, url, _):
        tracemalloc.start()
        try:
            for call in calls(service, url).values():
                with pytest.raises(WatchfolderError):
                    call()
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert most < 40 * MEBIBYTE  # the limit of an answer in JSON is 8
