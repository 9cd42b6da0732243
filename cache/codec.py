"""Bytes in Redis. Every stored value begins with a version, so that a reader never guesses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
import orjson
import zstandard
from numpy.typing import NDArray

from geo.record import STATE, States, StationRecord
from geo.station import Station, decode_doc, encode_doc

RECORD_VERSION = 2

# zstd finds the repeated parts of a small JSON document only if it has seen them: a document shrinks from 1450 to 190
# bytes with this, and to 600 without. It is part of the format: a change needs a new RECORD_VERSION.
_SAMPLE_DOCUMENT = (
    b'{"party":"DE*ABC","location_id":"LOC0000001","lat":48.137154,"lon":11.576124,"last_updated_ms":1700000000000,'
    b'"evses":[{"uid":"1","slot":0,"evse_id":"DE*ABC*E0000001*1","connectors":[{"id":"1","standard":"CHADEMO",'
    b'"format":"CABLE","power_type":"DC","max_voltage":500,"max_amperage":125,"max_electric_power":50000,'
    b'"power_kw":50.0,"tariff_ids":["1"],"last_updated_ms":1700000000000},{"id":"2","standard":"DOMESTIC_E",'
    b'"format":"SOCKET","power_type":"AC_1_PHASE","max_voltage":230,"max_amperage":16,"power_kw":3.7}],'
    b'"capabilities":["RFID_READER","REMOTE_START_STOP_CAPABLE","CREDIT_CARD_PAYABLE","RESERVABLE"],'
    b'"floor_level":"0","physical_reference":"1","parking_restrictions":["EV_ONLY","PLUGGED","CUSTOMERS"],'
    b'"directions":[{"language":"de","text":""}],"last_updated_ms":1700000000000},{"uid":"2","slot":1,'
    b'"evse_id":"FR*ABC*E0000001*2","connectors":[{"id":"1","standard":"IEC_62196_T2","format":"SOCKET",'
    b'"power_type":"AC_3_PHASE","max_voltage":230,"max_amperage":32,"power_kw":22.1},{"id":"1",'
    b'"standard":"IEC_62196_T2_COMBO","format":"CABLE","power_type":"DC","max_electric_power":150000,'
    b'"power_kw":150.0,"tariff_ids":["2"],"last_updated_ms":1700000000000}],"capabilities":["RFID_READER"],'
    b'"last_updated_ms":1700000000000}],"publish":true,"name":"Parking","address":"Bahnhofstrasse 1","city":"Stadt",'
    b'"postal_code":"10000","state":"","country":"DEU","country":"FRA","parking_type":"ON_STREET",'
    b'"parking_type":"PARKING_LOT","operator":"","suboperator":"","owner":"","operator_website":"https://www.",'
    b'"facilities":["RESTAURANT","SUPERMARKET","WIFI"],"time_zone":"Europe/Berlin","opening_times":'
    b'{"twentyfourseven":true},"opening_times":{"regular_hours":[{"weekday":1,"period_begin":"08:00",'
    b'"period_end":"20:00"}]},"charging_when_closed":true,"directions":[{"language":"en","text":""}],'
    b'"images":["https://"],"green_energy":true,"free_of_charge":false,"price_text":"","access_text":"",'
    b'"source":"ocpi","source":"irve","source":"generate"}'
)
_DICTIONARY = zstandard.ZstdCompressionDict(_SAMPLE_DOCUMENT, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
_COMPRESSOR = zstandard.ZstdCompressor(level=3, dict_data=_DICTIONARY, write_checksum=False, write_dict_id=False)
_DECOMPRESSOR = zstandard.ZstdDecompressor(dict_data=_DICTIONARY)

_IN_SUMMARY = ("name", "address", "city", "operator")  # left out of the rest; what has no default stands in both


class _Id(msgspec.Struct):
    id: str


class _Evse(msgspec.Struct):
    slot: int = -1
    evse_id: str | None = None


class _Evses(msgspec.Struct):
    evses: list[_Evse] = []


_EVSES_DECODER = msgspec.json.Decoder(_Evses)
_ID_DECODER = msgspec.json.Decoder(_Id)
_VERSION = bytes((RECORD_VERSION,))
_RECORD_ENCODER = msgspec.msgpack.Encoder()
_RECORD_DECODER = msgspec.msgpack.Decoder(StationRecord)
_LIST_DECODER = msgspec.msgpack.Decoder(list[bytes])

SEEN = np.dtype([("num", "<u8"), ("seen_ms", "<i8"), ("slot", "<u2"), ("pad", "V6")])
"""One confirmation on the side stream, 24 bytes."""


class CodecError(ValueError):
    """Bytes that this program did not write, or wrote in another version."""


def pack_doc(station: Station) -> bytes:
    """The document without what its record has as `summary`."""
    return _COMPRESSOR.compress(encode_doc(msgspec.structs.replace(station, **dict.fromkeys(_IN_SUMMARY))))


def unpack_doc(doc: bytes, summary: bytes = b"") -> Station:
    """The station of a record's `doc` and `summary`; without the latter it lacks names and address. Raises CodecError."""
    try:
        rest = _DECOMPRESSOR.decompress(doc)
        return decode_doc(b"{%b,%b" % (summary, rest[1:]) if summary else rest)
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise CodecError("not a packed document") from error


