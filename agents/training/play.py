"""Environments of a training, and scores on fixed scenarios by which models are compared during it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.env_util import make_vec_env as make_dummy_vec_env
from stable_baselines3.common.vec_env import VecEnv

from stormgym.agents.attention.multiplier import measure_of
from stormgym.agents.domain import Headline
from stormgym.agents.evaluation.summary import OVER_LIMIT_TOLERANCE
from stormgym.agents.policy import Policy
from stormgym.agents.registry import domain_of, has_domain
from stormgym.envs.adapters.sb3 import make_vec_env
from stormgym.envs.adapters.sb3_mixed import make_mixed_vec_env
from stormgym.envs.making import episode_seeds, spec_of
from stormgym.envs.risk_measure import MEAN, RiskMeasure

ONE_SIDED_95 = 1.645
"""Standard normal quantile of a one-sided 95 % bound."""

LIMIT_BANDS = 4
"""Bands of limits in each of which a policy must hold them, where every episode has its own."""

SPARED_FOR_NEW_RECORDS = 0.05
"""Share of the limit that a model must leave free where it trains on one half of the records and is scored on the
other: the mean gap of a policy differs between the halves."""

EVALUATION_SEED = 20_061
"""Decides the scenarios on which models are compared during training; `evaluate.py` plays others."""


def gives_cost(env_id: str, env_kwargs: dict[str, Any]) -> bool:
    """Whether the environment's infos hold a `cost`."""
    if has_domain(env_id):
        return True
    env = gym.make(env_id, **env_kwargs)
    try:
        return "cost" in env.reset(seed=0)[1]
    finally:
        env.close()


def make_training_env(
    env_id: str,
    num_envs: int,
    env_kwargs: dict[str, Any],
    on_city: Callable[[int, int], None] | None = None,
) -> VecEnv:
    """B environments for Stable-Baselines3: batched where there are costs, else a `DummyVecEnv`.

    An argument that names many instances, such as a `city` "synthetic:20-100:SEED:COUNT", gives a `MixedVecEnv` with
    the B rows shared among them, at least one each; `on_city` is called with the index of the instance that is prepared
    next and their number.
    """
    env_id = spec_of(env_id).id  # imports the module of a prefix, which registers environment and domain
    many = domain_of(env_id).many
    instances = None if many is None else many.of(env_kwargs)
    if many is not None and instances is not None:
        others = {key: value for key, value in env_kwargs.items() if key != many.argument}
        return make_mixed_vec_env(env_id, num_envs, instances, on_city=on_city, **others)
    if gives_cost(env_id, env_kwargs):
        return make_vec_env(env_id, num_envs, **env_kwargs)
    return make_dummy_vec_env(env_id, n_envs=num_envs, env_kwargs=env_kwargs)


