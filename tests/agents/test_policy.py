"""The protocol of agents, and the base class of ours: one observation or a batch, and where episodes begin."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from stormgym.agents.policy import BasePolicy, Entrant, Policy, predict_in

ONE = {"action_mask": np.ones(3, np.int8), "x": np.arange(3.0)}
BATCH = {"action_mask": np.ones((4, 3), np.int8), "x": np.arange(12.0).reshape(4, 3)}


class Remembering(BasePolicy):
    """Takes the last choice, and keeps what it was given."""

    name = "remembering"

    def act(self, observation: Any, state: Any, episode_start: Any, deterministic: bool) -> tuple[Any, Any]:
        self.shape, self.start = observation["x"].shape, episode_start.tolist()
        self.deterministic = deterministic
        return np.full(len(episode_start), 2), "state"


def test_predict__takes_one_observation_or_a_batch() -> None:
    policy = Remembering()
    action, state = policy.predict(ONE)
    assert (np.ndim(action), int(action), state, policy.shape) == (0, 2, "state", (1, 3))
    action, _ = policy.predict(BATCH, deterministic=True)
    assert action.tolist() == [2] * 4
    assert policy.shape == (4, 3)
    assert policy.deterministic


@pytest.mark.parametrize(
    ("state", "given", "expected"),
    [
        (None, None, [True] * 4),
        ("kept", None, [False] * 4),
        ("kept", [False, True, False, False], [False, True, False, False]),
        (None, [False, True, False, False], [True] * 4),  # without a state every row is new
    ],
)
def test_predict__rows_begin_where_it_is_said_or_where_there_is_no_state(
    state: Any, given: list[bool] | None, expected: list[bool]
) -> None:
    policy = Remembering()
    policy.predict(BATCH, state, None if given is None else np.array(given))
    assert policy.start == expected


def test_predict__of_one_observation_takes_the_start_as_vector_environments_give_it() -> None:
    policy = Remembering()
    for start in (True, [True], np.array(True)):
        policy.predict(ONE, "kept", start)  # type: ignore[arg-type]
        assert policy.start == [True]


def test_policy__is_anything_with_predict() -> None:
    class Anything:
        def predict(self, observation: Any, *_: Any, **__: Any) -> Any:
            return observation, None

    assert isinstance(Anything(), Policy)
    assert isinstance(Remembering(), Policy)
    assert not isinstance(object(), Policy)


def test_base__says_what_to_write_and_is_honest_unless_told() -> None:
    with pytest.raises(NotImplementedError, match=r"BasePolicy must write act\(\)"):
        BasePolicy().predict(ONE)
    assert not BasePolicy.privileged
    assert isinstance(Remembering.for_env(object()), Remembering)
    with pytest.raises(TypeError):
        Remembering.for_env(object(), unheard_of=1)


def test_entrant__is_neither_learnt_nor_privileged_unless_told() -> None:
    entrant = Entrant(Remembering.for_env)
    assert isinstance(entrant.make(object()), Remembering)
    assert (entrant.learned, entrant.privileged, entrant.summary) == (False, False, "")


class Masked:
    """Takes masks as an argument, as sb3-contrib's policies do, and the first choice that they leave open."""

    masks: Any = "none were given"

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
        action_masks: Any = None,
    ) -> Any:
        del observation, episode_start, deterministic
        self.masks = action_masks
        return np.argmax(np.atleast_2d(0 if action_masks is None else action_masks), axis=-1), state


def test_predict_in__gives_the_masks_of_the_observation_to_who_takes_them() -> None:
    policy = Masked()
    mask = np.array([[0, 1, 1], [0, 0, 1]], np.int8)
    action, state = predict_in(object(), policy)({"action_mask": mask}, state="kept", deterministic=True)
    assert (action.tolist(), state) == ([1, 2], "kept")
    assert policy.masks.dtype == np.bool_
    assert policy.masks.tolist() == (mask > 0).tolist()


@pytest.mark.parametrize("mode", ["vector_entry_point", "sync", "single"])
def test_predict_in__asks_the_environment_where_the_observation_has_no_mask(mode: str) -> None:
    kwargs: dict[str, Any] = {"city": "synthetic:6:1", "predictor": "none"}
    env: Any = (
        gym.make("stormgym:Restoration-v0", **kwargs)
        if mode == "single"
        else gym.make_vec("stormgym:Restoration-v0", 2, vectorization_mode=mode, **kwargs)
    )
    env.reset(seed=0)
    observation = env.step(3 if mode == "single" else [3, 1])[0]
    policy = Masked()
    predict_in(env, policy)(np.zeros((2, 4)))  # an observation that is one array, as a wrapper may make it
    assert policy.masks.tolist() == (observation["action_mask"] > 0).tolist()


def test_predict_in__leaves_others_as_they_are() -> None:
    policy, masked = Remembering(), Masked()
    assert predict_in(object(), policy) == policy.predict
    predict_in(gym.make_vec("CartPole-v1", 2, vectorization_mode="sync"), masked)(np.zeros((2, 4)))
    assert masked.masks is None
    predict_in(gym.make("CartPole-v1"), masked)(np.zeros(4))
    assert masked.masks is None
