"""Decision-focused learning: prices that add up, losses with the right gradients, fine-tuning that does not lose."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stormgym.agents.dfl.constraints import DenseConstraints
from stormgym.agents.dfl.learner import FineTuning, fine_tune, standard_error
from stormgym.agents.dfl.losses import relaxed_cost, relaxed_plan, spo_plus
from stormgym.agents.dfl.problem import regret
from stormgym.agents.dispatch.__main__ import main as fit_main
from stormgym.agents.dispatch.decision import WEATHER, DispatchProblem, Events, WaveModel, simulated_events, soft_clip
from stormgym.agents.dispatch.forecasters import (
    AdaptiveDispatch,
    FairAdaptiveDispatch,
    SampledDispatch,
    TwoStageDispatch,
    group_weights,
)
from stormgym.agents.dispatch.planners import plan
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.policy import Entrant
from stormgym.envs.dispatch.profiles import resolve_profile
from stormgym.predictors.outage_ode import OutageODE

PROFILE = resolve_profile("A")
PROBLEM = DispatchProblem(PROFILE)


@pytest.fixture(scope="module")
def odes() -> dict[str, OutageODE]:
    train = simulated_events(PROFILE, 60, 1)
    return {
        loss: OutageODE(PROFILE.population, 15, feature_names=WEATHER, loss=loss, n_steps=40).fit(  # type: ignore[arg-type]
            train.X, train.out, train.onset
        )
        for loss in ("mse", "crps")
    }


# prices


def flow_of(stock: np.ndarray) -> Tensor:
    """The vector x of whole stocks `[T, K]`: trips from their changes, segments filled in order."""
    change = np.diff(stock, axis=0, prepend=0)
    filled = (np.arange(PROBLEM.n_segments) < stock[..., None]).astype(float)
    home = PROFILE.generators - stock.sum(axis=1)
    parts = (torch.as_tensor(part, dtype=torch.float64) for part in (filled, np.maximum(change, 0), -change, home))
    segments, out, back, rest = parts
    return PROBLEM.constraints.pack(segments, out=out, back=back.clamp_min(0), home=rest)


@pytest.mark.parametrize("seed", range(3))
def test_prices__of_a_plan_add_up_to_its_cost(seed: int) -> None:
    wave = simulated_events(PROFILE, 1, seed).outcomes  # [1, T, K]
    stock = PROBLEM.decide(simulated_events(PROFILE, 1, seed + 50).outcomes[None])  # a plan for another storm
    x = flow_of(stock[0])
    prices = PROBLEM.prices(torch.as_tensor(wave))[0]
    nothing = PROFILE.interruption_cost * wave.sum()
    assert (prices * x).sum().item() + nothing == pytest.approx(PROBLEM.cost(stock, wave)[0])
    np.testing.assert_allclose(PROBLEM.constraints.times(x[None]), PROBLEM.constraints.b[None], atol=1e-12)
    best = relaxed_plan(PROBLEM, prices[None])
    whole = PROBLEM.cost(PROBLEM.decide(wave[None]), wave)[0]
    assert (prices * best[0]).sum().item() + nothing == pytest.approx(whole, rel=1e-4)  # the flow is integral


def test_soft_clip__is_the_mean_of_clips_with_logistic_noise() -> None:
    x = torch.linspace(-150.0, 250.0, 41, dtype=torch.float64)
    exact = soft_clip(x, 100.0, 20.0)
    noise = np.random.default_rng(0).logistic(scale=20.0, size=(40_000, 1))
    np.testing.assert_allclose(exact, np.clip(x.numpy() + noise, 0, 100).mean(axis=0), atol=0.8)
    np.testing.assert_allclose(soft_clip(x, 100.0, 1e-3), x.clamp(0, 100), atol=1e-2)


# losses


def test_relaxed_cost__gradient_agrees_with_finite_differences() -> None:
    events = simulated_events(PROFILE, 2, 3)
    true = PROBLEM.prices(torch.as_tensor(events.outcomes))
    wave = torch.as_tensor(events.outcomes[::-1].copy(), dtype=torch.float64).requires_grad_()

    def cost(at: Tensor) -> Tensor:
        return relaxed_cost(PROBLEM, PROBLEM.prices(at, 0.5), true, 200.0).sum()

    (gradient,) = torch.autograd.grad(cost(wave), wave)
    places = gradient.abs().flatten().argsort(descending=True)[:4]
    for place in places.tolist():
        step = torch.zeros(wave.numel(), dtype=torch.float64)
        step[place] = 0.01
        with torch.no_grad():
            change = cost(wave + step.view_as(wave)) - cost(wave - step.view_as(wave))
        assert gradient.flatten()[place].item() == pytest.approx(change.item() / 0.02, rel=2e-2)


def test_spo_plus__bounds_the_regret_and_has_the_gradient_of_the_paper() -> None:
    events = simulated_events(PROFILE, 6, 4)
    true = PROBLEM.prices(torch.as_tensor(events.outcomes))
    best = relaxed_plan(PROBLEM, true)
    other = PROBLEM.prices(torch.as_tensor(simulated_events(PROFILE, 6, 5).outcomes)).requires_grad_()
    loss = spo_plus(PROBLEM, other, true, best)
    played = relaxed_plan(PROBLEM, other.detach())
    assert (loss >= ((played - best) * true).sum(-1) - 1e-3).all()
    (gradient,) = torch.autograd.grad(loss.sum(), other)
    tilted = relaxed_plan(PROBLEM, (2 * other - true).detach())
    torch.testing.assert_close(gradient, 2 * (best - tilted))
    torch.testing.assert_close(spo_plus(PROBLEM, true, true, best), torch.zeros(6).double(), atol=1e-2, rtol=0.0)
    middle = 0.5 * (other.detach() + true)
    assert (spo_plus(PROBLEM, middle, true, best) <= 0.5 * loss + 1e-2).all()  # convex


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
    with pytest.raises(ValueError, match=r"loss must be qp or spo\+; got 'mse'"):
        FineTuning("mse")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rho must be above 0; got 0"):
        FineTuning(rho=0)
    events = simulated_events(PROFILE, 2, 0)
    with pytest.raises(ValueError, match="got 0 and 2"):
        fine_tune(Line(), Shelf(), events.rows(np.arange(0)), events, FineTuning())
    assert standard_error(np.array([1.0])) == np.inf
    assert standard_error(np.array([1.0, 3.0])) == pytest.approx(1.0)


# policies


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


# the command line, and the environment that observes its forecast


def test_command__fits_a_forecaster_that_the_environment_shows_and_evaluate_plays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.npz"
    assert fit_main(["--out", str(file), "--storms", "30", "--n-steps", "10", "--tune", "spo+", "--loss", "mse"]) == 0
    printed = capsys.readouterr().out
    assert "regret of plans" in printed
    assert "(0 is the fit)" in printed
    env = gym.make("stormgym:GeneratorDispatch-v0", profile="A", forecast=str(file))
    obs, _ = env.reset(seed=3)
    assert env.observation_space.contains(obs)
    ode = OutageODE.load(file)
    X, onset = np.stack([obs[name] for name in WEATHER], axis=-1)[None], obs["onset"][None]
    centre, interval, total = (a[0, 1:] for a in ode.forecast(X, onset))
    for name, values in zip(("forecast", "lower", "upper"), (centre, *np.moveaxis(interval, -1, 0)), strict=True):
        np.testing.assert_allclose(obs[name].reshape(15, 3), values, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(obs["total_upper"], total[:, 1], rtol=1e-4, atol=1e-2)
    later, *_ = env.step(env.action_space.sample() * 0)
    np.testing.assert_allclose(later["forecast"][:42], obs["forecast"][3:])
    np.testing.assert_allclose(later["total_lower"], [*obs["total_lower"][1:], 0.0])
    entrants = resolve_agents([f"label={file}", str(file)], "GeneratorDispatch-v0")
    assert list(entrants) == ["label", "mine"]
    assert isinstance(entrants["mine"].make(env), TwoStageDispatch)


def test_command__bad_input_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, text in (
        (["--features", "snow"], "--features must be of temperature_c"),
        (["--storms", "0"], "--storms must be at least 1"),
        (["--profile", "nowhere"], "profile must be 'A', 'B', 'ten'"),
    ):
        assert fit_main(["--out", str(tmp_path / "f.npz"), *options]) == 2
        assert text in " ".join(capsys.readouterr().out.split())
    assert fit_main(["--out", str(tmp_path / "f.pt")]) == 2
    (tmp_path / "folder.npz").mkdir()
    assert fit_main(["--out", str(tmp_path / "folder.npz")]) == 2
    assert "is a folder; name a file in it" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(ValueError, match=r"forecast must be typical, none or a forecaster's \.npz file; got 'best'"):
        gym.make("stormgym:GeneratorDispatch-v0", forecast="best")
    with pytest.raises(FileNotFoundError, match="no forecaster at"):
        gym.make("stormgym:GeneratorDispatch-v0", forecast=str(tmp_path / "f.npz"))


def test_env__shows_intervals_only_of_a_calibrated_forecaster(odes: dict[str, OutageODE], tmp_path: Path) -> None:
    file = odes["mse"].save(tmp_path / "raw.npz")
    with pytest.raises(ValueError, match=r"has no intervals: call conformalize"):
        gym.make("stormgym:GeneratorDispatch-v0", profile="A", forecast=str(file))
