"""Days of load: what is read from a folder and how it is mended, and a made-up town whose law is known."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stormgym.envs.decisions.load_data import CALENDAR, LoadDays, read_load, synthetic_law, synthetic_load

ZONE = "America/New_York"
FIELDS = ("load", "load_yesterday", "temperature", "temperature_yesterday", "calendar")


def hours_of(first: str, n_days: int) -> pd.DataFrame:
    """Every hour of some local days; load and temperature tell the day and the hour apart."""
    time = pd.date_range(first, pd.Timestamp(first) + pd.Timedelta(days=n_days), freq="h", tz=ZONE, inclusive="left")
    day = (time.normalize().tz_localize(None) - pd.Timestamp(first)).days
    return pd.DataFrame({"time": time, "load": 1.0 + day + time.hour / 100.0, "temperature": 50.0 - day + time.hour})


def write_txt(hours: pd.DataFrame, file: Path) -> None:
    """As the published files are: seconds since 1970, blanks, no header."""
    table = hours.assign(time=seconds(hours["time"]))
    table.to_csv(file, sep=" ", header=False, index=False, float_format="%.8e")


def write_csv(hours: pd.DataFrame, file: Path, as_text: bool) -> None:
    time: Any = [t.isoformat() for t in hours["time"]] if as_text else seconds(hours["time"])
    hours.assign(time=time).to_csv(file, index=False)


def seconds(time: pd.Series[Any]) -> Any:
    return time.map(lambda t: int(t.timestamp()))


def assert_same(found: LoadDays, expected: LoadDays) -> None:
    for name in FIELDS:
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-12, err_msg=name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


# ------------------------------------------------------------------------------------------------ what is read


def test_read__gives_days_with_their_day_before(folder: Path) -> None:
    write_txt(hours_of("2012-01-01", 4), folder / "load.txt")
    days = read_load(folder)
    assert len(days) == 3
    np.testing.assert_allclose(days.load, 1.0 + np.arange(1, 4)[:, None] + np.arange(24) / 100.0)
    np.testing.assert_allclose(days.load_yesterday, days.load - 1.0)
    np.testing.assert_allclose(days.temperature, 50.0 - np.arange(1, 4)[:, None] + np.arange(24))
    np.testing.assert_allclose(days.temperature_yesterday, days.temperature + 1.0)


@pytest.mark.parametrize("as_text", [False, True], ids=["seconds", "text"])
def test_read__text_with_a_zone_and_seconds_are_the_same_hours_across_both_changes_of_the_clock(
    folder: Path, as_text: bool
) -> None:
    for part in ("txt", "csv"):
        (folder / part).mkdir()
    for first in ("2012-03-09", "2012-11-02"):
        write_txt(hours_of(first, 4), folder / "txt" / f"{first}.txt")
        write_csv(hours_of(first, 4), folder / "csv" / f"{first}.csv", as_text)
    expected = read_load(folder / "txt")
    assert len(expected) == 6
    assert_same(read_load(folder / "csv"), expected)


def test_read__files_and_their_rows_may_come_in_any_order(folder: Path) -> None:
    hours = hours_of("2012-11-02", 4)  # clocks go back on the 4th
    for name in ("whole", "parts"):
        (folder / name).mkdir()
    write_txt(hours, folder / "whole" / "load.txt")
    shuffled = hours.sample(frac=1.0, random_state=3)
    write_txt(shuffled[:40], folder / "parts" / "z.txt")
    write_csv(shuffled[40:], folder / "parts" / "a.csv", as_text=True)
    assert_same(read_load(folder / "parts"), read_load(folder / "whole"))


def test_read__of_a_doubled_hour_the_later_is_kept(folder: Path) -> None:
    hours = hours_of("2012-11-03", 2)
    doubled = np.flatnonzero((hours["time"].dt.day == 4) & (hours["time"].dt.hour == 1))
    assert len(doubled) == 2
    hours.loc[doubled, "load"] = [7.0, 8.0]
    write_txt(hours, folder / "load.txt")
    assert read_load(folder).load[0, 1] == 8.0


def test_read__missing_hours_are_filled_backwards_and_then_forwards(folder: Path) -> None:
    hours = hours_of("2012-01-01", 2)
    hour = hours["time"].dt.hour
    second = hours["time"].dt.day == 2
    hours.loc[second & hour.isin([5, 6]), "load"] = np.nan  # a number is missing
    hours = hours[~(second & hour.isin([10, 22, 23]))]  # a row is missing
    write_csv(hours, folder / "load.csv", as_text=False)
    days = read_load(folder)
    expected = 2.0 + np.arange(24) / 100.0
    expected[[5, 6, 10]] = expected[[7, 7, 11]]
    expected[[22, 23]] = expected[21]
    np.testing.assert_allclose(days.load[0], expected)
    assert days.temperature[0, 5] == 54.0  # only what is missing is filled
    assert days.temperature[0, 10] == 60.0


def test_read__the_hour_that_clocks_skip_is_filled(folder: Path) -> None:
    write_txt(hours_of("2012-03-10", 2), folder / "load.txt")
    load = read_load(folder).load[0]
    assert load[2] == load[3]


def test_read__days_without_a_day_before_are_dropped(folder: Path) -> None:
    hours = hours_of("2012-01-01", 6)
    write_txt(hours[hours["time"].dt.day != 3], folder / "load.txt")
    days = read_load(folder)
    np.testing.assert_allclose(days.load[:, 0], [2.0, 5.0, 6.0])  # the 2nd, 5th and 6th: the 4th has no day before
    np.testing.assert_allclose(days.load_yesterday[:, 0], [1.0, 4.0, 5.0])


def test_read__other_files_of_the_folder_are_left_alone(folder: Path) -> None:
    write_txt(hours_of("2012-01-01", 3), folder / "load.txt")
    alone = read_load(folder)
    (folder / "LICENSE.txt").write_text("\n   Apache License\n")
    (folder / "other.csv").write_text("hour,price\n1,2\n")
    (folder / "load.md").write_text("1 2 3\n")
    assert_same(read_load(folder), alone)
    assert read_load(folder).key == alone.key


def test_read__key_tells_data_and_zones_apart(folder: Path) -> None:
    hours = hours_of("2012-01-01", 3)
    write_txt(hours, folder / "load.txt")
    key = read_load(folder).key
    assert read_load(str(folder)).key == key
    assert read_load(folder, "America/Chicago").key != key
    hours.loc[5, "load"] += 0.5
    write_txt(hours, folder / "load.txt")
    assert read_load(folder).key != key


def test_read__days_and_hours_are_those_of_the_zone(folder: Path) -> None:
    write_txt(hours_of("2012-01-01", 4), folder / "load.txt")
    there, here = read_load(folder, "America/Chicago"), read_load(folder)
    assert len(there) == len(here) + 1  # the first begins an hour earlier, on the day before
    np.testing.assert_allclose(there.load[1:, :23], here.load[:, 1:])
    np.testing.assert_allclose(there.load[:3, 23], here.load[:, 0])


def test_calendar__knows_weekends_holidays_and_daylight_saving(folder: Path) -> None:
    write_txt(hours_of("2012-07-01", 8), folder / "summer.txt")
    write_txt(hours_of("2012-12-24", 2), folder / "winter.txt")
    calendar = dict(zip(CALENDAR, read_load(folder).calendar.T, strict=True))
    # 2 to 8 July 2012, a Monday first, and Christmas
    np.testing.assert_array_equal(calendar["weekend"], [0, 0, 0, 0, 0, 1, 1, 0])
    np.testing.assert_array_equal(calendar["holiday"], [0, 0, 1, 0, 0, 0, 0, 1])
    np.testing.assert_array_equal(calendar["daylight_saving"], [1, 1, 1, 1, 1, 1, 1, 0])
    np.testing.assert_allclose(calendar["cos_day_of_year"] ** 2 + calendar["sin_day_of_year"] ** 2, 1.0)
    assert calendar["cos_day_of_year"][0] == pytest.approx(np.cos(2 * np.pi * 184 / 365))  # 2012 is a leap year


def test_published__files_give_the_days_of_the_paper(shared_data: Path) -> None:
    days = read_load(shared_data / "dfl" / "pjm_load")
    assert len(days) == 3_193
    assert (days.load.min(), days.load.max()) == (1.014, 3.054)
    for name in FIELDS:
        assert np.isfinite(getattr(days, name)).all(), name
    assert days.calendar[:, 0].mean() == pytest.approx(2 / 7, abs=0.01)
    assert 0.6 < days.calendar[:, 2].mean() < 0.7  # daylight saving time takes 34 weeks of a year


# ------------------------------------------------------------------------------------------------ what cannot be read


def test_errors__of_folders_and_zones(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"folder '.*nowhere' does not exist; data names a folder of hourly"):
        read_load(folder / "nowhere")
    (folder / "README.txt").write_text("no numbers here\n")
    with pytest.raises(FileNotFoundError, match=r"holds no load file: \.txt of time, load, temperature, or \.csv with"):
        read_load(folder)
    write_txt(hours_of("2012-01-01", 2), folder / "load.txt")
    for zone in ("Atlantis", "", "../localtime", None):
        with pytest.raises(ValueError, match=re.escape(f"must be an IANA name such as America/New_York; got {zone!r}")):
            read_load(folder, zone)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1325394000 1.5 50\n1325397600 none 50\n", "cannot be read as time, load, temperature: could not convert"),
        ("1325394000 1.5 50\n1325397600 1.5 50 7\n", "cannot be read as time, load, temperature: Error tokenizing"),
        ("1325394000 1.5 50\n1325397600 -1.5 50\n", "row 2: load must be at least 0 and finite; got [-1.5, 50.0]"),
        ("1325394000 inf 50\n", "row 1: load must be at least 0 and finite; got [inf, 50.0]"),
        ("1325394000 1.5 -inf\n", "row 1: load must be at least 0 and finite; got [1.5, -inf]"),
        ("1325394000 1.5 50\nnan 1.5 50\n", "cannot be read as time, load, temperature: a time is missing or not"),
        ("1325394000 1.5 50\n", "at least two days in a row are needed, with load and temperature; got 1 days"),
        ("1325394000 nan 50\n1325494000 1.5 50\n", "at least two days in a row are needed"),
    ],
)
def test_errors__of_a_txt_name_the_file_and_what_is_wrong(folder: Path, rows: str, message: str) -> None:
    (folder / "load.txt").write_text(rows)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read_load(folder)
    assert "at least two days" in message or str(folder / "load.txt") in str(caught.value)


@pytest.mark.parametrize(
    ("time", "message"),
    [
        ("2012-01-01T00:00", "times as text must have a zone, as 2012-01-01T00:00-05:00; got '2012-01-01T00:00'"),
        ("2012-01-01 00:00:00", "times as text must have a zone"),
        ("2012-01-01", "times as text must have a zone"),
        ("", "a time is missing or not finite"),
        ("soon", "times as text must have a zone, as 2012-01-01T00:00-05:00; got 'soon'"),
        ("2012-13-01T00:00Z", "cannot be read as time, load, temperature"),
    ],
)
def test_errors__of_times_as_text(folder: Path, time: str, message: str) -> None:
    (folder / "load.csv").write_text(f"time,load,temperature\n{time},1.5,50\n")
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read_load(folder)
    assert str(folder / "load.csv") in str(caught.value)


@pytest.mark.parametrize("time", ["2012-01-01T05:00Z", "2012-01-01 00:00-05:00", "2012-01-01T00:00:00-0500"])
def test_read__takes_the_usual_ways_to_write_a_zone(folder: Path, time: str) -> None:
    rows = f"Time, Load, Temperature\n{time},1.5,50\n2012-01-02T12:00:00-05:00,2.5,60\n"
    (folder / "load.csv").write_text(rows)
    days = read_load(folder)
    assert (days.load_yesterday == 1.5).all()
    assert (days.load == 2.5).all()


# ------------------------------------------------------------------------------------------------ the made-up town


@pytest.fixture(scope="module")
def town() -> LoadDays:
    return synthetic_load()


def standardised(days: LoadDays) -> np.ndarray:
    """Loads `[D, 24]` in spreads from the mean of the law, given what is known on the eve."""
    law = synthetic_law(days.load_yesterday, days.temperature_yesterday, days.temperature, days.calendar)
    return np.asarray((days.load - law.mean) / law.sd)


def test_town__is_the_same_for_the_same_number_alone(town: LoadDays) -> None:
    again, other = synthetic_load(), synthetic_load(instance=1)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(again, name), getattr(town, name))
    assert again.key == town.key != other.key
    assert (other.load != town.load).mean() > 0.99
    assert len(synthetic_load(40)) == 38
    assert len(town) == 1_459


def test_town__days_follow_each_other(town: LoadDays) -> None:
    np.testing.assert_array_equal(town.load_yesterday[1:], town.load[:-1])
    np.testing.assert_array_equal(town.temperature_yesterday[1:], town.temperature[:-1])


@pytest.mark.parametrize("instance", [0, 1])
def test_town__law_is_the_true_one(instance: int) -> None:
    z = standardised(synthetic_load(instance=instance))
    # 1,459 independent days: four standard errors, a false alarm of all these in 1 of 100 towns
    assert np.abs(z.mean(axis=0)).max() < 4.0 / np.sqrt(len(z))
    assert np.abs(z.std(axis=0) - 1.0).max() < 4.0 / np.sqrt(2.0 * len(z))
    between_days = (z[1:] * z[:-1]).mean(axis=0)
    assert np.abs(between_days).max() < 4.0 / np.sqrt(len(z))
    assert (z[:, 1:] * z[:, :-1]).mean() == pytest.approx(0.8, abs=0.02)  # of neighbouring hours


def test_town__is_less_certain_in_cold_and_heat(town: LoadDays) -> None:
    law = synthetic_law(town.load_yesterday, town.temperature_yesterday, town.temperature, town.calendar)
    mild = np.abs(town.temperature - 59.0) < 5.0
    assert law.sd[~mild].mean() > 1.3 * law.sd[mild].mean()
    assert law.sd.min() == pytest.approx(0.04)


@pytest.mark.parametrize("instance", [0, 1, 2])
def test_town__loads_are_of_the_published_size_and_keep_the_usual_ramp(instance: int) -> None:
    days = synthetic_load(instance=instance)
    assert 0.8 < days.load.min() < days.load.max() < 3.2
    assert np.abs(np.diff(days.load, axis=1)).max() < 0.4
