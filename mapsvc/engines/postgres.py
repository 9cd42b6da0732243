"""A private PostgreSQL with PostGIS."""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from mapsvc import spawn
from mapsvc.engines.engine import ENVIRONMENT, Engine, EngineError, own_folder, write_secret
from mapsvc.spawn import LOOPBACK, Account

POSTGRES_ACCOUNT = "postgres"
POSTGRES_ROOT = Path("/usr/lib/postgresql")  # Debian and Ubuntu: one folder per major version
SHELTER = Path("/var/lib/mapsvc")  # where root's PostgreSQL lives when its account cannot reach the wanted folder


class PostgresEngine(Engine):
    """A PostgreSQL cluster with one database and one superuser, both called mapsvc (CREATE EXTENSION needs one)."""

    name = "PostgreSQL"
    deathsig = signal.SIGINT  # fast shutdown
    transient = re.compile("Address already in use|pre-existing shared memory block", re.IGNORECASE)

    def __init__(self, data_dir: Path, port: int = 0, options: Mapping[str, str] | None = None) -> None:
        super().__init__(data_dir, port, options)
        self._account = _postgres_account()
        self._home: Path | None = None

    @property
    def home(self) -> Path:
        if self._home is None:
            self._home = postgres_home(self.data_dir)
        return self._home

    @property
    def url(self) -> str:
        return f"postgresql://mapsvc:{self.password}@{LOOPBACK}:{self._port}/mapsvc"

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """`fast` ends sessions and writes a checkpoint; `immediate` crashes in good order: recovery at next start."""
        self._signal_and_wait(signal.SIGINT if mode == "fast" else signal.SIGQUIT)

    @property
    def _cluster(self) -> Path:
        return self.home / "cluster"

    @property
    def _pid_file(self) -> Path:
        return self._cluster / "postmaster.pid"

    def _prepare(self) -> None:
        try:
            own_folder(self.home, self._account)
            if not self._cluster.exists():
                self._init_cluster()
        except PermissionError as error:
            raise EngineError(f"no right to use {error.filename}: it belongs to another account") from None
        self._await_predecessor(self._pid_file, self._cluster)
        # What is left is stale, and PostgreSQL would refuse to start if an unrelated process now has that pid.
        self._pid_file.unlink(missing_ok=True)

    def _init_cluster(self) -> None:
        """initdb beside the final place and rename: a cluster that exists is a whole one."""
        fresh = self.home / "cluster.new"
        shutil.rmtree(fresh, ignore_errors=True)
        password = self.home / "password"
        password.unlink(missing_ok=True)
        write_secret(password, secrets.token_urlsafe(24), self._account)
        bin_dir = _postgres_bin()
        durable = self.options.get("fsync", "on") == "on"
        self._run(
            [
                *(f"{bin_dir}/initdb", "--pgdata", str(fresh), "--username=mapsvc", f"--pwfile={password}"),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums"),
                *([] if durable else ["--no-sync"]),
            ]
        )
        # Single-user mode needs neither port nor password.
        self._run([f"{bin_dir}/postgres", "--single", "-D", str(fresh), "postgres"], "CREATE DATABASE mapsvc;\n")
        fresh.rename(self._cluster)

    def _run(self, argv: list[str], stdin: str = "") -> None:
        done = subprocess.run(  # noqa: S603 (our own argv)
            spawn.tied(argv, signal.SIGKILL, self._account),
            input=stdin,
            capture_output=True,
            text=True,
            cwd=self.home,
            env=ENVIRONMENT,
            check=False,
        )
        if done.returncode or " ERROR: " in done.stderr or " FATAL: " in done.stderr:
            raise EngineError(f"{Path(argv[0]).name} failed:\n{(done.stdout + done.stderr).strip()[-2000:]}")

    def settings(self) -> dict[str, str]:
        """What is said on the command line: in force whatever the configuration files say."""
        memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
        return {
            "listen_addresses": LOOPBACK,
            "port": str(self._port),
            "unix_socket_directories": "",  # a socket in a shared place would be a door beside the port
            "max_connections": "100",
            "shared_buffers": f"{min(2048, max(128, memory_mb // 8))}MB",
            "effective_cache_size": f"{max(256, memory_mb // 2)}MB",
            "max_wal_size": "4GB",  # a bulk import must not force a checkpoint every few seconds
            "checkpoint_timeout": "15min",
            "wal_compression": "lz4",
            "synchronous_commit": "on",  # R1: what is acknowledged is on disk
            "fsync": "on",
            "random_page_cost": "1.1",  # SSD
            "jit": "off",  # compiling costs more than our short statements take
            "timezone": "UTC",
            "log_timezone": "UTC",
            "cluster_name": "mapsvc",
            **self.options,
        }

    def _argv(self) -> list[str]:
        version = (self._cluster / "PG_VERSION").read_text().strip()
        options = [word for name, value in self.settings().items() for word in ("-c", f"{name}={value}")]
        return [f"{_postgres_bin(version)}/postgres", "-D", str(self._cluster), *options]

    def _answers(self) -> bool:
        """The postmaster writes its state to the eighth line of its pid file (that is what pg_ctl reads)."""
        try:
            lines = self._pid_file.read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready" and lines[0] == str(self.pid)


def postgres_home(data_dir: Path) -> Path:
    """The folder that PostgreSQL can use for `data_dir`: that folder itself, unless we are root and its account cannot
    pass through a parent (a project under /root, mode 700); then one under /var/lib, named after the wanted path."""
    wanted = data_dir.absolute()
    account = _postgres_account()
    if account is None or _can_reach(account, _nearest_existing(wanted)):
        return wanted
    return SHELTER / hashlib.sha256(str(wanted).encode()).hexdigest()[:12]


def _nearest_existing(path: Path) -> Path:
    return next(parent for parent in (path.parent, *path.parent.parents) if parent.exists())


def _can_reach(account: Account, folder: Path) -> bool:
    """Ask the kernel, as that account: permission bits alone do not tell (ACLs, user namespaces)."""
    probe = spawn.tied(["test", "-x", str(folder)], signal.SIGKILL, account)
    return subprocess.run(probe, check=False, cwd="/", env=ENVIRONMENT).returncode == 0  # noqa: S603 (our own argv)


def _postgres_account() -> Account | None:
    """Whom PostgreSQL runs as: ourselves (None), or under root the account of the Debian package."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(POSTGRES_ACCOUNT)
    except KeyError:
        raise EngineError("PostgreSQL is not installed (no account `postgres`); `make setup` installs it") from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _postgres_bin(version: str | None = None) -> Path:
    """Programs of the newest installed PostgreSQL that has PostGIS, or of the version that made a cluster."""
    found = {
        int(folder.name): folder / "bin"
        for folder in POSTGRES_ROOT.glob("[0-9]*")
        if folder.name.isdigit() and (folder / "bin/postgres").exists()
    }
    with_postgis = [v for v in found if Path(f"/usr/share/postgresql/{v}/extension/postgis.control").exists()]
    if version is not None:
        if int(version) in found:
            return found[int(version)]
        raise EngineError(f"this data was made by PostgreSQL {version}; installed are {sorted(found)}")
    if not with_postgis:
        raise EngineError("no PostgreSQL with PostGIS is installed; `make setup` installs it")
    return found[max(with_postgis)]
