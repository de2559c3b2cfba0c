"""What is announced and what is true, of every environment: records that nobody can change, and no way ahead."""

from collections.abc import Iterator, Mapping
from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import registry

import stormgym  # noqa: F401  (registers the ids)
from stormgym.envs.restoration.knowledge import RestorationAnnounced

IDS = sorted(
    name
    for name, spec in registry.items()
    if str(spec.entry_point).startswith("stormgym.") and spec.vector_entry_point  # sides of a game know what it knows
)
SMALL: dict[str, dict[str, Any]] = {
    "Restoration-v0": {"city": "synthetic:9:2", "predictor": "cp", "shock": "group"},
    "GeneratorDispatch-v0": {"profile": "B"},
    "Undergrounding-v0": {"profile": "synthetic:6:1"},
    "PowerScheduling-v0": {"n_days": 60},
    "NetworkSecurity-v0": {"n_nodes": 12, "radius": 0.45},
}
BATCH = 3
each_id = pytest.mark.parametrize("env_id", IDS)


def begun(env_id: str, seed: int = 0, **kwargs: Any) -> Any:
    """Episodes that have just been drawn."""
    env = gym.make_vec(
        env_id, BATCH, vectorization_mode="vector_entry_point", **{**SMALL.get(env_id, {}), **kwargs}
    ).unwrapped
    env.reset(seed=seed)
    return env


def change_what_has_not_happened(env: Any) -> None:
    """Other repairs, another wave, another storm from now on, behind the environment's back."""
    process = env.core.process
    if process is None:  # a decision of one step
        env.core.cases.outcomes[:] += 1.0
    elif hasattr(process, "repaired_h"):  # crews
        process.jobs.duration_h[~np.isfinite(process.repaired_h)] *= 3.0
        to_come = process.jobs.arrival_h > process.t[:, None]
        process.jobs.arrival_h[to_come] += 0.25
        process.pending_h[(process.pending_h > process.t[:, None, None]) & np.isfinite(process.pending_h)] += 0.25
    elif hasattr(process, "duration_h"):
        still_open = process.action_mask > 0
        process.duration_h[still_open] *= 3.0
        process.log_ratio[still_open] += np.log(3.0)
    elif hasattr(process, "day"):
        for row, day in enumerate(process.day):
            process.out[row, day + 1 :] = 7.0
    else:
        process.outage_h[:] = 99.0


