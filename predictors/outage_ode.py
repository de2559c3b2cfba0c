"""The outage wave with learnt rates: two networks give the rates of GDF eq. 5 from what is known before a storm.

`fit -> conformalize -> predict_interval`, for many storms and counties at once. With `loss="mse"` the networks give one
wave a storm (GDF's first stage). With `loss="crps"` they also give how much the rates vary, and `sample` draws waves:
the loss is the continuous ranked probability score of each county and period, which is least for the true distribution.
"""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.exceptions import NotFittedError
from torch import Tensor, nn

from stormgym.predictors.arrays import Floats, Ints
from stormgym.predictors.checks import check_confidence_level
from stormgym.predictors.conformal import conformal_quantile
from stormgym.predictors.sir import simulate_sir

Loss = Literal["mse", "crps"]
N_SAMPLES = 10
"""Waves a storm in the CRPS."""
N_SCALE_SAMPLES = 200
"""Waves a storm from which the width of an interval is taken."""
_LARGEST_STEP = 0.9
"""Most that a rate may be times the Euler step, so that Euler always carries it."""
_GRID = np.geomspace(0.05, 6.4, 8)
_FLOOR = 1e-3
"""Share of a county's customers that is added to the scale of residuals: days without outages have none."""
_FORMAT = 1


