"""Run folders: what they hold, which model is taken, exact resumption, atomic writes."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from rich.console import Console

import stormgym  # noqa: F401
from stormgym.agents.attention_pg.settings import AttentionPGSettings
from stormgym.agents.files import write_folder
from stormgym.agents.learners.settings import (
    DQNSettings,
    HRLDPDPSettings,
    MaskableDQNSettings,
    MaskablePPOSettings,
    PPOSettings,
)
from stormgym.agents.registry import domain_of
from stormgym.agents.runs import RunRequest, RunSettings, create_run, find_model, load_policy, open_run
from stormgym.agents.sta_sac.settings import STASACSettings
from stormgym.agents.training import command
from stormgym.agents.training.callbacks import Evaluation, StopRequest
from stormgym.agents.training.logs import CsvLog
from stormgym.agents.training.play import EVALUATION_SEED, Score, make_training_env, play
from stormgym.agents.usage import UsageError

ROOT = Path(__file__).resolve().parents[2]
ENV_KWARGS: dict[str, Any] = {"city": "synthetic:7:1", "predictor": "none"}
OWN_LIMITS: dict[str, Any] = {**ENV_KWARGS, "cost_limit": [2.0, 20.0]}
MANY_CITIES: dict[str, Any] = {**OWN_LIMITS, "city": "synthetic:5-8:1:3"}
QUICK: dict[str, Any] = {
    "sta-sac": STASACSettings(learning_starts=300, gradient_steps=1, width=16, n_layers=1),
    "ppo": PPOSettings(n_steps=16, batch_size=64, n_epochs=2, width=16),
    "dqn": DQNSettings(learning_starts=200, buffer_size=1000, batch_size=32, width=16),
    "maskable-ppo": MaskablePPOSettings(n_steps=16, batch_size=64, n_epochs=2, width=16),
    "maskable-dqn": MaskableDQNSettings(learning_starts=200, buffer_size=1000, batch_size=32, width=16),
    "hrl-dpdp": HRLDPDPSettings(n_steps=16, batch_size=64, n_epochs=2, width=16),
    "attention-pg": AttentionPGSettings(n_rollouts=3, width=16, n_layers=1),
}


@pytest.fixture
def console() -> Console:
    return Console(stderr=True, quiet=True)


def begin(folder: Path, console: Console, agent: str = "maskable-ppo", **changes: Any) -> command.Training:
    asked: dict[str, Any] = {
        "env_id": "Restoration-v0",
        "agent": agent,
        "learner": asdict(QUICK[agent]),
        "timesteps": 1024,
        "seed": 3,
        "num_envs": 8,
        "env_kwargs": ENV_KWARGS,
        "eval_freq": 512,
        "eval_episodes": 8,
        "checkpoint_freq": 512,
    }
    return command.start_run(RunRequest(**{**asked, **changes}), runs_dir=folder, console=console)


@pytest.mark.parametrize(
    ("agent", "env_kwargs"),
    [*((agent, ENV_KWARGS) for agent in sorted(QUICK)), ("sta-sac", MANY_CITIES), ("sta-sac", OWN_LIMITS)],
    ids=[*sorted(QUICK), "sta-sac-many-cities", "sta-sac-own-limits"],
)
def test_run__resumed_goes_on_exactly_as_if_it_had_not_stopped(
    agent: str, env_kwargs: dict[str, Any], tmp_path: Path, console: Console
) -> None:
    training = begin(tmp_path, console, agent, env_kwargs=env_kwargs)
    run, through = training.run, training.model
    command.train(training, console, progress=False)
    copy = tmp_path / "copy"
    shutil.copytree(run.folder, copy)
    kept = sorted((copy / "checkpoints").iterdir(), key=lambda p: int(p.name))
    assert len(kept) == 2
    shutil.rmtree(kept[-1])
    again = command.resume(copy, None, console=console)
    resumed = again.model
    assert 0 < resumed.num_timesteps < through.num_timesteps
    command.train(again, console, progress=False)
    assert resumed.num_timesteps == through.num_timesteps
    for key, value in through.policy.state_dict().items():
        assert torch.equal(value, resumed.policy.state_dict()[key]), key
    assert multiplier_of(resumed) == multiplier_of(through)
    for name in ("best/score.json", "settings.json"):
        assert (copy / name).read_text() == (run.folder / name).read_text()
    rows, more = (list(csv.DictReader((f / "progress.csv").open())) for f in (run.folder, copy))
    assert [row["time/total_timesteps"] for row in rows] == [row["time/total_timesteps"] for row in more]
    assert [row["eval/return"] for row in rows] == [row["eval/return"] for row in more]
    assert again.run.settings == open_run(run.folder).settings
    glossary = (ROOT / "docs" / "metrics.md").read_text()
    groups = {part.split("/")[0]: part for part in glossary.split("\n## ")}
    for column in rows[0]:
        group, name = column.split("/")
        assert f"`{name}`" in groups[group], f"docs/metrics.md lacks {column}"


def multiplier_of(model: Any) -> float:
    if hasattr(model, "multiplier"):
        return float(model.multiplier.value)
    return float(model.multiplier_state["lambda"]["raw"])


def test_run__folder_holds_all_that_is_promised(tmp_path: Path, console: Console) -> None:
    training = begin(tmp_path, console)
    run = training.run
    command.train(training, console, progress=False)
    assert run.folder.parent == tmp_path / "Restoration-v0" / "maskable-ppo"
    assert run.folder.name.startswith("3-")
    settings = json.loads((run.folder / "settings.json").read_text())
    assert settings["env_kwargs"] == {**ENV_KWARGS, "split": "train"}
    assert settings["learner"]["n_steps"] == 16
    versions = json.loads((run.folder / "versions.json").read_text())
    assert {"python", "stormgym", "torch", "stable-baselines3", "commit"} <= set(versions)
    assert list(run.folder.glob("events.out.tfevents*"))
    header = (run.folder / "progress.csv").read_text().splitlines()[0].split(",")
    promised = {
        "rollout/ep_rew_mean",
        "rollout/ep_cost_mean",
        "train/lambda",
        "eval/gap_h",
        "eval/violation_rate",
    }
    assert promised <= set(header)
    assert {p.name for p in run.last_checkpoint().iterdir()} == {"model.zip", "state.pkl"}  # type: ignore[union-attr]
    assert find_model(run.folder) == run.folder / "best" / "model.zip"
    assert open_run(run.folder) == run
    assert not [p for p in run.folder.rglob(".*") if p.is_dir()]  # nothing temporary is left


@pytest.mark.parametrize("make", ["single", "vector"])
def test_policy__loads_best_model_and_acts_in_any_form(make: str, tmp_path: Path, console: Console) -> None:
    training = begin(tmp_path, console)
    run = training.run
    command.train(training, console, progress=False)
    env: Any = (
        gym.make("Restoration-v0", **ENV_KWARGS)
        if make == "single"
        else gym.make_vec("Restoration-v0", 3, vectorization_mode="vector_entry_point", **ENV_KWARGS)
    )
    policy = load_policy(run.folder, env)
    obs, _ = env.reset(seed=0)
    for _ in range(7):
        action, _ = policy.predict(obs, deterministic=True)
        mask = np.atleast_2d(obs["action_mask"])
        assert mask[np.arange(len(mask)), np.atleast_1d(action)].all()
        obs, *_ = env.step(action)
    other = gym.make("Restoration-v0", city="synthetic:9:1", predictor="none")
    with pytest.raises(ValueError, match=r"was trained with .*synthetic:7:1.* and fits observation_space"):
        load_policy(run.folder, other)
    shutil.rmtree(run.best)
    assert find_model(run.folder).parent == run.last_checkpoint()
    load_policy(run.folder, env)


def test_policy__of_many_cities_acts_in_any_city(tmp_path: Path, console: Console) -> None:
    training = begin(tmp_path, console, "sta-sac", env_kwargs=MANY_CITIES, timesteps=256)
    command.train(training, console, progress=False)
    for city in ("synthetic:4:1", "synthetic:12:1"):
        env = gym.make("Restoration-v0", city=city, predictor="none", cost_limit=3.0)
        policy = load_policy(training.run.folder, env)
        obs, _ = env.reset(seed=0)
        ended = False
        while not ended:
            action, _ = policy.predict(obs, deterministic=True)
            assert obs["action_mask"][action]
            obs, _, ended, *_ = env.step(action)
    with pytest.raises(ValueError, match="fits observation_space"):
        load_policy(training.run.folder, gym.make("CartPole-v1"))
    with pytest.raises(UsageError, match=r"agent 'ppo' fits one city, .* names many; .* train sta-sac"):
        begin(tmp_path, console, "ppo", env_kwargs=MANY_CITIES)


def test_policy__of_attention_pg_acts_with_another_number_of_regions(tmp_path: Path, console: Console) -> None:
    training = begin(tmp_path, console, "attention-pg", timesteps=256)
    command.train(training, console, progress=False)
    env = gym.make("Restoration-v0", city="synthetic:12:1", predictor="none")
    obs, _ = env.reset(seed=0)
    action, _ = load_policy(training.run.folder, env).predict(obs, deterministic=True)
    assert obs["action_mask"][action]


def settings_for(agent: str = "ppo") -> RunSettings:
    return RunSettings(
        env_id="Restoration-v0",
        agent=agent,
        seed=0,
        timesteps=10,
        num_envs=1,
        eval_freq=5,
        eval_episodes=4,
        checkpoint_freq=5,
    )


def test_policy__missing_or_incomplete_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_policy(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"holds no settings\.json"):
        load_policy(tmp_path)
    run = create_run(tmp_path, settings_for())
    with pytest.raises(FileNotFoundError, match="holds no model"):
        load_policy(run.folder)
    (run.folder / "settings.json").write_text('{"env_id": 3}')
    with pytest.raises(ValueError, match="cannot be read as the settings"):
        load_policy(run.folder)


def test_run__two_in_one_second_have_two_folders(tmp_path: Path) -> None:
    folders = {create_run(tmp_path, settings_for()).folder for _ in range(3)}
    assert len(folders) == 3


def test_write_folder__is_whole_or_absent(tmp_path: Path) -> None:
    def good(folder: Path) -> None:
        (folder / "a").write_text("new")

    def bad(folder: Path) -> None:
        (folder / "a").write_text("half")
        raise RuntimeError("disk full")

    target = tmp_path / "best"
    write_folder(target, good)
    with pytest.raises(RuntimeError, match="disk full"):
        write_folder(target, bad)
    assert (target / "a").read_text() == "new"
    write_folder(target, good)
    assert [p.name for p in tmp_path.iterdir()] == ["best"]


def score(mean_return: float, cost: float, limit: float = 8.0) -> Score:
    return Score(np.array([mean_return]), np.array([cost]), limit, {})


def test_best_model__is_feasible_first_then_by_return() -> None:
    order = [score(-9, 20), score(-30, 9), score(-40, 8), score(-20, 2), score(-19, 7.9)]
    assert [s.rank for s in order] == sorted(s.rank for s in order)
    lucky = Score(np.zeros(4), np.array([7.0, 8.0, 7.5, 9.4]), 8.0, {})  # mean 7.975, but it may well be above 8
    assert lucky.mean_cost < 8.0 < 8.0 * lucky.cost_bounds[0]
    assert lucky.rank < score(-50, 7.9).rank
    near = replace(score(-30, 7.7), spared=0.05)  # 5 % of 8 h must stay free
    assert near.excess == pytest.approx(0.1)
    assert near.rank < replace(score(-50, 7.5), spared=0.05).rank
    unlimited = Score(np.array([1.0]), None, None, {})
    assert unlimited.rank > Score(np.array([0.5]), None, None, {}).rank
    assert set(unlimited.logged(domain_of("Restoration-v0").headline)) == {"return"}


def test_best_model__stays_when_a_later_one_breaks_the_limit(
    tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = begin(tmp_path, console)
    run, model = training.run, training.model
    scores = iter([score(-30, 9), score(-20, 7), score(-10, 12), score(-18, 7.9), score(-19, 7.6)])
    monkeypatch.setattr("stormgym.agents.training.callbacks.play", lambda *_: next(scores))
    evaluation = Evaluation(run, training.venv, training.learner)
    evaluation.init_callback(model)
    model._setup_learn(1)
    kept = []
    for step in (1, 2, 3, 4, 5):
        evaluation.num_timesteps = step
        evaluation.evaluate()
        kept.append(json.loads((run.best / "score.json").read_text())["timesteps"])
    assert kept == [1, 2, 2, 2, 5]  # the fourth leaves less than 5 % of the limit for records it never met

    resumed = Evaluation(run, training.venv, training.learner, StopRequest(15))  # from a checkpoint before the best
    resumed.load_state_dict({"last_step": 1, "best_rank": (-1.0, -30.0)})
    assert resumed.best_rank == (0.0, -19.0)
    resumed.init_callback(model)
    resumed.num_timesteps = 6
    resumed.on_training_end()  # asked to stop: plays nothing
    assert resumed.last_step == 1


def test_play__meets_the_same_scenarios_whatever_the_policy_does() -> None:
    class Greedy:
        def __init__(self, column: str) -> None:
            self.column = column

        def predict(self, observation: Any, **_: Any) -> tuple[Any, None]:
            value = observation[self.column]
            return np.where(observation["action_mask"] > 0, value, np.inf).argmin(axis=-1), None

    venv = make_training_env("Restoration-v0", 4, {**ENV_KWARGS})
    first, other, again = (play(venv, Greedy(c), 10) for c in ("distance_km", "x_km", "distance_km"))
    assert len(first.returns) == 12  # the same number in each environment
    np.testing.assert_array_equal(first.returns, again.returns)
    assert not np.array_equal(first.returns, other.returns)
    assert first.metrics["mean_outage_h"] == pytest.approx(-first.mean_return, rel=1e-5)
    assert first.metrics["gap_h"] == pytest.approx(first.mean_cost)
    assert EVALUATION_SEED != command.HELD_OUT_SEED


def test_csv_log__grows_columns_and_drops_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "progress.csv"
    log = CsvLog(file)
    log.write({"a": 1.0}, {"a": None}, 10)  # type: ignore[dict-item]
    log.write({"a": 2.0, "b": 3}, {"a": None, "b": None}, 20)  # type: ignore[dict-item]
    log.write({"b": 4}, {"b": None}, 30)  # type: ignore[dict-item]
    assert file.read_text() == "time/total_timesteps,a,b\n10,1,\n20,2,3\n30,,4\n"
    resumed = CsvLog(file, from_step=20)
    resumed.write({"a": 5.0}, {"a": None}, 25)  # type: ignore[dict-item]
    rows = list(csv.DictReader(file.open()))
    assert [row["time/total_timesteps"] for row in rows] == ["10", "20", "25"]
    assert rows[-1]["a"] == "5"


def test_resume__without_checkpoint_or_with_nothing_left_is_an_error(tmp_path: Path, console: Console) -> None:
    run = create_run(tmp_path, settings_for())
    with pytest.raises(UsageError, match="no checkpoint to resume from"):
        command.resume(run.folder, None, console=console)
    training = begin(tmp_path, console)
    run = training.run
    command.train(training, console, progress=False)
    with pytest.raises(UsageError, match="has reached its 1,024 steps"):
        command.resume(run.folder, None, console=console)
    longer = command.resume(run.folder, 1300, console=console)
    command.train(longer, console, progress=False)
    assert longer.model.num_timesteps >= 1300
    assert open_run(run.folder).settings.timesteps == longer.run.settings.timesteps == 1300
