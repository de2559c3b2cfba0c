"""The record of a city: read-only, with a fingerprint, and with errors that name the field."""

import copy
import dataclasses
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from stormgym.envs.data import City, DataError, RepairLog


def test_distance__road_km_and_hours_by_hand(folder: Path) -> None:
    city = City.load(folder)
    assert city.distance_km.shape == (4, 4)
    assert city.distance_km[0, 1] == pytest.approx(7.5)  # 5 km straight, 1.5 times
    assert city.distance_km[3, 2] == pytest.approx(15.0)  # the depot is last
    assert city.travel_h[3, 2] == pytest.approx(0.75)  # at 20 km/h


def test_city__arrays_are_read_only_also_after_pickle(folder: Path) -> None:
    city = City.load(folder)
    for one in (city, pickle.loads(pickle.dumps(city))):
        for array in (
            one.xy_km,
            one.group,
            one.requests,
            one.distance_km,
            one.log.repair_h,
            one.context["canopy"],
        ):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1
        with pytest.raises(dataclasses.FrozenInstanceError):
            one.name = "other"  # type: ignore[misc]
    assert copy.deepcopy(city) is city
    assert pickle.loads(pickle.dumps(city)).fingerprint() == city.fingerprint()


def test_city__does_not_keep_the_callers_array() -> None:
    xy = np.zeros((1, 2))
    log = RepairLog(np.zeros(1, int), np.zeros((1, 1)), ("f",), np.ones(1), None, None, ("a",))
    city = City("c", ("a",), xy, np.zeros(2), np.zeros(1, int), ("all",), 30.0, 1.3, log, {}, None, np.ones(1))
    xy[0] = 5.0
    assert city.xy_km.tolist() == [[0.0, 0.0]]


def test_fingerprint__follows_dynamics_and_forecasts_not_names(folder: Path) -> None:
    city = City.load(folder)
    assert re.fullmatch("[0-9a-f]{64}", city.fingerprint())
    assert dataclasses.replace(city, name="other", orders={}).fingerprint() == city.fingerprint()
    for change in (
        {"speed_kmh": 21.0},
        {"depot_km": city.depot_km + 1},
        {"group": np.array([2, 1, 0])},
        {"customers": None},
        {"log": dataclasses.replace(city.log, repair_h=city.log.repair_h + 1)},
        {"log": dataclasses.replace(city.log, features=city.log.features + 1)},
    ):
        assert dataclasses.replace(city, **change).fingerprint() != city.fingerprint(), change  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"xy_km": np.zeros((2, 2))}, r"City.xy_km must have shape \[3, 2\]; got \[2, 2\]"),
        ({"xy_km": np.full((3, 2), np.nan)}, r"City.xy_km must be finite; got nan at \[0, 0\]"),
        (
            {"group": np.array([0, 0, 2])},
            r"group ids must be 0..2 and each group needs a region; got \[0, 2\]",
        ),
        ({"group": np.array([0.5, 1, 2])}, "City.group must hold whole numbers; got 0.5"),
        ({"speed_kmh": 0.0}, "City.speed_kmh must be above 0; got 0.0"),
        ({"detour": 0.5}, "City.detour must be at least 1; got 0.5"),
        ({"customers": np.array([-1.0, 1, 1])}, "City.customers must be 0 or more"),
        (
            {"orders": {"mine": np.array([0, 1, 1])}},
            r"City.orders\['mine'\] must hold each region index 0..2 once",
        ),
        ({"context": {"age": np.zeros(2)}}, r"City.context\['age'\] must have shape \[3\]; got \[2\]"),
        ({"region_ids": ("a", "b", "b")}, "City.region_ids must be at least one name, all different"),
        ({"region_ids": ("a", "b", "d")}, "City.log must have the city's region_ids in the same order"),
    ],
)
def test_city__wrong_field_is_an_error(folder: Path, change: dict[str, object], what: str) -> None:
    with pytest.raises(DataError, match=what):
        dataclasses.replace(City.load(folder), **change)  # type: ignore[arg-type]


def test_city__region_without_records_is_an_error(folder: Path) -> None:
    city = City.load(folder)
    with pytest.raises(DataError, match=r"at least one record in the log; 'b' has none \(1 of 3 regions\)"):
        dataclasses.replace(city, log=city.log.take(city.log.region != 1))
