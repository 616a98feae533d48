"""The page behind the web servers of docs/page.md, each a real one with the document's own lines and TLS."""

import contextlib
import http.client
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import pytest
from certificates import Certificate, self_signed
from free_ports import free_port
from test_web import PASSWORD, WELL, Answer, Office, basic, serve

pytestmark = pytest.mark.lab
NAME = "photos.example.com"
DOCUMENT = Path(__file__).parents[2] / "docs/page.md"

SYNOLOGY = """server {
    listen 443 ssl;
    server_name photos.example.com;
    ssl_certificate /fullchain.pem;
    ssl_certificate_key /privkey.pem;
    location / {
        proxy_connect_timeout 60;
        proxy_read_timeout 60;
        proxy_send_timeout 60;
        proxy_intercept_errors off;
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_pass http://localhost:8686;
    }
}"""
"""As DSM 7 writes it for an entry without custom headers, by what its users show; no DSM was there to try."""


class Ports(NamedTuple):
    proxy: int
    page: int


class Started(NamedTuple):
    command: list[str]
    environment: dict[str, str]


Start = Callable[[Path, Ports, Certificate], Started]


def documented(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def nginx(server: str) -> Start:
    def start(folder: Path, ports: Ports, certificate: Certificate) -> Started:
        text = server.replace("listen 443", f"listen 127.0.0.1:{ports.proxy}").replace(":8686", f":{ports.page}")
        text = re.sub(r"/\S*fullchain\.pem", str(certificate.public), text)
        text = re.sub(r"/\S*privkey\.pem", str(certificate.key), text)
        temporary = "".join(
            f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        who = "user root;" if os.geteuid() == 0 else ""
        configuration = folder / "nginx.conf"
        configuration.write_text(
            f"{who} daemon off; pid {folder}/pid; error_log stderr; events {{}} "
            f"http {{ access_log off; {temporary}\n{text}\n}}"
        )
        return Started(["nginx", "-p", str(folder), "-e", "stderr", "-c", str(configuration)], {})

    return start


def caddy(site: str) -> Start:
    def start(folder: Path, ports: Ports, certificate: Certificate) -> Started:
        text = site.replace(NAME, f"https://{NAME}:{ports.proxy}", 1).replace(":8686", f":{ports.page}")
        text = text.replace("{", f"{{\n    tls {certificate.public} {certificate.key}", 1)
        configuration = folder / "Caddyfile"
        configuration.write_text(f"{{\n    admin off\n    auto_https disable_redirects\n}}\n{text}")
        home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        return Started(["caddy", "run", "--config", str(configuration), "--adapter", "caddyfile"], home)

    return start


PROXIES: Mapping[str, Start] = {
    "caddy": caddy(documented("caddy")),
    "nginx": nginx(documented("nginx")),
    "synology": nginx(SYNOLOGY),
}


class Proxied(NamedTuple):
    office: Office
    port: int
    trusted: ssl.SSLContext

    @property
    def url(self) -> str:
        return f"https://{NAME}:{self.port}"

    def ask(self, path: str, headers: Mapping[str, str] | None = None, form: Mapping[str, str] | None = None) -> Answer:
        kind = {"Host": f"{NAME}:{self.port}", "Content-Type": "application/x-www-form-urlencoded"}
        line = self.trusted.wrap_socket(socket.create_connection(("127.0.0.1", self.port), 30), server_hostname=NAME)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.sock = line
        with contextlib.closing(connection):
            connection.request(
                "GET" if form is None else "POST", path, urlencode(form) if form else None, {**kind, **(headers or {})}
            )
            answer = connection.getresponse()
            told = {name.title(): value for name, value in answer.getheaders()}  # each proxy has its own
            return Answer(answer.status, told, answer.read())

    def press(self, name: str, origin: str) -> Answer:
        let_in = {"Authorization": basic(PASSWORD)}
        item = next(each for each in self.ask("/", let_in).text.split("<li ")[1:] if name in each)
        form = dict(re.findall(r'name="(\w+)" value="(\w+)"', item))
        return self.ask("/retry", let_in | {"Origin": origin}, form)


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return self_signed(f"DNS:{NAME}")


@pytest.fixture(params=PROXIES)
def proxy(request: pytest.FixtureRequest, tmp_path: Path, certificate: Certificate) -> Iterator[Proxied]:
    """Give a page that knows of its proxy, and has a password."""
    with behind(request.param, tmp_path, certificate) as proxied:
        secret = tmp_path / "password"
        secret.write_text(PASSWORD + "\n", encoding="ascii")
        secret.chmod(0o600)
        office = proxied.office
        office.page.follow(office.config(password_file=str(secret), public_url=proxied.url))
        office.page.see(WELL)
        yield proxied


@contextlib.contextmanager
def behind(which: str, folder: Path, certificate: Certificate) -> Iterator[Proxied]:
    require("caddy" if which == "caddy" else "nginx", "caddy" if which == "caddy" else "nginx-light")
    trusted = ssl.create_default_context(cafile=str(certificate.public))
    (folder / "proxy").mkdir()
    with serve(folder) as office:
        port = free_port()
        started = PROXIES[which](folder / "proxy", Ports(port, office.port), certificate)
        log = folder / "proxy/log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                started.command, env={"PATH": os.environ["PATH"]} | started.environment, stdout=stderr, stderr=stderr
            )
        try:
            await_listener(port, process, log)
            yield Proxied(office, port, trusted)
        finally:
            process.terminate()
            process.wait(30)


def await_listener(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
            return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def require(program: str, package: str) -> None:
    if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None and not os.environ.get("CI"):
        pytest.skip(f"{program} is not installed: apt-get install {package}")


def test_a_browser_is_asked_for_the_password_and_then_shown_the_page(proxy: Proxied) -> None:
    refused = proxy.ask("/")
    assert refused.status == 401
    assert refused.headers["Www-Authenticate"].startswith("Basic ")
    shown = proxy.ask("/", {"Authorization": basic(PASSWORD)})
    assert (shown.status, "photos" in shown.text) == (200, True)
    assert "frame-ancestors 'none'" in shown.headers["Content-Security-Policy"]


def test_a_button_works_and_leads_back_to_the_page_behind_the_proxy(proxy: Proxied) -> None:
    path = proxy.office.set_aside("a.jpg")
    answer = proxy.press("a.jpg", proxy.url)
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert not path.exists()


@pytest.mark.parametrize("origin", ["https://evil.example", "http://photos.example.com", "null"])
def test_a_button_of_a_page_from_elsewhere_moves_nothing(proxy: Proxied, origin: str) -> None:
    path = proxy.office.set_aside("a.jpg")
    assert proxy.press("a.jpg", origin).status == 403
    assert path.exists()


def test_a_wrong_password_is_logged_with_where_it_came_from(proxy: Proxied, caplog: pytest.LogCaptureFixture) -> None:
    assert proxy.ask("/", {"Authorization": basic("wrong")}).status == 401
    (told,) = [record for record in caplog.records if record.getMessage() == "page.wrong_password"]
    assert vars(told)["facts"] == {"address": "127.0.0.1", "tries": 1, "forwarded_for": "127.0.0.1"}


@pytest.mark.parametrize("which", PROXIES)
def test_without_a_password_a_proxy_makes_nothing_public(which: str, tmp_path: Path, certificate: Certificate) -> None:
    with behind(which, tmp_path, certificate) as proxied:
        proxied.office.page.follow(proxied.office.config())
        proxied.office.page.see(WELL)
        for path in ("/", "/main", "/metrics", "/api/status"):
            assert proxied.ask(path).status == 403
            for host in (NAME, "127.0.0.1", f"localhost:{proxied.office.port}"):
                assert b"photos" not in proxied.ask(path, {"Host": host}).body
