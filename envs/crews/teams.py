"""crew_dispatch_v0: CrewDispatch-v0 as a game of its crews for PettingZoo, in turns (AEC) and in rounds (Parallel).

from stormgym.envs.crews import teams

game = teams.env(n_crews=4)  # or pettingzoo.make("aec", "crew_dispatch_v0", n_crews=4)
rounds = teams.parallel_env(n_crews=4)  # or pettingzoo.make("parallel", "crew_dispatch_v0", n_crews=4)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from pettingzoo import AECEnv, ParallelEnv

from stormgym.envs.arrays import Bools
from stormgym.envs.crews.core import RENDER_MODES
from stormgym.envs.crews.teams_game import NAME, CrewGame, masks_of, nested, pending_of, rows_of, seen_from


class CrewDispatchAEC(CrewGame, AECEnv[str, dict[str, Any], int]):
    """Crews take turns: whoever is free, on duty and has a job that it could do says where it goes, or waits.

    ## Description
    A storm of `CrewDispatch-v0` in which the asked crew chooses for itself. Turns follow the clock and not the order of
    crews: one may act several times while another is on one job. A seed gives the storm that `CrewDispatch-v0` gives.

    ## Agents
    `crew_0`, `crew_1`, ..., in the order of the roster, assessors last. `agent_selection` is the asked crew; all leave
    together when the storm is over.

    ## Action space
    `Discrete(N + 1)` each: a job, or N to wait. A masked choice loses the way, if the job is known, and 0.25 h
    (`on_invalid="raise"`: `ValueError`).

    ## Observation space
    `{"observation": {...}, "action_mask": [N + 1] int8}`. `observation` holds the parts of `CrewDispatch-v0`'s, but
    `distance_km`, `travel_h` and `crew_asked` are those of the crew that looks. The mask of a crew that is not asked
    has only N open; when the storm is over all masks are ones. `state()` is what all see alike, as one vector.

    ## Rewards
    Those of `CrewDispatch-v0`, the same for every crew: `rewards` of the step, `last()` what came since the crew acted
    last. What a crew gets from `last()` sums to the return of the storm.

    ## Costs
    `infos[agent]["cost"]` of the step, `["cumulative_cost"]` since the crew acted last, as its reward in `last()`, and
    `["episode_cost"]` so far. Beside them `cost_limit` and `action_mask`, at the end `metrics`.

    ## Episode end
    As in `CrewDispatch-v0`. A storm that is cut off has settled all that was to come: `truncations` are set beside
    `terminations`.

    ## Arguments
    Args:
        *args, **kwargs: those of `CrewDispatchEnv`.

    `reset(options={"jobs": ..., "cost_limit": ...})` as there; other options are ignored, as PettingZoo's checks ask.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "name": NAME,
        "render_modes": list(RENDER_MODES),
        "is_parallelizable": False,
        "render_fps": 4,
    }

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Draw a storm; the asked crew of its first decision is selected."""
        self._begin(seed, options)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_costs = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self._skip_agent_selection: str | None = None
        self._select()
        self._inform(0.0)

    def step(self, action: Any) -> None:
        """The selected crew goes to a job or waits; when the storm is over every crew takes its leave with None.

        Raises:
            TypeError: an action that is no integer.
            ValueError: one out of range, one that is masked where `on_invalid="raise"`, or any but None of a crew
                whose storm is over.
            ResetNeeded: no storm has begun, or all crews have left it.
        """
        self._check_running()
        agent = self.agent_selection
        if self.terminations[agent]:
            self._was_dead_step(action)
            return
        reward, cost, over, cut = self._send(self._choice(agent, action))
        self._cumulative_rewards[agent] = self._cumulative_costs[agent] = 0.0
        self.rewards = dict.fromkeys(self.agents, reward)
        self._accumulate_rewards()
        for name in self.agents:
            self._cumulative_costs[name] += cost
        if over:
            self.terminations = dict.fromkeys(self.agents, True)
            self.truncations = dict.fromkeys(self.agents, cut)
        self._select()
        self._inform(cost)

    def observe(self, agent: str) -> dict[str, Any]:
        """What a crew sees now, as fresh copies.

        Raises:
            KeyError: no such crew.
            ResetNeeded: no storm has begun.
        """
        if agent not in self._number:
            raise KeyError(f"agent must be one of {', '.join(self.possible_agents)}; got {agent!r}")
        self._check_begun("nothing to observe")
        crew = self._number[agent]
        return nested(rows_of(seen_from(self.core, np.array([crew]), self._mask(crew)[None]), 0))

    def _select(self) -> None:
        """The asked crew is next; when the storm is over the first to leave it."""
        over = self._metrics is not None
        self.agent_selection = self.agents[0 if over else int(self.core.process.asked[0])]

    def _mask(self, crew: int) -> Bools:
        """What a crew may choose `[N + 1]`."""
        process = self.core.process
        if crew == process.asked[0] or self._metrics is not None:
            mask: Bools = process.mask[0].copy()
            return mask
        return np.arange(self.n_jobs + 1) == self.n_jobs

    def _inform(self, cost: float) -> None:
        self.infos = {}
        for agent in self.agents:
            info = self._info(cost, self._mask(self._number[agent]))
            self.infos[agent] = {**info, "cumulative_cost": np.float64(self._cumulative_costs[agent])}


class CrewDispatchParallel(CrewGame, ParallelEnv[str, dict[str, Any], int]):
    """Crews act in rounds: all that may choose at one instant say at once where they go.

    ## Description
    A storm of `CrewDispatch-v0`; a round is an instant at which some crew is asked. Every crew gives an action. Those
    of crews that are not pending are ignored; the others are carried out in the order of crews. Where a choice has been
    closed by a crew before it in this round (the job is taken, or the last crew that could act may not wait) the round
    ends there, time stands still, and that crew and those after it are asked again. The first pending crew's choice
    always counts, so every round makes progress.

    ## Agents, spaces
    As of `CrewDispatchAEC`; each crew that is pending sees its own mask, others have only N open.
    `infos[agent]["pending"]` is 1.0 for crews whose choice counts.

    ## Rewards, costs, end
    Those of the round, the same for every crew; sums are those of `CrewDispatch-v0`. `infos[agent]` holds `cost`,
    `episode_cost`, `cost_limit`, `pending` and `action_mask`, at the end `metrics`.

    ## Arguments
    Args:
        *args, **kwargs: those of `CrewDispatchEnv`.

    `reset(options={"jobs": ..., "cost_limit": ...})` as there; other options are ignored, as PettingZoo's checks ask.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": NAME, "render_modes": list(RENDER_MODES), "render_fps": 4}

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
        """Draw a storm; what crews see, and their infos."""
        self._begin(seed, options)
        return self._round(0.0)

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[
        dict[str, dict[str, Any]], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]
    ]:
        """Play a round.

        Args:
            actions: by crew; those of crews that are not pending are ignored and may be left out.

        Raises:
            KeyError: the action of a pending crew is missing, or one is given for no crew.
            TypeError: an action that is no integer.
            ValueError: one out of range, or one that is masked where `on_invalid="raise"`.
            ResetNeeded: no storm has begun, or the last one is over.
        """
        self._check_running()
        pending = pending_of(self.core.process)
        masks = masks_of(self.core.process, pending)[0]
        reward, cost, over, cut = self._play(self._choices(actions, pending[0], masks), masks)
        seen, infos = self._round(cost)
        result = (
            seen,
            dict.fromkeys(self.agents, reward),
            dict.fromkeys(self.agents, over),
            dict.fromkeys(self.agents, cut),
            infos,
        )
        if over:
            self.agents = []
        return result

    def _choices(self, actions: Mapping[str, Any], pending: Bools, masks: Bools) -> dict[int, int]:
        """Choices of the pending crews by number, checked before any is carried out."""
        unknown = set(actions) - set(self.possible_agents)
        missing = [agent for agent, k in self._number.items() if pending[k] and agent not in actions]
        if unknown or missing:
            raise KeyError(
                f"actions must be of {', '.join(self.possible_agents)}, and of all that are pending; "
                f"missing {missing}, unknown {sorted(map(str, unknown))}"
            )
        choices = {}
        for agent, k in self._number.items():
            if not pending[k]:
                continue
            choices[k] = self._choice(agent, actions[agent])
            if self.core.raise_on_invalid and not masks[k, choices[k]]:
                raise ValueError(
                    f"action {choices[k]} is masked for {agent}; choose where action_mask is 1, "
                    'or make the environment with on_invalid="waste"'
                )
        return choices

    def _play(self, choices: dict[int, int], masks: Bools) -> tuple[float, float, bool, bool]:
        """Carry out choices in the order of crews until time moves on or one has been closed in this round.

        The process asks the lowest pending crew, again and again; acting never makes another crew pending, so at this
        instant it goes through those of the round, and passes over crews whose last job was taken.
        """
        process = self.core.process
        instant = float(process.t[0])
        total_reward = total_cost = 0.0
        while True:
            crew = int(process.asked[0])
            choice = choices.pop(crew)
            reward, cost, over, cut = self._send(choice)
            total_reward += reward
            total_cost += cost
            following = choices.get(int(process.asked[0]))  # None for a crew that has acted, or was not pending
            if over or process.t[0] > instant or following is None:
                return total_reward, total_cost, over, cut
            if masks[int(process.asked[0]), following] and not process.mask[0, following]:
                return total_reward, total_cost, over, cut

    def _round(self, cost: float) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
        """What all crews see, and their infos."""
        pending = pending_of(self.core.process)
        masks = masks_of(self.core.process, pending)[0]
        seen = seen_from(self.core, np.arange(self.n_crews), masks)
        observations, infos = {}, {}
        for agent, k in self._number.items():
            observations[agent] = nested(rows_of(seen, k))
            infos[agent] = {**self._info(cost, masks[k]), "pending": np.float64(pending[0, k])}
        return observations, infos


def raw_env(**kwargs: Any) -> CrewDispatchAEC:
    """The game in turns."""
    return CrewDispatchAEC(**kwargs)


def env(**kwargs: Any) -> CrewDispatchAEC:
    """The game in turns, as PettingZoo's modules name it; it checks orders and bounds itself and needs no wrapper."""
    return raw_env(**kwargs)


def parallel_env(**kwargs: Any) -> CrewDispatchParallel:
    """The game in rounds."""
    return CrewDispatchParallel(**kwargs)
