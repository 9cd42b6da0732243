"""Pure geography and domain logic: no I/O, no asyncio, no settings."""
