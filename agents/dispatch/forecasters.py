"""Predict, then dispatch: policies that plan on the forecast of each storm's wave.

Unless a forecaster is an argument they fit one on simulated storms of the profile, which takes some seconds a profile.
"""

from __future__ import annotations

import copy
import hashlib
import os
from typing import Any, ClassVar

import numpy as np

from stormgym.agents.dfl.learner import DecisionLoss, FineTuning, fine_tune
from stormgym.agents.dfl.recall import fit_or_recall
from stormgym.agents.dispatch.decision import WEATHER, DispatchProblem, Events, WaveModel, simulated_events
from stormgym.agents.dispatch.planners import DispatchPolicy, day_of, kernel_weights, plan
from stormgym.envs.arrays import Bools, Floats, Ints, Observation
from stormgym.envs.dispatch.forecasts import check_forecaster
from stormgym.envs.dispatch.generators import StormProfile
from stormgym.envs.storms import COVARIATES, features
from stormgym.predictors.outage_ode import Loss, OutageODE

N_FIT, N_VALIDATION = 160, 100
"""Simulated storms that forecasters are fitted on, and fine-tuning and intervals are calibrated by."""
N_PLANNED = 100
"""Samples of the wave that a plan is made for."""
N_ADAPTIVE = 400
"""Samples of the wave (particles) that are weighted by how well they match the storm so far."""
TEMPERATURE = 0.03
"""T of the energy-based model, as a share of the mean cost of the best plans."""
_FIT_SEED, _VALIDATION_SEED = 7_003, 7_004
FIT_S: dict[Loss, float] = {"mse": 5.0, "crps": 8.0}
TUNE_S: dict[DecisionLoss, float] = {"qp": 25.0, "spo+": 25.0, "so-ebm": 15.0}
"""About how long a fit of the forecaster and its fine-tuning take (s) on one core, for profiles A and B."""
_STEPS = 3 * 15 * 20
"""Counties, periods and steps of those two."""

Forecaster = OutageODE | str | os.PathLike[str]


def fit_forecaster(profile: StormProfile, loss: Loss) -> OutageODE:
    """A forecaster of the profile's storms, fitted on 160 simulated ones and calibrated on 100 others."""
    train, calibration = simulated_events(profile, N_FIT, _FIT_SEED), fresh_events(profile)
    ode = _unfitted(profile, loss).fit(train.X, train.out, train.onset)
    return ode.conformalize(calibration.X, calibration.out, calibration.onset)


def _unfitted(profile: StormProfile, loss: Loss) -> OutageODE:
    return OutageODE(
        profile.population,
        profile.n_periods,
        feature_names=WEATHER,
        loss=loss,
        steps_per_period=profile.steps_per_period,
    )


def fresh_events(profile: StormProfile) -> Events:
    """100 simulated storms that `fit_forecaster` does not fit on."""
    return simulated_events(profile, N_VALIDATION, _VALIDATION_SEED)


def tuning_of(loss: DecisionLoss, problem: DispatchProblem, events: Events) -> FineTuning:
    """Settings of fine-tuning, as tried out on profile A.

    Args:
        loss: of the decision.
        problem: costs.
        events: that are learnt from. `so-ebm` takes a share of the mean cost of their best plans as its temperature,
            and few small steps, each on all of them: its loss goes on falling after regret begins to rise.
    """
    if loss != "so-ebm":
        return FineTuning(loss)
    mean = float(problem.cost(problem.decide(events.outcomes[None]), events.outcomes).mean())
    return FineTuning(
        loss, temperature=TEMPERATURE * max(mean, 1e-9), fit_weight=0.0, learning_rate=3e-4, batch_size=len(events)
    )


def _fitted(profile: StormProfile, loss: Loss) -> OutageODE:
    """The fitted forecaster of a family of profiles, shared and kept."""
    return fit_or_recall(
        _key(profile, loss),
        lambda: fit_forecaster(profile, loss),
        blank=lambda: _unfitted(profile, loss),
        notice=f"profile {profile.name}: fitting a forecaster of waves, {_about(profile, FIT_S[loss])}",
    )