def parts_of(record: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every array and plain value of a record and of the records in it; objects of other kinds as they are."""
    if is_dataclass(record) and path.count(".") < 2:
        for field in fields(record):
            yield from parts_of(getattr(record, field.name), f"{path}.{field.name}")
    elif isinstance(record, Mapping):
        for name, value in record.items():
            yield from parts_of(value, f"{path}[{name!r}]")
    elif isinstance(record, tuple) and not isinstance(record, str):
        for i, value in enumerate(record):
            yield from parts_of(value, f"{path}[{i}]")
    else:
        yield path, record


def bits(value: Any) -> Any:
    return (value.dtype, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value


@each_id
@pytest.mark.parametrize("room", ["announced", "truth"])
def test_records__cannot_be_changed_and_change_nothing(env_id, room):
    env = begun(env_id)
    record = getattr(env, room)
    for field in fields(record):
        with pytest.raises(FrozenInstanceError):
            setattr(record, field.name, None)
    arrays = [(path, value) for path, value in parts_of(record) if isinstance(value, np.ndarray)]
    assert arrays or room == "announced"
    for path, array in arrays:
        assert not array.flags.writeable, path
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
        for owned in vars(env.core.process or env.core.cases).values():
            if isinstance(owned, np.ndarray):
                assert not np.shares_memory(array, owned), path


@each_id
def test_announced__does_not_depend_on_what_has_not_happened_yet(env_id):
    env, other = begun(env_id), begun(env_id)
    rng = np.random.default_rng(0)
    for step in range(3):
        before = {path: bits(value) for path, value in parts_of(env.announced)}
        change_what_has_not_happened(other)
        after = {path: bits(value) for path, value in parts_of(other.announced)}
        assert before == after, step
        truths = [list(parts_of(e.truth)) for e in (env, other)]
        assert any(not np.array_equal(a, b) for (_, a), (_, b) in zip(*truths, strict=True)), step
        action = env.action_space.sample() if step == 0 else action_of(env, rng)
        env.step(action)
        other.step(action)


def action_of(env: Any, rng: np.random.Generator) -> Any:
    env.action_space.seed(int(rng.integers(1_000)))
    return env.action_space.sample()


@each_id
def test_announced__is_a_snapshot_that_another_reset_leaves_as_it_is(env_id):
    env = begun(env_id)
    first = env.announced
    kept = {path: bits(value) for path, value in parts_of(first)}
    env.reset(seed=77)
    assert kept == {path: bits(value) for path, value in parts_of(first)}


def test_restoration__announces_these_things_and_no_index_of_a_record():
    assert [field.name for field in fields(RestorationAnnounced)] == [
        "city",
        "shock",
        "shock_log_sd",
        "max_travel_km",
        "cost_limit_h",
        "cost_limit_range_h",
        "risk_measure",
        "noise",
        "point_h",
        "quantile_levels",
        "quantile_h",
    ]
    record = begun("Restoration-v0").announced
    for path, value in parts_of(record):
        if path.startswith(".city"):
            continue
        assert not (isinstance(value, np.ndarray) and value.dtype.kind in "iu"), path
        n_records = len(record.city.log)
        assert n_records not in np.shape(value), f"{path} has a row a record: its order would tell which was drawn"


def test_restoration__a_shock_changes_durations_and_nothing_that_is_announced_of_jobs():
    calm, strong = begun("Restoration-v0", shock="none"), begun("Restoration-v0", shock="group", shock_log_sd=1.5)
    for name in ("point_h", "quantile_h", "quantile_levels"):
        assert bits(getattr(calm.announced, name)) == bits(getattr(strong.announced, name)), name
    assert not np.array_equal(calm.truth.duration_h, strong.truth.duration_h)
    assert (strong.announced.shock, strong.announced.shock_log_sd) == ("group", 1.5)


def test_restoration__announces_the_forecasts_of_the_current_jobs_and_the_noise_of_the_log():
    env = begun("Restoration-v0", max_travel_km=6.0, cost_limit=(4.0, 6.0))
    record, tables, row = env.announced, env.core.tables, env.core.process.row
    np.testing.assert_array_equal(record.quantile_h, tables.quantile_h[row])
    np.testing.assert_array_equal(record.point_h, env.core.observe()["point_h"])
    assert (record.max_travel_km, record.cost_limit_h, record.cost_limit_range_h) == (6.0, 5.0, (4.0, 6.0))
    assert record.city is env.city
    for g in range(3):
        of_group = [
            np.log(tables.repair_h[first : first + count] / tables.point_h[first : first + count])
            for region, (first, count) in enumerate(zip(tables.first, tables.count, strict=True))
            if tables.group[region] == g
        ]
        mean = np.mean([log.mean() for log in of_group])  # a region draws one of its records, whatever their number
        spread = np.mean([((log - mean) ** 2).mean() for log in of_group])
        np.testing.assert_allclose(record.noise.bias[g], mean, rtol=1e-12)
        np.testing.assert_allclose(record.noise.variance[g], spread, rtol=1e-12)


def test_restoration__given_jobs_without_quantiles_announce_none():
    env = gym.make("Restoration-v0", city="synthetic:9:2", predictor="none").unwrapped
    hours = np.full(9, 2.0)
    jobs = {"duration_h": hours, "lower_h": hours - 1, "upper_h": hours + 1, "point_h": hours}
    env.reset(seed=0, options={"jobs": jobs})
    assert env.announced.quantile_h is None
    quantile = np.tile([1.0, 2.0, 3.0], (9, 1))
    env.reset(seed=0, options={"jobs": {**jobs, "quantile_h": quantile}})
    np.testing.assert_array_equal(env.announced.quantile_h, quantile[None])
    np.testing.assert_array_equal(env.truth.duration_h, hours[None])


def test_dispatch_and_undergrounding__truth_is_the_wave_and_the_storm():
    dispatch, lines = begun("GeneratorDispatch-v0"), begun("Undergrounding-v0")
    np.testing.assert_array_equal(dispatch.truth.out, dispatch.process.out)
    assert dispatch.announced.profile is dispatch.profile
    np.testing.assert_array_equal(lines.truth.outage_h, lines.process.outage_h)
    known = lines.announced
    assert (known.profile, known.adversarial) == (lines.profile, False)
    assert known.cost_limit_h == lines.cost_limit
    np.testing.assert_array_equal(known.forecast.mean, lines.process.forecast.mean)
    assert begun("Undergrounding-v0", storm="adversarial").announced.adversarial


def test_undergrounding__the_game_announces_its_season_too():
    from stormgym.envs.undergrounding.adversary import DefenderAttackerEnv

    game = DefenderAttackerEnv("synthetic:6:1")
    game.reset(seed=0)
    known, alone = game.announced, gym.make("Undergrounding-v0", profile="synthetic:6:1").unwrapped
    alone.reset(seed=0)
    for mine, other in zip(known.forecast, alone.announced.forecast, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert known.adversarial