@dataclass(frozen=True)
class Score:
    """Returns, costs and metrics of a policy on E fixed scenarios."""

    returns: NDArray[np.float64]  # [E]
    costs: NDArray[np.float64] | None  # [E]; None where the environment has no cost
    cost_limit: float | None
    """Limit on the mean cost, or on its tail; where episodes have limits of their own, the mean of these."""
    metrics: dict[str, float]
    """Mean of each metric that the environment reports at the end of an episode."""
    limits: NDArray[np.float64] | None = None
    """Limit of each episode `[E]`; None where all have `cost_limit`."""
    spared: float = 0.0
    """Share of the limit that a feasible policy leaves free."""
    measure: RiskMeasure = MEAN
    """What of the costs of episodes the limit bounds."""

    @property
    def mean_return(self) -> float:
        """Mean plain return."""
        return float(self.returns.mean())

    @property
    def mean_cost(self) -> float | None:
        """Mean cost of an episode."""
        return None if self.costs is None else float(self.costs.mean())

    @property
    def violation_rate(self) -> float | None:
        """Share of episodes whose cost is over their limit."""
        if self.costs is None or self.cost_limit is None:
            return None
        limits = self.cost_limit if self.limits is None else self.limits
        return float((self.costs > limits + OVER_LIMIT_TOLERANCE).mean())

    @property
    def cost_in_limits(self) -> float | None:
        """Mean over episodes of cost / limit; the constraint is that it is at most 1."""
        if self.costs is None or self.cost_limit is None:
            return None
        return float((self.costs / (self.cost_limit if self.limits is None else self.limits)).mean())

    @property
    def burden(self) -> float | None:
        """Mean over episodes of g(cost / limit) (`RiskMeasure`), at most 1 where the constraint holds: of the mean and
        the CVaR that of cost / limit, else the share of episodes over the limit in units of the share that may be."""
        if self.costs is None or self.cost_limit is None:
            return None
        return float(self._burdens(self.costs / (self.cost_limit if self.limits is None else self.limits)).mean())

    def _burdens(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """g of costs as shares of their limits, any shape."""
        if self.measure.is_mean:
            return shares
        burdens: NDArray[np.float64] = self.measure.g(shares, self.measure.threshold(shares))
        return burdens

    @property
    def cost_bounds(self) -> list[float]:
        """Upper ends of the one-sided 95 % interval of the mean cost, as shares of the limit.

        Of a limit on the tail, that of `burden`. One number; or, where episodes have limits of their own, one for each
        of `LIMIT_BANDS` bands of them from the tightest to the loosest, so that room under loose limits does not hide
        what happens under tight ones.

        Many models are compared on the same scenarios, so the one that wins is a little worse than it looks; the bound
        keeps a model that holds the limit only by luck from being taken for feasible.
        """
        if self.costs is None or self.cost_limit is None:
            return []
        if self.limits is None or np.ptp(self.limits) == 0:
            return [_upper_bound(self._burdens(self.costs / self.cost_limit))]
        bands = np.array_split(np.argsort(self.limits, kind="stable"), min(LIMIT_BANDS, self.costs.size))
        return [_upper_bound(self._burdens(self.costs[band] / self.limits[band])) for band in bands]

    @property
    def excess(self) -> float:
        """Mean over bands of how far `cost_bounds` are above the share of the limit that may be used, in units of cost.

        0 for a policy that counts as feasible.
        """
        over = [max(0.0, bound - (1.0 - self.spared)) for bound in self.cost_bounds]
        return float(np.mean(over)) * self.cost_limit if over and self.cost_limit is not None else 0.0

    @property
    def rank(self) -> tuple[float, float]:
        """Key of comparison, larger is better: feasible first, then the return; among infeasible ones the excess."""
        return -self.excess, self.mean_return

    def logged(self, headline: Headline) -> dict[str, float]:
        """The numbers that are logged under `eval/`; of the metrics those of the environment's headline."""
        result = {"return": self.mean_return}
        if self.mean_cost is not None and headline.constraint is not None:
            result["cost"] = self.mean_cost
        if self.limits is not None and self.cost_in_limits is not None:
            result["cost_in_limits"] = self.cost_in_limits
        if self.burden is not None and not self.measure.is_mean:
            result["burden"] = self.burden
        if self.violation_rate is not None:
            result["violation_rate"] = self.violation_rate
        result |= {c.key: self.metrics[c.key] for c in headline.columns if c.key in self.metrics}
        return result


def _upper_bound(shares: NDArray[np.float64]) -> float:
    spread = float(shares.std(ddof=1)) if shares.size > 1 else 0.0
    return float(shares.mean()) + ONE_SIDED_95 * spread / math.sqrt(shares.size)


def play(venv: VecEnv, policy: Policy, episodes: int, seed: int = EVALUATION_SEED) -> Score:
    """Play the policy deterministically on `episodes` scenarios, the same ones at every call.

    Each environment plays the same number of episodes (so that short ones do not count more), and its
    scenarios are drawn from its own seed whatever the policy does. Episodes have the limit of their `info`
    (`cost_limit`), else that of their environment.
    """
    rounds = -(-episodes // venv.num_envs)
    venv._seeds = list(episode_seeds(seed, venv.num_envs))  # what venv.seed() sets, with seeds of our own
    observation = venv.reset()
    state: Any = None
    start = np.ones(venv.num_envs, dtype=bool)
    left = np.full(venv.num_envs, rounds)
    returns: list[float] = []
    costs: list[float] = []
    metrics: list[dict[str, float]] = []
    given = [float(d) for d in venv.get_attr("cost_limit")] if venv.has_attr("cost_limit") else None
    limits: list[float] = []
    while (left > 0).any():
        action, state = policy.predict(observation, state=state, episode_start=start, deterministic=True)
        observation, _, done, infos = venv.step(action)
        start = done
        for i in np.flatnonzero(done & (left > 0)).tolist():
            left[i] -= 1
            episode = infos[i]["episode"]
            returns.append(float(episode["r"]))
            if "c" in episode:
                costs.append(episode["c"])
                if given is not None:
                    limits.append(float(infos[i].get("cost_limit", given[i])))
            if "metrics" in infos[i]:
                metrics.append(infos[i]["metrics"])
    names = [name for name in metrics[0] if all(name in m for m in metrics)] if metrics else []
    one = given is not None and set(limits) <= {given[0]}
    return Score(
        returns=np.array(returns),
        costs=np.array(costs) if costs else None,
        cost_limit=None if given is None else given[0] if one else float(np.mean(limits)),
        metrics={name: float(np.mean([m[name] for m in metrics])) for name in names},
        limits=None if given is None or one else np.array(limits),
        measure=measure_of(venv),
    )
