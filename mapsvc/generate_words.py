"""What the synthetic world's stations are called, who runs them and when they are open. All names are made up."""

from __future__ import annotations

from typing import NamedTuple

from geo.station import ExceptionalPeriod, Hours, RegularHours

COUNTRY_ZONES = (
    "Europe/Lisbon", "Europe/Berlin", "Europe/Helsinki", "Europe/Samara", "Asia/Yekaterinburg", "Asia/Almaty",
    "Asia/Novosibirsk", "Asia/Hovd", "Asia/Irkutsk", "Asia/Ulaanbaatar", "Asia/Seoul", "Asia/Vladivostok",
    "Asia/Magadan",
)  # fmt: skip
"""The zone of each column of countries, a third of Europe wide, from the west."""

TOWN_BEGINNINGS = (
    "",
    "",
    "",
    "",
    "Alt",
    "Neu",
    "Bad ",
    "Saint-",
    "Ober",
    "Nieder",
    "Sankt ",
    "Villa ",
    "Stary ",
    "Nova ",
)
TOWN_MIDDLES = (
    "Lin", "Mar", "Ros", "Kal", "Tor", "Ven", "Bel", "Wald", "Stein", "Brünn", "Åsk", "Øst", "Łob", "Čer", "Żar", "Gron",
    "Hel", "Fara", "Dorn", "Eich", "Lund", "Mont", "Pont", "Ríva", "Serra", "Tarn", "Ulm", "Wint", "Zell", "Ærø", "Köst",
)  # fmt: skip
TOWN_ENDINGS = (
    "burg", "heim", "ville", "stad", "by", "ów", "ice", "ovo", "mouth", "feld", "haven", "hausen", "ona", "ières", "ach",
    "berg", "dorf", "ey", "ford", "gård", "ingen", "lez", "mar", "nik", "orra", "rup", "stätten", "thal", "vik", "zell",
)  # fmt: skip
STREETS = (
    "Bahnhofstraße", "Hauptstraße", "Lindenallee", "Am Markt", "Industriestraße", "Rue de la Gare", "Avenue de l'Église",
    "Place du Marché", "High Street", "Station Road", "Mill Lane", "Via Roma", "Viale Europa", "Calle Mayor",
    "Avenida del Río", "Rua da Estação", "Kerkstraat", "Stationsplein", "Storgatan", "Järnvägsgatan", "Nørregade",
    "Kirkegata", "Rynek", "ul. Długa", "Nádražní", "Fő utca", "Strada Gării", "Ringweg", "Ulica Glavna", "Asematie",
)  # fmt: skip
PLACES = (
    "Rathaus", "Supermarkt", "Bahnhof", "Parkhaus Mitte", "Hotel", "Messe", "Schwimmbad", "Centre commercial", "Mairie",
    "Park & Ride", "Retail Park", "Town Hall", "Ospedale", "Centro", "Estación", "Plein", "Torget", "Dworzec",
)  # fmt: skip
ODD_NAMES = (
    'Café "Zum Löwen"', "O'Brien's ⚡ Garage", "充电站", "محطة شحن", "Ładowarka 🚗🔌 № 1", "<b>Parking</b> & Co.",
    "Zoë\u0308s Hof", "Παρκινγκ «Ακρόπολη»", "back\\slash / tab\there", "a" * 255, " spaces  all round ", "👩‍🔧 Werkstatt",
)  # fmt: skip
ODD_IDS = ("Köln Hbf/Gl.{}", "a b%c{}", "50%?{}", "ä#ö&{}", "p+l=us;{}", "~tilde*{}", "Ünï/{}//", "🔌{}", "MiXeD-{}")
"""Location ids that must be percent-encoded in a URL or survive a change of case; {} takes the station's number."""


class Operator(NamedTuple):
    party: str
    name: str
    website: str
    phone: str
    ids: int  # 0..3: how it writes its location ids and EVSE uids


