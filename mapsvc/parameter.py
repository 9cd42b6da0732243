"""What a parameter is: one value from which the parser and the API's description are both made.

A `Kind` is made from its bounds once, and gives the parser, the words of an error and the JSON Schema alike. The
`Given` values of a request are read by the table of an operation's parameters and by nothing else: a parameter that is
not in the table is an error, and the table is what /openapi.json prints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeVar
from urllib.parse import parse_qsl

from geo.point import CoordinateError
from mapsvc.problems import Fault, Problem

MAX_QUERY = 8192  # characters
MAX_FIELDS = 40
MAX_WORDS = 50  # alternatives in one comma list

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Schema = Mapping[str, Any]

_MISSING: Final[Any] = object()


@dataclass(frozen=True, slots=True)
class Kind(Generic[T_co]):
    """`parse` raises ValueError for what is not `allowed`; `schema` says the same in JSON Schema 2020-12, of the value as
    OpenAPI reads it: an array is a comma list."""

    parse: Callable[[str], T_co]
    allowed: str
    schema: Schema


@dataclass(frozen=True, slots=True)
class Parameter(Generic[T_co]):
    """A parameter without a default is required. `example` is the text that a client sends."""

    name: str
    kind: Kind[T_co]
    description: str
    example: str
    default: T_co = _MISSING
    where: Literal["query", "path", "header"] = "query"
    may_be_empty: bool = False

    @property
    def required(self) -> bool:
        return self.default is _MISSING


class Table:
    """The parameters that an operation takes in its query."""

    def __init__(self, *parameters: Parameter[Any]) -> None:
        self.parameters = parameters
        self.by_name = {parameter.name: parameter for parameter in parameters}
        self.required = tuple(parameter for parameter in parameters if parameter.required)


class Given:
    """The parameters of one request, read by a table; `done` raises what was wrong with any of them. All faults of a
    request are told together, each with the parameter's name and what is allowed."""

    __slots__ = ("_faults", "_values", "names")

    def __init__(self, query: str, table: Table) -> None:
        self._faults: list[Fault] = []
        self._values: dict[str, Any] = {}
        self.names: set[str] = set()
        for name, text in _pairs(query):
            if name in self.names:
                self.fault(name, "given once")
                continue
            self.names.add(name)
            parameter = table.by_name.get(name)
            if parameter is None:
                self.fault(name, "nothing: unknown parameter")
                continue
            try:
                self._values[name] = parameter.kind.parse(text)
            except CoordinateError as error:
                self.fault(name, str(error))
            except ValueError:
                self.fault(name, parameter.kind.allowed)
        for parameter in table.required:
            if parameter.name not in self.names:
                self.fault(parameter.name, f"required: {parameter.kind.allowed}")

    def __getitem__(self, parameter: Parameter[T]) -> T:
        """Its value or default; of a required one only once `done` has passed."""
        value: T = self._values.get(parameter.name, parameter.default)
        return value

    def has_any(self, names: Iterable[str]) -> bool:
        return not self.names.isdisjoint(names)

    def fault(self, name: str, allowed: str) -> None:
        self._faults.append(Fault(name[:64], allowed))

    def done(self) -> None:
        """Raises Problem if anything was wrong."""
        if self._faults:
            raise Problem("The request is not valid.", self._faults)


def _pairs(query: str) -> list[tuple[str, str]]:
    if len(query) > MAX_QUERY:
        raise Problem("The query is too long.", [Fault("", f"at most {MAX_QUERY} characters")])
    try:
        query.encode()  # a raw byte of a request line comes as a lone surrogate, and nothing could repeat it
        return parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError as error:
        allowed = f"at most {MAX_FIELDS} name=value pairs in UTF-8, joined by &"
        raise Problem("The query cannot be read.", [Fault("", allowed)]) from error


# -- kinds ----------------------------------------------------------------------------------------------------------------


def number(low: float, high: float) -> Kind[float]:
    def parse(text: str) -> float:
        value = plain_float(text)
        # Asked this way round NaN fails too. Don't change.
        if not low <= value <= high:
            raise ValueError
        return value

    return Kind(parse, f"a number from {low:g} to {high:g}", {"type": "number", "minimum": low, "maximum": high})


def whole(low: int, high: int, allowed: str = "") -> Kind[int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 16 and low <= int(text) <= high):
            raise ValueError
        return int(text)

    schema = {"type": "integer", "minimum": low, "maximum": high}
    return Kind(parse, allowed or f"a whole number from {low} to {high}", schema)


def one_of(*words: str) -> Kind[str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError
        return text

    return Kind(parse, " or ".join(words), {"type": "string", "enum": list(words)})


def names_of(names: Iterable[str]) -> Kind[tuple[str, ...]]:
    """Some of these, comma-separated, in any case; read as they are spelt here, sorted."""
    by_folded = {name.casefold(): name for name in names}

    def parse(text: str) -> tuple[str, ...]:
        try:
            return tuple(sorted({by_folded[word.casefold()] for word in split_words(text)}))
        except KeyError as error:
            raise ValueError from error

    allowed = f"names, comma-separated, of: {', '.join(by_folded.values())}"
    return Kind(parse, allowed, comma_list({"type": "string", "enum": list(by_folded.values())}, MAX_WORDS))


def free_words(what: str) -> Kind[tuple[str, ...]]:
    """Any words, comma-separated; read case-folded, sorted."""
    return Kind(
        lambda text: tuple(sorted({word.casefold() for word in split_words(text)})),
        f"1 to {MAX_WORDS} {what}, comma-separated",
        comma_list({"type": "string", "pattern": r"^[^,]*[^,\s][^,]*$"}, MAX_WORDS),
    )


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise ValueError
    return text.lower() in ("true", "1")


FLAG = Kind(_flag, "true or false", {"type": "boolean"})


def comma_list(items: Schema, most: int) -> Schema:
    return {"type": "array", "items": items, "minItems": 1, "maxItems": most}


def plain_float(text: str) -> float:
    # float() takes "1_0", " 1 ", "infinity" and other scripts' digits; a coordinate is none of these.
    if len(text) > 32 or not text or not set(text) <= set("0123456789+-.eE"):
        raise ValueError
    return float(text)


def split_words(text: str) -> list[str]:
    found = [word.strip() for word in text.split(",")]
    if not all(found) or len(found) > MAX_WORDS:
        raise ValueError
    return found
