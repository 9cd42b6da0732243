"""The live mix: subscribers that stay, producers of status updates whose batches arrive by the plan, and where the target has
roads some sessions of the roads mix, by a plan of their own."""

from __future__ import annotations

import itertools
import json
import random
import time
from typing import ClassVar

import gevent

from loadtests import road_mix
from loadtests.generator import Generator
from loadtests.http1 import HttpError
from loadtests.lean import Connection
from loadtests.live import WELL, Evse, Reporter, Watch, box_around, now_rfc3339, outcomes_of
from loadtests.live_survey import key
from loadtests.locust_users import LoadUser
from loadtests.mixes import Material
from loadtests.plan import Plan
from loadtests.recorder import BESIDE, STREAM, Row
from loadtests.session import describe, run_session
from loadtests.sse import Events, data_of

WATCHERS = 32  # subscribers of a load generator that read closely, above EVSEs that can be followed
OPENED_PER_S = 100  # subscriptions, of all load generators together
PATIENCE_S = 40.0  # a stream that is silent for longer is dead: the server says something every 15 s
DRIVERS = 4  # connections of all load generators together on which sessions of the roads mix are
AGAIN_S = 1.0  # until the next try after a stream has ended


class Live:
    """What the live users of a load generator share."""

    def __init__(self, generator: Generator, material: Material) -> None:
        """Raises SurveyError without a key."""
        options, recorder = generator.options, generator.recorder
        self.authorization = f"Bearer {key()}"
        self.snapshot = recorder.row(Row("live snapshot", STREAM))
        self.event = recorder.row(Row("live event", STREAM))
        self.status = recorder.row(Row("status", "POST"))
        self.watch = Watch(self.event)
        generator.every_second = self.watch.give_up
        mine = slice(generator.position, None, generator.of)
        all_evses = [Evse(*values) for values in material["evses"]]
        evses = all_evses[mine] or all_evses
        producers = min(len(evses), len(range(options.producers)[mine]) or 1)
        self._reporters = [Reporter(evses[k::producers], options.seed) for k in range(producers)]
        followed = [(evse.lat, evse.lon, True) for evse in evses if evse.alone][:WATCHERS]
        self._centres = itertools.chain(followed, ((*spot, False) for spot in itertools.cycle(material["spots"])))
        self.drives = Drives(generator, material["roads"]) if material["roads"] else None
        self._random = random.Random(options.seed * 1000 + generator.position)  # noqa: S311 (a repeatable load)
        self._opening_s = min(options.duration_s / 2, options.subscribers / OPENED_PER_S)

    def next_reporter(self) -> Reporter | None:
        """For a user that has just begun: the first ones are producers, the next ones drive, all others subscribe."""
        return self._reporters.pop() if self._reporters else None

    def next_centre(self) -> tuple[float, float, bool]:
        """Where the next subscriber looks, and whether it reads closely."""
        return next(self._centres)

    def next_opening_s(self) -> float:
        """When, in the run, the next subscriber opens its stream."""
        return self._random.uniform(0.0, self._opening_s)


class Drives:
    """Sessions of the roads mix, by a plan of their own: whoever drives knows nothing of who reports. `drivers`: users that are
    still to become some."""

    def __init__(self, generator: Generator, material: Material) -> None:
        options, recorder = generator.options, generator.recorder
        self.session = recorder.row(Row("road session", BESIDE))
        others = len(recorder.rows)
        self.scripts = road_mix.scripts(generator.target, options, recorder, material)
        for row in recorder.rows[others:]:
            row.apart = True
        plan = Plan("steady", options.road_rate, options.duration_s, warm_up_s=options.warm_up, seed=options.seed + 1)
        self.arrivals = plan.instants(generator.position, generator.of)
        self.drivers = len(range(DRIVERS)[generator.position :: generator.of]) or 1


