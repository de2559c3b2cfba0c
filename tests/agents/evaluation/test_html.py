"""The page of an evaluation, as text: what it holds, and that its numbers are those of the evaluation."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stormgym.agents.domain import GENERIC_HEADLINE
from stormgym.agents.evaluation.html import MOST_BYTES, render_html, write_html
from stormgym.agents.evaluation.page.glossary import TERMS, bound_term
from stormgym.agents.evaluation.page.numbers import as_block, fitting_replays
from stormgym.agents.evaluation.rollouts import AgentRecord, Evaluation
from stormgym.agents.evaluation.summary import summarise
from stormgym.agents.registry import domain_of
from stormgym.predictors.extras import MissingExtraError

HOSTILE = "<b>mine</b></script><script>alert(1)</script>[/]"


def block_of(page: str) -> dict[str, Any]:
    """The numbers that the page's figures are drawn from."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return dict(json.loads(found[1]))


def test_page__is_self_contained_and_escapes(
    full: Evaluation, tmp_path: Path, record: Callable[..., AgentRecord]
) -> None:
    full.agents[HOSTILE] = record(HOSTILE, 46, 7)
    file = write_html(full, summarise(full), tmp_path / "page.html")
    page = file.read_text()
    assert file.stat().st_size < MOST_BYTES
    assert "<b>mine" not in page
    assert "&lt;b&gt;mine" in page
    assert [agent["name"] for agent in block_of(page)["agents"]].count(HOSTILE) == 1
    assert page.count("</script>") == 3  # data, Plotly, ours
    assert not re.search(r"""<(script|link|img|iframe)[^>]*(src|href)=""", page)
    assert "default-src 'none'" in page
    assert "customers_out_24h" in page
    assert "<h2>Tail of mean outage h</h2>" in page
    assert "too narrow below 500 scenarios" in page


def test_page__has_the_numbers_of_the_evaluation(full: Evaluation) -> None:
    summary = summarise(full)
    data = block_of(render_html(full, summary))
    for point in data["agents"]:
        agent = summary["agents"][point["name"]]
        assert (point["y"], point["x"]) == (agent["mean_outage_h"], agent["gap_h"])
        assert (point["y_ci"], point["x_ci"]) == (agent["mean_outage_h_ci"], agent["gap_h_ci"])
    for key, table in data["tables"].items():
        if key == "metrics":
            continue
        for row in table["rows"]:
            told = dict(zip(table["columns"], row, strict=True))
            agent = summary["agents"][told.pop("agent")]
            agent = agent["paired"] if key == "paired" else agent
            for column, value in told.items():
                stem, _, end = column.rpartition("_")
                if column in agent:
                    assert agent[column] == value
                else:
                    assert agent[f"{stem}_ci"][("low", "high").index(end)] == value
    for row in data["tables"]["metrics"]["rows"]:
        assert row[1:] == [summary["agents"][name].get(row[0]) for name in data["tables"]["metrics"]["columns"][1:]]


def test_page__heads_with_the_city_and_who_is_best(
    full: Evaluation, record: Callable[..., AgentRecord], evaluation: Callable[..., Evaluation]
) -> None:
    page = render_html(replace(full, instance_name="<b>town"), summarise(replace(full, instance_name="<b>town")))
    assert "<h1>Evaluation on Restoration-v0: &lt;b&gt;town</h1>" in page
    assert "<title>Restoration-v0: &lt;b&gt;town: evaluation</title>" in page
    assert '<p class="verdict">Within the limit of 8 h and lowest mean outage: equity-planner, ' in page
    before = {key: value for key, value in summarise(full).items() if key != "instance_name"}  # JSON of before
    assert "<h1>Evaluation on Restoration-v0</h1>" in render_html(full, before)


