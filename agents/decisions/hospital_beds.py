"""Hospital beds as a decision under uncertainty, and forecasters of the epidemic for it (SO-EBM section 4.2).

The best plan for samples is the root of a piecewise linear function a day, exact by sorting. Its derivative in the
samples has a term that the optimality conditions of the sampled problem miss: the linear costs change slope at each
sample, so how fast the slope changes on average is the density of samples at the plan.

`BetaModel` forecasts how fast people infect each other and leaves the rest to the epidemic's equations; `BedsPolicyNet`
goes from the history to a plan at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.exceptions import NotFittedError
from torch import Tensor, nn

from stormgym.agents.decisions.methods import TUNING
from stormgym.agents.decisions.tail_plan import Misses, tail_plans
from stormgym.agents.dfl.decision import Floats, Forecast
from stormgym.agents.dfl.learner import FineTuning
from stormgym.agents.dfl.risk import check_alpha
from stormgym.envs.decisions.epidemic import IN_HOSPITAL, RATES, beds_of_days, rates_of_beds
from stormgym.envs.decisions.hospital_beds import N_DAYS, SEEN, HospitalBedsProblem, check_prices
from stormgym.envs.decisions.problem import Cases
from stormgym.predictors.networks import fit_until_stopped
from stormgym.predictors.threads import one_thread

N_RATES = N_DAYS - 1
"""Days whose transmission rates move the week's beds (`beds_of_days`)."""
LEAST_BANDWIDTH = 1e-9
"""Of the density at a plan, beds: the first day's samples are all alike."""
LEARNING_RATE, BATCH_SIZE, MOST_EPOCHS, PATIENCE = 3e-3, 64, 200, 20
"""Of both networks: Adam's, cases a step, epochs, and epochs without a better validation loss that end a fit."""
WIDTH = 32
"""Units of the recurrent network."""
LEAST_SD = 1e-3
"""Of the forecast log rate."""
MOST_GROWTH = 3.0
"""Bound of the policy network's logarithmic growth."""


# -------------------------------------------------------------------------------------------------------- the plan


def plan_beds(samples: ArrayLike, *, c_b: float = 10.0, c_h: float = 1.0, q_b: float = 2.0, q_h: float = 0.5) -> Floats:
    """The beds of least mean cost over samples, exact (SO-EBM eq. 8).

    A day's mean cost is convex and, between two samples, quadratic: the plan is the first sample with the right-hand
    derivative at or above 0, or the root between it and the one before.

    Args:
        samples: `[S, B, 7]` beds needed.
        c_b, q_b: price of a missing bed, and of its square.
        c_h, q_h: the same of an empty one.

    Returns:
        `[B, 7]`, at least 0; the least where several are as good.

    Raises:
        TypeError, ValueError: prices (`check_prices`); samples of another shape, or not finite.
    """
    c_b, c_h, q_b, q_h = check_prices(c_b, c_h, q_b, q_h)
    y = np.asarray(samples, dtype=np.float64)
    if y.ndim != 3 or not len(y):
        raise ValueError(f"samples must be [S, B, 7] with at least one sample; got shape {y.shape}")
    if not np.isfinite(y).all():
        raise ValueError("samples must be finite; some are NaN or infinite")
    n = len(y)
    y = np.sort(np.moveaxis(y, 0, -1), axis=-1)  # [B, 7, S]
    below = np.cumsum(y, axis=-1)  # sums of samples up to each
    above = below[..., -1:] - below
    k = np.arange(1, n + 1)
    # n times the derivative just right of the k-th sample, k samples at or below
    right = c_h * k - c_b * (n - k) + (2.0 * q_h * (k * y - below) - 2.0 * q_b * (above - (n - k) * y))
    j = np.argmax(right >= -1e-12 * n * (c_b + c_h), axis=-1)[..., None]  # the last is never below 0
    at = np.take_along_axis(y, j, axis=-1)[..., 0]
    j = j[..., 0]  # samples strictly below, if the plan is before the j-th
    under = np.where(j > 0, np.take_along_axis(below, np.maximum(j - 1, 0)[..., None], axis=-1)[..., 0], 0.0)
    over = below[..., -1] - under
    slope = 2.0 * (q_b * (n - j) + q_h * j)
    root = (c_b * (n - j) - c_h * j + 2.0 * (q_b * over + q_h * under)) / np.where(slope > 0.0, slope, 1.0)
    plans: Floats = np.where((slope > 0.0) & (j > 0), np.minimum(root, at), at)
    return np.maximum(plans, 0.0)


