"""Child processes that cannot outlive us, and the loopback ports they listen on. Standard library only.

Linux sends a process the signal it asked for with prctl(PR_SET_PDEATHSIG) when its parent *thread* ends, however it
ends; `kill -9` of the supervisor included. util-linux' setpriv asks for it, after it has changed the user and just
before exec, so no code of ours runs between fork and exec.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import IO, NamedTuple

LOOPBACK = "127.0.0.1"
LOWEST_PORT = 10_240  # below lie the ports that people know by heart (5432, 6379, 8080, 9090)


class Account(NamedTuple):
    """An unprivileged user that a child runs as."""

    name: str
    uid: int
    gid: int


def tied(argv: Sequence[str], deathsig: signal.Signals, account: Account | None = None) -> list[str]:
    """`argv`, wrapped so that it receives `deathsig` when the thread that starts it ends."""
    become = [f"--reuid={account.uid}", f"--regid={account.gid}", "--init-groups"] if account else []
    return ["setpriv", *become, f"--pdeathsig={deathsig.name[3:]}", "--", *argv]


@cache
def _nursery() -> ThreadPoolExecutor:
    """The one thread that starts tied children: it lives as long as the process, so a child never dies with a mere
    worker thread (asyncio.to_thread) that happened to start it."""
    return ThreadPoolExecutor(1, thread_name_prefix="nursery")


def spawn(
    argv: Sequence[str],
    *,
    deathsig: signal.Signals,
    log: IO[bytes] | None,
    cwd: Path,
    env: Mapping[str, str],
    account: Account | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a tied child in a session of its own: Ctrl-C in the terminal reaches us alone, and we stop it in order.

    Output goes to `log` (None: where ours goes), elsewhere if `stdout` or `stderr` say so (subprocess.PIPE and the like).
    """

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 (our own argv)
            tied(argv, deathsig, account),
            stdin=subprocess.DEVNULL,
            stdout=log if stdout is None else stdout,
            stderr=log if stderr is None else stderr,
            cwd=cwd,
            env=dict(env),
            start_new_session=True,
        )

    return _nursery().submit(start).result()


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third (state, parent, …); None if there is no such process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return None


def is_alive(pid: int) -> bool:
    """Does the process run? A zombie does not: where pid 1 reaps late or never (containers), kill(pid, 0) still
    succeeds on it."""
    stat = _stat(pid)
    return stat is not None and stat[0] not in "ZX"


def children(pid: int) -> list[int]:
    """Direct children of a process, whatever session they are in."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [child for child in pids if (stat := _stat(child)) and int(stat[1]) == pid]


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Has it ended? Asked without reaping it, so that its pid still names its process group (see `sweep`)."""
    if process.returncode is not None:
        return True
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # reaped elsewhere
        return True


def sweep(process: subprocess.Popen[bytes]) -> int:
    """Reap an ended child, after SIGKILL for what it left in its process group (the workers of a killed parent would
    keep its port). Returns its exit code."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL a process and its direct children at once. Stopped first, so that it can start no more meanwhile."""
    if process.poll() is None:
        process.send_signal(signal.SIGSTOP)
        below = children(process.pid)
        process.kill()
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def is_port_free(port: int, host: str = LOOPBACK) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A free loopback port *below* the ephemeral range.

    Inside it, a client that keeps reconnecting to a dead server's port can be given that very port as its own source
    port: it then talks to itself (TCP simultaneous open) and the restarted server cannot bind.
    """
    try:
        ephemeral_from = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        ephemeral_from = 32_768
    if ephemeral_from > LOWEST_PORT + 1_000:
        for port in random.SystemRandom().sample(range(LOWEST_PORT, ephemeral_from), 200):
            if is_port_free(port):
                return port
    with socket.socket() as probe:  # a host with next to no room below: take what the kernel gives
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
