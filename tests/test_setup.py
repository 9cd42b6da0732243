"""deploy/setup.sh where it can be tried without changing this machine: what it says when it may not install."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = (
    "bash",
    "sh",
    "env",
    "dirname",
    "cat",
    "mkdir",
    "sha256sum",
    "readlink",
    "make",
    "apt-get",
    "sed",
    "tail",
    "grep",
)


def run_setup(
    folder: Path, purpose: str, python3: str | None = None, sudo: str = "exit 1"
) -> subprocess.CompletedProcess[str]:
    """As a user without root, and without sudo unless told what it does, on a machine that has only TOOLS on its path."""
    project, bin_dir = folder / "project", folder / "bin"
    (project / "deploy").mkdir(parents=True)
    bin_dir.mkdir()
    shutil.copy(ROOT / "deploy/setup.sh", project / "deploy")
    for tool in TOOLS:
        if found := shutil.which(tool):
            (bin_dir / tool).symlink_to(found)
    python3 = python3 or f'exec "{sys.executable}" "$@"'
    for name, text in {"id": "echo 1000", "sudo": sudo, "python3": python3}.items():
        (bin_dir / name).write_text(f"#!/bin/sh\n{text}\n")
        (bin_dir / name).chmod(0o755)
    return subprocess.run(
        ["bash", str(project / "deploy/setup.sh"), purpose],
        env={"PATH": str(bin_dir)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("purpose", "more"), [("run", set()), ("test", set()), ("bench", {"nodejs", "npm", "wrk"})])
def test_without_root_or_sudo_it_names_what_is_missing_and_how_to_get_it(
    tmp_path: Path, purpose: str, more: set[str]
) -> None:
    done = run_setup(tmp_path, purpose)
    assert done.returncode == 1
    assert done.stdout == ""
    first, second, command = done.stderr.splitlines()
    assert first.startswith("setup: these packages are missing: ")
    packages = first.split(": ")[2].split()
    assert {"redis-server", "curl"} <= set(packages)
    assert {"nodejs", "npm", "wrk"} & set(packages) == more
    assert second == "setup: you are neither root nor allowed to sudo; have an administrator run:"
    assert command.endswith(f"apt-get update && apt-get install --no-install-recommends {' '.join(packages)}")


@pytest.mark.parametrize("purpose", ["run", "test", "bench"])
def test_apt_is_given_every_package_as_a_word_of_its_own(tmp_path: Path, purpose: str) -> None:
    asked = tmp_path / "asked"
    run_setup(tmp_path, purpose, sudo=f'[ "$1" = -n ] || {{ printf "%s\\n" "$@" >"{asked}"; exit 1; }}')
    packages = asked.read_text().partition("mapsvc-setup\n")[2].splitlines()
    assert {"redis-server", "curl"} <= set(packages)
    assert not [package for package in packages if " " in package]
    if purpose == "test" and "ID=ubuntu" not in Path("/etc/os-release").read_text().splitlines():
        assert {"chromium", "fonts-dejavu-core"} <= set(packages)


def test_an_old_python_is_refused_in_one_line(tmp_path: Path) -> None:
    done = run_setup(tmp_path, "run", python3='[ "$1" = -V ] && echo Python 3.9.2; exit 1')
    assert done.returncode == 1
    assert done.stderr == "setup: needs Python 3.11 or newer; python3 is Python 3.9.2\n"


PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKED = {
    "requirements.lock": [
        *PYPROJECT["project"]["dependencies"],
        *PYPROJECT["project"]["optional-dependencies"]["dev"],
    ],
    "loadtests/requirements.lock": PYPROJECT["dependency-groups"]["load"],
}


@pytest.mark.parametrize(("file", "wanted"), LOCKED.items(), ids=LOCKED)
def test_a_lock_pins_every_dependency_with_hashes_and_names_no_machine(file: str, wanted: list[str]) -> None:
    lock = (ROOT / file).read_text()
    pins = [line for line in lock.splitlines() if line and not line.startswith((" ", "#"))]
    assert all("==" in line and line.endswith("\\") for line in pins)
    assert "://" not in lock
    assert "--index" not in lock
    assert str(ROOT) not in lock
    locked = {line.split("==")[0] for line in pins}
    names = {spec.split(">")[0].split("=")[0].split("[")[0].strip().lower().replace("_", "-") for spec in wanted}
    assert names <= locked, "run `make lock`"
