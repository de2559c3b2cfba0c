"""Generator dispatch as a decision problem, and outage waves as what is forecast for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stormgym.agents.dfl.constraints import FlowConstraints
from stormgym.agents.dfl.risk import check_alpha
from stormgym.agents.dispatch.chain import StockChain
from stormgym.agents.dispatch.flow import plan_cost
from stormgym.agents.dispatch.planners import plan, risk_plan
from stormgym.envs.dispatch.generators import StormProfile
from stormgym.envs.storms import COVARIATES, Storms, features
from stormgym.predictors.outage_ode import OutageODE

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
WEATHER = tuple(name for name in COVARIATES if name != "onset")
"""Covariates that are inputs of the networks; the onset enters the wave model directly."""
OTHER_CURVATURE = 0.01
"""Curvature of trips and of generators at home, as a share of that of segments."""
N_TRAINING_SAMPLES = 20
"""Waves a storm while a distributional forecaster is fine-tuned."""


@dataclass(frozen=True)
class Events:
    """E past storms to fit, tune or score on."""

    X: Floats  # [E, K, F] inputs of the networks
    onset: Ints  # [E, K]
    out: Floats  # [E, T + 1, K]

    def __len__(self) -> int:
        """E."""
        return len(self.out)

    def rows(self, index: Ints) -> Self:
        """The events of these indices."""
        return type(self)(self.X[index], self.onset[index], self.out[index])

    @property
    def outcomes(self) -> Floats:
        """Customers out in the periods in which generators serve, `[E, T, K]`."""
        return self.out[:, 1:]


def simulated_events(profile: StormProfile, n_events: int, seed: int, *, names: Sequence[str] = WEATHER) -> Events:
    """Simulated storms of a profile, event i from stream `[seed, i]`.

    Args:
        profile: counties and storms.
        n_events: E.
        seed: of the streams.
        names: inputs of the networks, of `stormgym.envs.storms.FEATURES`.
    """
    storms = profile.simulate([np.random.default_rng([seed, i]) for i in range(n_events)])
    return events_of(storms, profile, names)


def events_of(storms: Storms, profile: StormProfile, names: Sequence[str] = WEATHER) -> Events:
    """Storms as events to learn from or to be scored on."""
    onset = np.rint(storms.covariates[..., COVARIATES.index("onset")]).astype(np.int64)
    return Events(features(names, storms.covariates, profile), onset, storms.out)


class DispatchProblem:
    """Plans for generators as flows over days and counties, linear in the prices of segments (GDF eq. 8-14, corrected).

    The j-th generator in a county on a day costs operating_cost - interruption_cost * clip(Y - j N_g, 0, N_g).

    Args:
        profile: counties, generators and costs.
    """

    separable = False
    """Trips tie the days of a county together; `log_normaliser` is exact all the same."""

    def __init__(self, profile: StormProfile) -> None:
        self.profile = profile
        self.n_segments = max(int(profile.most_useful.max()), 1)
        self._constraints = FlowConstraints(
            profile.n_periods, profile.n_counties, self.n_segments, total=float(profile.generators)
        )

    @property
    def constraints(self) -> FlowConstraints:
        """The flow's polytope."""
        return self._constraints

    def curvature(self, rho: float) -> Tensor:
        """rho on the segments, of one generator each, and a hundredth on trips and on what stays at home.

        The paper's rho on every variable would cost a full warehouse rho Q^2 / 2 a day and push generators out of it.
        """
        t, k, j = self.profile.n_periods, self.profile.n_counties, self.n_segments
        rest = OTHER_CURVATURE * rho
        return self._constraints.pack(torch.full((t, k, j), rho, dtype=torch.float64), out=rest, back=rest, home=rest)

    def prices(self, outcomes: Tensor, smooth: float = 0.0) -> Tensor:
        """Prices `[..., n]` of waves `[..., T, K]`; `smooth` is the width of rounded corners in N_g."""
        p = self.profile
        each = p.customers_per_generator
        above = outcomes.unsqueeze(-1) - each * torch.arange(self.n_segments, dtype=outcomes.dtype)
        saved = soft_clip(above, each, smooth * each) if smooth > 0 else above.clamp(0.0, each)
        trip = float(p.transport_cost)
        segments = p.operating_cost - p.interruption_cost * saved
        return self._constraints.pack(segments, out=trip, back=trip, last_back=trip)

    def decide(self, outcomes: Floats, risk: float = 1.0) -> Ints:
        """Stocks `[B, T, K]` of the plans that are cheapest in the worst share `risk` of waves `[S, B, T, K]`."""
        cases = range(outcomes.shape[1])
        if check_alpha(risk, "risk") == 1.0:
            return np.stack([plan(self.profile, outcomes[:, i]) for i in cases])
        return np.stack([risk_plan(self.profile, outcomes[:, i], alpha=risk).stock for i in cases])

    def cost(self, plans: Any, outcomes: Any) -> Any:
        """g(x, S) of GDF eq. 8 `[...]` of stocks and outages `[..., T, K]`; of tensors differentiable in both."""
        p = self.profile
        if isinstance(plans, Tensor) or isinstance(outcomes, Tensor):
            out = torch.as_tensor(outcomes)
            stock = torch.as_tensor(plans, dtype=out.dtype)
            trips = nn.functional.pad(stock, (0, 0, 1, 1)).diff(dim=-2).abs().sum(dim=(-2, -1))  # from and to no stock
            unserved = (out - p.customers_per_generator * stock).clamp_min(0.0).sum(dim=(-2, -1))
            running = p.operating_cost * stock.sum(dim=(-2, -1))
            return p.transport_cost * trips + running + p.interruption_cost * unserved
        return plan_cost(
            plans,
            outcomes,
            customers_per_generator=p.customers_per_generator,
            transport_cost=p.transport_cost,
            interruption_cost=p.interruption_cost,
            operating_cost=p.operating_cost,
        )

    def energy(self, forecast: Tensor, plans: Tensor) -> Tensor:
        """Mean cost `[..., B]` of stocks `[..., B, T, K]` over waves `[S, B, T, K]`."""
        mean: Tensor = self.cost(plans.unsqueeze(-4), forecast).mean(dim=-2)  # [..., S, B] before
        return mean

    def project(self, plans: Tensor) -> Tensor:
        """The nearest stocks `[..., T, K]` of at least 0 and at most Q a day in all, fractions allowed."""
        stock = plans.detach()
        # to the simplex of sum Q: what each day has too much is taken from all counties alike, down to 0
        ordered = stock.sort(dim=-1, descending=True).values
        over = ordered.cumsum(dim=-1) - self.profile.generators
        taken = over / torch.arange(1, stock.shape[-1] + 1, dtype=stock.dtype)
        n_left = (ordered > taken).sum(dim=-1, keepdim=True)
        most = taken.gather(-1, (n_left - 1).clamp_min(0))
        return (stock - most.clamp_min(0.0)).clamp_min(0.0)

    def chain(self, forecast: Tensor) -> StockChain:
        """Mean costs of whole stocks over waves `[S, B, T, K]`, up to the most that is useful in any county."""
        p = self.profile
        level = torch.arange(self.n_segments + 1, dtype=forecast.dtype)
        unserved = (forecast.unsqueeze(-1) - p.customers_per_generator * level).clamp_min(0.0).mean(dim=0)
        stay = p.operating_cost * level + p.interruption_cost * unserved  # [B, T, K, J + 1]
        return StockChain(stay, torch.full((len(stay),), float(p.transport_cost), dtype=stay.dtype))

    def log_normaliser(self, forecast: Tensor, temperature: float) -> Tensor:
        """log of the sum of exp(-energy / T) over all whole stocks `[B]`; the number of generators in all is left out.

        Exact: the stock of a county is a chain over days. SO-EBM leaves the constraint out likewise.
        """
        return self.chain(forecast).log_sum(temperature)

    def posterior_energy(self, forecast: Tensor, outcomes: Tensor, temperature: float) -> Tensor:
        """Mean energy `[B]` of whole stocks drawn with probability ~ exp(-cost / T), the cost in waves `[B, T, K]`."""
        probability, trips = self.chain(outcomes[None]).means(temperature)
        chain = self.chain(forecast)
        return (probability * chain.stay).sum(dim=(1, 2, 3)) + trips * chain.trip


