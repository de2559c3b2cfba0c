"""What a limit on the cost of episodes bounds: against NumPy and brute force, and as a mean of g over episodes."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stormgym.envs.making import make_batch
from stormgym.envs.risk_measure import KINDS, MEAN, RiskMeasure

COSTS = np.random.default_rng(0).gamma(3.0, 2.0, size=(4, 50))
TAILS = [RiskMeasure.of(kind, level) for kind in ("cvar", "chance") for level in (0.5, 0.9, 0.98)]
ENV: dict[str, Any] = {"city": "synthetic:6:1", "predictor": "none"}


def test_mean__is_numpys_to_the_bit():
    assert (RiskMeasure.of("mean").statistic(COSTS) == COSTS.mean(axis=-1)).all()
    assert MEAN == RiskMeasure.of()


def test_cvar__is_the_mean_of_the_worst_episodes():
    worst = np.sort(COSTS, axis=1)[:, -5:].mean(axis=1)
    np.testing.assert_allclose(RiskMeasure.of("cvar", 0.9).statistic(COSTS), worst)
    np.testing.assert_allclose(RiskMeasure.of("cvar", 0.98).statistic(COSTS), COSTS.max(axis=1))


def test_cvar__is_the_least_over_thresholds_of_rockafellar_and_uryasev():
    for row in COSTS:
        least = min(t + np.maximum(row - t, 0.0).mean() / 0.25 for t in row)  # convex, with corners at the costs
        np.testing.assert_allclose(RiskMeasure.of("cvar", 0.75).statistic(row), least)


@pytest.mark.parametrize("level", [0.5, 0.73, 0.9, 0.98])
def test_chance__is_the_least_limit_that_the_wanted_share_of_episodes_is_within(level):
    measure = RiskMeasure.of("chance", level)
    for row in COSTS:
        found = float(measure.statistic(row))
        within = [c for c in np.sort(row) if (row <= c).mean() >= level - 1e-12]
        assert found == within[0]
        assert (row <= found).mean() >= level > (row < found).mean()
    expected = np.quantile(COSTS, level, axis=1, method="inverted_cdf")
    np.testing.assert_array_equal(measure.statistic(COSTS), expected)


@pytest.mark.parametrize("measure", TAILS, ids=str)
@pytest.mark.parametrize("limit", [2.0, 6.0, 10.0, 14.0])
def test_g__has_a_mean_of_at_most_1_exactly_where_the_limit_holds(measure, limit):
    for row in COSTS:
        shares = row / limit
        mean = measure.g(shares, measure.threshold(shares)).mean()
        assert (mean <= 1.0 + 1e-12) == (measure.statistic(row) <= limit)
        if measure.kind == "cvar":
            np.testing.assert_allclose(mean, measure.statistic(shares))


@given(st.floats(0.0, 3.0), st.floats(0.05, 0.95))
def test_g__of_the_cvar_is_no_less_at_any_other_threshold(threshold, level):
    measure = RiskMeasure.of("cvar", level)
    shares = COSTS[0] / 6.0
    assert measure.g(shares, threshold).mean() >= measure.statistic(shares) - 1e-12


def test_g__of_the_mean_is_the_cost():
    assert MEAN.g(COSTS) is COSTS


def test_g__of_chance_is_a_step_or_a_ramp_of_some_width_around_the_limit():
    measure = RiskMeasure.of("chance", 0.8)
    shares = np.array([0.0, 0.85, 0.95, 1.0, 1.05, 1.15, 9.0])
    np.testing.assert_allclose(measure.g(shares), np.array([0, 0, 0, 0, 1, 1, 1]) / 0.2)
    np.testing.assert_allclose(measure.g(shares, width=0.1), np.array([0, 0, 0.25, 0.5, 0.75, 1, 1]) / 0.2)


@pytest.mark.parametrize("measure", [MEAN, *TAILS], ids=str)
def test_g__of_tensors_is_that_of_arrays(measure):
    for width in (0.0, 0.2):
        np.testing.assert_allclose(
            measure.g(torch.from_numpy(COSTS), 1.5, width=width).numpy(), measure.g(COSTS, 1.5, width=width)
        )


def test_threshold__is_the_quantile_for_the_cvar_and_nothing_for_others():
    cvar, chance = RiskMeasure.of("cvar", 0.8), RiskMeasure.of("chance", 0.8)
    np.testing.assert_array_equal(cvar.threshold(COSTS), chance.statistic(COSTS))
    np.testing.assert_array_equal(chance.threshold(COSTS), np.zeros(4))
    np.testing.assert_array_equal(MEAN.threshold(COSTS), np.zeros(4))


def test_name__is_what_tables_call_it():
    names = [RiskMeasure.of(kind).name for kind in KINDS]
    assert names == ["mean", "CVaR 0.1", "0.9 quantile"]
    assert RiskMeasure.of("cvar", 0.95).name == "CVaR 0.05"


def test_measure__is_frozen_and_the_usual_level_is_a_tenth():
    measure = RiskMeasure.of("cvar")
    assert measure == RiskMeasure.of("cvar", 0.9) == RiskMeasure("cvar", 0.9)
    assert measure.tail == pytest.approx(0.1)
    assert MEAN.tail == 1.0
    with pytest.raises(FrozenInstanceError):
        measure.level = 0.5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (("median",), ValueError, "cost_limit_kind must be one of mean, cvar, chance; got 'median'"),
        (("cvar", 90), ValueError, r"cost_limit_level must be in \(0, 1\), as 0.9; got 90. Did you mean 0.9\?"),
        (("cvar", 1.0), ValueError, r"cost_limit_level must be in \(0, 1\), as 0.9; got 1.0$"),
        (("chance", 0), ValueError, r"cost_limit_level must be in \(0, 1\)"),
        (("chance", float("nan")), ValueError, r"cost_limit_level must be in \(0, 1\)"),
        (("chance", "0.9"), TypeError, r"cost_limit_level must be a number in \(0, 1\); got '0.9'"),
        (("chance", True), TypeError, "cost_limit_level must be a number"),
        (("mean", 0.9), ValueError, "cost_limit_level is for the kinds cvar and chance, and the mean has none; got 0"),
    ],
)
def test_of__refuses(arguments, error, text):
    with pytest.raises(error, match=text):
        RiskMeasure.of(*arguments)


# ---------------------------------------------------------------------------------------------- of an environment


def test_restoration__announces_its_measure_and_plays_the_same_storms_under_each():
    steps = []
    for kind in KINDS:
        env = gym.make("stormgym:Restoration-v0", cost_limit_kind=kind, **ENV).unwrapped
        assert env.risk_measure == env.announced.risk_measure == RiskMeasure.of(kind)
        _, first = env.reset(seed=3)
        _, reward, _, _, info = env.step(2)
        steps.append((reward, info["cost"], first["cost_limit"]))
    assert steps[0] == steps[1] == steps[2]


def test_restoration__batches_have_it_and_other_environments_limit_the_mean():
    batch = make_batch("Restoration-v0", 2, {**ENV, "cost_limit_kind": "chance", "cost_limit_level": 0.8})
    assert batch.unwrapped.risk_measure == RiskMeasure("chance", 0.8)
    assert gym.make("stormgym:GeneratorDispatch-v0").unwrapped.risk_measure == MEAN


def test_restoration__refuses_a_level_without_a_kind():
    with pytest.raises(ValueError, match="cost_limit_level is for the kinds cvar and chance"):
        gym.make("stormgym:Restoration-v0", cost_limit_level=0.9, **ENV)
