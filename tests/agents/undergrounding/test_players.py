"""Players of the game: at their best they give the three-level value."""

import pettingzoo
import pytest

from stormgym.agents.lineup import make_policy
from stormgym.agents.undergrounding.planners import (
    BuryNothing,
    TriLevel,
)
from stormgym.agents.undergrounding.players import NATURES, WorstStorm, play_game
from stormgym.agents.undergrounding.trilevel.solve import solve_trilevel


def game(**kwargs):
    return pettingzoo.make("aec", "DefenderAttacker-v0", **kwargs)


def test_game__with_all_sides_planning_gives_the_three_level_value():
    env = game(profile="synthetic:8:2", n_crews=2)
    planner = TriLevel.for_env(env)
    for seed in range(5):
        metrics = play_game(env, {"planner": planner, "nature": WorstStorm()}, seed=seed)
        known, p = env.process.forecast, env.profile
        bounds = (known.lower[0], known.upper[0], float(known.total_lower[0]), float(known.total_upper[0]))
        optimum = solve_trilevel(p.population, p.protect_cost, 1.0, *bounds, budget=p.budget, crew_budget=2.0)
        assert metrics["unserved_customer_h"] == pytest.approx(optimum.value, rel=1e-5)  # observations are float32


def test_game__no_nature_is_worse_than_the_worst_and_no_crews_are_better_than_the_best():
    env = game()
    planner = TriLevel.for_env(env)
    for seed in range(3):
        worst = play_game(env, {"planner": planner, "nature": WorstStorm()}, seed=seed)["saidi_h"]
        for kind in NATURES.values():
            assert play_game(env, {"planner": planner, "nature": kind()}, seed=seed)["saidi_h"] <= worst * (1 + 1e-6)
        crews = make_policy("random", env)
        assert play_game(env, {"planner": planner, "nature": WorstStorm(), "crews": crews}, seed=seed)["saidi_h"] >= (
            worst * (1 - 1e-6)
        )
        nothing = play_game(env, {"planner": BuryNothing.for_env(env), "nature": WorstStorm()}, seed=seed)
        assert nothing["saidi_h"] > worst
