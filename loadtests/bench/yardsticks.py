"""The peers, started and ready to answer, each loaded with the very stations of our own world.

Every function is a context manager that yields a Peer, and raises Unavailable where the peer cannot be had.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from loadtests.bench import machine
from loadtests.bench.load import ALL_CORES, SERVER_CORES, Contender
from loadtests.bench.peers import install
from loadtests.bench.peers.install import Unavailable
from loadtests.bench.peers.redis_geo import KEY
from loadtests.bench.processes import LOOPBACK, Program, ProgramError, answers, free_port
from loadtests.bench.results import Result
from loadtests.bench.service import BENCH_DIR
from loadtests.bench.snapshot import Snapshot, lines
from loadtests.bench.stage import Stage

START_S = 300.0  # Node.js parses a million lines before it listens
PIPELINE = 2000
MERCATOR_LAT = 85.05  # Redis keeps no position beyond
TIPG_WORKERS = 2
NODE_MEMORY_MB = 8000


class Peer(NamedTuple):
    url: str
    pids: Callable[[], Sequence[int]]
    version: str
    cores: Sequence[int] = SERVER_CORES

    def contender(self, name: str, paths: Sequence[str], **more: object) -> Contender:
        return Contender(name, self.url, paths, self.pids, self.cores, required=False, **more)  # type: ignore[arg-type]


PeerContext = AbstractContextManager[Peer]


@contextmanager
def invited(result: Result, name: str, peer: PeerContext) -> Iterator[Peer | None]:
    """The peer; None, and a row that says why, where it cannot be had or does not start."""
    try:
        entered = peer.__enter__()
    except (Unavailable, ProgramError, OSError) as error:
        result.skip(name, " ".join(str(error).split())[:300])
        yield None
        return
    try:
        yield entered
    finally:
        peer.__exit__(None, None, None)


def _url(port: int) -> str:
    return f"http://{LOOPBACK}:{port}"


def _listeners(port: int) -> int:
    """How many sockets of this machine listen on it (proc(5): /proc/net/tcp, state 0A)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port for row in rows)


def _python(module: str, *words: str) -> list[str]:
    return [sys.executable, "-m", f"loadtests.bench.peers.{module}", *words]


@contextmanager
def hello(stage: Stage, body: bytes, content_type: str = "application/json", processes: int = 1) -> Iterator[Peer]:
    """Bare aiohttp answering with this body; more than one process share the port, and the kernel deals them connections."""
    port = free_port()
    file = _written(stage.scripts / "hello.body", body)
    argv = _python("hello", "--port", str(port), "--body", str(file), "--content-type", content_type)
    with ExitStack() as stack:
        programs = []
        for number in range(processes):
            program = Program("bare aiohttp", argv, stage.logs / f"hello-{number}.log")
            programs.append(stack.enter_context(program))
            program.wait_until(lambda: _listeners(port) == len(programs), START_S, f"port {port} is open")
        version = f"aiohttp {machine.describe()['versions']['aiohttp']}"
        yield Peer(_url(port), lambda: [program.pid for program in programs], version)


NGINX_CONF = """\
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 1024; multi_accept on; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000000;
  keepalive_timeout 3600;
  open_file_cache max=16;
  default_type {content_type};
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen {address}:{port};
    root {folder}/root;
  }}
}}
"""


@contextmanager
def nginx(stage: Stage, body: bytes, content_type: str) -> Iterator[Peer]:
    """One process serving one static file, /file."""
    binary, port = install.nginx(), free_port()
    folder = BENCH_DIR / "nginx" / "run"
    _written(folder / "root" / "file", body)
    conf = NGINX_CONF.format(folder=folder, content_type=content_type, address=LOOPBACK, port=port)
    argv = [str(binary), "-p", str(folder), "-e", str(folder / "error.log"), "-c"]
    argv.append(str(_written(folder / "nginx.conf", conf.encode())))
    with Program("nginx", argv, stage.logs / "nginx.log") as program:
        program.wait_for_port(port)
        yield Peer(_url(port), lambda: [program.pid], f"nginx {machine.version_of(str(binary), '-v')}")


@contextmanager
def postgis(stage: Stage) -> Iterator[Peer]:
    """/nearby and /tiles, over the tables that the stage has loaded into our own PostgreSQL. Both cores: the database needs
    them, and its work counts."""
    port = free_port()
    stage.warm_peers()
    environment = {"DATABASE_URL": stage.service.database_url}
    with Program(
        "PostGIS peer", _python("postgis", "--port", str(port)), stage.logs / "postgis.log", environment=environment
    ) as program:
        program.wait_for_port(port)
        versions = machine.describe()["versions"]
        yield Peer(
            _url(port),
            lambda: [program.pid, stage.service.postgres_pid()],
            f"PostgreSQL {versions['postgresql']}, PostGIS {versions['postgis']}, asyncpg {versions['asyncpg']}",
            ALL_CORES,
        )


