"""The page of an evaluation in a real browser: figures, replays, tables, keyboard, hostile names, no network."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from stormgym.agents.evaluation.html import MOST_BYTES, write_html
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.evaluation.storms import record_storms
from stormgym.agents.evaluation.summary import summarise
from stormgym.agents.lineup import resolve_agents
from stormgym.envs.data import City

CHROMIUM = next((path for path in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if Path(path).exists()), None)
ALONE = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync"
"""Chromium with nobody to talk to."""
HOSTILE = "</script><img src=x onerror=alert(1)>"
ODD = ("<b>low</b>", "[/] middle", "=2+3")
AGENTS = "nearest,random,request-volume,shortest-repair,clairvoyant"


@dataclass
class Written:
    """A page, what is in it, and what a browser said of it."""

    file: Path
    summary: dict[str, Any]
    page: Any = None
    said: list[str] = field(default_factory=list)

    @property
    def first_storm(self) -> dict[str, Any]:
        return dict(self.summary["storms"]["storms"][0])


def written(folder: Path, env_id: str, agents: str, env_kwargs: dict[str, Any], **names: str) -> Written:
    """A page of a small evaluation; `names` renames agents."""
    entrants = {names.get(name.replace("-", "_"), name): e for name, e in resolve_agents(agents, env_id).items()}
    evaluation = evaluate(env_id, entrants, episodes=8, env_kwargs=env_kwargs)
    summary = summarise(evaluation)
    summary["storms"] = record_storms(evaluation, summary, entrants, 3)
    return Written(write_html(evaluation, summary, folder / "page.html"), summary)


def hostile_city() -> City:
    """Eight regions in three groups whose names are what a page must show as text."""
    city = City.synthetic(seed=1, n_regions=8)
    names = ["<script>alert(2)</script>", '"quoted", comma', "%{x} $a^2$ &amp;", *(f"ward {i}" for i in range(5))]
    ids = tuple(names)
    return replace(city, region_ids=ids, group_names=ODD, log=replace(city.log, region_ids=ids))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Chromium, where there is one."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ALONE.split())
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def show(chromium: Any) -> Iterator[Callable[..., Written]]:
    """Opens a page: show(written, width=, scheme=); afterwards nothing may have been said or asked for."""
    shown: list[Written] = []

    def opened(told: Written, width: int = 1280, scheme: str = "light") -> Written:
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = context.new_page()
        page.set_default_timeout(120_000)  # a busy machine takes its time with Plotly
        page.on("console", lambda message: told.said.append(message.text))
        page.on("pageerror", lambda error: told.said.append(str(error)))
        page.on("dialog", lambda dialog: told.said.append(dialog.message))
        page.on("request", lambda r: None if r.url.startswith(("file:", "blob:")) else told.said.append(r.url))
        page.goto(told.file.as_uri())
        told.page = page
        shown.append(told)
        return told

    yield opened
    for told in shown:
        assert told.said == []


@pytest.fixture(scope="module")
def restoration(tmp_path_factory: pytest.TempPathFactory) -> Written:
    city = hostile_city()
    folder = tmp_path_factory.mktemp("restoration")
    return written(folder, "Restoration-v0", AGENTS, {"city": city, "predictor": "none"}, random=HOSTILE)


@pytest.fixture(scope="module")
def wide(restoration: Written, show: Callable[..., Written]) -> Written:
    return show(restoration)


@pytest.fixture
def page(wide: Written) -> Any:
    """The page, at the beginning of its first storm."""
    wide.page.locator("#storm").select_option("0")
    move_to(wide.page, 0)
    return wide.page


def move_to(page: Any, frame: int) -> None:
    page.locator("#slider").evaluate(
        "(slider, frame) => { slider.value = frame; slider.dispatchEvent(new Event('input')); }", frame
    )


def fills(page: Any, agent: str) -> dict[str, str]:
    """Colour of each region on an agent's map, by name."""
    found = page.evaluate(
        """agent => {
          const panel = [...document.querySelectorAll("#panels .panel")].find((p) => p.dataset.agent === agent);
          return panel.querySelector(".map").data.filter((t) => t.hovertext).flatMap((t) =>
            t.hovertext.map((text, i) => [text, t.marker.color[i]]));
        }""",
        agent,
    )
    return {re.sub(r"<b>(.*?)</b>.*", r"\1", text): colour for text, colour in found}


