"""Input checks shared by the predictors: each error says what was wrong, the rule, the value and the cure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stormgym.predictors.arrays import Floats


def check_confidence_level(confidence_level: Any, name: str = "confidence_level") -> float:
    """Return the level as a float; raise `ValueError` unless it lies strictly between 0 and 1."""
    try:
        level = float(confidence_level)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name} must be a number in (0, 1); got {confidence_level!r}") from None
    if not 0.0 < level < 1.0:
        hint = f" Did you mean {level / 100:g}?" if 1.0 < level < 100.0 else ""
        raise ValueError(f"{name} must be in (0, 1); got {level:g}.{hint}")
    return level


def _finite(name: str, values: Floats) -> None:
    bad = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{name} must be finite; {int(bad.sum())} of {len(values)} rows hold NaN or infinity "
            f"(first: row {int(bad.argmax())}). Drop or impute these rows first."
        )


def check_features(X: ArrayLike, n_features: int | None = None) -> Floats:
    """Return `X` as float64 `[M, F]`; raise `ValueError` on a wrong shape, no rows, NaN or infinity."""
    features = np.asarray(X, dtype=np.float64)
    if features.ndim != 2:
        raise ValueError(
            f"X must have two axes, records and features [M, F]; got shape {features.shape}. "
            "Use X.reshape(-1, 1) for a single feature."
        )
    if len(features) == 0:
        raise ValueError("X must have at least one row; got none.")
    if n_features is not None and features.shape[1] != n_features:
        raise ValueError(
            f"X must have the {n_features} features seen in fit; got {features.shape[1]}. "
            "Pass the same columns in the same order."
        )
    _finite("X", features)
    return features


def check_target(y: ArrayLike, n_records: int) -> Floats:
    """Return `y` as float64 `[M]`; raise `ValueError` on a wrong shape, NaN or infinity."""
    target = np.asarray(y, dtype=np.float64)
    if target.ndim != 1:
        raise ValueError(f"y must have one axis [M]; got shape {target.shape}. Use y.ravel().")
    if len(target) != n_records:
        raise ValueError(f"X and y must have the same length; got {n_records} rows of X and {len(target)} of y.")
    _finite("y", target)
    return target


def check_groups(groups: ArrayLike, n_records: int) -> NDArray[Any]:
    """Return labels `[M]`, all numbers or all strings; raise `ValueError` on a wrong shape, a missing label or both."""
    labels = _as_given(groups)
    if labels.ndim != 1:
        raise ValueError(f"groups must have one axis [M]; got shape {labels.shape}.")
    if len(labels) != n_records:
        raise ValueError(f"groups must have one label a record; got {len(labels)} labels for {n_records} records.")
    missing = np.array([v is None or v != v for v in labels.tolist()], dtype=bool)
    if missing.any():
        raise ValueError(
            f"groups must not hold missing labels; {int(missing.sum())} of {n_records} are missing "
            f"(first: row {int(missing.argmax())}). Give these records a group of their own or drop them."
        )
    if labels.dtype == object:
        text = np.array([isinstance(v, str) for v in labels.tolist()], dtype=bool)
        if text.any() and not text.all():
            one, other = labels[text.argmin()], labels[text.argmax()]
            raise ValueError(
                f"groups must all be numbers or all be strings; got {one!r} (row {int(text.argmin())}) and {other!r} "
                f"(row {int(text.argmax())}). Convert them to one type."
            )
    return labels


def _as_given(groups: ArrayLike) -> NDArray[Any]:
    """Labels as an array that keeps their types: NumPy would make one text of 1 and '1', and 'nan' of NaN."""
    labels = np.asarray(groups)
    if labels.dtype.kind not in "US" or isinstance(groups, np.ndarray):
        return labels
    own: NDArray[Any] = np.asarray(groups, dtype=object)
    return labels if all(isinstance(v, str) for v in own.ravel().tolist()) else own
