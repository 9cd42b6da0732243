"""Where a run meets Locust: its events, its messages between processes, its shape, its exit code.

The master (or the only process) has a Controller, every worker (or the only process) a Generator. The first sends
`load_prepare` with what the survey found and which part of the plan is whose, waits for everybody's `load_ready`, has Locust
open the connections, and sends `load_start` with the instant at which the plan begins. Frames come back inside Locust's own
reports.
"""

from __future__ import annotations

import logging
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypedDict

import gevent
from flask import Response
from locust import LoadTestShape, User, runners
from locust.env import Environment
from locust.runners import LocalRunner, MasterRunner, WorkerRunner

from loadtests.controller import Controller, summary, write
from loadtests.generator import Generator
from loadtests.lean import Target
from loadtests.live_users import DRIVERS, Live, LiveUser
from loadtests.locust_stats import feed
from loadtests.locust_users import FastUser, LeanUser, LoadUser
from loadtests.mixes import MIXES
from loadtests.options import Options
from loadtests.recorder import SESSION, Frame, Recorder, Row
from loadtests.survey import SurveyError

SPAWN_PER_S = 100  # connections, of each load generator
READY_S, POLL_S = 60.0, 0.05  # for workers to turn what the survey found into requests
REFUSED, MISSED = 2, 1  # exit codes: the run could not be made; a threshold did not hold
LOCAL = "local"

runners.WORKER_REPORT_INTERVAL = 1.0  # seconds; Locust's own 3 would make a ramp end late

log = logging.getLogger(__name__)

Tick = tuple[int, float, list[type[User]]]


class Told(TypedDict):
    """What a load generator reports. `finished`: there is no more to come of this run."""

    run: int
    frames: list[Frame]
    finished: bool


class Performer:
    """The side that makes the load."""

    def __init__(self, environment: Environment) -> None:
        runner = environment.runner
        assert isinstance(runner, WorkerRunner | LocalRunner)
        self._environment, self._runner = environment, runner
        self._generator: Generator | None = None
        self._run = 0  # which of the conductor's runs this is
        self._frames: list[Frame] = []
        runner.register_message("load_prepare", self._prepare)
        runner.register_message("load_start", self._start)
        environment.events.test_stop.add_listener(self._stop)  # before the conductor's
        environment.events.report_to_master.add_listener(self._report)

    def take(self) -> Told:
        """What has not been told yet."""
        frames = self._frames.copy()
        self._frames.clear()
        return {
            "run": self._run,
            "frames": frames,
            "finished": self._generator is not None and self._generator.finished,
        }

    def _prepare(self, msg: Any, **_: Any) -> None:
        error = ""
        try:
            self._make(msg.data)
        except (SurveyError, ValueError, OSError) as found:
            error = str(found)
        self._runner.send_message("load_ready", {"position": msg.data["position"], "error": error})

    def _make(self, said: dict[str, Any]) -> None:
        """Prepared requests, and a generator that waits for its start. Raises SurveyError, ValueError or OSError."""
        self._run = said["run"]
        self._frames.clear()
        options, target = Options.of(said["options"]), Target.of(said["url"])
        mix = MIXES[options.mix]
        recorder = Recorder(mix.session)
        recorder.heard = self._hear_session if options.client == "fast" else self._hear
        LoadUser.scripts = mix.scripts(target, options, recorder, said["material"])
        LoadUser.generator = self._generator = Generator(
            options, target, recorder, said["position"], said["of"], self._frames.append
        )
        if options.mix == "live":
            LiveUser.shared = Live(self._generator, said["material"])

    def _start(self, msg: Any, **_: Any) -> None:
        assert self._generator is not None
        self._generator.start(msg.data["zero_epoch_s"])

    def _hear(self, row: Row) -> None:
        feed(self._environment.stats, row)

    def _hear_session(self, row: Row) -> None:
        """Locust's own client has told of the requests already."""
        if row.method == SESSION:
            feed(self._environment.stats, row)

    def _report(self, data: dict[str, Any], **_: Any) -> None:
        data["load"] = self.take()

    def _stop(self, **_: Any) -> None:
        if self._generator is not None:
            self._generator.stop()


