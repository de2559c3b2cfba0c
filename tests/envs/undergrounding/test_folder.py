"""Regions and storms of a user's own: what a folder gives, what planners know of it, and the errors of its files."""

import json
import re
from pathlib import Path

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest

import stormgym  # noqa: F401  (registers the ids)
from stormgym.agents.lineup import make_policy
from stormgym.envs.data.tables import DataError, Table
from stormgym.envs.undergrounding.env import UndergroundingEnv
from stormgym.envs.undergrounding.folder import MAX_STORMS, _storms, load_profile
from stormgym.envs.undergrounding.recorded import RecordedUnderground

pytestmark = pytest.mark.filterwarnings("ignore:the regions' bounds are infinite")  # few storms, as users have


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    names = ["Ash", "Birch", "Cedar", "Elm", "Fir", "Gum"]
    pd.DataFrame(
        {
            "region": names,
            "customers": [900, 1200, 400, 2500, 700, 1500],
            "income_usd": [30_000, 42_000, 55_000, 61_000, 75_000, 90_000],
            "protect_cost": [200, 300, 120, 450, 180, 260],
            "x": rng.uniform(0, 30, 6).round(2),
            "y": rng.uniform(0, 10, 6).round(2),
        }
    ).to_csv(tmp_path / "regions.csv", index=False)
    rows = [
        {"storm": f"S{e:02d}", "region": name, "hours": round(float(rng.gamma(2.0, 2.0)), 2)}
        for e in range(24)
        for name in names
        if rng.random() < 0.8
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "storms.csv", index=False)
    (tmp_path / "profile.json").write_text(json.dumps({"budget": 800, "n_crews": 1, "notes": "made up"}))
    return tmp_path


def test_folder__episodes_replay_the_later_storms_and_planners_know_the_earlier(folder):
    profile = load_profile(folder)
    assert isinstance(profile, RecordedUnderground)
    assert profile.recorded_h.shape == (24, 6)
    assert profile.n_known == 16
    table = pd.read_csv(folder / "storms.csv").pivot(index="storm", columns="region", values="hours").fillna(0.0)
    np.testing.assert_array_equal(profile.recorded_h, table.to_numpy())
    streams = [np.random.default_rng(i) for i in range(200)]
    later = profile.draw_seasons(streams).outage_h
    assert {tuple(row) for row in later} == {tuple(row) for row in profile.recorded_h[16:]}
    known = profile.seasons(streams).outage_h
    assert {tuple(row) for row in known} == {tuple(row) for row in profile.recorded_h[:16]}
    samples = profile.seasons_given(np.zeros((3, 6, 4)), 16, 0)
    assert samples.shape == (16, 3, 6)
    np.testing.assert_array_equal(samples[:, 1], profile.recorded_h[:16])
    first, second = profile.learning_seasons()
    np.testing.assert_array_equal(np.vstack([first.outage_h, second.outage_h]), profile.recorded_h[:16])


@pytest.mark.slow
def test_folder__every_policy_plays_it_and_tells_regions_by_name(folder):
    env = UndergroundingEnv(str(folder), confidence_level=0.8, render_mode="ansi")
    names = ("tri-level", "sampled-hardening", "fair-hardening", "one-stage-mean", "gdf-knapsack", "oracle-hardening")
    losses = {}
    for name in names:
        policy = make_policy(name, env)
        total = []
        for seed in range(8):
            obs, _ = env.reset(seed=seed)
            state, ended = None, False
            while not ended:
                action, state = policy.predict(obs, state, deterministic=True)
                obs, _, ended, _, info = env.step(action)
            total.append(info["metrics"]["saidi_h"])
        losses[name] = np.mean(total)
    assert losses["oracle-hardening"] == min(losses.values())
    assert "Birch" in env.render()


def test_folder__a_level_that_storms_cannot_calibrate_warns_and_still_plays(folder):
    with pytest.warns(UserWarning, match="the regions' bounds are infinite: 8 calibration storms"):
        env = gym.make("Undergrounding-v0", profile=str(folder))
    obs, _ = env.reset(seed=0)
    assert np.isfinite(obs["upper"]).all()