class RedisServer:
    """A Redis with GEOADDed stations and their summaries: started when the first peer needs it, filled once for each state
    of the world."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._program: Program | None = None
        self.port = 0

    def started(self) -> Program:
        if self._program is None:
            self._program = self._start()
        return self._program

    def stop(self) -> None:
        if self._program is not None:
            self._program.stop()

    def _start(self) -> Program:
        if shutil.which("redis-server") is None:
            raise Unavailable("no redis-server")
        stage, self.port = self._stage, free_port()
        folder = stage.service.data_dir / "peer-redis"
        stamp, wanted = folder / "of", (stage.folder / "of").read_text()
        folder.mkdir(exist_ok=True)
        if not stamp.exists() or stamp.read_text() != wanted:
            stamp.unlink(missing_ok=True)
            (folder / "dump.rdb").unlink(missing_ok=True)
        argv = ["redis-server", "--port", str(self.port), "--bind", LOOPBACK, "--save", "", "--appendonly", "no"]
        program = Program("Redis peer", [*argv, "--dir", str(folder)], stage.logs / "redis.log")
        program.start()
        program.wait_for_port(self.port)
        with Resp(self.port) as connection:
            program.wait_until(lambda: connection.one("PING") == b"+PONG", START_S, "Redis has loaded")
            if not stamp.exists():
                stage.say("filling the Redis peer")
                connection.many(_redis_commands(stage.snapshot))
                connection.one("SAVE")
                stamp.write_text(wanted)
        return program


def _redis_commands(snapshot: Snapshot) -> Iterator[Sequence[bytes]]:
    places = zip(snapshot.num.tolist(), snapshot.lat.tolist(), snapshot.lon.tolist(), lines(snapshot), strict=True)
    for num, lat, lon, summary in places:
        member = b"%d" % num
        if abs(lat) < MERCATOR_LAT:
            yield b"GEOADD", KEY.encode(), repr(lon).encode(), repr(lat).encode(), member
        yield b"SET", member, summary


@contextmanager
def redis_geo(stage: Stage, server: RedisServer) -> Iterator[Peer]:
    """/nearby by GEOSEARCH and MGET. Both cores, as Redis and aiohttp are two busy processes."""
    engine, port = server.started(), free_port()
    argv = _python("redis_geo", "--port", str(port), "--redis", str(server.port))
    with Program("Redis peer's HTTP", argv, stage.logs / "redis-http.log") as program:
        program.wait_for_port(port)
        version = f"Redis {machine.describe()['versions']['redis']}"
        yield Peer(_url(port), lambda: [program.pid, engine.pid], version, ALL_CORES)


@contextmanager
def tile38(stage: Stage, server: RedisServer) -> Iterator[Peer]:
    """/nearby by Tile38's NEARBY, the summaries from Redis. Both cores."""
    binary, summaries = install.tile38(), server.started()
    port, http_port, folder = free_port(), free_port(), BENCH_DIR / "tile38" / "data"
    shutil.rmtree(folder, ignore_errors=True)
    argv = [str(binary), "-h", LOOPBACK, "-p", str(port), "-d", str(folder), "-appendonly", "no", "-q"]
    with Program("Tile38", argv, stage.logs / "tile38.log") as engine:
        engine.wait_for_port(port)
        stage.say("filling Tile38")
        with Resp(port) as connection:
            connection.many(
                (b"SET", KEY.encode(), b"%d" % num, b"POINT", repr(lat).encode(), repr(lon).encode())
                for num, lat, lon in zip(
                    *(column.tolist() for column in (stage.snapshot.num, stage.snapshot.lat, stage.snapshot.lon)),
                    strict=True,
                )
            )
        argv = _python("redis_geo", "--port", str(http_port), "--redis", str(server.port), "--tile38", str(port))
        with Program("Tile38's HTTP", argv, stage.logs / "tile38-http.log") as program:
            program.wait_for_port(http_port)
            pids = lambda: [program.pid, summaries.pid, engine.pid]  # noqa: E731
            yield Peer(_url(http_port), pids, f"Tile38 {install.TILE38_VERSION}", ALL_CORES)


