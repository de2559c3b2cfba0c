"""The single and the native vector environment over a core, written once for every environment of the suite."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from numbers import Integral
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from stormgym.envs.arguments import bound_arguments
from stormgym.envs.arrays import Bools, Floats, Ints, Observation
from stormgym.envs.core import Core, Groups, Step
from stormgym.envs.moved import forward
from stormgym.envs.replay import EpisodeLog, begin, replay
from stormgym.envs.risk_measure import RiskMeasure

__getattr__ = forward(__name__, "stormgym.envs.core")


MOST_ENVS = 2**20
"""Environments that one batch is meant to hold; more are refused, e.g. a number of steps in the wrong place."""


def check_num_envs(num_envs: Any) -> int:
    """The number of environments of a batch.

    Raises:
        TypeError: no whole number.
        ValueError: below 1 or above `MOST_ENVS`.
    """
    if isinstance(num_envs, bool | np.bool_) or not isinstance(num_envs, Integral):
        raise TypeError(f"num_envs must be a whole number of environments; got {num_envs!r}. Pass e.g. 16")
    number = int(num_envs)
    if number < 1:
        raise ValueError(f"num_envs must be at least 1; got {number}")
    if number > MOST_ENVS:
        raise ValueError(f"num_envs must be at most {MOST_ENVS:,}; got {number}. Make several batches")
    return number


def check_options(options: Any, known: Sequence[str] | None) -> None:
    """Raise unless options of a reset are None or a mapping from known names (`known` None: from any names).

    Raises:
        TypeError: anything else, or names that are not text.
        ValueError: an unknown name.
    """
    if options is None:
        return
    if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
        raise TypeError(f"reset options must be a dict by name, or None; got {options!r}")
    unknown = [] if known is None else sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"unknown reset options {unknown}; known: {', '.join(known or ()) or 'none'}")


class CoreFacts:
    """The facts of a core, as both the single and the vector environment show them; `Core` says more of each."""

    core: Core

    @property
    def announced(self) -> Any:
        """What any planner may know now: a frozen record of this moment. Read it again after a reset."""
        return self.core.announced

    @property
    def truth(self) -> Any:
        """What only policies with `privileged = True` may read: a frozen record. Reading it is counted."""
        self.core.truth_reads += 1
        return self.core.truth

    @property
    def process(self) -> Any:
        """The state of the episodes, the truth included, for notebooks and tests. Reading it is counted, as `truth`."""
        self.core.truth_reads += 1
        return self.core.process

    @property
    def truth_reads(self) -> int:
        """How often `truth` or `process` has been read."""
        return self.core.truth_reads

    @property
    def instance_name(self) -> str:
        """Name of the city or profile that is played; empty where there is neither."""
        return self.core.instance_name

    @property
    def return_unit(self) -> float:
        """A natural unit of an episode's return, by which learners scale rewards."""
        return self.core.return_unit

    @property
    def settles_when_truncated(self) -> bool:
        """Whether a truncated episode's last step charges all that was left to come."""
        return self.core.settles_when_truncated

    @property
    def cost_limit(self) -> float:
        """Limit on the expected cost of an episode; the middle of the range where each draws its own.

        Raises:
            AttributeError: there is none, so that `hasattr` tells constrained environments from others.
        """
        if self.core.cost_limit is None:
            raise AttributeError(f"{type(self).__name__} has no cost_limit: its core sets none")
        return self.core.cost_limit

    @property
    def cost_limit_range(self) -> tuple[float, float] | None:
        """Range (low, high) from which each episode draws its limit; None where all have the same."""
        return self.core.cost_limit_range

    @property
    def risk_measure(self) -> RiskMeasure:
        """The statistic of the costs of episodes that the limit bounds."""
        return self.core.risk_measure

    @property
    def usual_action(self) -> Floats:
        """Centre and spread `[2, n]` of good actions, by which learners scale theirs.

        Raises:
            AttributeError: none are known, so that `hasattr` tells where actions have units of their own.
        """
        usual = self.core.usual_action
        if usual is None:
            raise AttributeError(f"{type(self).__name__} has no usual_action: its core knows none")
        return usual

    @property
    def groups(self) -> Groups | None:
        """Groups of regions by which reports are broken down; None where there are none."""
        return self.core.groups

    def times_h(self, rows: Any = slice(None)) -> Floats | None:
        """Hours until each region had power `[len(rows), N]` in episodes that have ended; None where it is not known.

        Args:
            rows: of the batch; all if left out (a single environment is a batch of one).
        """
        return self.core.times_h(rows)


