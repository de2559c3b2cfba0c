"""`crews.json` of a city's folder: who works from where, when, and what each crew can do (schema: docs/data.md)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from stormgym.envs.arrays import Floats
from stormgym.envs.data.city_fields import straight_km
from stormgym.envs.data.degrees import project_km
from stormgym.envs.data.errors import Place
from stormgym.envs.data.names import NAME_RULE, meant, name_fault, shown
from stormgym.envs.data.sizes import MAX_COORDINATE_KM, MAX_CREWS, SPEED_RANGE_KMH
from stormgym.envs.data.tables import DataError, is_number, read_json

CREWS_FILE = "crews.json"
MAX_AWAY_KM = 1000.0
"""A depot is at most this far from the nearest region: farther, its coordinates are wrong."""
MAX_SKILL = 9
MAX_DEPOTS = 100
LEAST = {"speed_kmh": SPEED_RANGE_KMH[0], "on_h": 1e-6}
"""Of what must be above 0: with less, hours run out of range."""
_TOP = ("crews", "depots", "notes")
_NEEDED = ("depot", "skills", "on_h", "off_h")
_DEGREES = ("latitude", "longitude")
_KM = ("x_km", "y_km")
_OTHER_NAMES = {
    "lat": "latitude",
    "lon": "longitude",
    "lng": "longitude",
    "long": "longitude",
    "x": "x_km",
    "y": "y_km",
}
"""Keys that places elsewhere have, and what they are called here."""


class Frame(NamedTuple):
    """How places of a city's files are read."""

    xy_km: Floats
    """`[N, 2]` places of the regions."""
    origin: tuple[float, float] | None
    """Latitude and longitude from which `xy_km` count; None where they are not known, and no place is in degrees."""
    km: bool
    """Whether the regions have `x_km` and `y_km`, and places may have them."""


class _At(NamedTuple):
    """Where a message points."""

    words: str
    file: str
    keys: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        return self.words

    def place(self, *keys: str | int) -> Place:
        return Place(self.file, keys=(*self.keys, *keys))


@dataclass(frozen=True)
class CrewRecord:
    """One crew."""

    name: str
    depot: int | tuple[float, float]
    """Its place (x, y) in km, or a depot of the environment: 0 is the city's."""
    speed_kmh: float
    skills: tuple[int, ...]
    """Kinds of work that it can do."""
    start_h: float
    """Of its first window of duty, from the start of the storm; below 0 it has begun, which plans for today take."""
    on_h: float
    off_h: float
    assessor: bool = False
    """It looks at jobs and repairs nothing."""
    at: tuple[float, float] | None = None
    """Where it is now (x, y) in km, for plans for today; None: at its depot, or at the job that it has in hand."""


_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "name": (
        f"a text ({NAME_RULE.removeprefix('a name must be ')})",
        lambda v: isinstance(v, str) and name_fault(v.strip()) is None,
    ),
    "speed_kmh": (
        "a number above 0, at most 1000 (km/h)",
        lambda v: is_number(v) and 0 < v <= 1000,
    ),
    "skills": (
        f"a list of different whole numbers 0 to {MAX_SKILL}",
        lambda v: isinstance(v, list) and all(_whole(s, MAX_SKILL) for s in v) and len(set(v)) == len(v),
    ),
    "start_h": ("a number from -10000 to 10000 (h)", lambda v: is_number(v) and abs(v) <= 1e4),
    "on_h": (
        "a number above 0, at most 10000 (h)",
        lambda v: is_number(v) and 0 < v <= 1e4,
    ),
    "off_h": ("a number from 0 to 10000 (h)", lambda v: is_number(v) and 0 <= v <= 1e4),
    "assessor": ("true or false", lambda v: isinstance(v, bool)),
}


