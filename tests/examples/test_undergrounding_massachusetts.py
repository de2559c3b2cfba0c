"""The example of real towns: windows of storms, the split by date, the sample average plan, and the whole way once."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

FILE = Path(__file__).resolve().parents[2] / "examples" / "undergrounding_massachusetts.py"


@pytest.fixture(scope="module")
def example() -> Any:
    """The script as a module."""
    spec = spec_from_file_location("stormgym_example_undergrounding", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)  # its dataclasses look for it there
    spec.loader.exec_module(module)
    return module


def settings_of(example: Any, folder: Path, **changes: Any) -> Any:
    """Settings for files of the shared names in a folder."""
    files = {
        "log": folder / "ma_dpu_west_outage_log_2013_2023.csv.gz",
        "towns": folder / "ma_town_attributes.csv",
        "storms": folder / "ma_dpu_west_storm_events.csv",
    }
    return example.Settings(**files, **changes)


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    """Six towns, 24 storms of two outages a town, and one everyday outage a town and month."""
    rng = np.random.default_rng(0)
    towns = [f"TOWN {i}" for i in range(6)]
    days = [f"{year}-{month:02d}-10" for year in range(2017, 2023) for month in (1, 3, 6, 9)]
    storms = [
        (day, town, hour, h) for day in days for town in towns for hour, h in ((5, 4.0), (49, rng.uniform(1, 20)))
    ]
    rows = [(pd.Timestamp(day) + pd.Timedelta(hours=hour), h, town) for day, town, hour, h in storms]
    rows += [(pd.Timestamp(f"{y}-{m:02d}-25"), 2.0, town) for y in (2017, 2018) for m in range(1, 13) for town in towns]
    rows += [(pd.Timestamp("2017-01-10T01:00"), 0.0, towns[0])]  # a duration of zero, to be dropped
    log = pd.DataFrame(rows, columns=["time_out", "duration_h", "town"]).sort_values("time_out")
    log.to_csv(tmp_path / "ma_dpu_west_outage_log_2013_2023.csv.gz", index=False)
    place = {"aland_sqmi": np.arange(10.0, 16.0), "lat": 42 + rng.random(6), "lon": -72 - rng.random(6)}
    income = {"town": towns, "median_income_usd": rng.uniform(3e4, 9e4, 6)}
    pd.DataFrame(income | place).to_csv(tmp_path / "ma_town_attributes.csv", index=False)
    pd.DataFrame({"day": days[::-1]}).to_csv(tmp_path / "ma_dpu_west_storm_events.csv", index=False)
    return tmp_path


def test_read__outage_hours_of_a_window_for_each_everyday_outage(example: Any, made_up: Path) -> None:
    settings = settings_of(example, made_up)
    region = example.read_region(settings)
    assert region.hours.shape == (24, 6)
    assert (np.diff(region.day) > np.timedelta64(0, "D")).all()
    assert region.everyday.tolist() == [24.0] * 6
    assert region.everyday_h.tolist() == [48.0] * 6
    hours = region.hours * region.everyday
    assert ((hours > 5.0) & (hours < 24.0)).all()  # both outages, 4 h and 1 to 20 h
    split = example.split_storms(region, settings)
    assert [len(part) for part in split] == [8, 8, 8]
    with pytest.raises(ValueError, match="each part needs 3 storms; got 8 before 2019-01-01, 16 before 2024"):
        example.split_storms(region, settings_of(example, made_up, score_from="2024-01-01"))


def test_plan_for_storms__is_the_best_of_all_plans(example: Any, made_up: Path) -> None:
    settings = settings_of(example, made_up, budget=500.0, crews=1)
    rng = np.random.default_rng(1)
    lost, cost = rng.gamma(1.0, 10.0, (5, 7)), rng.uniform(100, 300, 7)
    plan = example.plan_for_storms(lost, cost, settings)
    tried = [np.array(bits) for bits in product((False, True), repeat=7) if cost @ np.array(bits) <= 500.0]
    best = min(example.left_h(bits, lost, 1).sum() for bits in tried)
    assert cost @ plan <= 500.0 + 1e-6
    assert example.left_h(plan, lost, 1).sum() == pytest.approx(best, rel=1e-3)


def test_main__plans_scores_and_draws(example: Any, made_up: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {"log": "outage_log_2013_2023.csv.gz", "storms": "storm_events.csv"}
    files = [part for key, name in names.items() for part in (f"--{key}", str(made_up / f"ma_dpu_west_{name}"))]
    few = ["--towns", str(made_up / "ma_town_attributes.csv"), "--budget", "500", "--crews", "1", "--level", "0.8"]
    figure = made_up / "map.png"
    assert example.main([*files, *few, "--seeds", "1", "--figure", str(figure)]) == 0
    shown = capsys.readouterr().out
    assert "6 towns; 8 storms to fit on, 8 to calibrate on, 8 later ones to score on" in shown
    assert shown.count("costs uniform") == shown.count("costs area") == 1
    assert figure.stat().st_size > 10_000


@pytest.mark.slow
def test_real_log__tri_level_is_lowest_against_its_own_set(example: Any, shared_data: Path) -> None:
    settings = settings_of(example, shared_data)
    with pytest.warns(UserWarning, match="2 time"):  # in the hour that the clock repeats
        region = example.read_region(settings)
    split = example.split_storms(region, settings)
    assert (len(region.town), [len(part) for part in split]) == (98, [14, 14, 18])
    seen = example.outlooks(region, split, settings, 0)
    cost = example.costs_of(region, "area", 0)
    plans = example.plans_of(seen, region.everyday, split, cost, settings)
    scores = {name: example.score(plan, region, split, seen["NCP"].sets, settings) for name, plan in plans.items()}
    least = min(found["adv"] for found in scores.values() if "adv" in found)
    assert scores[example.OURS]["adv"] <= least / (1 - example.GAP)
    assert all(scores[example.EACH]["mean"] <= found["mean"] * 1.001 for found in scores.values())
    assert scores[example.ONE]["mean"] <= scores[example.OURS]["mean"] * 1.001
