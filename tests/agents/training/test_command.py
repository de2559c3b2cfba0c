"""The command line `train.py`: a whole small run, resuming, wrong names, stopping by Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import pytest

from stormgym.agents.domain import load_entry
from stormgym.agents.evaluation.options import options_of
from stormgym.agents.registry import AGENTS
from stormgym.agents.training.command import env_options
from stormgym.agents.training.play import make_training_env

ROOT = Path(__file__).resolve().parents[3]
SMALL = ("--city", "synthetic:8:1", "--predictor", "none", "--num-envs", "8", "--eval-episodes", "8")
QUICK_PPO = (
    "--maskable-ppo.n-steps",
    "16",
    "--maskable-ppo.batch-size",
    "64",
    "--maskable-ppo.n-epochs",
    "1",
)


def only_run(folder: Path) -> Path:
    runs = [p.parent for p in folder.rglob("settings.json")]
    assert len(runs) == 1
    return runs[0]


def test_training__ends_with_table_run_folder_and_next_command_and_resumes(
    train_main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("--runs-dir", str(tmp_path), "--final-episodes", "4", "--compare", "none")
    arguments = (*SMALL, *QUICK_PPO, "--agent", "maskable-ppo", "--timesteps", "512", *common)
    assert train_main(arguments) == 0
    out, err = capsys.readouterr()
    folder = only_run(tmp_path)
    assert "best so far" in err
    assert "4 common scenarios" in out
    assert "maskable-ppo" in out
    assert f"--city synthetic:8:1 --predictor none --split test --agents {folder}" in out
    assert f"python train.py --resume {folder} --timesteps 1024" in out
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert evaluation["agents"]["maskable-ppo"]["learned"] is True

    assert train_main(("--resume", str(folder))) == 2
    assert "has reached its 512 steps" in capsys.readouterr().err
    assert train_main(("--resume", str(folder), "--timesteps", "700", "--final-episodes", "0")) == 0
    assert int(max((folder / "checkpoints").iterdir(), key=lambda p: int(p.name)).name) >= 700
    assert train_main(("--resume", str(folder), "--timesteps", "900", "--compare", "nearset")) == 2
    assert "unknown agent 'nearset'" in capsys.readouterr().err
    assert train_main(("--resume", str(folder), "--seed", "4", "--env", "X")) == 2
    assert "leave out --seed" in capsys.readouterr().err
    assert train_main(("--resume", str(folder), "--timesteps", "900", "--env", "Undergrounding-v0")) == 2
    assert "was trained on Restoration-v0, not Undergrounding-v0; leave out --env" in capsys.readouterr().err


def test_training__default_agent_is_sta_sac(train_main: Callable[..., int], tmp_path: Path) -> None:
    quick = ("--sta-sac.learning-starts", "64", "--sta-sac.gradient-steps", "1", "--sta-sac.width", "16")
    rest = ("--timesteps", "256", "--runs-dir", str(tmp_path), "--final-episodes", "0", "--no-progress")
    assert train_main((*SMALL, *quick, *rest)) == 0
    assert json.loads((only_run(tmp_path) / "settings.json").read_text())["agent"] == "sta-sac"


def test_training__says_when_the_budget_ends_before_learning_begins(
    train_main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (*SMALL, "--timesteps", "64", "--runs-dir", str(tmp_path), "--final-episodes", "0")
    assert train_main(arguments) == 0
    assert "Note: the first 3,000 steps are random (--sta-sac.learning-starts)" in capsys.readouterr().out


def test_training__other_registered_environments_work_without_a_constraint(
    train_main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = ("--timesteps", "128", "--num-envs", "2", "--eval-episodes", "2", "--runs-dir", str(tmp_path))
    assert (
        train_main(("--env", "CartPole-v1", "--agent", "ppo", "--ppo.n-steps", "32", "--ppo.batch-size", "64", *rest))
        == 0
    )
    out, err = capsys.readouterr()
    assert "return" in err
    assert "evaluate.py" not in out  # which needs costs and metrics
    assert "--resume" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--env", "Restoration-v9"),
            r"unknown environment 'Restoration-v9'; known environments: .*Restoration-v0",
        ),
        (("--agent", "td3"), "unknown agent 'td3'; agents that learn: sta-sac, sta-sac-paper, ppo, dqn, maskable-ppo"),
        (("--agent", "nearest"), "needs no training; score it with python evaluate.py .*--agents nearest"),
        (("--env", "CartPole-v1"), "no default agent; name one with --agent: ppo, dqn"),
        (
            ("--env", "CartPole-v1", "--agent", "sta-sac"),
            "does not fit CartPole-v1; agents that do: ppo, dqn",
        ),
        (("--agent", "ppo", "--dqn.batch-size", "7"), r"options of --dqn\.\* are set, but the agent is ppo"),
        (("--timesteps", "0"), "--timesteps must be at least 1; got 0"),
        (("--final-episodes", "-1"), r"--final-episodes must be at least 0 \(no table\); got -1"),
        (("--agent", "dqn", "--dqn.batch-size", "0"), "--dqn.batch-size must be at least 1; got 0"),
        (("--sta-sac.n-heads", "5"), r"options of --sta-sac\.\* do not go together: embed_dim must be divisible"),
        (("--compare", "nearset"), "unknown agent 'nearset'; known agents of Restoration-v0: random"),
        (("--compare", "old=tests"), "trained agent 'old' cannot be loaded: 'tests' holds no settings.json"),
        (("--city", "atlantis"), "city must be .*got 'atlantis'"),
        (("--cost-limit", "-1"), "cost_limit must be a positive number"),
        (("--option", "wind=3"), "Restoration-v0 takes no argument 'wind'"),
        (
            ("--agent", "ppo", "--cost-limit", "4-20"),
            r"ppo learns one price of the gap.*got the range .*take sta-sac or",
        ),
        (("--device", "abacus"), "--device must be cpu, cuda or auto; got 'abacus'"),
        (("--resume", "nowhere"), "run folder 'nowhere' does not exist"),
        (("--sta-sac.retrace", "2"), r"retrace must be in \[0, 1\]; got 2"),
    ],
)
def test_training__wrong_use_says_what_there_is(
    train_main: Callable[..., int],
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)  # where there is a folder `tests`
    small = () if any(a in arguments for a in ("--city", "--resume", "CartPole-v1")) else SMALL
    place = () if "--resume" in arguments else ("--runs-dir", str(tmp_path))
    assert train_main((*small, *arguments, *place)) == 2
    err = capsys.readouterr().err
    assert re.search(message, err.replace("\n", " ")), err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())  # a run that cannot start leaves no folder


def test_training__unknown_option_is_an_error(
    train_main: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        train_main(("--learning-rte", "1"))
    assert stop.value.code == 2
    assert "learning-rte" in "".join(capsys.readouterr())


@pytest.mark.parametrize("agent", [name for name, spec in AGENTS.items() if spec.trainable])
def test_help__shows_the_options_of_the_learner_that_is_asked_for(
    train_main: Callable[..., int], capsys: pytest.CaptureFixture[str], agent: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        train_main(("--agent", agent, "--help"))
    assert stop.value.code == 0
    text = capsys.readouterr().out
    settings = load_entry(AGENTS[agent].settings or "")
    for field in fields(settings):
        assert f"--{agent}.{field.name.replace('_', '-')}" in text
    others = [name for name in AGENTS if name != agent and f"--{name}." in text]
    assert not others
    assert "noqa" not in text  # tyro shows comments beside a field


@pytest.mark.parametrize(
    ("env_id", "there", "absent"),
    [("Restoration-v0", "--city", "--profile"), ("GeneratorDispatch-v0", "--profile", "--city")],
)
def test_help__is_short_and_about_the_environment_that_is_asked_for(
    train_main: Callable[..., int], capsys: pytest.CaptureFixture[str], env_id: str, there: str, absent: str
) -> None:
    with pytest.raises(SystemExit):
        train_main(("--env", env_id, "--help"))
    text = capsys.readouterr().out
    assert there in text
    assert absent not in text
    assert "--agent NAME --help" in text
    assert len(text.splitlines()) < 120


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_training__stopping_saves_and_names_the_command_that_resumes(signum: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-u", str(ROOT / "train.py"), *SMALL, *QUICK_PPO, "--agent", "maskable-ppo"]
    command += ["--timesteps", "10000000", "--eval-freq", "256", "--runs-dir", str(tmp_path)]
    log = tmp_path / "log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
        try:
            deadline = time.monotonic() + 60
            while "step " not in log.read_text() and time.monotonic() < deadline:
                assert process.poll() is None, log.read_text()
                time.sleep(0.1)
            process.send_signal(signum)
            assert process.wait(timeout=60) == 128 + signum
        finally:
            process.kill()
    text = log.read_text()
    folder = only_run(tmp_path)
    assert f"go on with: python train.py --resume {folder}" in text
    assert "Traceback" not in text
    saved = list((folder / "checkpoints").iterdir())
    assert len(saved) == 1
    assert (saved[0] / "state.safetensors").is_file()


def test_env_options__are_those_that_evaluate_takes() -> None:
    assert env_options({}) == ""
    text = env_options({"city": "my city", "cost_limit": 6.0, "shock_log_sd": 0.5, "reward": "terminal"})
    assert text == " --city 'my city' --cost-limit 6.0 --option shock_log_sd=0.5 --option reward=terminal"


def test_env_options__a_range_of_limits_is_written_as_it_is_read() -> None:
    for pair in ((4.0, 20.5), [4.0, 20.5]):  # as given, and as settings.json gives it back
        assert env_options({"cost_limit": pair}) == " --cost-limit 4.0-20.5"
    assert options_of()(cost_limit="4.0-20.5").env_kwargs() == {"cost_limit": (4.0, 20.5)}


def test_training__over_many_cities_ends_without_a_table_and_says_how_to_score(
    train_main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ("--sta-sac.learning-starts", "64", "--sta-sac.gradient-steps", "1", "--sta-sac.width", "16")
    place = ("--city", "synthetic:5-8:1:3", "--predictor", "none", "--num-envs", "4", "--eval-episodes", "6")
    rest = ("--timesteps", "128", "--runs-dir", str(tmp_path), "--no-progress")
    assert train_main((*place, *quick, *rest)) == 0
    folder = only_run(tmp_path)
    assert (
        f"--city CITY --predictor none --split test --agents {folder} (CITY: any one city)" in capsys.readouterr().out
    )
    assert not (folder / "evaluation.json").exists()


@pytest.mark.parametrize(
    ("agent", "quick"),
    [
        ("ppo", ("--ppo.n-steps", "8", "--ppo.batch-size", "32")),
        ("sac", ("--sac.learning-starts", "64", "--sac.batch-size", "32", "--sac.width", "16")),
    ],
)
def test_training__on_decisions_chooses_the_best_on_other_cases_resumes_and_scores(
    agent: str,
    quick: tuple[str, ...],
    newsvendor: ModuleType,
    train_main: Callable[..., int],
    evaluate_main: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []

    def noting(env_id: str, num_envs: int, env_kwargs: dict[str, object], *rest: object) -> object:
        made.append(env_kwargs["split"])
        return make_training_env(env_id, num_envs, env_kwargs)

    monkeypatch.setattr("stormgym.agents.training.command.make_training_env", noting)
    env = ("--env", f"newsvendor:{newsvendor.ENV_ID}")
    run = ("--agent", agent, *quick, "--timesteps", "256", "--eval-freq", "128", "--eval-episodes", "16")
    rest = ("--num-envs", "4", "--runs-dir", str(tmp_path), "--final-episodes", "8")
    assert train_main((*env, *run, *rest)) == 0
    out, err = capsys.readouterr()
    assert made == ["train", "validation"]
    assert re.search(r"step 256: cost \d+\.\d{3} USD \(16 episodes\)", err)
    assert "no equity to measure" in out
    folder = only_run(tmp_path)
    rows = (folder / "progress.csv").read_text().splitlines()
    columns = rows[0].split(",")
    assert {"eval/return", "eval/cost", "eval/regret"} <= set(columns)
    assert "rollout/ep_cost_mean" not in columns
    score = json.loads((folder / "best" / "score.json").read_text())
    assert score["rank"][0] == 0.0  # nothing is limited, so the return decides
    assert score["cost"] == pytest.approx(-score["return"], rel=1e-5)

    assert train_main(("--resume", str(folder), "--timesteps", "384", "--final-episodes", "0")) == 0
    assert int(max((folder / "checkpoints").iterdir(), key=lambda p: int(p.name)).name) >= 384
    capsys.readouterr()
    assert evaluate_main([*env, "--episodes", "8", "--agents", f"mine={folder},usual-order"]) == 0
    assert "mine" in capsys.readouterr().out
