"""From a JSON body to typed values: the only door for what clients POST to the routing endpoints.

As with queries (mapsvc.parameter): unknown members are errors, and all faults of a body are told together, each with its JSON
pointer (RFC 6901) and what is allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import orjson

from mapsvc.problems import Fault, Problem, Unprocessable

MAX_FAULTS = 20


class Members:
    """The members of one object of a body; `done` raises what was wrong with any of them."""

    def __init__(self, value: Any, pointer: str = "", faults: list[Fault] | None = None) -> None:
        self.pointer = pointer
        self._faults: list[Fault] = [] if faults is None else faults
        self._values: dict[str, Any] = value if isinstance(value, dict) else {}
        self._read: set[str] = set()
        if not isinstance(value, dict):
            self._faults.append(Fault(pointer, "an object"))

    @classmethod
    def of(cls, body: bytes) -> Members:
        """Raises Problem for what is no JSON."""
        try:
            return cls(orjson.loads(body))
        except orjson.JSONDecodeError as error:
            raise Problem("The body is no JSON.", [Fault("", "a JSON object")], in_body=True) from error

    def has(self, name: str) -> bool:
        return self._values.get(name) is not None

    def fault(self, name: str, allowed: str) -> None:
        self._faults.append(Fault(f"{self.pointer}/{name}", allowed))

    def done(self) -> None:
        """Raises Unprocessable if anything was wrong, here or in a part."""
        self.close()
        if self._faults:
            raise Unprocessable("The request is not valid.", self._faults[:MAX_FAULTS], in_body=True)

    def close(self) -> None:
        """Notes members that nobody asked for."""
        unknown = self._values.keys() - self._read
        for name in islice(unknown, max(0, MAX_FAULTS - len(self._faults))):
            self.fault(name[:64].replace("~", "~0").replace("/", "~1"), "nothing: unknown member")

    # -- members ------------------------------------------------------------------------------------------------------

    def number(self, name: str, low: float, high: float, default: float | None = None) -> float:
        """Required without a default. What is wrong comes back as the default, or as `low`."""
        value = self._take(name)
        if value is None and default is not None:
            return default
        # Asked this way round NaN fails too, though JSON has none. Don't change.
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            self.fault(name, f"a number from {low:g} to {high:g}")
            return low if default is None else default
        return float(value)

    def whole(self, name: str, low: int, high: int, default: int) -> int:
        value = self._take(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.fault(name, f"a whole number from {low} to {high}")
            return default
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self._take(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.fault(name, "true or false")
            return default
        return value

    def one_of(self, name: str, words: Sequence[str], default: str) -> str:
        value = self._take(name)
        if value is None:
            return default
        if value not in words:
            self.fault(name, " or ".join(words) if len(words) < 5 else f"one of {', '.join(words)}")
            return default
        return str(value)

    def some_of(self, name: str, words: Sequence[str]) -> tuple[str, ...]:
        """Absent: none. Sorted, each once."""
        value = self._take(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(one, str) and one in words for one in value):
            self.fault(name, f"an array of some of {', '.join(words)}")
            return ()
        return tuple(sorted(set(value)))

    def text(self, name: str, most: int) -> str:
        """Required."""
        value = self._take(name)
        if not isinstance(value, str) or not 0 < len(value) <= most:
            self.fault(name, f"a text of 1 to {most} characters")
            return ""
        return value

    def any(self, name: str) -> Any:
        return self._take(name)

    def objects(self, name: str, least: int, most: int) -> list[Members]:
        """Required: an array of objects."""
        value = self._take(name)
        if not isinstance(value, list) or not least <= len(value) <= most:
            self.fault(name, f"an array of {least} to {most} objects")
            return []
        return [Members(one, f"{self.pointer}/{name}/{k}", self._faults) for k, one in enumerate(value)]

    def _take(self, name: str) -> Any:
        self._read.add(name)
        return self._values.get(name)
