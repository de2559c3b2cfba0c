"""Policies for generator dispatch: rules, plans on what is expected, planning anew each day, and the true optimum."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from stormgym.agents.binding import base_envs, truth_of
from stormgym.agents.dispatch.flow import OnlineRule, RiskPlan, in_order, plan_dispatch_risk, solve_dispatch
from stormgym.agents.policy import BasePolicy
from stormgym.envs.arrays import Bools, Floats, Ints, Observation
from stormgym.envs.dispatch.core import STATE
from stormgym.envs.dispatch.generators import StormProfile
from stormgym.envs.dispatch.profiles import resolve_profile
from stormgym.envs.storms import Family

ENV_ID = "GeneratorDispatch-v0"
N_TYPICAL = 400
"""Simulated storms that planners sample from; their random streams differ from those of episodes."""
RISK_GAP, RISK_SECONDS = 1e-4, 10.0
"""Gap at which the search for a plan of least risk ends, and how long its mixed program may take."""
_STREAM = 7_002
_DAY = STATE.index("day")


def profile_of(env: Any) -> StormProfile:
    """Return the profile of a dispatch environment (single, batched or wrapped) that takes whole allocations.

    Raises:
        TypeError: another environment.
        ValueError: it takes an allocation block by block.
    """
    base = base_envs(env, "profile", StormProfile, ENV_ID)[0]
    if isinstance(getattr(base, "single_action_space", base.action_space), spaces.Discrete):
        raise ValueError(
            "planners say how many generators each county shall have, and this environment takes one block of them at "
            'a time; make it with action="units" or "box"'
        )
    profile: StormProfile = base.announced.profile
    return profile


def typical_storms(profile: str | StormProfile) -> Floats:
    """Waves `[400, T + 1, K]` of simulated storms of a profile."""
    return _typical_storms(Family(resolve_profile(profile) if isinstance(profile, str) else profile))


@lru_cache(maxsize=16)
def _typical_storms(family: Family) -> Floats:
    out = family.profile.simulate([np.random.default_rng([_STREAM, i]) for i in range(N_TYPICAL)]).out
    out.setflags(write=False)
    return out


def plan(
    profile: StormProfile, outages: Floats, stock0: NDArray[Any] | None = None, weight: Floats | float = 1.0
) -> Ints:
    """Stocks `[T, K]` of the cheapest plan for a wave `[T, K]`, or for samples of it `[S, T, K]`.

    `weight`, a number or `[K]`, multiplies what an interruption costs.
    """
    return solve_dispatch(
        outages,
        generators=profile.generators,
        customers_per_generator=profile.customers_per_generator,
        transport_cost=profile.transport_cost,
        interruption_cost=profile.interruption_cost * np.asarray(weight),
        operating_cost=profile.operating_cost,
        stock0=stock0,
    ).stock


def risk_plan(
    profile: StormProfile,
    outages: Floats,
    *,
    alpha: float,
    mean_weight: float = 0.0,
    stock0: NDArray[Any] | None = None,
    weight: Floats | float = 1.0,
    gap: float = RISK_GAP,
) -> RiskPlan:
    """The plan of least mean_weight x mean + (1 - mean_weight) x CVaR_alpha of its cost over samples `[S, T, K]`.

    Within `gap` of the best, as a share of its value, or what ten seconds leave; `weight` as for `plan`.
    """
    return plan_dispatch_risk(
        outages,
        generators=profile.generators,
        customers_per_generator=profile.customers_per_generator,
        transport_cost=profile.transport_cost,
        interruption_cost=profile.interruption_cost * np.asarray(weight),
        operating_cost=profile.operating_cost,
        alpha=alpha,
        mean_weight=mean_weight,
        stock0=stock0,
        gap=gap,
        time_limit=RISK_SECONDS,
    )


def day_of(observation: Observation) -> Ints:
    """Days that have passed, `[B]`.

    Raises:
        ValueError: the observation is not one of generator dispatch.
    """
    if "state" not in observation or "stock" not in observation:
        raise ValueError(f"this agent reads the observation of {ENV_ID}; got {sorted(observation)}")
    return np.rint(np.asarray(observation["state"])[:, _DAY]).astype(np.int64)


class DispatchPolicy(BasePolicy):
    """Base of policies bound to a profile: subclasses write `targets`, which are clipped to the action space."""

    def __init__(self, profile: StormProfile) -> None:
        self.profile = profile

    @classmethod
    def for_env(cls, env: Any, **kwargs: Any) -> DispatchPolicy:
        """Bind to the profile of `env`."""
        return cls(profile_of(env), **kwargs)

    def targets(self, observation: Observation, state: Any, episode_start: Bools) -> tuple[Ints, Any]:
        """Generators wanted in each county today, `[B, K]` whole numbers, and the next state."""
        raise NotImplementedError(f"{type(self).__name__} must write targets()")

    def act(self, observation: Observation, state: Any, episode_start: Bools, deterministic: bool) -> tuple[Ints, Any]:
        """The targets, within the action space."""
        del deterministic
        day_of(observation)  # raises for an observation of another environment
        wanted, state = self.targets(observation, state, episode_start)
        return np.minimum(wanted, self.profile.most_useful), state


class DoNothing(DispatchPolicy):
    """No generator moves.

    Idea: the cost of the storm without any plan. Cost: none. Source: none needed.
    """

    name = "do-nothing"

    def targets(self, observation: Observation, state: Any, episode_start: Bools) -> tuple[Ints, Any]:
        """Zeros."""
        del episode_start
        return np.zeros((len(day_of(observation)), self.profile.n_counties), dtype=np.int64), state


class OnlineGreedy(DispatchPolicy):
    """Follow the observed outages, `lag` days late.

    Idea: ceil(Y / N_g) generators where Y customers were out, counties in the order of their index. Cost: none.
    Source: GDF Algorithm 2.

    Args:
        profile: of the environment.
        lag: days until outages are known, at least 1.
        rule: `returns` sends surplus home first, `keeps` sends nothing home before the end (see `OnlineRule`).
    """

    name = "online-greedy"

    def __init__(self, profile: StormProfile, *, lag: int = 1, rule: OnlineRule = "returns") -> None:
        if lag < 1:
            raise ValueError(f"lag must be at least 1 day: today's outages are not known yet; got {lag!r}")
        if rule == "printed":
            raise ValueError("the printed rule ships generators that are not there; play returns or keeps")
        super().__init__(profile)
        self.lag = lag
        self.rule: OnlineRule = rule

    def targets(self, observation: Observation, state: Any, episode_start: Bools) -> tuple[Ints, Any]:
        """The rule on the outages of `lag` days ago; the state holds those since then, `[lag, B, K]`."""
        out = np.asarray(observation["out"], dtype=np.float64)
        recent = np.zeros((self.lag, *out.shape)) if state is None else state
        recent = np.concatenate([np.where(episode_start[None, :, None], 0.0, recent)[1:], out[None]])
        stock = np.rint(np.asarray(observation["stock"])).astype(np.int64)
        p = self.profile
        need = np.ceil(recent[0] / p.customers_per_generator - 1e-6).astype(np.int64)
        held = np.minimum(stock, need) if self.rule == "returns" else stock
        return held + in_order(np.maximum(need - held, 0), p.generators - held.sum(axis=1, keepdims=True)), recent


class StaticDispatch(DispatchPolicy):
    """The cheapest plan for the mean wave of simulated storms, followed without replanning.

    Idea: two-stage with no covariates; it shows what a forecast of the storm is worth. Cost: one flow a profile.
    Source: GDF eq. 8-14 for a mean wave.
    """

    name = "static-dispatch"

    def __init__(self, profile: StormProfile) -> None:
        super().__init__(profile)
        self._plan = plan(profile, self._outages())

    def _outages(self) -> Floats:
        mean: Floats = typical_storms(self.profile)[:, 1:].mean(axis=0)
        return mean

    def targets(self, observation: Observation, state: Any, episode_start: Bools) -> tuple[Ints, Any]:
        """The plan's stock of today."""
        del episode_start
        return self._plan[np.minimum(day_of(observation), len(self._plan) - 1)], state


