"""The service's queries, each a file in queries/ whose head says what it is for, its parameters and its columns.

    rows = await connection.fetch(queries.OUTBOX_READ, shard, last_n, 1000)

A test prepares every one against a migrated database, so that none can rot.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "queries"


def _load(name: str) -> str:
    return (FOLDER / f"{name}.sql").read_text(encoding="utf-8")


ANY_STATION = _load("any_station")
API_KEY_FIND = _load("api_key_find")
API_KEY_PUT = _load("api_key_put")
API_KEY_REVOKE = _load("api_key_revoke")
API_KEYS = _load("api_keys")
APPLY_BATCH = _load("apply_batch")
APPLY_STATUSES = _load("apply_statuses")
CLOCK_MS = _load("clock_ms")
CONFIRM_BATCH = _load("confirm_batch")
DROP_OLD_PARTITIONS = _load("drop_old_partitions")
EPOCH_GET = _load("epoch_get")
EPOCH_SET = _load("epoch_set")
EVSE_PAGE = _load("evse_page")
IDEMPOTENCY_GET = _load("idempotency_get")
IDEMPOTENCY_PURGE = _load("idempotency_purge")
IDEMPOTENCY_PUT = _load("idempotency_put")
MAKE_PARTITIONS = _load("make_partitions")
OUTBOX_READ = _load("outbox_read")
OUTBOX_STATES = _load("outbox_states")
PARTIES = _load("parties")
PARTY_ADD = _load("party_add")
PARTY_HEARTBEAT = _load("party_heartbeat")
PARTY_PUT = _load("party_put")
PARTY_RESET_ORDER = _load("party_reset_order")
RELAY_LOCK = _load("relay_lock")
RESOLVE = _load("resolve")
SHARD_HEADS = _load("shard_heads")
SNAPSHOT_SHARD = _load("snapshot_shard")
STATION_COUNT = _load("station_count")
STATION_DOCS_BY_KEY = _load("station_docs_by_key")
STATION_NUMS = _load("station_nums")
STATIONS_BY_NUM = _load("stations_by_num")
STATIONS_OF_PARTY_EXCEPT = _load("stations_of_party_except")