def read_crews(path: Path, frame: Frame, speed_kmh: float) -> tuple[CrewRecord, ...]:
    """Read the crews of a city.

    Args:
        path: of `crews.json`.
        frame: how its places are read.
        speed_kmh: of crews that name none.

    Raises:
        DataError: the file breaks a rule; the message names crew, field, value and cure.
    """
    content = read_json(path)
    top = _At(f"{path}", f"{path}")
    _check_keys(content, _TOP, ("crews",), top)
    depots = content.get("depots", [])
    if not isinstance(depots, list) or len(depots) > MAX_DEPOTS:
        _fail(top, "depots", f"a list of at most {MAX_DEPOTS} places", depots)
    places = [_place(v, frame, _At(f"{path}, depot {i}", f"{path}", ("depots", i))) for i, v in enumerate(depots)]
    crews = content["crews"]
    if not isinstance(crews, list) or not crews:
        _fail(top, "crews", "a list of at least one crew", crews)
    if len(crews) > MAX_CREWS:
        raise DataError(f"{path}: 'crews' must have at most {MAX_CREWS:,} crews; got {len(crews):,}. Leave some out.")
    records = tuple(
        _crew(crew, k, _At(f"{path}, crew {k}", f"{path}", ("crews", k)), places, frame, speed_kmh)
        for k, crew in enumerate(crews)
    )
    _check_together(records, top)
    return records


def _check_together(records: Sequence[CrewRecord], where: _At) -> None:
    seen: dict[str, int] = {}
    for k, record in enumerate(records):
        if record.name in seen:
            raise DataError(
                f"{where}, crew {k}: 'name' must be different for each crew, but crew {seen[record.name]} has it too; "
                f"got {record.name!r}. Rename one.",
                place=where.place("crews", k, "name"),
            )
        seen[record.name] = k
    if all(record.assessor for record in records):
        raise DataError(
            f"{where}: at least one crew must repair; all {len(records)} are assessors. Add one that does.",
            place=where.place("crews", 0, "assessor"),
        )


def crews_text(crews: Sequence[CrewRecord], xy_km: Floats, where: str) -> str:
    """What `crews.json` holds; reading gives the same records.

    Args:
        crews: the records.
        xy_km: `[N, 2]` places of the regions.
        where: the file is, for messages.

    Raises:
        DataError: crews that no file may have.
    """
    if len(crews) > MAX_CREWS:
        raise DataError(f"{where}: 'crews' must have at most {MAX_CREWS:,} crews; got {len(crews):,}. Leave some out.")
    listed = []
    for k, crew in enumerate(crews):
        depot = crew.depot
        place: Any = depot if isinstance(depot, int) else {"x_km": depot[0], "y_km": depot[1]}
        record = {**vars(crew), "depot": place, "skills": list(crew.skills)}
        record["at"] = None if crew.at is None else {"x_km": crew.at[0], "y_km": crew.at[1]}
        listed.append({name: value for name, value in record.items() if value is not None})
        _crew(listed[-1], k, _At(f"{where}, crew {k}", where), [], Frame(xy_km, None, km=True), crew.speed_kmh)
    _check_together(crews, _At(where, where))
    return json.dumps({"crews": listed}, indent=1) + "\n"


def _crew(
    crew: Any,
    k: int,
    where: _At,
    places: list[tuple[float, float]],
    frame: Frame,
    speed_kmh: float,
) -> CrewRecord:
    if not isinstance(crew, dict):
        message = f"{where}: a crew must be an object {{...}}; got {shown(crew)}. Correct it."
        raise DataError(message, place=where.place())
    _check_keys(crew, ("depot", "at", *_RULES), _NEEDED, where)
    for name, (rule, valid) in _RULES.items():
        if name in crew and not valid(crew[name]):
            _fail(where, name, rule, crew[name])
        if name in LEAST and name in crew and crew[name] < LEAST[name]:
            _fail(where, name, f"at least {LEAST[name]:g}", crew[name])
    assessor = crew.get("assessor", False)
    if not crew["skills"] and not assessor:
        _fail(where, "skills", "a list of at least one number, unless the crew is an assessor", crew["skills"])
    return CrewRecord(
        name=crew.get("name", str(k)).strip(),
        depot=_depot(crew["depot"], places, frame, where),
        speed_kmh=float(crew.get("speed_kmh", speed_kmh)),
        skills=tuple(crew["skills"]),
        start_h=float(crew.get("start_h", 0.0)),
        on_h=float(crew["on_h"]),
        off_h=float(crew["off_h"]),
        assessor=assessor,
        at=None if "at" not in crew else _place(crew["at"], frame, _below(where, "at")),
    )


