"""The vocabulary of the report: what can be wrong with a row, and what can become of it."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """What became of the faulty thing."""

    KEPT = "kept"  # the value stands, as told or mended as the detail says
    DROPPED = "dropped"  # the value is left out, the item it belongs to stays
    SKIPPED = "skipped"  # the whole item (station, EVSE, connector, row) is left out


class Reason(StrEnum):
    """Why a row is dirty. The explanations are `EXPLAINED`; docs/data.md shows them."""

    # the file
    ENCODING = "encoding"
    MORE_PAGES = "more_pages"
    NESTED_TOO_DEEP = "nested_too_deep"
    NOT_JSON = "not_json"
    NOT_CSV = "not_csv"
    CELL_COUNT = "cell_count_differs"
    NOT_AN_OBJECT = "not_an_object"
    CAMEL_CASE = "camel_case_keys"
    DIALECT = "foreign_dialect"
    # identity
    NO_ID = "no_id"
    NO_PARTY = "no_party"
    ID_TOO_LONG = "id_too_long"
    DUPLICATE_LOCATION = "duplicate_location_id"
    NO_UID = "no_evse_uid"
    DUPLICATE_UID = "duplicate_evse_uid"
    DUPLICATE_EVSE_ID = "duplicate_evse_id"
    NO_CONNECTOR_ID = "no_connector_id"
    DUPLICATE_CONNECTOR_ID = "duplicate_connector_id"
    DUPLICATE_POINT = "duplicate_point"
    REPEATED_ROW = "repeated_row"
    # position
    NO_COORDINATES = "no_coordinates"
    BAD_COORDINATES = "unreadable_coordinates"
    NUMERIC_COORDINATES = "numeric_coordinates"
    OUT_OF_RANGE = "coordinates_out_of_range"
    ZERO_COORDINATES = "zero_coordinates"
    SWAPPED = "coordinates_swapped_suspected"
    OUTSIDE_COUNTRY = "position_outside_country"
    POSITIONS_DIFFER = "positions_differ"
    # values
    MISSING = "missing"
    WRONG_TYPE = "wrong_type"
    NUMBER_AS_TEXT = "number_for_text"
    TEXT_AS_NUMBER = "text_for_number"
    TEXT_AS_BOOLEAN = "text_for_boolean"
    NOT_AN_INTEGER = "not_an_integer"
    IMPLAUSIBLE_NUMBER = "implausible_number"
    IMPLAUSIBLE_POWER = "implausible_power"
    POWER_TYPE_CONFLICT = "power_type_conflict"
    TEXT_CUT = "text_cut"
    CONTROL_CHARACTERS = "control_characters"
    MARKUP = "markup"
    BAD_URL = "bad_url"
    SPELLING = "spelling"
    LEADING_ZEROS = "leading_zeros_lost"
    UNKNOWN_VALUE = "unknown_value"
    UNKNOWN_COUNTRY = "unknown_country"
    UNKNOWN_TIME_ZONE = "unknown_time_zone"
    BAD_TIMESTAMP = "unreadable_timestamp"
    IMPOSSIBLE_TIMESTAMP = "impossible_timestamp"
    TIMESTAMP_OFFSET = "timestamp_offset"
    NO_LAST_UPDATED = "no_last_updated"
    # what a station has
    NO_EVSES = "no_evses"
    NO_CONNECTORS = "no_connectors"
    UNNAMED_PLUG = "unnamed_plug"
    UNREADABLE_HOURS = "unreadable_hours"
    CONTRADICTORY_HOURS = "contradictory_hours"
    IMPLAUSIBLE_HOURS = "implausible_hours"
    HOURS_PAST_MIDNIGHT = "hours_past_midnight"
    CONFLICT = "rows_disagree"
    POINT_COUNT = "point_count_differs"
    PLUG_LEVEL = "plug_level_unclear"
    NEWEST_POWER = "power_of_the_newest_only"
    NOT_IN_SERVICE = "not_in_service"


EXPLAINED: dict[Reason, str] = {
    Reason.ENCODING: "bytes that are not UTF-8; each was replaced by U+FFFD",
    Reason.MORE_PAGES: "the list says that it goes on (`next`): this file is one page of several",
    Reason.NESTED_TOO_DEEP: "the item is nested too deep to be read",
    Reason.NOT_JSON: "the line is not JSON",
    Reason.NOT_CSV: "the row is not CSV",
    Reason.CELL_COUNT: "fewer cells than the heading: the last columns are empty; or more: the row is skipped",
    Reason.NOT_AN_OBJECT: "an object should stand here",
    Reason.CAMEL_CASE: "keys in camelCase, read as OCPI's snake_case (once per station)",
    Reason.DIALECT: "not OCPI, read by what its own keys say (once per station)",
    Reason.NO_ID: "no id, hence no identity",
    Reason.NO_PARTY: "neither country_code and party_id nor a party given for the whole file",
    Reason.ID_TOO_LONG: "longer than OCPI allows (36 characters); beyond 255 not usable",
    Reason.DUPLICATE_LOCATION: "the id occurs twice (ids are case-insensitive): the newer last_updated stays, else the later",
    Reason.NO_UID: "an EVSE without uid, named #k",
    Reason.DUPLICATE_UID: "two EVSEs of one location with the same uid: the newer last_updated stays, else the later",
    Reason.DUPLICATE_EVSE_ID: "the same evse_id on several EVSEs; all kept, their uids tell them apart",
    Reason.NO_CONNECTOR_ID: "a connector without id, named #k",
    Reason.DUPLICATE_CONNECTOR_ID: "two connectors of one EVSE with the same id: an equal one is left out, another named #k",
    Reason.DUPLICATE_POINT: "the point occurs twice in the register: the newer date_maj stays, else the later",
    Reason.REPEATED_ROW: "a row of the same id that says the same plug, power and number again: counted once",
    Reason.NO_COORDINATES: "no position",
    Reason.BAD_COORDINATES: "a position that is not two decimal numbers",
    Reason.NUMERIC_COORDINATES: "coordinates as numbers; OCPI says strings",
    Reason.OUT_OF_RANGE: "latitude beyond ±90 or longitude beyond ±180",
    Reason.ZERO_COORDINATES: "0, 0: a placeholder; in a register of known countries also a single 0 outside them",
    Reason.SWAPPED: "outside the country it names, but inside if latitude and longitude were swapped; not corrected",
    Reason.OUTSIDE_COUNTRY: "outside the country it names",
    Reason.POSITIONS_DIFFER: "points of one station lie apart",
    Reason.MISSING: "a field that the format requires is absent, null or empty",
    Reason.WRONG_TYPE: "a value of a type that this field cannot have",
    Reason.NUMBER_AS_TEXT: "a number where the format says text",
    Reason.TEXT_AS_NUMBER: "text where the format says a number",
    Reason.TEXT_AS_BOOLEAN: "text or a number where the format says true or false",
    Reason.NOT_AN_INTEGER: "a fraction where the format says an integer; rounded",
    Reason.IMPLAUSIBLE_NUMBER: "a number that no charger has",
    Reason.IMPLAUSIBLE_POWER: "a power that no charger has (kW for W, or W for kW?): the power is unknown",
    Reason.POWER_TYPE_CONFLICT: "AC told for a plug that carries DC only: its power is not derived",
    Reason.TEXT_CUT: "too long; cut",
    Reason.CONTROL_CHARACTERS: "control characters; removed",
    Reason.MARKUP: "markup; removed",
    Reason.BAD_URL: "not an http or https URL",
    Reason.SPELLING: "an enum value in another spelling (case, spaces, OCPP's word)",
    Reason.LEADING_ZEROS: "a postal code of five digits without its leading zeros; put back",
    Reason.UNKNOWN_VALUE: "an enum value that the format does not have",
    Reason.UNKNOWN_COUNTRY: "not ISO 3166-1 alpha-3; alpha-2 is read, a name is not",
    Reason.UNKNOWN_TIME_ZONE: "not an IANA time zone",
    Reason.BAD_TIMESTAMP: "not an RFC 3339 instant",
    Reason.IMPOSSIBLE_TIMESTAMP: "an instant before 2000 or after 2100, or a date that does not exist",
    Reason.TIMESTAMP_OFFSET: "an instant with an offset other than UTC; converted",
    Reason.NO_LAST_UPDATED: "no readable last_updated: the newest of the parts' instead, else 1970-01-01",
    Reason.NO_EVSES: "a station without EVSEs",
    Reason.NO_CONNECTORS: "an EVSE without connectors",
    Reason.UNNAMED_PLUG: "a plug whose standard is not told: UNKNOWN",
    Reason.UNREADABLE_HOURS: "opening hours that cannot be read exactly: unknown, and kept as text where they are text",
    Reason.CONTRADICTORY_HOURS: "opening hours that contradict themselves",
    Reason.IMPLAUSIBLE_HOURS: "open less than an hour a week: a placeholder; unknown, and kept as text",
    Reason.HOURS_PAST_MIDNIGHT: "a period that ends before it begins, read as going past midnight",
    Reason.CONFLICT: "rows of one station disagree: the newest row's value stays",
    Reason.POINT_COUNT: "the register says another number of points than it lists",
    Reason.PLUG_LEVEL: "the register does not say at which of its points the plug is: listed at all that can have it",
    Reason.NEWEST_POWER: "one power for hardware of several generations: the newest has it, the others' is unknown",
    Reason.NOT_IN_SERVICE: "planned, or closed for good: kept, but not shown",
}
