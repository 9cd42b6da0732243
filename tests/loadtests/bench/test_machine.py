"""What /proc says: CPU of processes and of what they started, memory, cores."""

from __future__ import annotations

import os
import subprocess
import sys

from loadtests.bench import machine

BURN = "import time; t = time.process_time()\nwhile time.process_time() - t < 0.3: pass"
WITH_CHILD = (
    f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}]); print('done', flush=True); input()"
)


def started(program: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_cpu_of_a_process_holds_that_of_children_that_ended() -> None:
    with started(WITH_CHILD) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        used = machine.cpu_s([process.pid])
        assert 0.3 <= used < 5
        assert machine.cpu_s([process.pid, process.pid]) < used + 0.1, (
            "a process counts once, however often it is named"
        )
        process.communicate("\n")
    assert machine.cpu_s([process.pid]) == 0, "who is gone has used nothing"


def test_a_tree_is_a_process_and_all_below_it() -> None:
    with started("import subprocess; subprocess.run(['cat'])") as process:
        while len(found := machine.tree(process.pid)) < 2:
            pass
        assert found[0] == process.pid
        assert machine.command_line(found[1]) == ["cat"] or "python" in machine.command_line(found[1])[0]
        machine.pin(process.pid, [0])
        assert {pid: os.sched_getaffinity(pid) for pid in machine.tree(process.pid)}[process.pid] == {0}
        process.communicate("")


def test_memory_and_times_are_plausible() -> None:
    pid = os.getpid()
    assert 5 < machine.resident_mb(pid) <= machine.peak_mb(pid) < 100_000
    assert len(machine.core_times()) == os.cpu_count()
    assert machine.started_s(pid) > 0


def test_the_machine_describes_itself() -> None:
    told = machine.describe()
    assert told["cores"] == os.cpu_count()
    assert told["cpu"]
    assert told["os"]
    assert {"python", "aiohttp", "numpy"} <= set(told["versions"])


def test_a_version_of_what_is_not_there_is_empty() -> None:
    assert machine.version_of("no-such-program", "--version") == ""
    assert machine.version_of(sys.executable, "--version").startswith("3.")
