"""The wave with learnt rates: it learns, its samples are calibrated, its intervals hold, and a file brings it back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from stormgym.predictors.outage_ode import OutageODE, crps
from stormgym.predictors.sir import simulate_sir

POPULATION = np.array([3_200.0, 2_000.0, 1_400.0])
T = 8


def storms(seed: int, n: int) -> dict[str, Any]:
    """Waves whose transmission rate follows one covariate, and whose restoration varies by a fifth by chance."""
    rng = np.random.default_rng(seed)
    X, onset = rng.standard_normal((n, 3, 2)), rng.integers(0, 3, (n, 3))
    beta = 2.0 + 0.5 * np.tanh(X[..., 0])
    rho = 0.7 * np.exp(0.2 * rng.standard_normal((n, 3)))
    out = simulate_sir(beta, rho, POPULATION, n_periods=T, onset=onset, steps_per_period=10)
    return {"X": X, "y": np.moveaxis(out, 0, 1), "onset": onset}


def model(**kwargs: Any) -> OutageODE:
    return OutageODE(POPULATION, T, feature_names=("signal", "noise"), **{"n_steps": 120, **kwargs})


@pytest.fixture(scope="module")
def fitted() -> dict[str, OutageODE]:
    return {
        loss: model(loss=loss).fit(**storms(0, 80)).conformalize(**storms(1, 80))  # type: ignore[arg-type]
        for loss in ("mse", "crps")
    }


@pytest.mark.parametrize("loss", ["mse", "crps"])
def test_fit__learns_the_rate_from_the_covariate(fitted: dict[str, OutageODE], loss: str) -> None:
    one = fitted[loss]
    with torch.no_grad():
        beta, _ = one.transmission_(one.standardized(np.array([[[-1.5, 0.0], [0.0, 0.0], [1.5, 0.0]]])))
        rho, rho_sd = one.restoration_(one.standardized(np.zeros((1, 3, 2))))
    np.testing.assert_allclose(beta[0], 2.0 + 0.5 * np.tanh([-1.5, 0.0, 1.5]), atol=0.12)
    np.testing.assert_allclose(rho[0], 0.7, atol=0.06)
    if loss == "crps":
        np.testing.assert_allclose(rho_sd[0], 0.2, atol=0.06)
    test = storms(2, 100)
    beta = 2.0 + 0.5 * np.tanh(test["X"][..., 0])
    best = simulate_sir(beta, np.full_like(beta, 0.7), POPULATION, n_periods=T, onset=test["onset"])  # chance left out
    error = one.predict(test["X"], test["onset"]) - test["y"]
    assert (error**2).mean() < 1.1 * ((np.moveaxis(best, 0, 1) - test["y"]) ** 2).mean()


def test_sample__ranks_of_the_truth_are_uniform(fitted: dict[str, OutageODE]) -> None:
    """The share of truths below the 20 %, 50 % and 80 % quantiles: 200 storms, about four standard errors."""
    test = storms(3, 200)
    samples = fitted["crps"].sample(test["X"], test["onset"], n_samples=99)[:, :, 4]
    below = (samples < test["y"][:, 4]).mean(axis=0)  # [E, K]
    for level in (0.2, 0.5, 0.8):
        assert abs((below < level).mean() - level) < 0.09


def test_sample__is_the_same_in_any_company(fitted: dict[str, OutageODE]) -> None:
    test = storms(4, 5)
    alone = fitted["crps"].sample(test["X"][3:4], test["onset"][3:4], n_samples=6)
    np.testing.assert_array_equal(fitted["crps"].sample(test["X"], test["onset"], n_samples=6)[:, 3:4], alone)
    with pytest.raises(ValueError, match='fit with loss="crps", not "mse"'):
        fitted["mse"].sample(test["X"], test["onset"])


@pytest.mark.parametrize("loss", ["mse", "crps"])
def test_intervals__hold_the_truth_in_each_period(fitted: dict[str, OutageODE], loss: str) -> None:
    """At 90 %: of 300 storms per period and county the share is within 0.9 +- 0.1 (80 calibration storms vary too)."""
    test = storms(5, 300)
    centre, interval, total = fitted[loss].forecast(test["X"], test["onset"])
    np.testing.assert_array_equal(centre, fitted[loss].predict(test["X"], test["onset"]))
    assert (interval[..., 0] >= 0).all()
    assert (interval[..., 1] <= POPULATION).all()
    inside = (interval[..., 0] <= test["y"]) & (test["y"] <= interval[..., 1])
    assert inside.mean(axis=0)[1:].min() > 0.8
    assert abs(inside[:, 1:].mean() - 0.9) < 0.03
    sums = test["y"].sum(axis=-1)
    together = (total[..., 0] <= sums) & (sums <= total[..., 1])
    assert abs(together[:, 1:].mean() - 0.9) < 0.05
    width, added = total[..., 1] - total[..., 0], (interval[..., 1] - interval[..., 0]).sum(axis=-1)
    assert width[:, 4].mean() < added[:, 4].mean()  # errors of counties offset each other in the sum


def test_fit__is_reproducible_and_a_file_brings_it_back(fitted: dict[str, OutageODE], tmp_path: Path) -> None:
    test, other = storms(6, 7), storms(0, 30)
    state = torch.random.get_rng_state()
    twice = [model(n_steps=5, loss="crps", random_state=3).fit(**other) for _ in range(2)]
    assert torch.equal(state, torch.random.get_rng_state())
    np.testing.assert_array_equal(twice[0].losses_, twice[1].losses_)
    for loss, one in fitted.items():
        again = OutageODE.load(one.save(tmp_path / f"{loss}.npz"))
        for ours, theirs in zip(
            one.forecast(test["X"], test["onset"]), again.forecast(test["X"], test["onset"]), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
        assert again.feature_names == ("signal", "noise")


def test_wave__gradient_agrees_with_finite_differences(fitted: dict[str, OutageODE]) -> None:
    one, test = fitted["mse"], storms(7, 4)
    x, onset = one.standardized(test["X"]), torch.as_tensor(test["onset"])
    weight = one.transmission_.head.weight
    (gradient,) = torch.autograd.grad(one.wave(x, onset).sum(), weight)
    for j in (0, 5):
        values = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                weight[0, j] += step
                values.append(one.wave(x, onset).sum().item())
                weight[0, j] -= step
        assert gradient[0, j].item() == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4)


def test_moved__has_the_same_rates_in_other_counties(fitted: dict[str, OutageODE]) -> None:
    test = storms(9, 3)
    other = fitted["mse"].moved([100.0, 200.0], 5)
    wave = other.predict(test["X"][:, :2], test["onset"][:, :2])
    expected = fitted["mse"].predict(test["X"], test["onset"])[:, :6, :2] / POPULATION[:2] * [100.0, 200.0]
    np.testing.assert_allclose(wave, expected, rtol=1e-9)
    with pytest.raises(NotFittedError, match=r"needs OutageODE\.conformalize"):
        other.predict_interval(test["X"][:, :2])


def test_crps__is_the_formula() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((5, 3)), rng.standard_normal(3)
    spread = np.abs(x[:, None] - x[None]).sum(axis=(0, 1)) / (2 * 5 * 4)
    expected = np.abs(x - y).mean(axis=0) - spread
    np.testing.assert_allclose(crps(torch.as_tensor(x), torch.as_tensor(y)), expected)


def test_bad_input__is_named(fitted: dict[str, OutageODE], tmp_path: Path) -> None:
    good = storms(8, 4)
    with pytest.raises(ValueError, match=r"X must be \[E, 3 counties, 2 covariates\]; got shape \(4, 3, 1\)"):
        model().fit(good["X"][..., :1], good["y"])
    with pytest.raises(ValueError, match=r"y must be \[E, T \+ 1, K\] = \(4, 9, 3\); got shape \(4, 8, 3\)"):
        model().fit(good["X"], good["y"][:, 1:])
    with pytest.raises(ValueError, match="X must be finite; 1 values are not"):
        model().fit(np.where(np.arange(24).reshape(4, 3, 2) == 3, np.nan, good["X"]), good["y"])
    with pytest.raises(ValueError, match="onset must be whole periods of at least 0"):
        model().fit(**{**good, "onset": -1})
    with pytest.raises(ValueError, match="loss must be mse or crps; got 'mae'"):
        model(loss="mae")
    with pytest.raises(NotFittedError, match=r"call fit\(X, y, onset\) first"):
        model().predict(good["X"])
    with pytest.raises(ValueError, match=r"4 storms are too few for intervals of confidence_level 0\.9"):
        fitted["mse"].conformalize(**good)
    with pytest.raises(FileNotFoundError, match="no forecaster at"):
        OutageODE.load(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(2))
    with pytest.raises(ValueError, match="holds no forecaster"):
        OutageODE.load(tmp_path / "other.npz")
    with pytest.raises(ValueError, match=r"kept in an \.npz file"):
        fitted["mse"].save(tmp_path / "model.pt")