class LiveUser(LoadUser):
    abstract = False
    shared: ClassVar[Live]

    def serve(self) -> None:
        reporter = self.shared.next_reporter()
        if reporter is not None:
            self._produce(reporter)
        elif self.shared.drives is not None and self.shared.drives.drivers:
            self.shared.drives.drivers -= 1
            self._drive(self.shared.drives)
        else:
            self._subscribe()

    # -- status producers -------------------------------------------------------------------------------------------------

    def _produce(self, reporter: Reporter) -> None:
        generator = self.generator
        connection = self.connect()
        generator.wait_for_start()
        generator.serve(lambda _: self._post(connection, reporter))

    def _post(self, connection: Connection, reporter: Reporter) -> bool:
        """One batch; whether each of its updates was applied or confirmed."""
        generator, shared = self.generator, self.shared
        row, counts = shared.status, generator.recorder.counts
        updates = reporter.batch(generator.options.batch)
        at = now_rfc3339()
        body = json.dumps([update.told(at) for update in updates]).encode()
        request = generator.target.request(
            "/v1/status", "POST", body, Authorization=shared.authorization, Content_Type="application/json"
        )
        for update in updates:
            shared.watch.sent(update)
        began = time.perf_counter()
        try:
            status = connection.ask(request)
            row.times.append(time.perf_counter() - began)
            if status != 200:
                raise ValueError(f"answered {status}")
            row.bytes += connection.length
            outcomes = outcomes_of(connection.body(), len(updates))
        except (HttpError, OSError, ValueError) as error:
            if not isinstance(error, ValueError):
                row.times.append(time.perf_counter() - began)
            row.fail(str(error) if isinstance(error, ValueError) else describe(error))
            counts["updates without an answer"] += len(updates)
            return False
        for update, outcome in zip(updates, outcomes, strict=True):
            shared.watch.acked(update, outcome)
            counts[f"updates {outcome}"] += 1
            if outcome not in WELL:
                row.fail(f"outcome {outcome}")
        return WELL.issuperset(outcomes)

    # -- drivers ----------------------------------------------------------------------------------------------------------

    def _drive(self, drives: Drives) -> None:
        generator, connection = self.generator, self.connect()
        generator.wait_for_start()
        for number, due_s in drives.arrivals:
            gevent.sleep(max(0.0, due_s - generator.elapsed_s))
            well = run_session(connection, drives.scripts[number % len(drives.scripts)])
            if due_s >= 0:
                drives.session.times.append(generator.elapsed_s - due_s)
                if not well:
                    drives.session.fail("a request of it failed")

    # -- subscribers ------------------------------------------------------------------------------------------------------

    def _subscribe(self) -> None:
        """Opens a stream at its time and reads it for ever; one that ends is taken up again where it was, as browsers do."""
        generator, shared = self.generator, self.shared
        lat, lon, closely = shared.next_centre()
        path, last_id = f"/v1/live?bbox={box_around(lat, lon)}", b""
        connection = self.connect(PATIENCE_S)
        generator.wait_for_start()
        gevent.sleep(max(0.0, shared.next_opening_s() - generator.elapsed_s))
        if closely:
            shared.watch.over(lat, lon)
        while True:
            try:
                last_id = self._read(connection, path, last_id, closely)
                generator.recorder.counts["streams ended"] += 1
            except (HttpError, OSError) as error:
                shared.snapshot.fail(describe(error))
            connection.close()
            gevent.sleep(AGAIN_S)

    def _read(self, connection: Connection, path: str, last_id: bytes, closely: bool) -> bytes:
        """Until the stream ends; its last id. Raises HttpError or OSError."""
        shared, counts = self.shared, self.generator.recorder.counts
        began = time.perf_counter()
        fields = {"Accept": "text/event-stream"} | ({"Last_Event_ID": last_id.decode()} if last_id else {})
        request = self.generator.target.head(path, encoding="identity", **fields) + b"\r\n"
        if (status := connection.stream(request)) != 200:
            raise HttpError(f"answered {status}")
        events = Events(b"chunked" in connection.field(b"transfer-encoding").lower())
        whole = bool(last_id)
        while data := connection.read():
            shared.snapshot.bytes += 0 if whole else len(data)
            for block in events.feed(data):
                change = data_of(block, b"change")
                if change is not None:
                    counts["events change"] += 1
                    if closely:
                        shared.watch.told(change)
                elif block.startswith(b"event: leave"):
                    counts["events leave"] += 1
                elif (
                    not whole and (page := data_of(block, b"snapshot")) is not None and page.endswith(b'"more":false}')
                ):
                    whole = True
                    shared.snapshot.times.append(time.perf_counter() - began)
        return events.last_id
