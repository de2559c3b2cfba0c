"""`Policy`, the protocol of every agent; `BasePolicy` of our own; `Entrant`, an agent in an evaluation or a plan."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from gymnasium.vector import SyncVectorEnv
from numpy.typing import NDArray

from stormgym.agents.moved import forward
from stormgym.envs.arrays import Observation

__getattr__ = forward(__name__)


@runtime_checkable
class Policy(Protocol):
    """Anything that acts: Stable-Baselines3's `predict`, nothing more; sb3-contrib's too (`predict_in`)."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """Return actions `[B]` (or a scalar array for one unbatched observation) and the next state."""
        ...


class BasePolicy:
    """Base of our policies: `predict` takes one observation or a batch, `act`, which subclasses write, a batch.

    `privileged` is True for policies that read what nobody can know ahead (such as true durations).
    """

    name: str = "policy"
    privileged: bool = False

    @classmethod
    def for_env(cls, env: Any, **kwargs: Any) -> BasePolicy:
        """Bind the policy to an environment (Env, VectorEnv or a wrapper of one); by default nothing is kept of it."""
        del env
        return cls(**kwargs)

    def act(
        self, observation: Observation, state: Any, episode_start: NDArray[np.bool_], deterministic: bool
    ) -> tuple[NDArray[np.int64], Any]:
        """Return actions `[B]` and the next state for observations with a leading batch axis B."""
        raise NotImplementedError(f"{type(self).__name__} must write act()")

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """Stable-Baselines3's `predict`: takes one observation or a batch.

        `episode_start` `[B]` marks the rows whose episode begins with this observation; None means all of them when
        `state` is None, and none of them otherwise.
        """
        single = np.ndim(observation["action_mask"]) == 1
        batch = {k: np.asarray(v)[None] for k, v in observation.items()} if single else observation
        n = batch["action_mask"].shape[0]
        if episode_start is None:
            start = np.full(n, state is None)
        else:
            start = np.atleast_1d(np.asarray(episode_start, dtype=bool))
            if state is None:
                start = np.ones(n, dtype=bool)
        action, state = self.act(batch, state, start, deterministic)
        return (action[0] if single else action), state


def predict_in(env: Any, policy: Policy) -> Callable[..., tuple[NDArray[Any], Any]]:
    """Return the policy's `predict`; one that takes `action_masks`, as sb3-contrib's do, is given those of each call.

    Such a policy reads no mask by itself and would choose what is closed. Where neither the observation nor the
    environment has masks, it is called without.

    Args:
        env: the environment that the policy acts in (Env, VectorEnv or a wrapper of one); asked for `action_masks()`
            where the observation has no `action_mask`.
        policy: whose `predict` it is.
    """
    predict: Callable[..., tuple[NDArray[Any], Any]] = policy.predict
    if "action_masks" not in _parameters(predict):
        return predict

    def with_masks(observation: Any, *args: Any, **kwargs: Any) -> tuple[NDArray[Any], Any]:
        masks = _masks(env, observation)
        more = {} if masks is None else {"action_masks": masks}
        return predict(observation, *args, **kwargs, **more)

    return with_masks


def _parameters(function: Callable[..., Any]) -> frozenset[str]:
    try:
        return frozenset(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # some of compiled code have no signature
        return frozenset()


def _masks(env: Any, observation: Any) -> NDArray[np.bool_] | None:
    """The masks of an observation, or of the environment as it stands; None where there are none."""
    if isinstance(observation, Mapping) and "action_mask" in observation:
        return np.asarray(observation["action_mask"]) > 0
    inner = getattr(env, "unwrapped", env)
    if isinstance(inner, SyncVectorEnv):
        has = all(hasattr(one.unwrapped, "action_masks") for one in inner.envs)
        return np.stack(inner.call("action_masks")) > 0 if has else None
    return np.asarray(inner.action_masks()) > 0 if hasattr(inner, "action_masks") else None


Maker = Callable[[Any], Policy]
"""Makes a policy bound to an environment, as `BasePolicy.for_env` does."""


@dataclass(frozen=True)
class Entrant:
    """An agent that takes part in an evaluation or makes a plan: its maker, and whether it is learned or privileged."""

    make: Maker
    """Called with the environment that the policy will act in."""
    learned: bool = False
    """Whether it was trained; those that were not count as heuristics, of which the best is what others are compared
    with."""
    privileged: bool = False
    """True when it reads what nobody can know ahead; a policy's own `privileged = True` counts as well."""
    summary: str = ""
    run: Path | None = None
    """The run folder that it comes from."""
    trained_on: str | None = None
    """Of a pretrained agent: the city or cities that it learnt from."""
    ahead: str = ""
    """What follows its name where it looks ahead: "@8"."""
