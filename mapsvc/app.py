"""One API worker, as a table of contents: the world, what is made of it, and who may ask for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from cache.client import Cache
from cache.replica import Replica
from geo.world import World
from mapsvc.bodies import Bodies
from mapsvc.body import BODY_BYTES
from mapsvc.connections import Connections
from mapsvc.express import Express
from mapsvc.forward import Forwarder
from mapsvc.guard import Guard
from mapsvc.health import Health
from mapsvc.limits import RateLimit
from mapsvc.live.handler import Live
from mapsvc.live.history import Positions
from mapsvc.live.hub import Hub
from mapsvc.live.query import LIVE
from mapsvc.metrics import Metrics
from mapsvc.openapi.reads import PROBES, READS
from mapsvc.openapi.roads import ROADS
from mapsvc.openapi.serving import Documentation
from mapsvc.openapi.writes import WRITES
from mapsvc.page.serving import MapPage
from mapsvc.reading import Reader
from mapsvc.roads.client import RoadsClient
from mapsvc.roads.drive_time import DriveTimes
from mapsvc.roads.handlers import Roads
from mapsvc.roads.snapping import Snaps
from mapsvc.settings import Settings
from mapsvc.summary import SUMMARY, Summary
from mapsvc.tiles import Tiles


@dataclass(frozen=True)
class Worker:
    """The parts of a worker that outlive a request."""

    world: World
    replica: Replica
    tiles: Tiles
    bodies: Bodies
    health: Health
    live: Live
    connections: Connections
    application: web.Application


def build(settings: Settings, metrics: Metrics, base_url: str) -> Worker:
    # What the world looks like, and how it stays true
    world = World()
    replica = Replica(settings.redis_url or "", world)

    # What is made of it
    tiles = Tiles(world)
    bodies = Bodies(world)

    hub = Hub(
        world,
        bodies,
        tiles,
        lambda: Positions(replica.settled_epoch, replica.ns, replica.data_clock_ms),
        replica.now_ms,
    )

    # The roads between
    valhalla = RoadsClient(
        settings.data_dir, settings.valhalla_url, lambda reason: metrics.count("mapsvc_roads_away", reason=reason)
    )
    snaps = Snaps(valhalla)
    drive_times = DriveTimes(world, replica.now_ms, valhalla, snaps)

    # Who may ask for what
    reader = Reader(world, tiles, bodies, replica.now_ms, lambda: replica.ready, base_url, drive_times)
    roads = Roads(world, bodies, valhalla, snaps, replica.now_ms, lambda: replica.ready, base_url)
    health = Health(replica, replica.now_ms, Cache(settings.redis_url or ""))
    summary = Summary(replica, health.data_age_s)
    forwarder = Forwarder(settings.ingest_url)
    guard = Guard(metrics, RateLimit(settings.rate_limit))
    page = MapPage(settings.map_style_url)
    documentation = Documentation((*READS, LIVE, *ROADS, *WRITES, SUMMARY, *PROBES), base_url)
    connections = Connections(metrics, settings.connections_per_address)
    connections.at_once = Express(reader, guard)
    live = Live(world, bodies, hub, lambda: replica.ready, connections.draining)

    application = web.Application(client_max_size=BODY_BYTES, middlewares=[guard.middleware()])
    application.add_routes([*reader.routes(), *live.routes(), *roads.routes(), *summary.routes()])
    application.add_routes([*forwarder.routes(), *health.routes(), *documentation.routes(), *page.routes()])
    application.cleanup_ctx.append(forwarder.run)
    application.cleanup_ctx.append(reader.run)
    application.cleanup_ctx.append(roads.run)
    application.cleanup_ctx.append(summary.run)
    application.cleanup_ctx.append(health.run)
    application.cleanup_ctx.append(live.run)

    # What can be seen from outside
    gauges: dict[str, Callable[[], float]] = {
        "mapsvc_replica_stations": lambda: float(world.station_count),
        "mapsvc_replica_evses": lambda: float(world.evses.size),
        "mapsvc_replica_ready": lambda: float(replica.ready),
        "mapsvc_replica_epoch": lambda: float(replica.epoch),
        "mapsvc_replica_gaps_total": lambda: float(replica.gaps),
        "mapsvc_replica_applied_rows_total": lambda: float(replica.applied_rows),
        "mapsvc_replica_lag_seconds": lambda: replica.lag_ms / 1000,
        "mapsvc_data_age_seconds": health.silent_s,
        "mapsvc_tile_cache_bytes": lambda: float(tiles.cached_bytes),
        "mapsvc_live_subscribers": lambda: float(hub.size),
        "mapsvc_live_messages_total": lambda: float(hub.messages),
        "mapsvc_live_dropped_total": lambda: float(live.dropped),
        "mapsvc_roads_served": lambda: float(valhalla.has_roads),
        "mapsvc_roads_calls_total": lambda: float(valhalla.calls),
        "mapsvc_drive_times_asked_total": lambda: float(drive_times.asked),
        "mapsvc_drive_times_grown_total": lambda: float(drive_times.grown),
    }
    for name, read in gauges.items():
        metrics.gauge(name, read)
    return Worker(world, replica, tiles, bodies, health, live, connections, application)
