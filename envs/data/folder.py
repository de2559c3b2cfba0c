"""A city as a folder of three files: `regions.csv`, `log.csv`, `city.json` (schema: docs/data.md)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stormgym.envs.arrays import Ints
from stormgym.envs.data.assemble import POSITION_FEATURES, REQUEST_COLUMNS, Settings, city_from_log
from stormgym.envs.data.city_fields import (
    DEFAULT_COST_LIMIT_H,
    DEFAULT_DETOUR,
    DEFAULT_SPEED_KMH,
    CityFields,
    straight_km,
)
from stormgym.envs.data.repair_log import RepairLog
from stormgym.envs.data.tables import DataError, read_json, read_table, write_table
from stormgym.envs.data.times import read_times, to_datetime64, zone

ORDER_SUFFIX = "_order"
KNOWN_KEYS = (
    "N",
    "name",
    "depot",
    "speed_kmh",
    "detour",
    "cost_limit_h",
    "group_names",
    "features",
    "timezone",
    "notes",
)
NO_FEATURE = frozenset({"record", "region", "storm", "repair_h", "outage_h"})
TIME_COLUMNS = frozenset({"request_time", "repair_start", "repair_end"})


def read_city(folder: Path) -> CityFields:
    """Read the fields of a city; see `City.load`."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder. A city is a folder with regions.csv, log.csv and city.json.")
    options = _read_options(folder / "city.json")
    table = read_table(folder / "regions.csv")
    ids = table.unique_ids("region")
    if options.get("N", len(ids)) != len(ids):
        raise DataError(
            f"{folder / 'city.json'}: 'N' must be the number of rows of regions.csv, {len(ids)}; "
            f"got {options['N']!r}. Correct or remove it."
        )
    log = _read_log(folder / "log.csv", ids, options.get("features"), options.get("timezone"))
    settings = Settings(
        name=options.get("name", folder.resolve().name),
        features=None if "features" not in options else tuple(options["features"]),
        depot=None if "depot" not in options else (options["depot"][0], options["depot"][1]),
        speed_kmh=options.get("speed_kmh", DEFAULT_SPEED_KMH),
        detour=options.get("detour", DEFAULT_DETOUR),
        cost_limit_h=options.get("cost_limit_h", DEFAULT_COST_LIMIT_H),
        group_names=None if "group_names" not in options else tuple(options["group_names"]),
        orders={
            key.removesuffix(ORDER_SUFFIX): _order(value, ids, f"{folder / 'city.json'}: '{key}'")
            for key, value in options.items()
            if key.endswith(ORDER_SUFFIX)
        },
    )
    return city_from_log(log, table, settings)


def _read_log(path: Path, ids: tuple[str, ...], features: list[str] | None, tz: str | None) -> RepairLog:
    table = read_table(path)
    table.require("region", "repair_h")
    region = table.index(
        "region", ids, what="the region is not in regions.csv", cure="Add it there or remove the record."
    )
    repair_h = table.numbers("repair_h", rule="a repair duration must be a number above 0 (h)", valid=lambda v: v > 0)
    candidates = [c for c in table.columns if c not in NO_FEATURE | TIME_COLUMNS and table.is_numeric(c)]
    names = candidates if features is None else [c for c in features if c in table.columns and c not in ("region",)]
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
        raise DataError(f"{path}: '{key}' must be {rule}; got {options[key]!r}. Correct it.")

    for key in options:
        if key not in KNOWN_KEYS and not key.endswith(ORDER_SUFFIX):
            raise DataError(
                f"{path}: unknown key {key!r}; known are {list(KNOWN_KEYS)} and orders '..._order'. "
                "Correct or remove it (free text goes under 'notes')."
            )
    for key, rule, valid in (
        ("name", "a text", lambda v: isinstance(v, str)),
        ("speed_kmh", "a number above 0", lambda v: _is_number(v) and v > 0),
        ("detour", "a number of at least 1", lambda v: _is_number(v) and v >= 1),
        ("cost_limit_h", "a number above 0", lambda v: _is_number(v) and v > 0),
        ("depot", "two numbers", lambda v: isinstance(v, list) and len(v) == 2 and all(map(_is_number, v))),
        ("group_names", "a list of texts", _is_texts),
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


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)


def _order(value: Any, ids: Sequence[str], where: str) -> Ints:
    names = [str(v) for v in value] if isinstance(value, list) else []
    position = {name: i for i, name in enumerate(ids)}
    if sorted(names) != sorted(ids):
        wrong = next((n for n in names if n not in position), None)
        got = f"the unknown region {wrong!r}" if wrong is not None else f"{len(names)} ids, {len(set(names))} different"
        raise DataError(f"{where} must hold each of the {len(ids)} region ids once; got {got}. Correct or remove it.")
    return np.array([position[n] for n in names], dtype=np.int64)


def write_city(folder: Path, city: CityFields) -> None:
    """Write the fields of a city; see `City.save`."""
    folder.mkdir(parents=True, exist_ok=True)
    regions: dict[str, Any] = {
        "region": city["region_ids"],
        "x_km": city["xy_km"][:, 0],
        "y_km": city["xy_km"][:, 1],
        "group": city["group"],
        **city["context"],
    }
    if city["customers"] is not None:
        regions["customers"] = city["customers"]
    counted = [city["context"][c] for c in REQUEST_COLUMNS if c in city["context"]]
    if not np.array_equal(city["requests"], sum(counted) if counted else city["log"].counts()):
        regions["requests"] = city["requests"]
    write_table(folder / "regions.csv", regions)

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
    write_table(folder / "log.csv", records)

    numeric = all(r.isdecimal() and str(int(r)) == r for r in city["region_ids"])
    ids: list[Any] = [int(r) for r in city["region_ids"]] if numeric else list(city["region_ids"])
    options: dict[str, Any] = {
        "N": len(city["region_ids"]),
        "name": city["name"],
        "depot": city["depot_km"].tolist(),
        "speed_kmh": city["speed_kmh"],
        "detour": city["detour"],
        "cost_limit_h": city["cost_limit_h"],
        "group_names": list(city["group_names"]),
        "features": list(log.feature_names),
    }
    if log.timezone is not None:
        options["timezone"] = log.timezone
    options |= {f"{name}{ORDER_SUFFIX}": [ids[i] for i in order] for name, order in city["orders"].items()}
    (folder / "city.json").write_text(json.dumps(options, indent=1) + "\n", encoding="utf-8")
