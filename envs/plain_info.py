"""Infos with the same scalar keys from every reset and step, for libraries that stack or record them.

The environments put `metrics` into the last info only, and masks beside the costs; Minari, TorchRL's readers and
whoever makes a table of infos want one structure throughout. `PlainInfo` gives it for a single environment,
`VectorPlainInfo` for a vector of them, `PlainInfoAEC` for a game.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper
from pettingzoo.utils import BaseWrapper

from stormgym.envs.core import Core

METRIC = "metric_"
"""What the names of metrics begin with in a plain info."""


def core_of(env: Any) -> Core:
    """The core of an environment of this suite, single, vector or a vector of single ones; it names the metrics.

    Raises:
        TypeError: an environment of another kind, whose metrics are known only when an episode has ended.
    """
    inner = getattr(env, "unwrapped", env)
    core = getattr(next(iter(getattr(inner, "envs", [inner]))).unwrapped, "core", None)
    if not isinstance(core, Core):
        raise TypeError(
            f"metrics can be told in every info only where they are known beforehand; {env} is not made of a core of "
            "this suite. Leave metrics=True out"
        )
    return core


def metric_names(core: Core) -> tuple[str, ...]:
    """Names of the metrics with which last infos come, of a core that has been reset."""
    with np.errstate(all="ignore"):  # figures of an episode that has not been played; just their names count
        return tuple(core.metrics(np.zeros(1, dtype=np.int64)))


class PlainInfo(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """Every info holds the same scalars, as `np.float64`, and nothing else unless it is asked for.

    Args:
        env: a single environment.
        metrics: also give each metric, as `metric_NAME`, which is 0 until the last step; `episode_end` is then 1 there
            and 0 before, so that no zero is taken for a figure.
        masks: also give `action_mask`.

    Raises:
        TypeError: `metrics` of an environment that is not of this suite.
    """

    def __init__(self, env: gym.Env[Any, Any], *, metrics: bool = False, masks: bool = False) -> None:
        gym.utils.RecordConstructorArgs.__init__(self, metrics=metrics, masks=masks)
        super().__init__(env)
        self._core = core_of(env) if metrics else None
        self._names: tuple[str, ...] | None = None  # of metrics; a core knows them once it has been reset
        self._masks = masks

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Reset."""
        obs, info = self.env.reset(**kwargs)
        if self._core is not None and self._names is None:
            self._names = metric_names(self._core)
        return obs, plain(info, self._names, self._masks)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        return obs, reward, terminated, truncated, plain(info, self._names, self._masks)


def plain(info: Mapping[str, Any], metrics: tuple[str, ...] | None = None, masks: bool = False) -> dict[str, Any]:
    """The scalars of an info; `metrics` and `masks` as for `PlainInfo`."""
    kept = {
        key: np.float64(value)
        for key, value in info.items()
        if np.ndim(value) == 0 and isinstance(value, int | float | np.number)
    }
    if metrics is not None:
        found = info.get("metrics")
        kept["episode_end"] = np.float64(found is not None)
        kept |= {METRIC + name: np.float64(0.0 if found is None else found[name]) for name in metrics}
    if masks and "action_mask" in info:
        kept["action_mask"] = info["action_mask"]
    return kept


class VectorPlainInfo(VectorWrapper[Any, Any, Any, Any, Any]):
    """The same for a vector environment: arrays `[B]` and their presence `_KEY`, also within `final_info`.

    Args:
        env: a vector environment, in any autoreset mode.
        metrics, masks: as for `PlainInfo`.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], *, metrics: bool = False, masks: bool = False) -> None:
        super().__init__(env)
        self.autoreset_mode = env.metadata.get("autoreset_mode")  # libraries ask the outermost layer for it
        self._core = core_of(env) if metrics else None
        self._names: tuple[str, ...] | None = None
        self._masks = masks

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset."""
        obs, infos = self.env.reset(seed=seed, options=options)
        if self._core is not None and self._names is None:
            self._names = metric_names(self._core)
        return obs, self._plain(infos)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step."""
        obs, reward, terminated, truncated, infos = self.env.step(actions)
        return obs, reward, terminated, truncated, self._plain(infos)

    def _plain(self, infos: dict[str, Any]) -> dict[str, Any]:
        n = self.num_envs
        everywhere = np.ones(n, dtype=bool)
        kept: dict[str, Any] = {}
        for key, value in infos.items():
            scalar = isinstance(value, np.ndarray) and value.shape == (n,) and value.dtype.kind in "iuf"
            if scalar and not key.startswith("_"):
                kept[key], kept[f"_{key}"] = value.astype(np.float64), infos.get(f"_{key}", everywhere)
        if self._names is not None:
            found = infos.get("metrics", {})
            ended = np.asarray(infos.get("_metrics", ~everywhere), dtype=bool)
            kept["episode_end"], kept["_episode_end"] = ended.astype(np.float64), everywhere.copy()
            for name in self._names:
                kept[METRIC + name] = np.where(ended, found.get(name, 0.0), 0.0)
                kept[f"_{METRIC}{name}"] = everywhere.copy()
        if self._masks and "action_mask" in infos:
            kept["action_mask"] = infos["action_mask"]
            kept["_action_mask"] = infos.get("_action_mask", everywhere)
        if "final_info" in infos:
            kept["final_info"], kept["_final_info"] = self._plain(infos["final_info"]), infos["_final_info"]
            kept["final_obs"], kept["_final_obs"] = infos["final_obs"], infos["_final_obs"]
        return kept


class PlainInfoAEC(BaseWrapper):
    """The same for a game: the infos of every player hold the same scalars throughout.

    Args:
        env: a PettingZoo AEC environment.
        masks: also give `action_mask` to players that have one.
    """

    def __init__(self, env: Any, *, masks: bool = False) -> None:
        super().__init__(env)
        self._masks = masks

    @property
    def infos(self) -> dict[str, dict[str, Any]]:
        """Infos by player."""
        return {agent: plain(info, None, self._masks) for agent, info in self.env.infos.items()}

    def last(self, observe: bool = True) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """What the player whose turn it is sees."""
        observation, reward, terminated, truncated, info = self.env.last(observe)
        return observation, reward, terminated, truncated, plain(info, None, self._masks)
