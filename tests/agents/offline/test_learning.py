"""Learning from datasets: what is imitated, limits, runs that other commands take, the command line."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.offline.__main__ import main
from stormgym.agents.offline.datasets import DatasetSpec, make_dataset
from stormgym.agents.offline.learning import OfflineSettings, Transitions, fit, price_of_cost

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
CITY = {"city": "synthetic:6:1", "predictor": "none", "split": "train"}
TEST_CITY = {**CITY, "split": "test"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    return tmp_path


def transitions(costs, returns, limit):
    n = len(costs)
    return Transitions({}, np.zeros(n), returns, costs, np.arange(n), returns, costs, np.full(n, limit))


def test_transitions__sum_to_the_end_of_their_own_episodes():
    dataset = make_dataset(DatasetSpec("Restoration-v0", "random", 5, 0, CITY))
    data = Transitions.of(dataset)
    assert data.actions.shape == data.returns.shape == (dataset.total_steps,)
    start = np.flatnonzero(np.diff(data.episode, prepend=-1))
    np.testing.assert_allclose(data.returns[start], data.total_return)
    np.testing.assert_allclose(data.costs[start], data.total_cost)
    for i, episode in enumerate(dataset.iterate_episodes()):
        assert data.total_return[i] == pytest.approx(episode.rewards.sum())
        assert data.total_cost[i] == pytest.approx(episode.infos["episode_cost"][-1])


def test_within_limit__keeps_good_episodes_or_the_cheapest_tenth():
    costs = np.linspace(0.0, 9.0, 20)
    assert transitions(costs, -costs, 5.0).within_limit().sum() == (costs <= 5.0).sum()
    assert transitions(costs, -costs, 0.0).within_limit().sum() == 2


def test_price__is_the_least_at_which_weighted_episodes_keep_the_limit():
    rng = np.random.default_rng(0)
    costs = rng.uniform(0, 10, 400)
    data = transitions(costs, costs + rng.normal(size=400), 4.0)  # what brings more costs more
    price = price_of_cost(data, 0.5)
    scale = data.total_return.std()

    def cost_at(p):
        priced = (data.total_return - p * data.total_cost) / (0.5 * scale)
        return np.average(data.total_cost, weights=np.exp(priced - priced.max()))

    assert price > 0
    assert cost_at(price) == pytest.approx(4.0, abs=1e-6)
    assert cost_at(0.9 * price) > 4.0
    assert price_of_cost(transitions(costs, -costs, 9.0), 0.5) == 0.0
    assert price_of_cost(transitions(costs, costs, np.inf), 0.5) == 0.0


class Drawn:
    """A policy that draws its actions, as the data's did: what it has learnt of their chances, not of the likeliest."""

    def __init__(self, policy):
        self.policy = policy

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return self.policy.predict(observation, state=state, episode_start=episode_start, deterministic=False)


def drawing(entrant):
    return replace(entrant, make=lambda env: Drawn(entrant.make(env)))


def score(runs, env_kwargs=TEST_CITY, env_id="Restoration-v0", episodes=60, draw=False):
    agents = {}
    for name, run in runs.items():
        agents |= resolve_agents([name if run is None else f"{name}={run.folder}"], env_id)
    if draw:
        torch.manual_seed(0)
        agents = {name: drawing(entrant) for name, entrant in agents.items()}
    result = evaluate(env_id, agents, episodes=episodes, env_kwargs=env_kwargs, latency_episodes=1)
    return {name: {k: float(v.mean()) for k, v in record.metrics.items()} for name, record in result.agents.items()}


@pytest.mark.slow
def test_cloning__of_a_rule_is_the_rule_and_a_run_like_any_other(tmp_path):
    spec = DatasetSpec("Restoration-v0", "status-quo", 60, 0, CITY)
    run = fit(make_dataset(spec), spec, OfflineSettings(steps=400), runs_dir=tmp_path / "runs")
    found = score({"bc": run, "request-volume": None, "nearest": None})
    assert found["bc"]["mean_outage_h"] == pytest.approx(found["request-volume"]["mean_outage_h"], rel=0.01)
    assert found["nearest"]["mean_outage_h"] != pytest.approx(found["request-volume"]["mean_outage_h"], rel=0.01)
    assert json.loads((run.folder / "settings.json").read_text())["agent"] == "maskable-ppo"