@lru_cache(maxsize=64)
def core_signature(core_class: Callable[..., Core]) -> inspect.Signature:
    """Arguments of an environment: those of its core but the batch size, by position or by name."""
    own = list(inspect.signature(core_class).parameters.values())
    return inspect.Signature([p.replace(kind=p.POSITIONAL_OR_KEYWORD) for p in own if p.name != "batch"])


class ObservationKeys:
    """Other names for parts of an observation, where a library keeps a name for itself.

    Args:
        space: the observation space.
        names: new names by the old ones; None renames nothing.

    Raises:
        TypeError: names that are not text.
        ValueError: a part that does not exist, or a name that is taken.
    """

    def __init__(self, space: spaces.Dict, names: Mapping[str, str] | None) -> None:
        self.names = dict(names or {})
        if not all(isinstance(name, str) for pair in self.names.items() for name in pair):
            raise TypeError(f"observation_keys must give names by names, all of them text; got {self.names!r}")
        unknown = set(self.names) - set(space.spaces)
        if unknown:
            known = ", ".join(space.spaces)
            raise ValueError(f"observation_keys names {sorted(unknown)}, which are no parts; known: {known}")
        after = [self.names.get(key, key) for key in space.spaces]
        if len(set(after)) < len(after):
            twice = sorted({name for name in after if after.count(name) > 1})
            raise ValueError(f"observation_keys gives {twice} to more than one part; take names that are free")
        self.space = spaces.Dict(self.of(space.spaces)) if self.names else space

    def of(self, parts: Mapping[str, Any]) -> dict[str, Any]:
        """The parts of an observation, or of its space, under their new names."""
        if not self.names:
            return parts  # type: ignore[return-value]  # an observation is a dict, and fresh
        return {self.names.get(key, key): value for key, value in parts.items()}