def _tuned(profile: StormProfile, loss: Loss, tuning: DecisionLoss) -> OutageODE:
    """A copy of the fitted forecaster, fine-tuned on plans of this profile's costs, shared and kept."""

    def fit() -> OutageODE:
        ode, problem = copy.deepcopy(_fitted(profile, loss)), DispatchProblem(profile)
        train = simulated_events(profile, N_FIT, _FIT_SEED)
        fine_tune(WaveModel(ode), problem, train, fresh_events(profile), tuning_of(tuning, problem, train))
        return ode

    # a family is equal for all profiles of the same storms, whatever their costs
    time_s = TUNE_S.get(tuning, max(TUNE_S.values()))
    return fit_or_recall(
        _key(profile, costs_of(profile), loss, tuning),
        fit,
        blank=lambda: _unfitted(profile, loss),
        notice=f"profile {profile.name}: tuning its forecaster by {tuning}, {_about(profile, time_s)}",
    )


def _key(profile: StormProfile, *settings: Any) -> tuple[str, ...]:
    """All that a fit depends on, as text that is the same in every process."""
    storms = [getattr(part, "__qualname__", None) or repr(part) for part in profile.storm_key]
    return ("OutageODE", hashlib.sha256("|".join(storms).encode()).hexdigest(), *map(repr, settings))


def _about(profile: StormProfile, seconds: float) -> str:
    """Time of a fit in words, for as many counties and periods as the profile has."""
    steps = profile.n_counties * profile.n_periods * profile.steps_per_period
    time_s = seconds * max(steps / _STEPS, 1.0)
    return f"about {time_s:.0f} s" if time_s < 100 else f"about {time_s / 60:.0f} minutes"


def costs_of(profile: StormProfile) -> tuple[float, ...]:
    """What a plan depends on beside the wave: generators, customers per generator, and the three costs."""
    p = profile
    return (
        p.generators,
        p.customers_per_generator,
        p.transport_cost,
        p.interruption_cost,
        p.operating_cost,
    )


class ForecastDispatch(DispatchPolicy):
    """Plan once, at the start, on the forecast of the storm from its covariates, and follow the plan (open loop).

    Args:
        profile: of the environment.
        forecaster: an `OutageODE` of as many counties and periods, or the file of one; None fits it on simulated
            storms.
    """

    loss: ClassVar[Loss] = "mse"
    tuning: ClassVar[DecisionLoss | None] = None
    n_samples: ClassVar[int] = 1

    def __init__(self, profile: StormProfile, forecaster: Forecaster | None = None) -> None:
        super().__init__(profile)
        if forecaster is None:
            self.forecaster = self._own()
        else:
            self.forecaster = forecaster if isinstance(forecaster, OutageODE) else OutageODE.load(forecaster)
        check_forecaster(self.forecaster, profile)
        if self.forecaster.loss != self.loss:
            raise ValueError(
                f'{self.name} needs a forecaster fitted with loss="{self.loss}"; got one with "{self.forecaster.loss}"'
            )

    def _own(self) -> OutageODE:
        if self.tuning is None:
            return _fitted(self.profile, self.loss)
        return _tuned(self.profile, self.loss, self.tuning)

    def forecast(self, observation: Observation, rows: Ints) -> Floats:
        """Waves `[S, B, T, K]` of some rows of an observation, made at the start of an episode."""
        covariates = np.stack([np.asarray(observation[name], dtype=np.float64)[rows] for name in COVARIATES], axis=-1)
        X = features(self.forecaster.feature_names, covariates, self.profile)
        onset = np.rint(covariates[..., COVARIATES.index("onset")])
        if self.loss == "mse":
            return self.forecaster.predict(X, onset)[None, :, 1:]
        return self.forecaster.sample(X, onset, n_samples=self.n_samples)[:, :, 1:]

    def plan_for(self, waves: Floats, stock0: Ints | None = None, weight: Floats | float = 1.0) -> Ints:
        """The plan `[T, K]` for samples `[S, T, K]` of a wave: here that of the least mean cost (see `plan`)."""
        return plan(self.profile, waves, stock0=stock0, weight=weight)

    def targets(self, observation: Observation, state: Any, episode_start: Bools) -> tuple[Ints, Any]:
        """Today's stock of the plan; the state holds plans `[B, T, K]`."""
        day, p = day_of(observation), self.profile
        plans = np.zeros((len(day), p.n_periods, p.n_counties), dtype=np.int64) if state is None else np.array(state)
        rows = np.flatnonzero(episode_start)
        if rows.size:
            waves = self.forecast(observation, rows)
            for place, row in enumerate(rows):
                plans[row] = self.plan_for(waves[:, place])
        return plans[np.arange(len(day)), np.minimum(day, p.n_periods - 1)], plans


