"""The machine: what it is, which core a process runs on, what processes have used.

Everything is read from /proc. CPU time is counted in ticks of 10 ms by the kernel, so a window of 3 s on a busy core is
known to 0.3 %.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
VERSION = re.compile(r"\d+(?:\.\d+)+")
PROGRAMS = {
    "redis": ("redis-server", "--version"),
    "node": ("node", "--version"),
    "wrk": ("wrk", "-v"),
    "nginx": ("nginx", "-v"),
    "go": ("go", "version"),
    "cargo": ("cargo", "--version"),
}
PACKAGES = ("aiohttp", "asyncpg", "orjson", "numpy", "h3", "locust")


def describe() -> dict[str, Any]:
    """What a reader must know to compare figures: processor, memory, system, versions. Missing programs are left out."""
    return {
        "cpu": _field(Path("/proc/cpuinfo"), "model name") or platform.machine(),
        "cores": os.cpu_count() or 1,
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "os": _field(Path("/etc/os-release"), "PRETTY_NAME").strip('"'),
        "kernel": platform.release(),
        "versions": dict(_versions()),
    }


def _field(file: Path, name: str) -> str:
    for line in file.read_text().splitlines():
        key, _, value = line.partition("=" if "=" in line else ":")
        if key.strip() == name:
            return value.strip()
    return ""


@cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    for postgres in sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        found["postgresql"] = version_of(str(postgres), "--version")
    for control in sorted(Path("/usr/share/postgresql").glob("*/extension/postgis.control")):
        found["postgis"] = _field(control, "default_version").strip("'")
    return found | {name: version for name, argv in PROGRAMS.items() if (version := version_of(*argv))}


def version_of(*argv: str) -> str:
    """The first thing that looks like a version in what a program says of itself; "" if it is not there."""
    if shutil.which(argv[0]) is None:
        return ""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)  # noqa: S603 (our own argv)
    found = VERSION.search(done.stdout + done.stderr)
    return found[0] if found else ""


# -- processes ------------------------------------------------------------------------------------------------------------


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third on (state, parent, …); None if there is no such process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return None


def tree(pid: int) -> list[int]:
    """A process and all below it, whatever session they are in."""
    below: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            below.setdefault(int(stat[1]), []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += below.get(one, [])
    return found


def command_line(pid: int) -> list[str]:
    """[] if there is no such process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    return []


def pin(pid: int, cores: Iterable[int]) -> None:
    """Every thread of a process and of all below it may run on these cores only. What they start later inherits it."""
    wanted = set(cores)
    for one in tree(pid):
        with contextlib.suppress(OSError):  # it ended meanwhile
            for task in Path(f"/proc/{one}/task").iterdir():
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(int(task.name), wanted)


def cpu_s(pids: Iterable[int]) -> float:
    """User and system seconds of these processes and all below them, those included that ended and were waited for."""
    total = 0.0
    for pid in {below for above in pids for below in tree(above)}:
        if stat := _stat(pid):
            own, reaped = (sum(map(int, part)) / TICKS_PER_S for part in (stat[11:13], stat[13:15]))
            # Ticks know of threads that have ended, the scheduler of nanoseconds.
            total += max(own, on_cpu_s(pid)) + reaped
    return total


def on_cpu_s(pid: int) -> float:
    """What the scheduler says of a process's threads, to the nanosecond where they sleep; 0 where it does not."""
    total = 0
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def started_s(pid: int) -> float:
    """When a process began, on the clock of time.clock_gettime(CLOCK_BOOTTIME)."""
    stat = _stat(pid)
    if stat is None:
        raise ProcessLookupError(pid)
    return int(stat[19]) / TICKS_PER_S


def resident_mb(pid: int) -> float:
    """Resident memory of one process now."""
    return _status_mb(pid, "VmRSS")


def peak_mb(pid: int) -> float:
    """The most resident memory that one process ever had."""
    return _status_mb(pid, "VmHWM")


def _status_mb(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    return 0.0


# -- cores ----------------------------------------------------------------------------------------------------------------


class CoreTime(NamedTuple):
    """Seconds that one core was busy, and that the hypervisor gave to somebody else."""

    busy_s: float
    stolen_s: float


def core_times() -> list[CoreTime]:
    """By core, since boot."""
    found = []
    for line in Path("/proc/stat").read_text().splitlines():
        if re.match(r"cpu\d", line):
            user, nice, system, _idle, _iowait, irq, soft_irq, steal = map(int, line.split()[1:9])
            found.append(CoreTime((user + nice + system + irq + soft_irq) / TICKS_PER_S, steal / TICKS_PER_S))
    return found