class HospitalBeds:
    """The decision of a `HospitalBedsProblem`, for forecasts that are samples `[S, B, 7]` of beds.

    Args:
        problem: with the prices.
    """

    separable = True

    def __init__(self, problem: HospitalBedsProblem) -> None:
        self.problem = problem
        self._prices = {"c_b": problem.c_b, "c_h": problem.c_h, "q_b": problem.q_b, "q_h": problem.q_h}

    def cost(self, plans: Any, outcomes: Any) -> Any:
        """Cost `[...]` of plans and outcomes `[..., 7]` (eq. 8)."""
        return self.problem.cost(plans, outcomes)

    def decide(self, forecast: Forecast, risk: float = 1.0) -> Floats:
        """The best plans `[B, 7]`, exact: days are apart, and each is convex, so the bounds only clip.

        Where risk is below 1 the tail joins the days, and a conic program a case finds the plan of least CVaR over the
        samples, exact (`tail_plans`).

        Raises:
            TypeError, ValueError: a risk that is no number in (0, 1].
        """
        plans: Floats = self.problem.project(plan_beds(forecast, **self._prices))
        if check_alpha(risk, "risk") == 1.0:
            return plans
        p = self.problem
        misses = Misses(p.c_b, p.c_h, p.q_b, p.q_h, p.low, p.high)
        return p.project(tail_plans(np.asarray(forecast, dtype=np.float64), plans, misses, risk))

    def project(self, plans: Tensor) -> Tensor:
        """Plans within the problem's bounds."""
        low, high = (torch.as_tensor(bound, dtype=plans.dtype) for bound in (self.problem.low, self.problem.high))
        return plans.detach().clamp(low, high)

    def energy(self, forecast: Forecast, plans: Tensor) -> Tensor:
        """Mean cost `[..., B]` over samples of plans `[..., B, 7]`."""
        return self.coordinate_energy(forecast, plans).sum(-1)

    def coordinate_energy(self, forecast: Forecast, plans: Tensor) -> Tensor:
        """Mean cost of each day `[..., B, 7]`, from sums over the samples on either side of the plan.

        Sorting once lets many plans a case share the samples: the work grows with S + plans, not with their product.
        """
        p = self.problem
        centre = forecast.detach().mean(0)  # [B, 7]; sums of squares around it lose no digits
        y = torch.sort((forecast - centre).permute(1, 2, 0), dim=-1).values.contiguous()  # [B, 7, S]
        shape, n = plans.shape, y.shape[-1]
        u = (plans - centre).reshape(-1, *centre.shape).permute(1, 2, 0)  # [B, 7, M]
        k = torch.searchsorted(y.detach(), u.detach().contiguous(), right=True)  # samples at or below each plan
        below, below2 = (torch.gather(_sums(part), -1, k) for part in (y, y.square()))
        above, above2 = y.sum(-1, keepdim=True) - below, y.square().sum(-1, keepdim=True) - below2
        short = p.c_b * (above - (n - k) * u) + p.q_b * (above2 - 2.0 * u * above + (n - k) * u.square())
        empty = p.c_h * (k * u - below) + p.q_h * (k * u.square() - 2.0 * u * below + below2)
        return ((short + empty) / n).permute(2, 0, 1).reshape(shape)

    def coordinate_mode(self, forecast: Forecast) -> Tensor:
        """`[B, 7]` where each day's mean cost is least; needs are no less than 0, so that is where it is best."""
        return torch.as_tensor(plan_beds(_array(forecast), **self._prices))

    def plan(self, forecast: Forecast) -> Tensor:
        """The best plans `[B, 7]`, differentiable in the samples by `plan_weights`; 0 where a bound holds."""
        best = torch.as_tensor(self.decide(_array(forecast)))
        low, high = torch.as_tensor(self.problem.low), torch.as_tensor(self.problem.high)
        weights = self.plan_weights(forecast.detach(), best) * ((best > low) & (best < high))
        return best + (weights * (forecast - forecast.detach())).sum(0)

    def plan_weights(self, samples: Tensor, plans: Tensor, bandwidth: Tensor | None = None) -> Tensor:
        """Derivative `[S, B, 7]` of the best plan in each sample; a case's add up to 1.

            da/dY_s = w_s / sum w,   w_s = 2 q_b [Y_s > a] + 2 q_h [Y_s <= a] + (c_b + c_h) K((Y_s - a) / bw) / bw

        The last term, K the normal density, stands for the jump of the slope at Y_s = a; without it (plain optimality
        conditions of the sampled problem) a plan would not follow the quantile that the linear costs ask for.

        Args:
            samples: `[S, B, 7]`.
            plans: `[B, 7]` the best.
            bandwidth: `[B, 7]`; None: Silverman's rule.
        """
        p, width = self.problem, silverman(samples) if bandwidth is None else bandwidth
        z = (samples - plans) / width
        density = torch.exp(-0.5 * z.square()) / (np.sqrt(2.0 * np.pi) * width)
        weights = torch.where(samples > plans, 2.0 * p.q_b, 2.0 * p.q_h) + (p.c_b + p.c_h) * density
        return weights / weights.sum(0)  # above 0: a best plan is a sample, or has prices of squares on both sides


