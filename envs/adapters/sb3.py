"""A Stable-Baselines3 `VecEnv` over a Gymnasium `VectorEnv`: batched throughout, costs and masks right."""

from __future__ import annotations

from stormgym.predictors.extras import require

require("this form of the environments for Stable-Baselines3", ("torch", "stable_baselines3"), "agents")

import inspect
import time
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvObs, VecEnvStepReturn

from stormgym.envs.doors import BatchedVectorEnv, check_num_envs
from stormgym.envs.making import spec_of
from stormgym.envs.wrappers import vector_costs

_RESERVED = frozenset({"cost", "episode_cost", "cost_limit", "action_mask", "final_obs", "final_info"})


def make_vec_env(env_id: str, num_envs: int = 1, seed: int | None = None, **env_kwargs: Any) -> StormVecEnv:
    """Make B environments of one id as a `StormVecEnv`.

    The native vector form where the id has one that takes `autoreset_mode`, else a `SyncVectorEnv`.

    Args:
        env_id: a registered id whose `info` holds a `cost`.
        num_envs: B.
        seed: environment i is seeded with `seed + i` at its first reset; None for fresh entropy.
        **env_kwargs: arguments of the environment.
    """
    num_envs = check_num_envs(num_envs)
    spec = spec_of(env_id)
    mode = AutoresetMode.SAME_STEP
    if _is_native(spec):
        env = gym.make_vec(env_id, num_envs, vectorization_mode="vector_entry_point", autoreset_mode=mode, **env_kwargs)
    else:
        env = gym.make_vec(
            env_id, num_envs, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, **env_kwargs
        )
    venv = StormVecEnv(env)
    if seed is not None:
        venv.seed(seed)
    return venv


def _is_native(spec: EnvSpec) -> bool:
    entry_point = spec.vector_entry_point
    if entry_point is None:
        return False
    creator = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    return "autoreset_mode" in inspect.signature(creator).parameters


