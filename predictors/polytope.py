"""Sets of storms from a fitted forecaster, whatever fitted it: forecasts, sets, and how often sets hold.

`ConformalPolytope` fits and calibrates; `FrozenPolytope` is what it leaves behind: plain arrays that give the same sets
to the bit and need nothing but NumPy, so that they can be kept in a file.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stormgym.predictors.arrays import Floats
from stormgym.predictors.checks import check_features
from stormgym.predictors.uncertainty_set import UncertaintySet

SETTINGS = ("method", "calibration", "confidence_level", "total_confidence_level", "lower_bound")
"""Arguments of `ConformalPolytope` on which its sets and warnings depend once it is fitted."""
NUMBERS = (
    "n_regions_in_",
    "n_features_in_",
    "n_calibration_",
    "mean_",
    "sd_",
    "total_sd_",
    "scale_floor_",
    "total_share_",
    "widths_",
    "total_width_",
)
"""What fitting and calibration decide beside the networks; with `empirical` and `cp` not all of them."""
SOURCES = (
    "arrays",
    "checks",
    "conformal",
    "coverage",
    "extras",
    "polytope",
    "quantile_models",
    "quick_network",
    "sources",
    "uncertainty",
    "uncertainty_set",
)
"""Modules of this package on which the sets of a `ConformalPolytope` depend."""


@dataclass(frozen=True)
class SetCoverage:
    """How often sets hold the storms that came, each share with its exact 95 % interval."""

    n_storms: int
    region: Floats
    """`[K]` share of storms in which each region keeps its bounds."""
    marginal: float
    """Mean of `region`: what a local level promises."""
    box: float
    """Share of storms in which ALL regions keep their bounds."""
    box_interval: tuple[float, float]
    total: float
    """Share of storms whose sum keeps its bounds."""
    total_interval: tuple[float, float]
    joint: float
    """Share of storms in the set: box and sum."""
    joint_interval: tuple[float, float]
    mean_width: float
    """Mean of T_i - L_i; infinite where a bound is."""
    mean_total_width: float


class SetForecaster:
    """What gives a set for each storm; a subclass has the attributes of `NUMBERS` and `SETTINGS` and two forecasts."""

    method: Any
    calibration: Any
    confidence_level: float
    total_confidence_level: float
    lower_bound: float
    n_regions_in_: int
    n_features_in_: int
    n_calibration_: int
    mean_: Floats
    sd_: Floats
    total_sd_: float
    scale_floor_: float
    total_share_: float
    widths_: Floats
    total_width_: float

    def predict(self, X: ArrayLike) -> Floats:
        """Forecast outages `[E, K]`, at least `lower_bound`."""
        self._need_fit()
        return self._forecast(self._checked(X, None, (self.n_regions_in_, self.n_features_in_))[0])[0]

    def predict_set(self, X: ArrayLike) -> UncertaintySet:
        """The set of each storm: L, T `[E, K]` and L_0, T_0 `[E]`; the forecast is in it.

        Raises:
            NotFittedError: before `fit` or `conformalize`.
            ValueError: wrong shapes or NaN.
        """
        return self.predict_with_set(X)[1]

    def predict_with_set(self, X: ArrayLike) -> tuple[Floats, UncertaintySet]:
        """`predict` and `predict_set` in one pass of the models."""
        self._need_widths()
        features = self._checked(X, None, (self.n_regions_in_, self.n_features_in_))[0]
        centre, scale, total_scale = self._forecast(features)
        total, floor = centre.sum(axis=1), self.lower_bound
        half, total_half = self.widths_ * scale, self.total_width_ * total_scale
        sets = UncertaintySet(
            lower=np.maximum(centre - half, floor),
            upper=centre + half,
            total_lower=np.maximum(total - total_half, floor * self.n_regions_in_),
            total_upper=total + total_half,
        )
        return centre, sets

    def coverage(self, X: ArrayLike, y: ArrayLike) -> SetCoverage:
        """How often the sets hold storms `y` `[E, K]` that neither `fit` nor `conformalize` has seen."""
        from stormgym.predictors.coverage import binomial_interval

        sets = self.predict_set(X)
        outages = self._checked(X, y, (self.n_regions_in_, self.n_features_in_))[1]
        local, total = sets.in_box(outages), sets.in_total(outages)
        box, n = local.all(axis=1), len(outages)
        both = box & total
        return SetCoverage(
            n_storms=n,
            region=local.mean(axis=0),
            marginal=float(local.mean()),
            box=float(box.mean()),
            box_interval=binomial_interval(int(box.sum()), n),
            total=float(total.mean()),
            total_interval=binomial_interval(int(total.sum()), n),
            joint=float(both.mean()),
            joint_interval=binomial_interval(int(both.sum()), n),
            mean_width=float((sets.upper - sets.lower).mean()),
            mean_total_width=float((sets.total_upper - sets.total_lower).mean()),
        )

    def warn_infinite(self, stacklevel: int = 2) -> None:
        """Warn where calibration storms were too few for a level, so that a width is infinite.

        Warns:
            UserWarning: says whose bounds they are and how many storms it needs.
        """
        marginal = self.calibration == "marginal"
        for what, finite, aimed in (
            ("regions'", np.isfinite(self.widths_).all(), self.confidence_level),
            (
                "sum's",
                math.isfinite(self.total_width_),
                self.total_confidence_level if marginal else self.confidence_level,
            ),
        ):
            if not finite:
                from stormgym.predictors.conformal import records_needed

                warnings.warn(
                    f"the {what} bounds are infinite: {self.n_calibration_} calibration storms, and a confidence level "
                    f"of {aimed:g} needs at least {records_needed(aimed)}. Add storms or lower the level.",
                    UserWarning,
                    stacklevel=stacklevel,
                )

    def _forecast(self, features: Floats) -> tuple[Floats, Floats, Floats]:
        """Centre and scale `[E, K]`, and the scale of the sum `[E]`."""
        shape = features.shape[:2]
        if self.method == "empirical":
            centre = np.maximum(np.broadcast_to(self.mean_, shape), self.lower_bound)
            return centre, np.broadcast_to(self.sd_, shape), np.full(len(features), self.total_sd_)
        rows = rows_of(features)
        # Raised before scoring too: the score of a storm is that of the forecast which users get.
        centre = np.maximum(self._centre_of(rows).reshape(shape), self.lower_bound)
        if self.method == "cp":
            return centre, np.ones(shape), np.ones(len(features))
        scale = np.maximum(self._scale_of(rows).reshape(shape), self.scale_floor_)
        return centre, scale, self.total_share_ * scale.sum(axis=1)

    def _checked(self, X: ArrayLike, y: ArrayLike | None, size: tuple[int, int] | None) -> tuple[Floats, Floats]:
        features = np.asarray(X, dtype=np.float64)
        if features.ndim != 3 or not features.size:
            raise ValueError(f"X must be [E storms, K regions, F features], not empty; got shape {features.shape}")
        if size is not None and features.shape[1:] != size:
            raise ValueError(
                f"X must have the {size[0]} regions and {size[1]} features of fit; got {features.shape[1:]}"
            )
        check_features(rows_of(features))
        if y is None:
            return features, np.empty(0)
        outages = np.asarray(y, dtype=np.float64)
        if outages.shape != features.shape[:2]:
            raise ValueError(f"y must be [E, K] = {features.shape[:2]}; got shape {outages.shape}")
        if not np.isfinite(outages).all():
            at = np.argwhere(~np.isfinite(outages))[0].tolist()
            raise ValueError(f"y must be finite; storm {at[0]}, region {at[1]} is {outages[tuple(at)]}")
        return features, outages

    def _centre_of(self, rows: Floats) -> Floats:
        """Forecast `[M]` of pairs of storm and region `[M, F]`."""
        raise NotImplementedError

    def _scale_of(self, rows: Floats) -> Floats:
        """Forecast of the absolute residual `[M]` of pairs of storm and region `[M, F]`."""
        raise NotImplementedError

    def _need_fit(self) -> None:
        if not hasattr(self, "n_regions_in_"):
            raise _not_fitted(f"this {type(self).__name__} is not fitted; call fit(X, y) first")

    def _need_widths(self) -> None:
        self._need_fit()
        if not hasattr(self, "widths_"):
            raise _not_fitted(
                f"this {type(self).__name__} is fitted but not conformalized; call conformalize(X, y) first"
            )


def rows_of(features: Floats) -> Floats:
    """Pairs of storm and region as records, `[E * K, F]`."""
    return features.reshape(-1, features.shape[-1])


def _not_fitted(message: str) -> Exception:
    from sklearn.exceptions import NotFittedError

    return NotFittedError(message)


class FrozenNetwork(NamedTuple):
    """A fitted `default_network` as plain arrays: standardise, layers of ReLU, undo the target's standardisation."""

    mean: Floats  # [F]
    scale: Floats  # [F]
    weights: tuple[Floats, ...]  # [F, H1], [H1, H2], ..., [Hn, 1]
    biases: tuple[Floats, ...]  # [H1], [H2], ..., [1]
    target_mean: Floats  # [1]
    target_scale: Floats  # [1]

    def predict(self, rows: Floats) -> Floats:
        """Forecast `[M]` of records `[M, F]`; the same operations in the same order as scikit-learn's."""
        layer = (rows - self.mean) / self.scale
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            layer = np.maximum(layer @ weight + bias, 0.0)
        forecast: Floats = ((layer @ self.weights[-1] + self.biases[-1]) * self.target_scale + self.target_mean)[:, 0]
        return forecast


