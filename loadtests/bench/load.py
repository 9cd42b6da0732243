"""Load by wrk, contenders in turns, and what the turns cost the server.

wrk is a closed loop: a connection asks again once it is answered, so it finds how much a server can do, and its latencies
are those at that rate. A generated Lua script walks through prepared requests and goes on, round after round, where the
last one stopped: no question is asked twice before all were asked. `{n}` in a path becomes a number that is never used
again: a question that no cache can know.

CPU-µs per request are the server's own (user + system, /proc) over a round, divided by the requests of the round.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from loadtests.bench import machine
from loadtests.bench.stats import Spread, percentile, spread

SERVER_CORES = (0,)
LOAD_CORES = (1,)
ALL_CORES = tuple(range(os.cpu_count() or 1))
BUSY = 0.95  # a core that is busier than this is what limits
CONNECTIONS = 32
GRACE_S = 30.0

SCRIPT = """\
-- Walks through prepared requests; the first argument says where to begin and from where {n} counts.
local prepared, count, at, fresh = {}, 0, 0, 0
local headers = {}
HEADERS
init = function(arguments)
  at, fresh = tonumber(arguments[1]) or 0, tonumber(arguments[1]) or 0
  for path in io.lines(PATHS) do
    count = count + 1
    local text = wrk.format("GET", path, headers)
    local from, to = text:find("{n}", 1, true)
    prepared[count] = from and { text:sub(1, from - 1), text:sub(to + 1) } or text
  end
end
request = function()
  local one = prepared[at % count + 1]
  at = at + 1
  if type(one) == "string" then return one end
  fresh = fresh + 1
  return one[1] .. string.format("%d", fresh) .. one[2]
end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\nWRK {"requests":%d,"seconds":%.6f,"bytes":%d,"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d},' ..
    '"mean_ms":%.4f,"p50_ms":%.4f,"p95_ms":%.4f,"p99_ms":%.4f,"max_ms":%.4f}\\n',
    summary.requests, summary.duration / 1e6, summary.bytes, e.connect, e.read, e.write, e.status, e.timeout,
    latency.mean / 1e3, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3,
    latency.max / 1e3))
