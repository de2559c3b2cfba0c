"""What is said before agents play."""

from __future__ import annotations

import pytest

from stormgym.agents.evaluation import opening
from stormgym.agents.evaluation.opening import compiler_missing, final_table
from stormgym.agents.registry import DOMAINS


def test_final_table__says_who_plays_how_much_and_how_to_skip_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "is_installed", lambda package: package != "numba")
    assert final_table("CrewDispatch-v0", ["sta-sac", "nearest", "clairvoyant", "rolling-planner"], 1_000) == [
        "Final table: sta-sac beside nearest, clairvoyant, rolling-planner, on 1,000 held-out scenarios each "
        "(--final-episodes 0 skips it, N plays fewer; --compare NAMES takes these others alone, or none)",
        'Note: rolling-planner, clairvoyant plan several times faster with Numba: pip install "stormgym[fast]"',
    ]
    alone = "(--final-episodes 0 skips it, N plays fewer)"
    assert final_table("Restoration-v0", ["ppo-0", "ppo-1"], 9, 2) == [
        f"Final table: ppo-0, ppo-1, on 9 held-out scenarios each {alone}"
    ]


def test_compiler__is_named_only_where_it_is_missing_and_would_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "is_installed", lambda package: False)
    assert compiler_missing("CrewDispatch-v0", ["nearest"]) == []
    assert compiler_missing("Restoration-v0", ["clairvoyant"]) == []
    monkeypatch.setattr(opening, "is_installed", lambda package: True)
    assert compiler_missing("CrewDispatch-v0", ["clairvoyant"]) == []


def test_compiled__are_agents_of_their_domain() -> None:
    for domain in DOMAINS.values():
        assert set(domain.compiled) <= {spec.name for spec in domain.agents}
