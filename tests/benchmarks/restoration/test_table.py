"""The results table: rows, keys, what is kept on disk, numbers, pages, and whole small runs that survive a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tyro
from matplotlib.backends.backend_agg import FigureCanvasAgg
from numpy.testing import assert_allclose
from scipy import stats

from benchmarks.kit.cells import Cells
from benchmarks.kit.seeds import changed_settings
from benchmarks.restoration.table import command as door
from benchmarks.restoration.table import figure, scores, summary, tables
from benchmarks.restoration.table.rows import FRONTIER, ROWS, Row, choose, small
from benchmarks.restoration.table.scores import Held, Place, Score
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.evaluation.summary import plain
from stormgym.agents.registry import AGENTS
from stormgym.agents.runs import RunSettings
from stormgym.agents.sta_sac.settings import STASACSettings
from stormgym.agents.training.cli import Settings as TrainSettings
from stormgym.agents.training.options import with_learners
from stormgym.agents.training.pool import Stopping, Trainer, train_to_end
from stormgym.envs.making import episode_seeds, make_batch

ROOT = Path(__file__).resolve().parents[3]
FULL = os.environ.get("STORMGYM_FULL") == "1"
HELD = Held(episodes=40, seed=7)
CITY = "synthetic:8:1"
QUICK = Row(
    label="quick",
    agent="maskable-ppo",
    group="learners",
    kind="learner",
    timesteps=256,
    env={"predictor": "none"},
    train={"n_steps": 16, "n_epochs": 1},
    run={"num_envs": 8, "eval_episodes": 8},
)


# rows


@pytest.mark.slow
@pytest.mark.parametrize("row", [*ROWS, *FRONTIER], ids=lambda row: row.label)
def test_row__is_an_agent_and_options_that_exist(row: Row) -> None:
    if row.agent not in AGENTS:
        pytest.skip(f"{row.agent} is not registered")
    assert row.lacking() is None
    assert (row.kind == "learner") == AGENTS[row.agent].trainable
    if row.kind == "policy":
        assert not row.train
        return
    for form in (row, small(row)):
        words = form.training(CITY).options()
        asked = tyro.cli(with_learners(TrainSettings, words), args=words)
        chosen = getattr(asked, row.agent.replace("-", "_"))
        assert asked.timesteps == form.timesteps
        for name, value in form.train.items():
            assert getattr(chosen, name) == value
        assert json.loads(json.dumps(vars(chosen))) == form.training(CITY).settings_today()
    aims = getattr(chosen, "constrained", True)
    assert aims == row.constrained


def test_rows__have_labels_of_their_own_and_epopr_table_1() -> None:
    labels = [row.label for row in (*ROWS, *FRONTIER)]
    assert len(set(labels)) == len(labels)
    printed = [row.printed for row in ROWS if row.printed is not None]
    assert len(printed) == 7
    # EPOPR's margins follow from the two rows of its table
    (ropu,) = (row.printed for row in ROWS if row.label == "ROPU")
    (epopr,) = (row.printed for row in ROWS if row.label == "EPOPR as printed")
    assert ropu is not None
    assert epopr is not None
    assert_allclose([1 - a / b for a, b in zip(epopr, ropu, strict=True)], summary.EPOPR_MARGINS, atol=6e-5)


def test_key__changes_with_every_setting_and_not_with_the_label() -> None:
    base = QUICK.digest("city")
    assert replace(QUICK, label="other", seeds=3).digest("city") == base
    changed = (
        replace(QUICK, timesteps=257),
        replace(QUICK, train={"n_steps": 32}),
        replace(QUICK, env={}),
        replace(QUICK, run={}),
        replace(QUICK, revision=1),
    )
    assert len({base, QUICK.digest("other city"), *(row.digest("city") for row in changed)}) == 7


def test_choose__by_label_agent_or_group_and_an_unknown_name_lists_the_labels() -> None:
    assert [row.label for row in choose(ROWS, ("STA-SAC", "TSP-ST"))] == ["TSP-ST", "STA-SAC"]
    assert {row.agent for row in choose(ROWS, ("sta-sac",))} == {"sta-sac"}
    assert len(choose(ROWS, ("sta-sac",))) > 5
    assert {row.group for row in choose(ROWS, ("ablations",))} == {"ablations"}
    assert choose(ROWS, ()) == ROWS
    with pytest.raises(KeyError, match=r"no row 'stasac'; name a label, an agent or a group\. Labels: status quo"):
        choose(ROWS, ("stasac",))


def test_lacking__names_the_agent_or_option() -> None:
    assert replace(QUICK, agent="nobody").lacking() == "no agent 'nobody'"
    assert replace(QUICK, train={"widht": 3}).lacking() == "maskable-ppo has no option widht"


# storms and files


@pytest.mark.slow
@pytest.mark.parametrize("predictor", ["cqr", "cp", "point", "none"])
def test_storms__have_the_same_durations_under_every_predictor(predictor: str) -> None:
    seeds = list(episode_seeds(12_345, 32))
    hours = []
    for env in ({"predictor": predictor}, {}, {"reward": "terminal", "cost": "terminal"}):
        envs: Any = make_batch("Restoration-v0", 32, {"city": CITY, **env})
        envs.reset(seed=seeds)
        hours.append(envs.unwrapped.process.duration_h.copy())
        envs.close()
    assert (hours[0] == hours[1]).all()
    assert (hours[0] == hours[2]).all()
    found = [
        evaluate("Restoration-v0", {"nearest": AGENTS["nearest"].load()}, episodes=16, seed=3, env_kwargs=kwargs)
        for kwargs in ({"city": CITY, "predictor": predictor}, {"city": CITY})
    ]
    assert_allclose(*(e.agents["nearest"].metrics["mean_outage_h"] for e in found), rtol=0, atol=0)
    assert scores.scenario_hash(CITY, {"predictor": predictor}, HELD) == scores.scenario_hash(CITY, {}, HELD)
    assert scores.scenario_hash(CITY, {"split": "all"}, HELD) != scores.scenario_hash(CITY, {}, HELD)
    assert scores.scenario_hash(CITY, {"shock": "common"}, HELD) != scores.scenario_hash(CITY, {}, HELD)


def test_score__is_kept_small_and_read_back_unless_the_storms_changed(tmp_path: Path) -> None:
    row = next(row for row in ROWS if row.label == "nearest")
    place, held = Place.of(CITY), Held(1_000, 7)
    facts, episodes = scores.play(row, place, held)
    cells = Cells("table", tmp_path / "results", tmp_path / "cells")
    key = scores.key_of(row, place, held, 0)
    scores.keep_score(cells, key, facts, episodes)
    read = scores.load_score(cells, key, row)
    assert read is not None
    assert read.facts == json.loads(json.dumps(plain(facts)))
    assert read.facts["mean_outage_h"] == episodes["mean_outage_h"].mean()
    for name, values in episodes.items():
        assert_allclose(read.episodes[name], values, atol=0.005 + 1e-9)
    (file,) = cells.collect()
    assert file.name == "table-synthetic-8-1.json"
    assert file.stat().st_size < 13_000  # 2,000 numbers of four digits, and the facts
    assert scores.load_score(cells, scores.key_of(row, place, Held(1_000, 8), 0), row) is None
    assert scores.load_score(cells, scores.key_of(row, place, held, 9), row) is None
    data = file.read_bytes()
    scores.keep_score(cells, key, facts, episodes)
    assert cells.collect() == []
    assert file.read_bytes() == data


@pytest.mark.slow
def test_facts__name_no_folder_of_this_machine(tmp_path: Path) -> None:
    from stormgym.envs.data import City

    City.synthetic(seed=3, n_regions=6).save(tmp_path / "our_city")
    row = next(row for row in ROWS if row.label == "nearest")
    place = Place.of(str(tmp_path / "our_city"))
    facts, _ = scores.play(row, place, HELD)
    assert place.slug == "our_city"
    assert str(tmp_path) not in json.dumps(plain(facts))


def test_settings__added_later_change_no_old_run_but_a_changed_default_does() -> None:
    today = QUICK.training(CITY).settings_today()
    old = {name: value for name, value in today.items() if name != "width"}
    assert changed_settings(old, today) == []
    assert changed_settings({**old, "learning_rate": 1.0}, today) == ["learning_rate"]
    is_own = QUICK.training(CITY).job("quick", Path("runs"), 0).is_own
    run = RunSettings(
        env_id="Restoration-v0", agent="maskable-ppo", seed=0, timesteps=256, num_envs=8, eval_freq=1, eval_episodes=1,
        checkpoint_freq=1,
    )  # fmt: skip
    assert is_own(replace(run, learner=old))
    assert not is_own(replace(run, learner={**old, "learning_rate": 1.0}))


# numbers


def made_up(row: Row, seed: int, outage: float, gap: float, storms: str = "a") -> Score:
    """A seed with 50 storms around the given means."""
    storm = np.random.default_rng(0).normal(0.0, 3.0, 50)
    noise = np.random.default_rng([seed, int(10 * outage)]).normal(0.0, 0.5, 50)
    hours = {"mean_outage_h": outage + storm + noise, "gap_h": gap + 0.2 * noise}
    facts: dict[str, Any] = {
        "seed": seed,
        "cost_limit_h": 8.0,
        "held_out": {"episodes": 50, "seed": 7, "scenarios": storms},
        "violation_rate": 0.3,
        "decision_ms": 1.0,
        "versions": {"commit": "0123456789abcdef"},
    }
    if row.kind == "learner":
        facts["training"] = {"wall_s": 600.0, "cpu_s": None if row.label == "ROPU" else 300.0}
        if row.label == "EPOPR as printed":
            facts["training"]["device"] = "cuda"
    for key, values in hours.items():
        facts[key], facts[f"{key}_ci"] = float(values.mean()), [float(values.mean()) - 0.3, float(values.mean()) + 0.3]
    return Score(seed, facts, hours)


PLACES = {
    "status quo": (57.0, 16.8),
    "nearest": (52.6, 17.7),
    "TSP-ST": (49.9, 10.5),
    "RL-DTSP": (50.5, 13.0),
    "HRL-DPDP": (49.4, 15.2),
    "ROPU": (44.2, 16.5),
    "shortest repair": (49.3, 19.6),
    "rollout": (45.6, 8.1),
    "repairman": (42.7, 17.1),
    "equity planner": (43.0, 7.7),
    "clairvoyant, fair": (37.2, 7.8),
    "EPOPR as printed": (47.9, 8.9),
    "MaskablePPO-Lagrangian": (46.2, 7.6),
    "attention-PG": (45.0, 7.4),
    "STA-SAC": (43.9, 7.3),
    "STA-SAC, looking ahead": (43.4, 7.4),
}


def example(shift: float = 0.0, keep: frozenset[str] = frozenset(PLACES)) -> summary.CityTable:
    found = []
    for row in ROWS:
        if row.label in keep and row.group != "ablations":
            outage, gap = PLACES[row.label]
            rng = np.random.default_rng(len(row.label))
            spread = rng.normal(0.0, 0.25, (row.seeds, 2)) if row.kind == "learner" else np.zeros((1, 2))
            members = [made_up(row, s, outage + shift + spread[s, 0], gap + spread[s, 1]) for s in range(row.seeds)]
            found.append((row, members))
    return summary.city_table(f"city {shift:g}", found)


def test_line__is_what_its_formulas_say() -> None:
    table = example()
    by_label = {line.row.label: line for line in table.lines}
    sta_sac, planner, ropu = by_label["STA-SAC"], by_label["equity planner"], by_label["ROPU"]
    means = np.array([score.facts["mean_outage_h"] for score in table.scores["STA-SAC"]])
    low, high = stats.t.interval(0.95, 9, loc=means.mean(), scale=stats.sem(means))
    assert_allclose((sta_sac.outage_h.value, sta_sac.outage_h.low, sta_sac.outage_h.high), (means.mean(), low, high))
    assert_allclose(sta_sac.outage_iqm_h.value, stats.trim_mean(means, 0.25))
    assert sta_sac.n_holding == sum(s.facts["gap_h"] <= 8.0 for s in table.scores["STA-SAC"])
    assert sta_sac.improvement is None
    assert planner.versus_planner is None
    versus = sta_sac.versus_planner
    assert versus is not None
    assert_allclose(versus.value, means.mean() / planner.outage_h.value - 1.0)
    assert versus.low < versus.value < versus.high
    assert planner.improvement is not None
    assert_allclose(planner.improvement.value, np.mean(planner.outage_h.value < means))
    assert planner.n_seeds == 1
    assert planner.outage_h.half_width == pytest.approx(0.3)
    assert (sta_sac.training_min, sta_sac.by_clock) == (5.0, False)
    assert (ropu.training_min, ropu.by_clock) == (10.0, True)
    assert (sta_sac.on_gpu, ropu.on_gpu) == (False, False)
    on_gpu = next(line for line in example().lines if line.row.label == "EPOPR as printed")
    assert (on_gpu.training_min, on_gpu.on_gpu) == (10.0, True)  # by the clock: a processor that waits says nothing
    assert "| 10.0 g |" in tables.body([example()], (), "command", None)
    assert ropu.holds == "0 of 5, no aim"
    assert planner.holds == "yes"
    margin = next(m for m in table.margins if m.label == "STA-SAC")
    assert margin.baseline == "ROPU"
    assert margin.outage.value == pytest.approx(means.mean() / ropu.outage_h.value - 1.0)


def test_line__is_not_paired_over_other_storms() -> None:
    row = next(row for row in ROWS if row.label == "STA-SAC")
    planner = next(row for row in ROWS if row.label == "equity planner")
    found = [(planner, [made_up(planner, 0, 43.0, 7.7, "b")]), (row, [made_up(row, s, 44.0, 7.0) for s in (0, 1)])]
    table = summary.city_table("c", found)
    assert all(line.versus_planner is None for line in table.lines)


def test_limits__of_one_city_must_agree_and_some_score_must_exist() -> None:
    row = next(row for row in ROWS if row.label == "nearest")
    other = made_up(row, 1, 50.0, 9.0)
    other.facts["cost_limit_h"] = 6.0
    with pytest.raises(ValueError, match=r"must have one limit; c has \[6.0, 8.0\]"):
        summary.city_table("c", [(row, [made_up(row, 0, 50.0, 9.0), other])])
    with pytest.raises(ValueError, match="no scores of c yet; run without --table-only first"):
        summary.city_table("c", [])


def test_across__takes_rows_that_all_cities_have_relative_to_their_planners() -> None:
    cities = [example(), example(10.0, frozenset({"nearest", "equity planner", "STA-SAC"}))]
    found = {line.label: line for line in summary.across_cities(cities)}
    assert set(found) == {"nearest", "equity planner", "STA-SAC"}
    assert found["equity planner"].relative_iqm.value == 1.0
    assert found["STA-SAC"].improvement is None
    nearest = found["nearest"].improvement
    assert nearest is not None
    assert nearest.value == 0.0
    assert summary.across_cities(cities[:1]) == ()


# pages and figure


def test_markdown__has_a_row_each_the_margins_of_epopr_and_the_figure() -> None:
    table = example()
    text = tables.body([table], (), "python -m benchmarks.restoration.table", "img/results.png")
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(lines) == 2 + 3 + len(table.lines)
    assert len({line.count("|") for line in lines}) == 1
    assert "| ROPU | 47.47, 10.13 | 5 |" in text
    assert "| clairvoyant, fair † |" in text
    assert "EPOPR reports 3.60 % shorter outages and a 14.19 % smaller gap than its best baseline, ROPU" in text
    assert "STA-SAC against ROPU: outage -0." in text
    assert "![Mean outage against mean gap](img/results.png)" in text
    assert "nan" not in text


def test_terminal__fits_120_columns() -> None:
    from rich.console import Console

    console = Console(width=120, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    cities = [example(), example(10.0)]
    tables.show(cities, summary.across_cities(cities), console)
    text = console.export_text()
    assert "MaskablePPO-Lagrangian" in text
    assert "…" not in text


def test_figure__shows_every_row_once_without_overlapping_names(tmp_path: Path) -> None:
    table = example()
    line = [made_up(FRONTIER[0], 0, 43.0 + 40.0 / limit**2, float(limit)) for limit in (4, 5, 6, 8, 12, 16)]
    drawn = figure.draw([table], {table.city: line})
    (ax,) = drawn.axes
    names = [text for text in ax.texts if text.get_text() and not text.get_text().startswith("limit")]
    assert {text.get_text().removesuffix(" †") for text in names} == set(PLACES)
    renderer = FigureCanvasAgg(drawn).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in names]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    figure.write(drawn, tmp_path / "img" / "results.png")
    assert (tmp_path / "img" / "results.png").stat().st_size > 20_000


def test_command__names_what_decides_the_table_only() -> None:
    usual = door.Settings(cities=("default", "/somewhere/our_city"), frontier=True, jobs=2, docs=Path("docs"))
    assert door.command(usual) == "python -m benchmarks.restoration.table --cities default our_city --frontier"
    small = replace(usual, small=True, **door.SMALL_DEFAULTS)
    assert door.command(small) == "python -m benchmarks.restoration.table --frontier --small"


# whole runs


def small_run(folder: Path, *words: str) -> list[str]:
    return ["--small", "--runs-dir", str(folder / "runs"), *kept_in(folder), *words]


def kept_in(folder: Path) -> list[str]:
    return ["--results", str(folder / "results"), "--cells", str(folder / "cells")]


@pytest.mark.slow
def test_small__trains_scores_writes_and_is_not_done_twice(
    tmp_path: Path, docs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only = (
        ()
        if FULL
        else (*("--only", "nearest", "equity planner", "MaskablePPO-Lagrangian", "STA-SAC", "STA-SAC, looking ahead"),)
    )
    size = () if FULL else ("--timesteps", "512", "--episodes", "16")
    words = small_run(tmp_path, *only, *size, "--docs", str(docs))
    assert door.main(words) == 0
    capsys.readouterr()
    page = docs / "results" / "tables" / "restoration-table.md"
    text = page.read_text()
    assert "\n# The main paper's table\n" in text
    made_by = " ".join(("python -m benchmarks.restoration.table", *size, "--small"))
    assert f"\nMade by `{made_by}`" in text
    assert "![Mean outage against mean gap](../../img/results.png)" in text
    assert (docs / "img" / "results.png").stat().st_size > 10_000
    assert "<!-- restoration:begin -->\n| agent | mean outage (h) |" in (docs / "results" / "README.md").read_text()
    content = json.loads(page.with_suffix(".json").read_text())
    found = content["cities"]["synthetic-8-1"]["rows"]
    assert set(found["STA-SAC"]["seeds"]) == {"0", "1"}
    assert found["STA-SAC"]["training_min"] > 0
    ahead = found["STA-SAC, looking ahead"]  # the same two agents, which draw orders before they act
    assert ahead["training_min"] == found["STA-SAC"]["training_min"]
    assert ahead["outage_h"] != found["STA-SAC"]["outage_h"]
    if FULL:
        assert set(found) == {row.label for row in ROWS if row.lacking() is None}
    stamps = {file: file.stat().st_mtime_ns for file in (tmp_path / "cells").rglob("[0-9]*.json")}
    assert stamps
    assert door.main([*words, "--table-only"]) == 0
    assert door.main(words) == 0
    assert page.read_text() == text
    assert stamps == {file: file.stat().st_mtime_ns for file in (tmp_path / "cells").rglob("[0-9]*.json")}
    page.unlink()
    door.write_pages(Cells(door.BENCHMARK, tmp_path / "results", None), docs)  # of what is collected
    assert page.read_text() == text
    assert door.main([*words, "--table-only", "--eval-seed", "1"]) == 2
    assert f"no scores of these rows on {64 if FULL else 16} storms of seed 1" in capsys.readouterr().err


def test_seed__that_has_ended_is_found_and_one_of_other_settings_is_not(tmp_path: Path) -> None:
    trainer = Trainer(in_process=True)
    job = QUICK.training(CITY).job("quick", tmp_path, 3)
    run, spent = train_to_end(trainer, job)
    assert run.settings.seed == 3
    assert spent.cpu_s is not None
    assert spent.wall_s is not None
    assert spent.wall_s >= 0
    assert job.steps_done() == 256
    trainer.stop()  # from here on any training would raise
    again, spent_again = train_to_end(trainer, job)
    assert (again.folder, spent_again) == (run.folder, spent)
    with pytest.raises(Stopping):
        train_to_end(trainer, replace(QUICK, train={"learning_rate": 0.1}).training(CITY).job("quick", tmp_path, 3))


def test_seeds_of_other_settings__are_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nearest, place = next(row for row in ROWS if row.label == "nearest"), Place.of(CITY)
    monkeypatch.setattr(door, "ROWS", (QUICK, nearest))
    held = Held(8, 12_345)
    facts, episodes = scores.play(nearest, place, held)
    cells = Cells(door.BENCHMARK, tmp_path / "results", tmp_path / "cells")
    scores.keep_score(cells, scores.key_of(nearest, place, held, 0), facts, episodes)
    old = {**QUICK.training(CITY).settings_today(), "width": 7}
    scores.keep_score(cells, scores.key_of(QUICK, place, held, 0), {**facts, "learner": old}, episodes)
    assert door.main(["--cities", CITY, "--episodes", "8", "--table-only", *kept_in(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "quick" not in out
    assert "left out: synthetic-8-1: quick seed 0 was trained with another width than today's" in err


def test_failure__is_told_at_the_end_and_keeps_nothing_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = replace(QUICK, label="bad", train={"batch_size": 0})
    monkeypatch.setattr(door, "ROWS", (bad, next(row for row in ROWS if row.label == "nearest")))
    words = [
        "--cities",
        CITY,
        "--episodes",
        "8",
        "--jobs",
        "0",
        "--runs-dir",
        str(tmp_path),
        *kept_in(tmp_path),
    ]
    assert door.main(words) == 1
    out, err = capsys.readouterr()
    assert "nearest" in out
    assert "failed: synthetic-8-1: bad seed 0: train.py" in err
    assert "batch-size must be at least 1; got 0" in err


def test_wrong_names__end_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert door.main(["--only", "stasac"]) == 2
    assert "no row 'stasac'" in capsys.readouterr().err
    assert door.main(["--cities", "nowhere"]) == 2
    assert "city must be" in capsys.readouterr().err
    assert door.main(["--seeds", "0"]) == 2
    assert "--seeds must be at least 1; got 0" in capsys.readouterr().err


KILLED = """
import json, sys
sys.path.insert(0, sys.argv[1])
from benchmarks.restoration.table import command as door
from benchmarks.restoration.table.rows import Row
door.ROWS = (Row(**json.loads(sys.argv[2])),)
sys.exit(door.main(sys.argv[3:]))
"""
LONGER = replace(
    QUICK,
    timesteps=2_048,
    seeds=1,
    run={"num_envs": 8, "eval_episodes": 8, "eval_freq": 1_024, "checkpoint_freq": 256},
)


def words_of(folder: Path, jobs: int = 1) -> list[str]:
    words = ["--cities", CITY, "--episodes", "8", "--jobs", str(jobs)]
    return [*words, "--runs-dir", str(folder / "runs"), *kept_in(folder)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark that nobody killed, trained in this process."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(door, "ROWS", (LONGER,))
        assert door.main(words_of(folder, jobs=0)) == 0
    return folder


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sends signals")
@pytest.mark.parametrize("how", ["stopped", "crashed", "orphaned"])
def test_kill__the_same_command_goes_on_to_the_same_numbers(
    how: str, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = tmp_path
    command = [sys.executable, "-c", KILLED, str(ROOT), json.dumps(vars(LONGER)), *words_of(killed)]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
    wait_for(lambda: list(killed.glob("runs/**/checkpoints/[0-9]*/model.safetensors")), first)
    (folder,) = {path.parents[3] for path in killed.glob("runs/**/checkpoints")}
    if how == "stopped":
        first.send_signal(signal.SIGTERM)
        assert first.wait(600) == 130
    else:
        first.kill()  # its train.py goes on, in a session of its own
        first.wait(600)
        if how == "crashed":
            for pid in holders(folder / "lock"):
                os.kill(pid, signal.SIGKILL)
    monkeypatch.setattr(door, "ROWS", (LONGER,))
    assert door.main(words_of(killed)) == 0
    assert len(list(killed.glob("runs/**/settings.json"))) == 1  # the run went on, none was begun anew
    log = (folder / "train.log").read_text()
    assert log.count("Trained maskable-ppo") == 1
    facts = [
        next(iter(json.loads((f / "results" / "restoration" / "table-synthetic-8-1.json").read_text()).values()))[
            "result"
        ]
        for f in (whole, killed)
    ]
    for key in ("mean_outage_h", "gap_h", "violation_rate"):
        assert facts[0][key] == facts[1][key]
    assert (facts[1]["training"]["cpu_s"] is None) == (how != "stopped")
    assert facts[1]["training"]["wall_s"] >= 0


def wait_for(ready: Any, process: subprocess.Popen[bytes], seconds: float = 600.0) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert process.poll() is None, "ended too early"
        assert time.monotonic() < end, "took too long"
        time.sleep(0.02)


def holders(lock: Path) -> list[int]:
    """Processes that have the file open."""
    if not Path("/proc").is_dir():
        pytest.skip("finds the run by /proc")
    found = []
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if entry.resolve() == lock.resolve():
                found.append(int(entry.parts[2]))
        except OSError:
            continue
    return found


def test_rows__of_before_practice_keep_their_names_and_others_have_a_new_one() -> None:
    """What stands for how STA-SAC was before is no part of a name; so a row that practises needs a new revision."""
    for row in ROWS:
        if row.agent == "sta-sac":
            assert row.revision > 0 or row.train.keys() >= STASACSettings.BEFORE.keys(), row.label
    (without,) = choose(ROWS, ["STA-SAC, no practice"])
    assert without.settings()["train"] == {}
    assert without.training("default").settings_today()["practice"] == 0


def test_rows__show_what_was_measured() -> None:
    """A default that changes under a row would drop its kept seeds from the table without a word."""
    cells = Cells(door.BENCHMARK, local=None)
    shown = set()
    for key in cells.all_keys():
        kept = cells.need(key)
        for row in ROWS:
            if kept.cell.get("agent") == row.agent and row.digest(kept.cell["city"]["fingerprint"]) in key:
                assert scores.changed_since(kept, row) == [], row.label
                shown.add(row.label)
    assert shown == {row.label for row in ROWS}
