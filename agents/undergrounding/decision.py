"""Which lines to bury as a decision problem, and hours without power as what is forecast for it (GDF eq. 15-16).

    g(x, s) = sum_k h_k (1 - x_k) s_k,   b.x <= B,  x in {0, 1}

s_k is the SAIDI of region k; GDF has h_k = 1/K, b_k = 1 and B = C. The best plan is a knapsack, with equal costs the
regions of largest h_k s_k, and its prices are linear in what is forecast.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import NotFittedError
from torch import Tensor, nn

from stormgym.agents.dfl.constraints import DenseConstraints
from stormgym.agents.dfl.learner import DecisionLoss, FineTuning, fine_tune
from stormgym.agents.dfl.recall import fit_or_recall
from stormgym.agents.dfl.risk import Polytope, check_alpha, cvar_plan
from stormgym.agents.undergrounding.trilevel.problem import affordable, knapsack
from stormgym.envs.storms import Family, features
from stormgym.envs.undergrounding.regions import FEATURE_NAMES, Seasons, UndergroundingProfile

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
ForecastLoss = Literal["mse", "qp", "spo+", "so-ebm", "listwise"]
SLACK_CURVATURE = 1e-4
"""Curvature of the unspent share of the budget, as a share of that of burying."""
TUNING: dict[DecisionLoss, FineTuning] = {
    "qp": FineTuning("qp", rho=2.0, fit_weight=0.01, learning_rate=1e-2, n_epochs=60, batch_size=100),
    "spo+": FineTuning("spo+", fit_weight=0.1, learning_rate=1e-2, n_epochs=60, batch_size=100),
    "so-ebm": FineTuning("so-ebm", fit_weight=0.01, learning_rate=1e-2, n_epochs=60, batch_size=100),
    "listwise": FineTuning(
        "listwise",
        temperature=0.5,
        mle_weight=0.0,
        kl_weight=1.0,
        fit_weight=0.01,
        learning_rate=1e-2,
        n_epochs=60,
        batch_size=100,
    ),
}
"""Settings that lowered regret most on `synthetic:10:1`; rho is in hours, fit_weight in 1 / hour, and in 1 / hour^2 for
`so-ebm` and `listwise`. Their temperature is in mean gains of a region: take settings by `tuning_of`."""
N_FIT, N_VALIDATION = 200, 100
"""Simulated seasons that forecasters are fitted on, and fine-tuning chooses by."""
_FIT_SEED, _VALIDATION_SEED = 7_006, 7_007


@dataclass(frozen=True)
class SeasonEvents:
    """E past seasons to fit, tune or score on."""

    X: Floats  # [E, K, F] inputs of the network
    outage_h: Floats  # [E, K]

    def __len__(self) -> int:
        """E."""
        return len(self.outage_h)

    def rows(self, index: Ints) -> Self:
        """The seasons of these indices."""
        return type(self)(self.X[index], self.outage_h[index])

    @property
    def outcomes(self) -> Floats:
        """Hours without power of a mean customer of each region `[E, K]`."""
        return self.outage_h


def simulated_seasons(
    profile: UndergroundingProfile, n_events: int, seed: int, *, names: Sequence[str] | None = None
) -> SeasonEvents:
    """Simulated seasons of a profile, event i from stream `[seed, i]`.

    Args:
        profile: regions and storms.
        n_events: E.
        seed: of the streams.
        names: inputs of the network, of `stormgym.envs.storms.FEATURES`; None takes `profile.feature_names`.
    """
    seasons = profile.seasons([np.random.default_rng([seed, i]) for i in range(n_events)])
    return events_of(seasons, profile, names)


def events_of(seasons: Seasons, profile: UndergroundingProfile, names: Sequence[str] | None = None) -> SeasonEvents:
    """Seasons as events to learn from or to be scored on."""
    covariates = seasons.covariates
    inputs = profile.known_before(covariates) if names is None else features(names, covariates, profile)
    return SeasonEvents(inputs, seasons.outage_h)


class KnapsackProblem:
    """Which of K regions to bury within a budget, linear in their hours without power (GDF eq. 15-16).

    A last variable is the share of the budget that is left over. A region dearer than the budget is fixed at 0.

    Args:
        cost: `[K]` b, above 0.
        budget: B, above 0, in the unit of `cost`.
        weights: `[K]` h, at least 0 and not all 0; 1/K when left out.

    Raises:
        ValueError: a shape or number that does not fit; the message names it.
    """

    separable = True
    """Without the budget each region is buried by itself."""

    def __init__(self, cost: ArrayLike, budget: float, weights: ArrayLike | None = None) -> None:
        self.protect_cost = np.array(cost, dtype=np.float64)
        if self.protect_cost.ndim != 1 or not self.protect_cost.size:
            raise ValueError(f"cost must be [K], one a region; got shape {self.protect_cost.shape}")
        k = len(self.protect_cost)
        if not ((self.protect_cost > 0) & (self.protect_cost < np.inf)).all():
            raise ValueError(f"cost must be above 0 and finite; got {self.protect_cost.min()} as the least")
        if not 0 < budget < np.inf:
            raise ValueError(f"budget must be above 0 and finite, or there is nothing to decide; got {budget!r}")
        self.weights = np.full(k, 1.0 / k) if weights is None else np.array(weights, dtype=np.float64)
        if self.weights.shape != (k,) or not ((self.weights >= 0) & (self.weights < np.inf)).all():
            raise ValueError(f"weights must be [{k}] as cost, finite and at least 0; got {weights!r}")
        if not self.weights.any():
            raise ValueError("weights must not all be 0: then every plan is as good")
        self.budget = float(budget)
        self._constraints = DenseConstraints(
            np.append(self.protect_cost / budget, 1.0)[None],
            [1.0],
            np.append(affordable(self.protect_cost, budget).astype(np.float64), 1.0),
        )

    @classmethod
    def of(cls, profile: UndergroundingProfile) -> KnapsackProblem:
        """A profile's own costs and budget; a season costs the hours without power of a mean customer."""
        return cls(profile.protect_cost, profile.budget, profile.population / profile.population.sum())

    @property
    def constraints(self) -> DenseConstraints:
        """b.x / B + what is left = 1."""
        return self._constraints

    def curvature(self, rho: float) -> Tensor:
        """rho times the mean weight on each region: x = clip((h s - nu b) / (rho mean h), 0, 1), with rho in hours."""
        r = torch.full((len(self.weights) + 1,), rho * float(self.weights.mean()), dtype=torch.float64)
        r[-1] *= SLACK_CURVATURE
        return r

    def prices(self, outcomes: Tensor, smooth: float = 0.0) -> Tensor:
        """Prices `[..., K + 1]` of hours `[..., K]`; they have no corners, and `smooth` does nothing."""
        del smooth
        return nn.functional.pad(-self.gains(outcomes), (0, 1))

    def decide(self, outcomes: Floats, risk: float = 1.0) -> Floats:
        """Regions to bury `[B, K]`, 0 or 1, of the least CVaR of the cost over hours `[S, B, K]`.

        With risk = 1 the mean of the hours alone decides; below it, what strikes together counts together.
        """
        if check_alpha(risk, "risk") < 1.0:
            return np.stack([self._of_least_risk(hours, risk) for hours in np.moveaxis(outcomes, 1, 0)])
        gain = outcomes.mean(axis=0) * self.weights  # [B, K]
        if np.ptp(self.protect_cost) == 0:
            most = int(affordable(np.cumsum(self.protect_cost), self.budget).sum())
            rank = np.argsort(np.argsort(-gain, axis=-1, kind="stable"), axis=-1, kind="stable")
            return ((rank < most) & (gain > 0)).astype(np.float64)
        return np.stack([knapsack(row, self.protect_cost, self.budget) for row in gain]).astype(np.float64)

    def _of_least_risk(self, hours: Floats, risk: float) -> Floats:
        """Regions to bury `[K]` in one case, hours `[S, K]`: a small mixed program."""
        loss = hours * self.weights
        open_ = affordable(self.protect_cost, self.budget).astype(np.float64)
        spent = (open_ * self.protect_cost / self.budget)[None]
        polytope = Polytope(np.zeros(len(open_)), open_, A_ub=spent, b_ub=np.ones(1))
        found = cvar_plan(-loss, polytope, alpha=risk, offsets=loss.sum(axis=1), integral=True)
        return found.plan * (loss > 0).any(axis=0)

    def cost(self, plans: Any, outcomes: Any) -> Any:
        """g(x, s) `[...]` in weighted hours, of plans and hours `[..., K]`; of tensors differentiable in both."""
        if isinstance(plans, Tensor) or isinstance(outcomes, Tensor):
            hours = torch.as_tensor(outcomes)
            left = 1.0 - torch.as_tensor(plans, dtype=hours.dtype)
            return (left * hours) @ torch.as_tensor(self.weights)
        return ((1.0 - plans) * outcomes) @ self.weights

    def gains(self, outcomes: Tensor) -> Tensor:
        """Weighted hours `[..., K]` that burying each region saves."""
        return torch.as_tensor(self.weights) * outcomes

    def energy(self, forecast: Tensor, plans: Tensor) -> Tensor:
        """Mean cost `[..., B]` of plans `[..., B, K]` over hours `[S, B, K]`: it is linear, so that of mean hours."""
        mean: Tensor = self.cost(plans, forecast.mean(dim=0))
        return mean

    def coordinate_energy(self, forecast: Tensor, plans: Tensor) -> Tensor:
        """What each region adds `[..., B, K]`."""
        gain = self.gains(forecast.mean(dim=0))
        return (1.0 - plans.to(gain.dtype)) * gain

    def coordinate_mode(self, forecast: Tensor) -> Tensor:
        """1 `[B, K]`: without a budget every region is buried."""
        return torch.ones_like(forecast[0])

    def log_normaliser(self, forecast: Tensor, temperature: float) -> Tensor:
        """log of the sum of exp(-energy / T) over all 2^K plans `[B]`; the budget is left out, as SO-EBM does.

        Plans of q ~ exp(-energy / T) bury each region by itself, with logit h_k s_k / T.
        """
        logit = self.gains(forecast.mean(dim=0)) / temperature
        return nn.functional.softplus(-logit).sum(dim=-1)

    def posterior_energy(self, forecast: Tensor, outcomes: Tensor, temperature: float) -> Tensor:
        """Mean energy `[B]` of plans drawn with probability ~ exp(-cost / T), the cost in hours `[B, K]`."""
        with torch.no_grad():
            buried = torch.sigmoid(self.gains(outcomes) / temperature)
        return self.energy(forecast, buried)

    def project(self, plans: Tensor) -> Tensor:
        """The nearest plans `[..., K]` within the budget, fractions allowed; a region that is too dear stays at 0."""
        wanted, cost = plans.detach(), torch.as_tensor(self.protect_cost)
        top = torch.as_tensor(affordable(self.protect_cost, self.budget).astype(np.float64))

        def at(price: Tensor) -> Tensor:
            return torch.minimum((wanted - price * cost).clamp_min(0.0), top)

        def spent(price: Tensor) -> Tensor:
            return (at(price) * cost).sum(dim=-1, keepdim=True)

        low, high = torch.zeros_like(wanted[..., :1]), (wanted / cost).amax(dim=-1, keepdim=True).clamp_min(0.0)
        free = spent(low) <= self.budget
        for _ in range(60):  # the price of the budget by bisection; at `high` the plan is within it
            price = 0.5 * (low + high)
            over = spent(price) > self.budget
            low, high = torch.where(over, price, low), torch.where(over, high, price)
        return at(torch.where(free, 0.0, high))


