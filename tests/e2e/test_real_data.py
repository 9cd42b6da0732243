"""The issue's acceptance on real data: every answer about 7,146 real stations equals an oracle's, through HTTP.

The register and all feeds of ../shared/data are imported by the command and served by ingest, relay and two workers
(tests/e2e/real_world.py). The oracle (tests/e2e/oracle.py, oracle_tiles.py) reads PostgreSQL and computes alone.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from cache.codec import unpack_record, unpack_records, unpack_states
from mapsvc import access
from tests.e2e.compare import session_with
from tests.e2e.oracle import EVERYTHING, Json, Moment, Near, Oracle, Place, View, Wanted
from tests.e2e.oracle_tiles import AGGREGATE_ZOOMS, STATION_ZOOMS, Features, Tile, decoded, owner
from tests.e2e.real_world import RealWorld, Reply, now_ms, real_world  # noqa: F401  (a fixture)
from tests.mapsvc.importers.data_tables import DOCUMENT
from tests.node.decoder import NodeDecoder, node_decoder  # noqa: F401  (a fixture)
