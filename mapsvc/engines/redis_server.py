"""Private Redis servers: one, or a Cluster of a few."""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from mapsvc import spawn
from mapsvc.engines.engine import START_S, Engine, EngineError, own_folder, write_secret
from mapsvc.spawn import LOOPBACK


class RedisEngine(Engine):
    """One redis-server, by default without persistence: Redis is a cache of PostgreSQL and is rebuilt from it."""

    name = "Redis"
    deathsig = signal.SIGTERM
    transient = re.compile("Address already in use", re.IGNORECASE)

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{LOOPBACK}:{self._port}/0"

    def client(self) -> redis.Redis:
        """For the one who runs the engine: an error is told at once, not after the library's own retries."""
        return redis.Redis.from_url(self.url, socket_timeout=5, protocol=2, retry=Retry(NoBackoff(), 0))

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        if mode == "immediate":
            self.kill()
        self._signal_and_wait(signal.SIGTERM)

    def _prepare(self) -> None:
        if not shutil.which("redis-server"):
            raise EngineError("redis-server is not installed (package redis-server); `make setup` installs it")
        own_folder(self.home, None)
        if not (self.home / "password").exists():
            write_secret(self.home / "password", secrets.token_urlsafe(24), None)
        self._await_predecessor(self.home / "redis.pid", self.home)

    def _argv(self) -> list[str]:
        settings = {
            "bind": LOOPBACK,
            "port": str(self._port),
            "protected-mode": "yes",
            # Without one, any local user could make a Redis that runs as us write files for him (CONFIG SET dir).
            "requirepass": self.password,
            "masterauth": self.password,
            "dir": str(self.home),
            "pidfile": str(self.home / "redis.pid"),
            "daemonize": "no",
            "appendonly": "no",
            "save": '""',
            "maxmemory-policy": "noeviction",
            **self.options,
        }
        config = self.home / "redis.conf"
        config.unlink(missing_ok=True)
        write_secret(config, "".join(f"{name} {value}\n" for name, value in settings.items()), None)
        return ["redis-server", str(config)]

    def _answers(self) -> bool:
        try:
            with contextlib.closing(self.client()) as client:
                return bool(client.ping())
        except redis.RedisError:  # not listening yet, or still loading its file
            return False


class RedisClusterEngine:
    """A Redis Cluster of masters on loopback: finds scripts that touch keys of two shards, which one node forgives."""

    def __init__(self, data_dir: Path, nodes: int = 3, options: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir.absolute()
        self.nodes = [RedisEngine(self.data_dir / f"node{k}", 0, options) for k in range(nodes)]

    @property
    def url(self) -> str:
        """Of the first node; a cluster client finds the others."""
        return self.nodes[0].url

    @property
    def urls(self) -> list[str]:
        return [node.url for node in self.nodes]

    def start(self) -> None:
        """Start what does not run, and wait until the cluster is whole."""
        if all(node.running for node in self.nodes):
            return
        own_folder(self.data_dir, None)
        password_file = self.data_dir / "password"  # one for all nodes: clients know one only
        if not password_file.exists():
            write_secret(password_file, secrets.token_urlsafe(24), None)
        for node in self.nodes:
            own_folder(node.home, None)
            if not (node.home / "password").exists():
                write_secret(node.home / "password", password_file.read_text(), None)
            node.options |= {
                "cluster-enabled": "yes",
                "cluster-node-timeout": "2000",
                "cluster-config-file": "nodes.conf",
            }
            if "cluster-port" not in node.options:  # the default, port + 10000, may be taken
                node.options["cluster-port"] = str(spawn.free_port())
            node.start()
        self._form()

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()

    def _form(self) -> None:
        """Give every node its share of the 16384 slots, introduce them and wait until all agree."""
        clients = [node.client() for node in self.nodes]
        try:
            bounds = [16_384 * k // len(clients) for k in range(len(clients) + 1)]
            for k, client in enumerate(clients):
                if "cluster_slots_assigned:0" in _cluster_info(client):
                    _cluster(client, "ADDSLOTSRANGE", bounds[k], bounds[k + 1] - 1)
                    _cluster(client, "SET-CONFIG-EPOCH", k + 1)
            for node in self.nodes:  # also after a restart: the bus ports may be new
                _cluster(clients[0], "MEET", LOOPBACK, node.port, node.options["cluster-port"])
            deadline = time.monotonic() + START_S
            whole = ("cluster_state:ok", "cluster_slots_assigned:16384", f"cluster_known_nodes:{len(clients)}")
            while not all(set(whole) <= set(_cluster_info(client)) for client in clients):
                if time.monotonic() > deadline:
                    raise EngineError(f"the Redis Cluster in {self.data_dir} does not form")
                time.sleep(0.05)
        finally:
            for client in clients:
                client.close()


def _cluster(client: redis.Redis, *words: str | int) -> Any:
    return client.execute_command("CLUSTER", *words)  # type: ignore[no-untyped-call]


def _cluster_info(client: redis.Redis) -> list[str]:
    info = _cluster(client, "INFO")
    if isinstance(info, dict):
        return [f"{name}:{value}" for name, value in info.items()]
    return (info.decode() if isinstance(info, bytes) else str(info)).split()
