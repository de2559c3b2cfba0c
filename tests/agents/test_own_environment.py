"""An environment from outside the package, by one `Domain`: train, evaluate, list, report and progress know it.

It is `examples/pump_stations.py`, which imports the library and changes no file of it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from stormgym.agents.binding import PrivilegeError, truth_of
from stormgym.agents.domain import AgentSpec, Column, Domain, Headline
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.registry import AGENTS, DOMAINS, register_domain

ROOT = Path(__file__).resolve().parents[2]
ENV = "pump_stations:PumpStations-v0"
QUICK = ("--maskable-ppo.n-steps", "16", "--maskable-ppo.batch-size", "64", "--maskable-ppo.n-epochs", "1")


@pytest.fixture(scope="module", autouse=True)
def toy() -> Iterator[Any]:
    """The example as a module, registered; what it registers is taken back at the end."""
    domains, agents = dict(DOMAINS), dict(AGENTS)
    sys.path.insert(0, str(ROOT / "examples"))
    import pump_stations

    pump_stations.register()
    yield pump_stations
    sys.path.remove(str(ROOT / "examples"))
    for registry, before in ((DOMAINS, domains), (AGENTS, agents)):
        registry.clear()
        registry.update(before)  # type: ignore[arg-type]  # each its own kind
    del gym.registry["PumpStations-v0"]


def command(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command line as a user does, in a process that has never heard of the environment."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "examples"), *sys.path]), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, str(ROOT / script), "--env", ENV, *words], capture_output=True, text=True, env=env, check=False
    )


def test_environment__passes_gymnasiums_checker_in_both_forms() -> None:
    check_env(gym.make(ENV).unwrapped, skip_render_check=True)
    envs = gym.make_vec(ENV, 3, vectorization_mode="vector_entry_point", n_stations=4)
    observation, infos = envs.reset(seed=0)
    assert observation["expected_h"].shape == (3, 4)
    assert infos["action_mask"].all()
    alone = gym.make(ENV, n_stations=4)
    np.testing.assert_array_equal(alone.reset(seed=1)[0]["expected_h"], observation["expected_h"][1])


def test_evaluate__has_its_own_headline_and_marks_who_knows_the_truth(tmp_path: Path) -> None:
    page, file = tmp_path / "page.html", tmp_path / "table.json"
    done = command("evaluate.py", "--n-stations", "4", "--episodes", "20", "--html", str(page), "--json", str(file))
    assert done.returncode == 0, done.stderr
    for text in ("mean wait", "district gap", "limit on the mean district gap: 6 h", "oracle-pumps †", "alternating"):
        assert text in done.stdout
    summary = json.loads(file.read_text())
    assert list(summary["agents"]) == ["random", "shortest-first", "alternating", "oracle-pumps"]
    assert summary["agents"]["oracle-pumps"]["mean_wait_h"] < summary["agents"]["shortest-first"]["mean_wait_h"]
    assert summary["agents"]["random"]["regret"] > 0
    assert summary["group_names"] == ["river", "hill"]
    html = page.read_text()
    assert "mean wait" in html
    assert "regions that has power again" not in html or html.count("<figure>") == 2


def test_list__names_its_agents(evaluate_main: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate_main(("--env", ENV, "--list")) == 0
    said = capsys.readouterr().out
    for text in ("Agents for pump_stations:PumpStations-v0", "shortest expected work first", "maskable-ppo"):
        assert text in said


def test_help__explains_its_arguments_from_its_docstring(
    evaluate_main: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        evaluate_main(("--env", ENV, "--help"))
    said = capsys.readouterr().out
    assert "--n-stations" in said
    assert "stations at the river take longer" in " ".join(said.replace("│", " ").split())
    assert "--city" not in said


@pytest.mark.slow
def test_train__takes_its_default_learner_shows_progress_and_scores_and_resumes(
    tmp_path: Path,
    train_main: Callable[..., int],
    evaluate_main: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ("--n-stations", "4", *QUICK, "--num-envs", "8", "--eval-episodes", "8", "--runs-dir", str(tmp_path))
    done = command("train.py", *words, "--timesteps", "256", "--final-episodes", "8", "--compare", "alternating")
    assert done.returncode == 0, done.stderr
    assert "mean wait" in done.stderr  # the progress line leads with its objective
    assert "district gap" in done.stderr
    assert "(limit 6)" in done.stderr
    (folder,) = tmp_path.glob("PumpStations-v0/maskable-ppo/*")
    rows = (folder / "progress.csv").read_text().splitlines()
    assert "eval/mean_wait_h" in rows[0]
    assert "district gap" in done.stdout
    assert f"--env {ENV} --n-stations 4 --agents {folder}" in done.stdout

    again = ("--resume", str(folder), "--timesteps", "300", "--final-episodes", "0")
    with monkeypatch.context() as unknown:
        for registry in (gym.registry, DOMAINS):
            unknown.delitem(registry, "PumpStations-v0")
        unknown.delitem(sys.modules, "pump_stations")
        assert train_main(again) == 2
        assert "pump_stations" not in sys.modules
    said = capsys.readouterr().err
    assert f"a module that a file names is not imported; if you trust it, name it yourself: --env {ENV}" in said
    assert f"--resume {folder} --env {ENV}" in done.stdout  # the command that goes on says it
    assert train_main((*again, "--env", ENV)) == 0
    capsys.readouterr()
    agents = ("--agents", f"{folder},alternating")
    assert evaluate_main(("--env", ENV, "--n-stations", "4", "--episodes", "8", *agents)) == 0
    assert "alternating" in capsys.readouterr().out


def test_truth__is_refused_to_a_policy_that_does_not_say_so(toy: Any) -> None:
    class Peeking(toy.Oracle):  # type: ignore[misc, name-defined]  # a class of the example
        name = "peeking"
        privileged = False

    env = gym.make(ENV)
    env.reset(seed=0)
    with pytest.raises(PrivilegeError, match=r"policy 'peeking' reads the truth .*`privileged = True`"):
        truth_of(env, Peeking(env))
    with pytest.raises(PrivilegeError):
        evaluate(ENV, {"peeking": Peeking.for_env}, episodes=3)


def test_truth__read_past_the_rule_fails_the_evaluation(toy: Any) -> None:
    class Sly(toy.ShortestFirst):  # type: ignore[misc, name-defined]  # a class of the example
        name = "sly"

        def __init__(self, env: Any) -> None:
            self.env = env

        @classmethod
        def for_env(cls, env: Any, **kwargs: Any) -> Any:
            return cls(env)

        def key(self, observation: Any) -> Any:
            return self.env.unwrapped.truth.duration_h

    with pytest.raises(PrivilegeError, match=r"agent 'sly' read .*truth.*privileged = True"):
        evaluate(ENV, {"sly": Sly.for_env}, episodes=3)
    evaluation = evaluate(ENV, {"oracle-pumps": toy.Oracle.for_env}, episodes=3)
    assert evaluation.agents["oracle-pumps"].privileged


def test_register__same_record_again_changes_nothing_and_another_is_an_error(toy: Any) -> None:
    before = dict(AGENTS)
    register_domain(toy.DOMAIN)
    assert before == AGENTS
    headline = Headline(Column("return", "return"), Column("cost", "cost"))
    with pytest.raises(ValueError, match="PumpStations-v0 has a domain already"):
        register_domain(Domain("PumpStations-v0", headline=headline))
    with pytest.raises(ValueError, match="an agent 'nearest' is registered already"):
        register_domain(Domain("Other-v0", agents=(AgentSpec("nearest", "a:B", "another"),)))
    with pytest.raises(ValueError, match="default_learner of Other-v0 must be one of its agents; got 'ppo'"):
        register_domain(Domain("Other-v0", default_learner="ppo"))
    with pytest.raises(ValueError, match="default_learner of Other-v0 must learn; 'quick' does not"):
        register_domain(Domain("Other-v0", agents=(AgentSpec("quick", "a:B", "x"),), default_learner="quick"))
    assert "Other-v0" not in DOMAINS


MISTAKES = {
    "entry": ("module:ShortestFirst", "module:ShortestFirs", "leads nowhere: .*ShortestFirs"),
    "headline": (
        'Column("mean_wait_h"',
        'Column("mean_wait_hh"',
        "leads with 'mean_wait_hh', which its episodes do not",
    ),
    "learner": (
        'default_learner="maskable-ppo"',
        'default_learner="maskable-pp"',
        "default_learner of .* got 'maskable-pp'",
    ),
    "option": (
        'options=("n_stations"',
        'options=("n_station"',
        "names 'n_station', which the environment does not take",
    ),
    "bound": ('bound="oracle-', 'bound="oracles-', "headline.bound of .* must be one of its agents"),
}


@pytest.fixture
def module_at(toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a module may be written that command lines import, and register its own agents of the example's names."""
    known = (DOMAINS, AGENTS, gym.registry)
    before = [dict(registry) for registry in known]
    for agent in toy.DOMAIN.agents:
        if agent.entry_point.startswith("pump_stations:"):
            del AGENTS[agent.name]
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "module.py"
    sys.modules.pop("module", None)
    for registry, entries in zip(known, before, strict=True):
        registry.clear()
        registry.update(entries)  # type: ignore[arg-type]  # each its own kind


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes__in_a_domain_are_told_in_a_sentence(
    mistake: str,
    module_at: Path,
    evaluate_main: Callable[..., int],
    train_main: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    right, wrong, message = MISTAKES[mistake]
    text = (ROOT / "examples" / "pump_stations.py").read_text().replace("PumpStations-v0", f"Pump{mistake}-v0")
    text = (
        text.replace('f"{__name__}:', '"module:').replace("-pumps", f"-{mistake}").replace('"shortest-first"', '"sf"')
    )
    assert right in text
    module_at.write_text(text.replace(right, wrong))
    words = ["--env", f"module:Pump{mistake}-v0"]
    for main, more in ((evaluate_main, ["--episodes", "2"]), (train_main, ["--help"])):
        if main is train_main and mistake in ("entry", "headline"):
            continue  # nothing of them is read yet
        sys.modules.pop("module", None)
        assert main((*words, *more)) == 2
        said = capsys.readouterr().err
        assert re.search(message, said), said
        assert "Traceback" not in said


def test_module__that_cannot_be_imported_is_said(
    evaluate_main: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate_main(("--env", "not_there:Some-v0")) == 2
    assert "the module of 'not_there:Some-v0' cannot be imported" in capsys.readouterr().err
