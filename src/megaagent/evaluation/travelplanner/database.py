"""TravelPlanner's database: the public CSV files, as far as scores need them."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from megaagent.errors import ConfigurationError
from megaagent.evaluation.travelplanner.texts import city_name
from megaagent.events import Struct

# A row with an empty field is left out, as pandas does it for the reference implementation.
_EMPTY = frozenset(
    ("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA")
) | frozenset(("NULL", "NaN", "None", "n/a", "nan", "null"))

_FILES = {
    "flights": ("flights/clean_Flights_2022.csv", ("Flight Number", "Price", "OriginCityName", "DestCityName")),
    "accommodations": (
        "accommodations/clean_accommodations_2022.csv",
        ("NAME", "price", "room type", "house_rules", "minimum nights", "maximum occupancy", "city"),
    ),
    "restaurants": ("restaurants/clean_restaurant_2022.csv", ("Name", "Average Cost", "Cuisines", "City")),
    "attractions": ("attractions/attractions.csv", ("Name", "City")),
    "distances": ("googleDistanceMatrix/distance.csv", ("origin", "destination", "duration", "distance")),
}
_CITIES = "background/citySet_with_states.txt"

Row = Mapping[str, str]


class Flight(Struct, frozen=True):
    """Where a flight goes, and what it costs."""

    origin: str
    destination: str
    price: float


class Database:
    """All tables.

    Args:
        folder: the public folder `database`.

    Raises:
        ConfigurationError: a file is missing, or lacks a column.
    """

    def __init__(self, folder: Path):
        self.states = dict(_cities(folder / _CITIES))
        self._flights: dict[str, list[Flight]] = {}
        for row in _rows(folder, "flights"):
            flight = Flight(row["OriginCityName"], row["DestCityName"], float(row["Price"]))
            self._flights.setdefault(sys.intern(row["Flight Number"]), []).append(flight)
        self._hotels = _by(folder, "accommodations", "city")
        self._restaurants = _by(folder, "restaurants", "City")
        self._attractions = _by(folder, "attractions", "City")
        self._ways = {(r["origin"], r["destination"]): r for r in reversed(list(_rows(folder, "distances", keep=True)))}

    def flights(self, number: str) -> list[Flight]:
        """All with this number, in the order of the file."""
        return self._flights.get(number, [])

    def hotels(self, name: str, city: str) -> list[Row]:
        """Accommodations in the city whose names hold this text."""
        return [row for row in self._hotels.get(city, ()) if name in row["NAME"]]

    def restaurants(self, name: str, city: str) -> list[Row]:
        return [row for row in self._restaurants.get(city, ()) if name in row["Name"]]

    def attractions(self, name: str, city: str) -> list[Row]:
        return [row for row in self._attractions.get(city, ()) if name in row["Name"]]

    def drive(self, origin: str, destination: str, *, taxi: bool) -> int | None:
        """What it costs by car; None when there is no way, or one of days."""
        row = self._ways.get((city_name(origin), city_name(destination)))
        if row is None or row["duration"] in _EMPTY or row["distance"] in _EMPTY or "day" in row["duration"]:
            return None
        try:
            kilometres = float(row["distance"].replace("km", "").replace(",", ""))
        except ValueError:
            return None
        return int(kilometres if taxi else kilometres * 0.05)


def _by(folder: Path, table: str, city: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in _rows(folder, table):
        found.setdefault(row[city], []).append(row)
    return found


def _rows(folder: Path, table: str, *, keep: bool = False) -> Iterator[Row]:
    """The rows of a table without empty fields, cut to the columns that are needed.

    Args:
        keep: rows with empty fields too.
    """
    name, columns = _FILES[table]
    path = folder / name
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise ConfigurationError(f"{path}: it has no column {missing[0]!r}")
            for row in reader:
                if keep or not any(value is None or value in _EMPTY for value in row.values()):
                    yield {column: row[column] or "" for column in columns}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _cities(path: Path) -> Iterator[tuple[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    for line in lines:
        city, tab, state = line.partition("\t")
        if tab:
            yield city, state.strip()