@contextmanager
def node(stage: Stage, script: str) -> Iterator[Peer]:
    """nearby.mjs or clusters.mjs, one process on the server's core."""
    folder, port = install.node(), free_port()
    argv = ["node", f"--max-old-space-size={NODE_MEMORY_MB}", str(folder / script), str(port)]
    argv.append(str(stage.snapshot.summaries))
    with Program(f"Node.js {script}", argv, stage.logs / f"{script}.log") as program:
        stage.say(f"Node.js loads its index ({script})")
        program.wait_for_port(port, START_S)
        packages = json.loads((folder / "package.json").read_text())["dependencies"]
        names = ("geokdbush",) if script == "nearby.mjs" else ("supercluster", "vt-pbf")
        told = ", ".join(f"{name} {packages[name]}" for name in names)
        yield Peer(_url(port), lambda: [program.pid], f"Node.js {machine.describe()['versions']['node']}, {told}")


TIPG_TILE = "/collections/bench.tile_station/tiles/WebMercatorQuad/{z}/{x}/{y}"


@contextmanager
def tipg(stage: Stage) -> Iterator[Peer]:
    """tipg as its documentation runs it (uvicorn, with uvloop), over the same narrow table. Both cores."""
    programs, port = install.tipg(), free_port()
    stage.warm_peers()
    environment = {
        "DATABASE_URL": stage.service.database_url,
        "TIPG_DB_SCHEMAS": '["bench"]',
        "TIPG_DB_TABLES": '["bench.tile_station"]',
        "TIPG_TILE_BUFFER": "0",  # ours have no margin either
        "PYTHONPATH": "",
    }
    argv = [
        *(str(programs / "uvicorn"), "tipg.main:app", "--host", LOOPBACK, "--port", str(port), "--no-access-log"),
        *("--workers", str(TIPG_WORKERS), "--log-level", "warning"),
    ]
    with Program("tipg", argv, stage.logs / "tipg.log", environment=environment) as program:
        program.wait_until(lambda: answers(f"{_url(port)}/healthz"), START_S, "tipg answers")
        version = machine.version_of(str(programs / "python"), "-c", "import tipg; print(tipg.__version__)")
        yield Peer(_url(port), lambda: [program.pid, stage.service.postgres_pid()], f"tipg {version}", ALL_CORES)


MARTIN_TILE = "/stations/{z}/{x}/{y}"
MARTIN_CONF = """\
listen_addresses: "{address}:{port}"
worker_processes: {workers}
cache_size_mb: 0
postgres:
  connection_string: "${{DATABASE_URL}}"
  pool_size: 10
  auto_bounds: skip
  auto_publish: false
  tables:
    stations:
      schema: bench
      table: tile_station
      srid: 3857
      geometry_column: geom
      geometry_type: POINT
      id_column: num
      extent: 4096
      buffer: 0
      properties: {{status: int4, free: int4, busy: int4, out_of_service: int4, unknown: int4, total: int4, kw: int4}}
"""


@contextmanager
def martin(stage: Stage) -> Iterator[Peer]:
    """Martin without its tile cache, over the same narrow table. Both cores."""
    binary, port = install.martin(), free_port()
    stage.warm_peers()
    conf = MARTIN_CONF.format(address=LOOPBACK, port=port, workers=os.cpu_count() or 1)
    argv = [str(binary), "--config", str(_written(BENCH_DIR / "martin" / "martin.yaml", conf.encode()))]
    environment = {"DATABASE_URL": stage.service.database_url}
    with Program("Martin", argv, stage.logs / "martin.log", environment=environment) as program:
        program.wait_until(lambda: answers(f"{_url(port)}/health"), START_S, "Martin answers")
        pids = lambda: [program.pid, stage.service.postgres_pid()]  # noqa: E731
        yield Peer(_url(port), pids, f"Martin {install.MARTIN_VERSION}", ALL_CORES)


class Resp:
    """RESP as far as filling a store needs it: commands in a row, answers counted."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((LOOPBACK, port), 120.0)
        self._answers = self._socket.makefile("rb")

    def __enter__(self) -> Resp:
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.close()
        self._socket.close()

    def one(self, *words: str) -> bytes:
        """The first line of the answer."""
        self._socket.sendall(_command([word.encode() for word in words]))
        return self._answers.readline().rstrip()

    def many(self, commands: Iterator[Sequence[bytes]]) -> None:
        """Commands that answer with one line each. RuntimeError at the first error."""
        batch: list[bytes] = []
        for words in commands:
            batch.append(_command(words))
            if len(batch) == PIPELINE:
                self._send(batch)
        self._send(batch)

    def _send(self, batch: list[bytes]) -> None:
        self._socket.sendall(b"".join(batch))
        for _ in batch:
            line = self._answers.readline()
            if not line or line.startswith(b"-"):
                raise RuntimeError(f"answered {line!r}")
        batch.clear()


def _command(words: Sequence[bytes]) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def _written(file: Path, content: bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file
