"""Names as small numbers, for a column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray


class Names:
    """Numbered as they come; a number never changes its name."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._numbers: dict[str, int] = {}
        self._folded: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __getitem__(self, number: int) -> str:
        return self._names[number]

    def number(self, name: str) -> int:
        found = self._numbers.get(name)
        if found is None:
            found = self._numbers[name] = len(self._names)
            self._names.append(name)
            self._folded.setdefault(name.casefold(), []).append(found)
        return found

    def are_among(self, folded: Iterable[str]) -> NDArray[np.bool_]:
        """By number, whether the name, case-folded, is one of these."""
        found = np.zeros(len(self._names), np.bool_)
        for name in folded:
            found[self._folded.get(name, [])] = True
        return found