class Conductor:
    """The controlling side."""

    def __init__(self, environment: Environment, performer: Performer | None) -> None:
        """`performer`: in this very process, if it is the only one."""
        runner = environment.runner
        assert isinstance(runner, MasterRunner | LocalRunner)
        self._environment, self._runner = environment, runner
        self._performer = performer
        self._run = 0
        self._ready: dict[int, str] = {}  # by position: an error, or nothing
        runner.register_message("load_ready", self._note_ready)
        self._last_words: list[str] = []
        self.page: Path | None = None  # the last report
        self._controller: Controller | None = None
        self._tick: Tick | None = None
        environment.events.spawning_complete.add_listener(self._start)
        environment.events.test_stop.add_listener(self._finish)
        environment.events.worker_report.add_listener(self._collect)
        environment.events.quitting.add_listener(
            self._finish
        )  # before Locust looks at the exit code, however it is ended
        environment.events.quit.add_listener(self._say_last_words)

    def tick(self) -> Tick | None:
        """How many users of which classes; None ends the run."""
        if self._controller is None:
            try:
                self._tick = self._prepare()
            except (SurveyError, ValueError, OSError) as error:
                log.error("load: %s", error)  # the web page shows the log
                self._environment.process_exit_code = REFUSED
                return None
        assert self._controller is not None
        self._collect_here(self._controller)
        return None if self._controller.over() else self._tick

    def _collect(self, client_id: str, data: dict[str, Any]) -> None:
        told: Told | None = data.get("load")
        if self._controller is not None and told is not None and told["run"] == self._run:
            self._controller.collect(client_id, told["frames"], told["finished"])

    def _collect_here(self, controller: Controller) -> None:
        if self._performer is not None:
            told = self._performer.take()
            controller.collect(LOCAL, told["frames"], told["finished"])

    def _prepare(self) -> Tick:
        runner, url = self._runner, self._environment.host
        if not url:
            raise ValueError("which host? (--host, or the field in the web page)")
        options = Options.of(vars(self._environment.parsed_options))
        names = [client.id for client in runner.clients.ready] if isinstance(runner, MasterRunner) else [LOCAL]
        if not names:
            raise ValueError("no worker has connected")
        controller = Controller(options, url, names, MIXES[options.mix].survey, say)
        self._ready.clear()
        self._run += 1
        for position, name in enumerate(names):
            message = {
                "run": self._run,
                "options": asdict(options),
                "url": url,
                "position": position,
                "of": len(names),
                "material": controller.material,
            }
            runner.send_message("load_prepare", message, name)
        self._await_ready(len(names))
        self._controller = controller
        kind: type[User] = FastUser if options.client == "fast" else LeanUser
        count = options.connections
        if options.mix == "live":
            drivers = max(DRIVERS, len(names)) if controller.material["roads"] else 0
            kind, count = LiveUser, options.producers + options.subscribers + drivers
        return max(count, len(names)), float(SPAWN_PER_S * len(names)), [kind]

    def _note_ready(self, msg: Any, **_: Any) -> None:
        self._ready[msg.data["position"]] = msg.data["error"]

    def _await_ready(self, count: int) -> None:
        """Raises ValueError."""
        waited_s = 0.0
        while len(self._ready) < count:
            if waited_s > READY_S:
                raise ValueError(f"{count - len(self._ready)} of {count} workers did not get ready; see their logs")
            gevent.sleep(POLL_S)
            waited_s += POLL_S
        if errors := sorted(filter(None, self._ready.values())):
            raise ValueError(errors[0])

    def _start(self, **_: Any) -> None:
        if self._controller is not None and not self._controller.started:
            self._runner.send_message("load_start", {"zero_epoch_s": self._controller.start()})

    def _finish(self, **_: Any) -> None:
        controller, self._controller = self._controller, None
        if controller is None or not controller.started:
            return
        self._collect_here(controller)
        told = controller.finish()
        self._environment.process_exit_code = 0 if told["passed"] else MISSED
        words = summary(told)
        if controller.options.report:
            try:
                self.page = write(told, Path(controller.options.report))
                words.insert(-1, f"load: report: {self.page}")
            except (OSError, subprocess.CalledProcessError) as error:
                words.insert(-1, f"load: the report could not be made: {error}")
                self._environment.process_exit_code = REFUSED
        self._last_words = words
        options = self._environment.parsed_options
        if options is None or not options.headless:
            self._say_last_words()

    def _say_last_words(self, **_: Any) -> None:
        """Without the web page: behind Locust's tables."""
        for line in self._last_words:
            say(line)
        self._last_words = []


class Arrivals(LoadTestShape):
    """Locust's shape only opens and closes the connections: when sessions arrive is the plan's business."""

    def tick(self) -> Tick | None:
        assert _conductor is not None
        return _conductor.tick()


_conductor: Conductor | None = None


def take_part(environment: Environment, runner: Any, web_ui: Any, **_: Any) -> None:
    """Listener of Locust's `init`: gives the process its part."""
    global _conductor
    performer = None if isinstance(runner, MasterRunner) else Performer(environment)
    if not isinstance(runner, WorkerRunner):
        _conductor = Conductor(environment, performer)
    if web_ui is not None:
        web_ui.app.add_url_rule("/load-report", "load_report", _last_report)


def _last_report() -> Any:
    """The report of the run before, beside Locust's web page."""
    if _conductor is None or _conductor.page is None:
        return Response("No run has ended yet.\n", 404, mimetype="text/plain")
    return Response(_conductor.page.read_text(), mimetype="text/html")


def say(line: str) -> None:
    print(line, flush=True)
