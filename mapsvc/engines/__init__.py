"""Private PostgreSQL and Redis servers: started, stopped and killed as a unit, on loopback TCP only.

Each lives in one folder: data, port, password and log. An engine never touches a server that it did not start, and
dies with the process that started it (see spawn). PostgreSQL refuses to run as root, so root hands it to the
`postgres` account that the Debian package made; that account owns the engine's folder and nothing else of ours.
"""

from mapsvc.engines.engine import EngineError
from mapsvc.engines.postgres import PostgresEngine
from mapsvc.engines.redis_server import RedisClusterEngine, RedisEngine

__all__ = ["EngineError", "PostgresEngine", "RedisClusterEngine", "RedisEngine"]
