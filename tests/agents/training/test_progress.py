"""Lines of progress: an evaluation leads with the objective and the constraint of its environment."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from stormgym.agents.domain import GENERIC_HEADLINE, Column, Headline
from stormgym.agents.registry import DOMAINS
from stormgym.agents.training.play import Score
from stormgym.agents.training.progress import ProgressBar, describe
from stormgym.envs.risk_measure import RiskMeasure

HEADLINE = Headline(
    objective=Column("wait_h", "mean wait", "h", 2),
    constraint=Column("gap_h", "district gap", "h", 1),
    flaws=(Column("idle", "idle trips"), Column("lost", "lost keys")),
)
COSTS = np.array([5.0, 6.0])
RETURNS = np.array([-2.0, -4.0])


def test_line__leads_with_objective_and_constraint_and_says_the_limit() -> None:
    score = Score(RETURNS, COSTS, 8.0, {"wait_h": 3.456})
    assert describe(12_000, score, False, HEADLINE) == (
        "step 12,000: mean wait 3.46 h, district gap 5.5 h (limit 8), over the limit in 0 % of episodes (2 episodes)"
    )
    assert describe(12_000, score, True, HEADLINE).endswith("(2 episodes)  best so far")


def test_line__without_the_objectives_metric_leads_with_the_return() -> None:
    assert describe(5, Score(RETURNS, None, None, {}), False, HEADLINE) == "step 5: return -3.00 (2 episodes)"
    assert "cost 5.500 (limit 8)" in describe(5, Score(RETURNS, COSTS, 8.0, {}), False, GENERIC_HEADLINE)


def test_line__under_limits_of_episodes_says_the_share_of_theirs() -> None:
    score = Score(RETURNS, COSTS, 7.5, {"wait_h": 1.0}, limits=np.array([4.0, 12.0]))
    line = describe(1, score, False, HEADLINE)
    assert f"district gap 5.5 h ({score.cost_in_limits:.2f} of the episode's limit)" in line
    assert "over the limit in 50 % of episodes" in line
    assert "(limit" not in line


def test_line__under_a_limit_on_the_tail_says_how_much_of_it_is_used() -> None:
    line = describe(1, Score(RETURNS, COSTS, 8.0, {}, measure=RiskMeasure("cvar", 0.9)), False, HEADLINE)
    assert "district gap 5.5 h (limit 8), CVaR 0.1 0.75 of what the limit allows, over the limit in 0 %" in line


@pytest.mark.parametrize(
    ("metrics", "text"),
    [({}, ""), ({"idle": 0.0}, ""), ({"idle": 0.5}, ", 0.5 idle trips"), ({"idle": 1, "lost": 2}, ", 2.0 lost keys")],
)
def test_line__says_what_went_wrong_where_something_did(metrics: dict[str, float], text: str) -> None:
    line = describe(1, Score(RETURNS, COSTS, 8.0, {"wait_h": 1.0, **metrics}), False, HEADLINE)
    assert text in line
    assert ("idle trips" in line) == (metrics.get("idle", 0) > 0)


@pytest.mark.parametrize("env_id", DOMAINS)
def test_line__of_every_domain_has_its_words(env_id: str) -> None:
    headline = DOMAINS[env_id].headline
    limit = None if headline.constraint is None else 8.0
    line = describe(1, Score(RETURNS, COSTS, limit, {headline.objective.key: 3.0}), False, headline)
    assert headline.objective.sentence(3.0) in line
    assert ("limit" in line) == (headline.constraint is not None)
    if headline.constraint is not None:
        assert headline.constraint.sentence(5.5) in line


def test_bar__elsewhere_than_on_a_terminal_prints_lines_alone() -> None:
    text = io.StringIO()
    bar = ProgressBar(100, Console(file=text, width=80), HEADLINE)
    model: Any = SimpleNamespace(ep_info_buffer=(), get_env=lambda: None, num_timesteps=0)
    bar.model = model
    bar._on_training_start()
    assert bar.bar is None
    assert bar._on_step()
    bar.show_score(10, Score(RETURNS, COSTS, 8.0, {"wait_h": 1.0}), True)
    bar._on_training_end()
    lines = text.getvalue().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("step 10: mean wait 1.00 h")
    assert lines[0].endswith("best so far")


def test_bar__on_a_terminal_shows_return_cost_and_lambda() -> None:
    bar = ProgressBar(100, Console(file=io.StringIO(), force_terminal=True, width=80), HEADLINE)
    episodes = [{"r": -2.0, "c": 5.0}, {"r": -4.0, "c": 6.0}]
    model: Any = SimpleNamespace(
        ep_info_buffer=episodes, get_env=lambda: None, num_timesteps=30, multiplier=SimpleNamespace(per_unit=0.25)
    )
    bar.model = model
    assert bar._status() == "return -3.00  cost 5.50  lambda 0.250"
    bar.num_timesteps = 30
    bar._on_training_start()
    assert bar.bar is not None
    bar._on_step()
    assert bar.bar.tasks[0].completed == 30
    bar.close()
    bar.close()  # twice does no harm
    assert bar.bar is None


def test_line_and_bar__without_a_constraint_leave_costs_of_steps_out() -> None:
    free = Headline(objective=Column("cost", "cost", "USD", 2))
    score = Score(RETURNS, np.zeros(2), None, {"cost": 3.0})
    assert describe(9, score, True, free) == "step 9: cost 3.00 USD (2 episodes)  best so far"
    assert score.logged(free) == {"return": -3.0, "cost": 3.0}
    assert Score(RETURNS, np.zeros(2), None, {}).logged(free) == {"return": -3.0}
    bar = ProgressBar(100, Console(file=io.StringIO(), width=80), free)
    model: Any = SimpleNamespace(ep_info_buffer=[{"r": -2.0, "c": 0.0}], get_env=lambda: None)
    bar.model = model
    assert bar._status() == "return -2.00"
