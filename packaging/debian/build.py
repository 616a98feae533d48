"""Build the Debian package of this checkout: one tree of files that Debian's own Python runs, nothing made on arrival.

The tree is a virtual environment whose libraries are compiled for every Python of `PYTHONS`, side by side, as those of
Debian's python3-* packages are: what was compiled has its Python in its name. docs/architecture.md says why.
"""

import argparse
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

PYTHONS: Final = ("3.11", "3.12", "3.13")  # of Debian 12, Ubuntu 24.04, Debian 13
GLIBC: Final = "2.28"  # the oldest that the newest wheel format below may ask for
WHEELS: Final = ("manylinux2014", "manylinux_2_28")
MACHINES: Final = {"amd64": "x86_64", "arm64": "aarch64"}
COMPRESSIONS: Final = {"xz": ("-Zxz",), "gzip": ("-Zgzip", "-z1")}
HERE: Final = Path(__file__).resolve().parent
PROJECT: Final = HERE.parents[1]
# What is said beside a library of the one wheel that it came from, and of its place on this machine.
NOT_WANTED: Final = {"INSTALLER", "RECORD", "REQUESTED", "WHEEL", "direct_url.json", "sboms"}
PROGRAM: Final = """\
#!/opt/watchfolder/bin/python3
import sys

from watchfolder.__main__ import main

sys.exit(main())
"""


def main() -> None:
    if shutil.which("dpkg-deb") is None:
        sys.exit("dpkg-deb is missing: build the package on Debian or Ubuntu")
    options = arguments()
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix="watchfolder-deb-") as scratch:
        print(build(Path(scratch), options.architecture, options.output, options.compression))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Build the Debian package.")
    parser.add_argument(
        "--architecture", choices=MACHINES, default=said("dpkg", "--print-architecture"), help="this machine's"
    )
    parser.add_argument("--output", metavar="FOLDER", type=Path, default=PROJECT / "dist", help="where it goes")
    parser.add_argument("--compression", choices=COMPRESSIONS, default="xz", help="gzip is quicker")
    return parser.parse_args()


def build(scratch: Path, architecture: str, output: Path, compression: str) -> Path:
    wheels, root = scratch / "wheels", scratch / "root"
    pip("wheel", "--wheel-dir", str(wheels), str(PROJECT))
    versions = dict(wheel.name.split("-")[:2] for wheel in wheels.iterdir())
    constraints = scratch / "constraints"
    constraints.write_text("".join(f"{name}=={version}\n" for name, version in sorted(versions.items())))
    wanted = ("--find-links", str(wheels), "--constraint", str(constraints), f"watchfolder=={versions['watchfolder']}")
    platforms = [f"--platform={wheel}_{MACHINES[architecture]}" for wheel in WHEELS]
    home = root / "opt/watchfolder"
    with ThreadPoolExecutor() as pool:
        for installed in pool.map(lambda python: install(scratch / python, python, *wanted, *platforms), PYTHONS):
            merge(installed, home)
    make_environment(home)
    make_places(root)
    version = re.sub(r"\.?(a|b|rc|dev)(?=\d)", r"~\1", versions["watchfolder"])  # before the release, not after it
    make_control(root, version, architecture)
    output.mkdir(parents=True, exist_ok=True)
    package = output / f"watchfolder_{version}_{architecture}.deb"
    os.environ["SOURCE_DATE_EPOCH"] = last_change()
    run("dpkg-deb", "--build", "--root-owner-group", *COMPRESSIONS[compression], str(root), str(package))
    return package


def install(target: Path, python: str, *wanted: str) -> Path:
    """Let pip install for a Python that may not be here."""
    fixed = ("--no-compile", "--only-binary=:all:", "--implementation=cp", f"--python-version={python}")
    pip("install", f"--target={target}", *fixed, *wanted)
    return target