def frozen_network(model: Any) -> FrozenNetwork:
    """The arrays of a fitted `default_network`.

    Raises:
        TypeError: another model.
    """
    try:
        scaler, network = (model.regressor_.steps[i][1] for i in (0, 1))
        target = model.transformer_
        fitting = network.activation == "relu" and network.out_activation_ == "identity" and network.n_outputs_ == 1
        parts = (scaler.mean_, scaler.scale_, network.coefs_, network.intercepts_, target.mean_, target.scale_)
    except (AttributeError, IndexError, TypeError):
        fitting = False
    if not fitting:
        raise TypeError(f"only a fitted default_network can be frozen; got {model!r}")
    mean, scale, weights, biases, target_mean, target_scale = parts
    return FrozenNetwork(mean, scale, tuple(weights), tuple(biases), target_mean, target_scale)


class FrozenPolytope(SetForecaster):
    """A calibrated `ConformalPolytope` without its fit: `predict`, `predict_set` and `coverage` as of the original.

    Args:
        numbers: what fitting decided, by the names of `NUMBERS`.
        networks: those of the centre and of the scale, as far as the method has them.
        **settings: by the names of `SETTINGS`.
    """

    def __init__(self, *, numbers: Mapping[str, Any], networks: Mapping[str, FrozenNetwork], **settings: Any) -> None:
        self.networks = dict(networks)
        for name, value in (*settings.items(), *numbers.items()):
            setattr(self, name, value)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it by name: `from_arrays` makes the same."""
        found = {name: np.asarray(getattr(self, name)) for name in (*SETTINGS, *NUMBERS) if hasattr(self, name)}
        for which, network in self.networks.items():
            for part, value in network._asdict().items():
                layers = value if isinstance(value, tuple) else (value,)
                found |= {f"{which}.{part}.{i}": np.asarray(layer) for i, layer in enumerate(layers)}
        return found

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Become what `arrays` says.

        Raises:
            KeyError: a part is missing.
        """
        layers: dict[str, dict[str, list[Floats]]] = {}
        for name in sorted(name for name in arrays if name.count(".") == 2):
            which, part, _ = name.split(".")
            layers.setdefault(which, {}).setdefault(part, []).append(arrays[name])
        return cls(
            numbers={name: _plain(arrays[name]) for name in NUMBERS if name in arrays},
            networks={
                which: FrozenNetwork(
                    **{  # type: ignore[arg-type]
                        part: tuple(values) if part in ("weights", "biases") else values[0]
                        for part, values in parts.items()
                    }
                )
                for which, parts in layers.items()
            },
            **{name: _plain(arrays[name]) for name in SETTINGS},
        )

    def _centre_of(self, rows: Floats) -> Floats:
        return self.networks["centre"].predict(rows)

    def _scale_of(self, rows: Floats) -> Floats:
        return self.networks["scale"].predict(rows)


def _plain(array: NDArray[Any]) -> Any:
    """A number or a text as such, arrays as they are."""
    return array.item() if array.ndim == 0 else array
