"""One crew of CrewDispatch-v0 as a Gymnasium environment: a policy has the others, so any library learns.

game = teams.env(n_crews=4)
env = OneCrewEnv(game, "crew_0", make_policy("list-rho", game))
PPO("MultiInputPolicy", env).learn(20_000)
"""

from __future__ import annotations

from typing import Any, Protocol

import gymnasium as gym
import numpy as np

from stormgym.envs.arrays import Bools, Observation
from stormgym.envs.crews.core import RENDER_MODES
from stormgym.envs.crews.env import HasCity
from stormgym.envs.crews.teams import CrewDispatchAEC
from stormgym.envs.doors import check_options

MOST_STORMS = 100
"""Storms that a reset draws at most until one asks the crew that learns."""


class Dispatcher(Protocol):
    """What plays the other crews: Stable-Baselines3's `predict`, on the observation of CrewDispatch-v0."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Bools | None = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """Action and next state."""
        ...


class OneCrewEnv(HasCity, gym.Env[Observation, int]):
    """A storm of `CrewDispatch-v0` in which the agent has one crew and a policy has the others.

    Observation, action and mask are those of `CrewDispatch-v0` when this crew is asked, so that what was learnt can
    play every crew there. Reward and cost are of all that happened since its last turn, for the first turn since hour
    0: their sums are the return and the cost of the whole storm, to which the other crews add their part. `info` holds
    `cost`, `episode_cost`, `cost_limit`, `asked` (this crew's number), `action_mask`, and at the end `metrics`.

    A storm in which the crew is never asked has no step to take; `reset` then draws the next one.

    Args:
        game: the game; it is this environment's own from now on. Bind policies of the other crews to it.
        crew: the crew that learns, its name or number.
        others: policy of the other crews, which sees what a dispatcher sees; None: each takes its nearest open job.

    Raises:
        TypeError: another environment, or others without `predict`.
        ValueError: a crew that does not exist.
    """

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 4}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(self, game: CrewDispatchAEC, crew: str | int = 0, others: Dispatcher | None = None) -> None:
        if not isinstance(getattr(game, "unwrapped", None), CrewDispatchAEC):
            raise TypeError(f"game must be crew_dispatch_v0 in turns (CrewDispatchAEC); got {game!r}")
        self.game: CrewDispatchAEC = game.unwrapped
        agents = self.game.possible_agents
        self.crew = agents[crew] if isinstance(crew, int) and 0 <= crew < len(agents) else str(crew)
        if self.crew not in agents:
            raise ValueError(f"crew must be one of {', '.join(agents)}, or its number; got {crew!r}")
        if others is not None and not hasattr(others, "predict"):
            raise TypeError(f"others must have Stable-Baselines3's predict(), or be None; got {others!r}")
        self.core = self.game.core
        self.others = others
        self.observation_space = self.core.observation_space  # type: ignore[assignment]  # a Dict gives a dict
        self.action_space = self.core.action_space  # type: ignore[assignment]  # numbers of NumPy are numbers
        self.render_mode = self.game.render_mode
        self._state: Any = None
        self._owed = 0.0, 0.0  # reward and cost of what passed before the crew's first turn
        self._paid_cost = np.float64(0.0)
        self._running = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw a storm and play to this crew's first turn.

        Args:
            seed: under the same seed the storm is that of `CrewDispatch-v0`, unless it never asks the crew.
            options: as of `CrewDispatch-v0`.

        Raises:
            TypeError: options that are no mapping from names.
            ValueError: an unknown option, or no storm among many in which the crew is asked.
        """
        check_options(options, self.game.options)
        super().reset(seed=seed)
        self._running = False
        for _ in range(MOST_STORMS):
            self.game.reset(seed=seed, options=options)
            self._state, seed = None, None
            self._play_others()
            if not self.game.terminations[self.crew]:
                break
        else:
            raise ValueError(
                f"{self.crew} is asked in none of {MOST_STORMS} storms: its hours or skills leave it nothing to do"
            )
        self._owed = self._since_last_turn()
        self._paid_cost, self._running = np.float64(0.0), True
        return self._observe(), self._info(0.0)

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Choose, and let the others choose until it is this crew's turn again or the storm is over.

        Raises:
            ResetNeeded: no storm has begun, or the last one is over.
            TypeError, ValueError: as of the game.
        """
        if not self._running:
            raise gym.error.ResetNeeded("the storm has not begun or has ended; call reset() before step()")
        self.game.step(action)
        self._play_others()
        reward, cost = np.add(self._owed, self._since_last_turn()).tolist()
        self._owed = 0.0, 0.0
        self._paid_cost = self._paid_cost + cost
        over, cut = self.game.terminations[self.crew], self.game.truncations[self.crew]
        self._running = not over
        return self._observe(), reward, over, cut, self._info(cost)

    def action_masks(self) -> Bools:
        """Which choices are open now, `[N + 1]` (the method that sb3-contrib calls)."""
        return np.asarray(self.game.infos[self.crew]["action_mask"], dtype=bool)

    def render(self) -> Any:
        """As the game's."""
        return self.game.render()

    def _play_others(self) -> None:
        """Play other crews until this one is selected, or the storm is over."""
        game = self.game
        while (agent := game.agent_selection) != self.crew and not game.terminations[agent]:
            game.step(self._choice_of_others())

    def _choice_of_others(self) -> Any:
        """What the policy has the asked crew do."""
        if self.others is None:
            return self.core.process.nearest()[0]
        action, self._state = self.others.predict(self.core.observe(0), state=self._state, deterministic=True)
        return action

    def _since_last_turn(self) -> tuple[float, float]:
        """Reward and cost since this crew acted last."""
        reward = self.game._cumulative_rewards[self.crew]  # what PettingZoo's last() gives of the selected agent
        return float(reward), float(self.game.infos[self.crew]["cumulative_cost"])

    def _observe(self) -> Observation:
        seen = self.game.observe(self.crew)
        return {"action_mask": seen["action_mask"], **seen["observation"]}

    def _info(self, cost: float) -> dict[str, Any]:
        info = dict(self.game.infos[self.crew])
        del info["cumulative_cost"]
        asked = np.float64(self.game.possible_agents.index(self.crew))
        return {**info, "cost": np.float64(cost), "episode_cost": self._paid_cost, "asked": asked}