def merge(installed: Path, home: Path) -> None:
    """Add what pip installed for one Python. What several of them have must be the same, to the byte."""
    for file in files(installed):
        path = file.relative_to(installed)
        is_of_wheel = path.parts[0].endswith(".dist-info") and path.parts[1] in NOT_WANTED
        if is_of_wheel or path.parts[0] == "bin":
            continue
        target = home / path if path.parts[0] == "share" else home / "lib/python3/site-packages" / path
        if target.exists() and target.read_bytes() != file.read_bytes():
            sys.exit(f"{path} is not the same for all of Python {', '.join(PYTHONS)}: they cannot share one tree")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def make_environment(home: Path) -> None:
    """Make a virtual environment of it: for `python3 -m venv`, it is one of each of these Pythons."""
    for python in PYTHONS:
        (home / f"lib/python{python}").symlink_to("python3")
    (home / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    (home / "bin").mkdir()
    (home / "bin/python3").symlink_to("/usr/bin/python3")
    (home / "bin/watchfolder").write_text(PROGRAM)
    (home / "bin/watchfolder").chmod(0o755)


def make_places(root: Path) -> None:
    unit = (PROJECT / "systemd/watchfolder.service").read_text(encoding="utf-8")
    words = "watchfolder, with the libraries that it needs; their licenses lie beside them, in\n"
    words += "/opt/watchfolder/lib/python3/site-packages/*.dist-info\n\n"
    texts = {
        "usr/lib/systemd/system/watchfolder.service": unit,
        "usr/lib/sysusers.d/watchfolder.conf": (HERE / "sysusers.conf").read_text(encoding="utf-8"),
        "usr/share/doc/watchfolder/copyright": words + (PROJECT / "LICENSE").read_text(encoding="utf-8"),
    }
    for place, text in texts.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(text, encoding="utf-8")
    packed = {"doc/watchfolder/CHANGELOG.md.gz": "CHANGELOG.md", "man/man1/watchfolder.1.gz": "docs/watchfolder.1"}
    for place, source in packed.items():
        (root / "usr/share" / place).parent.mkdir(parents=True, exist_ok=True)
        (root / "usr/share" / place).write_bytes(gzip.compress((PROJECT / source).read_bytes(), mtime=0))
    (root / "etc/watchfolder").mkdir(parents=True)
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/watchfolder").symlink_to("/opt/watchfolder/bin/watchfolder")


def make_control(root: Path, version: str, architecture: str) -> None:
    there = sorted(files(root))
    major, minor = PYTHONS[-1].split(".")
    fields = {
        "version": version,
        "architecture": architecture,
        "kibibytes": sum(file.stat().st_size for file in there) // 1024,
        "python": f"python3 (>= {PYTHONS[0]}), python3 (<< {major}.{int(minor) + 1})",
        "glibc": GLIBC,
        "maintainer": maintainer(),
    }
    control = root / "DEBIAN"
    control.mkdir()
    (control / "control").write_text((HERE / "control.in").read_text(encoding="utf-8").format_map(fields))
    # MD5 is what dpkg --verify compares with.
    sums = (f"{hashlib.md5(file.read_bytes()).hexdigest()}  {file.relative_to(root)}\n" for file in there)  # noqa: S324
    (control / "md5sums").write_text("".join(sums))
    shutil.copyfile(HERE / "templates", control / "templates")
    for script in ("preinst", "postinst", "prerm", "postrm"):
        shutil.copyfile(HERE / script, control / script)
        (control / script).chmod(0o755)


def maintainer() -> str:
    """Return who answers for the package: the one who builds it, by the variables of Debian's own tools (debchange(1)).

    Without them there is nobody to write to, and the address says so: .invalid never leads anywhere (RFC 6761).
    """
    name = os.environ.get("DEBFULLNAME", "The watchfolder authors")
    return f"{name} <{os.environ.get('DEBEMAIL', 'nobody@watchfolder.invalid')}>"


def files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def last_change() -> str:
    """Return the time of the last commit: no file in the package is younger, so that two builds are the same."""
    return os.environ.get("SOURCE_DATE_EPOCH") or said("git", "-C", str(PROJECT), "log", "-1", "--format=%ct") or "0"


def pip(*command: str) -> None:
    run(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *command)


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stdout}{done.stderr}")


def said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    main()