def test_folder__is_read_again_when_a_file_has_changed(folder):
    assert UndergroundingEnv(str(folder), confidence_level=0.8).profile.budget == 800
    (folder / "profile.json").write_text(json.dumps({"budget": 900, "n_crews": 2, "cost_limit": 3.5, "n_known": 20}))
    profile = UndergroundingEnv(str(folder), confidence_level=0.8).profile
    assert (profile.budget, profile.n_crews, profile.cost_limit, profile.n_known) == (900, 2, 3.5, 20)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 800}, "key 'n_crews' is missing; it must be a whole number of at least 0. Add it."),
        ({"budget": 0, "n_crews": 1}, "'budget' must be a number above 0 and at most 1e+09; got 0. Correct it."),
        ({"budget": 10**400, "n_crews": 1}, "'budget' must be a number above 0 and at most 1e+09; got 1000"),
        ({"budget": 9, "n_crews": 10**30}, "'n_crews' must be a whole number of at least 0; got 1000"),
        ({"budget": 9, "n_crews": 6}, "fare alike in every known storm once 6 crews have answered"),
        ({"budget": 9, "n_crews": 1.5}, "'n_crews' must be a whole number of at least 0; got 1.5"),
        ({"budget": 9, "n_crews": 1, "crews": 2}, "unknown key 'crews'; known are"),
        ({"budget": 9, "n_crews": 1, "n_known": 24}, "n_known must leave a storm to play"),
        ({"budget": 9, "n_crews": 1, "n_known": 3}, "'n_known' must be a whole number of at least 4"),
    ],
)
def test_folder__bad_options_are_errors_that_name_the_cure(folder, options, message):
    (folder / "profile.json").write_text(json.dumps(options))
    with pytest.raises(DataError, match=re.escape(message)):
        load_profile(folder)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("regions.csv", lambda t: t.assign(customers=0), "customers must be a number above 0"),
        ("regions.csv", lambda t: t.assign(protect_cost=-1), "protect_cost must be a number above 0"),
        ("regions.csv", lambda t: t.assign(customers=1e12), "customers must be a number above 0 and at most 1e"),
        ("regions.csv", lambda t: t.assign(protect_cost=1e300), "protect_cost must be a number above 0 and at most 1e"),
        ("regions.csv", lambda t: t.drop(columns="x"), "^[^:]*regions.csv: column 'x' is missing"),
        ("regions.csv", lambda t: t.assign(income_usd="?"), "^[^:]*regions.csv, line 2, column 'income_usd'"),
        ("storms.csv", lambda t: t.assign(hours=1e300), "hours must be a number of at least 0 and at most 1e"),
        ("storms.csv", lambda t: t.replace("Ash", "Q"), "it must be a region of regions.csv; got 'Q'"),
        ("regions.csv", lambda t: t.head(2), "needs 3 to 400 regions; got 2"),
        ("regions.csv", lambda t: pd.concat([t, t.head(1)]), "each region needs an id of its own"),
        ("storms.csv", lambda t: t.assign(hours=-1.0), "hours must be a number of at least 0"),
        ("storms.csv", lambda t: t.replace("Ash", "Asch"), "Did you mean 'Ash'"),
        ("storms.csv", lambda t: pd.concat([t, t.head(1)]), "each storm and region have one row"),
        ("storms.csv", lambda t: t[t.storm < "S04"], "n_known must leave a storm to play"),
        ("storms.csv", lambda t: t.iloc[:0], "no rows below the column names"),
        ("storms.csv", lambda t: t.assign(hours=0.0), "income groups fare alike in every known storm"),
    ],
)
def test_folder__bad_tables_are_errors_that_say_where(folder, file, change, message):
    change(pd.read_csv(folder / file)).to_csv(folder / file, index=False)
    with pytest.raises(DataError, match=message.replace("(", r"\(")):
        load_profile(folder)


def test_folder__that_is_missing(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        load_profile(tmp_path / "none")
    with pytest.raises(ValueError, match=r"profile must be .* or a folder with regions\.csv"):
        UndergroundingEnv(str(tmp_path / "none"))


def test_folder__a_budget_too_small_is_told_as_it_stands_in_the_file(folder):
    (folder / "profile.json").write_text(json.dumps({"budget": 50, "n_crews": 1}))
    with pytest.raises(ValueError, match=r"budget must pay for one region at least \(120\); got 50"):
        UndergroundingEnv(str(folder), confidence_level=0.8)


def test_folder__too_few_storms_for_a_network_name_the_cure(folder):
    options = {"budget": 800, "n_crews": 1, "n_known": 4}
    (folder / "profile.json").write_text(json.dumps(options))
    with pytest.raises(ValueError, match=r"forecast 'ncp' cannot be fitted on 2 storms of 6 regions.*'empirical'"):
        UndergroundingEnv(str(folder))
    obs, _ = UndergroundingEnv(str(folder), forecast="empirical").reset(seed=0)
    assert np.isfinite(obs["upper"]).all()
    (folder / "profile.json").write_text(json.dumps(options | {"n_known": 6}))
    with pytest.warns(UserWarning, match="bounds are infinite"):
        UndergroundingEnv(str(folder))


@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
def test_folder__names_are_no_mathematics_in_pictures(folder, mode):
    for file in ("regions.csv", "storms.csv"):
        pd.read_csv(folder / file).replace("Ash", r"$\frac{a$").to_csv(folder / file, index=False)
    (folder / "profile.json").write_text(json.dumps({"budget": 800, "n_crews": 1, "name": "$x" * 60 + "$"}))
    env = UndergroundingEnv(str(folder), confidence_level=0.8, render_mode=mode)
    env.reset(seed=0)
    picture = env.render()
    assert mode != "ansi" or max(map(len, picture.splitlines())) <= 80


def test_folder__equal_incomes_are_warned_of_and_what_is_too_much_is_named(folder):
    table = pd.read_csv(folder / "regions.csv")
    table.assign(income_usd=5).to_csv(folder / "regions.csv", index=False)
    with pytest.warns(
        UserWarning, match=r"regions\.csv: 6 of 6 regions have the same income, 5, and stand in different"
    ):
        load_profile(folder)
    table.assign(x=1e300).to_csv(folder / "regions.csv", index=False)
    with pytest.raises(DataError, match=r"column 'x': a place must be a number from -1e\+12 to 1e\+12; got '1e\+300'"):
        load_profile(folder)
    table.to_csv(folder / "regions.csv", index=False)

    def storms(n: int) -> Table:
        cells = {"storm": [str(i) for i in range(n)], "region": ["Ash"] * n, "hours": ["1.0"] * n}
        return Table("storms.csv", cells, list(range(n)))

    assert _storms(storms(MAX_STORMS), tuple(table.region))[1].shape == (MAX_STORMS, 6)
    with pytest.raises(DataError, match=r"storms\.csv: at most 10,000 storms; got 10,001\. Leave the earliest out"):
        _storms(storms(MAX_STORMS + 1), tuple(table.region))
