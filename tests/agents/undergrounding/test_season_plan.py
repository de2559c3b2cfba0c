"""`evaluate.py --plan` for Undergrounding-v0: the plan of an agent, what it is worth, and its files and errors."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest

import stormgym  # noqa: F401  (registers the ids)
from stormgym.agents.domain import PlanRequest
from stormgym.agents.evaluation.command import run_plan
from stormgym.agents.lineup import make_policy, resolve_agents
from stormgym.agents.undergrounding.season_plan import RegionPlan, make_hardening_plan
from stormgym.agents.usage import UsageError

ENV_ID = "Undergrounding-v0"


def plan_of(name: str, seed: int = 0, **kwargs):
    return make_hardening_plan(name, resolve_agents(name, ENV_ID)[name], env_kwargs=kwargs, seed=seed)


def test_plan__is_what_the_agent_plays_and_its_worst_case_that_of_the_environment():
    plan = plan_of("tri-level", seed=3)
    env = gym.make(ENV_ID, storm="adversarial").unwrapped
    policy, state, ended = make_policy("tri-level", env), None, False
    obs, _ = env.reset(seed=3)
    while not ended:
        action, state = policy.predict(obs, state, deterministic=True)
        obs, _, ended, _, info = env.step(action)
    buried = {env.profile.label[k] for k in np.flatnonzero(env.process.protected[0])}
    assert {row.region for row in plan.regions if row.bury} == buried
    assert plan.spent == info["metrics"]["spent"]
    assert plan.worth.worst_h == pytest.approx(info["metrics"]["saidi_h"])
    assert sum(row.crew for row in plan.regions) == 1
    assert plan.worth.worst_h < plan.nothing.worst_h
    assert plan.worth.mean_h < plan.nothing.mean_h
    nothing = plan_of("bury-nothing", seed=3)
    assert nothing.worth == nothing.nothing == plan.nothing


def test_plan__of_the_mean_is_better_on_the_mean_and_not_in_the_worst_storm():
    worst, mean = plan_of("tri-level", profile="synthetic:8:1"), plan_of("sampled-hardening", profile="synthetic:8:1")
    assert mean.worth.mean_h <= worst.worth.mean_h + 1e-12
    assert worst.worth.worst_h <= mean.worth.worst_h * (1 + 1e-9)


def test_plan__is_printed_and_written_with_all_regions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "plan.csv"
    request = PlanRequest(env_kwargs={"profile": "synthetic:45:0"})
    run_plan(env_id=ENV_ID, agents="loss-per-cost", request=request, csv_file=file)
    out = capsys.readouterr().out
    assert "Plan of loss-per-cost for synthetic:45:0" in out
    assert "and 5 regions more" in out
    table = pd.read_csv(file)
    assert list(table.columns) == [f.name for f in fields(RegionPlan)]
    assert len(table) == 45
    assert table.bury.is_monotonic_decreasing  # those to bury first
    assert (table[table.bury == 1].protect_cost.sum()) <= 4_500


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"agents": "oracle-hardening"}, "agent 'oracle-hardening' looks at the storm to come"),
        ({"agents": "tri-level,random"}, "--plan takes one agent; got tri-level, random"),
        ({"agents": "nearest"}, "agent 'nearest' does not fit Undergrounding-v0"),
        ({"start": "2026-01-01"}, "--plan of Undergrounding-v0 has no use for --start"),
        ({"jobs_file": Path("jobs.csv")}, "--plan of Undergrounding-v0 has no use for --jobs"),
        ({"env_kwargs": {"city": "default"}}, "city"),
        ({"env_id": "DefenderAttacker-v0"}, "'DefenderAttacker-v0' is a game: make it with pettingzoo.make"),
        ({"env_id": "GeneratorDispatch-v0"}, "--plan is for Restoration-v0, CrewDispatch-v0, Undergrounding-v0"),
    ],
)
def test_plan__what_makes_none_is_refused(options, message):
    asked = {name: options[name] for name in ("start", "jobs_file", "env_kwargs") if name in options}
    named = {name: value for name, value in options.items() if name not in asked}
    with pytest.raises(UsageError, match=message):
        run_plan(**{"env_id": ENV_ID, "agents": None, **named}, request=PlanRequest(**{"env_kwargs": {}, **asked}))