def silverman(samples: Tensor) -> Tensor:
    """Bandwidth of a normal kernel: .9 min(sd, interquartile range / 1.349) S^(-1/5) of samples `[S, ...]`."""
    q = torch.quantile(samples, torch.tensor([0.25, 0.75], dtype=samples.dtype), dim=0)
    spread = torch.minimum(samples.std(0, correction=0), (q[1] - q[0]) / 1.349)
    return (0.9 * len(samples) ** -0.2 * spread).clamp_min(LEAST_BANDWIDTH)


def _sums(y: Tensor) -> Tensor:
    """Sums of the first 0, 1, ..., S of `[..., S]`."""
    return nn.functional.pad(y.cumsum(-1), (1, 0))


def _array(forecast: Any) -> Floats:
    return forecast.detach().numpy() if isinstance(forecast, Tensor) else np.asarray(forecast, dtype=np.float64)


# ---------------------------------------------------------------------------------------------------- the networks


class HistoryNetwork(nn.Module):
    """A gated recurrent unit over the history, and a linear head."""

    def __init__(self, n_outputs: int) -> None:
        super().__init__()
        self.body = nn.GRU(len(SEEN), WIDTH, batch_first=True)
        self.head = nn.Linear(WIDTH, n_outputs)

    def forward(self, history: Tensor) -> Tensor:
        """Outputs `[B, n_outputs]` from standardized histories `[B, 21, 4]`."""
        return self.head(self.body(history)[0][:, -1])


class HistoryModel:
    """What both models share: a network of the history, how it is fitted, and its state as arrays.

    Args:
        n_outputs: of the network.
        seed: of its weights.

    Attributes:
        mean_, sd_: `[4]` of the training histories.
        validation_losses_: one an epoch.
    """

    def __init__(self, n_outputs: int, seed: int) -> None:
        self.seed = seed
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = HistoryNetwork(n_outputs).double()
        with torch.no_grad():  # begin near the average case
            self.network.head.weight.mul_(0.1)
            self.network.head.bias.zero_()

    def parameters(self) -> list[nn.Parameter]:
        """Trainable weights."""
        return list(self.network.parameters())

    def state(self) -> dict[str, Floats]:
        """Weights and what else was learnt, as arrays to keep in an `.npz`."""
        self._need_fit()
        weights = {name: value.detach().numpy().copy() for name, value in self.network.state_dict().items()}
        return {**weights, "mean_": self.mean_.copy(), "sd_": self.sd_.copy()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what `state` says.

        Raises:
            ValueError: entries or shapes of another model.
        """
        own = {name: tuple(value.shape) for name, value in self.network.state_dict().items()}
        wanted = own | {"mean_": (len(SEEN),), "sd_": (len(SEEN),)} | {name: () for name in self._further()}
        got = {name: np.shape(value) for name, value in state.items()}
        if got != wanted:
            wrong = sorted(name for name in wanted | got if wanted.get(name) != got.get(name))
            raise ValueError(f"state is not of a {type(self).__name__}; these entries differ: {', '.join(wrong)}")
        self.network.load_state_dict({name: torch.as_tensor(np.array(state[name])) for name in own})
        self.mean_, self.sd_ = np.array(state["mean_"]), np.array(state["sd_"])

    def _further(self) -> tuple[str, ...]:
        """Names of the numbers in the state beside the network's."""
        return ()

    def _need_fit(self) -> None:
        if not hasattr(self, "mean_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted; call fit(train, validation, seed) first")

    def _output(self, cases: Cases) -> Tensor:
        self._need_fit()
        output: Tensor = self.network(torch.as_tensor((cases.context["history"] - self.mean_) / self.sd_))
        return output

    def _fit(self, train: Cases, validation: Cases, seed: int | None, loss_of: Callable[[Cases], Tensor]) -> None:
        """Adam on mini-batches until the validation loss has not fallen for a while; the best weights are kept."""
        if not len(train) or not len(validation):
            raise ValueError(f"cases to learn from and to stop by are needed; got {len(train)} and {len(validation)}")
        self.mean_ = train.context["history"].mean(axis=(0, 1))
        self.sd_ = np.maximum(train.context["history"].std(axis=(0, 1)), 1e-9)
        rng = np.random.default_rng([self.seed if seed is None else seed, 1])
        optimizer = torch.optim.Adam(self.parameters(), lr=LEARNING_RATE)

        def epoch() -> None:
            order = rng.permutation(len(train))
            for first in range(0, len(order), BATCH_SIZE):
                loss = loss_of(train.rows(order[first : first + BATCH_SIZE]))
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.parameters(), 1.0)
                optimizer.step()

        with one_thread():
            _, losses = fit_until_stopped(
                self.network, epoch, lambda: float(loss_of(validation)), most=MOST_EPOCHS, patience=PATIENCE
            )
        self.validation_losses_ = np.array(losses)


