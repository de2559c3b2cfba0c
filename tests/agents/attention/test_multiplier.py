"""A multiplier that is a function of the limit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from stormgym.agents.attention.multiplier import LagrangeMultiplier, LimitMultiplier, tightness_of


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
