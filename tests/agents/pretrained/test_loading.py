"""Loading pretrained agents: files that do not fit are told, and command lines take them by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import stormgym  # noqa: F401
from stormgym.agents.pretrained import known_pretrained, load_pretrained
from stormgym.agents.pretrained.cards import write_card
from stormgym.agents.restoration.todays_jobs import sub_city
from stormgym.envs.data import resolve_city

KNOWN = known_pretrained()
ANY = next(iter(KNOWN), "")


def test_files__what_is_wrong_with_them_is_said(copied: Path) -> None:
    card = KNOWN[ANY]
    assert load_pretrained(ANY, folder=copied).card == card
    file = copied / f"{card.stem}.json"
    write_card(replace(card, network={**card.network, "width": 32}), copied)
    with pytest.raises(ValueError, match=f"does not hold the weights of '{ANY}' with network"):
        load_pretrained(ANY, folder=copied)
    write_card(replace(card, network={"shape": "round"}), copied)
    with pytest.raises(ValueError, match="does not hold the weights"):
        load_pretrained(ANY, folder=copied)
    write_card(card, copied)
    (copied / f"{card.stem}.npz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="does not hold the weights"):
        load_pretrained(ANY, folder=copied)
    (copied / f"{card.stem}.npz").unlink()
    with pytest.raises(FileNotFoundError, match="has a card and no weights"):
        load_pretrained(ANY, folder=copied)
    file.rename(copied / "other.json")
    with pytest.raises(ValueError, match=rf"is the card of '{card.full_name}'; name the file {card.stem}\.json"):
        known_pretrained(folder=copied)
    (copied / "other.json").write_text(json.dumps({"agent": "sta-sac"}))
    with pytest.raises(ValueError, match=r"cannot be read as the card .* benchmarks/pretrained/export\.py"):
        known_pretrained(folder=copied)


def test_evaluation__of_its_name_in_a_city_of_another_size(
    evaluate_main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "table.json"
    small = ("--city", "synthetic:6:0", "--predictor", "point")
    assert evaluate_main([*small, "--agents", f"{ANY},nearest", "--episodes", "4", "--json", str(file)]) == 0
    assert ANY in capsys.readouterr().out
    agents = json.loads(file.read_text())["agents"]
    assert list(agents) == [ANY, "nearest"]
    assert agents[ANY]["learned"]


def test_evaluation__in_a_city_of_other_groups_is_refused(
    evaluate_main: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    city = resolve_city("synthetic:12:1")
    fewer = sub_city(city, np.flatnonzero(city.group > 0))
    assert fewer.n_groups == city.n_groups - 1
    fewer.save(tmp_path / "city")
    arguments = ["--city", str(tmp_path / "city"), "--predictor", "none", "--agents", ANY]
    assert evaluate_main([*arguments, "--episodes", "2"]) == 2
    assert f"trained agent '{ANY}' cannot be loaded" in (error := capsys.readouterr().err)
    assert f"this environment has {fewer.n_groups}" in error
