"""An environment of your own, in one file: train.py, evaluate.py, --list and the reports know it by its `Domain`.

    PYTHONPATH=examples python evaluate.py --env pump_stations:PumpStations-v0 --episodes 100
    PYTHONPATH=examples python train.py --env pump_stations:PumpStations-v0 --timesteps 20000

After a flood one mobile generator restarts the pumping stations of two districts, one by one. Importing this module
registers the environment with Gymnasium and its domain with stormgym. What each part is: docs/your_own_environment.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from stormgym.agents.binding import truth_of
from stormgym.agents.domain import AgentSpec, Column, Domain, Headline
from stormgym.agents.general import MASKABLE_PPO, PPO, RANDOM
from stormgym.agents.policy import BasePolicy
from stormgym.agents.registry import register_domain
from stormgym.agents.rules import RulePolicy
from stormgym.envs.arrays import Bools, Floats, Ints, Observation, read_only
from stormgym.envs.core import Core, Groups, Step
from stormgym.envs.doors import BatchedVectorEnv, SingleEnv
from stormgym.envs.equity import gap

ENV_ID = "PumpStations-v0"
DISTRICTS = ("river", "hill")


@dataclass(frozen=True)
class Announced:
    """What any planner may know: the expected hours of each station, `[B, N]`."""

    expected_h: Floats


@dataclass(frozen=True)
class Truth:
    """What nobody can know before: the hours that each station will take, `[B, N]`."""

    duration_h: Floats


class PumpCore(Core):
    """B floods; arguments as on `PumpStationsEnv`."""

    def __init__(
        self, batch: int, *, n_stations: int = 8, cost_limit: float = 6.0, render_mode: str | None = None
    ) -> None:
        del render_mode  # this environment draws no pictures
        if not isinstance(n_stations, int) or n_stations < 2:
            raise ValueError(f"n_stations must be a whole number of at least 2, one a district; got {n_stations!r}")
        if not isinstance(cost_limit, (int, float)) or cost_limit <= 0:
            raise ValueError(f"cost_limit must be a number above 0 (h); got {cost_limit!r}")
        self.batch, self.n_stations, self.cost_limit = batch, n_stations, float(cost_limit)
        self.district: Ints = np.arange(n_stations) % len(DISTRICTS)
        self.groups = Groups(self.district, DISTRICTS)
        shape = (batch, n_stations)
        self.expected_h, self.duration_h, self.restart_h = (np.zeros(shape) for _ in range(3))  # [B, N]
        self.running = np.zeros(shape, dtype=bool)  # [B, N]
        self.elapsed_h = np.zeros(batch)  # [B]
        self.action_space = spaces.Discrete(n_stations)
        per_station = spaces.Box(0.0, np.inf, (n_stations,), np.float32)
        self.observation_space = spaces.Dict(
            {
                "action_mask": spaces.MultiBinary(n_stations),
                "expected_h": per_station,
                "district": per_station,
                "elapsed_h": spaces.Box(0.0, np.inf, (1,), np.float32),
            }
        )

    @cached_property
    def return_unit(self) -> float:
        """Mean wait if stations of three hours are restarted one after the other."""
        return 1.5 * self.n_stations

    @property
    def announced(self) -> Announced:
        """The forecasts."""
        return Announced(read_only(self.expected_h))

    @property
    def truth(self) -> Truth:
        """The durations."""
        return Truth(read_only(self.duration_h))

    def reset(self, rngs: list[np.random.Generator], rows: Ints | None = None, options: Any = None) -> None:
        """Draw forecasts and durations: all that is random, whatever the agent then does."""
        del options
        for row, rng in zip(np.arange(self.batch) if rows is None else rows, rngs, strict=True):
            self.expected_h[row] = rng.uniform(1.0, 5.0, self.n_stations) + 2.0 * (self.district == 0)
            self.duration_h[row] = self.expected_h[row] * rng.gamma(4.0, 0.25, self.n_stations)
            self.running[row], self.restart_h[row], self.elapsed_h[row] = False, 0.0, 0.0

    def step(self, actions: NDArray[Any], live: Bools | None = None) -> Step:
        """Restart one station; a station that runs already wastes a quarter of an hour."""
        del live
        row = np.arange(self.batch)
        fresh = ~self.running[row, actions]
        hours = np.where(fresh, self.duration_h[row, actions], 0.25)
        reward = -hours * (~self.running).mean(axis=1)  # hours times the share of stations that stand still
        self.elapsed_h += hours
        self.running[row, actions] = True
        self.restart_h[row[fresh], actions[fresh]] = self.elapsed_h[fresh]
        over = self.running.all(axis=1)
        cost = np.where(over, self._gap_h(slice(None)), 0.0)
        return Step(reward, cost, over, np.zeros(self.batch, dtype=bool), bool(over.any()))

    def _gap_h(self, rows: Any) -> Floats:
        return gap(self.restart_h[rows], self.district, len(DISTRICTS))

    def validate_actions(self, actions: Any, waiting: Bools | None) -> Ints:
        """Stations `[B]`, in range."""
        del waiting
        chosen = np.asarray(actions)
        if chosen.shape != (self.batch,) or chosen.dtype.kind not in "iu":
            raise TypeError(f"actions must be {self.batch} integers; got shape {chosen.shape}, dtype {chosen.dtype}")
        if ((chosen < 0) | (chosen >= self.n_stations)).any():
            raise ValueError(f"action must be a station 0..{self.n_stations - 1}; got {chosen.tolist()}")
        return chosen.astype(np.int64)

    def observe(self, row: int | None = None) -> Observation:
        """Forecasts, districts, hours so far and the mask."""
        seen = {
            "action_mask": self.action_masks().astype(np.int8),
            "expected_h": self.expected_h.astype(np.float32),
            "district": np.tile(self.district.astype(np.float32), (self.batch, 1)),
            "elapsed_h": self.elapsed_h[:, None].astype(np.float32),
        }
        return seen if row is None else {name: values[row].copy() for name, values in seen.items()}

    def extra_info(self) -> dict[str, NDArray[Any]]:
        """The limit and the mask."""
        return {"cost_limit": np.full(self.batch, self.cost_limit), "action_mask": self.action_masks().astype(np.int8)}

    def action_masks(self) -> Bools:
        """Stations that stand still; all once none does."""
        return ~self.running | self.running.all(axis=1, keepdims=True)

    def metrics(self, rows: Any) -> dict[str, Floats]:
        """Mean wait and gap of floods that are over."""
        return {"mean_wait_h": self.restart_h[rows].mean(axis=1), "district_gap_h": self._gap_h(rows)}

    def times_h(self, rows: Any = slice(None)) -> Floats:
        """Hours until each station ran."""
        return self.restart_h[rows].copy()


class PumpStationsEnv(SingleEnv):
    """One generator restarts pumping stations, quickly and evenly over two districts.

    Args:
        n_stations: N, numbered alternately by district; stations at the river take longer.
        cost_limit: limit of the expected gap between the districts (h).
        render_mode: none; there are no pictures.
    """

    core_class = PumpCore
    metadata = {"render_modes": []}  # noqa: RUF012 - as Gymnasium declares it


class PumpStationsVectorEnv(BatchedVectorEnv):
    """B environments in one process."""

    core_class = PumpCore
    metadata = {"render_modes": []}  # noqa: RUF012 - as Gymnasium declares it


class ShortestFirst(RulePolicy):
    """The station of the shortest expected work first."""

    name = "shortest-first"

    def key(self, observation: Observation) -> NDArray[Any]:
        """Expected hours."""
        return observation["expected_h"]


class Alternating(RulePolicy):
    """The shortest of the district that has fewer stations running."""

    name = "alternating"

    def key(self, observation: Observation) -> NDArray[Any]:
        """Expected hours, and a day more in the district that is ahead."""
        still, district = observation["action_mask"] > 0, observation["district"]
        behind = np.stack([(still & (district == d)).sum(axis=1) for d in range(len(DISTRICTS))]).argmax(axis=0)
        return observation["expected_h"] + 24.0 * (district != behind[:, None])


class Oracle(BasePolicy):
    """Yardstick that cheats: the station that will really be quickest."""

    name = "oracle-pumps"
    privileged = True

    def __init__(self, env: Any) -> None:
        self.env = env

    @classmethod
    def for_env(cls, env: Any, **kwargs: Any) -> Oracle:
        """Bind to the environment whose truth it reads."""
        return cls(env, **kwargs)

    def act(
        self, observation: Observation, state: Any, episode_start: Bools, deterministic: bool
    ) -> tuple[NDArray[np.int64], Any]:
        """The station of the shortest true duration."""
        hours = np.concatenate([truth.duration_h for truth in truth_of(self.env, self)])
        return np.where(observation["action_mask"] > 0, hours, np.inf).argmin(axis=1), state


DOMAIN = Domain(
    env_id=ENV_ID,
    agents=(
        RANDOM,
        AgentSpec("shortest-first", f"{__name__}:ShortestFirst", "shortest expected work first"),
        AgentSpec("alternating", f"{__name__}:Alternating", "districts in turn, the shortest of each"),
        AgentSpec("oracle-pumps", f"{__name__}:Oracle", "knows the true durations", privileged=True),
        PPO,
        MASKABLE_PPO,
    ),
    headline=Headline(
        objective=Column("mean_wait_h", "mean wait", "h", 2, interval=True),
        constraint=Column("district_gap_h", "district gap", "h", 2, interval=True),
        bound="oracle-pumps",
        excess_key="regret",
    ),
    default_learner="maskable-ppo",
    options=("n_stations", "cost_limit"),
    small={"n_stations": 4},
)


def register() -> None:
    """Register environment and domain; calling it twice changes nothing."""
    if ENV_ID not in gym.registry:
        gym.register(
            ENV_ID,
            entry_point=f"{__name__}:PumpStationsEnv",
            vector_entry_point=f"{__name__}:PumpStationsVectorEnv",
        )
    register_domain(DOMAIN)


register()
