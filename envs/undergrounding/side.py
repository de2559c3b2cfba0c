"""One side of DefenderAttacker as a Gymnasium environment: policies or rules have the others, so any library learns.

env = gym.make("stormgym:DefenderAttackerNature-v0", planner="greedy")
env = SideEnv(DefenderAttackerEnv(), "nature", {"planner": policy})  # against a planner or a trained policy
PPO("MultiInputPolicy", env).learn(20_000)
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Protocol

import gymnasium as gym
import numpy as np

from stormgym.envs.arguments import check_known
from stormgym.envs.arrays import Bools, Observation
from stormgym.envs.core import check_choice
from stormgym.envs.doors import check_options
from stormgym.envs.undergrounding.adversary import CREWS, PLAYERS, DefenderAttackerEnv
from stormgym.envs.undergrounding.core import RENDER_MODES
from stormgym.envs.undergrounding.opponents import OPPONENTS, Opponent
from stormgym.envs.undergrounding.regions import UndergroundingProfile


class Player(Protocol):
    """What plays another side: Stable-Baselines3's `predict`."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Bools | None = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """Action and next state."""
        ...


class SideEnv(gym.Env[Observation, Any]):
    """A season of the game in which the agent has one side and policies have the others.

    Observation, action and reward are those of the side (hours without power of a mean customer: minus for planner and
    crews, plus for nature). `info` holds `cost` (the gap in hours, at the end), its sum `episode_cost`, `cost_limit`,
    for sides with a mask `action_mask`, and at the end `metrics`.

    Args:
        game: the game; it is this environment's own from now on.
        side: `planner`, `nature` or `crews`.
        players: policies of the other sides, or rules (`stormgym.envs.undergrounding.opponents`); crews play at their
            best where none is given.

    Raises:
        TypeError: another environment, or a player without `predict`.
        ValueError: an unknown side, one that has nothing to do, or players that are not the other sides.
    """

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 2}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(self, game: DefenderAttackerEnv, side: str, players: Mapping[str, Player | Opponent]) -> None:
        if not isinstance(getattr(game, "unwrapped", None), DefenderAttackerEnv):
            raise TypeError(f"game must be DefenderAttacker-v0; got {game!r}")
        if side not in PLAYERS:
            raise ValueError(f"side must be one of {', '.join(PLAYERS)}; got {side!r}")
        others = {*PLAYERS} - {side}
        lacking = others - {*players, CREWS}
        if lacking or not {*players} <= others:
            raise ValueError(
                f"players must be policies of {', '.join(sorted(others))}; got {', '.join(players) or '-'}"
            )
        for name, player in players.items():
            if not (hasattr(player, "predict") or isinstance(player, Opponent)):
                raise TypeError(f"the player of {name} must have Stable-Baselines3's predict(); got {player!r}")
        profile = game.profile
        idle = {"crews": profile.n_crews == 0, "planner": profile.protect_cost.min() > profile.budget}
        if idle.get(side, False):
            raise ValueError(f"{side} never has a turn: n_crews is {profile.n_crews}, the budget {profile.budget:g}")
        self.game, self.side = game, side
        self.players: dict[str, Player | Opponent] = dict(players)
        self.observation_space = game.observation_space(side)
        self.action_space = game.action_space(side)
        self.render_mode = game.render_mode
        self._states: dict[str, Any] = {}
        self._running = False

    @property
    def cost_limit(self) -> float:
        """Limit on the expected gap (h)."""
        return float(self.game.profile.cost_limit)

    @property
    def profile(self) -> UndergroundingProfile:
        """Regions, storms and costs."""
        return self.game.profile

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw a season and play to this side's first turn. There are no options.

        Raises:
            TypeError, ValueError: some are given all the same.
        """
        check_options(options, ())
        super().reset(seed=seed)
        self.game.reset(seed=seed, options=options)
        self._states = dict.fromkeys(self.players)
        self._others()
        self._running = True
        return self.game.observe(self.side), self._info()

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Move, and let the others move until it is this side's turn again or the season is over."""
        if not self._running:
            raise gym.error.ResetNeeded("the season has not begun or has ended; call reset() before step()")
        self.game.step(action)
        self._others()
        over = self.game.terminations[self.side]
        self._running = not over
        reward = float(self.game.rewards[self.side]) if over else 0.0
        return self.game.observe(self.side), reward, over, False, self._info()

    def action_masks(self) -> Bools:
        """Which choices are open now, `[K + 1]`; nature has none."""
        mask = self._info().get("action_mask")
        if mask is None:
            raise AttributeError("nature chooses a storm of the set: it has no mask")
        return np.asarray(mask, dtype=bool)

    def render(self) -> Any:
        """As the game's."""
        return self.game.render()

    def _info(self) -> dict[str, Any]:
        return dict(self.game.infos[self.side])

    def _others(self) -> None:
        game = self.game
        while (agent := game.agent_selection) != self.side and not game.terminations[agent]:
            game.step(self._move(agent))

    def _move(self, agent: str) -> Any:
        """The action of another side."""
        player = self.players.get(agent)
        if player is None:
            return self.game.best_crew()
        if isinstance(player, Opponent):
            return player.act(self.game)
        action, self._states[agent] = player.predict(
            self.game.observe(agent), state=self._states[agent], deterministic=True
        )
        return action


class AgainstRulesEnv(SideEnv):
    """A side of the game against rules: what `DefenderAttackerPlanner-v0`, `...Nature-v0` and `...Crews-v0` make.

    ## Description
    A season of `DefenderAttacker-v0` in which the agent has one side; spaces, rewards and costs are that side's.

    ## Arguments
    Args:
        side: `planner`, `nature` or `crews`; the id says it.
        planner: `"greedy"` (most of the forecast's loss for its money, until all is spent) or `"random"`.
        nature: `"worst"` (the worst storm of the set for the plan, exact), `"mean"` (the forecast) or `"random"`.
        crews: `"best"` or `"random"`. The name of the agent's own side is passed over.
        render_mode: `"ansi"` or `"rgb_array"`.
        **game: further arguments of `DefenderAttacker-v0`.
    """

    def __init__(
        self,
        side: str,
        *,
        planner: str = "greedy",
        nature: str = "worst",
        crews: str = "best",
        render_mode: str | None = None,
        **game: Any,
    ) -> None:
        check_choice("side", side, PLAYERS)
        known = (*PLAYERS, *inspect.signature(DefenderAttackerEnv).parameters)
        check_known(lambda: f"DefenderAttacker{side.title()}-v0", game, known)
        self._names = dict(zip(PLAYERS, (planner, nature, crews), strict=True))
        for name, rule in self._names.items():
            check_choice(name, rule, tuple(OPPONENTS[name]))
        super().__init__(DefenderAttackerEnv(render_mode=render_mode, **game), side, self._opponents(side, 0))

    def _opponents(self, side: str, seed: int) -> dict[str, Opponent]:
        return {name: OPPONENTS[name][rule](seed) for name, rule in self._names.items() if name != side}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw a season and what its opponents draw, and play to this side's first turn. There are no options.

        Raises:
            TypeError, ValueError: some are given all the same.
        """
        check_options(options, ())
        gym.Env.reset(self, seed=seed)
        self.players = dict(self._opponents(self.side, int(self.np_random.integers(2**32))))
        return super().reset(seed=seed, options=options)
