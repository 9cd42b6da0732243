"""The tables as SQLAlchemy knows them: what Alembic compares a database with. docs/architecture.md says what each is.

The migrations are the truth about a database's details (partitions, fill factors, collations, views); a test asserts
that a migrated database and this module agree. To change the schema: change it here and write a migration.
"""

from __future__ import annotations

from geoalchemy2 import Geometry
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    SmallInteger,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from geo.station import SHARDS

metadata = MetaData()

Key = Text(collation="C")
"""Keys compare by bytes, whatever locale the database has."""

station_num = Sequence("station_num", data_type=BigInteger, maxvalue=2**53 - 1, metadata=metadata)
"""Station numbers: never reused, and small enough for JavaScript and Lua."""

party = Table(
    "party",
    metadata,
    Column("id", Key, primary_key=True),
    Column("kind", Text, nullable=False, server_default="operator"),
    Column("name", Text),
    Column("order_by", Text, nullable=False, server_default="ts"),
    Column("ttl_s", Integer),
    Column("heartbeat_ms", BigInteger),
    CheckConstraint("kind IN ('operator', 'register')"),
    CheckConstraint("order_by IN ('ts', 'seq')"),
    CheckConstraint("ttl_s > 0"),
)

api_key = Table(
    "api_key",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("label", Text, nullable=False, server_default=""),
    Column("parties", ARRAY(Text), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("revoked_at", DateTime(timezone=True)),
)

shard = Table(
    "shard",
    metadata,
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),
    Column("n", BigInteger, nullable=False, server_default=text("0")),
    CheckConstraint(f"shard BETWEEN 0 AND {SHARDS - 1}"),
    postgresql_with={"fillfactor": 50},
)

cache_epoch = Table(
    "cache_epoch",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    Column("epoch", BigInteger, nullable=False),
    CheckConstraint("one"),
)

station = Table(
    "station",
    metadata,
    Column("num", BigInteger, primary_key=True, autoincrement=False),
    Column("n", BigInteger, nullable=False),
    Column("last_updated_ms", BigInteger, nullable=False),
    Column("cell", BigInteger, nullable=False),
    Column("geom", Geometry("POINT", srid=4326, spatial_index=False), nullable=False),
    Column("shard", SmallInteger, nullable=False),
    Column("publish", Boolean, nullable=False),
    Column("removed", Boolean, nullable=False, server_default=text("false")),
    Column("key", Key, nullable=False),
    Column("party", Key, ForeignKey("party.id"), nullable=False),
    Column("location_id", Text, nullable=False),
    Column("doc", JSONB, nullable=False),
    Index("station_key", "key", unique=True),
    Index("station_party", "party"),
    Index("station_geom", "geom", postgresql_using="gist"),
    Index("station_location", text("substr(key, strpos(key, '~'::text) + 1)")),
    Index("station_snapshot", "shard", "cell", "num", postgresql_where=text("NOT removed")),
    CheckConstraint(f"shard BETWEEN 0 AND {SHARDS - 1}"),
)

evse = Table(
    "evse",
    metadata,
    Column("num", BigInteger, ForeignKey("station.num"), nullable=False),
    Column("n", BigInteger, nullable=False),
    Column("k1", BigInteger),
    Column("k2", BigInteger),
    Column("changed_ms", BigInteger),
    Column("seen_ms", BigInteger),
    Column("slot", SmallInteger, nullable=False),
    Column("shard", SmallInteger, nullable=False),
    Column("status", SmallInteger, nullable=False, server_default=text("0")),
    Column("gone", Boolean, nullable=False, server_default=text("false")),
    Column("party", Key, nullable=False),
    Column("uid", Text, nullable=False),
    Column("uid_key", Key, nullable=False),
    Column("evse_id", Text),
    PrimaryKeyConstraint("num", "slot"),
    Index("evse_party_uid", "party", "uid_key"),
    Index("evse_uid", "uid_key", "party"),
    CheckConstraint("status BETWEEN 0 AND 8"),
    CheckConstraint("(k1 IS NULL) = (k2 IS NULL)"),
    postgresql_with={"fillfactor": 70},
)

status_history = Table(
    "status_history",
    metadata,
    Column("n", BigInteger, nullable=False),
    Column("num", BigInteger, nullable=False),
    Column("k1", BigInteger, nullable=False),
    Column("k2", BigInteger, nullable=False),
    Column("changed_ms", BigInteger),
    Column("received_ms", BigInteger, nullable=False),
    Column("shard", SmallInteger, nullable=False),
    Column("slot", SmallInteger, nullable=False),
    Column("status", SmallInteger, nullable=False),
    postgresql_partition_by="RANGE (received_ms)",
)

outbox = Table(
    "outbox",
    metadata,
    Column("n", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("num", BigInteger, nullable=False),
    Column("changed_ms", BigInteger),
    Column("seen_ms", BigInteger),
    Column("shard", SmallInteger, nullable=False),
    Column("slot", SmallInteger),
    Column("status", SmallInteger),
    Column("kind", Key, nullable=False),
    PrimaryKeyConstraint("shard", "n", "created_ms"),
    postgresql_partition_by="RANGE (created_ms)",
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("key_hash", LargeBinary, nullable=False),
    Column("idem_key", Key, nullable=False),
    Column("request_hash", LargeBinary, nullable=False),
    Column("status", Integer, nullable=False),
    Column("response", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("key_hash", "idem_key"),
    Index("idempotency_created", "created_ms"),
)
