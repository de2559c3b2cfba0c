"""Fine-tuning on decisions: it finds what a fit does not, mends what is off, and does not lose."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stormgym.agents.dfl.constraints import DenseConstraints
from stormgym.agents.dfl.learner import FineTuning, fine_tune, standard_error
from stormgym.agents.dfl.problem import regret
from stormgym.agents.dispatch.decision import DispatchProblem, Events, WaveModel, simulated_events
from stormgym.envs.dispatch.profiles import resolve_profile
from stormgym.predictors.outage_ode import OutageODE

PROFILE = resolve_profile("A")
PROBLEM = DispatchProblem(PROFILE)


# the learner, on a problem of another kind


class Shelf:
    """Take one of sixteen things of the least price; the outcomes are the prices."""

    def __init__(self) -> None:
        self.constraints = DenseConstraints(np.ones((1, 16)), [1.0], np.ones(16))

    def curvature(self, rho: float) -> Tensor:
        return torch.full((16,), rho, dtype=torch.float64)

    def prices(self, outcomes: Tensor, smooth: float = 0.0) -> Tensor:
        del smooth
        return outcomes

    def decide(self, outcomes: np.ndarray) -> np.ndarray:
        order = np.argsort(np.argsort(outcomes.mean(axis=0), axis=-1), axis=-1)
        return (order < 1).astype(float)

    def cost(self, plans: np.ndarray, outcomes: np.ndarray) -> np.ndarray:
        result: np.ndarray = (plans * outcomes).sum(axis=-1)
        return result


class Line:
    """Prices linear in one feature, where they are not: the fit that costs least differs from the nearest one."""

    def __init__(self) -> None:
        self.slope = nn.Parameter(torch.zeros(2, dtype=torch.float64))

    def parameters(self) -> list[nn.Parameter]:
        return [self.slope]

    def outcomes(self, data: Events, noise: torch.Generator) -> Tensor:
        del noise
        return (self.slope[0] + self.slope[1] * torch.as_tensor(data.X[..., 0]))[None]

    def fit_loss(self, data: Events, noise: torch.Generator) -> Tensor:
        return ((self.outcomes(data, noise)[0] - torch.as_tensor(data.outcomes)) ** 2).mean()


class ShelfEvents(Events):
    """Outcomes without a day."""

    @property
    def outcomes(self) -> np.ndarray:
        return self.out[:, 1]


def shelves(seed: int, n: int) -> ShelfEvents:
    """Kind 2 is cheaper than kind 0, and kind 1, which no line picks, makes the nearest line rise."""
    x = np.random.default_rng(seed).choice([0.0, 1.0, 2.0], (n, 16), p=[0.5, 0.2, 0.3])
    price = np.array([0.0, 12.0, -1.0])[x.astype(int)]
    return ShelfEvents(x[..., None], np.zeros((n, 16), dtype=np.int64), np.stack([price, price], axis=1))


def test_fine_tune__finds_what_the_nearest_fit_does_not() -> None:
    train, validation, test = (shelves(seed, n) for seed, n in ((0, 200), (1, 100), (2, 300)))
    model = Line()
    model.slope.data = torch.as_tensor(np.polyfit(train.X.ravel(), train.outcomes.ravel(), 1)[::-1].copy())
    assert model.slope[1] > 0
    generator = torch.Generator()

    def mean_regret() -> float:
        with torch.no_grad():
            return float(regret(Shelf(), model.outcomes(test, generator).numpy(), test.outcomes).mean())

    before = mean_regret()
    settings = FineTuning("spo+", fit_weight=0.0, learning_rate=0.1, n_epochs=8)
    tuned = fine_tune(model, Shelf(), train, validation, settings)
    assert tuned.best_epoch > 0
    assert tuned.regret[tuned.best_epoch] < tuned.regret[0]
    assert tuned.relaxed.shape == (8,)
    assert before > 0.9
    assert mean_regret() < 0.2


@pytest.mark.parametrize("loss", ["qp", "spo+"])
def test_fine_tune__mends_a_forecast_that_is_off(odes: dict[str, OutageODE], loss: Any) -> None:
    ode = copy.deepcopy(odes["mse"])
    with torch.no_grad():
        ode.restoration_.head.bias[0] += 0.7  # outages end too soon
    train, validation = simulated_events(PROFILE, 64, 1), simulated_events(PROFILE, 24, 2)
    settings = FineTuning(loss, fit_weight=0.0, learning_rate=2e-2, n_epochs=3)
    tuned = fine_tune(WaveModel(ode), PROBLEM, train, validation, settings)
    assert tuned.regret[tuned.best_epoch] < 0.7 * tuned.regret[0]
    assert tuned.relaxed[-1] < tuned.relaxed[0]


def test_fine_tune__keeps_the_start_where_nothing_beats_it_by_the_margin(odes: dict[str, OutageODE]) -> None:
    ode = copy.deepcopy(odes["mse"])
    before = [parameter.detach().clone() for parameter in ode.parameters()]
    events = simulated_events(PROFILE, 20, 6)
    seen: list[int] = []
    settings = FineTuning(n_epochs=2, margin=1e6)
    tuned = fine_tune(WaveModel(ode), PROBLEM, events, events, settings, on_epoch=lambda epoch, _: seen.append(epoch))
    assert tuned.best_epoch == 0
    assert seen == [0, 1, 2]
    for ours, theirs in zip(ode.parameters(), before, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("kind", ["mse", "crps"])
def test_fine_tune__is_reproducible(odes: dict[str, OutageODE], kind: str) -> None:
    events, results = simulated_events(PROFILE, 12, 7), []
    for _ in range(2):
        ode = copy.deepcopy(odes[kind])
        tuned = fine_tune(WaveModel(ode), PROBLEM, events, events, FineTuning("spo+", n_epochs=1, margin=0.0))
        results.append((tuned.regret, tuned.relaxed))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_fine_tune__bad_settings_are_named() -> None:
    with pytest.raises(ValueError, match=r"loss must be one of none, qp, spo\+, .*; got 'mse'"):
        FineTuning("mse")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rho must be above 0; got 0"):
        FineTuning(rho=0)
    events = simulated_events(PROFILE, 2, 0)
    with pytest.raises(ValueError, match="got 0 and 2"):
        fine_tune(Line(), Shelf(), events.rows(np.arange(0)), events, FineTuning())
    assert standard_error(np.array([1.0])) == np.inf
    assert standard_error(np.array([1.0, 3.0])) == pytest.approx(1.0)
