"""A real S3 store on loopback: OpenStack Swift with its s3api, as it comes from PyPI, in four processes of ours."""

import contextlib
import hashlib
import hmac
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import pytest
from free_ports import free_port

_START_SECONDS = 60.0
_BUCKET = "pictures"
_ACCESS, _SECRET, _REGION = "test:tester", "testing", "us-east-1"
_PARTS = ("account", "container", "object", "proxy")
_SERVERS = {part: Path(sys.executable).parent / f"swift-{part}-server" for part in _PARTS}
_SWIFT = """
[swift-hash]
swift_hash_path_suffix = store
[storage-policy:0]
name = one
default = yes
"""
_PART = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {folder}
devices = {folder}
mount_check = false
workers = 0
log_level = WARNING
[pipeline:main]
pipeline = {part}-server
[app:{part}-server]
use = egg:swift#{part}
"""
_PROXY = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {folder}
workers = 0
log_level = WARNING
[pipeline:main]
pipeline = catch_errors cache s3api tempauth proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
"""
_RINGS = """
import sys
from swift.common.ring import RingBuilder
folder, *parts = sys.argv[1:]
for part in parts:
    name, _, port = part.partition("=")
    builder = RingBuilder(1, 1, 0)
    place = {"ip": "127.0.0.1", "port": int(port), "device": "disk"}
    builder.add_dev({"id": 0, "region": 1, "zone": 1, "weight": 1.0, "meta": "", **place})
    builder.rebalance()
    builder.get_ring().save(f"{folder}/{name}.ring.gz")
"""


@dataclass
class Store:
    folder: Path
    ports: Mapping[str, int]
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.ports["proxy"]

    def start(self) -> None:
        (self.folder / "disk").mkdir()
        (self.folder / "swift.conf").write_text(_SWIFT)
        rings = [f"{part}={self.ports[part]}" for part in _PARTS if part != "proxy"]
        subprocess.run([sys.executable, "-W", "ignore", "-c", _RINGS, str(self.folder), *rings], check=True, timeout=60)
        for part in _PARTS:
            settings = (_PROXY if part == "proxy" else _PART).format(
                part=part, port=self.ports[part], folder=self.folder
            )
            (self.folder / f"{part}.conf").write_text(settings)
            with (self.folder / f"{part}.log").open("wb") as log:
                command = [sys.executable, str(_SERVERS[part]), str(self.folder / f"{part}.conf")]
                self.processes.append(subprocess.Popen(command, stdout=log, stderr=log))
        until = time.monotonic() + _START_SECONDS
        while not all(map(_answers, self.ports.values())):
            assert all(process.poll() is None for process in self.processes), self.logs()
            assert time.monotonic() < until, self.logs()
            time.sleep(0.1)
        assert self.call("PUT", self.signed("PUT", "")) == (200, b"")

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait(10)

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-2000:] for path in self.folder.glob("*.log"))

    def signed(
        self, method: str, name: str, *, at: datetime | None = None, seconds: int = 300, port: int | None = None
    ) -> str:
        """Return a presigned URL (AWS Signature Version 4 in the query; `host` alone is signed, as is usual)."""
        host, path = f"127.0.0.1:{port or self.port}", quote(f"/{_BUCKET}/{name}".rstrip("/"))
        date = (at or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
        scope = (date[:8], _REGION, "s3", "aws4_request")
        query = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": "/".join((_ACCESS, *scope)),
            "X-Amz-Date": date,
            "X-Amz-Expires": str(seconds),
            "X-Amz-SignedHeaders": "host",
        }
        asked = urlencode(query, quote_via=quote, safe="-_.~")
        request = "\n".join((method, path, asked, f"host:{host}\n", "host", "UNSIGNED-PAYLOAD"))
        text = "\n".join(("AWS4-HMAC-SHA256", date, "/".join(scope), hashlib.sha256(request.encode()).hexdigest()))
        key = f"AWS4{_SECRET}".encode()
        for part in (*scope, text):
            key = hmac.new(key, part.encode(), "sha256").digest()
        return f"http://{host}{path}?{asked}&X-Amz-Signature={key.hex()}"

    def call(self, method: str, url: str, body: bytes | None = None) -> tuple[int, bytes]:
        parts = urlsplit(url)
        with contextlib.closing(http.client.HTTPConnection(parts.netloc, timeout=60)) as line:
            line.request(method, f"{parts.path}?{parts.query}", body)
            answer = line.getresponse()
            return answer.status, answer.read()

    def put(self, name: str, content: bytes) -> None:
        assert self.call("PUT", self.signed("PUT", name), content)[0] == 200

    def got(self, name: str) -> bytes | None:
        """Return what lies there under that name, None where nothing does."""
        status, content = self.call("GET", self.signed("GET", name))
        return content if status == 200 else None


@contextlib.contextmanager
def running_in(folder: Path) -> Iterator[Store]:
    """Give a store that runs, or skip with the reason why none can."""
    _require(all(path.exists() for path in _SERVERS.values()), "no S3 store is installed: pip install -e '.[storage]'")
    _require(_keeps_attributes(folder), f"the file system of {folder} keeps no user attributes, and Swift needs them")
    store = Store(folder, {part: free_port() for part in _PARTS})
    try:
        store.start()
        yield store
    finally:
        store.stop()


def _require(is_there: object, reason: str) -> None:
    if not is_there:
        (pytest.fail if os.environ.get("CI") == "true" and os.geteuid() == 0 else pytest.skip)(reason)


def _keeps_attributes(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        os.setxattr(folder, "user.watchfolder", b"1")
        return True
    return False


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