class SAIDIModel:
    """Hours without power of each region from what is known of it before the season: one small network for all.

    `fit -> predict`; it is a `Model` that `fine_tune` can change. The hidden widths are the paper's.

    Args:
        feature_names: names of the F covariates, kept with the model.
        hidden: widths of the layers.
        n_steps: gradient steps of the fit, each on all seasons.
        learning_rate: of Adam, falling to a hundredth along a half cosine.
        random_state: seed of the weights.

    Attributes:
        network_: the fitted network.
        losses_: `[n_steps]` mean squared error of each step, hours^2.
    """

    def __init__(
        self,
        feature_names: Sequence[str] = FEATURE_NAMES,
        *,
        hidden: Sequence[int] = (64, 32),
        n_steps: int = 300,
        learning_rate: float = 3e-3,
        random_state: int = 0,
    ) -> None:
        if not feature_names:
            raise ValueError("feature_names must name at least one covariate; got none")
        if n_steps < 1 or not learning_rate > 0:
            raise ValueError(
                f"n_steps must be at least 1 and learning_rate above 0; got {n_steps!r} and {learning_rate!r}"
            )
        self.feature_names, self.hidden = tuple(feature_names), tuple(hidden)
        self.n_steps, self.learning_rate, self.random_state = int(n_steps), learning_rate, random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn from E seasons.

        Args:
            X: `[E, K, F]` covariates.
            y: `[E, K]` hours.

        Raises:
            ValueError: shapes that do not fit, values that are not finite, negative hours.
        """
        inputs, hours = self._checked(X), np.asarray(y, dtype=np.float64)
        if hours.shape != inputs.shape[:2] or not len(hours):
            raise ValueError(f"y must be [E, K] = {inputs.shape[:2]} as X, with E at least 1; got shape {hours.shape}")
        if not ((hours >= 0) & (hours < np.inf)).all():
            raise ValueError(f"y must be hours of at least 0 and finite; got {hours.min()} to {hours.max()}")
        self.mean_, self.scale_ = inputs.mean(axis=(0, 1)), np.maximum(inputs.std(axis=(0, 1)), 1e-9)
        self.unit_h_ = max(float(hours.mean()), 1e-9)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.random_state)
            layers: list[nn.Module] = []
            for n_in, n_out in pairwise([inputs.shape[-1], *self.hidden]):
                layers += [nn.Linear(n_in, n_out), nn.Tanh()]
            self.network_ = nn.Sequential(*layers, nn.Linear([inputs.shape[-1], *self.hidden][-1], 1)).double()
        x, target = self._standardized(inputs), torch.as_tensor(hours)
        optimizer = torch.optim.Adam(self.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.n_steps, self.learning_rate / 100.0)
        self.losses_ = np.zeros(self.n_steps)
        for i in range(self.n_steps):
            optimizer.zero_grad()
            loss = ((self._hours(x) - target) ** 2).mean()
            (loss / self.unit_h_**2).backward()
            optimizer.step()
            schedule.step()
            self.losses_[i] = loss.item()
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """Mean hours `[E, K]`, at least 0, from covariates `[E, K, F]`."""
        with torch.no_grad():
            hours: Floats = self._hours(self._standardized(self._checked(X))).numpy()
        return hours

    def parameters(self) -> list[nn.Parameter]:
        """What gradient steps change."""
        self._need_fit()
        return list(self.network_.parameters())

    def outcomes(self, data: SeasonEvents, noise: torch.Generator) -> Tensor:
        """The one forecast `[1, E, K]`."""
        del noise
        return self._hours(self._standardized(data.X))[None]

    def fit_loss(self, data: SeasonEvents, noise: torch.Generator) -> Tensor:
        """Mean squared error, hours^2."""
        return ((self.outcomes(data, noise)[0] - torch.as_tensor(data.outage_h)) ** 2).mean()

    def _hours(self, x: Tensor) -> Tensor:
        """Hours `[E, K]` of standardized covariates `[E, K, F]`."""
        return self.unit_h_ * nn.functional.softplus(self.network_(x)[..., 0])

    def _standardized(self, X: Floats) -> Tensor:
        self._need_fit()
        return torch.as_tensor((X - self.mean_) / self.scale_)

    def _checked(self, X: ArrayLike) -> Floats:
        inputs = np.asarray(X, dtype=np.float64)
        if inputs.ndim != 3 or inputs.shape[-1] != len(self.feature_names):
            names = ", ".join(self.feature_names)
            raise ValueError(f"X must be [E, K, {len(self.feature_names)}], of {names}; got shape {inputs.shape}")
        if not np.isfinite(inputs).all():
            raise ValueError(f"X must be finite; got {inputs[~np.isfinite(inputs)][0]}")
        return inputs

    def _need_fit(self) -> None:
        if not hasattr(self, "mean_"):
            raise NotFittedError("SAIDIModel is not fitted: call fit(X, y) first")


def tuning_of(loss: DecisionLoss, problem: KnapsackProblem, events: SeasonEvents) -> FineTuning:
    """Settings of `TUNING`, with the temperature in units of the problem's cost.

    Args:
        loss: of the decision.
        problem: weights of regions.
        events: that are learnt from; what burying a region saves in a mean one of them is the unit of `TUNING`.
    """
    settings = TUNING[loss]
    gain = float(problem.gains(torch.as_tensor(events.outcomes)).mean())
    return replace(settings, temperature=settings.temperature * max(gain, 1e-9))


def fit_saidi_forecaster(profile: UndergroundingProfile, loss: ForecastLoss = "mse") -> SAIDIModel:
    """A forecaster of the profile's seasons, fitted on 200 simulated ones; no season of an episode is among them.

    With another loss than `mse` it is fine-tuned on the plans of the profile's costs and budget, in hours of a mean
    customer, epochs chosen by 100 others. Fitted once a profile and its costs, in some seconds; the model is shared: do
    not change it.

    Args:
        profile: regions, storms and costs.
        loss: `mse` fits the hours; `qp` (GDF), `spo+`, `so-ebm` and `listwise` then fine-tune on plans.

    Raises:
        ValueError: another loss.
    """
    if loss not in ("mse", *TUNING):
        raise ValueError(f"loss must be one of mse, {', '.join(TUNING)}; got {loss!r}")
    if loss == "mse" or not affordable(profile.protect_cost, profile.budget).any():  # nothing can be decided
        return _fitted(profile)
    # a family is equal for all profiles of the same storms, whatever their costs
    costs = (*profile.protect_cost.tolist(), profile.budget)
    return fit_or_recall(("SAIDIModel", Family(profile), costs, TUNING[loss]), lambda: _tuned(profile, loss))


def _fitted(profile: UndergroundingProfile) -> SAIDIModel:
    """The fitted forecaster of a family of profiles, shared."""

    def fit() -> SAIDIModel:
        train = simulated_seasons(profile, N_FIT, _FIT_SEED)
        return SAIDIModel(profile.feature_names).fit(train.X, train.outage_h)

    return fit_or_recall(("SAIDIModel", Family(profile)), fit)


def _tuned(profile: UndergroundingProfile, loss: DecisionLoss) -> SAIDIModel:
    """A copy of the fitted forecaster, fine-tuned on plans of this profile's costs."""
    model, problem = copy.deepcopy(_fitted(profile)), KnapsackProblem.of(profile)
    train, validation = (
        simulated_seasons(profile, n, seed) for n, seed in ((N_FIT, _FIT_SEED), (N_VALIDATION, _VALIDATION_SEED))
    )
    fine_tune(model, problem, train, validation, tuning_of(loss, problem, train))
    return model
