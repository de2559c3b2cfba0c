"""The example of a utility's recorded storms: on made-up storms in the set's own form, and on the set where it is."""

from __future__ import annotations

import gzip
import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

FILE = Path(__file__).resolve().parents[2] / "examples" / "pge_storms.py"


@pytest.fixture(scope="module")
def example() -> Any:
    """The script as a module."""
    spec = spec_from_file_location("stormgym_example_pge", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)  # its dataclasses look for it there
    spec.loader.exec_module(module)
    return module


def stamp(times: Any) -> Any:
    return times.dt.strftime("%Y-%m-%dT%H:%MZ").where(times.notna(), "")


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory, example: Any) -> Path:
    """Four storms of 45 outages in two counties: reported, looked at, half of them repaired by a second crew."""
    folder, rng, parts, stated = tmp_path_factory.mktemp("pge"), np.random.default_rng(0), [], []
    for window, (start, _) in example.WINDOWS.items():
        n = 45
        minutes = pd.to_timedelta(np.sort(rng.uniform(0, 2000, n)).round(), "min")
        hours = [pd.to_timedelta(rng.gamma(2.0, scale, n).round(2) + 0.1, "h") for scale in (1.0, 0.4, 2.0, 1.5)]
        begin: Any = pd.Series(pd.Timestamp(start) + minutes)
        look = begin + hours[0]
        called, repair = look + hours[1], look + hours[1] + hours[2]
        second = pd.Series(rng.random(n) < 0.5)
        end = repair.where(second, look) + hours[3]
        ids = [f"{window[:4]}{i}" for i in range(n)]
        west = rng.random(n) < 0.5
        parts.append(
            pd.DataFrame(
                {
                    "window": window,
                    "id": ids,
                    "kind": "unplanned",
                    "region": "Town",
                    "county": np.where(west, "West", "East"),
                    "income_group": np.where(west, 1, 3),
                    "latitude": (38.0 + 0.1 * rng.random(n)).round(5),
                    "longitude": (-122.0 + np.where(west, -0.2, 0.2) + 0.1 * rng.random(n)).round(5),
                    "cause_first": rng.choice(["weather", "unknown"], n),
                    "start_utc": stamp(begin),
                    "first_seen_utc": stamp(begin),
                    "restored_est_utc": stamp(end),
                    "scrape_gap_min": 10.0,
                    "duration_h": ((end - begin).dt.total_seconds() / 3600).round(3),
                    "restored_quality": np.where(rng.random(n) < 0.1, "low", "high"),
                    "quality_notes": "",
                    "successor_id": "",
                    "cust_first": rng.integers(1, 90, n),
                    "status_last": "repair_onsite",
                    "t_assess_enroute_utc": "",
                    "t_assess_onsite_utc": stamp(look),
                    "t_repair_wait_utc": stamp(called.where(second)),
                    "t_repair_enroute_utc": "",
                    "t_repair_onsite_utc": stamp(repair.where(second)),
                    "etr_first_utc": "",
                    "etr_first_seen_utc": "",
                }
            )
        )
        told = begin + pd.Timedelta(hours=1)
        ert = end + pd.to_timedelta(rng.normal(0, 2, n).round(1), "h")
        stated.append(
            pd.DataFrame(
                {"window": window, "id": ids, "seen_utc": stamp(told), "etr_utc": stamp(ert), "is_auto": 0, "flag": ""}
            )[::2]
        )
    pd.concat(parts).to_csv(folder / "outages.csv.gz", index=False)
    pd.concat(stated).to_csv(folder / "etr_history.csv.gz", index=False)
    return folder