def _operators() -> tuple[Operator, ...]:
    stems = ("Volt", "Amp", "Lumen", "Joule", "Watt", "Spark", "Grid", "Flux", "Strom", "Citro", "Nord", "Helio")
    tails = ("ara", "ino", "hub", "nova", "ette")
    operators = []
    for k in range(len(stems) * len(tails)):
        stem, tail = stems[k % len(stems)], tails[k // len(stems)]
        party = f"X{'ABCDEFGHI'[k % 9]}*{stem[:2].upper()}{tail[0].upper()}"
        website = f"https://{(stem + tail).lower()}.example"
        operators.append(Operator(party, stem + tail, website, f"+999 555 {k:04d}", k % 4))
    return tuple(operators)


OPERATORS = _operators()

ROUND_THE_CLOCK = Hours(twentyfourseven=True)


def _schedules() -> tuple[Hours, ...]:
    """A few hundred distinct ones, as there are in a country: shops, offices, sports halls, bars; few with exceptions."""

    def week(begin: str, end: str, weekdays: range) -> tuple[RegularHours, ...]:
        return tuple(RegularHours(day, begin, end) for day in weekdays)

    schedules = []
    for opens in range(5, 11):
        for closes in range(17, 25):
            workdays = week(f"{opens:02d}:00", f"{closes:02d}:00", range(1, 6))
            schedules += [
                Hours(regular_hours=workdays),
                Hours(regular_hours=workdays + week(f"{opens + 1:02d}:00", f"{closes - 2:02d}:30", range(6, 7))),
                Hours(regular_hours=workdays + week(f"{opens + 1:02d}:30", f"{closes - 1:02d}:00", range(6, 8))),
                Hours(
                    regular_hours=week(f"{opens:02d}:15", "12:00", range(1, 7)) + week("13:30", "18:00", range(1, 7))
                ),
            ]
    schedules += [Hours(regular_hours=week(f"{h:02d}:00", f"{h - 14:02d}:00", range(1, 8))) for h in range(16, 20)]
    summer_fair = ExceptionalPeriod(1_781_856_000_000, 1_781_996_400_000)  # two days in June 2026
    christmas = ExceptionalPeriod(1_798_153_200_000, 1_798_326_000_000)  # two days in December 2026
    schedules += [
        Hours(regular_hours=schedules[0].regular_hours, exceptional_openings=(summer_fair,)),
        Hours(regular_hours=schedules[9].regular_hours, exceptional_closings=(christmas,)),
        Hours(twentyfourseven=True, exceptional_closings=(christmas,)),
    ]
    return tuple(dict.fromkeys(schedules))


SCHEDULES = _schedules()
HOURS_IN_WORDS = ("Während der Öffnungszeiten", "Mo-Fr 8-18, sauf jours fériés", "see website", "dusk till dawn")

CAPABILITIES = (
    ("RFID_READER", "REMOTE_START_STOP_CAPABLE"),
    ("RFID_READER", "REMOTE_START_STOP_CAPABLE", "UNLOCK_CAPABLE", "TOKEN_GROUP_CAPABLE"),
    ("REMOTE_START_STOP_CAPABLE", "RESERVABLE"),
    ("RFID_READER",),
    (),
)
FAST_CAPABILITIES = (
    ("CONTACTLESS_CARD_SUPPORT", "CREDIT_CARD_PAYABLE", "REMOTE_START_STOP_CAPABLE", "RFID_READER"),
    ("CREDIT_CARD_PAYABLE", "DEBIT_CARD_PAYABLE", "PED_TERMINAL", "REMOTE_START_STOP_CAPABLE", "RFID_READER"),
    ("CHARGING_PROFILE_CAPABLE", "REMOTE_START_STOP_CAPABLE", "RFID_READER"),
)
FACILITIES: tuple[tuple[str, ...], ...] = (
    (), (), (), (), ("PARKING_LOT",), ("SUPERMARKET", "PARKING_LOT"), ("HOTEL", "WIFI", "RESTAURANT"), ("MALL", "CAFE"),
    ("TRAIN_STATION", "BUS_STOP"), ("SPORT",), ("MUSEUM", "NATURE"), ("FUEL_STATION",), ("CARPOOL_PARKING",),
)  # fmt: skip
MOTORWAY_FACILITIES = (("FUEL_STATION", "RESTAURANT", "WIFI"), ("CAFE", "WIFI"), ("PARKING_LOT",))
PARKING_TYPES = (
    "ON_STREET", "ON_STREET", "ON_STREET", "PARKING_LOT", "PARKING_LOT", "PARKING_GARAGE", "UNDERGROUND_GARAGE",
    "ON_DRIVEWAY", None, None,
)  # fmt: skip
RESTRICTIONS: tuple[tuple[str, ...], ...] = (
    (), (), (), (), (), (), ("EV_ONLY",), ("EV_ONLY", "PLUGGED"), ("CUSTOMERS",), ("DISABLED",),
)  # fmt: skip
