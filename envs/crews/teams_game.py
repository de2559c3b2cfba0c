"""A storm of CrewDispatch-v0 as a game of its crews: what the turn-based and the parallel form of `teams.py` share.

The dispatcher of the single environment sees ways and hours from the crew that is asked. Here each crew sees the same
columns from where it stands itself, and a mask of its own.
"""

from __future__ import annotations

import inspect
from copy import deepcopy
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from numpy.typing import NDArray

from stormgym.envs.arguments import bound_arguments
from stormgym.envs.arrays import Bools, Ints, Observation
from stormgym.envs.crews.core import CrewCore
from stormgym.envs.crews.env import CrewDispatchEnv, HasCity
from stormgym.envs.crews.layout import observe
from stormgym.envs.crews.process import CrewProcess
from stormgym.envs.doors import check_options, core_signature

NAME = "crew_dispatch_v0"
MASK = "action_mask"
FROM_ONE_CREW = (MASK, "distance_km", "travel_h")
"""Parts of the observation that depend on which crew looks; `crew_asked` does as well."""


def pending_of(process: CrewProcess) -> Bools:
    """Crews that may choose at this instant `[B, K]`: free, on duty, not waiting, and with a job that they could do.

    The asked crew of a storm is the first of them; no crew is pending in a storm that is over.
    """
    now = process.t[:, None]
    shape = (process.batch, process.roster.n_crews)
    classes = process.pending_h.min(axis=2) <= now  # [B, Z + 1] classes of work that are open
    able = (classes[:, None, :] & process.serves).any(axis=2)  # [B, K]
    on_duty = process.roster.next_on(np.broadcast_to(now, shape)) <= now
    free = ~process.waiting & (process.ready_h <= now)
    going_on = np.asarray(process.n_left > 0)
    result: Bools = free & on_duty & able & going_on[:, None]
    return result


def masks_of(process: CrewProcess, pending: Bools) -> Bools:
    """What each crew may choose at this instant `[B, K, N + 1]`, by the rule that makes the mask of the asked one.

    Crews that are not pending may only wait; in a storm that is over all is open.

    Args:
        process: the storms.
        pending: `[B, K]` from `pending_of`.
    """
    now = process.t[:, None]
    open_ = process.pending_h <= now[..., None]  # [B, Z + 1, N]
    jobs = (open_[:, None] & process.serves[:, :, None]).any(axis=2) & pending[..., None]  # [B, K, N]
    # wait is open while somebody works, another crew could act, or jobs may still arrive
    wait = (process.finish_h > now).any(axis=1) | (pending.sum(axis=1) > 1) | (process.t < process.arrival_end_h)
    masks = np.concatenate([jobs, (wait[:, None] | ~pending)[..., None]], axis=2)
    masks[process.n_left == 0] = True
    return masks


def seen_from(core: CrewCore, crews: Ints, masks: Bools) -> Observation:
    """What some crews of the storm see, `[k, ...]`: the dispatcher's observation, with ways from each of them.

    Args:
        core: with one storm.
        crews: `[k]` numbers of crews.
        masks: `[k, N + 1]` of each.
    """
    part = core.process.part(np.zeros(len(crews), dtype=np.int64))  # k copies of the storm, a crew asked in each
    part.asked, part.mask = crews, masks
    return observe(part, core.places_km, core.extra_info()["cost_limit"].repeat(len(crews)))