class TwoStageDispatch(ForecastDispatch):
    """The cheapest plan for the wave that is forecast from the storm's weather, followed without replanning.

    Idea: predict, then optimise: rates by two networks, fitted to waves (MSE). Cost: a fit of a few seconds a profile,
    then one flow an episode. Source: GDF Algorithm 1, stage 1.
    """

    name = "two-stage-dispatch"


class GDFDispatch(ForecastDispatch):
    """Two-stage, with the forecaster fine-tuned on what its plans cost.

    Idea: the gradient of a plan's cost passes through a smoothed problem. Cost: half a minute a profile and its costs,
    then one flow an episode. Source: GDF Algorithm 1, eq. 15-23, with active bounds held in the implicit derivative.
    """

    name = "gdf-dispatch"
    tuning: ClassVar[DecisionLoss | None] = "qp"


class SPODispatch(GDFDispatch):
    """Two-stage, with the forecaster fine-tuned on a convex bound of its plans' regret.

    Idea: plans are linear in the prices of segments, so SPO+ applies. Cost: as GDF. Source: Elmachtoub and Grigas
    (2022), eq. 9.
    """

    name = "spo-dispatch"
    tuning = "spo+"


class SampledDispatch(ForecastDispatch):
    """The plan of least mean cost over waves drawn from a distributional forecast of the storm.

    Idea: the cost of a mean wave is not the mean cost; the forecaster is fitted to the distribution of waves (CRPS).
    Cost: a fit of some seconds a profile, then one larger flow an episode. Source: GDF eq. 8-14; Kleywegt, Shapiro and
    Homem-de-Mello (2002).
    """

    name = "sampled-dispatch"
    loss = "crps"
    n_samples = N_PLANNED


class SOEBMDispatch(SampledDispatch):
    """The plan over samples, with the forecaster fine-tuned as an energy-based model of plans.

    Idea: the best plan in hindsight shall be likely under q(plan) ~ exp(-mean cost / T); the sum over all plans is
    exact, as stocks are chains over days. What it aims at is not the least cost, so it takes few steps and often none
    (docs/results/dispatch.md). Cost: some ten seconds a profile and its costs, then one larger flow an episode. Source:
    SO-EBM eq. 1-6.
    """

    name = "so-ebm-dispatch"
    tuning = "so-ebm"


