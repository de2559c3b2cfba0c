"""Evaluations on the way: their scenarios, and how their scores are ranked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import stormgym  # noqa: F401
from stormgym.agents.mixed import policy_for
from stormgym.agents.registry import domain_of
from stormgym.agents.training import command
from stormgym.agents.training.play import EVALUATION_SEED, Score, make_training_env, play
from stormgym.envs.adapters.sb3_mixed import MixedVecEnv
from stormgym.envs.data.resolve import many_cities
from stormgym.envs.risk_measure import KINDS, MEAN, RiskMeasure

ENV_KWARGS: dict[str, Any] = {"city": "synthetic:7:1", "predictor": "none"}
MANY = "synthetic:5-9:3:3"
HEADLINE = domain_of("Restoration-v0").headline


def test_best_model__is_feasible_first_then_by_return(score: Callable[..., Score]) -> None:
    order = [score(-9, 20), score(-30, 9), score(-40, 8), score(-20, 2), score(-19, 7.9)]
    assert [s.rank for s in order] == sorted(s.rank for s in order)
    lucky = Score(np.zeros(4), np.array([7.0, 8.0, 7.5, 9.4]), 8.0, {})  # mean 7.975, but it may well be above 8
    assert lucky.mean_cost < 8.0 < 8.0 * lucky.cost_bounds[0]
    assert lucky.rank < score(-50, 7.9).rank
    near = replace(score(-30, 7.7), spared=0.05)  # 5 % of 8 h must stay free
    assert near.excess == pytest.approx(0.1)
    assert near.rank < replace(score(-50, 7.5), spared=0.05).rank
    unlimited = Score(np.array([1.0]), None, None, {})
    assert unlimited.rank > Score(np.array([0.5]), None, None, {}).rank
    assert set(unlimited.logged(HEADLINE)) == {"return"}


def test_play__meets_the_same_scenarios_whatever_the_policy_does() -> None:
    class Greedy:
        def __init__(self, column: str) -> None:
            self.column = column

        def predict(self, observation: Any, **_: Any) -> tuple[Any, None]:
            value = observation[self.column]
            return np.where(observation["action_mask"] > 0, value, np.inf).argmin(axis=-1), None

    venv = make_training_env("Restoration-v0", 4, {**ENV_KWARGS})
    first, other, again = (play(venv, Greedy(c), 10) for c in ("distance_km", "x_km", "distance_km"))
    assert len(first.returns) == 12  # the same number in each environment
    np.testing.assert_array_equal(first.returns, again.returns)
    assert not np.array_equal(first.returns, other.returns)
    assert first.metrics["mean_outage_h"] == pytest.approx(-first.mean_return, rel=1e-5)
    assert first.metrics["gap_h"] == pytest.approx(first.mean_cost)
    assert EVALUATION_SEED != command.HELD_OUT_SEED


def test_training_env__of_a_name_of_many_cities_is_mixed() -> None:
    told: list[tuple[int, int]] = []
    arguments = {"city": MANY, "cost_limit": 6.0, "predictor": "none"}
    venv = make_training_env("Restoration-v0", 4, arguments, on_city=lambda i, n: told.append((i, n)))
    assert isinstance(venv, MixedVecEnv)
    assert told == [(0, 3), (1, 3), (2, 3)]
    assert [city.name for city in venv.get_attr("city", [0, 2, 3])] == list(many_cities(MANY) or ())
    assert venv.get_attr("cost_limit") == [6.0] * 4


def test_play__of_many_cities_is_the_mean_over_rows(mixed: Callable[..., MixedVecEnv]) -> None:
    venv = mixed(cost_limit=(2.0, 20.0))
    score = play(venv, policy_for("nearest", venv), episodes=14, seed=5)
    again = play(venv, policy_for("nearest", venv), episodes=14, seed=5)
    assert score.returns.size == 14
    np.testing.assert_array_equal(score.returns, again.returns)
    assert score.limits is not None
    assert score.costs is not None
    assert score.cost_limit == pytest.approx(score.limits.mean())
    assert score.metrics["cost_limit_h"] == pytest.approx(score.limits.mean())
    assert score.metrics["over_limit"] == score.violation_rate
    assert score.cost_in_limits == pytest.approx((score.costs / score.limits).mean())
    assert score.logged(HEADLINE)["cost_in_limits"] == score.cost_in_limits
    assert -score.mean_return == pytest.approx(score.metrics["mean_outage_h"], rel=1e-6)


def test_play__with_one_limit_keeps_none_of_its_own(mixed: Callable[..., MixedVecEnv]) -> None:
    venv = mixed(cost_limit=5.0)
    score = play(venv, policy_for("nearest", venv), episodes=7)
    assert (score.cost_limit, score.limits) == (5.0, None)
    assert "cost_in_limits" not in score.logged(HEADLINE)


def test_score__limits_that_are_all_equal_rank_as_one_number() -> None:
    rng = np.random.default_rng(0)
    ranks: list[list[tuple[float, float]]] = [[], []]
    for _ in range(60):
        returns, costs = rng.normal(-30, 2, size=32), rng.gamma(4.0, rng.uniform(1.5, 2.3), size=32)
        ranks[0].append(Score(returns, costs, 8.0, {}).rank)
        ranks[1].append(Score(returns, costs, 8.0, {}, limits=np.full(32, 8.0)).rank)
    np.testing.assert_allclose(ranks[0], ranks[1], rtol=1e-12, atol=1e-12)
    assert np.argsort([r[0] for r in ranks[0]]).tolist() == np.argsort([r[0] for r in ranks[1]]).tolist()
    assert 5 < sum(r[0] == 0 for r in ranks[0]) < 55  # feasible and infeasible ones


def test_score__episodes_are_judged_by_their_own_limits() -> None:
    limits = np.array([4.0, 20.0] * 20)
    fair = Score(np.zeros(40), 0.9 * limits, 12.0, {}, limits)
    unfair = Score(np.zeros(40), np.full(40, 11.0), 12.0, {}, limits)  # the same for all: far over the small limits
    assert fair.excess == 0.0 < unfair.excess
    assert (fair.violation_rate, unfair.violation_rate) == (0.0, 0.5)
    assert unfair.mean_cost < fair.mean_cost + 1.0
    assert unfair.cost_in_limits == pytest.approx((11 / 4 + 11 / 20) / 2)


def test_score__of_a_limit_on_the_tail_is_judged_by_its_tail() -> None:
    costs = np.array([4.0] * 36 + [14.0] * 4)  # a mean of 5 h; 10 % over 8 h, whose mean is 14 h
    scores = {kind: Score(np.zeros(40), costs, 8.0, {}, measure=RiskMeasure.of(kind)) for kind in KINDS}
    assert scores["mean"].burden == pytest.approx(5 / 8)
    assert scores["cvar"].burden == pytest.approx(14 / 8)
    assert scores["chance"].burden == pytest.approx(1.0)
    assert scores["mean"].excess == 0.0 < scores["cvar"].excess
    assert "burden" not in scores["mean"].logged(HEADLINE)
    assert scores["cvar"].logged(HEADLINE)["burden"] == scores["cvar"].burden
    looser = Score(np.zeros(40), costs, 8.0, {}, measure=RiskMeasure("chance", 0.7))
    assert looser.burden == pytest.approx(1 / 3)
    assert looser.excess == 0.0 < scores["chance"].excess  # which holds the limit by luck alone


def test_score__of_the_mean_is_what_it_was() -> None:
    costs = np.random.default_rng(0).gamma(4.0, 2.0, size=32)
    plain, named = Score(np.zeros(32), costs, 8.0, {}), Score(np.zeros(32), costs, 8.0, {}, measure=MEAN)
    assert plain.cost_bounds == named.cost_bounds
    assert plain.rank == named.rank


def test_play__reads_what_the_limit_bounds(mixed: Callable[..., MixedVecEnv]) -> None:
    venv = mixed(cost_limit=5.0, cost_limit_kind="chance", cost_limit_level=0.8)
    score = play(venv, policy_for("nearest", venv), episodes=7)
    assert score.measure == RiskMeasure("chance", 0.8)
    assert score.burden == pytest.approx(score.violation_rate / 0.2)


def test_score__room_under_loose_limits_does_not_hide_what_happens_under_tight_ones() -> None:
    limits = np.linspace(4.0, 20.0, 40)
    costs = np.where(limits < 8.0, 1.3, 0.5) * limits  # 0.7 of the limit on average
    score = Score(np.zeros(40), costs, 12.0, {}, limits)
    assert score.cost_in_limits < 0.75
    assert score.cost_bounds == pytest.approx([1.3, 0.5, 0.5, 0.5])
    assert score.excess == pytest.approx(0.3 * 12.0 / 4)
