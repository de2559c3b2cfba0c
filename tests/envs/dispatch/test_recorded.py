"""Storms of the past from a folder: what is read, what is refused, and that nothing of them reaches a forecast."""

import json
import sys
import time
import warnings
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
from gymnasium.utils.env_checker import check_env

from stormgym.agents.dispatch.planners import typical_storms
from stormgym.agents.lineup import make_policy
from stormgym.envs.data.tables import DataError
from stormgym.envs.dispatch.folder import load_profile
from stormgym.envs.dispatch.forecasts import typical_wave
from stormgym.envs.dispatch.generators import check_size
from stormgym.envs.dispatch.profiles import half_of_doing_nothing, resolve_profile, unserved_gap
from stormgym.envs.dispatch.recorded import RecordedProfile, first_periods

ROOT = Path(__file__).resolve().parents[3]
ENV_ID = "GeneratorDispatch-v0"
CUSTOMERS = {"01001": 4_000, "01003": 9_000, "01005": 2_500, "01007": 6_000}
STARTS = {"early": "2021-08-28T00:00:00", "late": "2023-01-30T18:00:00"}
PERIODS, HOURS = 6, 6.0
PER_PERIOD = 24  # times of 15 minutes
OPTIONS: dict[str, Any] = {
    "name": "four counties",
    "period_hours": HOURS,
    "windows": [
        {"name": name, "start": start, "end": str(np.datetime64(start) + np.timedelta64(36, "h"))}
        for name, start in STARTS.items()
    ],
    "generators": 12,
    "customers_per_generator": 500,
    "transport_cost": 300.0,
    "interruption_cost": 6.0,
    "operating_cost": 60.0,
    "rate": 4.0,
    "severity": [0.5, 1.5],
    "latest_onset": 2,
    "notes": {"costs": "assumed"},
}


def counts_of(name: str) -> np.ndarray:
    """Customers out `[T, K]` at every quarter of an hour from six hours before a window to six hours behind it."""
    t = np.arange((PERIODS + 2) * PER_PERIOD)
    peak, width = (70.0, 25.0) if name == "early" else (110.0, 40.0)
    share = np.array([0.6, 0.3, 0.0, 0.8]) if name == "early" else np.array([0.2, 0.7, 0.5, 0.0])
    wave = np.exp(-(((t - peak) / width) ** 2))[:, None] * share
    return np.floor(wave * np.array(list(CUSTOMERS.values())))


def rows(name: str, counts: np.ndarray) -> pd.DataFrame:
    """The counts in EAGLE-I's layout; NaN leaves a row out."""
    first = np.datetime64(STARTS[name]) - np.timedelta64(6, "h")
    time = pd.to_datetime(first + np.arange(len(counts)) * np.timedelta64(15, "m"))
    table = pd.DataFrame(counts, index=time.strftime("%Y-%m-%d %H:%M:%S"), columns=list(CUSTOMERS)).stack()
    names = ["run_start_time", "fips_code"]
    frame = table.rename_axis(names).rename("customers_out").reset_index().dropna()
    return frame.assign(county="somewhere", state="Alabama")


