"""The doors of the suite: one environment, or B of one core advanced by the same array operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

Observation = dict[str, NDArray[Any]]


class Step(NamedTuple):
    """What one step of B episodes gives."""

    reward: NDArray[np.float64]  # [B]
    cost: NDArray[np.float64]  # [B] of the step
    terminated: NDArray[np.bool_]  # [B]
    truncated: NDArray[np.bool_]  # [B]
    any_ended: bool


class Core(Protocol):
    """B episodes of an environment without Gymnasium's signatures: what its doors share."""

    observation_space: spaces.Dict
    action_space: Any

    def reset(
        self, rngs: list[np.random.Generator], rows: NDArray[np.int64] | None = None, given: Any = None, /
    ) -> None:
        """Draw new instances for `rows` (all when None), one generator a row; `given` is what the options say."""
        ...

    def step(self, actions: NDArray[Any], live: NDArray[np.bool_] | None = None) -> Step:
        """Advance all episodes; rows that are not `live` (all are when None) are about to be reset."""
        ...

    def checked(self, actions: Any, waiting: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        """Actions of all rows, in range; those of `waiting` rows do not count. Raises TypeError or ValueError."""
        ...

    def observation(self, row: int | None = None) -> Observation:
        """Fresh copies of what the agents see, with a leading axis B, or of one row without it."""
        ...

    def shown(self) -> dict[str, NDArray[Any]]:
        """What every info holds beside the cost, by name `[B, ...]`, as fresh copies."""
        ...

    def metrics(self, rows: Any) -> dict[str, NDArray[np.float64]]:
        """Figures of finished episodes, name to `[len(rows)]`."""
        ...

    def action_masks(self) -> NDArray[np.bool_]:
        """Which choices are open now, `[B, A]`."""
        ...

    def picture(self, row: int, mode: str) -> Any:
        """One row, rendered."""
        ...


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise `ValueError` unless an argument is one of a few names."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}")


class SingleEnv(gym.Env[Observation, Any]):
    """One environment of a core with B = 1.

    Args:
        core: makes and advances the episode.
        render_mode: of the frames that `render` gives.
    """

    core: Core
    options: tuple[str, ...] = ()
    """Options of `reset`."""

    def __init__(self, core: Core, render_mode: str | None = None) -> None:
        self.core = core
        self.observation_space = core.observation_space  # type: ignore[assignment]  # a Dict gives a dict
        self.action_space = core.action_space
        self.render_mode = render_mode
        self._running = False
        self._started = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw a new instance."""
        super().reset(seed=seed)
        unknown = set(options or {}) - set(self.options)
        if unknown:
            known = ", ".join(self.options) or "none"
            raise ValueError(f"unknown reset options {sorted(unknown)}; known: {known}")
        self._draw({key: value for key, value in (options or {}).items() if value is not None})
        self._running = self._started = True
        return self.core.observation(0), self._info(0.0)

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Make one choice."""
        if not self._running:
            raise ResetNeeded("the episode has not begun or has ended; call reset() before step()")
        step = self.core.step(self._as_array(action))
        info = self._info(float(step.cost[0]))
        if step.any_ended:
            self._running = False
            info["metrics"] = {k: float(v[0]) for k, v in self.core.metrics(slice(None)).items()}
        return self.core.observation(0), float(step.reward[0]), bool(step.terminated[0]), bool(step.truncated[0]), info

    def action_masks(self) -> NDArray[np.bool_]:
        """Which choices are open now, `[A]` (the method that sb3-contrib calls)."""
        return self.core.action_masks()[0]

    def render(self) -> Any:
        """Text or picture of the episode, as `render_mode` says."""
        if self.render_mode is None:
            gym.logger.warn(
                'render() was called without a render_mode; make the environment with render_mode="ansi" or "rgb_array"'
            )
            return None
        if not self._started:
            raise ResetNeeded("nothing to render before reset()")
        return self.core.picture(0, self.render_mode)

    def _draw(self, options: dict[str, Any]) -> None:
        """Draw an instance, as the reset's options say."""
        del options
        self.core.reset([self.np_random])

    def _as_array(self, action: Any) -> NDArray[np.int64]:
        """The action as the core takes it, `[1, ...]`; raises `TypeError` or `ValueError` for a bad one."""
        return self.core.checked(np.asarray(action)[None], None)

    def _info(self, cost: float) -> dict[str, Any]:
        shown = {name: values[0] for name, values in self.core.shown().items()}
        return {"cost": cost, **{k: float(v) if np.ndim(v) == 0 else v for k, v in shown.items()}}


