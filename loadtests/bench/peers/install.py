"""Gets the ready-made yardsticks, each into a folder of its own under var/bench: nothing is installed on the machine and no
daemon is started. What cannot be had here raises Unavailable with the reason, and becomes a row of the table.

Versions are pinned here and in the lock files beside; a stamp with them tells what stands already.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from loadtests.bench.processes import ProgramError, run
from loadtests.bench.service import BENCH_DIR

HERE = Path(__file__).parent
TILE38_VERSION = "v1.36.3"
MARTIN_VERSION = "1.14.0"
INSTALL_S = 600.0
COMPILE_S = 3600.0
DEBIAN = "sudo apt-get install --no-install-recommends"


class Unavailable(Exception):
    """A yardstick cannot be had on this machine."""


def _once(folder: Path, wanted: str, make: Callable[[Path], None]) -> Path:
    """The folder, made anew unless its stamp says that it is what is wanted."""
    stamp = folder / "installed"
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            make(folder)
        except ProgramError as error:
            raise Unavailable(_short(error)) from error
        stamp.write_text(wanted)
    return folder


def _short(error: ProgramError) -> str:
    """The command and the last line that it left behind: a row of a table, not a log."""
    first, *rest = str(error).splitlines()
    return f"{first[:120]} {rest[-1][:200] if rest else ''}".strip()


def nginx() -> Path:
    """The distribution's nginx, unpacked and not installed: apt would start it as a service."""

    def make(folder: Path) -> None:
        if shutil.which("apt-get") is None:
            raise Unavailable("no apt-get to fetch nginx with")
        log = folder / "log"
        run(["apt-get", "download", "-q", "nginx"], log, cwd=folder, timeout_s=INSTALL_S)
        (package,) = folder.glob("nginx*.deb")
        run(["dpkg-deb", "-x", str(package), str(folder)], log)

    binary = _once(BENCH_DIR / "nginx", "1", make) / "usr/sbin/nginx"
    if not os.access(binary, os.X_OK):
        raise Unavailable("the package nginx holds no /usr/sbin/nginx here")
    return binary


def node() -> Path:
    """A folder with our Node.js servers and their packages."""
    node_program, npm = shutil.which("node"), shutil.which("npm")
    if node_program is None or npm is None:
        raise Unavailable(f"Node.js is not here: {DEBIAN} nodejs npm")
    sources = sorted((HERE / "node").glob("*.mjs"))

    def make(folder: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / "node" / name, folder)
        run(
            [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"],
            folder / "log",
            cwd=folder,
            timeout_s=INSTALL_S,
        )

    folder = _once(BENCH_DIR / "node", _digest(HERE / "node/package-lock.json"), make)
    for source in sources:
        shutil.copy(source, folder)
    return folder


def tipg() -> Path:
    """The bin folder of an environment with tipg and uvicorn."""
    pinned = HERE / "tipg/requirements.txt"

    def make(folder: Path) -> None:
        log = folder / "log"
        run([sys.executable, "-m", "venv", str(folder / "venv")], log, timeout_s=INSTALL_S)
        run(
            [
                *(str(folder / "venv/bin/python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"),
                *("--only-binary", ":all:", "--require-hashes", "-r", str(pinned)),
            ],
            log,
            timeout_s=INSTALL_S,
        )

    return _once(BENCH_DIR / "tipg", _digest(pinned), make) / "venv/bin"


def tile38() -> Path:
    go = shutil.which("go")
    if go is None:
        raise Unavailable("no Go toolchain")

    def make(folder: Path) -> None:
        run(
            [go, "install", f"github.com/tidwall/tile38/cmd/tile38-server@{TILE38_VERSION}"],
            folder / "log",
            environment={"GOBIN": str(folder)},
            timeout_s=COMPILE_S,
        )

    return _once(BENCH_DIR / "tile38", TILE38_VERSION, make) / "tile38-server"


def martin() -> Path:
    """It takes the better part of an hour to compile on two cores, so only when asked for."""
    cargo = shutil.which("cargo")
    if cargo is None:
        raise Unavailable("no Rust toolchain")
    folder = BENCH_DIR / "martin"
    if os.environ.get("MARTIN") != "1" and not (folder / "installed").exists():
        raise Unavailable("compiles for long: MARTIN=1 make bench builds it once")

    def make(folder: Path) -> None:
        run(
            [
                *(cargo, "install", "martin", "--version", MARTIN_VERSION, "--locked", "--root", str(folder)),
                *("--no-default-features", "--features", "postgres"),
            ],
            folder / "log",
            timeout_s=2 * COMPILE_S,
        )

    return _once(folder, MARTIN_VERSION, make) / "bin/martin"


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