def write(folder: Path, outages: dict[str, np.ndarray] | None = None, **options: Any) -> Path:
    """A folder of two storms in four counties; an option that is None is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    place = {"income_usd": [30, 60, 45, 50], "lat": [30.0, 31.0, 30.5, 30.2], "lon": [-88.0, -87.0, -85.0, -86.0]}
    codes = [code.lstrip("0") for code in CUSTOMERS]  # a lost zero does not matter
    counties = pd.DataFrame({"fips_code": codes, "customers": CUSTOMERS.values(), **place})
    counties.to_csv(folder / "counties.csv", index=False)
    for name in STARTS:
        frame = rows(name, (outages or {}).get(name, counts_of(name)))
        frame.to_csv(folder / f"outages_{name}.csv.gz", index=False)
    given = {key: value for key, value in {**OPTIONS, **options}.items() if value is not None}
    (folder / "profile.json").write_text(json.dumps(given))
    return folder


def change(folder: Path, **columns: Any) -> Path:
    """Columns of counties.csv set anew; None leaves one out."""
    table = pd.read_csv(folder / "counties.csv", dtype=str)
    for name, values in columns.items():
        table = table.drop(columns=name) if values is None else table.assign(**{name: values})
    table.to_csv(folder / "counties.csv", index=False)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "storms")


def profile_of(folder: Path) -> RecordedProfile:
    profile = resolve_profile(str(folder))
    assert isinstance(profile, RecordedProfile)
    return profile


# ------------------------------------------------------------------------------------------------------ what is read


def test_folder__counts_become_means_over_periods_and_the_newest_before(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is missing or faulty
        profile = profile_of(folder)
    assert (profile.name, profile.county, profile.window) == ("four counties", tuple(CUSTOMERS), tuple(STARTS))
    assert (profile.n_counties, profile.n_periods, profile.n_unknown) == (4, PERIODS, 0)
    assert profile.n_counts == 2 * PERIODS * PER_PERIOD * 4
    np.testing.assert_array_equal(profile.population, list(CUSTOMERS.values()))
    for s, name in enumerate(STARTS):
        counts = counts_of(name)
        inside = counts[PER_PERIOD:-PER_PERIOD].reshape(PERIODS, PER_PERIOD, 4)
        np.testing.assert_allclose(profile.recorded[s, 1:], inside.mean(axis=1))
        np.testing.assert_array_equal(profile.recorded[s, 0], counts[PER_PERIOD])
    assert profile.cost_limit == half_of_doing_nothing(profile)
    assert (profile.severity, profile.latest_onset, profile.interruption_cost) == ((0.5, 1.5), 2, 6.0)


def test_folder__places_keep_their_proportions(folder: Path) -> None:
    place = profile_of(folder).place
    assert place.min() == 0.0
    assert place.max() == 1.0  # three degrees of longitude are wider than one of latitude
    east, north = np.ptp(place, axis=0)
    assert north / east == pytest.approx(1.0 / (3.0 * np.cos(np.radians(30.425))), rel=1e-6)
    assert place[:, 1].min() + place[:, 1].max() == pytest.approx(1.0)  # in the middle
    assert place[:, 0].argmax() == 2
    assert place[:, 1].argmax() == 1


def test_folder__faults_and_gaps_are_filled_counted_and_told(tmp_path: Path) -> None:
    counts = counts_of("early")
    broken = counts.copy()
    broken[60:64, 0] = np.nan  # a gap
    broken[70, 3] = 6_500.0  # more than the county has
    broken[75, 1] = 0.0  # a drop-out
    with pytest.warns(UserWarning, match=r"6 of 1,152 counts in the windows \(0.5%\) are missing or faulty"):
        profile = profile_of(write(tmp_path / "a", {"early": broken}))
    assert profile.n_unknown == 6
    whole = profile_of(write(tmp_path / "b"))
    np.testing.assert_allclose(profile.recorded, whole.recorded, rtol=0.01, atol=1.0)
    assert (profile.recorded <= profile.population).all()


def test_folder__what_is_seen_first_is_no_later_count(tmp_path: Path) -> None:
    counts = counts_of("early")
    counts[20 : PER_PERIOD + 4, 0] = np.nan
    counts[: PER_PERIOD + 4, 1] = np.nan
    with pytest.warns(UserWarning, match="are missing or faulty"):
        profile = profile_of(write(tmp_path, {"early": counts}))
    assert profile.recorded[0, 0, 0] == counts[19, 0]  # the newest that was known then
    assert profile.recorded[0, 0, 1] == 0.0  # nothing was
    assert profile.recorded[0, 1, 1] > 0.0


def test_folder__absent_rows_are_zero_only_if_it_says_so(tmp_path: Path) -> None:
    sparse = {name: np.where(counts_of(name) > 0, counts_of(name), np.nan) for name in STARTS}
    with pytest.raises(DataError, match=r"window 'early'.*(has no row in|must lie within)"):
        profile_of(write(tmp_path / "a", sparse))
    late = counts_of("late")
    late[:40] = np.nan  # the file begins four hours too late
    with pytest.warns(
        UserWarning, match=r"its first 4 h and its last 0 h; with 'missing_is_zero' that is taken for no"
    ):
        profile = profile_of(
            write(
                tmp_path / "b",
                {"late": late},
                missing_is_zero=True,
                windows=[{"name": "late", "start": "2023-01-30T18:00:00", "end": "2023-02-01T06:00:00"}],
            )
        )
    assert not profile.recorded[0, 0].any()
    whole = profile_of(write(tmp_path / "c"))
    with pytest.warns(UserWarning, match=r"its first 0 h and its last 6\.25 h"):
        shifted = profile_of(write(tmp_path / "d", sparse, missing_is_zero=True))
    np.testing.assert_allclose(shifted.recorded, whole.recorded)


def test_folder__half_hours_and_a_grid_that_begins_off_the_hour(tmp_path: Path) -> None:
    folder = write(tmp_path, interval_min=30)
    for file in folder.glob("outages*"):
        frame = pd.read_csv(file, dtype={"fips_code": str})
        time = pd.to_datetime(frame.run_start_time)
        kept = frame[time.dt.minute % 30 == 0].assign(run_start_time=(time + pd.Timedelta("20min")).astype(str))
        kept.to_csv(file, index=False)
    profile = profile_of(folder)
    assert profile.n_unknown == 0
    assert profile.n_counts == 2 * PERIODS * 12 * 4


def test_folder__columns_say_what_is_known_before_a_storm(folder: Path) -> None:
    plain = profile_of(folder).covariates
    np.testing.assert_array_equal(plain[..., :3], np.broadcast_to([20.0, 10.0, 0.5], (2, 4, 3)))
    np.testing.assert_array_equal(
        plain[..., 3], first_periods(profile_of(folder).recorded, profile_of(folder).population)
    )
    assert plain[0, 2, 3] == plain[1, 3, 3] == PERIODS  # they never had an outage
    change(folder, wind_ms=[11, 12, 13, 14], wind_ms_late=[31, 32, 33, 34], onset=[2, 2, 2, 2])
    known = profile_of(folder).covariates  # read again: a file has changed
    np.testing.assert_array_equal(known[..., 1], [[11, 12, 13, 14], [31, 32, 33, 34]])
    assert (known[..., 3] == 2).all()


def test_first_periods__are_the_first_with_one_per_cent_out() -> None:
    recorded = np.array([[[0.0, 10.0, 0.0], [9.9, 0.0, 0.0], [10.0, 0.0, 9.0]]])
    np.testing.assert_array_equal(first_periods(recorded, np.full(3, 1_000.0)), [[2, 0, 2]])


def test_resolve_profile__reads_a_folder_again_when_it_has_changed(folder: Path, monkeypatch: Any) -> None:
    first = profile_of(folder)
    assert profile_of(folder) is first
    monkeypatch.chdir(folder.parent)
    assert resolve_profile("storms") is first  # the same folder by another path
    write(folder, generators=7)
    assert profile_of(folder).generators == 7
    write(folder, generators=7, cost_limit=0.25)
    assert profile_of(folder).cost_limit == 0.25
    write(folder.parent / "A", generators=3)
    assert resolve_profile("A").n_counties == 3  # a name comes first
    assert resolve_profile("./A").n_counties == 4


# ------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"generator": 3}, r"unknown key 'generator'; known are .*'generators'"),
        ({"rate": None}, r"key 'rate' is missing; it must be a number above 0"),
        ({"rate": -1}, r"'rate' must be a number above 0; got -1"),
        ({"generators": 2.5}, r"'generators' must be a whole number of at least 0; got 2.5"),
        ({"generators": True}, r"'generators' must be a whole number of at least 0; got true"),
        ({"severity": [2.0, 1.0]}, r"severity must be a pair 0 <= low <= high"),
        ({"severity": 1.0}, r"'severity' must be two numbers; got 1.0"),
        ({"missing_is_zero": "yes"}, r"'missing_is_zero' must be true or false"),
        ({"rate": 90.0}, r"profile.json: an Euler step of 0.05 periods is too long"),
        ({"latest_onset": 99}, r"latest_onset must be from 0 to n_periods \(6\); got 99"),
        ({"windows": []}, r"'windows' must be a list"),
        ({"windows": [{"name": "a", "start": "2021-08-28"}]}, r"windows\[0\] must be an object of texts"),
        (
            {"windows": [{"name": "a", "start": "soon", "end": "2021-08-29"}]},
            r"window 'a': start must be an ISO 8601 date or time .*got 'soon'",
        ),
        (
            {"windows": [{"name": "a", "start": "2021-08-28", "end": "2021-08-28T07:00"}]},
            r"window 'a' must last one or more whole periods of 6 h; got .* 7 h",
        ),
        (
            {"windows": [OPTIONS["windows"][0], {"name": "b", "start": "2023-01-30T18:00", "end": "2023-01-31T18:00"}]},
            r"window 'b' must have as many periods as the first window, 6; got 4",
        ),
        ({"windows": [OPTIONS["windows"][0]] * 2}, r"window 'early': a window needs a name of its own"),
        (
            {"windows": [{"name": "a", "start": "2021-08-27", "end": "2021-08-28T12:00"}]},
            r"window 'a' must lie within the outage files, which have rows from 2021-08-27T18:00:00",
        ),
        ({"windows": [{"name": "a", "start": "2022-01-01", "end": "2022-01-02"}]}, r"window 'a': .*no row is left"),
        ({"period_hours": 0.4, "windows": [
            {"name": "a", "start": "2021-08-28T00:00", "end": "2021-08-28T04:00"}]}, r"must be a multiple of 0.25"),
    ],
)  # fmt: skip
def test_folder__wrong_options_are_named(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_profile(write(tmp_path, **options))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"customers": [0, 1, 2, 3]}, r"counties.csv, line 2, column 'customers': customers must be .* got '0'"),
        ({"income_usd": None}, r"counties.csv: column 'income_usd' is missing"),
        ({"lat": [95, 1, 2, 3]}, r"line 2, column 'lat': a latitude must be in"),
        ({"fips_code": ["1001", "01001", "1005", "1007"]}, r"line 3, column 'fips_code': .* line 2 has it too"),
        ({"fips_code": ["1001", "1003", "1005", "13001"]}, r"county 13001 of counties.csv has no row in outages_early"),
        ({"humidity": [50, 1, 0, 0]}, r"column 'humidity': humidity must be a share from 0 to 1; got '50'"),
        ({"onset": [0, 7, 0, 0]}, r"column 'onset': an onset must be a period from 0 to 6; got '7'"),
        ({"onset_last": [0, 0, 0, 0]}, r"column 'onset_last' names no window; there are \['early', 'late'\]"),
        ({"customers": [4000, 9000, 2500, 0.5]}, r"unknown|read off"),
    ],
)
def test_folder__wrong_counties_are_named(folder: Path, columns: dict[str, Any], message: str) -> None:
    change(folder, **columns)
    if message.startswith("unknown"):  # nearly all counts are above the customers: filled, and said so
        with pytest.warns(UserWarning, match=message):
            assert load_profile(folder)[0].n_unknown > 50
        return
    with pytest.raises(DataError, match=message):
        load_profile(folder)


def test_folder__missing_files_and_silent_counties_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such folder\. Give one with counties\.csv, profile\.json"):
        load_profile(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"or a folder with counties.csv.*got '.*nowhere'"):
        resolve_profile(str(tmp_path / "nowhere"))
    blank = rows("early", np.where(np.arange(4) == 1, np.nan, counts_of("early")))
    extra = blank[blank.fips_code == "01001"].assign(fips_code="1003", customers_out=np.nan)
    pd.concat([blank, extra]).to_csv(folder / "outages_early.csv.gz", index=False)
    with pytest.raises(DataError, match="window 'early': every count of county 01003 is missing or faulty"):
        load_profile(folder)
    for name in STARTS:
        rows(name, 0 * counts_of(name)).to_csv(folder / f"outages_{name}.csv.gz", index=False)
    with pytest.raises(DataError, match="nobody is out in any of the windows"):
        load_profile(folder)
    for file in folder.glob("outages*"):
        file.unlink()
    with pytest.raises(DataError, match=r"no outage file. Add one named outages\*"):
        load_profile(folder)
    (folder / "profile.json").unlink()
    with pytest.raises(DataError, match=r"profile\.json: no such file"):
        load_profile(folder)


def test_environment__takes_the_path_as_text_only(folder: Path) -> None:
    with pytest.raises(TypeError, match="profile must be a name or the path of a folder, as text"):
        gym.make(ENV_ID, profile=folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(
            ({name: 1e300}, rf"'{name}' must be at most 1,000,000,000; got 1e\+300")
            for name in ("transport_cost", "interruption_cost", "operating_cost", "customers_per_generator")
        ),
        ({"cost_limit": 2e9}, r"'cost_limit' must be at most 1,000,000,000; got 2000000000\.0"),
        ({"generators": 10_001}, r"'generators' must be at most 10,000; got 10001"),
        ({"generators": 10**400}, r"'generators' must be at most 10,000; got 1000000.*\(401 characters\)"),
        ({"rate": 10**400}, r"'rate' must be at most 1,000,000,000; got 1000"),
        ({"steps_per_period": 10**9}, r"'steps_per_period' must be at most 1,000; got 1000000000"),
        ({"restoration_noise": 1e300}, r"'restoration_noise' must be at most 100; got 1e\+300"),
        ({"interval_min": 7.5}, r"'interval_min' must be a whole number of at least 1; got 7\.5"),
        ({"interval_min": -15}, r"'interval_min' must be a whole number of at least 1; got -15"),
        ({"interval_min": 10_081}, r"'interval_min' must be at most 10,080"),
        ({"period_hours": 1e-300}, r"'period_hours' must be at least a minute, 1/60 h; got 1e-300"),
        ({"period_hours": 1e300}, r"'period_hours' must be at most 8,784; got 1e\+300"),
        (
            {"windows": [{"name": "a", "start": "1921-01-01", "end": "2021-01-01"}]},
            r"window 'a' must last at most 366 days; got 1921-01-01 to 2021-01-01, 36,525 days",
        ),
        ({"windows": [OPTIONS["windows"][0]] * 201}, r"'windows' must be at most 200 storms; got 201"),
        (
            {"windows": [{"name": "a", "start": "9999-12-31T00:00-14:00", "end": "9999-12-31T23:00"}]},
            r"window 'a': start must be of a year 1900 to 2200",
        ),
        (
            {"period_hours": 0.25, "windows": [{"name": "a", "start": "2021-01-01", "end": "2021-01-12"}]},
            r"there must be at most 1,000 periods; got 1,056\. Take fewer, or longer periods",
        ),
        ({"severity": [0.5, 1e300]}, r"profile\.json"),
    ],
)  # fmt: skip
def test_folder__numbers_and_windows_beyond_what_is_meant_to_work_are_named(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load_profile(write(tmp_path, **options))


def test_folder__the_largest_sizes_are_taken_and_more_are_refused() -> None:
    check_size(1_000, 200)
    check_size(200, 1_000)
    for size, message in (
        ((1_001, 3), "1,000 counties"),
        ((3, 1_001), "1,000 periods"),
        ((500, 401), "200,000 counties"),
    ):
        with pytest.raises(ValueError, match=f"there must be at most {message}"):
            check_size(*size)
    profile = resolve_profile("A")
    largest = {"generators": 10_000, "steps_per_period": 1_000, "transport_cost": 1e9, "cost_limit": 1e9}
    assert replace(profile, **largest).generators == 10_000
    for name, value in largest.items():
        with pytest.raises(ValueError, match=f"{name} must be at most"):
            replace(profile, **{name: 2 * value})


def test_folder__a_key_twice_is_named(folder: Path) -> None:
    file = folder / "profile.json"
    file.write_text(file.read_text().replace('"rate": 4.0', '"rate": 4.0, "rate": 2.0'))
    with pytest.raises(DataError, match=r"profile\.json: key 'rate' stands twice"):
        load_profile(folder)


def test_folder__what_is_doubtful_is_warned_of(tmp_path: Path) -> None:
    with pytest.warns(
        UserWarning, match=r"'latest_onset' is missing; simulated storms begin in .* 0 to 3 in each county"
    ):
        assert load_profile(write(tmp_path / "a", latest_onset=None))[0].latest_onset == 3
    with pytest.warns(UserWarning, match=r"counties\.csv: 4 of 4 counties have the same income, 5, and stand in diff"):
        load_profile(change(write(tmp_path / "b"), income_usd=[5, 5, 5, 5]))
    few = r"county 01001 has 100 customers in counties\.csv, and \d+% of its counts above 0 are larger \(up to 2400\)"
    with pytest.warns(UserWarning, match=few):
        load_profile(change(write(tmp_path / "c"), customers=[100, 9000, 2500, 6000]))


def test_environment__truths_are_no_numbers_of_generators_or_costs() -> None:
    for name in ("generators", "transport_cost", "cost_limit"):
        with pytest.raises(TypeError, match=f"{name} must be a (whole )?number; got True"):
            gym.make(ENV_ID, **{name: True})
    for name in ("generators", "interruption_cost"):
        with pytest.raises(ValueError, match=f"{name} must be at most"):
            gym.make(ENV_ID, **{name: 10**300})


@pytest.mark.parametrize(
    "name", ["a" * 5_000, "\0", "synthetic:" + "9" * 5_000 + ":0", "synthetic:\u0663:0", "synthetic:5"]
)
def test_environment__names_of_no_profile_are_named(name: str) -> None:
    with pytest.raises(ValueError, match="profile must be 'A', 'B'"):
        gym.make(ENV_ID, profile=name)


# ------------------------------------------------------------------------------------------- what is played and known


def test_draw__is_one_of_the_storms_by_its_own_stream(folder: Path) -> None:
    profile = profile_of(folder)
    drawn = profile.draw([np.random.default_rng(i) for i in range(400)])
    match = (drawn.out[:, None] == profile.recorded).all(axis=(2, 3))
    np.testing.assert_array_equal(match.sum(axis=1), 1)
    assert 0.4 < match[:, 0].mean() < 0.6
    alone = profile.draw([np.random.default_rng(7)])
    np.testing.assert_array_equal(alone.out[0], drawn.out[7])
    np.testing.assert_array_equal(drawn.covariates, profile.covariates[match.argmax(axis=1)])
    assert np.isnan(drawn.transmission).all()
    nothing = unserved_gap(profile.recorded[:, 1:].sum(axis=1), profile)
    assert nothing.min() < 2 * profile.cost_limit < nothing.max()


def test_forecasts_and_planners__know_nothing_of_what_was_recorded(tmp_path: Path) -> None:
    other = {name: counts_of(name)[::-1] * 0.5 for name in STARTS}
    one, two = write(tmp_path / "one"), write(tmp_path / "two", {n: np.floor(c) for n, c in other.items()})
    assert not np.array_equal(profile_of(one).recorded, profile_of(two).recorded)
    for ours, theirs in zip(typical_wave(str(one)), typical_wave(str(two)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(typical_storms(str(one)), typical_storms(str(two)))
    seen = [gym.make(ENV_ID, profile=str(path)).reset(seed=0)[0] for path in (one, two)]
    for key in ("forecast", "lower", "upper"):
        np.testing.assert_array_equal(seen[0][key], seen[1][key])
    for name in ("static-dispatch", "sample-average-dispatch"):
        plans = [make_policy(name, gym.make(ENV_ID, profile=str(path)))._plan for path in (one, two)]
        np.testing.assert_array_equal(*plans)
    simulated = profile_of(one).simulate([np.random.default_rng(i) for i in range(50)]).out
    assert not any((wave == simulated).all(axis=(1, 2)).any() for wave in profile_of(one).recorded)


def test_forecasts__follow_the_folder_and_not_its_name(folder: Path) -> None:
    before = typical_wave(str(folder)).forecast
    write(folder, rate=2.0)
    assert not np.array_equal(typical_wave(str(folder)).forecast, before)
    write(folder, generators=3, transport_cost=1.0)
    np.testing.assert_array_equal(typical_wave(str(folder)).forecast, before)


def test_native_vector__plays_as_single_ones(folder: Path) -> None:
    vector = gym.make_vec(ENV_ID, num_envs=5, vectorization_mode="vector_entry_point", profile=str(folder))
    obs, _ = vector.reset(seed=3)
    singles = [gym.make(ENV_ID, profile=str(folder)) for _ in range(5)]
    alone = [env.reset(seed=3 + i)[0] for i, env in enumerate(singles)]
    assert len({row.tobytes() for row in vector.unwrapped.process.out}) == 2  # both storms
    rng = np.random.default_rng(0)
    for _ in range(PERIODS):
        for key, values in obs.items():
            np.testing.assert_array_equal(values, np.stack([one[key] for one in alone]), err_msg=key)
        action = rng.integers(0, vector.single_action_space.nvec, (5, 4))
        obs, reward, ended, _, info = vector.step(action)
        steps = [env.step(row) for env, row in zip(singles, action, strict=True)]
        alone = [step[0] for step in steps]
        np.testing.assert_array_equal(reward, [step[1] for step in steps])
        np.testing.assert_array_equal(info["cost"], [step[4]["cost"] for step in steps])
        assert ended.tolist() == [step[2] for step in steps]


@pytest.mark.parametrize("action", ["units", "box"])
def test_environment__passes_the_checker_and_is_drawn(folder: Path, action: str) -> None:
    env = gym.make(ENV_ID, profile=str(folder), action=action, render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=UserWarning)
        warnings.filterwarnings("ignore", message=".*For Box action spaces, we recommend")  # generators are no shares
        check_env(env.unwrapped, skip_render_check=True)
    env.reset(seed=0)
    assert env.render().shape == (560, 1000, 3)
    text = gym.make(ENV_ID, profile=str(folder), render_mode="ansi").unwrapped
    text.reset(seed=0)
    assert all(code in text.render() for code in CUSTOMERS)  # counties go by their codes


def test_storms__can_be_simulated_so_that_training_sees_none_of_the_past(folder: Path) -> None:
    env = gym.make_vec(ENV_ID, 6, vectorization_mode="vector_entry_point", profile=str(folder), storms="simulated")
    obs, _ = env.reset(seed=0)
    profile = profile_of(folder)
    waves = env.unwrapped.process.out
    assert not (waves[:, None] == profile.recorded).all(axis=(2, 3)).any()
    assert len({wave.tobytes() for wave in waves}) == 6
    seen = gym.make(ENV_ID, profile=str(folder)).reset(seed=0)[0]
    assert {key: value.shape[1:] for key, value in obs.items()} == {key: value.shape for key, value in seen.items()}
    synthetic = [gym.make(ENV_ID, storms=storms).reset(seed=1)[0] for storms in ("drawn", "simulated")]
    for key, value in synthetic[0].items():
        np.testing.assert_array_equal(value, synthetic[1][key])
    with pytest.raises(ValueError, match="storms must be one of drawn, simulated; got 'real'"):
        gym.make(ENV_ID, storms="real")


def test_policies__nobody_beats_the_oracle(folder: Path) -> None:
    costs = {}
    for name in ("do-nothing", "online-greedy", "static-dispatch", "replanning-dispatch", "oracle-dispatch"):
        env = gym.make(ENV_ID, profile=str(folder))
        policy, (obs, info) = make_policy(name, env), env.reset(seed=1)
        state, ended = None, False
        while not ended:
            action, state = policy.predict(obs, state=state, deterministic=True)
            obs, _, ended, _, info = env.step(action)
        costs[name] = info["metrics"]["total_cost"]
    assert min(costs, key=lambda name: costs[name]) == "oracle-dispatch"
    assert costs["online-greedy"] < costs["do-nothing"]


# --------------------------------------------------------------------------------------------------------- real storms


def example() -> Any:
    spec = spec_from_file_location("stormgym_example_helene", ROOT / "examples" / "georgia_helene.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)  # its dataclasses look for it there
    spec.loader.exec_module(module)
    return module


def real(shared_data: Path, folder: Path, outages: str, **settings: Any) -> RecordedProfile:
    module, counties = example(), shared_data / "us_counties.csv"
    module.write_folder(module.Settings(outages=shared_data / outages, counties=counties, **settings), folder)
    with pytest.warns(UserWarning, match="are missing or faulty"):
        return profile_of(folder)


@pytest.mark.slow
def test_helene__is_replayed_and_planned_for(shared_data: Path, tmp_path: Path) -> None:
    helene = real(shared_data, tmp_path / "a", "ga_helene_2024_county_15min.parquet")
    assert (helene.n_counties, helene.n_periods, helene.n_unknown) == (159, 28, 222)
    wave = helene.recorded[0].sum(axis=1)
    assert wave.argmax() == 3  # landfall in Georgia in the night of the 26th
    assert wave.max() == pytest.approx(1.014e6, rel=1e-3)
    again = real(shared_data, tmp_path / "b", "ga_helene_2024_eaglei_format.csv.gz", customers=shared_data / "MCC.csv")
    np.testing.assert_allclose(again.recorded.sum(axis=(0, 2)), wave, rtol=0.1)  # other numbers of customers
    costs, state, ended = {}, None, False
    for name in ("do-nothing", "oracle-dispatch"):
        env = gym.make(ENV_ID, profile=str(tmp_path / "a"))
        (obs, info), began = env.reset(seed=0), time.perf_counter()
        policy, state, ended = make_policy(name, env), None, False
        while not ended:
            action, state = policy.predict(obs, state=state, deterministic=True)
            obs, _, ended, _, info = env.step(action)
        assert time.perf_counter() - began < 60.0  # about a second alone on a machine
        costs[name] = info["metrics"]["total_cost"]
    assert costs["oracle-dispatch"] < 0.65 * costs["do-nothing"]


def test_dorian__comes_from_a_feed_of_half_hours_in_local_time(shared_data: Path, tmp_path: Path) -> None:
    dorian = real(shared_data, tmp_path, "nc_emc_dorian_2019_county.csv.gz", storm="dorian")
    assert (dorian.n_counties, dorian.n_periods) == (100, 17)
    assert dorian.n_unknown / dorian.n_counts == pytest.approx(0.034, abs=0.002)  # a gap of hours in the first night
    wave = dorian.recorded[0].sum(axis=1)
    assert wave.argmax() == 6  # around noon of the 6th, UTC
    assert wave.max() == pytest.approx(85_913, rel=1e-3)