def test_cloning__repeats_itself_to_the_bit(tmp_path):
    spec = DatasetSpec("Restoration-v0", "random", 8, 0, CITY)
    dataset = make_dataset(spec)
    losses = [[], [], []]
    for seed, kept in zip((0, 0, 1), losses, strict=True):
        settings = OfflineSettings(steps=8, batch_size=32, method="awr", seed=seed)
        fit(dataset, spec, settings, runs_dir=tmp_path, on_step=lambda step, loss, kept=kept: kept.append(loss))
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.slow
def test_weights_and_limits__are_worth_something_on_random_data(tmp_path):
    spec = DatasetSpec("Restoration-v0", "random", 300, 0, {**CITY, "city": "synthetic:10:1"})
    dataset = make_dataset(spec)
    runs = {
        method: fit(dataset, spec, OfflineSettings(method=method, steps=150), runs_dir=tmp_path)
        for method in ("bc", "bc-safe", "awr")
    }
    # the likeliest of nearly equal chances is an accident of rounding, so the actions are drawn
    found = score(runs, {**TEST_CITY, "city": "synthetic:10:1"}, episodes=400, draw=True)
    assert found["awr"]["mean_outage_h"] < found["bc"]["mean_outage_h"]
    assert found["bc-safe"]["gap_h"] < found["bc"]["gap_h"]


@pytest.mark.parametrize("env_id", ["GeneratorDispatch-v0", "Undergrounding-v0", "PowerScheduling-v0"])
def test_fit__other_kinds_of_actions(env_id, tmp_path):
    from stormgym.agents.registry import domain_of

    spec = DatasetSpec(env_id, "random", 6, 0, dict(domain_of(env_id).small))
    run = fit(make_dataset(spec), spec, OfflineSettings(method="awr", steps=5, batch_size=32), runs_dir=tmp_path)
    found = score({"awr": run}, dict(domain_of(env_id).small), env_id, episodes=4)
    assert np.isfinite(found["awr"]["return"])


def test_fit__bad_settings(tmp_path):
    spec = DatasetSpec("Restoration-v0", "random", 4, 0, CITY)
    dataset = make_dataset(spec)
    with pytest.raises(ValueError, match="method must be one of bc, bc-safe, awr; got 'cql'"):
        fit(dataset, spec, OfflineSettings(method="cql"), runs_dir=tmp_path)
    with pytest.raises(ValueError, match="temperature must be above 0; got 0"):
        fit(dataset, spec, OfflineSettings(temperature=0.0), runs_dir=tmp_path)


@pytest.mark.slow
def test_command__makes_learns_and_compares(tmp_path, capsys):
    option = ["--option", "city=synthetic:6:1", "--option", "predictor=none"]
    kinds = ["--kinds", "random", "expert"]
    assert main(["make", "--env", "Restoration-v0", "--episodes", "4", *kinds, *option]) == 0
    assert "restoration/expert-v0" in capsys.readouterr().out
    fitted = ["fit", "--dataset", "restoration/expert-v0", "--steps", "5", "--runs-dir", str(tmp_path / "runs")]
    assert main(fitted) == 0
    assert "evaluate.py --env Restoration-v0 --agents bc=" in capsys.readouterr().out
    table = ["--steps", "5", "--episodes", "4", "--methods", "bc", "awr", "--json", str(tmp_path / "table.json")]
    assert main(["compare", "--env", "Restoration-v0", *kinds, *table, "--runs-dir", str(tmp_path / "runs")]) == 0
    agents = json.loads((tmp_path / "table.json").read_text())["agents"]
    assert {"random", "equity-planner", "bc on random", "awr on expert"} <= set(agents)


def test_command__says_what_is_wrong(capsys):
    assert main(["fit", "--dataset", "restoration/none-v0"]) == 2
    assert "no dataset 'restoration/none-v0' here; there are: none" in capsys.readouterr().err
    assert main(["make", "--env", "Restoration-v0", "--option", "citi=x"]) == 2
    assert "citi" in capsys.readouterr().err
