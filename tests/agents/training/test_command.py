"""The command line `train.py`: a whole small run, resuming, wrong names, stopping by Ctrl-C."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from rich.console import Console

from stormgym.agents.cluster import processors
from stormgym.agents.domain import load_entry
from stormgym.agents.evaluation.options import options_of
from stormgym.agents.registry import AGENTS
from stormgym.agents.run_lock import RunLock
from stormgym.agents.runs import RunRequest, RunSettings, load_model, open_run
from stormgym.agents.training import checkpoints, command
from stormgym.agents.training.callbacks import StopRequest, stop_on_signals
from stormgym.agents.training.command import Training, env_options
from stormgym.agents.training.play import make_training_env
from stormgym.agents.usage import UsageError
from stormgym.envs.risk_measure import RiskMeasure

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
QUICK_STA_SAC = ("--sta-sac.teacher", "nearest", "--sta-sac.gradient-steps", "1", "--sta-sac.width", "16")


def only_run(folder: Path) -> Path:
    runs = [p.parent for p in folder.rglob("settings.json")]
    assert len(runs) == 1
    return runs[0]


def test_training__ends_with_table_run_folder_and_next_command_and_resumes(
    train_main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("--runs-dir", str(tmp_path), "--final-episodes", "4", "--compare", "none")
    arguments = (*SMALL, *QUICK_PPO, "--agent", "maskable-ppo", "--timesteps", "256", *common)
    assert train_main(arguments) == 0
    out, err = capsys.readouterr()
    folder = only_run(tmp_path)
    assert "best so far" in err
    assert "4 common scenarios" in out
    assert "Final table: maskable-ppo, on 4 held-out scenarios each (--final-episodes 0 skips it, N plays fewer)" in out
    assert "maskable-ppo: 4 episodes (" in err
    assert f"--city synthetic:8:1 --predictor none --split test --agents {folder}" in out
    assert f"python train.py --resume {folder} --timesteps 512" in out
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert evaluation["agents"]["maskable-ppo"]["learned"] is True

    assert train_main(("--resume", str(folder))) == 2
    assert "has reached its 256 steps" in capsys.readouterr().err
    assert train_main(("--resume", str(folder), "--timesteps", "300", "--final-episodes", "0")) == 0
    assert int(max((folder / "checkpoints").iterdir(), key=lambda p: int(p.name)).name) >= 300
    assert train_main(("--resume", str(folder), "--timesteps", "900", "--compare", "nearset")) == 2
    assert "unknown agent 'nearset'" in capsys.readouterr().err
    assert train_main(("--resume", str(folder), "--seed", "4", "--env", "X")) == 2
    assert "leave out --seed" in capsys.readouterr().err
    assert train_main(("--resume", str(folder), "--timesteps", "900", "--env", "Undergrounding-v0")) == 2
    assert "was trained on Restoration-v0, not Undergrounding-v0; leave out --env" in capsys.readouterr().err


def test_training__default_agent_is_sta_sac(train_main: Callable[..., int], tmp_path: Path) -> None:
    rest = ("--timesteps", "128", "--runs-dir", str(tmp_path), "--final-episodes", "0", "--no-progress")
    assert train_main((*SMALL, *QUICK_STA_SAC, *rest)) == 0
    assert json.loads((only_run(tmp_path) / "settings.json").read_text())["agent"] == "sta-sac"


def test_training__says_when_the_budget_ends_before_learning_begins(
    train_main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (*SMALL, *QUICK_STA_SAC, "--timesteps", "64", "--runs-dir", str(tmp_path), "--final-episodes", "0")
    assert train_main(arguments) == 0
    assert "Note: the first 3,000 steps are random (--sta-sac.learning-starts)" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cvar", "chance"])
def test_training__under_a_limit_on_the_tail_keeps_it_in_its_settings_resumes_and_is_scored_by_it(
    kind: str, train_main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limit = ("--cost-limit", "3", "--cost-limit-kind", kind, "--cost-limit-level", "0.8")
    taught = (*QUICK_STA_SAC, "--sta-sac.teacher-steps", "64")
    rest = ("--runs-dir", str(tmp_path), "--final-episodes", "5", "--compare", "none")
    assert train_main((*SMALL, *limit, *taught, "--agent", "sta-sac", "--timesteps", "128", *rest)) == 0
    run = only_run(tmp_path)
    kwargs = json.loads((run / "settings.json").read_text())["env_kwargs"]
    assert (kwargs["cost_limit_kind"], kwargs["cost_limit_level"]) == (kind, 0.8)
    model = load_model(open_run(run))
    assert model.multiplier.measure == RiskMeasure(kind, 0.8)
    table = capsys.readouterr().out
    title = "CVaR 0.2 of the gap" if kind == "cvar" else "the gap in 80 % of scenarios"
    assert f"limit on {title}: 3 h" in " ".join(table.split())
    assert train_main(("--resume", str(run), "--timesteps", "192", "--final-episodes", "5", "--compare", "none")) == 0
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert (evaluation["cost_limit_kind"], evaluation["cost_limit_level"]) == (kind, 0.8)
    with (run / "progress.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert int(rows[-1]["time/total_timesteps"]) == 192
    assert float(rows[-1]["eval/burden"]) > 0
    assert float(rows[-1]["rollout/greedy_burden"]) >= 0
    assert ("train/threshold_in_limits" in rows[-1]) == (kind == "cvar")


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--env", "Restoration-v9"),
            r"unknown environment 'Restoration-v9'; did you mean 'Restoration-v0'\? Known environments: .*Crew",
        ),
        (("--agent", "td3"), "unknown agent 'td3'; agents that learn: sta-sac, sta-sac-paper, ppo, dqn, maskable-ppo"),
        (("--agent", "nearest"), "needs no training: python evaluate.py .*--agents nearest"),
        (("--env", "CartPole-v1"), "no default agent; name one with --agent: ppo, dqn"),
        (
            ("--env", "CartPole-v1", "--agent", "sta-sac"),
            "does not fit CartPole-v1; agents that do: ppo, dqn",
        ),
        (("--agent", "ppo", "--dqn.batch-size", "7"), r"options of --dqn\.\* are set, but the agent is ppo"),
        (("--timesteps", "0"), "--timesteps must be at least 1; got 0"),
        (("--final-episodes", "-1"), r"--final-episodes must be at least 0 \(no table\); got -1"),
        (("--agent", "dqn", "--dqn.batch-size", "0"), "--dqn.batch-size must be at least 1; got 0"),
        (("--agent", "dqn", "--dqn.learning-rate", "-1"), "--dqn.learning-rate must be at least 0 and finite; got -1"),
        (
            ("--agent", "ppo", "--ppo.learning-rate", "nan"),
            "--ppo.learning-rate must be at least 0 and finite; got nan",
        ),
        (("--agent", "dqn", "--dqn.gamma", "2"), "--dqn.gamma must be from 0 to 1; got 2"),
        (("--sta-sac.n-heads", "5"), r"options of --sta-sac\.\* do not go together: embed_dim must be divisible"),
        (
            ("--compare", "nearset"),
            r"unknown agent 'nearset'; did you mean 'nearest'\? Known agents of Restoration-v0: random",
        ),
        (("--compare", "old=tests"), "trained agent 'old' cannot be loaded: 'tests' holds no settings.json"),
        (("--city", "atlantis"), "city must be .*got 'atlantis'"),
        (("--cost-limit", "-1"), "cost_limit must be a positive number"),
        (("--option", "wind=3"), "Restoration-v0 takes no argument 'wind'"),
        (
            ("--agent", "ppo", "--cost-limit", "4-20"),
            r"ppo learns one price of the gap.*got the range .*take sta-sac or",
        ),
        (("--cost-limit-kind", "tail"), "cost_limit_kind must be one of mean, cvar, chance; got 'tail'"),
        (
            ("--cost-limit-kind", "cvar", "--cost-limit-level", "90"),
            r"cost_limit_level must be in \(0, 1\), as 0.9; got 90. Did you mean 0.9\?",
        ),
        (("--cost-limit-level", "0.9"), "cost_limit_level is for the kinds cvar and chance"),
        (
            ("--agent", "ppo", "--cost-limit-kind", "chance"),
            "ppo learns under limits on the mean of the cost; got cost_limit_kind 'chance'. Leave it out, or take "
            "sta-sac",
        ),
        (("--device", "abacus"), "--device must be cpu, cuda or auto; got 'abacus'"),
        (("--device", "mps:7"), "--device mps:7: torch .* cannot compute on 'mps' here; take cpu or auto"),
        (("--device", "xla"), "--device xla: torch .* cannot compute on 'xla' here; take cpu or auto"),
        (("--num-envs", "100001"), "--num-envs must be at most 100,000; got 100001"),
        (("--eval-episodes", "1000001"), "--eval-episodes must be at most 1,000,000; got 1000001"),
        (("--timesteps", "1" + "0" * 16), "--timesteps must be at most 1,000,000,000,000,000; got 1000"),
        (("--seed", str(2**32)), "--seed must be at most 4,294,967,295; got 4294967296"),
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


def test_request__for_more_threads_than_processors_is_capped_before_any_begins() -> None:
    kwargs = {"city": "synthetic:6:1", "predictor": "none"}
    asked = RunRequest(env_id="Restoration-v0", agent="ppo", env_kwargs=kwargs, torch_threads=10_000)
    with pytest.warns(UserWarning, match="--torch-threads 10000 is more than the processors"):
        settings = command.complete(asked)[2]
    assert settings.torch_threads == processors()


def contents_of(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def stopped_once(tmp_path_factory: pytest.TempPathFactory, begin: Callable[..., Training]) -> Path:
    """The folder of a run that was stopped at step 128 of 256."""
    console = Console(quiet=True)
    training = begin(tmp_path_factory.mktemp("runs"), console, eval_episodes=2)
    stop = StopRequest()

    def ask(*result: object) -> None:
        stop.asked = True

    command.train(training, console, progress=False, on_result=ask, stop=stop)
    assert [p.name for p in (training.run.folder / "checkpoints").iterdir()] == ["128"]
    return training.run.folder


@pytest.fixture
def stopped(stopped_once: Path, tmp_path: Path) -> Path:
    """A copy of it, to be resumed or spoilt."""
    return shutil.copytree(stopped_once, tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--timesteps", "10"), r"is at step 128 already; --timesteps must be a larger total, such as 256; got 10"),
        (("--timesteps", "128"), r"is at step 128 already; --timesteps must be a larger total"),
        (("--timesteps", "0"), r"--timesteps must be at least 1; got 0"),
        (("--timesteps", str(10**16)), r"--timesteps must be at most 1,000,000,000,000,000; got"),
        (("--timesteps", "700", "--compare", "nobody"), r"unknown agent 'nobody'"),
        (("--timesteps", "700", "--final-episodes", "10000000"), r"--final-episodes must be at most 1,000,000; got"),
        (("--timesteps", "700", "--seed", "1"), r"leave out --seed"),
    ],
)
def test_resume__that_is_refused_changes_nothing(
    options: tuple[str, ...],
    message: str,
    stopped: Path,
    train_main: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = contents_of(stopped)
    assert train_main(("--resume", str(stopped), *options)) == 2
    assert re.search(message, capsys.readouterr().err)
    assert contents_of(stopped) == before


@pytest.mark.parametrize("name", ["progress.csv", "best/score.json", "checkpoints/128/state.safetensors"])
def test_resume__with_a_file_that_cannot_be_read_keeps_the_budget_and_names_the_cure(
    name: str, stopped: Path, train_main: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    (stopped / name).write_text("{garbled")
    before = contents_of(stopped)
    assert train_main(("--resume", str(stopped), "--timesteps", "700")) == 2
    err = capsys.readouterr().err
    assert str(stopped / name) in err
    assert re.search("Delete the folder|Move the file elsewhere", err)
    assert contents_of(stopped) == before


def test_resume__of_a_stopped_run_takes_another_budget_or_its_own(
    stopped: Path, console: Console, train_main: Callable[..., int]
) -> None:
    shutil.copytree(stopped / "checkpoints" / "128", stopped / "checkpoints" / "128.bak")
    (stopped / ".new-killed").mkdir()
    with pytest.warns(UserWarning, match=r"128\.bak is ignored: a checkpoint is a folder named by its step"):
        assert train_main(("--resume", str(stopped), "--timesteps", "200", "--final-episodes", "0")) == 0
    assert json.loads((stopped / "settings.json").read_text())["timesteps"] == 200
    assert (stopped / "checkpoints" / "128.bak" / "model.safetensors").is_file()
    assert not (stopped / ".new-killed").exists()
    assert not (stopped / "lock").exists()


def test_resume__of_a_run_whose_best_model_was_deleted_chooses_it_anew(stopped: Path, console: Console) -> None:
    shutil.rmtree(stopped / "best")
    command.train(command.resume(stopped, console=console), console, progress=False)
    assert (stopped / "best" / "model.safetensors").is_file()


def test_resume__of_a_run_that_ended_without_its_table_makes_it(
    stopped: Path, console: Console, train_main: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    command.train(command.resume(stopped, console=console), console, progress=False)
    saved = contents_of(stopped)
    words = ("--resume", str(stopped), "--final-episodes", "2", "--compare", "none")
    with RunLock(stopped):
        assert train_main(words) == 2
    assert "is being trained by process" in capsys.readouterr().err
    assert train_main(words) == 0
    assert "has reached its 256 steps; its final table is missing" in capsys.readouterr().out
    table = stopped / "evaluation.json"
    assert json.loads(table.read_text())["run"] == {"agent": "maskable-ppo", "seed": 3, "timesteps": 256}
    assert {name: data for name, data in contents_of(stopped).items() if name != table.name} == saved
    assert train_main(words) == 2  # nothing is left to do
    assert "has reached its 256 steps; name a larger total" in capsys.readouterr().err
    table.write_text(table.read_text()[:100])
    with pytest.warns(UserWarning, match=r"evaluation\.json cannot be read .*\. Its scenarios are played again"):
        assert train_main(words) == 0
    told = json.loads(table.read_text())
    table.write_text(json.dumps({**told, "run": {**told["run"], "timesteps": 128}}))  # of a budget before
    assert train_main(words) == 0
    del told["run"]
    table.write_text(json.dumps(told))  # as earlier versions wrote it
    assert train_main(words) == 2


@pytest.mark.parametrize("what", ["moved", "deleted"])
def test_training__whose_folder_goes_ends_clearly_and_makes_no_half_folder(
    what: str, tmp_path: Path, console: Console, begin: Callable[..., Training]
) -> None:
    training = begin(tmp_path / "runs", console, timesteps=320, eval_freq=256, eval_episodes=2)
    folder, elsewhere = training.run.folder, tmp_path / "elsewhere"

    def go(*result: object) -> None:
        folder.rename(elsewhere)
        if what == "deleted":
            shutil.rmtree(elsewhere)

    with pytest.raises(UsageError, match=r"was moved or deleted while it trained, so this training ends"):
        command.train(training, console, progress=False, on_result=go)
    assert not folder.exists()
    if what == "moved":
        again = command.resume(elsewhere, console=console)
        assert again.model.num_timesteps == 128
        command.train(again, console, progress=False)


def test_training__that_cannot_write_says_what_is_saved(
    tmp_path: Path, console: Console, begin: Callable[..., Training], monkeypatch: pytest.MonkeyPatch
) -> None:
    training = begin(tmp_path, console, timesteps=320, eval_freq=512, eval_episodes=2)
    write = checkpoints.write_file

    def full(file: Path, kind: str, state: dict[str, Any]) -> Path:
        if state["num_timesteps"] > 128:
            raise OSError(errno.ENOSPC, "No space left on device", str(file))
        return write(file, kind, state)

    monkeypatch.setattr(checkpoints, "write_file", full)
    with pytest.raises(
        UsageError, match=r"training ended at step 256: .*No space left.*; step 128 is saved; .*--resume"
    ):
        command.train(training, console, progress=False)
    assert [p.name for p in (training.run.folder / "checkpoints").iterdir()] == ["128"]


def test_interrupt__before_the_folder_exists_is_one_line_and_leaves_nothing(
    train_main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    words = (*SMALL, *QUICK_PPO, "--agent", "maskable-ppo", "--timesteps", "256", "--runs-dir", str(tmp_path / "runs"))
    for name in ("_prepared", "check_table", "check_env_kwargs"):
        with monkeypatch.context() as patch:
            patch.setattr(command, name, interrupted)
            assert train_main(words) == 130
        assert capsys.readouterr().err == "train.py: stopped before it began; nothing was written\n"
        assert not list(tmp_path.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr("stormgym.agents.runs.run_versions", interrupted)
        assert train_main(words) == 130
    assert not list(tmp_path.rglob("settings.json"))
    with monkeypatch.context() as patch:
        patch.setattr(command, "make_logger", interrupted)
        assert train_main(words) == 130
    assert "train.py: stopped at once; before its first checkpoint" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="sends signals")
@pytest.mark.parametrize("ignored", [False, True])
def test_hangup__asks_to_stop_once_and_never_interrupts(ignored: bool) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    told: list[int] = []

    def tell() -> None:
        told.append(1)
        raise OSError("the terminal is gone")

    try:
        with stop_on_signals(tell) as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.signum == (None if ignored else signal.SIGHUP)
            if not ignored:
                with pytest.raises(KeyboardInterrupt):
                    os.kill(os.getpid(), signal.SIGTERM)
        assert len(told) == (not ignored)
        assert signal.getsignal(signal.SIGHUP) == (signal.SIG_IGN if ignored else signal.SIG_DFL)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_training__asked_to_stop_saves_and_names_the_command_that_resumes(
    signum: signal.Signals,
    train_main: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # not as the tests may run, under nohup
    monkeypatch.setattr(command.ProgressBar, "show_score", lambda *told: os.kill(os.getpid(), signum))
    words = ("--agent", "maskable-ppo", "--timesteps", "100000", "--eval-freq", "128", "--runs-dir", str(tmp_path))
    try:
        assert train_main((*SMALL, *QUICK_PPO, *words)) == 128 + signum
    finally:
        signal.signal(signal.SIGHUP, before)
    assert_saved(only_run(tmp_path), capsys.readouterr().err)


def assert_saved(run: Path, said: str) -> None:
    assert f"go on with: python train.py --resume {run}" in said
    assert "Traceback" not in said
    (checkpoint,) = (run / "checkpoints").iterdir()
    assert (checkpoint / "state.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sends signals")
def test_training__in_a_process_of_its_own_is_stopped_by_ctrl_c(tmp_path: Path) -> None:
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
            deadline = time.monotonic() + 300
            while "step " not in log.read_text() and time.monotonic() < deadline:
                assert process.poll() is None, log.read_text()
                time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=300) == 128 + signal.SIGINT
        finally:
            process.kill()
            process.wait()
    assert_saved(only_run(tmp_path), log.read_text())


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
    place = ("--city", "synthetic:5-8:1:3", "--predictor", "none", "--num-envs", "4", "--eval-episodes", "6")
    rest = ("--timesteps", "128", "--runs-dir", str(tmp_path), "--no-progress")
    assert train_main((*place, *QUICK_STA_SAC, *rest)) == 0
    folder = only_run(tmp_path)
    assert (
        f"--city CITY --predictor none --split test --agents {folder} (CITY: any one city)" in capsys.readouterr().out
    )
    assert not (folder / "evaluation.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("agent", "quick"),
    [
        ("ppo", ("--ppo.n-steps", "8", "--ppo.batch-size", "32")),
        (
            "sac",
            ("--sac.learning-starts", "64", "--sac.batch-size", "32", "--sac.width", "16", "--sac.gradient-steps", "1"),
        ),
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


def test_new_run__without_room_or_leave_says_where_and_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = RunSettings(
        env_id="Restoration-v0",
        agent="dqn",
        seed=0,
        timesteps=10,
        num_envs=1,
        env_kwargs={},
        learner={},
        eval_freq=1,
        eval_episodes=1,
        checkpoint_freq=1,
        device="cpu",
        torch_threads=1,
    )

    def full(folder: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(command, "RunLock", full)
    with pytest.raises(ValueError, match=r"no run can be made in .* \(No space left on device\); make room there, or"):
        command._new_run(tmp_path, settings)
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith("0-")]
    (tmp_path / "file").write_text("kept")
    with pytest.raises(ValueError, match=r"no run can be made in .*file \(Not a directory\); .* with --runs-dir"):
        command._new_run(tmp_path / "file", settings)