class BatchedVectorEnv(VectorEnv[Observation, NDArray[np.int64], NDArray[Any]]):
    """B environments of one core in one process; equal, episode by episode, to B single ones with the same seeds.

    Observations, rewards, costs and infos are those of the single door with a leading axis B, in the layout of
    Gymnasium's `SyncVectorEnv`, and are fresh copies. `infos["cost"]` `[B]` is the step's cost. Under `SAME_STEP` the
    cost of an episode's last step is in `infos["final_info"]["cost"]`; `stormgym.envs.wrappers.VectorEpisodeCost`
    adds up either way.

    Subclasses name their `core_class`.

    Args:
        num_envs: B.
        autoreset_mode: `NEXT_STEP`, `SAME_STEP` or `DISABLED` (then `reset(options={"reset_mask": ...})`).
        **kwargs: of the core, as for the single door; `render_mode` is that of the frames that `render` gives.
    """

    core_class: ClassVar[Callable[..., Core]]
    core: Core
    options: tuple[str, ...] = ()
    """Options of `reset` beside `reset_mask`."""

    def __init__(
        self, num_envs: int = 1, *, autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP, **kwargs: Any
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1; got {num_envs}")
        core = type(self).core_class(num_envs, **kwargs)
        self.num_envs = num_envs
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = kwargs.get("render_mode")
        self.core = core
        self.single_observation_space = core.observation_space
        self.single_action_space = core.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._rngs: list[np.random.Generator] | None = None
        self._ended = np.zeros(num_envs, dtype=bool)
        self._any_ended = False  # whether an ended environment waits for its reset

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw new instances. An int seeds environment i with `seed + i`; a sequence gives one seed each.

        `options={"reset_mask": bool [B]}` resets only some.
        """
        mask = self._reset_mask(options)
        given = self._given(options or {}, mask)
        rngs = self._seeded(seed, mask)
        rows = np.flatnonzero(mask)
        if rows.size == self.num_envs:
            self.core.reset(rngs, None, given)
        else:
            self.core.reset([rngs[i] for i in rows], rows, given)
        self._ended = self._ended & ~mask
        self._any_ended = bool(self._ended.any())
        return self.core.observation(), self._infos(np.zeros(self.num_envs), mask)

    def step(
        self, actions: Any
    ) -> tuple[Observation, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Advance every environment by one choice; those that ended before are reset first as the mode says."""
        if self._rngs is None:
            raise ResetNeeded("call reset() before step()")
        waiting = self._ended if self._any_ended else None
        if waiting is not None and self.autoreset_mode == AutoresetMode.DISABLED:
            raise ResetNeeded(
                f"environments {np.flatnonzero(waiting).tolist()} have ended; "
                'reset them with reset(options={"reset_mask": mask})'
            )
        chosen = self.core.checked(actions, waiting)
        if waiting is None:
            reward, cost, terminated, truncated, any_ended = self.core.step(chosen)
            ended = terminated | truncated
        else:  # NEXT_STEP: this step of an ended environment is its reset
            reward, cost, terminated, truncated, _ = self.core.step(chosen, ~waiting)
            self._reset_rows(np.flatnonzero(waiting))
            reward[waiting], cost[waiting] = 0.0, 0.0
            terminated[waiting], truncated[waiting] = False, False
            ended = terminated | truncated
            any_ended = bool(ended.any())
        self._ended, self._any_ended = ended, any_ended
        if not any_ended:
            return self.core.observation(), reward, terminated, truncated, self._infos(cost)
        metrics = self._metrics(ended)
        if self.autoreset_mode != AutoresetMode.SAME_STEP:
            infos = self._infos(cost)
            infos["metrics"], infos["_metrics"] = metrics, ended.copy()
            return self.core.observation(), reward, terminated, truncated, infos
        final_info = self._infos(np.where(ended, cost, 0.0), ended)
        final_info["metrics"], final_info["_metrics"] = metrics, ended.copy()
        final = np.full(self.num_envs, None, dtype=object)
        for row in np.flatnonzero(ended).tolist():
            final[row] = self.core.observation(row)
        self._reset_rows(np.flatnonzero(ended))
        self._ended, self._any_ended = np.zeros(self.num_envs, dtype=bool), False
        infos = self._infos(np.where(ended, 0.0, cost))
        infos["final_obs"], infos["_final_obs"] = final, ended.copy()
        infos["final_info"], infos["_final_info"] = final_info, ended.copy()
        return self.core.observation(), reward, terminated, truncated, infos

    def action_masks(self) -> NDArray[np.bool_]:
        """Which choices are open now, `[B, A]` bool."""
        return self.core.action_masks()

    def render(self) -> tuple[Any, ...] | None:
        """One frame per environment."""
        if self.render_mode is None:
            return None
        if self._rngs is None:
            raise ResetNeeded("nothing to render before reset()")
        return tuple(self.core.picture(row, self.render_mode) for row in range(self.num_envs))

    def _given(self, options: dict[str, Any], mask: NDArray[np.bool_]) -> Any:
        """What the reset's options say, for the rows of `mask`, as the core's `reset` takes it; nothing here."""
        del options, mask

    def _reset_rows(self, rows: NDArray[np.int64]) -> None:
        assert self._rngs is not None
        self.core.reset([self._rngs[i] for i in rows], None if rows.size == self.num_envs else rows)

    def _reset_mask(self, options: dict[str, Any] | None) -> NDArray[np.bool_]:
        unknown = set(options or {}) - {"reset_mask", *self.options}
        if unknown:
            known = ", ".join(("reset_mask", *self.options))
            raise ValueError(f"unknown reset options {sorted(unknown)}; known: {known}")
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
        if present is None:
            present = np.ones(self.num_envs, dtype=bool)
        infos: dict[str, Any] = {"cost": cost, "_cost": present.copy()}
        all_present = present.all()
        for name, values in self.core.shown().items():
            if not all_present:
                values[~present] = 0
            infos[name], infos[f"_{name}"] = values, present.copy()
        return infos

    def _metrics(self, ended: NDArray[np.bool_]) -> dict[str, Any]:
        rows = np.flatnonzero(ended)
        result: dict[str, Any] = {}
        for name, value in self.core.metrics(rows).items():
            full = np.zeros(self.num_envs)
            full[rows] = value
            result[name], result[f"_{name}"] = full, ended.copy()
        return result