def soft_clip(x: Tensor, top: float, width: float) -> Tensor:
    """clip(x, 0, top) with corners rounded over `width`: the mean of clip(x + logistic noise of that scale)."""
    soft = nn.functional.softplus
    return width * (soft(x / width) - soft((x - top) / width))


class WaveModel:
    """An `OutageODE` as a model that can be fine-tuned: one wave (mse), or samples (crps).

    Args:
        ode: a fitted one, which is changed.
        n_samples: S of the waves of an event (crps).
    """

    def __init__(self, ode: OutageODE, n_samples: int = N_TRAINING_SAMPLES) -> None:
        self.ode, self.n_samples = ode, n_samples

    def parameters(self) -> list[nn.Parameter]:
        """Weights of both networks."""
        return self.ode.parameters()

    def outcomes(self, data: Events, noise: torch.Generator) -> Tensor:
        """Waves `[S, E, T, K]`."""
        x, onset = self.ode.standardized(data.X), torch.as_tensor(data.onset)
        if self.ode.loss == "mse":
            return self.ode.wave(x, onset)[None, :, 1:]
        eps = torch.randn((2, self.n_samples, *x.shape[:2]), generator=noise, dtype=torch.float64)
        return self.ode.wave(x, onset, eps)[:, :, 1:]

    def fit_loss(self, data: Events, noise: torch.Generator) -> Tensor:
        """Mean squared error in customers^2 (mse), or the CRPS in customers (crps)."""
        x, onset = self.ode.standardized(data.X), torch.as_tensor(data.onset)
        return self.ode.loss_of(x, onset, torch.as_tensor(data.out), noise)
