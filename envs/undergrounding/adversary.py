"""DefenderAttacker: the three levels as a game of three players, for PettingZoo (imported here, and only here)."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from numpy.typing import NDArray
from pettingzoo import AECEnv

from stormgym.envs.arguments import checks_arguments
from stormgym.envs.arrays import Bools, Floats, Observation
from stormgym.envs.core import check_render_mode
from stormgym.envs.doors import check_options
from stormgym.envs.storms import COVARIATES
from stormgym.envs.undergrounding.core import (
    RENDER_MODES,
    SeasonSource,
    announce_seasons,
    observation_space,
    observe_seasons,
    profile_from,
)
from stormgym.envs.undergrounding.knowledge import UndergroundingAnnounced
from stormgym.envs.undergrounding.process import UndergroundingProcess
from stormgym.envs.undergrounding.profiles import DEFAULT_PROFILE
from stormgym.envs.undergrounding.regions import UndergroundingProfile

PLANNER, NATURE, CREWS = "planner", "nature", "crews"
PLAYERS = (PLANNER, NATURE, CREWS)
NAME = "DefenderAttacker-v0"
_FIRST = np.zeros(1, dtype=np.int64)


def storm_of(action: Floats, lower: Floats, upper: Floats, total_lower: float, total_upper: float) -> Floats:
    """The storm `[K]` that nature's action a stands for: L + a (T - L), moved into the bounds of the total.

    Where the sum is more than T_0, what regions have above L is scaled down; where it is less than L_0, what they lack
    to T is scaled down. Every storm of the set has an action (`action_of`).

    Args:
        action: `[K]` in [0, 1].
        lower, upper: `[K]` bounds L and T of regions (h).
        total_lower, total_upper: bounds L_0 and T_0 of the sum (h).
    """
    added = action * (upper - lower)
    total, base = float(added.sum()), float(lower.sum())
    if base + total > total_upper:
        added = added * max((total_upper - base) / total, 0.0)
    elif base + total < total_lower:
        room = upper - lower - added
        added = added + room * min((total_lower - base - total) / max(float(room.sum()), 1e-300), 1.0)
    storm: Floats = lower + added
    return storm


def action_of(storm: Floats, lower: Floats, upper: Floats) -> Floats:
    """Nature's action `[..., K]` in [0, 1] for a storm of the set `[..., K]`."""
    action: Floats = np.clip((storm - lower) / np.maximum(upper - lower, 1e-300), 0.0, 1.0)
    return action


