"""A worker on a machine that has no road graph."""

from __future__ import annotations

from pathlib import Path

from geo.world import World
from mapsvc.roads.client import RoadsClient
from mapsvc.roads.drive_time import DriveTimes
from mapsvc.roads.snapping import Snaps
from tests.geo.worlds import START_MS


def no_roads() -> RoadsClient:
    return RoadsClient(Path("/nowhere"), None)


def no_drive_times(world: World) -> DriveTimes:
    client = no_roads()
    return DriveTimes(world, lambda: START_MS, client, Snaps(client))