class SingleEnv(CoreFacts, gym.Env[Observation, Any]):
    """One environment of a core with B = 1.

    Subclasses name their `core_class`, and their docstring documents its arguments; they need no `__init__`.
    `inspect.signature` of a subclass lists the arguments with their defaults. Every info holds `cost`, of the step, and
    `episode_cost`, of the episode so far.

    Args:
        *args, **kwargs: of the core; its `render_mode` is that of the frames that `render` gives.
        observation_keys: other names for parts of the observation, e.g. `{"state": "storm"}` for a library that keeps
            "state" for itself. Agents of this package read the names of the documentation.

    Raises:
        TypeError: the core has no such argument.
    """

    core_class: ClassVar[Callable[..., Core]]
    options: tuple[str, ...] = ()
    """Options of `reset`."""
    __signature__: ClassVar[inspect.Signature | None]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__signature__ = None  # a constructor of its own speaks for itself
        elif "core_class" in vars(cls):
            cls.__signature__ = core_signature(cls.core_class)

    def __init__(self, *args: Any, observation_keys: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        core_class = type(self).core_class
        arguments = bound_arguments(type(self), core_signature(core_class), args, kwargs, ("observation_keys",))
        core = core_class(1, **arguments)
        self.core = core
        self._keys = ObservationKeys(core.observation_space, observation_keys)
        self.observation_space = self._keys.space  # type: ignore[assignment]  # a Dict gives a dict
        self.action_space = core.action_space
        self.render_mode = arguments.get("render_mode")
        self._running = False
        self._started = False
        self._episode_cost = np.float64(0.0)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw a new episode; see the class for what `options` may hold.

        Raises:
            TypeError: options that are no mapping from names.
            ValueError: an unknown option, or one that does not fit.
        """
        check_options(options, self.options)
        super().reset(seed=seed)
        self.core.reset([self.np_random], None, self.core.parse_options(_without_none(options)))
        self._running = self._started = True
        self._episode_cost = np.float64(0.0)
        return self._keys.of(self.core.observe(0)), self._info(np.float64(0.0))

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Act once.

        Raises:
            ResetNeeded: no episode has begun, or the last one has ended.
            TypeError, ValueError: an action outside the action space.
        """
        if not self._running:
            raise ResetNeeded("the episode has not begun or has ended; call reset() before step()")
        step = _told(self.core, self.core.step(self._validate_action(action)))
        info = self._info(np.float64(step.cost[0]))
        if step.any_ended:
            self._running = False
            info["metrics"] = {k: float(v[0]) for k, v in self.core.metrics(slice(None)).items()}
        observation = self._keys.of(self.core.observe(0))
        return observation, float(step.reward[0]), bool(step.terminated[0]), bool(step.truncated[0]), info

    def action_masks(self) -> Bools:
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
        return self.core.render_row(0, self.render_mode)

    def _validate_action(self, action: Any) -> Ints:
        """The action as the core takes it, `[1, ...]`; raises `TypeError` or `ValueError` for a bad one."""
        return self.core.validate_actions(np.asarray(action)[None], None)

    def _info(self, cost: np.float64) -> dict[str, Any]:
        """The info of a step. Scalars are `np.float64`: Python floats that have the `dtype` which TorchRL asks for."""
        self._episode_cost = self._episode_cost + cost
        return {"cost": cost, "episode_cost": self._episode_cost, **self._extra_info()}

    def _extra_info(self) -> dict[str, Any]:
        """What the info holds beside costs."""
        extra = {name: values[0] for name, values in self.core.extra_info().items()}
        return {name: np.float64(value) if np.ndim(value) == 0 else value for name, value in extra.items()}


class BatchedVectorEnv(CoreFacts, VectorEnv[Observation, Ints, NDArray[Any]]):
    """B environments of one core in one process; equal, episode by episode, to B single ones with the same seeds.

    Observations, rewards, costs and infos are those of the single environment with a leading axis B, in the layout of
    Gymnasium's `SyncVectorEnv`, and are fresh copies. `infos["cost"]` `[B]` is the step's cost, `infos["episode_cost"]`
    that of the episode so far. Under `SAME_STEP` both are of the new episode where one began, and those of an episode's
    last step are in `infos["final_info"]`; `stormgym.envs.wrappers.VectorEpisodeCost` gives totals either way.

    Subclasses name their `core_class`.

    Args:
        num_envs: B.
        autoreset_mode: `NEXT_STEP`, `SAME_STEP` or `DISABLED` (then `reset(options={"reset_mask": ...})`).
        observation_keys: other names for parts of the observation, as for the single environment.
        **kwargs: of the core, as for the single environment; `render_mode` is that of the frames that `render` gives.
    """

    core_class: ClassVar[Callable[..., Core]]
    options: tuple[str, ...] = ()
    """Options of `reset` beside `reset_mask`."""

    def __init__(
        self,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        observation_keys: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        num_envs = check_num_envs(num_envs)
        core_class = type(self).core_class
        further = ("observation_keys", "autoreset_mode")
        core = core_class(num_envs, **bound_arguments(type(self), core_signature(core_class), (), kwargs, further))
        self.num_envs = num_envs
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = kwargs.get("render_mode")
        self.core = core
        self._keys = ObservationKeys(core.observation_space, observation_keys)
        self.single_observation_space = self._keys.space
        self.single_action_space = core.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._rngs: list[np.random.Generator] | None = None
        self._ended = np.zeros(num_envs, dtype=bool)
        self._any_ended = False  # whether an ended environment waits for its reset
        self._episode_cost = np.zeros(num_envs)
        self._log: EpisodeLog | None = None

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw new episodes. An int seeds environment i with `seed + i`; a sequence gives one seed each.

        `options={"reset_mask": bool [B]}` resets only some.

        Raises:
            TypeError: options that are no mapping from names.
            ValueError: an unknown option, or one that does not fit.
        """
        mask = self._reset_mask(options)
        parsed = self.core.parse_options(_without_none(options, "reset_mask"))
        rngs = self._seeded(seed, mask)
        rows = np.flatnonzero(mask)
        if self._log is not None:
            self._log.begin(self.core, rows, [rngs[i] for i in rows], known=not _without_none(options, "reset_mask"))
        if rows.size == self.num_envs:
            self.core.reset(rngs, None, parsed)
        else:
            self.core.reset([rngs[i] for i in rows], rows, parsed)
        self._ended = self._ended & ~mask
        self._any_ended = bool(self._ended.any())
        self._episode_cost[mask] = 0.0
        return self._observe(), self._infos(np.zeros(self.num_envs), mask)

    def step(self, actions: Any) -> tuple[Observation, Floats, Bools, Bools, dict[str, Any]]:
        """Act once in every environment; those that ended in the last step are reset as the autoreset mode says.

        Raises:
            ResetNeeded: before the first reset, or (under `DISABLED`) while an environment that has ended waits for
            its. TypeError, ValueError: an action outside the action space.
        """
        if self._rngs is None:
            raise ResetNeeded("call reset() before step()")
        waiting = self._ended if self._any_ended else None
        if waiting is not None and self.autoreset_mode == AutoresetMode.DISABLED:
            raise ResetNeeded(
                f"environments {np.flatnonzero(waiting).tolist()} have ended; "
                'reset them with reset(options={"reset_mask": mask})'
            )
        chosen = self.core.validate_actions(actions, waiting)
        if self._log is not None:
            self._log.add(actions)
        if waiting is None:
            reward, cost, terminated, truncated, any_ended = _told(self.core, self.core.step(chosen))
            ended = terminated | truncated
        else:  # NEXT_STEP: this step of an ended environment is its reset
            reward, cost, terminated, truncated, _ = _told(self.core, self.core.step(chosen, ~waiting))
            self._reset_rows(np.flatnonzero(waiting))
            reward[waiting], cost[waiting], self._episode_cost[waiting] = 0.0, 0.0, 0.0
            terminated[waiting], truncated[waiting] = False, False
            ended = terminated | truncated
            any_ended = bool(ended.any())
        self._ended, self._any_ended = ended, any_ended
        self._episode_cost += cost
        if not any_ended:
            return self._observe(), reward, terminated, truncated, self._infos(cost)
        metrics = self._metrics(ended)
        if self.autoreset_mode != AutoresetMode.SAME_STEP:
            infos = self._infos(cost)
            infos["metrics"], infos["_metrics"] = metrics, ended.copy()
            return self._observe(), reward, terminated, truncated, infos
        final_info = self._infos(np.where(ended, cost, 0.0), ended)
        final_info["metrics"], final_info["_metrics"] = metrics, ended.copy()
        final = np.full(self.num_envs, None, dtype=object)
        for row in np.flatnonzero(ended).tolist():
            final[row] = self._observe(row)
        self._reset_rows(np.flatnonzero(ended))
        self._episode_cost[ended] = 0.0
        self._ended, self._any_ended = np.zeros(self.num_envs, dtype=bool), False
        infos = self._infos(np.where(ended, 0.0, cost))
        infos["final_obs"], infos["_final_obs"] = final, ended.copy()
        infos["final_info"], infos["_final_info"] = final_info, ended.copy()
        return self._observe(), reward, terminated, truncated, infos

    def action_masks(self) -> Bools:
        """Which choices are open now, `[B, A]` bool."""
        return self.core.action_masks()

    def keep_log(self) -> None:
        """From the next reset on, log what `state_dict` tells; it costs a copy of the actions a step."""
        self._log = EpisodeLog(self.num_envs)

    def state_dict(self) -> dict[str, Any] | None:
        """The episodes under way as plain data (see `stormgym.envs.replay`); None without a log of all of them."""
        log = None if self._log is None or self._rngs is None else self._log.state_dict()
        return None if log is None else {**log, "ended": self._ended.copy(), "episode_cost": self._episode_cost.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> Observation:
        """Go on from the `state_dict()` of environments with the same arguments; return the observations.

        Raises:
            LookupError, TypeError, ValueError, OverflowError: the state does not fit.
        """
        ended, cost = np.array(state["ended"]), np.array(state["episode_cost"])
        if ended.dtype != np.bool_ or cost.dtype != np.float64 or not ended.shape == cost.shape == (self.num_envs,):
            raise ValueError(f"a state of {ended.shape} ended and {cost.shape} costs does not fit {self.num_envs} rows")
        self.keep_log()
        assert self._log is not None
        self._rngs = replay(self.core, state, self._log)
        self._ended, self._any_ended, self._episode_cost = ended, bool(ended.any()), cost
        return self._observe()

    def render(self) -> tuple[Any, ...] | None:
        """One frame per environment."""
        if self.render_mode is None:
            return None
        if self._rngs is None:
            raise ResetNeeded("nothing to render before reset()")
        return tuple(self.core.render_row(row, self.render_mode) for row in range(self.num_envs))

    def _observe(self, row: int | None = None) -> Observation:
        """Fresh copies of what agents see, under the names that were asked for."""
        return self._keys.of(self.core.observe(row))

    def _reset_rows(self, rows: Ints) -> None:
        assert self._rngs is not None
        begin(self.core, rows, self._rngs, self._log)

    def _reset_mask(self, options: dict[str, Any] | None) -> Bools:
        check_options(options, ("reset_mask", *self.options))
        if not options or options.get("reset_mask") is None:
            return np.ones(self.num_envs, dtype=bool)
        mask = np.asarray(options["reset_mask"])
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
            raise ValueError(
                f"options['reset_mask'] must be {self.num_envs} booleans with at least one True; got {mask!r}"
            )
        return mask

    def _seeded(self, seed: Any, mask: Bools) -> list[np.random.Generator]:
        if seed is None:
            seeds: list[int | None] = [None] * self.num_envs
        elif isinstance(seed, (int, np.integer)):
            seeds = [int(seed) + i for i in range(self.num_envs)]
        elif isinstance(seed, str) or not isinstance(seed, Sequence | np.ndarray):
            raise TypeError(f"seed must be an int, {self.num_envs} of them, or None; got {seed!r}")
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

    def _infos(self, cost: Floats, present: Bools | None = None) -> dict[str, Any]:
        if present is None:
            present = np.ones(self.num_envs, dtype=bool)
        total = np.where(present, self._episode_cost, 0.0)
        infos: dict[str, Any] = {"cost": cost, "_cost": present.copy()}
        infos["episode_cost"], infos["_episode_cost"] = total, present.copy()
        all_present = present.all()
        for name, values in self.core.extra_info().items():
            if not all_present:
                values[~present] = 0
            infos[name], infos[f"_{name}"] = values, present.copy()
        return infos

    def _metrics(self, ended: Bools) -> dict[str, Any]:
        rows = np.flatnonzero(ended)
        result: dict[str, Any] = {}
        for name, value in self.core.metrics(rows).items():
            full = np.zeros(self.num_envs)
            full[rows] = value
            result[name], result[f"_{name}"] = full, ended.copy()
        return result


def _told(core: Core, step: Step) -> Step:
    """The step as libraries are told of it: where a cut episode settles all that was to come, it is terminated too.

    Libraries bootstrap the value of what is left where an episode is truncated and not terminated; nothing is left.
    """
    if getattr(step.cost, "shape", None) != step.reward.shape:
        raise ValueError(
            f"{type(core).__name__}.step must give a cost for each of the {len(step.reward)} episodes, 0 where nothing "
            f"is limited; got {step.cost!r}"
        )
    if core.settles_when_truncated and step.any_ended:
        return step._replace(terminated=step.terminated | step.truncated)
    return step


def _without_none(options: dict[str, Any] | None, *names: str) -> dict[str, Any]:
    """Options of a reset that have a value, but those of `names`."""
    return {key: value for key, value in (options or {}).items() if value is not None and key not in names}
