"""`evaluate.py --list`: all agents, each with what it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import stormgym  # noqa: F401
from stormgym.agents.evaluation import listing
from stormgym.agents.pretrained import known_pretrained

KNOWN = known_pretrained("Restoration-v0")


def test_list__shows_agents_that_are_ready_and_pretrained_ones_with_their_summaries(
    evaluate_main: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate_main(["--list"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for text in ("equity-planner", "clairvoyant †", "maskable-ppo", *KNOWN, *(c.summary for c in KNOWN.values())):
        assert text in shown
    assert evaluate_main(["--list", "--agents", "nearest", "--city", "default"]) == 2
    assert "no use here for --agents, --city; leave it out, or leave out --list" in capsys.readouterr().err


def test_list__explains_its_mark_only_where_an_agent_has_one(
    evaluate_main: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert evaluate_main(["--list"]) == 0
    assert "† looks at what nobody can know" in capsys.readouterr().out
    monkeypatch.setattr(listing, "known_agents", lambda env_id, *, trainable: ["ppo" if trainable else "random"])
    assert evaluate_main(["--list"]) == 0
    shown = capsys.readouterr().out
    assert "an allowed choice at random" in shown
    assert "†" not in shown