def test_made_up_storms__the_whole_way_once(example: Any, made_up: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure, numbers = made_up / "picture.png", made_up / "numbers.json"
    args = ["--data", str(made_up), "--units", "West, East", "--agents", "nearest", "list-rho", "--trees", "5"]
    args += ["--crews", "2", "matched", "--weights", "customers", "--hours", "2", "4"]
    args += ["--figure", str(figure), "--json", str(numbers)]
    assert example.main(args) == 0
    shown = capsys.readouterr().out
    assert shown.count("as recorded") == 2
    assert example.CANNOT_SAY.splitlines()[0] in shown
    assert "where PG&E had stated a time" in shown
    assert figure.stat().st_size > 10_000
    told = json.loads(numbers.read_text())
    two, matched = told["units"]
    assert two["crews"] == 2
    assert set(two["orders"]) == {"nearest", "list-rho", *example.RECORDED, example.AS_IT_WAS}
    recorded = matched["orders"][example.AS_IT_WAS]["mean_outage_h"]
    assert matched["orders"][example.RECORDED[2]]["mean_outage_h"] <= recorded
    assert [r["after_h"] for r in told["hours"]["rain_2021_12"]] == [2.0, 4.0]
    assert all(r["stated"] < r["open"] for r in told["hours"]["rain_2021_12"])


def test_matched__one_crew_less_is_later_than_recorded(example: Any, made_up: Path) -> None:
    settings = example.Settings(data=made_up, trees=5)
    storms = example.read_storms(made_up)
    name = "rain_2021_12"
    unit = example.make_unit(storms[name], ["West", "East"], example.read_groups(made_up))
    forecast = example.WorkForecast([storms[other] for other in example.WINDOWS if other != name], settings)

    def stage(n_crews: int) -> Any:
        return example.Stage(unit, n_crews, forecast, settings, "unit")

    n_crews = example.crews_of("matched", unit, stage)
    means = [stage(k).recorded(example.RECORDED[2]).figures["mean_outage_h"] for k in (n_crews - 1, n_crews)]
    assert means[0] > unit.storm.outage_h.mean() >= means[1]
    assert example.crews_of("7", unit, stage) == 7
    assert example.crews_of("formula", unit, stage) == round(0.91 * unit.peak**0.67)


def test_recorded_order__one_crew_restores_in_it(example: Any, made_up: Path) -> None:
    settings = example.Settings(data=made_up, trees=5)
    storms = example.read_storms(made_up)
    unit = example.make_unit(storms["rain_2021_12"], ["West"], example.read_groups(made_up))
    forecast = example.WorkForecast([storms["snow_2021_12"]], settings)
    stage = example.Stage(unit, 1, forecast, settings, "unit")
    run = stage.recorded("order of restoration")
    back = unit.storm.arrival_h + run.outage_h
    begun = back - unit.storm.duration_h
    order = np.argsort(back)
    for first, second in pairwise(order):  # what was open when the first was chosen came later
        if unit.storm.arrival_h[second] < begun[first] - 2.0:
            assert unit.storm.back_h[first] < unit.storm.back_h[second]
    assert run.figures["mean_outage_h"] == pytest.approx(run.outage_h.mean())


def test_roster__crews_go_by_counties_and_two_fifths_stay_by_night(example: Any, made_up: Path) -> None:
    storms = example.read_storms(made_up)
    unit = example.make_unit(storms["rain_2021_12"], ["West", "East"], example.read_groups(made_up))
    crews = example.roster_of(unit, 10, 0.4)
    assert sum(crew["off_h"] == 0.0 for crew in crews) == 4
    west = unit.all_jobs.region[unit.storm.row] == "West"
    depots = {crew["depot"] for crew in crews}
    assert len(depots) == 2
    n_west = sum(crew["depot"][0] < 0 for crew in crews)
    assert n_west == pytest.approx(10 * west.mean(), abs=1)


def test_settings__wrong_ones_are_named(example: Any, made_up: Path) -> None:
    for wrong, message in (
        ({"storms": ("storm",)}, "storms must be of bomb_cyclone_2019_11"),
        ({"crews": ("0",)}, "crews must be numbers above 0, 'formula' or 'matched'; got '0'"),
        ({"trees": 0}, "trees must be at least 1"),
        ({"hours": (0.0,)}, "hours must be above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            example.Settings(data=made_up, **wrong)
    storms = example.read_storms(made_up)
    with pytest.raises(ValueError, match="no outage is in county 'North'; there are East, West"):
        example.make_unit(storms["rain_2021_12"], ["North"], example.read_groups(made_up))
    with gzip.open(made_up / "outages.csv.gz", "rt", encoding="utf-8") as file:
        assert "assess_onsite" in file.readline()


def test_the_set__one_unit_is_played(example: Any, shared_data: Path) -> None:
    folder = shared_data / "pge_outages"
    if not folder.is_dir():
        pytest.skip(f"no outages of PG&E in {folder}")
    settings = example.Settings(data=folder, trees=5)
    name = "bomb_cyclone_2019_11"
    jobs = example.read_pge(folder / "outages.csv.gz", windows=[name], kinds=["unplanned"])
    start, end = (np.datetime64(text) for text in example.WINDOWS[name])
    recorded = example.Recorded(jobs, None, (jobs.arrival >= start) & (jobs.arrival < end))
    unit = example.make_unit(recorded, ["Napa", "Lake"], example.read_groups(folder))
    assert (len(unit.all_jobs), unit.peak) == (134, 33)
    forecast = example.WorkForecast([recorded], settings)
    run = example.Stage(unit, 5, forecast, settings, "unit").recorded("order of work")
    assert run.outage_h.shape == (len(unit.storm),)
    assert (run.outage_h > unit.storm.duration_h - 1e-6).all()
