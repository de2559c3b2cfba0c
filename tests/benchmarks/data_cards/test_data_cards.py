"""Data cards: metadata keep Croissant's rules, name the columns that generators write, and are those of the docs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import jsonschema
import pytest

from benchmarks.data_cards import croissant
from benchmarks.data_cards.__main__ import page
from benchmarks.data_cards.cards import CARDS, Card
from benchmarks.data_cards.croissant import CardError, as_croissant
from benchmarks.data_cards.exports import DECISIONS, EXPORTS, export
from stormgym.agents.registry import DOMAINS
from stormgym.envs.crews.profiles import PROFILES as CREW_PROFILES
from stormgym.envs.data import City
from stormgym.envs.shipped import FOLDER as SHIPPED

DOCS = Path(__file__).resolve().parents[3] / "docs"
SCHEMA = json.loads(Path(croissant.__file__).with_name("croissant.schema.json").read_text(encoding="utf-8"))
SAME_EVERYWHERE = ("default-city", "varied-cities", "restoration-forecasts", "undergrounding-forecaster")
"""Data sets that are equal to the bit on every processor; simulated storms may differ in their last decimals."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every data set, with few storms."""
    folder = tmp_path_factory.mktemp("data")
    for name in EXPORTS:
        export(name, folder, n_storms=3)
    return folder


def kept(card: Card) -> dict[str, Any]:
    """The metadata in the docs."""
    metadata: dict[str, Any] = json.loads((DOCS / "data_cards" / f"{card.name}.json").read_text(encoding="utf-8"))
    return metadata


def without_hashes(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata but for what hangs on the number of storms: hashes, and types of columns that happen to be whole."""
    text = json.dumps({**metadata, "distribution": [{**f, "sha256": ""} for f in metadata["distribution"]]})
    plain: dict[str, Any] = json.loads(text.replace('"sc:Integer"', '"sc:Float"'))
    return plain


def test_cards__there_is_one_for_every_data_set_and_generator() -> None:
    names = [card.name for card in CARDS]
    assert names == list(EXPORTS)
    files = {file.name for card in CARDS for file in (DOCS / "data_cards").glob(f"{card.name}.json")}
    assert files == {file.name for file in (DOCS / "data_cards").iterdir()}
    assert {f"crews-{profile}" for profile in CREW_PROFILES} <= set(names)
    arrays = {file.name for file in SHIPPED.glob("*.npz")}
    assert arrays == {file for card in CARDS for file in card.fields if file.endswith(".npz")} - {"cases.npz"}
    one_step = {env_id for env_id in DOMAINS if hasattr(gym.make(env_id).unwrapped, "problem")}
    assert set(DECISIONS.values()) == one_step


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_cards__say_what_croissant_asks_for(card: Card) -> None:
    metadata = kept(card)
    jsonschema.validate(metadata, SCHEMA)
    ids = [part["@id"] for part in metadata["distribution"]]
    for records in metadata["recordSet"]:
        ids += [records["@id"], *(field["@id"] for field in records["field"])]
        for field in records["field"]:
            assert "source" not in field or field["source"]["fileObject"]["@id"] in ids
        assert all(set(row) == {field["@id"] for field in records["field"]} for row in records.get("data", ()))
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_cards__are_those_of_today_and_name_the_columns_that_are_written(card: Card, data: Path) -> None:
    made, known = as_croissant(card, data / card.name), kept(card)
    assert without_hashes(made) == without_hashes(known), "python -m benchmarks.data_cards --docs docs"
    if card.name in SAME_EVERYWHERE:
        assert made == known


def test_page__is_made_of_the_metadata() -> None:
    found = {card.name: kept(card) for card in CARDS}
    assert (DOCS / "data_cards.md").read_text(encoding="utf-8") == page(found)


def test_page__says_of_the_default_city_what_it_has() -> None:
    city = City.synthetic()
    (card,) = (card for card in CARDS if card.name == "default-city")
    assert f"{city.n_regions} regions" in card.description
    assert f"{len(city.log):,} repairs" in card.description


def test_cards__a_column_without_words_and_words_without_a_column_are_errors(data: Path) -> None:
    (card,) = (card for card in CARDS if card.name == "crews-default")
    words = dict(card.fields["jobs.csv"])
    meaning = words.pop("repair_h")
    with pytest.raises(CardError, match=r"jobs.csv: no words for \['repair_h'\], nothing there for \[\]"):
        as_croissant(replace(card, fields={"jobs.csv": words}), data / card.name)
    with pytest.raises(CardError, match=r"no words for \[\], nothing there for \['hours'\]"):
        as_croissant(replace(card, fields={"jobs.csv": {**words, "repair_h": meaning, "hours": "h"}}), data / card.name)
    with pytest.raises(CardError, match="the card names the files"):
        as_croissant(replace(card, files={"more.json": "more"}), data / card.name)
