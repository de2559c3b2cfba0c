"""Costs for every library: six-tuple steps, reward - lambda * cost, and episode sums in vector form."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper

from stormgym.envs.arrays import Floats


def cost_of(info: dict[str, Any]) -> float:
    """Return the step's constraint cost from an `info`.

    Raises:
        KeyError: the key is missing; a cost is never taken for zero silently.
    """
    try:
        return float(info["cost"])
    except KeyError:
        raise KeyError(
            "info has no key 'cost': this environment is not constrained, or a wrapper dropped the key. "
            "Wrap the environment so that every reset and step puts info['cost'] (0.0 where there is none)"
        ) from None


def vector_costs(infos: dict[str, Any], num_envs: int) -> Floats:
    """Return the cost `[B]` of the transitions that a vector step just made, in either autoreset mode.

    Under SAME_STEP the transition that ends an episode has its cost in `final_info`; `infos["cost"]` then belongs to
    the reset that followed.

    Raises:
        KeyError: an environment gave no cost.
    """
    if "cost" not in infos:
        raise KeyError(
            "infos has no key 'cost': this vector environment is not constrained, or a wrapper dropped the key. Put it "
            "into the info of every step (0.0 where nothing is limited)"
        )
    cost = np.array(infos["cost"], dtype=np.float64)
    present = np.array(infos.get("_cost", np.ones(num_envs, dtype=bool)), dtype=bool)
    final = infos.get("final_info")
    if final is not None:
        ended = np.asarray(infos["_final_info"], dtype=bool)
        if "cost" not in final:
            raise KeyError("infos['final_info'] has no key 'cost': the last step's cost of an ended episode is lost")
        cost[ended] = np.asarray(final["cost"], dtype=np.float64)[ended]
        present = present | (ended & np.asarray(final.get("_cost", ended), dtype=bool))
    if not present.all():
        raise KeyError(f"no cost from environments {np.flatnonzero(~present).tolist()}")
    return cost


class CostStep(gym.Wrapper[Any, Any, Any, Any]):
    """Six-tuple steps `(obs, reward, cost, terminated, truncated, info)`.

    Safe-RL libraries (OmniSafe, Safety-Gymnasium) read them so.
    """

    def step(self, action: Any) -> tuple[Any, float, float, bool, bool, dict[str, Any]]:  # type: ignore[override]
        """Step, with the cost as the third item."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        return obs, float(reward), cost_of(info), terminated, truncated, info


class CostInfo(gym.Wrapper[Any, Any, Any, Any]):
    """The way back: a six-tuple environment becomes a five-tuple one with `info["cost"]` from reset and step."""

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Reset; a reset costs nothing."""
        obs, info = self.env.reset(**kwargs)
        return obs, {"cost": 0.0, **info}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step; the cost moves into `info`."""
        result: Any = self.env.step(action)
        if len(result) != 6:
            raise ValueError(
                f"CostInfo wraps environments with six-tuple steps; this one returned {len(result)} items. "
                "Leave the wrapper out"
            )
        obs, reward, cost, terminated, truncated, info = result
        return obs, reward, terminated, truncated, {**info, "cost": float(cost)}


class LagrangianReward(gym.Wrapper[Any, Any, Any, Any]):
    """Reward minus `multiplier` times cost; the plain reward stays in `info["reward"]`.

    Set `multiplier` (>= 0) as it is learnt: `stormgym.agents.learners.lagrangian` does.
    """

    def __init__(self, env: gym.Env[Any, Any], multiplier: float = 0.0) -> None:
        super().__init__(env)
        if not multiplier >= 0:
            raise ValueError(f"multiplier must be >= 0; got {multiplier!r}")
        self.multiplier = float(multiplier)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step with the penalised reward."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        penalised = float(reward) - self.multiplier * cost_of(info)
        return obs, penalised, terminated, truncated, {**info, "reward": float(reward)}


class VectorEpisodeCost(VectorWrapper[Any, Any, Any, Any, Any]):
    """Add up reward and cost of each episode in vector form, right under every autoreset mode.

    At the step that ends an episode `infos["episode_cost"]` and `infos["episode_return"]` `[B]` hold the sums, with
    the masks `infos["_episode_cost"]` and `infos["_episode_return"]`; elsewhere they are 0.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env)
        mode = env.metadata.get("autoreset_mode")
        if mode is None:
            raise ValueError("VectorEpisodeCost needs metadata['autoreset_mode'] on the vector environment it wraps")
        self._mode = AutoresetMode(mode)
        self._cost = np.zeros(self.num_envs)
        self._return = np.zeros(self.num_envs)
        self._ended = np.zeros(self.num_envs, dtype=bool)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset, and begin the sums of the environments that were reset."""
        obs, infos = self.env.reset(seed=seed, options=options)
        mask = (options or {}).get("reset_mask")
        rows: Any = slice(None) if mask is None else np.asarray(mask)
        self._cost[rows], self._return[rows], self._ended[rows] = 0.0, 0.0, False
        return obs, infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step and add up."""
        obs, reward, terminated, truncated, infos = self.env.step(actions)
        fresh = self._ended if self._mode == AutoresetMode.NEXT_STEP else np.zeros(self.num_envs, dtype=bool)
        self._cost[self._ended] = 0.0
        self._return[self._ended] = 0.0
        self._cost += np.where(fresh, 0.0, vector_costs(infos, self.num_envs))
        self._return += np.where(fresh, 0.0, reward)
        self._ended = np.logical_or(terminated, truncated)
        infos["episode_cost"] = np.where(self._ended, self._cost, 0.0)
        infos["episode_return"] = np.where(self._ended, self._return, 0.0)
        infos["_episode_cost"], infos["_episode_return"] = self._ended.copy(), self._ended.copy()
        return obs, reward, terminated, truncated, infos