def test_page__metrics_have_the_titles_of_tables_where_they_have_one(full: Evaluation) -> None:
    page = render_html(full, summarise(full))
    for cell in (
        "mean outage h <code>mean_outage_h</code>",
        "customers out 24 h <code>customers_out_24h</code>",
        "group mean low h <code>group_mean_h_0</code>",
        "above clairvoyant h <code>excess_over_clairvoyant_h</code>",
        "over limit <code>violation_rate</code>",
        "steps",
    ):
        assert f"<td>{cell}</td>" in page
    assert "<td>60.0 %</td>" in page


def test_page__explains_its_words_and_only_those(
    full: Evaluation, record: Callable[..., AgentRecord], evaluation: Callable[..., Evaluation]
) -> None:
    words = re.findall("<dt>(.*?)</dt>", render_html(full, summarise(full)))
    for word in ("gap", "CVaR 0.1", "Gini", "p95 (95th pct.)", "above clairvoyant", "SAIDI", "group means"):
        assert word in words
    assert "CAIDI" not in words
    few = evaluation(record("nearest", 50, 17), cost_limit=None)
    words = re.findall("<dt>(.*?)</dt>", render_html(few, summarise(few)))
    assert {"limit", "over limit", "clairvoyant, oracle (†)", "above clairvoyant"}.isdisjoint(words)


def test_glossary__has_the_words_of_the_docs() -> None:
    told = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
    bound = bound_term(domain_of("Restoration-v0").headline)
    assert bound is not None
    for term in (*TERMS, bound):
        assert f"| {term.name} | {term.meaning} |" in told


def test_page__shows_first_the_best_within_the_limit_what_is_done_today_and_the_bound(
    full: Evaluation, record: Callable[..., AgentRecord], evaluation: Callable[..., Evaluation]
) -> None:
    full.agents["request-volume"] = record("request-volume", 60, 12)
    full.agents["random"] = record("random", 65, 15)
    data = block_of(render_html(full, summarise(full)))
    assert data["first"] == ["equity-planner", "request-volume", "clairvoyant"]
    del full.agents["clairvoyant"]
    assert block_of(render_html(full, summarise(full)))["first"][2] == "clairvoyant-fair"
    nobody = evaluation(record("nearest", 50, 17), record("tsp", 55, 11), record("random", 66, 12))
    assert block_of(render_html(nobody, summarise(nobody)))["first"] == ["tsp", "nearest"]


def test_page__curves_of_groups_are_shares_of_the_hours(full: Evaluation) -> None:
    curves = block_of(render_html(full, summarise(full)))["curves"]
    times = full.agents["nearest"].times
    assert times is not None
    assert full.group is not None
    at = 40
    expected = [(times[:, full.group == g] <= curves["hours"][at]).mean() for g in (0, 1)]
    assert [curves["agents"]["nearest"][g][at] for g in (0, 1)] == pytest.approx(expected, abs=1e-3)


def test_page__names_the_extra_that_it_needs(full: Evaluation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(MissingExtraError, match=r'needs plotly.*pip install "stormgym\[agents\]"'):
        render_html(full, summarise(full))


def test_replays__are_left_out_until_they_fit() -> None:
    told = {"metrics": {"return": 1.0, "cost": 2.0}, "waits": [0.5] * 40}
    agents = {name: told for name in "abc"}
    storms = {"scene": {}, "storms": [{"episode": i, "agents": agents} for i in range(4)]}
    whole = fitting_replays(storms, GENERIC_HEADLINE, list("abc"), 10**6)
    assert whole is not None
    assert len(whole["storms"]) == 4
    assert whole["left_out"] == ""
    one = len(as_block({**whole, "storms": whole["storms"][:1]}))
    some = fitting_replays(storms, GENERIC_HEADLINE, list("abc"), one + 200)
    assert some is not None
    assert [storm["episode"] for storm in some["storms"]] == [0]
    assert "3 more storms" in some["left_out"]
    few = fitting_replays(storms, GENERIC_HEADLINE, list("abc"), one - 100)
    assert few is not None
    assert list(few["storms"][0]["agents"]) == ["a", "b"]
    assert fitting_replays(storms, GENERIC_HEADLINE, list("abc"), 50) is None
    assert fitting_replays(None, GENERIC_HEADLINE, list("abc"), 10**6) is None
