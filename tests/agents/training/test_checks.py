"""Checks before a training: every number out of range is one sentence with option, bound and value."""

from __future__ import annotations

from dataclasses import replace

import pytest

import stormgym  # noqa: F401
from stormgym.agents.registry import agent_spec
from stormgym.agents.runs import RunRequest
from stormgym.agents.training.checks import (
    FinalTable,
    check_measure,
    check_numbers,
    check_steps,
    check_table,
    makes_table,
    names_many,
)
from stormgym.envs.risk_measure import MEAN, RiskMeasure

FINE = RunRequest(env_id="Restoration-v0", agent="ppo", seed=2**32 - 1, timesteps=10**15, num_envs=100_000)
CITY = {"city": "synthetic:6:1", "predictor": "none"}
CITIES = {"city": "synthetic:5-8:1:3", "predictor": "none"}


def test_numbers__at_their_bounds_pass() -> None:
    check_numbers(replace(FINE, eval_episodes=1_000_000, eval_freq=1, checkpoint_freq=10**30))
    check_numbers(RunRequest(env_id="Restoration-v0"))
    check_steps(1)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("timesteps", 0, "--timesteps must be at least 1; got 0"),
        ("timesteps", 10**400, "--timesteps must be at most 1,000,000,000,000,000; got 1000"),
        ("num_envs", -(10**9), "--num-envs must be at least 1; got -1000000000"),
        ("num_envs", 10**9, "--num-envs must be at most 100,000; got 1000000000"),
        ("eval_episodes", 0, "--eval-episodes must be at least 1; got 0"),
        ("eval_episodes", 10**9, "--eval-episodes must be at most 1,000,000; got 1000000000"),
        ("eval_freq", 0, "--eval-freq must be at least 1; got 0"),
        ("checkpoint_freq", -1, "--checkpoint-freq must be at least 1; got -1"),
        ("torch_threads", 0, "--torch-threads must be at least 1; got 0"),
        ("seed", -1, "--seed must be at least 0; got -1"),
        ("seed", 2**32, "--seed must be at most 4,294,967,295; got 4294967296"),
        ("device", "xla", r"--device xla: torch .* cannot compute on 'xla' here"),
    ],
)
def test_numbers__out_of_range_are_one_sentence(name: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_numbers(replace(FINE, **{name: value}))  # type: ignore[arg-type]  # test data


@pytest.mark.parametrize(("episodes", "bound"), [(-1, "at least 0"), (10**9, "at most 1,000,000")])
def test_table__of_absurd_length_is_refused(episodes: int, bound: str) -> None:
    with pytest.raises(ValueError, match=f"--final-episodes must be {bound}.*; got {episodes}"):
        check_table("Restoration-v0", CITY, FinalTable(episodes))


def test_table__is_made_where_one_instance_is_named() -> None:
    assert makes_table("Restoration-v0", CITY, FinalTable(2))
    assert not makes_table("Restoration-v0", CITY, FinalTable(0))
    assert not makes_table("Restoration-v0", CITIES, FinalTable(2))
    assert not makes_table("CartPole-v1", {}, FinalTable(2))
    assert names_many("Restoration-v0", CITIES) == "city"


def test_measure__of_an_environment_is_one_that_the_learner_learns_under() -> None:
    tail = RiskMeasure("cvar", 0.9)
    ppo, sta_sac = (agent_spec(name).load() for name in ("ppo", "sta-sac"))
    for learner, measure in ((ppo, MEAN), (sta_sac, MEAN), (sta_sac, tail)):
        check_measure(learner, "Restoration-v0", learner.settings(), measure)
    check_measure(ppo, "Restoration-v0", ppo.settings(constrained=False), tail)
    with pytest.raises(ValueError, match="ppo learns under limits on the mean of the cost; got cost_limit_kind 'cvar'"):
        check_measure(ppo, "Restoration-v0", ppo.settings(), tail)
