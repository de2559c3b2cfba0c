"""`train.py --seeds`: runs side by side, found again, compared; and what a seed's command line holds."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType

import pytest

from stormgym.agents.learners.settings import MaskablePPOSettings
from stormgym.agents.runs import RunRequest, comparable, open_run
from stormgym.agents.training.pool import Trainer, train_module
from stormgym.agents.training.seeds import jobs_of, options_of_one

ROOT = Path(__file__).resolve().parents[3]
SMALL = ("--agent", "maskable-ppo", "--city", "synthetic:6:1", "--predictor", "none", "--num-envs", "4")
QUICK = ("--maskable-ppo.n-steps", "8", "--maskable-ppo.batch-size", "32", "--maskable-ppo.n-epochs", "1")
RUN = (*SMALL, *QUICK, "--timesteps", "64", "--eval-episodes", "4")


def request(**changes: object) -> RunRequest:
    asked = {
        "env_id": "Restoration-v0",
        "agent": "maskable-ppo",
        "timesteps": 128,
        "seed": 4,
        "env_kwargs": {"city": "synthetic:6:1", "predictor": "none"},
        "learner": asdict(MaskablePPOSettings(n_steps=8)),
    }
    return RunRequest(**{**asked, **changes})  # type: ignore[arg-type]  # test data


def test_options__of_one_seed_leave_out_what_the_pool_gives() -> None:
    words = ["--seeds", "5", "--jobs=2", "--seed", "3", "--city", "a", "--no-progress", "--runs_dir", "x", "--b=c"]
    assert options_of_one(words) == ["--city", "a", "--b=c"]
    assert options_of_one([*RUN, "--final-episodes", "0", "--device=cpu", "--torch-threads", "1"]) == list(RUN)


def test_jobs__are_one_a_seed_and_know_their_runs(tmp_path: Path) -> None:
    jobs = jobs_of(request(), 3, ["--seeds", "3", *RUN], tmp_path)
    assert [job.seed for job in jobs] == [4, 5, 6]
    assert [job.options[-2:] for job in jobs] == [("--seed", str(seed)) for seed in (4, 5, 6)]
    assert len({job.folder for job in jobs}) == 3
    again = jobs_of(request(seed=5), 1, [], tmp_path)
    assert again[0].folder == jobs[1].folder
    other = jobs_of(request(learner=asdict(MaskablePPOSettings(n_steps=16))), 1, [], tmp_path)
    assert other[0].folder.parent != jobs[0].folder.parent


@pytest.mark.parametrize(
    ("n_seeds", "changes", "message"),
    [
        (0, {}, "--seeds must be at least 1; got 0"),
        (10**9, {}, "--seeds must be at most 10,000; got 1000000000"),
        (2, {"seed": 2**32 - 1}, "--seed 4294967295 and 1 more go beyond 4,294,967,295"),
        (2, {"timesteps": -3}, "--timesteps must be at least 1; got -3"),
        (2, {"agent": "nearest"}, "needs no training"),
    ],
)
def test_jobs__bad_requests_stop_before_any_training(
    n_seeds: int, changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        jobs_of(request(**changes), n_seeds, [], tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_seeds__train_side_by_side_are_compared_and_found_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*RUN, "--seeds", "2", "--jobs", "2", "--seed", "3", "--runs-dir", str(tmp_path)]
    table = ["--final-episodes", "4", "--compare", "nearest"]
    main = train_module(ROOT / "train.py").main
    assert main([*words, *table]) == 0
    out = capsys.readouterr().out
    for text in ("maskable-ppo-3", "maskable-ppo-4", "nearest", "Mean of 2 seeds", "64 steps each"):
        assert text in out
    runs = [open_run(file.parent) for file in sorted(tmp_path.rglob("settings.json"))]
    assert [run.settings.seed for run in runs] == [3, 4]
    assert comparable(runs[0].settings) == comparable(replace(runs[1].settings, seed=9))
    (file,) = tmp_path.rglob("seeds/*/evaluation.json")
    assert list(json.loads(file.read_text())["agents"]) == ["maskable-ppo-3", "maskable-ppo-4", "nearest"]

    assert main([*words, "--final-episodes", "0"]) == 0  # nothing is trained twice
    assert len(list(tmp_path.rglob("settings.json"))) == 2
    assert "common scenarios" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--resume", "runs"), "to go on with seeds, give their command again"),
        (("--jobs", "0"), "--jobs must be at least 1; got 0"),
        (("--agent", "nearest"), "needs no training"),
        (("--compare", "nobody"), "unknown agent 'nobody'"),
        (("--city", "atlantis"), "city must be 'default'"),
    ],
)
def test_seeds__wrong_use_says_what_there_is(
    more: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*RUN, "--seeds", "2", "--runs-dir", str(tmp_path), *more]
    assert train_module(ROOT / "train.py").main(words) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_seeds__a_run_that_fails_is_told_with_the_end_of_its_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # a step that no check refuses and no network survives
    words = [*RUN, "--seeds", "1", "--runs-dir", str(tmp_path), "--maskable-ppo.learning-rate", "1e30"]
    assert train_module(ROOT / "train.py").main(words) == 1
    assert "failed: seed 0" in capsys.readouterr().err.replace("\n", " ")


def test_jobs__without_seeds_have_no_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_module(ROOT / "train.py").main([*RUN, "--jobs", "2", "--runs-dir", str(tmp_path)]) == 2
    assert "--jobs is for several --seeds" in capsys.readouterr().err


def test_seeds__of_decisions_have_their_mean_without_a_gap(
    newsvendor: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Trainer(in_process=True)
    monkeypatch.setattr("stormgym.agents.training.seeds.trainer_for", lambda *asked: (here, 0))
    run = ("--agent", "ppo", "--ppo.n-steps", "8", "--ppo.batch-size", "32", "--num-envs", "4")
    words = ["--env", f"newsvendor:{newsvendor.ENV_ID}", *run, "--timesteps", "32", "--eval-episodes", "4"]
    rest = ["--seeds", "2", "--jobs", "2", "--runs-dir", str(tmp_path), "--final-episodes", "4"]
    assert train_module(ROOT / "train.py").main([*words, *rest]) == 0
    assert re.search(
        r"Mean of 2 seeds, with 95 % intervals over seeds: cost \S+ USD \[\S+, \S+\]\.", capsys.readouterr().out
    )
