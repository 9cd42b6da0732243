"""What PostgreSQL and Redis have in common: a folder, a port that stays, a tied process and a log."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from mapsvc import spawn
from mapsvc.spawn import Account

ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
START_S = 300.0  # crash recovery may replay gigabytes of WAL
STOP_S = 30.0  # a fast shutdown writes a checkpoint
PREDECESSOR_S = 15.0  # an engine whose supervisor was killed is shutting down: wait for it
LOG_BYTES = 16 << 20  # a longer log is set aside at the next start; one old one is kept


class EngineError(RuntimeError):
    """An engine cannot be started; the message is for the person who started us."""


class Engine:
    """One server in one folder. Subclasses prepare the folder, name the command and ask whether it answers."""

    name: ClassVar[str]
    deathsig: ClassVar[signal.Signals]
    transient: ClassVar[re.Pattern[str]]  # reasons to fail at start that another attempt may not meet

    def __init__(self, data_dir: Path, port: int = 0, options: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir.absolute()
        self.options = dict(options or {})
        self._wanted_port = port
        self._port = 0  # set once told to anyone: it then stays for the life of this object
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()  # a stop waits for a start under way in another thread, then stops it

    @property
    def home(self) -> Path:
        return self.data_dir

    @property
    def port(self) -> int:
        return self._port

    @property
    def pid(self) -> int | None:
        return self._process.pid if self.running and self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def password(self) -> str:
        return (self.home / "password").read_text().strip()

    @property
    def log(self) -> Path:
        return self.home / "server.log"

    def start(self) -> None:
        """Start on the folder as it is: new, cleanly stopped or crashed. A no-op while running."""
        with self._starting:
            if not self.running:
                self._start()

    def _start(self) -> None:
        self._prepare()
        told = bool(self._port)
        for _attempt in range(5):
            if not told:
                self._port = self._pick_port()
            failure = self._launch()
            if failure is None:
                (self.home / "port").write_text(f"{self._port}\n")
                return
            if not self.transient.search(failure):
                break
            time.sleep(0.5)
        self._port = self._port if told else 0
        raise EngineError(f"{self.name} does not start (see {self.log}):\n{failure}")

    def kill(self) -> None:
        """As in a power cut: SIGKILL for the server and everything it forked."""
        if self._process is not None:
            spawn.kill_tree(self._process)

    def _pick_port(self) -> int:
        if self._wanted_port:
            if not spawn.is_port_free(self._wanted_port):
                raise EngineError(f"{self.name}: port {self._wanted_port} is taken by another program")
            return self._wanted_port
        with contextlib.suppress(OSError, ValueError):
            last = int((self.home / "port").read_text())
            if spawn.is_port_free(last):
                return last
        return spawn.free_port()

    def _launch(self) -> str | None:
        """Start the process and wait until it answers; the end of its log if it gives up."""
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".old"))
        with self.log.open("ab") as log:
            begin = log.tell()
            process = self._process = spawn.spawn(
                self._argv(), deathsig=self.deathsig, log=log, cwd=self.home, env=ENVIRONMENT, account=self._account
            )
        deadline = time.monotonic() + START_S
        while process.poll() is None and not self._answers():
            if time.monotonic() > deadline:
                self.kill()
                raise EngineError(f"{self.name} did not become ready in {START_S:.0f} s (see {self.log})")
            time.sleep(0.02)
        if process.returncode is None:
            return None
        with self.log.open("rb") as log:
            log.seek(begin)
            return log.read()[-2000:].decode(errors="replace").strip()

    def _signal_and_wait(self, number: signal.Signals) -> None:
        with self._starting:
            if self._process is None or self._process.poll() is not None:
                return
            self._process.send_signal(number)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def _await_predecessor(self, pid_file: Path, folder: Path) -> None:
        """Wait for a server of ours that still runs on `folder`, known by its working directory: pids are reused."""
        deadline = time.monotonic() + PREDECESSOR_S
        while (pid := _pid_in(pid_file)) and spawn.is_alive(pid) and _works_in(pid, folder):
            if time.monotonic() > deadline:
                raise EngineError(f"another {self.name} (pid {pid}) runs on {folder}; stop it first")
            time.sleep(0.1)

    _account: Account | None = None

    def _prepare(self) -> None:
        raise NotImplementedError

    def _argv(self) -> list[str]:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError


def own_folder(folder: Path, account: Account | None) -> None:
    """A folder for one account's eyes only; its parents stay as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    if account is not None:
        os.chown(folder, account.uid, account.gid)
    if folder.stat().st_mode & 0o777 != 0o700:
        folder.chmod(0o700)


def write_secret(path: Path, text: str, account: Account | None) -> None:
    """Whole or not at all: a crash between open and write must not leave an empty password."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:  # made with mode 600
        file.write(text)
    if account is not None:
        os.chown(file.name, account.uid, account.gid)
    Path(file.name).replace(path)


def _pid_in(file: Path) -> int | None:
    try:
        return int(file.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def _works_in(pid: int, folder: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").resolve(strict=True) == folder.resolve()
    except OSError:  # another account's process: not one that we started
        return False
