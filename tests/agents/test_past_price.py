"""One price for all episodes: found where the mean cost of past ones meets the limit, and kept."""

import numpy as np
import pytest

from stormgym.agents import past_price
from stormgym.agents.crews.priced import RollingPriced
from stormgym.agents.past_price import MOST_PRICE, MOST_TRIES, find_price, kept_price, mean_cost, past_arguments

SMALL = {"city": "synthetic:9:1", "n_crews": 2, "predictor": "none"}


@pytest.mark.parametrize("aim", [0.8, 2.0, 40.0])
@pytest.mark.parametrize("first", [0.01, 0.1, 3.0])
def test_price__found_meets_the_aim_where_the_cost_falls_with_it(aim, first):
    tried = []

    def cost(price):
        tried.append(price)
        return 5.0 / (1.0 + 9.0 * price)

    price = find_price(cost, aim, first)
    assert cost(price) <= aim
    assert price == 0.0 or cost(price) >= 0.9 * aim
    assert len(tried) <= MOST_TRIES + 2


def test_price__that_no_cost_meets_is_the_largest():
    assert find_price(lambda price: 9.0, 1.0) == MOST_PRICE


def test_price__is_kept_by_all_that_decides_it(monkeypatch, tmp_path):
    monkeypatch.setenv("STORMGYM_CACHE", str(tmp_path))
    found = [
        kept_price(lambda price: 5.0 / (1.0 + 9.0 * price), aim, ["a", tell]) for aim in (1.0, 2.0) for tell in "xy"
    ]
    assert found[0] == found[1] > found[2] == found[3] > 0
    assert len(list(tmp_path.glob("price-*.npz"))) == 4
    monkeypatch.setattr(past_price, "find_price", lambda *_: pytest.fail("it was kept"))
    assert kept_price(lambda price: 0.0, 1.0, ["a", "x"]) == found[0]


def test_cost__of_past_episodes_falls_with_the_price(monkeypatch):
    monkeypatch.setattr(past_price.past_episodes, "__defaults__", (12,))

    def make(env, price):
        return RollingPriced(env, price=price, effort=0.1)

    costs = [mean_cost("CrewDispatch-v0", SMALL, make, price) for price in (0.0, 1.0)]
    assert costs[1] < 0.8 * costs[0]
    assert costs[0] == mean_cost("CrewDispatch-v0", SMALL, make, 0.0)


def test_arguments__of_the_past_are_those_of_training():
    import gymnasium as gym

    env = gym.make("stormgym:Restoration-v0", city="synthetic:6:1", predictor="none", split="test", render_mode=None)
    assert past_arguments(env.unwrapped) == {"city": "synthetic:6:1", "predictor": "none", "split": "train"}
    whole = gym.make("stormgym:Restoration-v0", city="synthetic:6:1", predictor="none")
    assert past_arguments(whole.unwrapped)["split"] == "all"
    with pytest.raises(ValueError, match="give the price"):
        past_arguments(object())


def test_arguments__a_city_stands_for_its_data():
    class City:
        def fingerprint(self):
            return "f" * 8

    assert past_price._told(City()) == "f" * 8
    assert past_price._told(np.float64(2.5)) == "2.5"
