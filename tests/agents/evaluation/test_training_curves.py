"""Curves of a run's training for its page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.evaluation.summary import summarise, write_json
from stormgym.agents.evaluation.training_curves import MOST_POINTS, STEP, training_curves
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.registry import domain_of
from stormgym.agents.report_cli import main

HEADLINE = domain_of("Restoration-v0").headline
LOG = f"{STEP},rollout/ep_rew_mean,eval/mean_outage_h,eval/gap_h\n64,-60,,\n64,,55,12\n128,-50,,\n128,,45,nan\n192,-4"


def test_curves__are_the_columns_of_the_log(tmp_path: Path) -> None:
    file = tmp_path / "progress.csv"
    file.write_text(LOG)
    told = training_curves(file, HEADLINE)
    assert told is not None
    outage, gap, reward = told["series"]  # no lambda here
    assert (outage["steps"], outage["y"], outage["limited"]) == ([64.0, 128.0], [55.0, 45.0], False)
    assert outage["title"] == "mean outage (h) on the scenarios that choose the best model"
    assert (gap["steps"], gap["y"], gap["limited"]) == ([64.0], [12.0], True)
    assert reward["y"] == [-60.0, -50.0]  # the last line was cut off


def test_curves__of_long_logs_are_thinned_and_keep_their_last_point(tmp_path: Path) -> None:
    file = tmp_path / "progress.csv"
    file.write_text(f"{STEP},train/lambda\n" + "".join(f"{i},{i / 10}\n" for i in range(1_502)))
    told = training_curves(file, HEADLINE)
    assert told is not None
    (curve,) = told["series"]
    assert len(curve["y"]) <= MOST_POINTS + 1
    assert (curve["steps"][0], curve["steps"][-1], curve["y"][-1]) == (0.0, 1501.0, 150.1)


def test_curves__none_without_a_log_or_what_it_tells(tmp_path: Path) -> None:
    assert training_curves(tmp_path / "progress.csv", HEADLINE) is None
    (tmp_path / "progress.csv").write_text(f"{STEP},time/fps\n1,2\n")
    assert training_curves(tmp_path / "progress.csv", HEADLINE) is None
    (tmp_path / "progress.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="not the log of a run, whose first column is time/total_timesteps"):
        training_curves(tmp_path / "progress.csv", HEADLINE)


def test_report__of_a_run_folder_has_its_curves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "no evaluation.json in this folder; a run writes one when it ends" in capsys.readouterr().err
    kwargs = {"city": "synthetic:6:1", "predictor": "none"}
    played = evaluate("Restoration-v0", resolve_agents("nearest", "Restoration-v0"), episodes=3, env_kwargs=kwargs)
    write_json(summarise(played), tmp_path / "evaluation.json")
    (tmp_path / "progress.csv").write_text(LOG)
    page = tmp_path / "page.html"
    assert main([str(tmp_path), "--html", str(page)]) == 0
    block = json.loads(page.read_text().split('id="data">')[1].split("</script>")[0])
    assert [len(series["y"]) for series in block["training"]["series"]] == [2, 1, 2]
    (tmp_path / "progress.csv").write_bytes(b"\xff\xfe")
    assert main([str(tmp_path), "--html", str(page)]) == 2
    assert "not the log of a run" in capsys.readouterr().err