class DefenderAttackerEnv(AECEnv[str, Observation, Any]):
    """Harden, be hit, respond: planner, nature and crews take turns (tri-level eq. 1 as a game).

    ## Description
    A season of `Undergrounding-v0`. The planner buries lines region by region until it stops or nothing more can be
    paid. Nature sees the plan and chooses a storm of the season's set. The crews see the storm and go one by one. Where
    nature and crews play at their best the planner's loss is V(x), and the least of these is the three-level optimum.

    ## Players
    | agent | action | observation |
    | --- | --- | --- |
    | `planner` | `Discrete(K + 1)`, a region to bury or K to stop | that of `Undergrounding-v0` |
    | `nature` | `Box(0, 1, [K])`, where each region is between L and T | the same without a mask |
    | `crews` | `Discrete(K + 1)`, a region to restore or K to stay | the same, with `storm` (h) and `crews` |

    A storm is brought within the total (`storm_of`). A closed choice wastes the turn. Masks `[K + 1]` are in the
    observation and in `infos[agent]["action_mask"]`.

    ## Rewards
    At the end: planner and crews get minus the hours without power of a mean customer, nature gets plus.

    ## Costs
    `infos[agent]["cost"]`, at the end the largest W1 distance between income groups (h), the same for all;
    `episode_cost` is its sum so far.

    ## Episode end
    All terminate when the crews are out, or stay; `infos[agent]["metrics"]` then holds what `Undergrounding-v0` gives.

    ## Arguments
    Args:
        profile, budget, n_crews, noise, cost_limit: as of `Undergrounding-v0`.
        forecast, calibration, confidence_level, total_confidence_level, render_mode: the same.

    `DefenderAttackerPlanner-v0`, `DefenderAttackerNature-v0` and `DefenderAttackerCrews-v0` are its sides for
    Gymnasium, each against rules (`stormgym.envs.undergrounding.side`).
    """

    metadata: ClassVar[dict[str, Any]] = {
        "name": NAME,
        "render_modes": list(RENDER_MODES),
        "is_parallelizable": False,
        "render_fps": 2,
    }

    @checks_arguments(NAME)
    def __init__(
        self,
        profile: str = DEFAULT_PROFILE,
        budget: float | None = None,
        n_crews: int | None = None,
        noise: float | None = None,
        cost_limit: float | None = None,
        forecast: str = "ncp",
        calibration: str = "marginal",
        confidence_level: float = 0.99,
        total_confidence_level: float = 0.5,
        render_mode: str | None = None,
    ) -> None:
        super().__init__()
        check_render_mode(render_mode, RENDER_MODES)
        self.render_mode = render_mode
        self.profile: UndergroundingProfile = profile_from(profile, budget, n_crews, noise, cost_limit)
        self.source = SeasonSource(self.profile, forecast, calibration, confidence_level, total_confidence_level)
        self.process = UndergroundingProcess(self.profile, 1)
        k = self.n_regions = self.profile.n_counties
        self.covariates = np.zeros((1, k, len(COVARIATES)))
        self.possible_agents = list(PLAYERS)
        self.action_spaces: dict[str, spaces.Space[Any]] = {
            PLANNER: spaces.Discrete(k + 1),
            NATURE: spaces.Box(0.0, 1.0, shape=(k,), dtype=np.float64),
            CREWS: spaces.Discrete(k + 1),
        }
        self.observation_spaces: dict[str, spaces.Space[Any]] = {
            PLANNER: observation_space(k, k + 1),
            NATURE: observation_space(k, None),
            CREWS: observation_space(k, k + 1, ("storm", "crews")),
        }
        self.agents: list[str] = []
        self.np_random: np.random.Generator | None = None

    @property
    def announced(self) -> UndergroundingAnnounced:
        """What every player may know; nature can choose any storm of the set."""
        return announce_seasons(self.process, self.covariates, adversarial=True)

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """What a player sees."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """What a player does."""
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Draw a season; the same seed gives that of `Undergrounding-v0`. There are no options, and any are ignored."""
        check_options(options, None)
        if seed is not None or self.np_random is None:
            self.np_random, _ = seeding.np_random(seed)
        outage_h, self.covariates, known = self.source.draw([self.np_random])
        self.process.reset(outage_h, known)
        self.storm: Floats | None = None
        self.sent = np.zeros(self.n_regions)
        self.crews_left = int(self.profile.n_crews)
        self.agents = list(self.possible_agents)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.agent_selection = PLANNER if self.process.planning[0] else NATURE
        self._inform()

    def step(self, action: Any) -> None:
        """The selected player moves.

        Raises:
            TypeError: an action of another kind.
            ValueError: one out of range.
            ResetNeeded: no season has begun, or all players have left it.
        """
        if not self.agents:
            raise gym.error.ResetNeeded("the season has not begun or has ended; call reset() before step()")
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        self._cumulative_rewards[agent] = 0.0
        self._clear_rewards()
        if agent == NATURE:
            self._strike(action)
            self.agent_selection = CREWS
        elif agent == PLANNER:
            self.process.bury(np.array([self._choice(agent, action)]))
            self.agent_selection = PLANNER if self.process.planning[0] else NATURE
        else:
            self._send(self._choice(agent, action))
        if self.storm is not None and self.crews_left == 0:
            self._end()
        self._inform()
        self._accumulate_rewards()

    def _choice(self, agent: str, action: Any) -> int:
        choice = np.asarray(action)
        if choice.shape != () or choice.dtype.kind not in "iu":
            raise TypeError(f"the action of {agent} must be an integer; got {action!r}")
        if not 0 <= choice <= self.n_regions:
            raise ValueError(
                f"the action of {agent} must be a region 0 to {self.n_regions - 1}, or {self.n_regions} to "
                f"{'stop' if agent == PLANNER else 'stay'}; got {action!r}"
            )
        return int(choice)

    def _strike(self, action: Any) -> None:
        share = np.asarray(action)
        if share.shape != (self.n_regions,) or share.dtype.kind not in "iuf" or not ((share >= 0) & (share <= 1)).all():
            raise ValueError(
                f"the action of {NATURE} must be {self.n_regions} numbers from 0 to 1, where each region is between "
                f"its bounds; got {action!r}"
            )
        known = self.process.forecast
        totals = float(known.total_lower[0]), float(known.total_upper[0])
        self.storm = storm_of(share.astype(np.float64), known.lower[0], known.upper[0], *totals)
        self._record()

    def _send(self, region: int) -> None:
        if region == self.n_regions:
            self.crews_left = 0
            return
        if self.needed()[region]:
            self.sent[region] = 1.0
        self.crews_left -= 1
        self._record()

    def _record(self) -> None:
        """Let the process hold the storm, and the crews that are out, so that a picture shows them."""
        assert self.storm is not None, "nothing to show before the storm"
        self.process.end(self.storm[None], self.sent[None], slice(None))

    def needed(self) -> Bools:
        """Regions where a crew could do something `[K]`."""
        return np.asarray(~self.process.protected[0] & (self.sent == 0))

    def best_crew(self) -> int:
        """Where the next crew best goes: the region that loses most, or K to stay where nothing is lost."""
        assert self.storm is not None, "crews go after the storm"
        loss = self.profile.population * self.storm * self.needed()
        return int(loss.argmax()) if loss.max() > 0 else self.n_regions

    def _end(self) -> None:
        loss = float(self.profile.loss_h(self.process.unserved_h(slice(None)))[0])
        self.rewards = {PLANNER: -loss, NATURE: loss, CREWS: -loss}
        self.terminations = dict.fromkeys(self.agents, True)
        self.agent_selection = self.agents[0]

    def _mask(self, agent: str) -> NDArray[np.int8]:
        if self.terminations.get(agent, True) or agent != self.agent_selection:
            return np.ones(self.n_regions + 1, dtype=np.int8)
        open_ = self.process.affordable()[0] if agent == PLANNER else self.needed()
        return np.append(open_, True).astype(np.int8)

    def _inform(self) -> None:
        over = any(self.terminations.values())
        figures = {}
        if over:
            figures = {name: float(values[0]) for name, values in self.process.metrics(slice(None)).items()}
        self.infos = {}
        for agent in self.agents:
            cost = np.float64(figures.get("gap_h", 0.0))
            info: dict[str, Any] = {"cost": cost, "episode_cost": cost}  # all of it is charged at the end
            info["cost_limit"] = np.float64(self.profile.cost_limit)
            if agent != NATURE:
                info["action_mask"] = self._mask(agent)
            if over:
                info["metrics"] = dict(figures)
            self.infos[agent] = info

    def observe(self, agent: str) -> Observation:
        """What a player sees now, as fresh copies.

        Raises:
            KeyError: no such player.
            ResetNeeded: no season has begun.
        """
        if agent not in self.possible_agents:
            raise KeyError(f"agent must be one of {', '.join(PLAYERS)}; got {agent!r}")
        if not hasattr(self, "storm"):
            raise gym.error.ResetNeeded("nothing to observe before reset()")
        observation = {
            name: values[0] for name, values in observe_seasons(self.process, self.covariates, _FIRST).items()
        }
        if agent == CREWS:
            storm = np.zeros(self.n_regions) if self.storm is None else self.storm
            observation |= {"storm": storm.astype(np.float32), "crews": self.sent.astype(np.float32)}
        return observation if agent == NATURE else {"action_mask": self._mask(agent), **observation}

    def render(self) -> Any:
        """Text or picture of the season, as `render_mode` says."""
        if self.render_mode is None:
            gym.logger.warn('render() was called without a render_mode; take render_mode="ansi" or "rgb_array"')
            return None
        if not hasattr(self, "storm"):
            raise gym.error.ResetNeeded("nothing to render before reset()")
        from stormgym.envs.undergrounding.render import render

        return render(self.process, 0, self.render_mode)

    def close(self) -> None:
        """Nothing to close."""


def env(**kwargs: Any) -> DefenderAttackerEnv:
    """The game, as PettingZoo's modules name it."""
    return DefenderAttackerEnv(**kwargs)
