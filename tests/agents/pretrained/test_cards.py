"""Cards of pretrained agents: what they say, files that are wrong, and names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import stormgym  # noqa: F401
from stormgym.agents.pretrained import known_pretrained, load_card
from stormgym.agents.pretrained.cards import FOLDER, check_name, read_card, write_card

KNOWN = known_pretrained()
MAX_BYTES = 2 * 1024**2
CHECKED = 64
"""Episodes of the scores that are played again in every test run; longer ones only with STORMGYM_FULL=1."""


def test_package__holds_agents_each_with_weights_and_card() -> None:
    assert KNOWN
    names = {card.stem for card in KNOWN.values()}
    assert names == {file.stem for file in FOLDER.glob("*.npz")} == {file.stem for file in FOLDER.glob("*.json")}
    for file in (*FOLDER.glob("*.npz"), *FOLDER.glob("*.json")):
        assert file.stat().st_size < MAX_BYTES, file


@pytest.mark.parametrize("full_name", KNOWN)
def test_card__says_how_the_agent_was_made_and_has_a_score_to_check(full_name: str) -> None:
    card = KNOWN[full_name]
    assert full_name == f"{card.agent}:{card.name}"
    assert card.summary
    assert "\n" not in card.summary
    assert card.command.startswith(f"python train.py --env {card.trained_on.env_id} --agent {card.agent}")
    assert any(score.episodes <= CHECKED for score in card.scores)


def test_card__is_the_same_after_writing_and_reading(tmp_path: Path) -> None:
    for card in KNOWN.values():
        wide = replace(card, trained_on=replace(card.trained_on, cost_limit=(4.0, 20.0)))
        for one in (card, wide):
            assert read_card(write_card(one, tmp_path)) == one


def test_files__none_in_a_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="known pretrained agents: none in"):
        load_card("sta-sac:default", tmp_path)


@pytest.mark.parametrize("name", ["", "Default", "a b", "../x", "any_limit", "a--b"])
def test_name__of_other_letters_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="words of a-z and 0-9 joined by hyphens"):
        check_name(name)
