"""Redis and the in-memory replica: key grammar, codec, Lua, snapshot, stream. No HTTP, no SQL."""
