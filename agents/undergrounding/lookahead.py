"""Look-ahead of an agent that buries lines: plans drawn from it, the best of which in sampled storms is followed."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch

from stormgym.agents.attention.token_net import TokenNet, step_probs
from stormgym.agents.binding import announced_of
from stormgym.agents.undergrounding.case import ENV_ID, Case, case_of, loss_and_gap
from stormgym.agents.undergrounding.planners import FairHardening, HardeningPolicy, profile_of, sampled_storms
from stormgym.agents.undergrounding.reading import N_CHOICE, tokens_of
from stormgym.envs.arrays import Bools, Floats, Ints, Observation
from stormgym.envs.storms import COVARIATES
from stormgym.envs.undergrounding.core import STATE, observe_seasons
from stormgym.envs.undergrounding.forecasts import SeasonForecast
from stormgym.envs.undergrounding.process import UndergroundingProcess
from stormgym.envs.undergrounding.regions import send_crews
from stormgym.envs.undergrounding.worst import worst_storms
from stormgym.predictors.threads import one_thread
from stormgym.predictors.uncertainty_set import UncertaintySet

MOST_PLANS = 4_096
"""More plans than this are refused: one look would take seconds."""
_STREAM = 7_011
_AT = {name: i for i, name in enumerate(STATE)}


def look_ahead(policy: Any, env: Any, *, n_orders: int = 32, **kwargs: Any) -> LookaheadHardening:
    """Make a trained agent look ahead in `env`; further arguments as on `LookaheadHardening`.

    Args:
        policy: a trained STA-SAC: pretrained or of a run.
        env: the environment that it will play.
        n_orders: K, plans that are drawn before each season.

    Raises:
        ValueError: another policy.
    """
    actor = (getattr(policy, "acting_network", None) or (None,))[0]
    if not isinstance(actor, TokenNet) or actor.choice.in_features != N_CHOICE:
        raise ValueError(
            f"{getattr(policy, 'name', policy)} cannot look ahead among lines to bury: only a trained sta-sac of "
            f"{ENV_ID} does; take sta-sac:undergrounding@32, or a run folder"
        )
    return LookaheadHardening(actor, env, **{"n_plans": n_orders, "name": f"{policy.name}, looking ahead", **kwargs})


class LookaheadHardening(HardeningPolicy):
    """The best of K plans that a trained agent draws, in simulated storms of the season's weather.

    Idea: the network knows where good plans are, and samples say which of them is best; neither lists all plans, so
    that it takes many regions. The first plan takes the most probable choices, the others are drawn. The best has the
    least mean loss, with the price on the gap of `fair-hardening`; where the worst storm comes, the least loss in the
    worst storm of the set. Cost: some 10 ms for ten regions. Source: the suite's own.

    Args:
        actor: scores of regions, and of the stop.
        env: the environment that it plays.
        n_plans: K.
        price: hours of loss that an hour of gap counts as; None takes that of `fair-hardening`.
        margin: share of the limit that this price leaves free.
        name: as tables show it.

    Raises:
        ValueError: a number out of range.

    Warns:
        UserWarning: no price keeps the limit (`fair-hardening`).
    """

    name = "guided-hardening"

    def __init__(
        self,
        actor: TokenNet,
        env: Any,
        *,
        n_plans: int = 32,
        price: float | None = None,
        margin: float = 0.05,
        name: str = "looking ahead",
    ) -> None:
        if isinstance(n_plans, bool) or not isinstance(n_plans, int | np.integer) or not 1 <= n_plans <= MOST_PLANS:
            raise ValueError(f"n_plans, the K of @K, must be a whole number, from 1 to {MOST_PLANS:,}; got {n_plans!r}")
        if price is not None and (not isinstance(price, int | float | np.number) or not 0 <= price < np.inf):
            raise ValueError(f"price must be None or a number of hours, at least 0 and finite; got {price!r}")
        if not 0 <= margin < 1:
            raise ValueError(f"margin must be in [0, 1); got {margin!r}")
        super().__init__(profile_of(env))
        self.actor = deepcopy(actor).cpu().eval()
        self.n_plans, self.name = int(n_plans), name
        self.adversarial = bool(announced_of(env)[0].adversarial)
        if price is None:
            price = 0.0 if self.adversarial else FairHardening(self.profile, margin=margin).gap_weight
        self.price = price

    @one_thread()
    def plans(self, observation: Observation, rows: Ints) -> Bools:
        """The best drawn plan of some seasons `[len(rows), K]`."""
        drawn = self._drawn(observation, rows)  # [R, P, K]
        return np.stack(
            [self._best(case_of(observation, row), plans) for row, plans in zip(rows.tolist(), drawn, strict=True)]
        )

    def _best(self, case: Case, drawn: Bools) -> Bools:
        some = np.unique(drawn, axis=0)
        best: Bools = some[int(self._score(case, some).argmin())] & ~case.protected
        return best

    def _score(self, case: Case, some: Bools) -> Floats:
        """Hours `[P]` that each plan costs."""
        p = self.profile
        if not self.adversarial:
            loss, gap = loss_and_gap(some, case, sampled_storms(p, case.covariates), p)
            return loss + self.price * gap
        lower, upper, total_lower, total_upper = case.bounds
        n = len(some)
        sets = UncertaintySet(
            *(np.broadcast_to(part, (n, len(part))) for part in (lower, upper)),
            *(np.full(n, part) for part in (total_lower, total_upper)),
        )
        bare = ~(some | case.protected)
        storm = worst_storms(~bare, p.population, sets, case.n_crews) * bare
        return p.loss_h(storm * (1.0 - send_crews(p.population * storm, case.n_crews)))

    def _drawn(self, observation: Observation, rows: Ints) -> Bools:
        """Plans `[R, P, K]` that the actor makes of each season, what is buried already included."""
        p, r, n = self.profile, rows.size, self.n_plans
        many = np.repeat(rows, n)
        state = np.asarray(observation["state"], dtype=np.float64)[many]
        mean, lower, upper = (
            np.asarray(observation[key], dtype=np.float64)[many] for key in ("mean", "lower", "upper")
        )
        forecast = SeasonForecast(mean, lower, upper, state[:, _AT["total_lower"]], state[:, _AT["total_upper"]])
        covariates = np.stack([np.asarray(observation[name], dtype=np.float64)[many] for name in COVARIATES], axis=-1)
        process = UndergroundingProcess(p, r * n)
        process.reset(np.zeros((r * n, p.n_counties)), forecast)
        process.protected[:] = np.asarray(observation["protected"])[many] > 0.5
        process.spent[:] = p.budget - state[:, _AT["budget_left"]]
        process.planning &= process.affordable().any(axis=1)
        rng = np.random.default_rng(_STREAM)
        first = np.arange(r * n) % n == 0
        while process.planning.any():
            at = np.flatnonzero(process.planning)
            mask = np.ones((at.size, p.n_counties + 1), dtype=np.int8)
            mask[:, :-1] = process.affordable()[at]
            seen = {"action_mask": mask, **observe_seasons(process, covariates, at)}
            with torch.no_grad():
                log_pi = np.log(np.maximum(step_probs(self.actor, tokens_of(seen), mask).numpy(), 1e-30))
            # the same luck in every season, so that a season's plans do not depend on those beside it
            luck = np.where(first[:, None], 0.0, np.tile(rng.gumbel(size=(n, p.n_counties + 1)), (r, 1)))[at]
            choice = np.full(r * n, p.n_counties)
            choice[at] = np.where(mask > 0, log_pi + luck, -np.inf).argmax(axis=1)
            process.bury(choice)
        return process.protected.reshape(r, n, -1)