def unpack_members(doc: bytes, summary: bytes) -> dict[str, Any]:
    """The same as `geo.station.encode_doc` has it, the `id` before it; faster by half. Raises CodecError."""
    try:
        members: dict[str, Any] = orjson.loads(b"{%b,%b" % (summary, _DECOMPRESSOR.decompress(doc)[1:]))
    except (zstandard.ZstdError, orjson.JSONDecodeError) as error:
        raise CodecError("not a packed document") from error
    for name in _IN_SUMMARY:
        if members[name] is None:
            del members[name]
    return members


def evse_ids_of(doc: bytes) -> list[tuple[int, str]]:
    """Slot and evse_id of the EVSEs that have one, without the rest of the document. Raises CodecError."""
    try:
        found = _EVSES_DECODER.decode(_DECOMPRESSOR.decompress(doc))
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise CodecError("not a packed document") from error
    return [(evse.slot, evse.evse_id) for evse in found.evses if evse.evse_id]


def id_of(summary: bytes) -> str:
    """The public id in a record's `summary`. Raises CodecError."""
    try:
        return _ID_DECODER.decode(b"{%b}" % summary).id
    except msgspec.MsgspecError as error:
        raise CodecError("not a summary") from error


def pack_record(record: StationRecord) -> bytes:
    return _VERSION + _RECORD_ENCODER.encode(record)


def unpack_record(data: bytes) -> StationRecord:
    """Raises CodecError."""
    if data[:1] != _VERSION:
        raise CodecError("a station record of another version")
    try:
        return _RECORD_DECODER.decode(memoryview(data)[1:])
    except msgspec.MsgspecError as error:
        raise CodecError("not a station record") from error


def pack_records(records: Iterable[bytes]) -> bytes:
    """Packed records end to end, for one stream entry."""
    return _RECORD_ENCODER.encode(list(records))


def unpack_records(data: bytes) -> list[StationRecord]:
    """Raises CodecError."""
    try:
        return [unpack_record(item) for item in _LIST_DECODER.decode(data)]
    except msgspec.MsgspecError as error:
        raise CodecError("not a list of records") from error


def unpack_states(data: bytes | Sequence[bytes]) -> States:
    """States end to end, or a list of such pieces. Raises CodecError."""
    joined = data if isinstance(data, bytes) else b"".join(data)
    if len(joined) % STATE.itemsize:
        raise CodecError("not a whole number of states")
    return np.frombuffer(joined, STATE)


def unpack_seen(data: bytes) -> NDArray[np.void]:
    """Raises CodecError."""
    if len(data) % SEEN.itemsize:
        raise CodecError("not a whole number of confirmations")
    return np.frombuffer(data, SEEN)
