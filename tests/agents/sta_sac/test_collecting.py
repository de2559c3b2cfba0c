"""Who acts in which environment, and which episodes count for the dual step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stormgym.agents.sta_sac.collecting import check_free
from stormgym.envs.restoration.layout import COLUMN


def test_collection__rows_of_a_scenario_meet_one_storm_and_greedy_rows_their_own(make: Any) -> None:
    model = make(n_envs=8, n_rollouts=3)
    model.learn(56)
    rows, buffer = model.collector.rows, model.replay_buffer
    assert rows is not None
    assert rows.scenario.tolist() == [0, 0, 0, 1, 1, 1, -1, -1]
    seen = buffer.episodes(buffer.round).regions[..., COLUMN["point_h"]].numpy()
    same = [[np.array_equal(a, b) for a in seen] for b in seen]
    number = np.where(rows.scenario < 0, 10 + np.arange(8), rows.scenario)
    np.testing.assert_array_equal(same, number[:, None] == number)
    behaviour = buffer.episodes(buffer.round).behaviour.numpy()
    np.testing.assert_array_equal((behaviour == 1.0).all(axis=1), rows.greedy)


def test_dual_step__uses_greedy_episodes_only(make: Any) -> None:
    model = make(n_envs=4, greedy_share=0.5)
    np.testing.assert_array_equal(model.collector.greedy, [False, False, True, True])
    model = make(n_envs=1, greedy_share=0.5)
    assert not model.collector.greedy.any()


def test_round__is_as_long_as_the_longest_storm_and_longer_where_none_ended(make: Any) -> None:
    collector = make(n_envs=8, n_rollouts=3).collector
    assert collector.round_of(7) == 7
    collector._steps[:] = 7  # none ended in the round
    assert collector.round_of(7) == 9
    collector._steps[:] = 3
    assert collector.round_of(7) == 9
    again = make(n_envs=8, n_rollouts=3).collector
    again.load_state_dict(collector.state_dict())
    assert again.round_of(7) == 9
    before = {k: v for k, v in collector.state_dict().items() if k not in ("steps", "longest")}
    again.load_state_dict(before)  # of a file that an earlier version wrote
    assert again.round_of(7) == 7


def test_round__of_episodes_of_one_length_stays(make: Any) -> None:
    model = make(n_envs=8, n_rollouts=3)
    model.learn(8 * 7 * 3)
    assert model.collector.longest == model.round_steps == 7


def test_check_free__costs_are_0_where_nothing_is_limited_and_another_is_an_error() -> None:
    infos: list[dict[str, Any]] = [{}, {"cost": 0.0}]
    check_free(infos)
    assert infos == [{"cost": 0.0}, {"cost": 0.0}]
    with pytest.raises(ValueError, match=r"info of environment 1 has cost 2\.5, and the environment has no cost_limit"):
        check_free([{}, {"cost": 2.5}])