def test_slider__moves_the_map_and_the_curves(wide: Written, page: Any) -> None:
    storm = wide.first_storm
    agent = page.locator("#panels .panel").first.get_attribute("data-agent")
    waits, times = np.array(storm["agents"][agent]["waits"]), np.array(storm["times"])
    dark = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--dark').trim()")
    white = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--paper').trim()")
    for frame in (0, 50, len(times) - 1):
        move_to(page, frame)
        colours = list(fills(page, agent).values())
        assert colours.count(white) == (waits <= times[frame]).sum()
        assert colours.count(dark) >= (waits > times[frame]).sum() - 1  # the crew works at one
        assert page.locator("#time").text_content() == storm["labels"][frame]
        shapes = page.evaluate("document.querySelector('#panels .curves').layout.shapes")
        assert shapes[1]["x0"] == pytest.approx(times[frame])
    crews = page.evaluate("document.querySelector('#panels .map').layout.shapes")
    vehicle = storm["agents"][agent]["vehicles"][0]
    assert [crews[1]["xanchor"], crews[1]["yanchor"]] == [vehicle["x"][-1], vehicle["y"][-1]]


def test_play__runs_to_the_end_and_stops(page: Any) -> None:
    move_to(page, 97)
    page.locator("#play").click()
    assert page.locator("#play").text_content() == "Pause"
    expect = pytest.importorskip("playwright.sync_api").expect
    expect(page.locator("#slider")).to_have_value("100", timeout=20_000)
    expect(page.locator("#play")).to_have_text("Play")
    page.locator("#play").click()  # from the beginning
    expect(page.locator("#slider")).to_have_value(re.compile("^[1-9][0-9]?$"), timeout=20_000)
    page.locator("#play").click()
    assert int(page.locator("#slider").input_value()) < 100


