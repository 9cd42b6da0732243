"""Lines as text: Google's encoded polyline (developers.google.com/maps/documentation/utilities/polylinealgorithm).

Positions become integers of 10^-5 degrees (10^-6 in what Valhalla writes), then differences to the position before, then
numbers without sign (2n, or -2n - 1 for negative ones), then characters of 5 bits, the lowest first: "?" is 0, "~" is 63,
and 32 is added to all but a number's last one.

Whatever bytes come, they are positions or a PolylineError. 200,000 positions are read in 3 ms, so a request may do it.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo.point import Floats

PRECISIONS = (5, 6)
NUMBER_CHARS = 6  # at most: 360 degrees at precision 6, doubled, take 30 bits

_FIRST, _LAST, _MORE = 63, 126, 32
_FINE, _CHARACTER, _LONG, _UNFINISHED, _ODD, _LAT, _LON = range(7)  # how reading ended
_WRONG = {
    _CHARACTER: 'character {place} is not one of those from "?" to "~"',
    _LONG: f"the number at character {{place}} is longer than {NUMBER_CHARS} characters",
    _UNFINISHED: "the number at character {place} is unfinished",
    _ODD: "the latitude at character {place} is followed by no longitude",
    _LAT: "the latitude at character {place} is not from -90 to 90",
    _LON: "the longitude at character {place} is not from -180 to 180",
}


class PolylineError(ValueError):
    """Not a polyline; the message says what is wrong and where, the first character being number 1."""


def decode(text: str, precision: int) -> tuple[Floats, Floats]:
    """Latitudes and longitudes in degrees, one position at least. Raises PolylineError."""
    units = _units(precision)
    if not text:
        raise PolylineError("a polyline must have one position at least")
    # A character beyond ASCII becomes "?" here, which is a valid one: so it is looked for before.
    if not text.isascii():
        place = next(place for place, character in enumerate(text, 1) if not character.isascii())
        raise PolylineError(_WRONG[_CHARACTER].format(place=place))
    raw = np.frombuffer(text.encode("ascii"), np.uint8)
    room = np.count_nonzero(raw < _FIRST + _MORE) // 2  # that many characters end a number
    lat, lon = np.empty(room), np.empty(room)
    ended, place = _decode(raw, units, lat, lon)
    if ended != _FINE:
        raise PolylineError(_WRONG[ended].format(place=place + 1))
    return lat, lon


def encode(lat: Floats, lon: Floats, precision: int) -> str:
    """The polyline of positions in degrees, rounded to the precision. Raises PolylineError."""
    units = _units(precision)
    phi, lam = np.ascontiguousarray(lat, np.float64), np.ascontiguousarray(lon, np.float64)
    if phi.ndim != 1 or phi.shape != lam.shape or not len(phi):
        raise PolylineError("latitudes and longitudes must be two lists of one length, one position at least")
    # Asked this way round NaN fails too.
    if not (np.all(np.abs(phi) <= 90.0) and np.all(np.abs(lam) <= 180.0)):
        raise PolylineError("latitudes must be from -90 to 90, longitudes from -180 to 180")
    raw = np.empty(2 * NUMBER_CHARS * len(phi), np.uint8)
    count = _encode(np.rint(phi * units).astype(np.int64), np.rint(lam * units).astype(np.int64), raw)
    return raw[:count].tobytes().decode("ascii")


def _units(precision: int) -> int:
    """To a degree."""
    if precision not in PRECISIONS:
        raise PolylineError("the precision must be 5 or 6")
    return int(10**precision)


# -- compiled ---------------------------------------------------------------------------------------------------------------


@njit(cache=True)
def _decode(raw: NDArray[np.uint8], units: int, lat: Floats, lon: Floats) -> tuple[int, int]:
    """How it ended, and the character at which the wrong number begins, or the wrong one itself, counted from 0.

    `lat` and `lon` have room for half of the characters below 95; each number read has consumed one of them."""
    place, count, phi, lam, previous = 0, 0, 0, 0, 0
    is_lon = False
    while place < len(raw):
        begin, value = place, 0
        while True:
            if place == len(raw):
                return _UNFINISHED, begin
            bits = np.int64(raw[place]) - _FIRST
            if bits < 0 or bits > _LAST - _FIRST:
                return _CHARACTER, place
            if place - begin == NUMBER_CHARS:
                return _LONG, begin
            value |= int(bits & _MORE - 1) << 5 * (place - begin)
            place += 1
            if bits < _MORE:
                break
        difference = value >> 1 ^ -(value & 1)
        if is_lon:
            lam += difference
            if abs(lam) > 180 * units:
                return _LON, begin
            lat[count], lon[count] = phi / units, lam / units
            count += 1
        else:
            phi += difference
            if abs(phi) > 90 * units:
                return _LAT, begin
        is_lon, previous = not is_lon, begin
    return (_ODD, previous) if is_lon else (_FINE, 0)


@njit(cache=True)
def _encode(phi: NDArray[np.int64], lam: NDArray[np.int64], raw: NDArray[np.uint8]) -> int:
    """How many characters were written."""
    count = 0
    for i in range(len(phi)):
        for axis in range(2):
            numbers = phi if axis == 0 else lam
            difference = numbers[i] - (numbers[i - 1] if i > 0 else 0)
            value = difference << 1 ^ difference >> 63
            while value >= _MORE:
                raw[count] = (value & _MORE - 1 | _MORE) + _FIRST
                value >>= 5
                count += 1
            raw[count] = value + _FIRST
            count += 1
    return count
