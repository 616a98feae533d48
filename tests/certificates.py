"""TLS certificates that vouch for themselves: each is made once, and gone with the process."""

import atexit
import functools
import os
import shutil
import ssl
import subprocess
import tempfile
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Certificate:
    """The paths of its files; `public` lies in a folder of its own."""

    public: str
    key: str

    @functools.cached_property
    def context(self) -> ssl.SSLContext:
        """What a server needs to show it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.public, self.key)
        return context


@functools.cache
def self_signed(name: str) -> Certificate:
    """Return one for a name as `subjectAltName` has it: IP:127.0.0.1, DNS:example.com."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here to make a certificate with: apt-get install openssl")
    folder = tempfile.mkdtemp(prefix="watchfolder-tls-")
    atexit.register(shutil.rmtree, folder)
    os.mkdir(os.path.join(folder, "public"))
    made = Certificate(os.path.join(folder, "public/certificate.pem"), os.path.join(folder, "key.pem"))
    elliptic = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")  # made in no time, unlike RSA's
    subject = ("-subj", f"/CN={name.partition(':')[2]}", "-addext", f"subjectAltName={name}")
    command = ["openssl", "req", "-x509", *elliptic, "-nodes", "-days", "2", *subject]
    subprocess.run([*command, "-keyout", made.key, "-out", made.public], check=True, capture_output=True, timeout=60)
    return made