class CrewGame(HasCity):
    """One storm and its K crews as agents `crew_0`, `crew_1`, ...; arguments are those of `CrewDispatchEnv`."""

    __signature__: ClassVar[inspect.Signature] = core_signature(CrewCore)
    options: tuple[str, ...] = CrewDispatchEnv.options
    """Options of `reset`; others are ignored, since PettingZoo's own checks pass some that no environment knows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        arguments = bound_arguments(type(self), core_signature(CrewCore), args, kwargs, name=NAME)
        self.core = CrewCore(1, **arguments)
        self.render_mode: str | None = arguments.get("render_mode")
        self.n_crews, self.n_jobs = self.core.roster.n_crews, self.core.n_jobs
        self.possible_agents = [f"crew_{k}" for k in range(self.n_crews)]
        self._number = {agent: k for k, agent in enumerate(self.possible_agents)}
        self.agents: list[str] = []
        whole = self.core.observation_space
        columns = spaces.Dict({name: space for name, space in whole.items() if name != MASK})
        # spaces of its own for each agent, since samples are drawn from generators that spaces hold
        self.observation_spaces: dict[str, spaces.Space[Any]] = {
            agent: spaces.Dict({"observation": deepcopy(columns), MASK: spaces.MultiBinary(self.n_jobs + 1)})
            for agent in self.possible_agents
        }
        self.action_spaces: dict[str, spaces.Space[Any]] = {
            agent: spaces.Discrete(self.n_jobs + 1) for agent in self.possible_agents
        }
        self._common = spaces.Dict({name: space for name, space in whole.items() if name not in FROM_ONE_CREW})
        self.state_space: spaces.Space[Any] = spaces.flatten_space(self._common)
        self.np_random: np.random.Generator | None = None
        self._episode_cost = 0.0
        self._metrics: dict[str, float] | None = None

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """What a crew sees."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """What a crew does."""
        return self.action_spaces[agent]

    def state(self) -> NDArray[np.float32]:
        """What all crews see alike, as one vector `[S]`: for critics that know all.

        It is the dispatcher's observation without mask and ways, `crew_asked` marks all crews that may choose now;
        `gymnasium.spaces.unflatten` with the same parts takes it apart.

        Raises:
            ResetNeeded: no storm has begun.
        """
        self._check_begun("no state")
        seen = self.core.observe(0)
        seen["crew_asked"] = pending_of(self.core.process)[0].astype(np.float32)
        vector: NDArray[np.float32] = np.asarray(
            spaces.flatten(self._common, {name: seen[name] for name in self._common}), dtype=np.float32
        )
        return vector

    def render(self) -> Any:
        """Text or picture of the storm, as `render_mode` says.

        Raises:
            ResetNeeded: no storm has begun.
        """
        if self.render_mode is None:
            gym.logger.warn('render() was called without a render_mode; take render_mode="ansi" or "rgb_array"')
            return None
        self._check_begun("nothing to render")
        return self.core.render_row(0, self.render_mode)

    def close(self) -> None:
        """Nothing to close."""

    # ------------------------------------------------------------------------------------------------ for both forms

    def _begin(self, seed: int | None, options: dict[str, Any] | None) -> None:
        """Draw a storm, as `CrewDispatch-v0` does under the same seed."""
        check_options(options, None)  # unknown names are ignored
        if seed is not None or self.np_random is None:
            self.np_random, _ = seeding.np_random(seed)
        known = {k: v for k, v in (options or {}).items() if k in self.options and v is not None}
        self.core.reset([self.np_random], None, self.core.parse_options(known))
        self.agents = list(self.possible_agents)
        self._episode_cost, self._metrics = 0.0, None

    def _check_begun(self, what: str) -> None:
        if self.np_random is None:
            raise gym.error.ResetNeeded(f"{what} before reset()")

    def _check_running(self) -> None:
        if not self.agents:
            raise gym.error.ResetNeeded("the storm has not begun or has ended; call reset() before step()")

    def _choice(self, agent: str, action: Any) -> int:
        """The action of a crew as a number 0..N.

        Raises:
            TypeError: no integer.
            ValueError: out of range.
        """
        choice = np.asarray(action)
        if choice.shape != () or choice.dtype.kind not in "iu":
            raise TypeError(f"the action of {agent} must be an integer; got {action!r}")
        if not 0 <= choice <= self.n_jobs:
            raise ValueError(
                f"the action of {agent} must be a job 0 to {self.n_jobs - 1}, or {self.n_jobs} to wait; got {action!r}"
            )
        return int(choice)

    def _send(self, choice: int) -> tuple[float, float, bool, bool]:
        """Carry out the asked crew's choice; reward and cost, and whether the storm is over, and was cut off."""
        step = self.core.step(np.array([choice]))
        cost = float(step.cost[0])
        self._episode_cost += cost
        if step.any_ended:
            self._metrics = {name: float(values[0]) for name, values in self.core.metrics(slice(None)).items()}
        return float(step.reward[0]), cost, bool(step.any_ended), bool(step.truncated[0])

    def _info(self, cost: float, mask: Bools) -> dict[str, Any]:
        """The info of a crew: scalars as `np.float64`, and the figures of the storm when it is over."""
        info: dict[str, Any] = {"cost": np.float64(cost), "episode_cost": np.float64(self._episode_cost)}
        info["cost_limit"] = np.float64(self.core.extra_info()["cost_limit"][0])
        info[MASK] = mask.astype(np.int8)
        if self._metrics is not None:
            info["metrics"] = dict(self._metrics)
        return info


def nested(seen: Observation) -> dict[str, Any]:
    """An observation as games give it: `observation` and `action_mask`."""
    return {"observation": {name: v for name, v in seen.items() if name != MASK}, MASK: seen[MASK]}


def rows_of(seen: Observation, row: int) -> Observation:
    """One row of what several crews see, as copies."""
    return {name: values[row].copy() for name, values in seen.items()}