class SampleAverageDispatch(StaticDispatch):
    """The plan of least mean cost over simulated storms, followed without replanning.

    Idea: the best fixed plan, since the cost of a mean wave is not the mean cost (sample-average approximation). Cost:
    one larger flow a profile. Source: GDF eq. 8-14; Kleywegt, Shapiro and Homem-de-Mello (2002).
    """

    name = "sample-average-dispatch"

    def _outages(self) -> Floats:
        return typical_storms(self.profile)[:, 1:]


class ReplanningDispatch(DispatchPolicy):
    """Plan again each day for simulated storms that match this one so far.

    Idea: model-predictive control. Simulated storms are weighted by how near their outages so far are to those observed
    (a Gaussian kernel, as wide as keeps `effective` of them); the plan is that of the weighted mean wave.
    Cost: one flow a day, some 10 ms for three counties and half a second for 67. Source: GDF eq. 8-14 in receding
    horizon.

    Args:
        profile: of the environment.
        effective: number of storms that count, (sum of weights)^2 / sum of their squares.
    """

    name = "replanning-dispatch"

    def __init__(self, profile: StormProfile, *, effective: float = 20.0) -> None:
        if not 1 <= effective <= N_TYPICAL:
            raise ValueError(f"effective must be from 1 to {N_TYPICAL} storms; got {effective!r}")
        super().__init__(profile)
        self.effective = effective

    def targets(self, observation: Observation, state: Any, episode_start: Bools) -> tuple[Ints, Any]:
        """Today's stock of a plan for the rest of the horizon; the state holds observed outages."""
        day, p = day_of(observation), self.profile
        out = np.asarray(observation["out"], dtype=np.float64)
        stock = np.rint(np.asarray(observation["stock"])).astype(np.int64)
        n, t = len(day), p.n_periods
        observed = np.zeros((n, t + 1, p.n_counties)) if state is None else np.array(state)
        observed[episode_start] = 0.0
        observed[np.arange(n), day] = out
        storms = typical_storms(p)
        wanted = np.zeros((n, p.n_counties), dtype=np.int64)
        for i in range(n):
            d = int(day[i])
            if d >= t:
                continue
            distance = ((storms[:, : d + 1] - observed[i, : d + 1]) ** 2).sum(axis=(1, 2))
            weight = kernel_weights(distance, self.effective)
            ahead = np.tensordot(weight, storms[:, d + 1 :], axes=1)
            wanted[i] = plan(p, ahead, stock0=stock[i])[0]
        return wanted, observed


