"""From observations to planning problems: what is open, where the crew is, and what had accrued."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from stormgym.agents.binding import announced_of
from stormgym.agents.restoration.situation import Part, city_of, parts, restoration_envs, rows_of_part
from stormgym.envs.restoration.vector_env import RestorationVectorEnv

CITY = "synthetic:8:2"


@pytest.fixture
def env() -> RestorationVectorEnv:
    return RestorationVectorEnv(5, city=CITY, predictor="cp")


def after(env: RestorationVectorEnv, restored: list[int]) -> dict[str, np.ndarray]:
    """The observation once every row has restored these regions."""
    obs, _ = env.reset(seed=3)
    for region in restored:
        obs, *_ = env.step(np.full(5, region))
    return obs


@pytest.mark.slow
def test_parts__of_a_fresh_episode_is_one_problem_from_the_depot(env: RestorationVectorEnv) -> None:
    obs = after(env, [])
    (part,) = parts(obs, env.core.city, np.arange(5))
    city = env.core.city
    assert_array_equal(part.rows, np.arange(5))
    assert_array_equal(part.regions, np.tile(np.arange(8), (5, 1)))
    assert part.closed.shape == (5, 0)
    assert_allclose(part.point_h, obs["point_h"])
    assert_allclose(part.limit_h, env.core.cost_limit)
    order = np.tile(np.arange(8), (5, 1))
    assert_allclose(part.problem.way_h(order)[0, 0], city.travel_h[-1, 0], rtol=1e-5)


def test_parts__in_the_middle_leave_out_what_is_closed_and_begin_where_the_crew_is(env: RestorationVectorEnv) -> None:
    city = env.core.city
    obs = after(env, [6, 1])
    (part,) = parts(obs, city, np.array([4, 0]))
    assert_array_equal(part.rows, [4, 0])
    assert_array_equal(part.regions[0], [0, 2, 3, 4, 5, 7])
    assert_array_equal(np.sort(part.closed[0]), [1, 6])
    order = np.tile(np.arange(6), (2, 1))
    assert_allclose(part.problem.way_h(order)[0, 0], city.travel_h[1, 0], rtol=1e-5)  # from region 1
    assert_allclose(part.problem.way_h(order)[0, 2], city.travel_h[2, 3], rtol=1e-5)
    assert_array_equal(part.local(obs["point_h"][[4, 0]]), obs["point_h"][[4, 0]][:, part.regions[0]])
    assert part.local(np.zeros((2, 7, 8))).shape == (2, 7, 6)


def test_part__orders_of_open_regions_and_of_all_lead_back_to_each_other(env: RestorationVectorEnv) -> None:
    (part,) = parts(after(env, [6, 1]), env.core.city, np.arange(5))
    city_order = np.array([7, 6, 5, 4, 3, 2, 1, 0])
    start = part.start(city_order)
    assert_array_equal(np.take_along_axis(part.regions, start, axis=1)[0], [7, 5, 4, 3, 2, 0])
    whole = part.whole(start)
    assert_array_equal(whole[0, :6], [7, 5, 4, 3, 2, 0])
    assert_array_equal(np.sort(whole, axis=1), np.tile(np.arange(8), (5, 1)))


def test_parts__of_episodes_with_unlike_many_open_regions_are_one_each(env: RestorationVectorEnv) -> None:
    first, later = after(env, []), after(env, [6, 1])
    mixed = {key: np.concatenate([first[key][:2], later[key][2:]]) for key in first}
    found = list(parts(mixed, env.core.city, np.arange(5)))
    assert [(part.regions.shape[1], part.rows.tolist()) for part in found] == [(6, [2, 3, 4]), (8, [0, 1])]
    over = after(env, list(range(7)))
    over = {**over, "open": np.zeros_like(over["open"])}
    assert list(parts(over, env.core.city, np.arange(5))) == []


def test_parts__another_observation_is_an_error(env: RestorationVectorEnv) -> None:
    obs = after(env, [])
    with pytest.raises(ValueError, match="a planner reads the observation of Restoration-v0; got"):
        list(parts({"action_mask": obs["action_mask"]}, env.core.city, np.arange(5)))
    other = RestorationVectorEnv(2, city="synthetic:9:2", predictor="none")
    with pytest.raises(ValueError, match=r"is bound to City.*8 regions.*Bind it to the environment that it plays"):
        list(parts(other.reset(seed=0)[0], env.core.city, np.arange(2)))


def test_rows_of_part__are_those_of_its_episodes_over_several_environments(env: RestorationVectorEnv) -> None:
    def part_of(obs: Any, rows: list[int]) -> Part:
        (part,) = parts(obs, env.core.city, np.array(rows))
        return part

    sync = gym.make_vec("stormgym:Restoration-v0", 3, vectorization_mode="sync", city=CITY, predictor="cp")
    obs, _ = sync.reset(seed=3)
    announced = announced_of(sync)
    part = part_of(obs, [2, 0])
    values = [record.point_h for record in announced]
    assert_allclose(rows_of_part(announced, part, 3, values), np.concatenate(values)[[2, 0]])
    assert rows_of_part(announced, part, 3, [values[0], None, values[2]]) is None
    with pytest.raises(ValueError, match=r"bound to 3 episodes but the observation has 5; bind it"):
        rows_of_part(announced, part, 5, values)
    strange = part_of({**obs, "point_h": obs["point_h"] + 1}, [0])
    with pytest.raises(ValueError, match="shows other jobs than the environment that the policy is bound to"):
        rows_of_part(announced, strange, 3, values)


def test_city_of__is_that_of_the_environment_behind_any_wrapper(env: RestorationVectorEnv) -> None:
    assert city_of(env) is env.core.city
    assert restoration_envs(env) == [env]
    with pytest.raises(TypeError, match="needs Restoration-v0"):
        city_of(gym.make("CartPole-v1"))