class RateNetwork(nn.Module):
    """Covariates to a positive rate and the standard deviation of its logarithm, each `[..., K]`.

    The rate is a softplus, bent so that it stays below `most`.
    """

    def __init__(self, n_features: int, hidden: Sequence[int], most: float, start: float) -> None:
        super().__init__()
        sizes = [n_features, *hidden]
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(sizes):
            layers += [nn.Linear(n_in, n_out), nn.Tanh()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(sizes[-1], 2)
        self.most = most
        bent = most * math.atanh(min(start / most, 0.99))
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            self.head.bias.copy_(torch.tensor([math.log(math.expm1(bent)), -2.0]))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Rate and log-sd from `[..., K, F]`."""
        raw = self.head(self.body(features))
        rate = self.most * torch.tanh(nn.functional.softplus(raw[..., 0]) / self.most)
        return rate, nn.functional.softplus(raw[..., 1])


class OutageODE:
    """Waves of customers out from covariates of each storm and county (GDF eq. 5 and its first stage).

    Args:
        population: N `[K]` customers of each county, above 0.
        n_periods: T.
        feature_names: names of the F covariates, kept with the model.
        loss: `mse`, the mean wave; `crps`, the distribution of waves.
        hidden: widths of each of the two networks.
        steps_per_period: Euler steps.
        n_steps: gradient steps, each on all storms.
        learning_rate: of Adam, falling to a hundredth along a half cosine.
        confidence_level: of intervals.
        random_state: seed of weights and of all draws.

    Attributes:
        transmission_, restoration_: the fitted networks.
        losses_: `[n_steps]` loss of each step, in customers^2 (mse) or customers (crps).
    """

    def __init__(
        self,
        population: ArrayLike,
        n_periods: int,
        *,
        feature_names: Sequence[str],
        loss: Loss = "mse",
        hidden: Sequence[int] = (32, 32),
        steps_per_period: int = 10,
        n_steps: int = 100,
        learning_rate: float = 1e-2,
        confidence_level: float = 0.9,
        random_state: int = 0,
    ) -> None:
        self.population = np.array(population, dtype=np.float64)
        if self.population.ndim != 1 or not (self.population > 0).all():
            raise ValueError(f"population must be [K] customers above 0; got {population!r}")
        if loss not in ("mse", "crps"):
            raise ValueError(f"loss must be mse or crps; got {loss!r}")
        for name, value in (("n_periods", n_periods), ("steps_per_period", steps_per_period), ("n_steps", n_steps)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1; got {value!r}")
        if not learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0; got {learning_rate!r}")
        check_confidence_level(confidence_level)
        self.n_periods, self.steps_per_period, self.n_steps = int(n_periods), int(steps_per_period), int(n_steps)
        self.feature_names, self.hidden = tuple(feature_names), tuple(hidden)
        self.loss, self.learning_rate = loss, learning_rate
        self.confidence_level, self.random_state = confidence_level, random_state

    def fit(self, X: ArrayLike, y: ArrayLike, onset: ArrayLike = 0) -> Self:
        """Learn the rates from E storms.

        Args:
            X: `[E, K, F]` covariates.
            y: `[E, T + 1, K]` customers out at the start (`y[:, 0]`) and in each period.
            onset: `[E, K]` periods in which waves begin; 0 for all when left out.

        Raises:
            ValueError: shapes that do not fit, values that are not finite, negative outages.
        """
        features, begins = self._checked(X, onset)
        out = self._checked_waves(y, len(features))
        self.mean_ = features.mean(axis=(0, 1))
        self.scale_ = np.maximum(features.std(axis=(0, 1)), 1e-9)
        start = self._best_constants(begins, out)
        most = _LARGEST_STEP * self.steps_per_period
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.random_state)
            size = (features.shape[2], self.hidden, most)
            self.transmission_ = RateNetwork(*size, start[0]).double()
            self.restoration_ = RateNetwork(*size, start[1]).double()
        x, begin, target = self.standardized(features), torch.as_tensor(begins), torch.as_tensor(out)
        optimizer = torch.optim.Adam(self.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.n_steps, self.learning_rate / 100.0)
        noise = torch.Generator().manual_seed(self.random_state)
        unit = float((target**2).mean().clamp_min(1e-9) if self.loss == "mse" else target.abs().mean().clamp_min(1e-9))
        self.losses_ = np.zeros(self.n_steps)
        for i in range(self.n_steps):
            optimizer.zero_grad()
            loss = self.loss_of(x, begin, target, noise)
            (loss / unit).backward()
            nn.utils.clip_grad_norm_(self.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            self.losses_[i] = loss.item()
        self.widths_: Floats | None = None
        self.total_widths_: Floats | None = None
        return self

    def loss_of(self, x: Tensor, onset: Tensor, out: Tensor, noise: torch.Generator) -> Tensor:
        """Loss of standardized covariates `[E, K, F]` against waves `[E, T + 1, K]`."""
        if self.loss == "mse":
            return ((self.wave(x, onset) - out) ** 2).mean()
        eps = torch.randn((2, N_SAMPLES, *x.shape[:2]), generator=noise, dtype=torch.float64)
        waves = self.wave(x, onset, eps)  # [S, E, T + 1, K]
        return crps(waves, out).mean()

    def parameters(self) -> list[nn.Parameter]:
        """What gradient steps change."""
        return [*self.transmission_.parameters(), *self.restoration_.parameters()]

    def standardized(self, X: ArrayLike) -> Tensor:
        """Covariates `[E, K, F]` as the networks take them."""
        return torch.as_tensor((np.asarray(X, dtype=np.float64) - self.mean_) / self.scale_)

    def wave(self, x: Tensor, onset: Tensor, noise: Tensor | None = None) -> Tensor:
        """Waves `[..., E, T + 1, K]`, differentiable in the networks' weights.

        Args:
            x: `[E, K, F]` standardized covariates.
            onset: `[E, K]`.
            noise: `[2, ..., E, K]` standard normal draws for both rates; None: the rates themselves.
        """
        (beta, beta_sd), (rho, rho_sd) = self.transmission_(x), self.restoration_(x)
        if noise is not None:
            most = _LARGEST_STEP * self.steps_per_period
            beta = (beta * torch.exp(beta_sd * noise[0])).clamp_max(most)
            rho = (rho * torch.exp(rho_sd * noise[1])).clamp_max(most)
        waves = simulate_sir(
            beta,
            rho,
            torch.as_tensor(self.population),
            n_periods=self.n_periods,
            onset=onset,
            steps_per_period=self.steps_per_period,
        )
        return torch.movedim(waves, 0, -2)

    def predict(self, X: ArrayLike, onset: ArrayLike = 0) -> Floats:
        """Forecast waves `[E, T + 1, K]`: of the rates themselves (mse), or the mean of 200 samples (crps)."""
        self._need_fit()
        if self.loss == "crps":
            mean: Floats = self.sample(X, onset, n_samples=N_SCALE_SAMPLES).mean(axis=0)
            return mean
        features, begins = self._checked(X, onset)
        with torch.no_grad():
            wave: Floats = self.wave(self.standardized(features), torch.as_tensor(begins)).numpy()
        return wave

    def sample(
        self, X: ArrayLike, onset: ArrayLike = 0, *, n_samples: int = N_SCALE_SAMPLES, random_state: int | None = None
    ) -> Floats:
        """Waves drawn from the forecast, `[n_samples, E, T + 1, K]`; sample i of a storm is the same whatever E is.

        Raises:
            ValueError: the model was fitted with `loss="mse"`, which knows one wave only.
        """
        self._need_fit()
        if self.loss != "crps":
            raise ValueError('samples need a distribution: fit with loss="crps", not "mse"')
        features, begins = self._checked(X, onset)
        rng = np.random.default_rng([self.random_state if random_state is None else random_state, 1])
        eps = rng.standard_normal((2, n_samples, 1, len(self.population)))
        with torch.no_grad():
            noise = torch.as_tensor(eps).expand(-1, -1, len(features), -1)
            waves: Floats = self.wave(self.standardized(features), torch.as_tensor(begins), noise).numpy()
        return waves

    def conformalize(self, X: ArrayLike, y: ArrayLike, onset: ArrayLike = 0) -> Self:
        """Widths from storms that the fit has not seen (normalised conformal prediction).

        The score of a storm is |y - forecast| / scale, for each county and period by itself, and for the sum over
        counties in each period; the scale is the standard deviation of samples (crps) or the square root of what the
        forecast has out (mse), and a thousandth of the customers on top.

        Raises:
            ValueError: shapes; or so few storms that an interval would be infinite.
        """
        self._need_fit()
        features, begins = self._checked(X, onset)
        out = self._checked_waves(y, len(features))
        centre, scale, total_scale = self._centre_and_scales(features, begins)
        scores = np.abs(out - centre) / scale  # [E, T + 1, K]
        totals = np.abs((out - centre).sum(axis=-1)) / total_scale  # [E, T + 1]
        level = self.confidence_level
        widths = np.apply_along_axis(conformal_quantile, 0, scores, level)
        total_widths = np.apply_along_axis(conformal_quantile, 0, totals, level)
        if not np.isfinite(widths).all():
            raise ValueError(
                f"{len(features)} storms are too few for intervals of confidence_level {level}: give more, or lower it"
            )
        self.widths_, self.total_widths_ = widths, total_widths
        return self

    def predict_interval(self, X: ArrayLike, onset: ArrayLike = 0) -> Floats:
        """Interval of each county and period `[E, T + 1, K, 2]`, within 0 and the county's customers.

        Raises:
            NotFittedError: before `conformalize`.
        """
        return self.forecast(X, onset)[1]

    def predict_total_interval(self, X: ArrayLike, onset: ArrayLike = 0) -> Floats:
        """Interval of the customers out in all counties `[E, T + 1, 2]`, within 0 and all customers."""
        return self.forecast(X, onset)[2]

    def forecast(self, X: ArrayLike, onset: ArrayLike = 0) -> tuple[Floats, Floats, Floats]:
        """Forecast `[E, T + 1, K]`, its intervals `[E, T + 1, K, 2]` and those of totals `[E, T + 1, 2]`, in one go."""
        self._need_fit()
        if self.widths_ is None or self.total_widths_ is None:
            raise NotFittedError("OutageODE.predict_interval needs OutageODE.conformalize(X, y, onset) first")
        features, begins = self._checked(X, onset)
        centre, scale, total_scale = self._centre_and_scales(features, begins)
        half, total_half = self.widths_ * scale, self.total_widths_ * total_scale
        total, n = centre.sum(axis=-1), float(self.population.sum())
        return (
            centre,
            np.stack([np.maximum(centre - half, 0.0), np.minimum(centre + half, self.population)], axis=-1),
            np.stack([np.maximum(total - total_half, 0.0), np.minimum(total + total_half, n)], axis=-1),
        )

    def moved(self, population: ArrayLike, n_periods: int) -> OutageODE:
        """The same networks for other counties and another number of periods, without intervals.

        Args:
            population: N `[K]` of the other counties.
            n_periods: T there, periods of the same length.
        """
        self._need_fit()
        other = OutageODE(population, n_periods, **self._settings())
        other.mean_, other.scale_ = self.mean_, self.scale_
        other.transmission_, other.restoration_ = self.transmission_, self.restoration_
        other.widths_ = other.total_widths_ = None
        return other

    def _centre_and_scales(self, features: Floats, begins: Ints) -> tuple[Floats, Floats, Floats]:
        floor = _FLOOR * self.population
        if self.loss == "mse":
            centre = self.predict(features, begins)
            variance = centre * (1.0 - centre / self.population)
            return centre, np.sqrt(variance) + floor, np.sqrt(variance.sum(axis=-1)) + floor.sum()
        samples = self.sample(features, begins)
        return (
            samples.mean(axis=0),
            samples.std(axis=0) + floor,
            samples.sum(axis=-1).std(axis=0) + floor.sum(),
        )

    def _best_constants(self, begins: Ints, out: Floats) -> tuple[float, float]:
        """The pair of constant rates on a grid that comes nearest to the waves: where the networks start."""
        grid = _GRID[_GRID < _LARGEST_STEP * self.steps_per_period]
        beta, rho = (g.ravel() for g in np.meshgrid(grid, grid))
        ones = np.ones(begins.shape)
        errors = []
        for b, r in zip(beta, rho, strict=True):
            waves = simulate_sir(
                b * ones,
                r * ones,
                self.population,
                n_periods=self.n_periods,
                onset=begins,
                steps_per_period=self.steps_per_period,
            )
            errors.append(((np.moveaxis(waves, 0, 1) - out) ** 2).mean())
        best = int(np.argmin(errors))
        return float(beta[best]), float(rho[best])

    def _checked(self, X: ArrayLike, onset: ArrayLike) -> tuple[Floats, Ints]:
        features = np.asarray(X, dtype=np.float64)
        k, f = len(self.population), len(self.feature_names)
        if features.ndim != 3 or features.shape[1:] != (k, f) or not len(features):
            raise ValueError(f"X must be [E, {k} counties, {f} covariates]; got shape {features.shape}")
        if not np.isfinite(features).all():
            raise ValueError(f"X must be finite; {int((~np.isfinite(features)).sum())} values are not")
        begins = np.broadcast_to(np.asarray(onset), features.shape[:2])
        if (begins < 0).any() or (begins != np.round(begins)).any():
            raise ValueError(f"onset must be whole periods of at least 0; got {begins.min()} to {begins.max()}")
        return features, begins.astype(np.int64)

    def _checked_waves(self, y: ArrayLike, n_events: int) -> Floats:
        out = np.asarray(y, dtype=np.float64)
        shape = (n_events, self.n_periods + 1, len(self.population))
        if out.shape != shape:
            raise ValueError(f"y must be [E, T + 1, K] = {shape}; got shape {out.shape}")
        if not (np.isfinite(out) & (out >= 0)).all():
            raise ValueError(f"y must be finite and at least 0 customers; got {np.nanmin(out)} to {np.nanmax(out)}")
        return out

    def _settings(self) -> dict[str, Any]:
        """Keyword arguments that make an unfitted twin."""
        names = ("feature_names", "loss", "hidden", "steps_per_period", "n_steps", "learning_rate")
        return {name: getattr(self, name) for name in (*names, "confidence_level", "random_state")}

    def _need_fit(self) -> None:
        if not hasattr(self, "transmission_"):
            raise NotFittedError("this OutageODE is not fitted: call fit(X, y, onset) first")

    def state(self) -> dict[str, Any]:
        """All that settings and fitting decided, as arrays by name; `restore` takes them.

        Raises:
            NotFittedError: before `fit`.
        """
        self._need_fit()
        arrays: dict[str, Any] = {
            "settings": np.array(json.dumps(self._described())),
            "population": self.population,
            "mean": self.mean_,
            "scale": self.scale_,
        }
        if self.widths_ is not None:
            arrays |= {"widths": self.widths_, "total_widths": self.total_widths_}
        for name, network in (("transmission", self.transmission_), ("restoration", self.restoration_)):
            arrays |= {f"{name}.{key}": value.numpy() for key, value in network.state_dict().items()}
        if hasattr(self, "losses_"):
            arrays["losses"] = np.asarray(self.losses_)
        return arrays

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what the `state` of a model with these settings says.

        Raises:
            KeyError: a part is missing.
            ValueError, RuntimeError: another format, other settings, or shapes that are not this model's.
        """
        settings = json.loads(str(state["settings"]))
        if settings != json.loads(json.dumps(self._described())):
            raise ValueError(f"a forecaster with the settings {settings} is not one with {self._described()}")
        if not np.array_equal(state["population"], self.population):
            raise ValueError("the forecaster is for other counties")
        f = len(self.feature_names)
        for name in ("mean", "scale"):
            if np.shape(state[name])[-1:] != (f,):
                raise ValueError(f"{name} must end in {f} covariates; got shape {np.shape(state[name])}")
        self.mean_, self.scale_ = np.array(state["mean"]), np.array(state["scale"])
        self.widths_ = self.total_widths_ = None
        if "widths" in state:
            self.widths_, self.total_widths_ = np.array(state["widths"]), np.array(state["total_widths"])
            shape = (self.n_periods + 1, len(self.population))
            if self.widths_.shape != shape or self.total_widths_.shape != shape[:1]:
                raise ValueError(f"widths must be [T + 1, K] = {shape}; got shape {self.widths_.shape}")
        if "losses" in state:
            self.losses_ = np.array(state["losses"])
        size = (f, self.hidden, _LARGEST_STEP * self.steps_per_period)
        for name in ("transmission", "restoration"):
            network = RateNetwork(*size, 1e-2).double()
            network.load_state_dict({key: torch.as_tensor(state[f"{name}.{key}"]) for key in network.state_dict()})
            setattr(self, f"{name}_", network)

    def _described(self) -> dict[str, Any]:
        """What makes an unfitted twin, and of what format its state is."""
        return {"format": _FORMAT, "n_periods": self.n_periods, **self._settings()}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the model to one .npz of arrays and settings, without pickles."""
        self._need_fit()
        file = Path(path)
        if file.suffix != ".npz":
            raise ValueError(f"a forecaster is kept in an .npz file; got {file}")
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, **self.state())
        return file

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> OutageODE:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: no such file.
            ValueError: a file of something else or of another format.
        """
        file = Path(path)
        if not file.is_file():
            raise FileNotFoundError(
                f"no forecaster at {file}; make one with OutageODE(...).fit(...).save({str(file)!r})"
            )
        try:
            opened = np.load(io.BytesIO(file.read_bytes()), allow_pickle=False)  # NumPy leaves a damaged file open
        except (EOFError, ValueError, OSError, zipfile.BadZipFile) as error:
            raise ValueError(f"{file} holds no forecaster: it cannot be read as arrays ({error})") from error
        with opened as arrays:
            if "settings" not in arrays:
                raise ValueError(f"{file} holds no forecaster: it has {sorted(arrays)[:5]}")
            settings = json.loads(str(arrays["settings"]))
            if settings.pop("format") != _FORMAT:
                raise ValueError(f"{file} is of another format; this version reads {_FORMAT}")
            model = cls(arrays["population"], **settings)
            model.restore(arrays)
        return model


def crps(samples: Tensor, truth: Tensor) -> Tensor:
    """Continuous ranked probability score of S samples `[S, ...]` against `[...]`, in its unbiased form.

    mean |x_i - y| - sum_ij |x_i - x_j| / (2 S (S - 1)); the second sum comes from the sorted samples (Gneiting and
    Raftery 2007).
    """
    s = len(samples)
    ordered = samples.sort(dim=0).values
    weight = 2.0 * torch.arange(s, dtype=samples.dtype) - (s - 1)
    spread = torch.tensordot(weight, ordered, dims=1) / (s * (s - 1))
    return (samples - truth).abs().mean(dim=0) - spread
