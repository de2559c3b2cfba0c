"""Look-ahead of an agent that dispatches crews: a short search of plans, and the agent's word on who goes first."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np

from stormgym.agents.attention.token_net import TokenNet, step_probs
from stormgym.agents.binding import announced_of
from stormgym.agents.crews.network.features import n_storm_features, tokens_of
from stormgym.agents.crews.planners import Plans, written
from stormgym.agents.crews.priced import RollingPriced, price_for
from stormgym.agents.crews.search.annealing import Schedule, value_of
from stormgym.agents.crews.search.tours import tours_of
from stormgym.agents.crews.situation import Situation
from stormgym.envs.arrays import Bools, Floats, Ints, Observation
from stormgym.envs.crews.knowledge import CrewAnnounced
from stormgym.predictors.threads import one_thread

MOST_ROUNDS = 1_000
"""More rounds of search than these are a planner's."""
LEAST_PROBABILITY = 1e-6
FIRST_ROUNDS = 5
"""A storm's first plan is searched for so many times as long as those that follow."""


def look_ahead(policy: Any, env: Any, *, n_orders: int = 8, **kwargs: Any) -> GuidedPlanner:
    """Make a trained agent look ahead in `env`; further arguments as on `GuidedPlanner`.

    Args:
        policy: a trained STA-SAC: pretrained or of a run.
        env: the environment that it will play.
        n_orders: K, rounds of search at each decision.

    Raises:
        ValueError: another policy, or one trained with another number of groups.
    """
    actor = (getattr(policy, "acting_network", None) or (None,))[0]
    if not isinstance(actor, TokenNet):
        raise ValueError(
            f"{getattr(policy, 'name', policy)} cannot look ahead among crews: only a trained sta-sac of this "
            "environment does; take sta-sac:crews@8, or a run folder"
        )
    return GuidedPlanner(actor, env, **{"rounds": n_orders, "name": f"{policy.name}, looking ahead", **kwargs})


class GuidedPlanner(RollingPriced):
    """A plan that a short search keeps good; who goes first is decided by its worth and by the trained agent.

    Idea: a few rounds of the planner's search go on from the last plan. Then every open job is put first in the
    sequence of the asked crew, and the job of least (value of the plan - weight * log probability of the agent's
    network) is taken: the network knows from many storms what turns out well, the plan what this choice does to all
    others and to the gap. Its price of the gap is found on past storms. Cost: a small part of a planner's. Source:
    prior and value as in searches guided by a network (Silver et al. 2017), over the plans of Arif et al. (2018).

    Args:
        actor: scores of jobs, and of waiting.
        env: the environment that it plays.
        rounds: iterations of the search at each decision.
        weight: hours of value that one unit of log probability counts as.
        price: hours of mean outage for an hour of gap; None finds it on past storms.
        margin: share of the limit that the mean gap leaves free.
        name: as tables show it.
        seed, correct: as for the rolling planner.
    """

    name = "guided-planner"

    def __init__(
        self,
        actor: TokenNet,
        env: Any,
        *,
        rounds: int = 8,
        weight: float = 0.01,
        price: float | None = None,
        margin: float = 0.02,
        name: str = "looking ahead",
        **kwargs: Any,
    ) -> None:
        if not isinstance(rounds, (int, np.integer)) or not 1 <= rounds <= MOST_ROUNDS:
            raise ValueError(f"rounds must be a whole number, from 1 to {MOST_ROUNDS:,}; got {rounds!r}")
        if not 0 <= weight <= 1e3:
            raise ValueError(f"weight must be from 0 to 1,000 h; got {weight!r}")
        self.actor = deepcopy(actor).cpu().eval()
        self.weight = weight
        announced: CrewAnnounced = announced_of(env)[0]
        if n_storm_features(announced.city.n_groups) != self.actor.common.in_features:
            raise ValueError(
                f"{name}: the actor was trained on cities with another number of groups than this one, which has "
                f"{announced.city.n_groups}. Take a city with as many, or train on your own: "
                "python train.py --city CITY"
            )
        again = Schedule(int(rounds))
        super().__init__(
            env,
            price=0.0 if price is None else price,
            margin=margin,
            first=Schedule(FIRST_ROUNDS * int(rounds), candidates=96, first_h=0.3),
            again=again,
            **kwargs,
        )
        self.name = name
        if price is None:
            self.price = price_for(env, margin, self._like, told=[self._fingerprint(), int(rounds), weight])

    def _like(self, env: Any, price: float) -> GuidedPlanner:
        """One of its kind for other environments, at a price."""
        return GuidedPlanner(
            self.actor, env, rounds=self.again.iterations, weight=self.weight, price=price, seed=self.seed
        )

    def _fingerprint(self) -> str:
        """Of the network."""
        weights = b"".join(part.numpy().tobytes() for part in self.actor.state_dict().values())
        return hashlib.sha256(weights).hexdigest()

    @one_thread()
    def act(self, observation: Observation, state: Any, episode_start: Bools, deterministic: bool) -> tuple[Ints, Any]:
        """Plan where time has moved; then choose who goes first."""
        action, plans = super().act(observation, state, episode_start, deterministic)
        s = self.situation(observation)
        mask = np.asarray(observation["action_mask"]) > 0
        log_pi = np.log(np.maximum(step_probs(self.actor, tokens_of(observation), mask).numpy(), LEAST_PROBABILITY))
        waits = action == mask.shape[1] - 1
        looks = s.roster.assessor[s.asked]  # it is in no plan: the network alone knows where to send it
        action = np.where(looks, log_pi.argmax(axis=1), action)
        rows = np.flatnonzero(mask[:, :-1].any(axis=1) & s.open.any(axis=1) & ~waits & ~looks)
        if rows.size:
            first, plans = self._first(s, plans, rows, mask[:, :-1], log_pi[:, :-1])
            action[rows] = first
        return action, plans

    def _first(self, s: Situation, plans: Plans, rows: Ints, mask: Bools, log_pi: Floats) -> tuple[Ints, Plans]:
        """The job that the asked crews of some storms take, and the plans in which it comes first."""
        problem = self.problem(s, rows)
        r, n = problem.slots.shape
        at = np.maximum(problem.slots, 0)
        number = np.cumsum(~s.roster.assessor) - 1
        crew = np.repeat(np.take_along_axis(plans.crew[rows], at, axis=1)[:, None], n, axis=1)  # [R, n, n]
        place = np.repeat(np.take_along_axis(plans.place[rows], at, axis=1)[:, None] + 1, n, axis=1)
        every = np.arange(n)
        crew[:, every, every] = number[s.asked[rows]][:, None]
        place[:, every, every] = 0  # before all others
        storm = np.repeat(np.arange(r), n)
        many = replace(problem, slots=problem.slots[storm])  # all that `tours_of` reads
        tours = tours_of(many, crew.reshape(-1, n), place.reshape(-1, n))
        value = value_of(problem, tours, storm, self.limit(s, rows)).reshape(r, n)
        able = (problem.slots >= 0) & np.take_along_axis(mask[rows], at, axis=1)
        key = np.where(able, value - self.weight * np.take_along_axis(log_pi[rows], at, axis=1), np.inf)
        best = key.argmin(axis=1)
        chosen = tours.reshape(r, n, -1)[np.arange(r), best]
        return at[np.arange(r), best], written(plans, problem, chosen, rows, plans.made_h[rows])
