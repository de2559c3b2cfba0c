"""Restoration-v0: the native vector door, B environments advanced by the same array operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from stormgym.envs.data import City
from stormgym.envs.restoration.core import RestorationCore
from stormgym.envs.restoration.env import Observation, RestorationEnv
from stormgym.envs.restoration.limits import given_limits
from stormgym.envs.restoration.process import RestorationProcess


class RestorationVectorEnv(VectorEnv[Observation, NDArray[np.int64], NDArray[Any]]):
    """B environments of Restoration-v0 in one process; equal, episode by episode, to B single ones with the same seeds.

    Observations, rewards, costs and infos are those of `RestorationEnv` with a leading axis B, in the layout of
    Gymnasium's `SyncVectorEnv`, and are fresh copies. `infos["cost"]` `[B]` is the step's cost. Under `SAME_STEP` the
    cost of an episode's last step is in `infos["final_info"]["cost"]`; `stormgym.envs.wrappers.VectorEpisodeCost`
    adds up either way.

    Args:
        num_envs: B.
        autoreset_mode: `NEXT_STEP` (default), `SAME_STEP` or `DISABLED` (then `reset(options={"reset_mask": ...})`).
        **kwargs: as for `RestorationEnv`.
    """

    metadata = dict(RestorationEnv.metadata)  # noqa: RUF012 - as Gymnasium declares it

    def __init__(
        self,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **kwargs: Any,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1; got {num_envs}")
        self.num_envs = num_envs
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = kwargs.get("render_mode")
        self.core = RestorationCore(num_envs, **kwargs)
        self.single_observation_space = self.core.observation_space
        self.single_action_space = self.core.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._rngs: list[np.random.Generator] | None = None
        self._ended = np.zeros(num_envs, dtype=bool)
        self._any_ended = False  # whether an ended environment waits for its reset

    @property
    def city(self) -> City:
        """The city of these environments."""
        return self.core.city

    @property
    def cost_limit(self) -> float:
        """Limit d of the expected gap (h); the middle of the range where each episode draws its own."""
        return self.core.cost_limit

    @property
    def cost_limit_range(self) -> tuple[float, float] | None:
        """Range (low, high) from which each episode draws its limit (h); None where all have the same."""
        return self.core.cost_limit_range

    @property
    def process(self) -> RestorationProcess:
        """The process behind the door; it holds the true durations, so only privileged policies may look."""
        return self.core.process

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw new storms. An int seeds environment i with `seed + i`; a sequence gives one seed each.

        `options={"reset_mask": bool [B]}` resets only some, `options={"cost_limit": ...}`, a number or `[B]` (h),
        fixes the limits of the episodes that begin.
        """
        mask = self._reset_mask(options)
        given = (options or {}).get("cost_limit")
        limit_h = None if given is None else given_limits(given, self.num_envs)[mask]
        rngs = self._seeded(seed, mask)
        rows = np.flatnonzero(mask)
        if rows.size == self.num_envs:
            self.core.reset(rngs, None, limit_h)
        else:
            self.core.reset([rngs[i] for i in rows], rows, limit_h)
        self._ended = self._ended & ~mask
        self._any_ended = bool(self._ended.any())
        return self.process.observation(), self._infos(np.zeros(self.num_envs), mask)

    def step(
        self, actions: Any
    ) -> tuple[Observation, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Advance every environment by one choice `[B]`; those that ended before are reset first as the mode says."""
        if self._rngs is None:
            raise ResetNeeded("call reset() before step()")
        chosen = np.asarray(actions)
        if chosen.shape != (self.num_envs,) or chosen.dtype.kind not in "iu":
            raise TypeError(
                f"actions must be {self.num_envs} integers, shape ({self.num_envs},); "
                f"got shape {chosen.shape}, dtype {chosen.dtype}"
            )
        chosen = chosen.astype(np.int64, copy=False)
        waiting = self._ended if self._any_ended else None
        if waiting is not None:
            if self.autoreset_mode == AutoresetMode.DISABLED:
                raise ResetNeeded(
                    f"environments {np.flatnonzero(waiting).tolist()} have ended; "
                    'reset them with reset(options={"reset_mask": mask})'
                )
            chosen = np.where(waiting, 0, chosen)  # NEXT_STEP: this step of an ended environment is its reset
        outside = chosen.view(np.uint64) >= self.core.n_regions  # as unsigned numbers, negative ones are huge
        if np.count_nonzero(outside):
            raise self.core.out_of_range(int(chosen[outside.argmax()]))
        if waiting is None:
            reward, cost, terminated, truncated, any_ended = self.core.step(chosen)
            ended = terminated | truncated
        else:
            reward, cost, terminated, truncated, _ = self.core.step(chosen, ~waiting)
            self._reset_rows(np.flatnonzero(waiting))
            reward[waiting], cost[waiting] = 0.0, 0.0
            terminated[waiting], truncated[waiting] = False, False
            ended = terminated | truncated
            any_ended = bool(ended.any())
        self._ended, self._any_ended = ended, any_ended
        if not any_ended:
            return self.process.observation(), reward, terminated, truncated, self._infos(cost)
        metrics = self._metrics(ended)
        if self.autoreset_mode != AutoresetMode.SAME_STEP:
            infos = self._infos(cost)
            infos["metrics"], infos["_metrics"] = metrics, ended.copy()
            return self.process.observation(), reward, terminated, truncated, infos
        final_info = self._infos(np.where(ended, cost, 0.0), ended)
        final_info["metrics"], final_info["_metrics"] = metrics, ended.copy()
        final = np.full(self.num_envs, None, dtype=object)
        for row in np.flatnonzero(ended).tolist():
            final[row] = self.process.observation(row)
        self._reset_rows(np.flatnonzero(ended))
        self._ended, self._any_ended = np.zeros(self.num_envs, dtype=bool), False
        infos = self._infos(np.where(ended, 0.0, cost))
        infos["final_obs"], infos["_final_obs"] = final, ended.copy()
        infos["final_info"], infos["_final_info"] = final_info, ended.copy()
        return self.process.observation(), reward, terminated, truncated, infos

    def action_masks(self) -> NDArray[np.bool_]:
        """Which regions may be chosen now, `[B, N]` bool."""
        return self.process.action_mask.astype(bool)

    def render(self) -> tuple[Any, ...] | None:
        """One frame per environment."""
        if self.render_mode is None:
            return None
        if self._rngs is None:
            raise ResetNeeded("nothing to render before reset()")
        from stormgym.envs.restoration.render import render

        return tuple(render(self.process, row, self.render_mode) for row in range(self.num_envs))

    def _reset_rows(self, rows: NDArray[np.int64]) -> None:
        assert self._rngs is not None
        self.core.reset([self._rngs[i] for i in rows], None if rows.size == self.num_envs else rows)

    def _reset_mask(self, options: dict[str, Any] | None) -> NDArray[np.bool_]:
        unknown = set(options or {}) - {"reset_mask", "cost_limit"}
        if unknown:
            raise ValueError(f"unknown reset options {sorted(unknown)}; known: reset_mask, cost_limit")
        if not options or options.get("reset_mask") is None:
            return np.ones(self.num_envs, dtype=bool)
        mask = np.asarray(options["reset_mask"])
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
            raise ValueError(
                f"options['reset_mask'] must be {self.num_envs} booleans with at least one True; got {mask!r}"
            )
        return mask

    def _seeded(self, seed: Any, mask: NDArray[np.bool_]) -> list[np.random.Generator]:
        if seed is None:
            seeds: list[int | None] = [None] * self.num_envs
        elif isinstance(seed, (int, np.integer)):
            seeds = [int(seed) + i for i in range(self.num_envs)]
        else:
            seeds = list(seed)
            if len(seeds) != self.num_envs:
                raise ValueError(f"seed must be an int or {self.num_envs} values; got {len(seeds)}")
        if self._rngs is None:
            if not mask.all():
                raise ResetNeeded("the first reset must be of all environments; leave out reset_mask")
            self._rngs = [seeding.np_random(s)[0] for s in seeds]
        else:
            for i, s in enumerate(seeds):
                if s is not None and mask[i]:
                    self._rngs[i] = seeding.np_random(s)[0]
        return self._rngs

    def _infos(self, cost: NDArray[np.float64], present: NDArray[np.bool_] | None = None) -> dict[str, Any]:
        mask, limit = self.process.action_mask.copy(), self.process.cost_limit_h.copy()
        if present is None:
            present = np.ones(self.num_envs, dtype=bool)
        elif not present.all():
            mask[~present], limit[~present] = 0, 0.0
        return {
            "cost": cost,
            "_cost": present.copy(),
            "cost_limit": limit,
            "_cost_limit": present.copy(),
            "action_mask": mask,
            "_action_mask": present.copy(),
        }

    def _metrics(self, ended: NDArray[np.bool_]) -> dict[str, Any]:
        rows = np.flatnonzero(ended)
        result: dict[str, Any] = {}
        for name, value in self.core.metrics(rows).items():
            full = np.zeros(self.num_envs)
            full[rows] = value
            result[name], result[f"_{name}"] = full, ended.copy()
        return result