class BetaModel(HistoryModel):
    """Forecasts the transmission rates of the coming days; the epidemic's equations make beds of them.

    The network gives mean and standard deviation of log beta for each day, days apart (the paper: a Gaussian beta; the
    logarithm keeps it above 0). A sample draws a rate for each day and runs the equations from today's state. The
    paper's seventh rate is left out: it would move no bed of the week.

    The rates to learn from are not hidden state. They follow from what anybody sees once a week is over: today's state
    and the beds that were needed (`rates_of_beds`).

    Args:
        seed: of the weights.

    Attributes:
        n_samples: S of a forecast, without gradient.
        n_training_samples: S of one that is differentiated.
        scale_: factor on the standard deviation of log beta, by which a fitted model is calibrated.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__(2 * N_RATES, seed)
        self.n_samples, self.n_training_samples = 100, 50
        self.scale_ = 1.0

    def fit(self, train: Cases, validation: Cases, seed: int | None = None) -> Self:
        """Likelihood of the rates that were seen, stopped by that of the validation cases.

        Args:
            train, validation: past cases, with outcomes.
            seed: of the order in which cases are seen; None: that of the weights.
        """
        self.scale_ = 1.0
        seen = torch.as_tensor(log_rates_seen(train))
        with torch.no_grad():  # begin with the distribution of all cases
            self.network.head.bias[:N_RATES] = seen.mean(0)
            self.network.head.bias[N_RATES:] = torch.expm1(seen.std(0, correction=0)).clamp_min(LEAST_SD).log()
        self._fit(train, validation, seed, self._likelihood_loss)
        return self

    def log_rates(self, cases: Cases) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of log beta `[E, 6]`, `scale_` left out."""
        mean, raw = self._output(cases).split(N_RATES, dim=-1)
        return mean, nn.functional.softplus(raw) + LEAST_SD

    def outcomes(self, cases: Cases, noise: torch.Generator) -> Tensor:
        """Samples of beds `[S, E, 7]`, differentiable.

        Without gradient all cases share their draws, and each day's are spread evenly over its distribution (a Latin
        hypercube): a case's forecast is the same whichever others are asked for, and a hundred samples are enough.
        """
        mean, sd = self.log_rates(cases)
        if torch.is_grad_enabled():
            eps = torch.randn((self.n_training_samples, *mean.shape), generator=noise, dtype=mean.dtype)
        else:
            eps = even_normal(self.n_samples, N_RATES, noise)[:, None]
        low, high = RATES
        rates = torch.exp(mean + self.scale_ * sd * eps).clamp(low, high)
        beds: Tensor = beds_of_days(torch.as_tensor(cases.context["state"]), rates)
        return beds

    def fit_loss(self, cases: Cases, noise: torch.Generator) -> Tensor:
        """Mean negative log likelihood of a day's log beta, but for a constant."""
        del noise
        return self._likelihood_loss(cases)

    def _likelihood_loss(self, cases: Cases) -> Tensor:
        mean, sd = self.log_rates(cases)
        sd = self.scale_ * sd
        return (0.5 * ((torch.as_tensor(log_rates_seen(cases)) - mean) / sd).square() + sd.log()).mean()

    def state(self) -> dict[str, Floats]:
        """Weights, standardization and `scale_`, as arrays to keep in an `.npz`."""
        return {**super().state(), "scale_": np.array(self.scale_)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what `state` says."""
        super().restore(state)
        self.scale_ = float(state["scale_"])

    def _further(self) -> tuple[str, ...]:
        return ("scale_",)


class BedsPolicyNet(HistoryModel):
    """The growth of beds over today's from the history, trained on the cost itself; no forecast.

    Args:
        problem: with the prices.
        seed: of the weights.
    """

    def __init__(self, problem: HospitalBedsProblem, seed: int = 0) -> None:
        super().__init__(N_DAYS, seed)
        self.problem = problem

    def fit(self, train: Cases, validation: Cases, seed: int | None = None) -> Self:
        """Mean cost of the plans, stopped by that of the validation cases.

        Args:
            train, validation: past cases, with outcomes.
            seed: of the order in which cases are seen; None: that of the weights.
        """
        self._fit(train, validation, seed, self._cost)
        return self

    def plans(self, cases: Cases) -> Floats:
        """Beds `[E, 7]`, within bounds."""
        with torch.no_grad():
            return self.problem.project(self._plans(cases).numpy())

    def _plans(self, cases: Cases) -> Tensor:
        growth = MOST_GROWTH * torch.tanh(self._output(cases) / MOST_GROWTH)
        return torch.as_tensor(cases.context["state"][:, IN_HOSPITAL, None]) * torch.exp(growth)

    def _cost(self, cases: Cases) -> Tensor:
        cost: Tensor = self.problem.cost(self._plans(cases), torch.as_tensor(cases.outcomes))
        return cost.mean()


def log_rates_seen(cases: Cases) -> Floats:
    """log beta `[E, 6]` of past weeks, from today's state and the beds that were then needed."""
    rates: Floats = np.log(rates_of_beds(cases.context["state"], cases.outcomes))
    return rates


def even_normal(n_samples: int, n_parts: int, noise: torch.Generator) -> Tensor:
    """Normal draws `[S, n_parts]`: of each part one in each of S equally likely intervals, parts in random order."""
    place = torch.rand((n_samples, n_parts), generator=noise, dtype=torch.float64).argsort(0)
    within = torch.rand((n_samples, n_parts), generator=noise, dtype=torch.float64)
    return torch.special.ndtri(((place + within) / n_samples).clamp(1e-12, 1.0 - 1e-12))


# -------------------------------------------------------------------------------------------------------- the task


class HospitalBedsTask:
    """All that decision-focused learning needs of hospital beds.

    Args:
        problem: what happens.

    Attributes:
        problem: what happens.
        decision: the best plan for a forecast.
        calibrations: factors on the standard deviation of log beta to choose from (`BetaModel.scale_`).
        tuning: settings of methods where those of `stormgym.agents.decisions.methods` do not do.
    """

    calibrations = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 1.7)
    tuning: Mapping[str, FineTuning] = MappingProxyType(
        {
            "dfl": FineTuning("task", fit_weight=0.0, learning_rate=3e-4, n_epochs=10, batch_size=64),
            "energy-cost": replace(
                TUNING["energy-cost"], learning_rate=3e-4, n_epochs=10, batch_size=64, temperature=3.0
            ),
        }
    )

    def __init__(self, problem: HospitalBedsProblem) -> None:
        self.problem = problem
        self.decision = HospitalBeds(problem)

    def new_model(self, seed: int = 0) -> BetaModel:
        """A forecaster that is not fitted."""
        return BetaModel(seed)

    def new_policy_net(self, seed: int = 0) -> BedsPolicyNet:
        """A policy network that is not fitted."""
        return BedsPolicyNet(self.problem, seed)