class StormVecEnv(VecEnv):
    """What Stable-Baselines3 and sb3-contrib expect of a `VecEnv`, over one Gymnasium `VectorEnv`.

    Step for step equal to a `DummyVecEnv` of `Monitor`-wrapped single environments with the same seeds,
    without its loops and deep copies. Each info holds `TimeLimit.truncated`, `cost` (of the transition just
    made, also where it ended the episode), `episode_cost` (of the episode up to it) and, when the environment
    gives them, `cost_limit` (of the episode), `action_mask` and whatever else it reports; an ended row also
    `terminal_observation`, `metrics` and `episode` (return `r`, length `l`, seconds `t`, cost `c`).

    Args:
        env: a vector environment whose `metadata["autoreset_mode"]` is SAME_STEP and whose infos hold `cost`.

    Raises:
        ValueError: another autoreset mode.
        KeyError: from `step`, when an environment gives no cost.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        mode = env.metadata.get("autoreset_mode")
        if mode is None or AutoresetMode(mode) != AutoresetMode.SAME_STEP:
            raise ValueError(
                f"StormVecEnv needs a vector environment in SAME_STEP autoreset; got {mode}. "
                "Make it with autoreset_mode=AutoresetMode.SAME_STEP, or use make_vec_env(env_id, num_envs)"
            )
        self.env = env
        self._inner = env.unwrapped
        self._masked = False  # whether the environment's infos hold masks; known after the first reset
        self._actions: NDArray[Any] | None = None
        self._return = np.zeros(env.num_envs)
        self._cost = np.zeros(env.num_envs)
        self._length = np.zeros(env.num_envs, dtype=np.int64)
        self._t_start = time.time()
        if isinstance(self.env, BatchedVectorEnv):
            self.env.keep_log()
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self.metadata = {**env.metadata, "render_modes": env.metadata.get("render_modes", [])}

    def reset(self) -> VecEnvObs:
        """Reset all environments; `reset_infos` then holds their infos."""
        if any(self._options):
            raise ValueError(f"reset options cannot go to single environments of a batched one; got {self._options[0]}")
        seed: Any = None if all(s is None for s in self._seeds) else list(self._seeds)
        obs, infos = self.env.reset(seed=seed)
        self._reset_seeds()
        self._reset_options()
        self._return[:], self._cost[:], self._length[:] = 0.0, 0.0, 0
        self._masked = "action_mask" in infos
        self.reset_infos = [_row(infos, i) for i in range(self.num_envs)]
        result: VecEnvObs = obs
        return result

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions `[B]` for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Advance all environments; those that ended are reset in the same step."""
        obs, reward, terminated, truncated, infos = self.env.step(self._actions)
        cost = vector_costs(infos, self.num_envs)
        done = np.logical_or(terminated, truncated)
        self._return += reward
        self._cost += cost
        self._length += 1
        rows: list[dict[str, Any]] = [
            {"cost": c, "episode_cost": total, "TimeLimit.truncated": False}
            for c, total in zip(cost.tolist(), self._cost.tolist(), strict=True)
        ]
        if "cost_limit" in infos:
            present = infos.get("_cost_limit", np.ones(self.num_envs, dtype=bool))
            for row, limit, given in zip(rows, infos["cost_limit"].tolist(), present, strict=True):
                if given:
                    row["cost_limit"] = limit
        if self._masked:
            for row, mask in zip(rows, infos["action_mask"], strict=True):
                row["action_mask"] = mask
        if any(key not in _RESERVED and not key.startswith("_") for key in infos):
            for i, row in enumerate(rows):
                row.update(_row(infos, i, skip=_RESERVED))
        if done.any():
            self._end(np.flatnonzero(done), rows, np.asarray(truncated) & ~np.asarray(terminated), infos)
        return obs, np.asarray(reward, dtype=np.float32), done, rows

    def _end(
        self, ended: NDArray[Any], rows: list[dict[str, Any]], cut: NDArray[np.bool_], infos: dict[str, Any]
    ) -> None:
        """Complete the infos of ended rows, keep those of their resets, and begin the next sums."""
        seconds = round(time.time() - self._t_start, 6)
        for i in ended.tolist():
            self.reset_infos[i] = _row(infos, i, skip=frozenset({"final_obs", "final_info"}))
            rows[i] = {
                **_row(infos["final_info"], i),
                "cost": rows[i]["cost"],
                "episode_cost": rows[i]["episode_cost"],
                "TimeLimit.truncated": bool(cut[i]),
                "terminal_observation": infos["final_obs"][i],
                "episode": {
                    "r": round(float(self._return[i]), 6),
                    "l": int(self._length[i]),
                    "t": seconds,
                    "c": float(self._cost[i]),
                },
            }
        self._return[ended], self._cost[ended], self._length[ended] = 0.0, 0.0, 0

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are allowed now, `[B, N]` bool."""
        return np.asarray(self.env_method("action_masks"), dtype=bool)

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute as each environment sees it; the environments of a native vector form share it."""
        rows = self._get_indices(indices)
        if isinstance(self._inner, SyncVectorEnv):
            values = self._inner.get_attr(attr_name)
            return [values[i] for i in rows]
        value = getattr(self._inner, attr_name)
        return [value for _ in rows]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of all environments; a native vector form has one for all of them."""
        if sorted(self._get_indices(indices)) != list(range(self.num_envs)):
            raise ValueError(f"the {self.num_envs} environments share attributes; set {attr_name!r} with indices=None")
        if isinstance(self._inner, SyncVectorEnv):
            self._inner.set_attr(attr_name, [value] * self.num_envs)
        else:
            setattr(self._inner, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method that looks, such as `action_masks`; a result with a leading axis B is split by rows.

        Raises:
            ValueError: `reset`, `step` or `close`, which act on all environments at once.
        """
        if method_name in ("reset", "step", "close"):
            raise ValueError(f"call {method_name}() on the VecEnv: its environments act together")
        if isinstance(self._inner, SyncVectorEnv):
            result: Any = self._inner.call(method_name, *method_args, **method_kwargs)
        else:
            result = getattr(self._inner, method_name)(*method_args, **method_kwargs)
        split = isinstance(result, (tuple, list, np.ndarray)) and len(result) == self.num_envs
        return [result[i] if split else result for i in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """True for `Monitor` (episodes are reported as it reports them), False for any other wrapper."""
        return [wrapper_class is Monitor for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[NDArray[Any] | None]:
        """One picture per environment, when made with `render_mode="rgb_array"`."""
        frames: Any = self.env.render()
        return [None] * self.num_envs if frames is None else list(frames)

    def state_dict(self) -> dict[str, Any] | None:
        """The episodes under way as plain data; None for environments that do not tell (those without a core)."""
        log = self.env.state_dict() if isinstance(self.env, BatchedVectorEnv) else None
        sums = {"return": self._return.copy(), "cost": self._cost.copy(), "length": self._length.copy()}
        return None if log is None else {"env": log, **sums}

    def load_state_dict(self, state: dict[str, Any]) -> VecEnvObs:
        """Go on from the `state_dict()` of environments with the same arguments; return the observations.

        Clocks (`episode["t"]`) begin anew, and `reset_infos` are empty until the next reset.

        Raises:
            LookupError, TypeError, ValueError, OverflowError: the state does not fit.
        """
        if not isinstance(self.env, BatchedVectorEnv):
            raise ValueError("environments without a core cannot take up episodes; reset() them")
        for name, kept in (("return", self._return), ("cost", self._cost), ("length", self._length)):
            given = np.asarray(state[name])
            if given.shape != kept.shape or given.dtype != kept.dtype:
                raise ValueError(f"{name} of episodes: {given.dtype} {given.shape}, not {kept.dtype} {kept.shape}")
            kept[:] = given
        observation: VecEnvObs = self.env.load_state_dict(state["env"])
        self._masked = "action_mask" in self.env.core.extra_info()
        return observation

    def close(self) -> None:
        """Close the environments."""
        self.env.close()


def _row(infos: dict[str, Any], i: int, skip: frozenset[str] = frozenset()) -> dict[str, Any]:
    """What a vector environment's infos hold for environment i, as a single environment would give it."""
    row: dict[str, Any] = {}
    for key, value in infos.items():
        if key.startswith("_") or key in skip:
            continue
        present = infos.get(f"_{key}")
        if present is not None and not present[i]:
            continue
        item = _row(value, i) if isinstance(value, dict) else value[i]
        row[key] = item.item() if isinstance(item, np.generic) else item
    return row