class AdaptiveDispatch(SampledDispatch):
    """Plan again each day for the samples of the forecast that match the storm so far.

    Idea: a particle filter that draws no new particles: 400 waves drawn from the forecast are weighted by how near they
    are to the outages observed, and the day's plan is for 50 of them, drawn in proportion to their weights.
    Cost: one larger flow a day. Source: GDF eq. 8-14 in receding horizon.

    Args:
        profile, forecaster: as `ForecastDispatch`.
        effective: number of samples that count, (sum of weights)^2 / sum of their squares.
        fairness: how much more an interruption weighs in a county whose group is worse off so far (see
            `group_weights`); None takes the default of the class.
    """

    name = "adaptive-dispatch"
    follows_episodes: ClassVar[bool] = True
    """It weighs samples by all that was observed since the storm began."""
    fair: ClassVar[float] = 0.0
    n_samples = N_ADAPTIVE
    n_kept: ClassVar[int] = 50

    def __init__(
        self,
        profile: StormProfile,
        forecaster: Forecaster | None = None,
        *,
        effective: float = 40.0,
        fairness: float | None = None,
    ) -> None:
        if not 1 <= effective <= N_ADAPTIVE:
            raise ValueError(f"effective must be from 1 to {N_ADAPTIVE} samples; got {effective!r}")
        self.fairness = self.fair if fairness is None else float(fairness)
        if not 0.0 <= self.fairness < np.inf:
            raise ValueError(f"fairness must be at least 0; got {fairness!r}")
        super().__init__(profile, forecaster)
        self.effective = effective

    def targets(self, observation: Observation, state: Any, episode_start: Bools) -> tuple[Ints, Any]:
        """Today's stock of a plan for the rest; the state holds samples and observed outages of each row."""
        day, p = day_of(observation), self.profile
        out = np.asarray(observation["out"], dtype=np.float64)
        stock = np.rint(np.asarray(observation["stock"])).astype(np.int64)
        n, t, k = len(day), p.n_periods, p.n_counties
        samples = np.zeros((N_ADAPTIVE, n, t, k)) if state is None else state[0]
        observed = np.zeros((n, t + 1, k)) if state is None else np.array(state[1])
        rows = np.flatnonzero(episode_start)
        if rows.size:  # samples are many, so they are copied only when some of them change
            samples = np.array(samples)
            samples[:, rows], observed[rows] = self.forecast(observation, rows), 0.0
        observed[np.arange(n), day] = out
        wanted = np.zeros((n, k), dtype=np.int64)
        weights = np.ones((n, k))
        if self.fairness > 0:
            weights = group_weights(np.asarray(observation["unserved"], dtype=np.float64), p, self.fairness)
        middles = (np.arange(self.n_kept) + 0.5) / self.n_kept
        for i in range(n):
            d = int(day[i])
            if d >= t:
                continue
            distance = ((samples[:, i, :d] - observed[i, 1 : d + 1]) ** 2).sum(axis=(1, 2))
            # A Gaussian kernel in place of a likelihood, as wide as leaves `effective` particles; day 0 tells nothing.
            weight = kernel_weights(distance, self.effective) if d else np.full(N_ADAPTIVE, 1.0 / N_ADAPTIVE)
            # systematic resampling at the middles of equal slices: no chance, and a heavy particle counts several times
            kept = np.searchsorted(np.cumsum(weight), middles * weight.sum())
            like = samples[np.minimum(kept, N_ADAPTIVE - 1), i, d:]
            wanted[i] = self.plan_for(like, stock0=stock[i], weight=weights[i])[0]
        return wanted, (samples, observed)


class FairAdaptiveDispatch(AdaptiveDispatch):
    """The adaptive plan, in which interruptions weigh more where people have waited longest.

    Idea: the gap between groups is mostly chance, which no plan made before the storm can foresee; the gap so far is
    observed, and feedback on it reduces what remains. Cost: as adaptive-dispatch. Source: the constraint of EPOPR eq. 2
    on GDF eq. 8-14.
    """

    name = "fair-adaptive-dispatch"
    fair = 1.0


def group_weights(unserved: Floats, profile: StormProfile, fairness: float) -> Floats:
    """Weights of counties `[B, K]`, of mean about 1: exp(fairness * (mean of the group - mean of all) / limit).

    Args:
        unserved: `[B, K]` periods without power and generator so far, per customer.
        profile: groups and the limit on the gap.
        fairness: at least 0; 0 gives ones.
    """
    group = np.eye(int(profile.group.max()) + 1)[profile.group]  # [K, G]
    mean = unserved @ (group / group.sum(axis=0))  # [B, G]
    ahead = fairness * (mean - mean.mean(axis=1, keepdims=True)) / profile.cost_limit
    return np.exp(np.clip(ahead, -5.0, 5.0)) @ group.T


def policy_of(file: str | os.PathLike[str], env: Any) -> ForecastDispatch:
    """The open-loop policy for the forecaster in a file: `SampledDispatch` (crps) or `TwoStageDispatch` (mse)."""
    ode = OutageODE.load(file)
    policy = (SampledDispatch if ode.loss == "crps" else TwoStageDispatch).for_env(env, forecaster=ode)
    assert isinstance(policy, ForecastDispatch)
    return policy