end
"""


class LoadError(RuntimeError):
    """wrk failed, or was not answered as it should."""


@dataclass(frozen=True)
class Wrk:
    """What wrk says of one run."""

    requests: int
    seconds: float
    bytes: int
    errors: Mapping[str, int]
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float

    @property
    def failed(self) -> int:
        return sum(self.errors.values())


@dataclass(frozen=True)
class Round:
    wrk: Wrk
    server_cpu_s: float
    load_cpu_s: float
    others_s: float  # what everybody else used of all cores meanwhile, the hypervisor's other guests included

    @property
    def req_s(self) -> float:
        return self.wrk.requests / self.wrk.seconds

    @property
    def cpu_us(self) -> float:
        return 1e6 * self.server_cpu_s / self.wrk.requests

    def busy(self, cores: int) -> tuple[float, float]:
        """Server and load generator, 1.0: all that their cores have."""
        return self.server_cpu_s / self.wrk.seconds / cores, self.load_cpu_s / self.wrk.seconds


@dataclass
class Contender:
    """Somebody who answers. `pids`: the processes that do the work, all of them. `cores`: where they run; a contender
    on all cores shares them with the load generator, as peers with a database behind them do."""

    name: str
    url: str
    paths: Sequence[str]
    pids: Callable[[], Sequence[int]]
    cores: Sequence[int] = SERVER_CORES
    headers: Mapping[str, str] = field(default_factory=dict)
    connections: int = CONNECTIONS
    remark: str = ""
    required: bool = True  # a peer that fails is left out with the reason; if we fail, the step does
    rounds: list[Round] = field(default_factory=list)
    script: Path | None = None
    asked: int = 0

    @property
    def load_cores(self) -> Sequence[int]:
        return LOAD_CORES if tuple(self.cores) == SERVER_CORES else ALL_CORES

    def pin(self) -> None:
        for pid in self.pids():
            machine.pin(pid, self.cores)

    def req_s(self) -> list[float]:
        return [one.req_s for one in self.rounds]

    def cpu_us(self) -> list[float]:
        return [one.cpu_us for one in self.rounds]

    def figures(self) -> dict[str, Spread | float | str]:
        """The columns that every contender has."""
        return {
            "req/s": spread(self.req_s()),
            "CPU-µs": spread(self.cpu_us()),
            "p50 ms": round(percentile([one.wrk.p50_ms for one in self.rounds], 50), 3),
            "p99 ms": round(percentile([one.wrk.p99_ms for one in self.rounds], 50), 3),
            "bytes": round(sum(r.wrk.bytes for r in self.rounds) / sum(r.wrk.requests for r in self.rounds)),
            "connections": self.connections,
            "cores": "both" if len(self.cores) > 1 else "one",
            "bottleneck": bottleneck(self.rounds, len(self.cores)),
            **({"remark": self.remark} if self.remark else {}),
        }


def bottleneck(rounds: Sequence[Round], cores: int) -> str:
    """Who was busy to the limit, in the median round."""
    busy = [one.busy(cores) for one in rounds]
    server, load = percentile([b[0] for b in busy], 50), percentile([b[1] for b in busy], 50)
    if server >= BUSY:
        return "server" if cores == 1 else "server, both cores"
    if cores > 1 and server * cores + load >= BUSY * cores:
        return f"both cores, {100 * load / (server * cores + load):.0f} % of it load"
    if load >= BUSY:
        return "load"
    others = percentile([one.others_s / one.wrk.seconds for one in rounds], 50)
    return f"neither (server {100 * server:.0f} %, load {100 * load:.0f} %, others {100 * others:.0f} % of a core)"


def write_script(folder: Path, name: str, paths: Sequence[str], headers: Mapping[str, str] | None = None) -> Path:
    """The Lua script that asks these paths, and beside it the file that it reads them from."""
    if not paths:
        raise ValueError("nothing to ask")
    folder.mkdir(parents=True, exist_ok=True)
    listed = folder / f"{name}.paths"
    if any("\n" in path or not path.startswith("/") for path in paths):
        raise ValueError("a path begins with / and is one line")
    listed.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
    script = folder / f"{name}.lua"
    lines = [f"headers[{_quoted(key)}] = {_quoted(value)}" for key, value in (headers or {}).items()]
    script.write_text(
        SCRIPT.replace("HEADERS", "\n".join(lines)).replace("PATHS", _quoted(str(listed))), encoding="utf-8"
    )
    return script


def _quoted(text: str) -> str:
    """A Lua string: JSON's escapes are Lua's as long as everything is printable ASCII."""
    if not text.isascii() or not text.isprintable():
        raise ValueError(f"{text!r} cannot stand in a script")
    return json.dumps(text)


def parse_wrk(output: str) -> Wrk:
    """LoadError if wrk did not come to its end."""
    for line in output.splitlines():
        if line.startswith("WRK "):
            return Wrk(**json.loads(line[4:]))
    raise LoadError(f"wrk says:\n{output.strip()[-2000:]}")


def run_wrk(
    url: str, script: Path, seconds: int, connections: int, cores: Sequence[int], begin: int = 0
) -> tuple[Wrk, float]:
    """One run on these cores; and the CPU seconds that wrk itself took."""
    base = urlsplit(url)
    argv = [
        *("setpriv", "--pdeathsig=KILL", "--", "taskset", "-c", ",".join(map(str, cores))),
        *(shutil.which("wrk") or "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"),
        *("-s", str(script), f"{base.scheme}://{base.netloc}", "--", str(begin)),
    ]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: S603
    assert process.stdout is not None
    output = process.stdout.read()
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode:
        raise LoadError(f"wrk ended with {process.returncode}:\n{output.strip()[-2000:]}")
    return parse_wrk(output), usage.ru_utime + usage.ru_stime


def one_round(contender: Contender, seconds: int, folder: Path) -> Round:
    """LoadError if a single request failed: a wrong answer given fast is no figure."""
    if contender.script is None:
        name = "".join(c if c.isalnum() else "-" for c in f"{contender.name.lower()}-{urlsplit(contender.url).port}")
        contender.script = write_script(folder, name, contender.paths, contender.headers)
    pids = contender.pids()
    in_use = sum(map(sum, machine.core_times()))
    before = machine.cpu_s(pids)
    wrk, load_cpu_s = run_wrk(
        contender.url, contender.script, seconds, contender.connections, contender.load_cores, contender.asked
    )
    used = machine.cpu_s(pids) - before
    # Those in flight at the end were asked, too, and one that wrk only reads before it begins.
    contender.asked += wrk.requests + contender.connections + 1
    if wrk.failed or not wrk.requests:
        raise LoadError(f"{contender.name}: {wrk.requests} answers, errors {dict(wrk.errors)}")
    others_s = sum(map(sum, machine.core_times())) - in_use - used - load_cpu_s
    return Round(wrk, used, load_cpu_s, max(0.0, others_s))


def interleave(
    contenders: Sequence[Contender],
    *,
    rounds: int,
    seconds: int,
    folder: Path,
    warm_up_s: int = 1,
    pause_s: float = 0.1,
    say: Callable[[str], None] = lambda _text: None,
) -> dict[str, str]:
    """A B C A B C …: every contender's `rounds` are filled. Returns who fell out, and why."""
    fallen: dict[str, str] = {}

    def turn(one: Contender, length_s: int) -> Round | None:
        try:
            return one_round(one, length_s, folder)
        except LoadError as error:
            if one.required:
                raise
            fallen[one.name] = str(error).splitlines()[0]
            return None

    for one in contenders:
        one.pin()
        turn(one, warm_up_s)
    for number in range(rounds):
        told = []
        for one in contenders:
            time.sleep(pause_s)
            if one.name not in fallen and (done := turn(one, seconds)):
                one.rounds.append(done)
                told.append(f"{one.name} {done.req_s:,.0f}/s")
        say(f"round {number + 1} of {rounds}: {', '.join(told)}")
    return fallen
