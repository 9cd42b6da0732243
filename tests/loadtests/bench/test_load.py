"""wrk: the script that is generated, what is read from its output, who was the bottleneck, and turns."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from loadtests.bench import load
from loadtests.bench.load import Contender, LoadError, Round, Wrk, bottleneck, interleave, parse_wrk, write_script

OUTPUT = """Running 1s test @ http://127.0.0.1:1234
  1 threads and 2 connections

WRK {"requests":120,"seconds":2.0,"bytes":2400,"errors":{"connect":0,"read":0,"write":0,"status":1,"timeout":0},\
"mean_ms":1.5,"p50_ms":1.0,"p95_ms":2.0,"p99_ms":3.5,"max_ms":9.0}
"""


def wrk(requests: int = 100, seconds: float = 1.0, failed: int = 0) -> Wrk:
    return Wrk(requests, seconds, 1000, {"status": failed}, 1.0, 1.0, 2.0, 3.0, 4.0)


def test_wrks_own_line_is_read() -> None:
    told = parse_wrk(OUTPUT)
    assert (told.requests, told.seconds, told.p99_ms, told.failed) == (120, 2.0, 3.5, 1)


def test_output_without_that_line_is_an_error_that_shows_it() -> None:
    with pytest.raises(LoadError, match="unable to connect"):
        parse_wrk("unable to connect to 127.0.0.1:1 Connection refused")


def test_a_round_knows_rate_cost_and_how_busy_all_were() -> None:
    one = Round(wrk(2000, 2.0), server_cpu_s=1.0, load_cpu_s=0.5, others_s=0.1)
    assert (one.req_s, one.cpu_us, one.busy(1), one.busy(2)) == (1000, 500, (0.5, 0.25), (0.25, 0.25))


@pytest.mark.parametrize(
    ("server_cpu_s", "load_cpu_s", "cores", "who"),
    [
        (0.97, 0.5, 1, "server"),
        (0.6, 0.98, 1, "load"),
        (0.5, 0.5, 1, "neither (server 50 %, load 50 %, others 10 % of a core)"),
        (1.95, 0.1, 2, "server, both cores"),
        (1.7, 0.28, 2, "both cores, 14 % of it load"),
    ],
)
def test_the_bottleneck_is_who_had_nothing_left(server_cpu_s: float, load_cpu_s: float, cores: int, who: str) -> None:
    assert bottleneck([Round(wrk(), server_cpu_s, load_cpu_s, 0.1)], cores) == who


def test_the_script_reads_its_paths_from_a_file_beside_it(tmp_path: Path) -> None:
    script = write_script(tmp_path, "some", ["/a?b=1", "/c"], {"Accept-Encoding": "gzip"})
    assert (tmp_path / "some.paths").read_text() == "/a?b=1\n/c\n"
    assert f"io.lines({json.dumps(str(tmp_path / 'some.paths'))})" in script.read_text()
    assert 'headers["Accept-Encoding"] = "gzip"' in script.read_text()


@pytest.mark.parametrize("paths", [[], ["a"], ["/a\n/b"]])
def test_what_is_no_path_is_refused(tmp_path: Path, paths: list[str]) -> None:
    with pytest.raises(ValueError, match=r"path|nothing"):
        write_script(tmp_path, "bad", paths)


def test_a_header_cannot_break_out_of_the_script(tmp_path: Path) -> None:
    assert r'"\"]os.exit()--"' in write_script(tmp_path, "x", ["/"], {'"]os.exit()--': "1"}).read_text()
    with pytest.raises(ValueError, match="script"):
        write_script(tmp_path, "x", ["/"], {"a": "b\nc"})


def test_contenders_take_turns_and_a_peer_that_fails_falls_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    order: list[str] = []

    def one_round(contender: Contender, seconds: int, folder: Path) -> Round:
        order.append(contender.name)
        if contender.name == "broken" and order.count("broken") > 1:
            raise LoadError("broken: 3 answers\nand more")
        return Round(wrk(), 1.0, 0.1, 0.0)

    monkeypatch.setattr(load, "one_round", one_round)
    a, b = (Contender(name, "http://x", ["/"], list) for name in "ab")
    broken = Contender("broken", "http://x", ["/"], list, required=False)
    fallen = interleave([a, broken, b], rounds=2, seconds=1, folder=tmp_path, pause_s=0)
    assert order == ["a", "broken", "b", "a", "broken", "b", "a", "b"]
    assert (len(a.rounds), len(b.rounds), fallen) == (2, 2, {"broken": "broken: 3 answers"})
    with pytest.raises(LoadError):
        interleave([Contender("broken", "http://x", ["/"], list)], rounds=1, seconds=1, folder=tmp_path, pause_s=0)


def test_a_contenders_figures_are_medians_with_their_range() -> None:
    one = Contender("ours", "http://x", ["/"], list, remark="of 2026")
    one.rounds = [Round(wrk(n), 1.0, 0.1, 0.0) for n in (100, 300, 200)]
    figures = one.figures()
    assert figures["req/s"] == (200, 100, 300)
    assert figures["bytes"] == 5
    assert (figures["bottleneck"], figures["cores"], figures["remark"]) == ("server", "one", "of 2026")


class Heard(BaseHTTPRequestHandler):
    paths: list[str]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.paths.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    paths: list[str] = []
    handler = type("Hearing", (Heard,), {"paths": paths})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", paths
        server.shutdown()
        thread.join()


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed; `make bench` asks for it")
def test_wrk_walks_through_all_paths_and_makes_new_ones_of_n(tmp_path: Path, server: tuple[str, list[str]]) -> None:
    url, heard = server
    contender = Contender("ours", url, ["/a", "/b{n}c"], list, connections=1)
    assert load.one_round(contender, 1, tmp_path).wrk.requests > 1
    fresh = [path for path in heard if path != "/a"]
    assert abs(heard.count("/a") - len(fresh)) <= 1, "not in turns"
    assert all(path.startswith("/b") and path.endswith("c") and "{" not in path for path in fresh)
    assert len(set(fresh)) == len(fresh)
    before = len(heard)
    load.one_round(contender, 1, tmp_path)
    assert not set(heard[:before]) & set(heard[before:]) - {"/a"}, "a number was used again"