def _depot(
    value: Any,
    places: list[tuple[float, float]],
    frame: Frame,
    where: _At,
) -> int | tuple[float, float]:
    """A number counts in `depots` where there are some; else it is a depot of the environment."""
    if isinstance(value, dict):
        return _place(value, frame, _below(where, "depot"))
    last = len(places) - 1 if places else MAX_DEPOTS - 1
    if not _whole(value, last):
        _fail(where, "depot", f"a place {{...}}, or a whole number 0 to {last}", value)
    return places[value] if places else int(value)


def _below(where: _At, key: str) -> _At:
    return _At(f"{where}, {key}", where.file, (*where.keys, key))


def _place(value: Any, frame: Frame, where: _At) -> tuple[float, float]:
    """A place {"latitude", "longitude"} or {"x_km", "y_km"}, whichever the regions have, as (x, y) in km."""
    allowed = [*([_DEGREES] if frame.origin is not None else []), *([_KM] if frame.km else [])]
    keys = next((keys for keys in allowed if isinstance(value, dict) and set(value) == set(keys)), None)
    if keys is None:
        needed = ", or ".join(f"{first!r} and {second!r}" for first, second in allowed)
        hint = _hint(value, frame)
        raise DataError(
            f"{where}: a place must have {needed}; got {shown(value)}{hint}. Correct it.", place=where.place()
        )
    for key in keys:
        if not is_number(value[key]) or abs(value[key]) > MAX_COORDINATE_KM:  # far above any angle too
            rule = f"{key!r} must be a number from -{MAX_COORDINATE_KM:g} to {MAX_COORDINATE_KM:g}"
            raise DataError(f"{where}: {rule}; got {shown(value[key])}. Correct it.", place=where.place())
    place = np.array([value[key] for key in keys], dtype=np.float64)
    if keys == _DEGREES:
        assert frame.origin is not None
        if abs(place[0]) > 90 or abs(place[1]) > 180:
            raise DataError(
                f"{where}: latitude must be in [-90, 90] and longitude in [-180, 180]; got {place[0]:g} and "
                f"{place[1]:g}. Correct them (are they exchanged?).",
                place=where.place(),
            )
        place = project_km(place, frame.origin)
    check_near(place, frame.xy_km, f"{where}", where.place())
    return float(place[0]), float(place[1])


def _hint(value: Any, frame: Frame) -> str:
    """What to do about a place with other keys, in brackets."""
    if not isinstance(value, dict):
        return ""
    renamed = {key: _OTHER_NAMES[key.lower()] for key in value if key.lower() in _OTHER_NAMES}
    named = {renamed.get(key, key) for key in value}
    words = [f"{new!r} for {old!r}" for old, new in renamed.items() if named in (set(_DEGREES), set(_KM))]
    hints = [f"write {' and '.join(words)}"] if words else []
    if named == set(_KM) and not frame.km:
        hints.append("regions.csv has lat and lon, and a place must be in the same coordinates")
    if named == set(_DEGREES) and frame.origin is None:
        hints.append(
            "regions.csv has x_km and y_km, and a place must be in the same coordinates, unless 'origin' in city.json "
            "says at which [lat, lon] both are 0"
        )
    return f" ({'; '.join(hints)})" if hints else ""


def check_near(place_km: Floats, xy_km: Floats, where: str, place: Place | None = None) -> None:
    """Raise `DataError` for a depot `[2]` that is too far from all regions `[N, 2]` to be one."""
    away = float(straight_km(xy_km, place_km).min())
    if away > MAX_AWAY_KM:
        raise DataError(
            f"{where}: a depot must be within {MAX_AWAY_KM:g} km of a region; got one {away:,.0f} km away. "
            "Correct it (are its coordinates exchanged?).",
            place=place,
        )


def _check_keys(content: Mapping[str, Any], known: Sequence[str], needed: Sequence[str], where: _At) -> None:
    for key in content:
        if key not in known:
            hint = meant(key, known)
            message = f"{where}: unknown key {shown(key)}; known are {list(known)}. {hint}Correct or remove it."
            raise DataError(message, place=where.place(key))
    for key in needed:
        if key not in content:
            message = f"{where}: key {key!r} is missing; needed are {list(needed)}. Add it."
            raise DataError(message, place=where.place(key))


def _fail(where: _At, key: str, rule: str, value: Any) -> NoReturn:
    raise DataError(f"{where}: {key!r} must be {rule}; got {shown(value)}. Correct it.", place=where.place(key))


def _whole(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most
