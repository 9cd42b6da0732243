"""The figures of docs/data.md, from an actual run over ../shared/data: `python -m tests.mapsvc.importers.data_tables`.

Rewrites what stands between the markers in docs/data.md; a test compares, so the document cannot grow stale.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from geo.station import Located
from mapsvc.importers import irve, ocpi
from mapsvc.importers.command import FORMATS, Told
from mapsvc.importers.csv_options import CsvOptions, column_map
from mapsvc.importers.report import EXPLAINED, Reason, Report, UnreadableFile
from mapsvc.importers.source import open_source

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = ROOT / "docs" / "data.md"
SHARED = ROOT.parent / "shared" / "data"
BEGIN, END = "<!-- figures: begin -->\n", "<!-- figures: end -->\n"

PARTIES = {
    "heilbronn_neckarbogen.json": "DE*SHN",  # its EVSE ids begin with DESHNE
    "ocpi_2_1_1_locations-fastned.json": "NL*FAS",  # NLFASE
    "ocpi_2_2_1_locations-ev24.json": "PL*E24",  # our choice: the feed names no party at all
}
"""What `--party` has to say for the feeds that do not tell their party."""


FAST_CHARGERS_MAP = (
    "name=operator,lat=lat,lon=lon,id=station_id,power_kw=max_individual_power_kw,evses=charging_points_count,"
    "operator=operator,address=address,city=city,postal_code=postcode"
)
REGISTERS = {
    "us_afdc/us_2022_min.csv.gz": ("afdc", Told()),
    "us_afdc/ny_2025.csv.gz": ("afdc", Told()),
    "de/Ladesaeulenkarte_2019-07-19.xlsx": ("bnetza", Told()),
    "de/fast_chargers_2026-02-20.csv.gz": (
        "csv",
        Told("woladen", CsvOptions(column_map(FAST_CHARGERS_MAP), country="DEU")),
    ),
    "tesla/superchargers_2026-05.json.gz": ("superchargers", Told()),
}
"""The other registers, with their format and what the command line says of them."""


def feeds(shared: Path) -> list[Path]:
    return sorted((shared / "ocpi" / "feeds").glob("*.json"))


def examples(shared: Path) -> list[Path]:
    return [
        path
        for version in ("2.2.1", "2.3.0")
        for path in sorted((shared / "ocpi" / f"spec-{version}").glob("location_*.json"))
    ]


def register(shared: Path) -> Path:
    return shared / "fr_irve" / "irve-statique.json.gz"


def read_file(path: Path, report: Report) -> list[Located]:
    with open_source(path) as source:
        if "irve" in path.name:
            return list(irve.parse(source, report=report))
        return list(ocpi.parse(source.read(), party=PARTIES.get(path.name), report=report))


def read_register(shared: Path, name: str, report: Report) -> list[Located]:
    format_name, told = REGISTERS[name]
    with open_source(shared / name) as source:
        return list(FORMATS[format_name][0](source, told, report))


def register_tables(shared: Path) -> tuple[list[str], list[str]]:
    """The counts and the dirty rows of `REGISTERS`."""
    counts: list[tuple[str, ...]] = []
    dirty: list[tuple[str, ...]] = []
    for name, (format_name, _) in REGISTERS.items():
        report = Report()
        numbers = numbers_of(read_register(shared, name, report)) | {"dirty": report.total}
        cells = (f"{numbers[key]:,}" for key in NUMBERS if key != "statuses")
        counts.append((Path(name).name, format_name, *cells))
        dirty += dirty_rows(Path(name).name, report)
    heading = ("File", "format", "stations", "EVSEs", "connectors", "unpublished", "dirty rows")
    return table(heading, counts), table(("File", "reason", "outcome", "rows"), dirty)


def dirty_rows(name: str, report: Report) -> list[tuple[str, ...]]:
    ordered = sorted(report.counts.items(), key=lambda item: (-item[1], item[0]))
    return [(name, reason, outcome, f"{count:,}") for (reason, outcome), count in ordered]


def tables(shared: Path) -> str:
    counts: list[tuple[str, ...]] = []
    dirty: list[tuple[str, ...]] = []
    totals: Counter[str] = Counter()
    for path in (*feeds(shared), register(shared)):
        report = Report()
        located = read_file(path, report)
        numbers = numbers_of(located) | {"dirty": report.total}
        totals.update(numbers)
        counts.append((path.name, PARTIES.get(path.name, ""), *(f"{numbers[key]:,}" for key in NUMBERS)))
        dirty += dirty_rows(path.name, report)
    counts.append(("**all**", "", *(f"{totals[key]:,}" for key in NUMBERS)))
    registers, register_dirt = register_tables(shared)
    heading = ("File", "`--party`", "stations", "EVSEs", "connectors", "unpublished", "with status", "dirty rows")
    return "\n".join(
        (
            *table(heading, counts),
            "",
            "### Dirty rows by reason\n",
            *table(("File", "reason", "outcome", "rows"), dirty),
            "",
            "### The other registers\n",
            *registers,
            "",
            *register_dirt,
            "",
            "### The specification's examples\n",
            *table(("File", "stations", "EVSEs", "connectors", "unpublished", "dirty rows"), example_rows(shared)),
            "",
        )
    )


NUMBERS = ("stations", "evses", "connectors", "unpublished", "statuses", "dirty")


def numbers_of(located: Iterable[Located]) -> Counter[str]:
    numbers: Counter[str] = Counter()
    for each in located:
        numbers["stations"] += 1
        numbers["evses"] += len(each.station.evses)
        numbers["connectors"] += sum(len(evse.connectors) for evse in each.station.evses)
        numbers["unpublished"] += not each.station.publish
        numbers["statuses"] += len(each.reports)
    return numbers


def example_rows(shared: Path) -> list[tuple[str, ...]]:
    """The whole locations among the examples; fragments (hours, patches, an EVSE) are no files of locations."""
    found: list[tuple[str, ...]] = []
    fragments = 0
    for path in examples(shared):
        report = Report()
        try:
            numbers = numbers_of(read_file(path, report)) | {"dirty": report.total}
        except UnreadableFile:
            fragments += 1
            continue
        cells = (numbers[key] for key in NUMBERS if key != "statuses")
        found.append((f"{path.parent.name}/{path.name}", *(str(cell) for cell in cells)))
    return [*found, (f"{fragments} fragments: refused, no list of locations found", "", "", "", "", "")]


def reasons() -> str:
    rows = [(f"`{reason}`", EXPLAINED[reason]) for reason in Reason]
    return "\n".join(table(("Reason", "what it means"), rows)) + "\n"


def table(heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (heading, ("---",) * len(heading), *rows)]


def figures_of(document: str) -> str:
    return document.partition(BEGIN)[2].partition(END)[0]


def main() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    before, after = document.partition(BEGIN)[0], document.partition(END)[2]
    DOCUMENT.write_text(
        before + BEGIN + tables(SHARED) + "\n### The reasons\n\n" + reasons() + END + after, encoding="utf-8"
    )


if __name__ == "__main__":
    main()
