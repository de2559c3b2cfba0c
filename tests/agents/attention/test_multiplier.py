"""A multiplier that is a function of the limit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from stormgym.agents.attention.multiplier import (
    N_RECENT,
    LagrangeMultiplier,
    LimitMultiplier,
    cost_limit_of,
    limits_cost,
    measure_of,
    tightness_of,
)
from stormgym.envs.risk_measure import MEAN, RiskMeasure


def test_limit_multiplier__rises_where_the_limit_is_broken_and_only_there() -> None:
    multiplier = LimitMultiplier(1.0, 4.0, n_knots=3, initial=1.0, learning_rate=0.1)
    limits, scale = torch.tensor([1.0, 4.0]), torch.ones(2)
    before = multiplier.of(limits, scale)
    torch.testing.assert_close(before, torch.ones(2))
    for _ in range(5):
        multiplier.update_each(torch.tensor([2.0, 2.0]), limits, scale)
    after = multiplier.of(limits, scale)
    assert after[0] > 1.1
    assert after[1] < 0.9
    middle = multiplier.of(torch.tensor([2.0]), torch.ones(1))
    torch.testing.assert_close(middle, torch.ones(1))  # its knot saw no episode
    between = float(multiplier.of(torch.tensor([1.3]), torch.ones(1)))
    assert 1.0 < between < float(after[0])
    torch.testing.assert_close(multiplier.of(torch.tensor([0.1]), torch.ones(1)), after[:1])


def test_limit_multiplier__is_one_multiplier_when_all_limits_are_alike() -> None:
    one = LagrangeMultiplier(0.9, initial=0.5, learning_rate=0.05)
    many = LimitMultiplier(1.0, 3.0, margin=0.9, n_knots=3, initial=0.5, learning_rate=0.05)
    limits, scale = torch.full((4,), 1.0), torch.ones(4)
    costs = torch.tensor([1.0, 1.5, 0.9, 1.2])
    for _ in range(3):
        one.update_each(costs, limits, scale)
        many.update_each(costs, limits, scale)
    assert float(many.of(limits, scale)[0]) == pytest.approx(one.value, rel=1e-6)


def test_limit_multiplier__refuses_what_it_cannot_use() -> None:
    with pytest.raises(ValueError, match="0 < low < high"):
        LimitMultiplier(2.0, 1.0)
    with pytest.raises(ValueError, match="n_knots must be at least 2"):
        LimitMultiplier(1.0, 2.0, n_knots=1)
    with pytest.raises(ValueError, match="costs of finished episodes"):
        LimitMultiplier(1.0, 2.0).update_each(torch.tensor([float("nan")]), torch.ones(1), torch.ones(1))


class Attributes:
    """As much of a `VecEnv` as is asked: attributes of its environments."""

    def __init__(self, **values: list[Any]) -> None:
        self.values = values

    def has_attr(self, name: str) -> bool:
        return name in self.values

    def get_attr(self, name: str) -> list[Any]:
        return self.values[name]


@pytest.mark.parametrize(
    ("limits", "ranges", "units", "expected"),
    [
        ([8.0, 8.0], [None, None], [2.0, 2.0], None),  # one multiplier will do
        ([8.0, 8.0], [None, None], [2.0, 4.0], (2.0, 4.0)),  # episodes of two sizes
        ([8.0, 6.0], [None, None], [2.0, 2.0], (3.0, 4.0)),
        ([12.0, 12.0], [(4.0, 20.0)] * 2, [2.0, 2.0], (2.0, 10.0)),
        ([12.0, 12.0], [(12.0, 12.0)] * 2, [2.0, 2.0], (6.0, 6.06)),
    ],
)
def test_tightness__spans_the_limits_in_units_of_return(
    limits: list[float], ranges: list[Any], units: list[float], expected: tuple[float, float] | None
) -> None:
    env: Any = Attributes(cost_limit=limits, cost_limit_range=ranges, return_unit=units)
    found = tightness_of(env)
    assert found is None if expected is None else found == pytest.approx(expected)


def test_tightness__of_environments_without_limits_of_their_own_is_none() -> None:
    assert tightness_of(None) is None
    others: Any = Attributes(cost_limit=[8.0])
    assert tightness_of(others) is None


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"limit": 0.0}, "limit must be a positive number; got 0.0"),
        ({"limit": math.inf}, "limit must be a positive number; got inf"),
        ({"limit": 1.0, "initial": -0.1}, r"initial must be in \[0, 100.0\]; got -0.1"),
        ({"limit": 1.0, "initial": 100.1}, r"initial must be in \[0, 100.0\]; got 100.1"),
        ({"limit": 1.0, "method": "adam"}, "method must be 'softplus' or 'projected'; got 'adam'"),
    ],
)
def test_multiplier__bad_arguments_are_named(wrong: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        LagrangeMultiplier(**wrong)


@pytest.mark.parametrize("initial", [1e-4, 0.3, 1.0, 7.0, 100.0])
@pytest.mark.parametrize("method", ["softplus", "projected"])
def test_multiplier__begins_where_it_is_told_and_is_a_price_by_unit(initial: float, method: Any) -> None:
    one = LagrangeMultiplier(4.0, initial=initial, method=method)
    assert one.value == pytest.approx(initial, rel=1e-12)
    assert one.per_unit == pytest.approx(initial / 4.0, rel=1e-12)
    limits = torch.ones((2, 3), dtype=torch.float32)
    of = one.of(limits, limits)
    assert (of.shape, of.dtype) == (limits.shape, limits.dtype)
    torch.testing.assert_close(of, torch.full((2, 3), initial))
    assert LagrangeMultiplier(4.0).value == pytest.approx(1.0)
    assert LagrangeMultiplier(4.0, initial=0.0, method="projected").value == 0.0


def test_multiplier__projected_is_the_step_of_the_paper_with_its_bounds() -> None:
    one = LagrangeMultiplier(8.0, initial=0.1, learning_rate=0.5, method="projected", maximum=0.6)
    assert one.update(12.0) == pytest.approx(0.1 + 0.5 * (12.0 / 8.0 - 1.0))
    assert one.update(4.0) == pytest.approx(0.35 - 0.25)
    assert one.update(0.0) == 0.0
    assert one.update(800.0) == 0.6
    assert float(one.raw.detach()) == 0.6


def test_multiplier__softplus_follows_the_excess_and_stays_in_bounds() -> None:
    one = LagrangeMultiplier(8.0, initial=1.0)
    raw = float(one.raw.detach())
    one.update(8.1)
    assert float(one.raw.detach()) == pytest.approx(raw + 0.02)  # Adam's first step is its rate, up
    one = LagrangeMultiplier(8.0, initial=1.0)
    one.update(7.9)
    assert float(one.raw.detach()) == pytest.approx(raw - 0.02)
    wide = LagrangeMultiplier(8.0, initial=1.0, learning_rate=50.0, maximum=3.0)
    assert wide.update(80.0) == 3.0
    assert float(wide.raw.detach()) == 3.0
    for _ in range(9):
        wide.update(0.0)
    assert float(wide.raw.detach()) == -10.0
    assert 0.0 < wide.value < 1e-4
    for missing in (None, math.nan, math.inf):
        with pytest.raises(ValueError, match="the dual step needs the mean cost of finished episodes"):
            one.update(missing)  # type: ignore[arg-type]


def test_limit_multiplier__knots_are_even_in_the_logarithm_and_weights_sum_to_one() -> None:
    many = LimitMultiplier(1.0, 32.0)
    torch.testing.assert_close(many.knots.exp(), torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0, 32.0], dtype=torch.float64))
    assert many.value == pytest.approx(1.0)
    tightness = torch.tensor([[0.5, 1.0, 2.0], [3.0, 32.0, 90.0]])
    weights = many._weights(tightness)
    torch.testing.assert_close(weights.sum(-1), torch.ones((2, 3), dtype=torch.float64))
    assert weights[0, 0].tolist() == weights[0, 1].tolist() == [1.0, 0, 0, 0, 0, 0]
    torch.testing.assert_close(weights[1, 2], torch.tensor([0.0, 0, 0, 0, 0, 1], dtype=torch.float64))
    for low, high, n, rule in ((0.0, 1.0, 3, "0 < low < high"), (1.0, 1.0, 3, "0 < low < high"), (1.0, 2.0, 1, "2")):
        with pytest.raises(ValueError, match=rule):
            LimitMultiplier(low, high, n_knots=n)
    assert LimitMultiplier(1.0, 2.0, n_knots=2).knots.numel() == 2


def test_limit_multiplier__is_linear_between_knots_wherever_they_begin() -> None:
    multiplier = LimitMultiplier(2.0, 8.0, n_knots=3)
    multiplier.raw.data = torch.tensor([0.0, 1.0, 3.0], dtype=torch.float64)
    limits = torch.tensor([1.0, 2.0, math.sqrt(8.0), 4.0, math.sqrt(32.0), 8.0, 9.0])
    raw = torch.tensor([0.0, 0.0, 0.5, 1.0, 2.0, 3.0, 3.0])
    torch.testing.assert_close(multiplier.of(limits, torch.ones(7)), torch.nn.functional.softplus(raw))
    torch.testing.assert_close(multiplier.of(10.0 * limits, torch.full((7,), 10.0)), torch.nn.functional.softplus(raw))


def test_limit_multiplier__first_step_is_the_rate_at_knots_that_saw_an_episode() -> None:
    multiplier = LimitMultiplier(1.0, 4.0, n_knots=3, learning_rate=0.05)
    before = multiplier.raw.detach().clone()
    multiplier.update_each(torch.tensor([3.0, 1.0]), torch.tensor([1.0, 4.0]), torch.ones(2))
    torch.testing.assert_close(multiplier.raw.detach() - before, torch.tensor([0.05, 0.0, -0.05], dtype=torch.float64))
    assert LimitMultiplier(1.0, 4.0).learning_rate == LagrangeMultiplier(1.0).learning_rate == 0.02


def test_limit_multiplier__stays_within_its_bounds() -> None:
    for raw, cost, bound in ((99.8, 100.0, 100.0), (-9.8, 0.0, -10.0)):
        multiplier = LimitMultiplier(1.0, 4.0, n_knots=2, learning_rate=1.0)
        multiplier.raw.data.fill_(raw)
        for _ in range(3):
            multiplier.update_each(torch.full((2,), cost), torch.tensor([1.0, 4.0]), torch.ones(2))
        assert multiplier.raw.detach().tolist() == [bound] * 2


def test_multiplier__softplus_step_is_adams_on_the_excess() -> None:
    multiplier = LagrangeMultiplier(4.0, initial=0.7, learning_rate=0.1)
    x = torch.nn.Parameter(multiplier.raw.detach().clone())
    adam = torch.optim.Adam([x], lr=0.1)
    for cost in (8.0, 5.0, 1.0, 4.2):
        x.grad = -(cost / 4.0 - 1.0) * torch.sigmoid(x.detach())
        adam.step()
        multiplier.update(cost)
        torch.testing.assert_close(multiplier.raw.detach(), x.detach())


def test_tail__an_actor_may_have_the_step_of_a_chance_smoothed() -> None:
    measure = RiskMeasure.of("chance", 0.8)
    shares = torch.tensor([0.5, 0.9, 1.1, 2.0])
    sharp, wide = (LagrangeMultiplier(8.0, measure=measure).burden(shares, shares, shares, w) for w in (0.0, 0.5))
    torch.testing.assert_close(sharp, torch.tensor([0.0, 0.0, 5.0, 5.0]))
    torch.testing.assert_close(wide, measure.g(shares, 0.0, width=0.5))
    assert not torch.equal(sharp, wide)


def test_tightness__below_one_and_of_environments_that_tell_half_of_it() -> None:
    told = {"cost_limit": [0.2, 0.4], "cost_limit_range": [None, None], "return_unit": [1.0, 1.0]}
    assert tightness_of(attributes(**told)) == (0.2, 0.4)
    assert tightness_of(attributes(cost_limit=[0.2, 0.4], cost_limit_range=[None, (0.1, 0.5)])) is None


def test_limit_multiplier__its_knots_follow_their_own_excess_by_limit_and_unit() -> None:
    many = LimitMultiplier(1.0, 4.0, n_knots=3, margin=0.5, initial=1.0, learning_rate=0.1)
    raw = many.raw.detach().clone()
    limits, scale = torch.tensor([2.0, 8.0]), torch.tensor([2.0, 2.0])  # tightness 1 and 4
    many.update_each(torch.tensor([1.2, 3.8]), limits, scale)  # the margin halves limits: 1.2 is above, 3.8 below
    moved = many.raw.detach() - raw
    torch.testing.assert_close(moved, torch.tensor([0.1, 0.0, -0.1], dtype=torch.float64))
    for _ in range(400):
        many.update_each(torch.tensor([0.0, 1e6]), limits, scale)
    low, high = many.of(limits, scale)
    assert 0.0 < float(low) < 0.01
    assert float(high) > 30.0
    with pytest.raises(ValueError, match="needs the costs of finished episodes"):
        many.update_each(torch.tensor([math.nan, 1.0]), limits, scale)


def test_cost_limit__is_asked_of_the_environments() -> None:
    class Envs:
        def get_attr(self, name: str) -> list[float]:
            if name != "cost_limit" or self.none:
                raise AttributeError(name)
            return [6.5, 7.5]

        def has_attr(self, name: str) -> bool:
            return name == "cost_limit" and not self.none

        none = False

    envs: Any = Envs()
    assert cost_limit_of(envs) == 6.5
    assert limits_cost(envs)
    envs.none = True
    assert not limits_cost(envs)
    with pytest.raises(ValueError, match="the environment has no cost_limit; pass cost_limit"):
        cost_limit_of(envs)
    with pytest.raises(ValueError, match="there is no environment to ask; pass cost_limit"):
        cost_limit_of(None)


# --------------------------------------------------------------------------------------------- limits on the tail

CVAR, CHANCE = RiskMeasure("cvar", 0.8), RiskMeasure("chance", 0.8)
COSTS = torch.tensor([2.0, 3.0, 5.0, 6.0, 12.0, 4.0, 7.0, 13.0, 1.0, 9.0], dtype=torch.float64)  # worst two: 12.5


def step(multiplier: LagrangeMultiplier, costs: torch.Tensor = COSTS, limit: float = 8.0) -> float:
    return multiplier.update_each(costs, torch.full_like(costs, limit), torch.ones_like(costs))


@pytest.mark.parametrize("measure", [CVAR, CHANCE], ids=str)
@pytest.mark.parametrize("limit", [8.5, 10.5, 12.0, 13.0, 14.0])
def test_tail__lambda_rises_exactly_where_the_limit_is_broken(measure: RiskMeasure, limit: float) -> None:
    multiplier = LagrangeMultiplier(limit, initial=1.0, learning_rate=0.1, method="projected", measure=measure)
    step(multiplier, limit=limit)
    broken = float(measure.statistic(COSTS.numpy())) > limit
    assert (multiplier.value > 1.0 + 1e-9) == broken


def test_tail__a_step_is_that_of_the_mean_of_g() -> None:
    for measure, excess in ((CHANCE, 3 / 10 / 0.2 - 1.0), (CVAR, 12.5 / 8.0 - 1.0)):
        multiplier = LagrangeMultiplier(8.0, initial=1.0, learning_rate=0.1, method="projected", measure=measure)
        assert step(multiplier) == pytest.approx(1.0 + 0.1 * excess)


def test_threshold__is_the_quantile_of_recent_episodes_and_the_aim_before_there_are_any() -> None:
    multiplier = LagrangeMultiplier(8.0, measure=CVAR)
    assert multiplier.threshold == 1.0
    step(multiplier, COSTS[:4])
    step(multiplier, COSTS[4:])
    assert multiplier.threshold == np.quantile(COSTS.numpy(), 0.8, method="inverted_cdf") / 8.0
    one = torch.ones(1, dtype=torch.float64)
    burden = float(multiplier.burden(2.0 * one, 8.0 * one, one))
    assert burden == pytest.approx(multiplier.threshold + (2.0 - multiplier.threshold) / 0.2)
    many = torch.arange(3 * N_RECENT, dtype=torch.float64)
    step(multiplier, many)
    last = many[-N_RECENT:].numpy()  # one call brings more than are kept
    assert multiplier.threshold == np.quantile(last, 0.8, method="inverted_cdf") / 8.0
    step(multiplier, torch.full((N_RECENT,), 16.0, dtype=torch.float64))
    assert multiplier.threshold == 2.0  # the old ones are forgotten


def test_tail__a_multiplier_goes_on_from_its_state_and_that_of_the_mean_has_no_more_than_it_had() -> None:
    first, second = (LagrangeMultiplier(8.0, measure=CVAR) for _ in range(2))
    step(first)
    second.load_state_dict(first.state_dict())
    assert second.threshold == first.threshold
    assert set(LagrangeMultiplier(8.0).state_dict()) == {"raw"}
    assert set(LagrangeMultiplier(8.0, measure=CHANCE).state_dict()) == {"raw"}


def test_mean__named_as_a_measure_is_what_it_was_to_the_bit() -> None:
    plain, named = LagrangeMultiplier(8.0), LagrangeMultiplier(8.0, measure=RiskMeasure.of("mean"))
    for costs in (COSTS, 2.0 * COSTS, 0.3 * COSTS):
        assert step(plain, costs) == step(named, costs)
    assert torch.equal(plain.burden(COSTS, COSTS, COSTS), COSTS)


@pytest.mark.parametrize("measure", [CVAR, CHANCE], ids=str)
def test_limit_multiplier__holds_the_tail_of_each_limit(measure: RiskMeasure) -> None:
    many = LimitMultiplier(1.0, 4.0, n_knots=2, initial=1.0, learning_rate=0.1, measure=measure)
    limits = torch.tensor([1.0, 4.0]).repeat_interleave(10)
    shares = torch.cat([torch.linspace(0.1, 2.0, 10), torch.linspace(0.1, 0.5, 10)])
    for _ in range(5):
        many.update_each(shares * limits, limits, torch.ones(20))
    tight, loose = many.of(torch.tensor([1.0, 4.0]), torch.ones(2))
    assert float(tight) > 1.05
    assert float(loose) < 0.95
    again = LimitMultiplier(1.0, 4.0, n_knots=2, measure=measure)
    again.load_state_dict(many.state_dict())
    torch.testing.assert_close(
        again.burden(shares, limits, torch.ones(20)), many.burden(shares, limits, torch.ones(20))
    )


def test_limit_multiplier__has_a_threshold_for_each_limit() -> None:
    many = LimitMultiplier(1.0, 4.0, n_knots=2, measure=CVAR)
    limits, scale = torch.tensor([1.0, 4.0]).repeat_interleave(10), torch.ones(20)
    ones = torch.ones(3)
    torch.testing.assert_close(many.burden(0.0 * ones, torch.tensor([1.0, 2.0, 4.0]), ones), ones)  # nothing seen
    many.update_each(torch.cat([COSTS / 8.0, 4.0 * COSTS / 80.0]).float(), limits, scale)
    found = many.burden(0.0 * ones, torch.tensor([1.0, 2.0, 4.0]), ones)  # g of no cost is the threshold
    torch.testing.assert_close(found, torch.tensor([9 / 8, 0.5 * (9 / 8 + 9 / 80), 9 / 80]))


def test_limit_multiplier__tells_limits_apart_by_their_unit_of_return() -> None:
    """The same two problems in another unit: thresholds are of tightness, not of limits."""
    plain, scaled = (LimitMultiplier(1.0, 4.0, n_knots=2, measure=CVAR, learning_rate=0.1) for _ in range(2))
    shares = torch.cat([COSTS / 8.0, COSTS / 80.0]).float()
    limits, ones = torch.tensor([1.0, 4.0]).repeat_interleave(10), torch.ones(20)
    for _ in range(3):
        plain.update_each(shares * limits, limits, ones)
        scaled.update_each(shares * limits * 10.0, limits * 10.0, 10.0 * ones)
    asked = torch.tensor([1.0, 2.0, 4.0])
    for mine, theirs in (
        (plain.of(asked, torch.ones(3)), scaled.of(10.0 * asked, 10.0 * torch.ones(3))),
        (
            plain.burden(0.0 * asked, asked, torch.ones(3)),
            scaled.burden(0.0 * asked, 10.0 * asked, 10.0 * torch.ones(3)),
        ),
    ):
        torch.testing.assert_close(mine, theirs)
    assert plain.threshold == pytest.approx(0.5 * (9 / 8 + 9 / 80), rel=1e-5)  # the mean over knots


def test_limit_multiplier__of_the_cvar_is_one_multiplier_when_all_limits_are_alike() -> None:
    one = LagrangeMultiplier(0.9, initial=0.5, learning_rate=0.05, measure=CVAR)
    many = LimitMultiplier(1.0, 3.0, margin=0.9, n_knots=3, initial=0.5, learning_rate=0.05, measure=CVAR)
    limits = scale = torch.ones(10, dtype=torch.float64)
    for _ in range(3):
        one.update_each(COSTS / 8.0, limits, scale)
        many.update_each(COSTS / 8.0, limits, scale)
    assert float(many.of(limits, scale)[0]) == pytest.approx(one.value, rel=1e-6)


def test_measure__is_asked_of_the_environments_which_must_limit_the_same() -> None:
    assert measure_of(None) == measure_of(attributes()) == MEAN
    assert measure_of(attributes(risk_measure=[CVAR, CVAR])) == CVAR
    assert measure_of(attributes(risk_measure=[None, None])) == MEAN
    with pytest.raises(ValueError, match=r"environments must limit the same; got the CVaR 0\.2 and the mean"):
        measure_of(attributes(risk_measure=[CVAR, MEAN]))


def attributes(**values: list[Any]) -> Any:
    return Attributes(**values)
