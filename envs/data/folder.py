"""A city as a folder: `regions.csv`, `log.csv`, `city.json`, perhaps `crews.json` (schema: docs/data.md)."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stormgym.envs.arrays import Ints
from stormgym.envs.data.assemble import (
    POSITION_FEATURES,
    REQUEST_COLUMNS,
    Settings,
    city_from_log,
    may_be_numeric,
)
from stormgym.envs.data.city_fields import (
    AFTERWARDS,
    DEFAULT_COST_LIMIT_H,
    DEFAULT_DETOUR,
    DEFAULT_SPEED_KMH,
    OF_THE_FILES,
    CityFields,
    straight_km,
)
from stormgym.envs.data.crews_file import CREWS_FILE, Frame, check_near, crews_text, read_crews
from stormgym.envs.data.degrees import project_km, to_degrees
from stormgym.envs.data.errors import Place
from stormgym.envs.data.names import NAME_RULE, check_names, name_fault, printable, shown
from stormgym.envs.data.positions import has_km
from stormgym.envs.data.repair_log import RepairLog
from stormgym.envs.data.sizes import MAX_DETOUR, MAX_RECORDS, REPAIR_RANGE_H, SPEED_RANGE_KMH
from stormgym.envs.data.tables import DataError, is_number, read_json, read_table, table_text
from stormgym.envs.data.text_files import write_whole
from stormgym.envs.data.times import read_times, to_datetime64, zone

ORDER_SUFFIX = "_order"
KNOWN_KEYS = (
    "N",
    "name",
    "depot",
    "origin",
    "speed_kmh",
    "detour",
    "cost_limit_h",
    "group_names",
    "features",
    "timezone",
    "notes",
)
NO_FEATURE = OF_THE_FILES | AFTERWARDS | {"storm"}
"""Columns of `log.csv` that are no features unless they are named."""


def read_city(folder: Path) -> CityFields:
    """Read the fields of a city; see `City.load`."""
    if not os.path.isdir(folder):
        raise DataError(f"{folder}: no such folder. A city is a folder with regions.csv, log.csv and city.json.")
    options = _read_options(folder / "city.json")
    table = read_table(folder / "regions.csv")
    ids = table.unique_ids("region")
    if options.get("N", len(ids)) != len(ids):
        raise DataError(
            f"{folder / 'city.json'}: 'N' must be the number of rows of regions.csv, {len(ids)}; "
            f"got {shown(options['N'])}. Correct or remove it.",
            place=Place(str(folder / "city.json"), keys=("N",)),
        )
    log = _read_log(folder / "log.csv", ids, options.get("features"), options.get("timezone"))
    settings = Settings(
        name=options.get("name", printable(folder.resolve().name)),
        features=None if "features" not in options else tuple(options["features"]),
        depot=None if "depot" not in options else (options["depot"][0], options["depot"][1]),
        depot_from=f"{folder / 'city.json'}: 'depot'",
        features_from=f"{folder / 'city.json'}: 'features'",
        origin=None if "origin" not in options else (options["origin"][0], options["origin"][1]),
        speed_kmh=options.get("speed_kmh", DEFAULT_SPEED_KMH),
        detour=options.get("detour", DEFAULT_DETOUR),
        cost_limit_h=options.get("cost_limit_h", DEFAULT_COST_LIMIT_H),
        group_names=None if "group_names" not in options else tuple(options["group_names"]),
        orders={
            key.removesuffix(ORDER_SUFFIX): _order(value, ids, folder / "city.json", key)
            for key, value in options.items()
            if key.endswith(ORDER_SUFFIX)
        },
    )
    city = city_from_log(log, table, settings)
    check_near(city["depot_km"], city["xy_km"], f"{folder / 'city.json'}: 'depot'")
    if (folder / CREWS_FILE).exists():
        frame = Frame(city["xy_km"], city.get("origin"), has_km(table))
        city["crews"] = read_crews(folder / CREWS_FILE, frame, settings.speed_kmh)
    return city


def _read_log(path: Path, ids: tuple[str, ...], features: list[str] | None, tz: str | None) -> RepairLog:
    table = read_table(path)
    table.require("region", "repair_h")
    region = table.index(
        "region", ids, what="the region is not in regions.csv", cure="Add it there or remove the record."
    )
    if len(table) > MAX_RECORDS:
        raise DataError(
            f"{path}: a log must have at most {MAX_RECORDS:,} records; got {len(table):,}. Take some of them."
        )
    table.numbers("repair_h", rule="a repair duration must be a number above 0 (h)", valid=lambda v: v > 0)
    low, high = REPAIR_RANGE_H
    rule = f"a repair duration must be from {low:g} to {high:g} h"
    repair_h = table.numbers("repair_h", rule=rule, valid=lambda v: low <= v <= high)
    if features is None:
        names = [c for c in table.columns if c not in NO_FEATURE and may_be_numeric(table, c)]
        check_names(names, f"{path}, line 1")
    else:
        names = [c for c in features if c in table.columns and c not in OF_THE_FILES | AFTERWARDS]
    cure = "Correct or fill the cell, or leave the column out by naming the 'features' to use in city.json."
    columns = [table.numbers(name, cure=cure) for name in names]
    time, timezone = None, None
    if "request_time" in table.columns:
        times = read_times(table, "request_time", tz=tz)
        if times.zoned.any() and not times.zoned.all():
            row = int(np.argmax(times.zoned != times.zoned[0]))
            rule = "either all times or none carry an offset (e.g. Z)"
            table.fail(row, "request_time", rule, "Write all alike, or give 'timezone' in city.json.")
        time, timezone = to_datetime64(times.seconds), (tz or "UTC") if times.zoned.all() else None
    return RepairLog(
        region=region,
        features=np.stack(columns, axis=1) if columns else np.empty((len(table), 0)),
        feature_names=tuple(names),
        repair_h=repair_h,
        time=time,
        timezone=timezone,
        region_ids=ids,
    )


def _read_options(path: Path) -> dict[str, Any]:
    options = read_json(path)

    def fail(key: str, rule: str) -> None:
        place = Place(str(path), keys=(key,))
        raise DataError(f"{path}: '{key}' must be {rule}; got {shown(options[key])}. Correct it.", place=place)

    for key in options:
        if key not in KNOWN_KEYS and not key.endswith(ORDER_SUFFIX):
            raise DataError(
                f"{path}: unknown key {shown(key)}; known are {list(KNOWN_KEYS)} and orders '..._order'. "
                "Correct or remove it (free text goes under 'notes').",
                place=Place(str(path), keys=(key,)),
            )
    for key, rule, valid in (
        ("name", "a text", lambda v: isinstance(v, str)),
        ("name", "a text without control characters", lambda v: printable(v) == v),
        ("speed_kmh", "a number above 0", lambda v: is_number(v) and v > 0),
        (
            "speed_kmh",
            "a number from {:g} to {:g} (km/h)".format(*SPEED_RANGE_KMH),
            lambda v: SPEED_RANGE_KMH[0] <= v <= SPEED_RANGE_KMH[1],
        ),
        ("detour", "a number of at least 1", lambda v: is_number(v) and v >= 1),
        ("detour", f"a number from 1 to {MAX_DETOUR:g}", lambda v: v <= MAX_DETOUR),
        ("cost_limit_h", "a number above 0", lambda v: is_number(v) and v > 0),
        ("depot", "two numbers", lambda v: isinstance(v, list) and len(v) == 2 and all(map(is_number, v))),
        ("origin", "two numbers", lambda v: isinstance(v, list) and len(v) == 2 and all(map(is_number, v))),
        (
            "origin",
            "[lat, lon] in degrees, below 90 and up to 360 in size",
            lambda v: abs(v[0]) < 90 and abs(v[1]) <= 360,
        ),
        ("group_names", "a list of texts", _is_texts),
        ("group_names", f"a list of names, and {NAME_RULE}", lambda v: not any(map(name_fault, v))),
        ("features", "a list of texts", _is_texts),
        ("timezone", "an IANA zone name", lambda v: isinstance(v, str)),
    ):
        if key in options and not valid(options[key]):
            fail(key, rule)
    if "timezone" in options:
        try:
            zone(options["timezone"])
        except ValueError:
            fail("timezone", "an IANA zone name such as 'America/New_York'")
    return options


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)


def _order(value: Any, ids: Sequence[str], path: Path, key: str) -> Ints:
    names = [str(v) for v in value] if isinstance(value, list) else []
    position = {name: i for i, name in enumerate(ids)}
    if sorted(names) != sorted(ids):
        wrong = next((n for n in names if n not in position), None)
        got = (
            f"the unknown region {shown(wrong)}"
            if wrong is not None
            else f"{len(names)} ids, {len(set(names))} different"
        )
        raise DataError(
            f"{path}: '{key}' must hold each of the {len(ids)} region ids once; got {got}. Correct or remove it.",
            place=Place(str(path), keys=(key,)),
        )
    return np.array([position[n] for n in names], dtype=np.int64)


def write_city(folder: Path, city: CityFields) -> None:
    """Write the fields of a city, all files or none; see `City.save`."""
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise DataError(f"{folder}: a file, where a city's folder is to be written. Save elsewhere.")
    if not city["log"].feature_names:
        raise DataError(
            f"{folder}: a city without features cannot be saved, as its files could not be loaded. Give its log one."
        )
    if not city.get("crews") and (folder / CREWS_FILE).exists():
        raise DataError(
            f"{folder / CREWS_FILE}: the folder has crews, which this city has not, so that loading would give another "
            "city. Remove the file or save elsewhere."
        )
    regions = _regions(city)
    texts = {
        folder / "regions.csv": table_text(regions),
        folder / "log.csv": table_text(_records(city, regions)),
        folder / "city.json": json.dumps(_options(city), indent=1) + "\n",
    }
    if city.get("crews"):
        texts[folder / CREWS_FILE] = crews_text(city["crews"], city["xy_km"], f"{folder / CREWS_FILE}")
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(texts)


def _regions(city: CityFields) -> dict[str, Any]:
    """Columns of `regions.csv`."""
    regions: dict[str, Any] = {
        "region": city["region_ids"],
        "x_km": city["xy_km"][:, 0],
        "y_km": city["xy_km"][:, 1],
        "group": city["group"],
        **_degrees(city),
        **city["context"],
    }
    if city["customers"] is not None:
        regions["customers"] = city["customers"]
    parent = city.get("parent")
    if parent is not None:
        regions["parent"] = [city["region_ids"][i] if i >= 0 else "" for i in parent]
    counted = [city["context"][c] for c in REQUEST_COLUMNS if c in city["context"]]
    if not np.array_equal(city["requests"], sum(counted) if counted else city["log"].counts()):
        regions["requests"] = city["requests"]
    return regions


def _degrees(city: CityFields) -> dict[str, Any]:
    """Columns `lat` and `lon` for people and maps, where they are known; `x_km` and `y_km` are what counts."""
    origin = city.get("origin")
    if origin is None:
        return {}
    lat_lon = to_degrees(city["xy_km"], origin).round(7)
    if straight_km(project_km(lat_lon, origin), city["xy_km"]).max() > 0.01:  # beyond the other side of the earth
        return {}
    return {"lat": lat_lon[:, 0], "lon": lat_lon[:, 1]}


def _records(city: CityFields, regions: dict[str, Any]) -> dict[str, Any]:
    """Columns of `log.csv`; features that are figures of the region are left to `regions.csv`."""
    log = city["log"]
    records: dict[str, Any] = {
        "record": np.arange(len(log)),
        "region": [city["region_ids"][i] for i in log.region],
    }
    if log.time is not None:
        stamps = np.datetime_as_string(log.time, unit="s")
        records["request_time"] = [f"{s}Z" for s in stamps] if log.timezone else [s.replace("T", " ") for s in stamps]
    of_regions = {**regions, "depot_km": city["detour"] * straight_km(city["xy_km"], city["depot_km"])}
    for i, name in enumerate(log.feature_names):
        known = name in (*POSITION_FEATURES, "customers", *city["context"]) and name in of_regions
        if not (known and np.array_equal(np.asarray(of_regions[name])[log.region], log.features[:, i])):
            records[name] = log.features[:, i]
    records["repair_h"] = log.repair_h
    return records


def _options(city: CityFields) -> dict[str, Any]:
    """What `city.json` holds."""
    log = city["log"]
    numeric = all(r.isdecimal() and str(int(r)) == r for r in city["region_ids"])
    ids: list[Any] = [int(r) for r in city["region_ids"]] if numeric else list(city["region_ids"])
    options: dict[str, Any] = {
        "N": len(city["region_ids"]),
        "name": city["name"],
        "depot": city["depot_km"].tolist(),
        **({} if city.get("origin") is None else {"origin": list(city["origin"] or ())}),
        "speed_kmh": city["speed_kmh"],
        "detour": city["detour"],
        "cost_limit_h": city["cost_limit_h"],
        "group_names": list(city["group_names"]),
        "features": list(log.feature_names),
    }
    if log.timezone is not None:
        options["timezone"] = log.timezone
    return options | {f"{name}{ORDER_SUFFIX}": [ids[i] for i in order] for name, order in city["orders"].items()}
