"""The models under the intervals: the default forest, and quantiles or a mean from any model."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from stormgym.predictors.arrays import Floats


def default_forest(random_state: int | None = None, n_estimators: int = 100) -> Any:
    """Return the default model, an unfitted `quantile_forest.RandomForestQuantileRegressor`.

    Leaves of at least 12 records, all kept (`max_samples_leaf=None`), and 60 % of the features tried a split:
    the flat optimum of out-of-fold squared error and pinball loss on a log of 2,000 repairs. It runs on one
    thread.
    """
    from quantile_forest import RandomForestQuantileRegressor

    return RandomForestQuantileRegressor(
        n_estimators=n_estimators,
        min_samples_leaf=12,
        max_features=0.6,
        max_samples_leaf=None,
        n_jobs=1,
        random_state=random_state,
    )


def prepare(estimator: Any, random_state: Any) -> Any:
    """Return an unfitted clone of `estimator` (None: default forest), seeded if `random_state` is given."""
    from sklearn.base import clone
    from sklearn.utils import check_random_state

    model = default_forest() if estimator is None else clone(estimator)
    if random_state is not None:
        seed = random_state
        if not isinstance(seed, (int, np.integer)):
            seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
        names = [name for name in model.get_params() if name == "random_state" or name.endswith("__random_state")]
        if names:
            model.set_params(**dict.fromkeys(names, int(seed)))
    return model


def predicts_quantiles(model: Any) -> bool:
    """Return True when `predict` takes `quantiles`, as quantile-forest's do (or a pipeline's end)."""
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    predict = getattr(last, "predict", None)
    return predict is not None and "quantiles" in inspect.signature(predict).parameters


def level_parameter(model: Any) -> str:
    """Return the name of the parameter that sets the quantile a model fits.

    `quantile` (QuantileRegressor, HistGradientBoostingRegressor) or `alpha` (GradientBoostingRegressor,
    LightGBM), also nested in a pipeline. Raises `TypeError` when there is none or the loss is not the
    quantile loss.
    """
    params = model.get_params()
    for name in sorted(params, key=lambda n: n.count("__")):
        prefix, _, last = name.rpartition("__")
        join = f"{prefix}__" if prefix else ""
        loss = params.get(f"{join}loss", params.get(f"{join}objective"))
        if (last == "quantile" and loss in (None, "quantile")) or (last == "alpha" and loss == "quantile"):
            return name
    raise TypeError(
        f"{type(model).__name__} cannot fit quantiles: its predict takes no `quantiles`, and it has no "
        "parameter `quantile` or `alpha` under a quantile loss. Use a quantile_forest model, "
        'GradientBoostingRegressor(loss="quantile"), HistGradientBoostingRegressor(loss="quantile") or '
        "QuantileRegressor()."
    )


class QuantileModel:
    """Quantiles and a centre from one fitted model that gives them all, or from one clone a level.

    Args:
        model: unfitted model; fitted in place (one that predicts `quantiles`) or cloned once a level.
        levels: quantile levels in (0, 1), length Q.
    """

    def __init__(self, model: Any, levels: Sequence[float]) -> None:
        self.levels = tuple(float(level) for level in levels)
        self.joint = predicts_quantiles(model)
        self._parameter = None if self.joint else level_parameter(model)
        self._template = model
        self.models: tuple[Any, ...] = ()

    def fit(self, X: Floats, y: Floats) -> QuantileModel:
        """Fit on features `X` `[M, F]` and target `y` `[M]`; return self."""
        from sklearn.base import clone

        if self._parameter is None:
            self.models = (self._template.fit(X, y),)
        else:
            # One clone a level, and one at the median for the centre.
            self.models = tuple(
                clone(self._template).set_params(**{self._parameter: level}).fit(X, y) for level in (*self.levels, 0.5)
            )
        return self

    def quantiles(self, X: Floats) -> Floats:
        """Return the quantiles `[M, Q]`, sorted along Q (quantiles fitted apart can cross)."""
        if self.joint:
            q = np.asarray(self.models[0].predict(X, quantiles=list(self.levels)), dtype=np.float64)
        else:
            q = np.column_stack([model.predict(X) for model in self.models[:-1]])
        return np.sort(q.reshape(len(X), len(self.levels)), axis=1)

    def centre(self, X: Floats) -> Floats:
        """Return the mean `[M]` (a joint model) or the median (clones, which have no mean)."""
        return predict_mean(self.models[-1], X)


def predict_mean(model: Any, X: Floats) -> Floats:
    """Return a fitted model's point forecast `[M]`: a quantile forest's mean, else what `predict` gives."""
    out = model.predict(X, quantiles="mean") if predicts_quantiles(model) else model.predict(X)
    return np.asarray(out, dtype=np.float64).reshape(len(X))
