"""Registers and operator feeds in, `geo.station.Located` out, with a report of every dirty row.

The parsers are pure: bytes or lines in, stations out; they know no database and no clock. Their rule: what can be
saved is saved, nothing is guessed, everything left out or doubted is reported. See docs/data.md for the decisions.
"""
