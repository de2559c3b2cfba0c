"""Names of agents: lists of them, labels, runs, pretrained agents and those that look ahead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stormgym  # noqa: F401
from stormgym.agents.lineup import Look, make_policy, resolve_agents, split_lookahead
from stormgym.agents.pretrained import known_pretrained
from stormgym.agents.registry import known_agents

KNOWN = known_pretrained()
ANY = next(iter(KNOWN), "")
AGENT = "sta-sac:default"


def test_lineup__defaults_to_all_that_need_no_training_and_labels_runs(tmp_path: Path) -> None:
    default = resolve_agents(None, "Restoration-v0")
    known = known_agents("Restoration-v0", trainable=False)
    special = {"equity-replanner", "priced-planner"}  # for shocks, and for storms like past ones
    assert tuple(default) == tuple(name for name in known if name not in special)
    assert {"random", "equity-planner", "clairvoyant"} <= set(default)
    assert not any(e.learned for e in default.values())
    run = tmp_path / "sta-sac" / "0-20260101-000000"
    run.mkdir(parents=True)
    named = resolve_agents(f"nearest, {run}, ours={run}", "Restoration-v0")
    assert list(named) == ["nearest", "sta-sac/0-20260101-000000", "ours"]
    assert named["ours"].learned


@pytest.mark.parametrize("folder", ["lr=0.1/run", "a=b=c/run", "=1+1/run", "seeds@5/run", "at@5"])
def test_lineup__a_run_folder_may_have_signs_of_the_grammar_in_its_name(folder: str, tmp_path: Path) -> None:
    run = tmp_path / folder
    run.mkdir(parents=True)
    assert list(resolve_agents([f"{run}", f"ours={run}", f"=1+1={run}", f"far={run}@8"], "Restoration-v0")) == [
        "/".join(run.parts[-2:]),
        "ours",
        "=1+1",
        "far",
    ]


def test_lineup__a_run_folder_alone_may_have_a_comma_in_its_name(tmp_path: Path) -> None:
    run = tmp_path / "lr=0.1,seed=2" / "run"
    run.mkdir(parents=True)
    assert list(resolve_agents(str(run), "Restoration-v0")) == ["lr=0.1,seed=2/run"]


def test_lineup__a_label_makes_a_folder_printable(tmp_path: Path) -> None:
    run = tmp_path / "two\nlines"
    run.mkdir()
    with pytest.raises(ValueError, match="has a character that cannot be printed; give it another label"):
        resolve_agents([f"{run}"], "Restoration-v0")
    assert list(resolve_agents([f"ours={run}"], "Restoration-v0")) == ["ours"]


def test_make_policy__takes_the_name(vector_env: Callable[..., Any]) -> None:
    envs = vector_env(2, city="synthetic:6:1")
    assert make_policy(ANY, envs).name == ANY  # type: ignore[attr-defined]
    with pytest.raises(KeyError, match=r"unknown pretrained agent 'sta-sac:absent'; known pretrained agents: .*" + ANY):
        make_policy("sta-sac:absent", envs)


def test_lineup__takes_names_and_labels() -> None:
    entrants = resolve_agents(["nearest", ANY, f"ours={ANY}"], "Restoration-v0")
    assert list(entrants) == ["nearest", ANY, "ours"]
    assert [entrant.learned for entrant in entrants.values()] == [False, True, True]
    assert KNOWN[ANY].summary in entrants[ANY].summary


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("sta-sac:absent", "unknown pretrained agent 'sta-sac:absent'; known pretrained agents: "),
        ("nearest:default", "unknown pretrained agent 'nearest:default'"),
        ("sta-sac", r"agent 'sta-sac' learns: train it first .* or take sta-sac:"),
        ("nobody:default", r"unknown agent 'nobody:default'; known agents of Restoration-v0: random, .*sta-sac:"),
    ],
)
def test_lineup__wrong_names_list_the_known_ones(item: str, said: str) -> None:
    with pytest.raises((KeyError, ValueError), match=said):
        resolve_agents(item, "Restoration-v0")


@pytest.mark.parametrize(
    ("name", "parts_of_it"),
    [
        ("sta-sac:default", ("sta-sac:default", Look())),
        ("runs/a@b@32", ("runs/a@b", Look(32))),
        ("sta-sac:default@32:100", ("sta-sac:default", Look(32, 100))),
        ("sta-sac:default@32:100:past", ("sta-sac:default", Look(32, 100, "past"))),
        ("/home/me@uni/run", ("/home/me@uni/run", Look())),
    ],
)
def test_name__is_taken_apart(name: str, parts_of_it: tuple[str, Look]) -> None:
    assert split_lookahead(name) == parts_of_it
    assert name == parts_of_it[0] + parts_of_it[1].text


@pytest.mark.parametrize(
    "orders", ["0", "", "-3", "many", "1.5", "32:", "32:0", "32:1:1", "32:past", ":5", "9" * 5_000]
)
def test_name__with_a_wrong_number_is_an_error(orders: str) -> None:
    with pytest.raises(ValueError, match="after @ comes the number of orders"):
        resolve_agents([f"{AGENT}@{orders}"], "Restoration-v0")
    with pytest.raises(ValueError, match="names no agent before @"):
        resolve_agents(["@4"], "Restoration-v0")
