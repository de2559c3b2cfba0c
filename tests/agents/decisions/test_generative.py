"""Generators tuned on their plans: from a copy, at a risk, with a proxy or without; a radius that is validated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stormgym.agents.decisions import linear
from stormgym.agents.decisions.generative import (
    CONTRASTIVE,
    FROM_SCRATCH,
    GEN_DFL,
    RADII,
    SPO_PLUS,
    ball_radius,
    contrastive_loss,
    from_scratch,
    generator_of,
    samples_of,
    tune,
    tuned_generator,
)
from stormgym.agents.decisions.linear import LinearTask
from stormgym.agents.dfl import recall
from stormgym.envs.decisions.fractional_knapsack import FractionalKnapsackProblem
from stormgym.envs.decisions.shortest_path import ShortestPathProblem
from stormgym.predictors.flows import ConditionalFlow
from stormgym.predictors.gaussian import DiagonalGaussian
from stormgym.predictors.point import PointNet

SIZES: dict[str, Any] = {"n_train": 48, "n_validation": 24, "n_test": 12}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Small networks, few epochs, a cache and a memory of our own."""
    small: dict[str, Any] = {"hidden": (16,), "max_epochs": 5}
    monkeypatch.setattr(
        linear,
        "GENERATORS",
        {
            "flow": lambda seed: ConditionalFlow(random_state=seed, **small),
            "gaussian": lambda seed: DiagonalGaussian(random_state=seed, **small),
        },
    )
    monkeypatch.setattr(linear, "new_point", lambda seed: PointNet(learning_rate=3e-3, random_state=seed, **small))
    monkeypatch.setenv("STORMGYM_CACHE", str(tmp_path))
    monkeypatch.setattr(recall, "_kept", type(recall._kept)())


@pytest.fixture
def task() -> LinearTask:
    """A small path."""
    return LinearTask(ShortestPathProblem(3, **SIZES))


def weights(model: Any) -> list[Any]:
    return [w.detach().numpy().copy() for w in model.parameters()]


def same(one: list[Any], other: list[Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "risk"),
    [("spo+", 1.0), ("spo+", 0.2), ("tail-spo+", 0.2), ("tail-spo+-every", 0.2), ("proper", 0.2), ("proper", 1.0)],
)
@pytest.mark.parametrize("name", ["flow", "gaussian"])
def test_tune__changes_a_copy_by_every_loss(task: LinearTask, name: str, loss: Any, risk: float) -> None:
    start = generator_of(task, name)
    before = weights(start)
    settings = replace(GEN_DFL, loss=loss, risk=risk, n_epochs=2, margin=0.0, learning_rate=1e-2)
    tuned, how = tune(task, start, settings)
    assert same(weights(start), before)
    assert len(how.regret) == 3
    assert np.isfinite(how.regret).all()
    assert np.isfinite(how.relaxed).all()
    assert (how.best_epoch > 0) == (not same(weights(tuned), before))
    assert how.regret[how.best_epoch] == how.regret.min()
    again, _ = tune(task, start, settings)
    assert same(weights(tuned), weights(again))


def test_tune__without_a_decision_loss_only_the_likelihood_goes_on(task: LinearTask) -> None:
    start = generator_of(task, "gaussian")
    _, how = tune(task, start, replace(GEN_DFL, loss="none", decision_weight=None, n_epochs=2))
    assert not how.relaxed.any()  # the control has no decision loss


def test_tune__the_weight_of_the_decision_loss_matters(task: LinearTask) -> None:
    start = generator_of(task, "gaussian")
    settings = replace(GEN_DFL, loss="spo+", n_epochs=1, margin=0.0)
    light, heavy = (tune(task, start, replace(settings, decision_weight=weight))[1].regret for weight in (1e-6, 100.0))
    assert light[0] == heavy[0]
    assert light[1] != heavy[1]


def test_contrastive_loss__takes_the_plans_of_a_proxy(task: LinearTask) -> None:
    settings = replace(CONTRASTIVE, risk=0.25, n_epochs=1, margin=0.0)

    def proxy(cases: Any) -> Any:
        return task.problem.true_outcomes(cases, 40, np.random.default_rng(3))

    loss = contrastive_loss(task, settings, proxy)
    train = task.problem.cases("train")
    expected = task.decision.decide(proxy(train), 0.25)
    assert loss.target_plans is not None
    np.testing.assert_array_equal(loss.target_plans.numpy(), expected)
    tuned, how = tune(task, generator_of(task, "gaussian"), settings, loss=loss)
    assert how.relaxed[0] > 0
    assert np.isfinite(weights(tuned)[0]).all()
    with pytest.raises(ValueError, match="the contrastive loss is map or nce; got 'spo\\+'"):
        contrastive_loss(task, replace(settings, loss="spo+"), proxy)


@pytest.mark.parametrize("loss", ["spo+", "nce", "map", "pairwise", "pool-listwise"])
def test_from_scratch__trains_a_point_forecast_and_keeps_its_best(task: LinearTask, loss: Any) -> None:
    model, how = from_scratch(task, replace(FROM_SCRATCH, loss=loss, n_epochs=8, patience=2))
    assert isinstance(model.generator, PointNet)
    assert how.regret[how.best_epoch] == how.regret.min() <= how.regret[0]
    assert len(how.regret) - 1 <= min(how.best_epoch + 2, 8)  # patience


def test_recall__models_are_fitted_once_and_come_back_from_disk(
    task: LinearTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SPO_PLUS, n_epochs=1)
    first = tuned_generator(task, "point", settings)
    assert tuned_generator(task, "point", settings) is first
    recall.forget()
    monkeypatch.setattr(linear.GeneratorModel, "fit", None)  # would raise
    again = tuned_generator(task, "point", settings)
    assert again is not first
    assert same(weights(again), weights(first))
    with pytest.raises(ValueError, match="generator must be one of"):
        generator_of(task, "vae")


def test_samples_of__are_seeded_and_as_many_as_asked(task: LinearTask) -> None:
    model, cases = generator_of(task, "gaussian"), task.problem.cases("test")
    drawn = samples_of(model, cases, 1)
    assert drawn.shape == (200, 12, task.problem.n)
    assert np.array_equal(drawn, samples_of(model, cases, 1))
    assert samples_of(model, cases, 1, 5).shape[0] == 5
    assert model.n_samples == 200
    assert not np.array_equal(drawn, samples_of(model, cases, 2))


@pytest.mark.parametrize("risk", [0.1, 1.0])
def test_ball_radius__is_one_of_those_tried_and_0_where_the_forecast_is_the_outcome(risk: float) -> None:
    task = LinearTask(FractionalKnapsackProblem(8, noise=0.0, **SIZES))

    class Sure:
        """Knows what comes."""

        n_samples = 1

        def outcomes(self, data: Any, noise: Any) -> Any:
            del noise
            return torch.as_tensor(task.problem.true_mean(data))[None]

    sure: Any = Sure()
    assert ball_radius(task, sure, risk) == 0.0
    noisy = LinearTask(FractionalKnapsackProblem(8, **SIZES))
    found = ball_radius(noisy, generator_of(noisy, "point"), risk)
    train = noisy.problem.cases("train")
    best = noisy.problem.best(train.outcomes)
    unit = np.abs(noisy.problem.cost(best, train.outcomes)).mean() / np.linalg.norm(best, axis=1).mean()
    assert min(abs(found - radius * unit) for radius in RADII) < 1e-12
