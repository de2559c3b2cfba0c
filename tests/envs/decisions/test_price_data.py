"""Prices of a folder: what is read, what is left out, what is refused, and that nothing of the day itself is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest

import stormgym  # noqa: F401 - registers the ids
from stormgym.envs.decisions.energy_scheduling import EnergySchedulingProblem
from stormgym.envs.decisions.price_data import COLUMNS, PriceDays, read_prices
from stormgym.envs.decisions.price_market import synthetic_prices

Change = Callable[[pd.DataFrame], pd.DataFrame]


def table(n_days: int = 30, minutes: int = 60) -> pd.DataFrame:
    """A user's own record; numbers tell day and hour."""
    n = n_days * 24 * 60 // minutes
    time = pd.date_range("2024-02-20", periods=n, freq=f"{minutes}min")
    day, hour = np.divmod(np.arange(n) * minutes // 60, 24)
    numbers = {name: 1_000.0 * k + day + hour / 100.0 for k, name in enumerate(COLUMNS)}
    return pd.DataFrame({"time": time.strftime("%Y-%m-%d %H:%M"), **numbers})


def kept(folder: Path, frame: pd.DataFrame, name: str = "prices.csv") -> Path:
    frame.to_csv(folder / name, index=False)
    return folder


@pytest.mark.parametrize("minutes", [60, 30])
def test_csv__is_read_by_day_and_hour(tmp_path: Path, minutes: int) -> None:
    shuffled = table(minutes=minutes).sample(frac=1.0, random_state=0)
    days = read_prices(kept(tmp_path, shuffled[shuffled.columns[::-1]]))
    assert len(days) == 29  # the first has no day before
    expected = 1.0 + np.arange(29)[:, None] + np.arange(24) / 100.0
    for k, name in enumerate(COLUMNS):
        np.testing.assert_allclose(getattr(days, name), 1_000.0 * k + expected)
    np.testing.assert_allclose(days.price_yesterday[:, 0], expected.mean(axis=1) - 1.0)
    np.testing.assert_allclose(days.price_yesterday[:, 1], expected.std(axis=1))
    assert days.dates[0] == np.datetime64("2024-02-21")
    assert days.calendar[0].argmax() == 2  # a Wednesday


def test_csv__half_hours_are_averaged(tmp_path: Path) -> None:
    frame = table(minutes=30)
    frame.loc[1::2, "price"] += 10.0
    days, plain = read_prices(kept(tmp_path, frame)), table()["price"].to_numpy().reshape(30, 24)
    np.testing.assert_allclose(days.price, plain[1:] + 5.0)


def test_csv__days_that_lack_a_number_are_left_out_and_so_are_those_after_a_day_without_prices(tmp_path: Path) -> None:
    frame = table()
    frame.loc[24 * 5 + 3, "wind_forecast"] = np.nan  # day 5 alone
    frame.loc[24 * 10 + 3, "price"] = np.nan  # days 10 and 11
    frame = frame.drop(index=24 * 20 + 7)  # days 20 and 21
    days = read_prices(kept(tmp_path, frame))
    day = np.round(days.price[:, 0]).astype(int).tolist()
    assert sorted(set(range(1, 30)) - set(day)) == [5, 10, 11, 20, 21]


def words(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype({"price": object}).assign(price=lambda f: ["dear", *f["price"][1:]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="wind_forecast"), "lacks the column 'wind_forecast'; it has time, price"),
        (words, "row 1: price must be a finite number, or empty where it is missing; got 'dear'"),
        (lambda f: f.assign(price=np.inf), "row 1: price must be a finite number.*got .*inf"),
        (lambda f: f.assign(price=np.nan), "at least 20 days with all of price.*are needed.*got 0 of 30"),
        (lambda f: f.head(24 * 20), "at least 20 days .*; got 19 of 20"),
        (lambda f: f.head(0), "holds no row beside its header"),
        (lambda f: pd.concat([f, f.tail(1)]), "time 2024-03-20 23:00:00 is there twice; leave out one of the rows"),
        (lambda f: f.assign(time=f["time"] + "+01:00"), r"times must be local and without a zone.*got .*\+01:00"),
        (lambda f: f.assign(time=["soon", *f["time"][1:]]), "times must be local and without a zone.*got 'soon'"),
        (lambda f: f.assign(time=f["time"].str.replace(":00", ":20")), "hourly or half-hourly.*got '2024-02-20 00:20'"),
    ],
)
def test_csv__that_cannot_be_used_is_an_error(tmp_path: Path, change: Change, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_prices(kept(tmp_path, change(table())))


def test_folder__must_be_there_and_hold_prices_of_one_layout(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist; data names a folder of electricity prices"):
        read_prices(tmp_path / "nowhere")
    with pytest.raises(
        FileNotFoundError, match=r"holds no prices: a \.dat file as prices2013\.dat, or \.csv with the header"
    ):
        read_prices(tmp_path)
    kept(tmp_path, table())
    (tmp_path / "prices2013.dat").write_text("#\n")
    with pytest.raises(ValueError, match=r"holds \.dat and \.csv files; keep prices of one layout in a folder"):
        read_prices(tmp_path)
    with pytest.raises(TypeError, match="data must be the path of a folder, as text"):
        gym.make("EnergyScheduling-v0", data=3)


def published(n_days: int, change: Callable[[int, list[str]], list[str]] | None = None) -> str:
    """A file in the published layout; fields from the right are numbers of their own."""
    lines = ["#DateTime Holiday ..."]
    for i in range(48 * n_days):
        day = pd.Timestamp("2011-11-01") + pd.Timedelta(days=i // 48)
        row = f'"tue {day.day}/{day.month}/{day.year} 00:00" "May Day" 0 1 44 {day.day} {day.month} {day.year} {i % 48}'
        values = [*row.split(" "), "300", "3000", "50", "NaN", "9", "600", "350", "3100", str(i % 48)]
        lines.append(" ".join(values if change is None else change(i, values)))
    return "\n".join(lines)


def test_dat__is_read_from_the_right_and_weather_may_lack(tmp_path: Path) -> None:
    (tmp_path / "prices.dat").write_text(published(25))
    days = read_prices(tmp_path)
    assert len(days) == 24
    np.testing.assert_allclose(days.price[0], 2.0 * np.arange(24) + 0.5)
    for name, value in (("wind_forecast", 300.0), ("load_forecast", 3_000.0), ("price_forecast", 50.0)):
        np.testing.assert_array_equal(getattr(days, name), value)


def test_dat__of_other_rows_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "prices.dat").write_text(published(25, lambda i, row: row[:4] if i == 3 else row))
    with pytest.raises(ValueError, match=r"cannot be read as prices2013\.dat: a row has 4 fields"):
        read_prices(tmp_path)
    (tmp_path / "prices.dat").write_text(published(25, lambda i, row: ["x", *row[1:-12], "may", *row[-11:]]))
    with pytest.raises(
        ValueError, match=r"cannot be read as prices2013\.dat: a year, month, day or half hour is missing"
    ):
        read_prices(tmp_path)


def test_icon__has_the_days_of_the_challenge(shared_data: Path) -> None:
    days = read_prices(shared_data / "dfl" / "icon_energy")
    assert len(days) == 786
    assert days.dates[0] == np.datetime64("2011-11-02")
    assert days.dates[-1] == np.datetime64("2013-12-31")
    assert 60 < days.price.mean() < 70
    assert np.corrcoef(days.price_forecast.ravel(), days.price.ravel())[0, 1] == pytest.approx(0.687, abs=0.01)
    env = gym.make("EnergyScheduling-v0", data=str(shared_data / "dfl" / "icon_energy"))
    env.reset(seed=0)
    *_, info = env.step(np.ones(24, dtype=np.float32))
    assert set(info["metrics"]) == {"cost", "optimum", "regret", "repaired"}  # nobody knows the law
    problem = env.unwrapped.problem
    with pytest.raises(ValueError, match="the true law of EnergySchedulingProblem is not known"):
        problem.true_plans(problem.cases("train"), 0.1)
    for method in (problem.true_mean, lambda c: problem.true_risk(problem.usual[:1], c, 0.1)):
        with pytest.raises(ValueError, match="is not known"):
            method(problem.cases("train"))


# -------------------------------------------------------------------------------------------------------- leakage


@pytest.mark.parametrize("days", [synthetic_prices(60), None], ids=["synthetic", "icon"])
def test_split__is_by_time_and_what_is_known_is_of_the_eve(days: PriceDays | None, request: Any) -> None:
    if days is None:
        days = read_prices(request.getfixturevalue("shared_data") / "dfl" / "icon_energy")
    problem = EnergySchedulingProblem(days)
    parts = [problem._cases(split) for split in ("train", "validation", "test")]
    n = len(days)
    assert [len(part) for part in parts] == [7 * n // 10, 8 * n // 10 - 7 * n // 10, n - 8 * n // 10]
    np.testing.assert_array_equal(np.concatenate([part.outcomes for part in parts]), days.price)
    # yesterday's mean and spread are those of the day before, where it is in the record
    follows = np.flatnonzero(np.diff(days.dates).astype(int) == 1) + 1
    assert len(follows) > 0.9 * n - 2
    np.testing.assert_allclose(days.price_yesterday[follows, 0], days.price[follows - 1].mean(axis=1))


def test_context__does_not_change_with_the_days_own_prices(tmp_path: Path) -> None:
    frame = table()
    before = read_prices(kept(tmp_path, frame))
    frame.loc[24 * 12 : 24 * 13 - 1, "price"] *= 7.0  # day 12, the eleventh of the record
    after = read_prices(kept(tmp_path, frame))
    assert before.key != after.key
    for name in ("load_forecast", "wind_forecast", "price_forecast", "calendar"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    changed = (before.price_yesterday != after.price_yesterday).any(axis=1)
    assert np.flatnonzero(changed).tolist() == [12]  # the day after it alone


def test_synthetic__repeats_itself_and_differs_by_instance() -> None:
    one, again, other = synthetic_prices(40, 1), synthetic_prices(40, 1), synthetic_prices(40, 2)
    np.testing.assert_array_equal(one.price, again.price)
    assert one.key == again.key != other.key
    assert (one.price != other.price).all()
    assert one.dates[0] == np.datetime64("2020-01-01")
    assert one.calendar[0].argmax() == 2  # a Wednesday


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_days": 19}, ValueError, "n_days must be at least 20; got 19"),
        ({"instance": 0.5}, TypeError, "instance must be a whole number"),
        ({"risk": 0}, ValueError, "risk must be in"),
    ],
)
def test_arguments__out_of_range_are_errors(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        gym.make("EnergyScheduling-v0", **arguments)
