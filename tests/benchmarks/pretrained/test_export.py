"""From a run to a pretrained agent: the same choices, a command that makes the same run, scores, errors."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import tyro
from rich.console import Console

import stormgym
from benchmarks.pretrained import export as door
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.learners.settings import MaskablePPOSettings
from stormgym.agents.pretrained import load_card, load_pretrained
from stormgym.agents.restoration.todays_jobs import sub_city
from stormgym.agents.runs import RunRequest, RunSettings, load_policy, open_run
from stormgym.agents.sta_sac.settings import STASACPaperSettings, STASACSettings
from stormgym.agents.training import command as training
from stormgym.agents.training.cli import Settings
from stormgym.agents.training.options import with_learners
from stormgym.envs.data import resolve_city

CITY = "synthetic:7:1"
ENV_KWARGS: dict[str, Any] = {"city": CITY, "predictor": "none"}
QUICK = STASACSettings(learning_starts=100, gradient_steps=1, width=16, n_layers=1, target_entropy=(0.2, 0.1))


def train(folder: Path, agent: str, settings: Any, **env_kwargs: Any) -> Path:
    console = Console(stderr=True, quiet=True)
    request = RunRequest(
        env_id="Restoration-v0",
        agent=agent,
        learner=asdict(settings),
        timesteps=256,
        seed=3,
        num_envs=8,
        env_kwargs={**ENV_KWARGS, **env_kwargs},
        eval_freq=128,
        eval_episodes=8,
        torch_threads=1,
    )
    run = training.start_run(request, runs_dir=folder, console=console)
    training.train(run, console, progress=False)
    return run.run.folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("runs"), "sta-sac", QUICK)


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretrained")
    arguments = [str(run), "--name", "tiny", "--episodes", "12", "--checked", "5", "--folder", str(folder)]
    assert door.main(arguments) == 0
    return folder


@pytest.mark.slow
def test_export__takes_the_same_choices_as_the_run(run: Path, exported: Path) -> None:
    assert {file.name for file in exported.iterdir()} == {"sta-sac-tiny.npz", "sta-sac-tiny.json"}
    envs = gym.make_vec("Restoration-v0", 16, vectorization_mode="vector_entry_point", **ENV_KWARGS)
    obs, _ = envs.reset(seed=0)
    ours, theirs = load_pretrained("sta-sac:tiny", envs, folder=exported), load_policy(run, envs)
    for _ in range(7):
        action, _ = ours.predict(obs, deterministic=True)
        assert action.tolist() == theirs.predict(obs, deterministic=True)[0].tolist()
        obs, *_ = envs.step(action)


def test_export__card_tells_what_the_run_was(run: Path, exported: Path) -> None:
    card = load_card("sta-sac:tiny", exported)
    assert (card.seed, card.timesteps, card.n_groups, card.version) == (3, 256, 3, stormgym.__version__)
    assert card.network == {
        "shape": "episode",
        "width": 16,
        "n_layers": 1,
        "n_heads": 4,
        "step_width": 32,
        "balance": True,
    }
    assert card.summary == f"trained on city {CITY}, limit 8 h, 256 steps"
    assert card.trained_on.instance == CITY
    assert card.trained_on.env_kwargs == {**ENV_KWARGS, "split": "train"}
    assert str(run) not in (exported / "sta-sac-tiny.json").read_text()


def test_export__scores_are_those_of_evaluate(exported: Path) -> None:
    card = load_card("sta-sac:tiny", exported)
    where = {**ENV_KWARGS, "split": "test"}  # records that training never drew
    assert [(s.episodes, s.seed, s.env_kwargs) for s in card.scores] == [(12, 0, where), (5, 0, where)]
    policy = load_pretrained("sta-sac:tiny", folder=exported)
    for score in card.scores:
        record = evaluate("Restoration-v0", {"it": policy}, episodes=score.episodes, env_kwargs=where).agents["it"]
        assert set(score.metrics) == {"mean_outage_h", "gap_h"}
        for key, value in score.metrics.items():
            assert record.metrics[key].mean() == pytest.approx(value, abs=1e-3)


def test_export__again_writes_the_same_weights_over_it(run: Path, exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "copy")
    arguments = [str(run), "--name", "tiny", "--episodes", "2", "--summary", "another", "--folder"]
    assert door.main([*arguments, str(tmp_path / "copy")]) == 0
    assert (tmp_path / "copy" / "sta-sac-tiny.npz").read_bytes() == (exported / "sta-sac-tiny.npz").read_bytes()
    assert load_card("sta-sac:tiny", tmp_path / "copy").summary == "another"


def test_export__scores_in_other_cities_and_at_other_limits(run: Path, tmp_path: Path) -> None:
    arguments = [str(run), "--name", "tiny", "--episodes", "3", "--folder", str(tmp_path)]
    assert door.main([*arguments, "--instances", "synthetic:5:1", "--limits", "4", "6-9"]) == 0
    scores = load_card("sta-sac:tiny", tmp_path).scores
    assert [score.env_kwargs["cost_limit"] for score in scores] == [4.0, [6.0, 9.0]]
    assert scores[0].cost_limit == 4.0
    assert 6.0 < scores[1].cost_limit < 9.0
    assert {score.env_kwargs["city"] for score in scores} == {"synthetic:5:1"}


@pytest.mark.parametrize(
    ("agent", "learner", "env_kwargs"),
    [
        ("sta-sac", STASACSettings(), {}),
        ("sta-sac", replace(QUICK, share_critics=False, entropy_in_critic=True, train_freq=4), ENV_KWARGS),
        ("sta-sac", STASACSettings(), {"city": "synthetic:20-100:7:12", "cost_limit": [4.0, 20.0]}),
        ("sta-sac-paper", STASACPaperSettings(batch_size=8), {"shock_log_sd": 0.5}),
    ],
)
def test_command__gives_the_settings_of_the_run(agent: str, learner: Any, env_kwargs: dict[str, Any]) -> None:
    run = RunSettings(
        env_id="Restoration-v0",
        agent=agent,
        seed=4,
        timesteps=1_000,
        num_envs=24,
        env_kwargs=env_kwargs,
        learner=json.loads(json.dumps(asdict(learner))),
        eval_freq=70,
        eval_episodes=99,
        checkpoint_freq=100,
        torch_threads=1,
    )
    words = door.train_command(run).split()
    assert words[:2] == ["python", "train.py"]
    asked = tyro.cli(with_learners(Settings, words[2:]), args=words[2:])
    assert getattr(asked, agent.replace("-", "_")) == learner
    assert json.loads(json.dumps(asked.environment.env_kwargs())) == env_kwargs
    for name in ("agent", "seed", "timesteps", "num_envs", "eval_freq", "eval_episodes", "torch_threads", "device"):
        assert getattr(asked, name) == getattr(run, name), name


def test_command__of_settings_that_have_changed_must_be_given(run: Path) -> None:
    settings = open_run(run).settings
    old = replace(settings, learner={**settings.learner, "warmth": 1.0})
    with pytest.raises(ValueError, match=r"settings of sta-sac have changed since the run \(warmth\).*--command"):
        door.train_command(old)


def test_trained_on__many_cities_have_no_limit_of_their_own_and_are_scored_on_the_default_one(run: Path) -> None:
    settings = replace(open_run(run).settings, env_kwargs={"city": "synthetic:20-100:7:12"})
    where = door.trained_on(settings)
    assert (where.instance, where.cost_limit) == ("synthetic:20-100:7:12", None)
    asked = door.Settings(run=run, name="x", limits=("4", "8-9"))
    assert door.places(replace(asked, limits=()), where) == [{"city": "default"}]
    limits = [place["cost_limit"] for place in door.places(asked, where)]
    assert limits == [4.0, [8.0, 9.0]]
    ranged = replace(settings, env_kwargs={**ENV_KWARGS, "cost_limit": [2.0, 9.0]})
    assert door.trained_on(ranged).cost_limit == (2.0, 9.0)


def test_export__what_cannot_be_exported_says_why(
    run: Path, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: str) -> str:
        assert door.main([*arguments, "--folder", str(exported)]) == 2
        return capsys.readouterr().err

    assert "does not exist" in said(str(tmp_path / "nowhere"), "--name", "tiny")
    assert "words of a-z" in said(str(run), "--name", "Tiny One")
    assert "--episodes and --checked must be at least 1; got 0, 64" in said(str(run), "--name", "t", "--episodes", "0")
    empty = tmp_path / "empty"
    shutil.copytree(run, empty)
    shutil.rmtree(empty / "best")
    assert "holds no best model yet" in said(str(empty), "--name", "tiny")
    other = train(tmp_path, "maskable-ppo", MaskablePPOSettings(n_steps=16, width=16))
    assert "only runs of sta-sac and sta-sac-paper can be exported; this one is of" in said(
        str(other), "--name", "mine"
    )


def test_run__of_sta_sac_acts_with_other_regions_and_not_with_other_groups(run: Path) -> None:
    city = resolve_city("synthetic:11:1")
    env = gym.make("Restoration-v0", city=city, predictor="none")
    obs, _ = env.reset(seed=0)
    action, _ = load_policy(run, env).predict(obs, deterministic=True)
    assert obs["action_mask"][int(np.asarray(action))]
    fewer = sub_city(city, np.flatnonzero(city.group > 0))
    with pytest.raises(ValueError, match="Use an environment of the same number of groups, or train on this one"):
        load_policy(run, gym.make("Restoration-v0", city=fewer, predictor="none"))