def kernel_weights(distance: Floats, effective: float) -> Floats:
    """Weights `[S]`, exp(-distance / h), with h such that (sum)^2 / sum of squares is `effective`; they add up to 1."""
    gap = distance - distance.min()
    low, high = -40.0, 40.0  # log h; the effective number rises with h, so bisection finds it
    scale = max(float(gap.mean()), 1e-12)
    away, weight, square = -gap, np.empty_like(gap), np.empty_like(gap)
    for _ in range(60):
        middle = 0.5 * (low + high)
        np.divide(away, scale * np.exp(middle), out=weight)
        np.exp(weight, out=weight)
        np.multiply(weight, weight, out=square)
        before = low, high
        if np.add.reduce(weight) ** 2 / np.add.reduce(square) > effective:
            high = middle
        else:
            low = middle
        if (low, high) == before:
            break  # neighbouring numbers: it stays so
    weight = np.exp(away / (scale * np.exp(high)))
    normed: Floats = weight / weight.sum()
    return normed


class OracleDispatch(DispatchPolicy):
    """Reference with perfect information: the cheapest plan for the true wave.

    Idea: what a perfect forecast would give, the lower bound from which regret is measured. Cost: one flow an episode.
    Source: GDF eq. 8-14.

    Args:
        env: the environment that it plays, whose waves it reads.
    """

    name = "oracle-dispatch"
    privileged = True

    def __init__(self, env: Any) -> None:
        super().__init__(profile_of(env))
        self._env = env

    @classmethod
    def for_env(cls, env: Any, **kwargs: Any) -> OracleDispatch:
        """Bind to `env` and its waves."""
        return cls(env, **kwargs)

    def targets(self, observation: Observation, state: Any, episode_start: Bools) -> tuple[Ints, Any]:
        """Today's stock of the plan that was made at the start; the state holds plans `[B, T, K]`."""
        day, p = day_of(observation), self.profile
        waves = np.concatenate([truth.out for truth in truth_of(self._env, self)])
        if len(waves) != len(day):
            raise ValueError(f"the policy is bound to {len(waves)} episodes but the observation has {len(day)}")
        plans = np.zeros((len(day), p.n_periods, p.n_counties), dtype=np.int64) if state is None else np.array(state)
        for i in np.flatnonzero(episode_start):
            plans[i] = plan(p, waves[i, 1:])
        return plans[np.arange(len(day)), np.minimum(day, p.n_periods - 1)], plans
