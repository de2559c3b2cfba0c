"""Energies: known values, gradients against finite differences, normalisers among themselves, what they aim at."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.decisions.toy import Hour, Optimum
from stormgym.agents.decisions.power_scheduling import PowerScheduling
from stormgym.agents.dfl.decision import Gaussian
from stormgym.agents.dfl.losses.energy import (
    EnergyLoss,
    drawn_cost,
    importance,
    joint_density,
    langevin,
    log_normaliser,
    mixture,
    posterior_energy,
    quadrature,
)
from stormgym.envs.decisions.load_data import synthetic_load
from stormgym.envs.decisions.power_scheduling import PowerSchedulingProblem

DECISION = PowerScheduling(PowerSchedulingProblem(synthetic_load(40)))
NOISE = torch.Generator().manual_seed(0)


def instance(shared_data: Path, number: int) -> dict[str, Any]:
    """Values of the reference, as tensors of doubles."""
    known = json.loads((shared_data / "instances" / "dfl" / f"ebm_{number}.json").read_text())
    return {k: torch.as_tensor(np.asarray(v)) if isinstance(v, list) else v for k, v in known.items()}


def some_forecast(n: int = 5, seed: int = 0) -> tuple[Gaussian, Tensor]:
    """Forecasts of n days, and their loads."""
    rng = np.random.default_rng(seed)
    mean, sd = rng.normal(1.6, 0.3, (n, 24)), rng.uniform(0.03, 0.2, (n, 24))
    return Gaussian(torch.as_tensor(mean), torch.as_tensor(sd)), torch.as_tensor(mean + sd * rng.normal(size=(n, 24)))


@pytest.mark.parametrize("number", [1, 2])
def test_snis__loss_weights_and_gradients_are_those_of_the_reference(shared_data: Path, number: int) -> None:
    known = instance(shared_data, number)
    mean, sd = known["mu"][None].requires_grad_(), known["sigma"][None].requires_grad_()
    forecast, best, plans = Gaussian(mean, sd), known["a_star"][None], known["A"][:, None]
    spread = torch.ones(3, dtype=torch.float64)
    log_pi = joint_density(plans, best, spread, tuple(known["proposal_sd"].tolist()))
    energy = DECISION.energy(forecast, plans)
    log_z, weights = importance(energy, log_pi)
    loss = DECISION.energy(forecast, best) + log_z
    loss.sum().backward()
    torch.testing.assert_close(energy[:, 0].detach(), known["energy_at_A"], rtol=0, atol=1e-8)
    assert float(loss.detach()) == pytest.approx(known["nll_snis"], abs=1e-8)
    torch.testing.assert_close(weights[:, 0].detach(), known["weights"], rtol=0, atol=1e-8)
    assert float(1.0 / weights.detach().square().sum()) == pytest.approx(known["ess"], abs=1e-8)
    assert mean.grad is not None
    assert sd.grad is not None
    for found, name in ((mean.grad[0], "grad_mu"), (sd.grad[0], "grad_sigma")):
        torch.testing.assert_close(found, known[name], rtol=0, atol=1e-5 * float(known[name].abs().max()))


@pytest.mark.parametrize("number", [1, 2])
def test_exact__log_z_of_every_coordinate_is_that_of_the_reference(shared_data: Path, number: int) -> None:
    known = instance(shared_data, number)
    forecast = Gaussian(known["mu"][None], known["sigma"][None])
    for n_nodes, tolerance in ((24, 1e-5), (64, 1e-8)):
        nodes, log_weights = quadrature(DECISION, forecast, 1.0, n_nodes)
        log_z = torch.logsumexp(log_weights - DECISION.coordinate_energy(forecast, nodes), dim=0)[0]
        torch.testing.assert_close(log_z, known["log_Z_exact_per_coordinate"], rtol=0, atol=tolerance)
    loss = DECISION.energy(forecast, known["a_star"][None]) + log_normaliser(DECISION, forecast, 1.0)
    assert float(loss) == pytest.approx(known["nll_exact"], abs=1e-5)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 30.0])
@pytest.mark.parametrize("samples", [False, True], ids=["gaussian", "samples"])
def test_exact__log_z_is_that_of_a_dense_grid(temperature: float, samples: bool) -> None:
    forecast: Any = some_forecast(2)[0]
    if samples:
        forecast = forecast.sample(30, torch.Generator().manual_seed(1))
    end = 60.0 * math.sqrt(
        temperature / 30.0
    )  # where the squares alone are some 30 temperatures above the least energy
    grid = torch.linspace(-end, end, 200_001, dtype=torch.float64)
    for hour in (0, 7):
        one = Gaussian(forecast.mean[:1, hour:][:, :1], forecast.sd[:1, hour:][:, :1]) if not samples else None
        part: Any = one if one is not None else forecast[:, :1, hour : hour + 1]
        energy = torch.cat([DECISION.coordinate_energy(part, g[:, None, None])[:, 0, 0] for g in grid.split(100_000)])
        expected = torch.logsumexp(-energy / temperature, 0) + math.log(float(grid[1] - grid[0]))
        found = log_normaliser(DECISION, part, temperature, n_nodes=64)
        assert float(found) == pytest.approx(float(expected), abs=3e-4 if samples else 1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"kl_weight": 1.0, "mle_weight": 0.0},
        {"kl_weight": 1.0, "temperature": 30.0},
        {"mle_weight": 0.0, "kl_weight": 0.0, "cost_weight": 1.0, "temperature": 0.1},
        {"normaliser": "snis", "kl_weight": 0.5},
        {"normaliser": "snis-coordinate", "kl_weight": 0.5},
    ],
    ids=str,
)
def test_loss__gradients_are_finite_differences(settings: dict[str, Any]) -> None:
    forecast, loads = some_forecast(3)
    loss = EnergyLoss(**{"n_proposals": 20, **settings})
    targets = loss.targets(DECISION, loads)

    def value(mean: Tensor, sd: Tensor) -> Tensor:
        noise = torch.Generator().manual_seed(3)  # the same proposals at every point
        return loss(DECISION, Gaussian(mean, sd), loads, targets, noise).value.sum()

    mean, sd = (part.clone().requires_grad_() for part in forecast)
    value(mean, sd).backward()
    rng = np.random.default_rng(0)
    for part, grad in ((0, mean.grad), (1, sd.grad)):
        assert grad is not None
        direction = torch.as_tensor(rng.normal(size=(3, 24)))
        ends = []
        for sign in (1.0, -1.0):
            moved = [p.detach().clone() for p in (mean, sd)]
            moved[part] += sign * 1e-4 * direction
            ends.append(value(*moved))
        numeric = float(ends[0] - ends[1]) / 2e-4
        assert float((grad * direction).sum()) == pytest.approx(numeric, rel=5e-3, abs=1e-3)


def test_snis__agrees_with_the_exact_normaliser_where_samples_are_many_and_coordinates_few() -> None:
    forecast, loads = some_forecast(1)
    few = Gaussian(forecast.mean[:, :1], forecast.sd[:, :1])
    best = loads[:, :1]
    plans, log_pi = mixture(best, torch.ones(1, dtype=torch.float64), (0.5, 0.2), 200_000, NOISE)
    log_z, weights = importance(DECISION.coordinate_energy(few, plans), log_pi)
    assert float(log_z) == pytest.approx(float(log_normaliser(DECISION, few, 1.0)), abs=0.02)
    assert float(1.0 / weights.square().sum(0)) > 1_000


def test_snis__effective_samples_collapse_in_24_hours_and_not_hour_by_hour() -> None:
    forecast, loads = some_forecast(20)
    sizes = {}
    for normaliser in ("snis", "snis-coordinate"):
        loss = EnergyLoss(normaliser=normaliser)
        found = loss(DECISION, forecast, loads, loss.targets(DECISION, loads), torch.Generator().manual_seed(0))
        assert found.ess is not None
        sizes[normaliser] = float(found.ess.mean())
    assert sizes["snis"] < 4.0 < 10.0 < sizes["snis-coordinate"]


def test_langevin__samples_have_the_spread_of_the_density() -> None:
    def energy(plans: Tensor) -> Tensor:
        return 0.5 * (plans / 2.0).square().sum(-1)

    start = torch.zeros(4_000, 2, dtype=torch.float64)
    step = torch.full((2,), 1.0, dtype=torch.float64)
    sample = langevin(energy, start, 1, step, 1.0, torch.Generator().manual_seed(0))
    assert float(sample.std()) == pytest.approx(2.0, rel=0.1)


def test_langevin__loss_lowers_the_energy_of_the_best_plans_against_others() -> None:
    forecast, loads = some_forecast(6)
    loss = EnergyLoss(normaliser="langevin", n_proposals=4, kl_weight=0.1)
    mean, sd = (part.clone().requires_grad_() for part in forecast)
    targets = loss.targets(DECISION, loads)
    loss(DECISION, Gaussian(mean, sd), loads, targets, torch.Generator().manual_seed(0)).value.mean().backward()
    assert mean.grad is not None
    assert bool(mean.grad.isfinite().all())
    assert float(mean.grad.abs().max()) > 0


# ------------------------------------------------------------------------------------------- what the losses aim at


@pytest.fixture(scope="module")
def mle() -> Optimum:
    """Where l_MLE leads in an hour of spread 0.05."""
    return Hour(0.05).minimiser(1.0, 0.0)


@pytest.mark.slow
def test_mle__its_minimiser_decides_on_the_wrong_side_while_the_kl_loss_is_nearly_right(mle: Optimum) -> None:
    hour = Hour(0.05)
    best, kl = hour.best(), hour.minimiser(0.0, 1.0)
    assert best.decision > 2.0 * hour.s0
    assert mle.decision < 0.0
    assert mle.cost > 20.0 * best.cost
    assert kl.cost < 1.02 * best.cost


def test_mle__population_loss_is_that_of_a_million_loads_and_a_zero_spread_is_no_minimum(mle: Optimum) -> None:
    hour = Hour(0.05)
    load = torch.as_tensor(np.random.default_rng(0).normal(0.0, hour.s0, (1_000_000, 1)))
    values = []
    for mu, sigma in ((mle.mu, mle.sigma), (-2.26 * hour.s0, 1e-3 * hour.s0)):
        forecast = hour.forecast(mu, sigma)
        energy = hour.decision.energy(forecast, load).mean() + log_normaliser(hour.decision, forecast, 1.0)
        values.append(float(energy))
        assert float(energy) == pytest.approx(hour.loss(mu, sigma, 1.0, 0.0), abs=1e-3)
    assert values[0] < values[1] - 1e-3


def test_mle__is_sound_where_costs_are_symmetric() -> None:
    hour = Hour(0.2, gamma_under=5.0, gamma_over=5.0)
    assert hour.minimiser(1.0, 0.0).cost < 1.01 * hour.best().cost


def test_drawn_cost__falls_to_the_plans_own_as_the_temperature_falls() -> None:
    forecast, loads = some_forecast(4)
    plan = torch.as_tensor(DECISION.coordinate_mode(forecast))  # q knows no ramp
    own = DECISION.cost(plan, loads)
    far, near = (drawn_cost(DECISION, forecast, loads, temperature) for temperature in (1.0, 1e-4))
    torch.testing.assert_close(near, own, rtol=2e-2, atol=0.02)
    assert float((far - own).abs().mean()) > float((near - own).abs().mean())


def test_posterior__of_one_load_is_the_mean_energy_over_its_own_density() -> None:
    forecast, loads = some_forecast(1)
    one, load = Gaussian(forecast.mean[:, :1], forecast.sd[:, :1]), loads[:, :1]
    grid = torch.linspace(-12.0, 12.0, 400_001, dtype=torch.float64)[:, None, None]
    weight = torch.softmax(-DECISION.coordinate_energy(load[None], grid)[:, 0, 0], dim=0)
    expected = float((weight * DECISION.coordinate_energy(one, grid)[:, 0, 0]).sum())
    assert float(posterior_energy(DECISION, one, load, 1.0)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, "temperature must be above 0 and finite, in units of cost; got 0.0"),
        ({"normaliser": "guess"}, "normaliser must be one of exact, snis, snis-coordinate, langevin; got 'guess'"),
        ({"mle_weight": 0.0, "kl_weight": 0.0}, "not all 0"),
        ({"cost_weight": 1.0, "normaliser": "snis"}, "cost_weight needs normaliser exact"),
        ({"n_proposals": 0}, "n_proposals must be at least 1"),
        ({"proposal_sd": (0.1, 0.0)}, "every proposal_sd above 0"),
    ],
)
def test_settings__that_make_no_sense_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EnergyLoss(**settings)
