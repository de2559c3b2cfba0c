"""Warnings of agents that plan for a city that they have never seen."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from stormgym.agents.evaluation import trained_elsewhere as module
from stormgym.agents.evaluation.trained_elsewhere import trained_elsewhere
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.policy import Entrant
from stormgym.agents.registry import DOMAINS

RESTORATION = DOMAINS["Restoration-v0"]
GENERAL = "sta-sac:any-log and sta-sac:generalist are those for other cities."


@pytest.mark.parametrize(
    ("agent", "place", "told"),
    [
        (
            "sta-sac:default",
            {"city": "synthetic:9:1"},
            f"was trained on city default and has never seen synthetic:9:1; {GENERAL}",
        ),
        ("sta-sac:default", {"city": "default"}, None),
        ("sta-sac:default", {}, None),
        ("sta-sac:default", {"city": "synthetic:55:76"}, None),  # what the default is
        ("sta-sac:generalist", {"city": "synthetic:9:1"}, None),
        ("equity-planner", {"city": "synthetic:9:1"}, None),
    ],
)
def test_pretrained__names_its_city_unless_it_knows_many(agent: str, place: dict[str, str], told: str | None) -> None:
    entrant = resolve_agents(agent, "Restoration-v0")[agent]
    assert trained_elsewhere(agent, entrant, RESTORATION, place) == (() if told is None else (f"{agent} {told}",))


def test_pretrained__of_profiles_tells_nothing() -> None:
    entrant = Entrant(lambda env: env, learned=True, trained_on="ten")
    assert trained_elsewhere("mine", entrant, DOMAINS["Undergrounding-v0"], {"profile": "appendix-g"}) == ()


def test_run__names_its_city_even_where_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = SimpleNamespace(settings=SimpleNamespace(env_kwargs={"city": str(tmp_path / "gone" / "west")}))
    monkeypatch.setattr(module, "open_run", lambda folder: run)
    agent = Entrant(lambda env: env, learned=True, run=tmp_path)
    (told,) = trained_elsewhere("mine", agent, RESTORATION, {"city": "synthetic:9:1"})
    assert told.startswith(f"mine was trained on city {tmp_path}/gone/west and has never seen synthetic:9:1; ")
    run.settings.env_kwargs = {"city": "synthetic:9:1"}
    assert trained_elsewhere("mine", agent, RESTORATION, {"city": "synthetic:9:1"}) == ()
    run.settings.env_kwargs = {}
    assert len(trained_elsewhere("mine", agent, RESTORATION, {"city": "synthetic:9:1"})) == 1
