"""What a domain is made of: columns and how they are written, agents by name, arguments that name many instances."""

from __future__ import annotations

import sys
from collections import OrderedDict
from types import SimpleNamespace

import pytest

from stormgym.agents.domain import GENERIC_HEADLINE, AgentSpec, Column, Domain, Headline, Many, load_entry
from stormgym.agents.rules import RandomPolicy

GAP = Column("gap_h", "gap", "h", 2, interval=True)
SHARE = Column("share_served", "served", decimals=0, percent=True)


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        (GAP, 1.005, "1.00"),
        (GAP, 12345.678, "12,345.68"),
        (GAP, -0.001, "0.00"),  # no negative zero
        (GAP, None, "-"),
        (SHARE, 0.256, "26 %"),
        (SHARE, 1.0, "100 %"),
        (Column("n", "n", decimals=0), 2.5, "2"),  # to the even one, as Python rounds
    ],
)
def test_column__writes_numbers_with_its_decimals_and_missing_ones_as_a_dash(
    column: Column, value: float | None, text: str
) -> None:
    assert column.text(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.5, "+0.50"), (-0.5, "-0.50"), (0.001, "0.00"), (None, "-")])
def test_column__writes_differences_with_a_sign_but_not_that_of_nothing(value: float | None, text: str) -> None:
    assert GAP.text(value, sign=True) == text


def test_column__has_its_unit_in_titles_and_sentences_where_there_is_one() -> None:
    assert (GAP.title, GAP.axis_title, GAP.sentence(1.5)) == ("gap h", "gap (h)", "gap 1.50 h")
    assert (SHARE.title, SHARE.axis_title, SHARE.sentence(0.5)) == ("served", "served", "served 50 %")


def test_headline__columns_are_objective_constraint_and_others() -> None:
    headline = Headline(GAP, SHARE, others=(Column("n", "n"),), further=(Column("m", "m"),))
    assert [column.key for column in headline.columns] == ["gap_h", "share_served", "n"]
    assert [column.key for column in GENERIC_HEADLINE.columns] == ["return", "cost", "steps"]
    assert not GENERIC_HEADLINE.lower_is_better


def test_load_entry__imports_what_it_names() -> None:
    assert load_entry("collections:OrderedDict") is OrderedDict
    assert AgentSpec("random", "stormgym.agents.rules:RandomPolicy", "any").load() is RandomPolicy


@pytest.mark.parametrize(("entry", "why"), [("collections:Nothing", "Nothing"), ("stormgym.nowhere:f", "No module")])
def test_load_entry__what_is_not_there_is_an_error(entry: str, why: str) -> None:
    with pytest.raises(ValueError, match=rf"'{entry}' leads nowhere: .*{why}"):
        load_entry(entry)


def test_domain__finds_its_agents_by_name() -> None:
    first, second = AgentSpec("a", "m:A", "first"), AgentSpec("b", "m:B", "second")
    domain = Domain("Some-v0", agents=(first, second))
    assert domain.agent("b") is second
    assert domain.agent("c") is None
    assert Domain("Some-v0").agent("a") is None


def test_domain__needs_an_id_alone() -> None:
    domain = Domain("Some-v0")
    assert domain.headline is GENERIC_HEADLINE
    assert (domain.default_learner, domain.extractor, domain.plan, domain.many) == (None, None, None, None)
    assert (domain.agents, domain.options, domain.agent_files, domain.small) == ((), (), {}, {})


def test_many__are_the_instances_that_an_argument_names(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"two": ("a", "b")}
    monkeypatch.setitem(sys.modules, "some_names", SimpleNamespace(cities=names.get))
    many = Many("city", "some_names:cities")
    assert many.of({"city": "two", "profile": "one"}) == ["a", "b"]
    assert many.of({"city": "one"}) is None
    assert many.of({}) is None
