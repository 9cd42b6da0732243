"""Stands for a role of `mapsvc up`: writes down what happens to it, gets ready, and ends when told to.

fake_role.py DIARY ROLE [ARGUMENT…]      environment FAKE_<ROLE>=crash: ends at once; =stubborn: ignores SIGTERM
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path


def main() -> None:
    diary, role = Path(sys.argv[1]), sys.argv[2]
    mood = os.environ.get(f"FAKE_{role.upper()}", "")

    def note(event: str) -> None:
        with diary.open("a") as file:
            file.write(f"{event} {role} {os.getpid()}\n")

    def end(_number: int, _frame: object) -> None:
        note("stop")
        if mood != "stubborn":
            sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGHUP, lambda _number, _frame: note("renew"))
    note("start")
    if mood == "crash":
        print(f"{role}: it does not work", file=sys.stderr)
        sys.exit(3)
    if role == "generate":
        return
    if os.fork() == 0:  # a worker, which a killed parent leaves behind
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        note("worker")
        time.sleep(120)  # not for ever: a test that fails must not leave it behind
        os._exit(0)
    else:
        print("hello on stdout")
        print(f"ready {role} http://127.0.0.1:{os.environ['PORT']}")
        sys.stdout.flush()
        while True:
            time.sleep(60)


main()