@pytest.mark.parametrize("width", [1280, 390])
def test_frontier__names_the_best_heuristic_in_a_crowd_too(
    tmp_path: Path,
    show: Callable[..., Written],
    record: Callable[..., Any],
    evaluation: Callable[..., Any],
    width: int,
) -> None:
    crowd = [record(f"a-rather-long-name-{i}", 50 + 0.2 * (i % 4), 7.0 + 0.2 * (i // 4)) for i in range(12)]
    played = evaluation(*crowd, record("nearest", 70, 12), record("best-of-them", 49.9, 7.3))
    summary = summarise(played)
    assert summary["best_heuristic"] == "best-of-them"
    page = show(Written(write_html(played, summary, tmp_path / "page.html"), summary), width=width).page
    shown = page.evaluate("document.getElementById('frontier').layout.annotations.map((a) => a.text)")
    assert "best-of-them" in shown
    assert len(set(shown)) == len(shown)
    page.context.close()


def test_frontier__a_click_selects(page: Any) -> None:
    page.locator("#picks input[value=clairvoyant]").uncheck()
    assert "clairvoyant" not in panels(page)
    where = page.evaluate(
        """() => {
          const div = document.getElementById("frontier"), box = div.getBoundingClientRect(), layout = div._fullLayout;
          const trace = div.data.find((t) => t.customdata.includes("clairvoyant"));
          const i = trace.customdata.indexOf("clairvoyant"), { l, t } = layout._size;
          return [box.left + l + layout.xaxis.d2p(trace.x[i]), box.top + t + layout.yaxis.d2p(trace.y[i])];
        }"""
    )
    page.mouse.move(*where)
    page.mouse.click(*where)
    assert panels(page)[-1] == "clairvoyant"
    assert page.locator("#picks input[value=clairvoyant]").is_checked()


def panels(page: Any) -> list[str]:
    return list(page.evaluate("[...document.querySelectorAll('#panels .panel')].map((p) => p.dataset.agent)"))


def test_agents__four_at_most_the_oldest_makes_room(page: Any) -> None:
    for box in page.locator("#picks input").all():
        if not box.is_checked():
            box.check()
    assert len(panels(page)) == 4
    assert "made room" in page.locator("#said").text_content()
    assert page.locator("#picks input:checked").count() == 4
    for box in page.locator("#picks input").all():
        if box.is_checked():
            box.click()
    assert len(panels(page)) == 1  # somebody stays


def test_storm__another_is_shown(wide: Written, page: Any) -> None:
    page.locator("#storm").select_option("1")
    storm = wide.summary["storms"]["storms"][1]
    agent = panels(page)[0]
    outage = storm["agents"][agent]["metrics"]["mean_outage_h"]
    assert f"mean outage {outage:.2f} h" in page.locator("#panels .panel").first.text_content()
    longest = max(storm["agents"][agent]["waits"])
    assert page.locator("#panels .panel ol li").first.text_content().endswith(f"{longest:.2f}")


def downloaded(page: Any, key: str) -> list[list[str]]:
    with page.expect_download() as waiting:
        page.locator(f"[data-table={key}] .csv").click()
    text = Path(waiting.value.path()).read_text(encoding="utf-8")
    return list(csv.reader(io.StringIO(text)))


def test_tables__sort_and_their_csv_is_the_json(wide: Written, page: Any) -> None:
    agents = wide.summary["agents"]
    head = page.locator("[data-table=agents] th button").nth(1)
    for order in ("ascending", "descending"):
        head.click()
        assert page.locator("[data-table=agents] th").nth(1).get_attribute("aria-sort") == order
        rows = downloaded(page, "agents")
        outages = [float(row[rows[0].index("mean_outage_h")]) for row in rows[1:]]
        assert outages == sorted(outages, reverse=order == "descending")
    shown = page.locator("[data-table=agents] tbody td:first-child").all_text_contents()
    assert [name.removesuffix(" †") for name in shown] == [row[0] for row in rows[1:]]
    for row in rows[1:]:
        told = dict(zip(rows[0], row, strict=True))
        assert float(told["gap_h"]) == agents[told["agent"]]["gap_h"]
        assert [float(told["gap_h_low"]), float(told["gap_h_high"])] == agents[told["agent"]]["gap_h_ci"]
    metrics = downloaded(page, "metrics")
    for row in metrics[1:]:
        for name, value in zip(metrics[0][1:], row[1:], strict=True):
            assert (float(value) if value else None) == agents[name].get(row[0])


def test_waits__of_every_region_are_in_a_table_of_their_own(wide: Written, page: Any) -> None:
    page.locator("#waits summary").click()
    rows = downloaded(page, "waits")
    storm = wide.first_storm
    for column, agent in enumerate(rows[0][2:], start=2):
        assert [float(row[column]) for row in rows[1:]] == storm["agents"][agent]["waits"]
    assert {row[0] for row in rows[1:]} == set(wide.summary["storms"]["scene"]["places"])
    assert "'=2+3" in {row[1] for row in rows[1:]}  # a spreadsheet would run it


def test_told__times_are_drawn_against_what_came(
    restoration: Written, show: Callable[..., Written], tmp_path: Path
) -> None:
    summary = json.loads(json.dumps(restoration.summary, default=str))
    agent = next(iter(summary["agents"]))
    rows = [["job 0", 0, 0.0, 2.0, 3.0, 5.0, 4.5], ["[/] <b>job 1", 1, 1.0, 2.0, 3.0, 5.0, 6.0]]
    summary["storms"]["storms"][0]["agents"][agent]["told"] = {"title": "ERT & truth", "rows": rows}
    (tmp_path / "kept.json").write_text(json.dumps(summary))
    from stormgym.agents.report_cli import main

    assert main([str(tmp_path / "kept.json"), "--html", str(tmp_path / "page.html")]) == 0
    page = show(Written(tmp_path / "page.html", summary)).page
    assert page.locator("#panels .told").count() == 1
    panel = page.locator("#panels .panel", has=page.locator(".told"))
    assert panel.get_attribute("data-agent") == agent
    assert panel.locator("h4", has_text="ERT & truth").count() == 1
    assert panel.locator("p", has_text="1 of 2 within their interval").count() == 1
    drawn = page.evaluate(
        """[...document.querySelector("#panels .told").data].flatMap((t) => t.x.map((x, i) =>
             [x - t.error_x.arrayminus[i], x, x + t.error_x.array[i], t.y[i]]))"""
    )
    assert sorted(drawn) == sorted(row[3:] for row in rows)
    page.context.close()


def test_keyboard__reaches_everything(page: Any) -> None:
    page.locator("#slider").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#slider").input_value() == "1"
    assert page.locator("#slider").get_attribute("aria-valuetext") == page.locator("#time").text_content()
    page.keyboard.press("Space")
    assert page.locator("#play").text_content() == "Pause"
    page.keyboard.press("Space")
    assert page.locator("#play").text_content() == "Play"
    page.locator("#picks input").first.focus()
    was = page.locator("#picks input").first.is_checked()
    page.keyboard.press("Space")
    assert page.locator("#picks input").first.is_checked() != was
    page.locator("[data-table=tail] th button").nth(1).focus()
    page.keyboard.press("Enter")
    assert page.locator("[data-table=tail] th").nth(1).get_attribute("aria-sort") == "ascending"
    page.locator("#theme").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    reached = set()
    page.reload()  # light again
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert {"theme", "storm", "slider", "play"} <= reached


def test_names__are_shown_as_text(wide: Written, page: Any) -> None:
    assert page.locator("#picks label", has_text=HOSTILE).count() == 1
    assert page.locator("[data-table=agents] td", has_text=HOSTILE).count() == 1
    assert HOSTILE[:20] in page.locator("#frontier").text_content()
    assert page.locator("img").count() == 0
    for name in ODD:
        assert page.locator("#key span", has_text=name).count() == 1
    move_to(page, 10)
    regions = "".join(page.locator("#waits td").all_text_contents())
    assert "<script>alert(2)</script>" in regions
    hover = page.evaluate(
        "[...document.querySelectorAll('#panels .map')].flatMap((m) => m.data.flatMap((t) => t.hovertext || []))"
    )
    assert any("&lt;script&gt;alert(2)" in text for text in hover)
    assert not any("<script" in text for text in hover)


def test_page__can_be_read_alone(wide: Written, page: Any) -> None:
    """Who is best, what each agent does, and what the words mean are on the page."""
    page.reload()  # as it opens
    assert panels(page) == ["nearest", "request-volume", "clairvoyant"]  # best within the limit, as today, the bound
    assert "most repair requests first (status quo)" in page.locator("#panels .panel").nth(1).text_content()
    assert page.locator("h1").text_content() == f"Evaluation on Restoration-v0: {hostile_city().name}"
    assert page.locator("#does dt").count() == len(wide.summary["agents"])
    assert not page.locator("#glossary dd").first.is_visible()
    page.locator("#glossary summary").click()
    assert "Wasserstein" in page.locator("#glossary dd").nth(2).text_content()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_page__fits_phone_and_desk_light_and_dark(
    restoration: Written, show: Callable[..., Written], width: int, scheme: str
) -> None:
    page = show(restoration, width, scheme).page
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    assert page.locator("#panels .map svg.main-svg").count() >= 3
    assert len(page.screenshot()) > 10_000  # no blank page
    assert restoration.file.stat().st_size < MOST_BYTES
    page.context.close()


WIDER_THAN_ITS_CARD = """[...document.querySelectorAll(".chart svg.main-svg")].filter((svg) => svg.checkVisibility())
  .map((svg) => [svg.closest(".chart").id || svg.closest(".chart").className, svg.getBoundingClientRect().right,
                 (svg.closest(".panel") || svg.closest("figure")).getBoundingClientRect().right])
  .filter(([, right, card]) => right > card + 0.5)"""


@pytest.mark.parametrize("width", [390, 1280])
def test_charts__are_no_wider_than_their_cards_however_many_are_shown(
    restoration: Written, show: Callable[..., Written], width: int
) -> None:
    page = show(restoration, width).page
    boxes = page.locator("#picks input").all()
    for n in (1, 2, 3, 4):
        for box in boxes[:n]:
            box.check()
        for box in boxes[n:]:
            box.uncheck()
        assert len(panels(page)) == n
        assert page.locator("#groups svg.main-svg").count() >= n
        assert page.evaluate(WIDER_THAN_ITS_CARD) == []
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    page.context.close()


def test_page__without_storms_has_no_replay(restoration: Written, show: Callable[..., Written], tmp_path: Path) -> None:
    from stormgym.agents.report_cli import main

    summary = json.loads(json.dumps({**restoration.summary, "storms": None}, default=str))
    (tmp_path / "kept.json").write_text(json.dumps(summary))
    assert main([str(tmp_path / "kept.json"), "--html", str(tmp_path / "page.html")]) == 0
    page = show(Written(tmp_path / "page.html", summary)).page
    assert not page.locator("#replay").is_visible()
    assert page.locator("#frontier svg.main-svg").count() >= 1
    page.context.close()


def test_page__without_a_limit_has_a_row_an_agent(
    newsvendor: ModuleType, show: Callable[..., Written], tmp_path: Path
) -> None:
    evaluation = evaluate(newsvendor.ENV_ID, resolve_agents(None, newsvendor.ENV_ID), episodes=8)
    summary = summarise(evaluation)
    page = show(Written(write_html(evaluation, summary, tmp_path / "page.html"), summary)).page
    drawn = page.evaluate(
        "document.getElementById('frontier').data.flatMap((t) => t.customdata.map((name, i) => [name, t.x[i]]))"
    )
    assert dict(drawn) == {name: agent["cost"] for name, agent in summary["agents"].items()}
    assert not page.locator("#replay").is_visible()
    page.context.close()
