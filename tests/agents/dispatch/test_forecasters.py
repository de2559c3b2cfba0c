"""Policies that plan dispatch on forecasts of the wave."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

from stormgym.agents.dfl import recall
from stormgym.agents.dfl.learner import FineTuning, fine_tune
from stormgym.agents.dispatch import forecasters
from stormgym.agents.dispatch.decision import WEATHER, DispatchProblem, WaveModel, simulated_events
from stormgym.agents.dispatch.forecasters import (
    AdaptiveDispatch,
    FairAdaptiveDispatch,
    SampledDispatch,
    SOEBMDispatch,
    TwoStageDispatch,
    group_weights,
    tuning_of,
)
from stormgym.agents.dispatch.planners import plan
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.policy import Entrant
from stormgym.envs.dispatch.profiles import resolve_profile
from stormgym.predictors.outage_ode import OutageODE

PROFILE = resolve_profile("A")


def test_two_stage__plays_the_plan_of_its_forecast(odes: dict[str, OutageODE]) -> None:
    env = gym.make("stormgym:GeneratorDispatch-v0", profile="A")
    policy = TwoStageDispatch.for_env(env, forecaster=odes["mse"])
    obs, _ = env.reset(seed=3)
    X = np.stack([obs[name] for name in WEATHER], axis=-1)[None]
    expected = plan(PROFILE, odes["mse"].predict(X, obs["onset"][None])[0, 1:])
    state, stocks = None, []
    for _ in range(15):
        action, state = policy.predict(obs, state)
        obs, *_ = env.step(action)
        stocks.append(action)
    np.testing.assert_array_equal(stocks, np.minimum(expected, PROFILE.most_useful))


@pytest.mark.slow
def test_policies__the_more_they_know_the_less_they_cost(odes: dict[str, OutageODE]) -> None:
    """On 60 common storms: paired differences, of which the third is some ten standard errors."""
    makers = {
        "two-stage": lambda env: TwoStageDispatch.for_env(env, forecaster=odes["mse"]),
        "sampled": lambda env: SampledDispatch.for_env(env, forecaster=odes["crps"]),
        "adaptive": lambda env: AdaptiveDispatch.for_env(env, forecaster=odes["crps"]),
        "fair": lambda env: FairAdaptiveDispatch.for_env(env, forecaster=odes["crps"]),
    }
    played = evaluate(
        "GeneratorDispatch-v0",
        {name: Entrant(make) for name, make in makers.items()},
        episodes=60,
        seed=5,
        env_kwargs={"profile": "A"},
    )
    cost = {name: record.metrics["total_cost"] for name, record in played.agents.items()}
    assert cost["sampled"].mean() < cost["two-stage"].mean()
    assert cost["adaptive"].mean() < cost["sampled"].mean() - 60.0
    gap = {name: record.metrics["gap"].mean() for name, record in played.agents.items()}
    assert gap["fair"] < 0.9 * gap["adaptive"]
    assert gap["fair"] < PROFILE.cost_limit
    assert cost["fair"].mean() < cost["sampled"].mean()  # and is not dear


@pytest.mark.slow
def test_so_ebm__plans_on_samples_of_a_forecaster_of_its_own_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "_kept", type(recall._kept)())
    monkeypatch.setattr(forecasters, "N_FIT", 16)
    monkeypatch.setattr(forecasters, "N_VALIDATION", 12)
    monkeypatch.setattr(forecasters, "FineTuning", partial(FineTuning, n_epochs=1))
    usual, tuned = SampledDispatch(PROFILE), SOEBMDispatch(PROFILE)
    assert tuned.forecaster.loss == "crps"
    assert tuned.forecaster is not usual.forecaster
    assert SampledDispatch(replace(PROFILE, transport_cost=200.0)).forecaster is usual.forecaster  # of the same storms
    assert SOEBMDispatch(PROFILE).forecaster is tuned.forecaster
    assert SOEBMDispatch(replace(PROFILE, transport_cost=200.0)).forecaster is not tuned.forecaster


def test_so_ebm__its_loss_falls_while_regret_rises_and_then_the_start_is_kept(odes: dict[str, OutageODE]) -> None:
    """The likelihood of hindsight plans does not aim at the least cost, as costs of too few and too many differ."""
    ode, problem = copy.deepcopy(odes["crps"]), DispatchProblem(PROFILE)
    before = [parameter.detach().clone() for parameter in ode.parameters()]
    train, validation = simulated_events(PROFILE, 64, 1), simulated_events(PROFILE, 40, 2)
    settings = replace(tuning_of("so-ebm", problem, train), learning_rate=5e-3, n_epochs=4, batch_size=16)
    tuned = fine_tune(WaveModel(ode), problem, train, validation, settings)
    assert tuned.relaxed[-1] < tuned.relaxed[0] - 1.0
    assert tuned.regret[-1] > 1.5 * tuned.regret[0]
    assert tuned.best_epoch == 0
    for ours, theirs in zip(ode.parameters(), before, strict=True):
        assert torch.equal(ours, theirs)


def test_group_weights__follow_what_each_group_waited() -> None:
    profile = replace(PROFILE, cost_limit=0.5)  # groups of one county each: 2, 0, 1
    weight = group_weights(np.array([[0.6, 0.0, 0.3], [0.2, 0.2, 0.2]]), profile, 1.5)
    np.testing.assert_allclose(weight[0], np.exp(1.5 * np.array([0.3, -0.3, 0.0]) / 0.5))
    np.testing.assert_allclose(weight[1], 1.0)


def test_policies__take_a_file_and_refuse_another_forecaster(odes: dict[str, OutageODE], tmp_path: Path) -> None:
    file = odes["mse"].save(tmp_path / "forecaster.npz")
    assert TwoStageDispatch(PROFILE, file).forecaster.feature_names == WEATHER
    with pytest.raises(ValueError, match='needs a forecaster fitted with loss="crps"; got one with "mse"'):
        SampledDispatch(PROFILE, file)
    with pytest.raises(ValueError, match="for 3 counties and 15 periods, and profile ten has 10 and 20"):
        TwoStageDispatch(resolve_profile("ten"), file)
    with pytest.raises(ValueError, match="county 0 has 3,200 customers there and 5,000 in profile B"):
        TwoStageDispatch(resolve_profile("B"), file)
    with pytest.raises(ValueError, match="effective must be from 1 to 400 samples; got 0"):
        AdaptiveDispatch(PROFILE, odes["crps"], effective=0)
    with pytest.raises(ValueError, match=r"fairness must be at least 0; got -1\.0"):
        AdaptiveDispatch(PROFILE, odes["crps"], fairness=-1.0)
    shorter = replace(PROFILE, latest_onset=2)
    assert TwoStageDispatch(shorter, file).forecaster.n_periods == 15


def test_env__shows_intervals_only_of_a_calibrated_forecaster(odes: dict[str, OutageODE], tmp_path: Path) -> None:
    file = odes["mse"].save(tmp_path / "raw.npz")
    with pytest.raises(ValueError, match=r"has no intervals: call conformalize"):
        gym.make("stormgym:GeneratorDispatch-v0", profile="A", forecast=str(file))


def test_fits__are_kept_on_disk_and_told_of_only_once(tmp_path, monkeypatch, capsys):
    from stormgym.agents.dfl.recall import forget
    from stormgym.agents.dispatch import forecasters
    from stormgym.envs.dispatch.profiles import resolve_profile

    monkeypatch.setenv("STORMGYM_CACHE", str(tmp_path))
    monkeypatch.setattr(forecasters, "N_FIT", 6)
    monkeypatch.setattr(forecasters, "N_VALIDATION", 30)
    profile = resolve_profile("synthetic:3:0")
    forget()
    first = forecasters._fitted(profile, "mse")
    told = capsys.readouterr().err
    assert "profile synthetic:3:0: fitting a forecaster of waves, about 5 s, once (kept in" in told
    forget()
    monkeypatch.setattr(forecasters, "fit_forecaster", None)  # nothing is fitted again
    second = forecasters._fitted(profile, "mse")
    assert second is not first
    assert capsys.readouterr().err == ""
    mine, kept = first.state(), second.state()
    assert mine.keys() == kept.keys()
    assert all(np.asarray(mine[name]).tobytes() == np.asarray(kept[name]).tobytes() for name in mine)
    forget()
