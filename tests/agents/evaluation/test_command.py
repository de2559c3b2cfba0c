"""The command line `evaluate.py`: wrong names, files, and a whole evaluation on a small city."""

import errno
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stormgym.agents.evaluation import command, sorting
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.evaluation.sorting import check_sort
from stormgym.agents.lineup import resolve_agents

ROOT = Path(__file__).resolve().parents[3]
OWN_FIGURE = """
from stormgym.agents.rules import RandomPolicy

class Mine(RandomPolicy):
    def episode_metrics(self, state, rows):
        return {"wide": [1.0] * len(rows)}
"""
SMALL = ("--city", "synthetic:6:0", "--predictor", "point")


@pytest.mark.slow
def test_evaluation__prints_tables_and_writes_json_and_page(
    evaluate_main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, page = tmp_path / "new" / "evaluation.json", tmp_path / "page.html"
    agents = "nearest,random,clairvoyant"
    rest = (
        "--agents",
        agents,
        "--episodes",
        "7",
        "--batch-size",
        "3",
        "--json",
        str(file),
        "--html",
        str(page),
    )
    assert evaluate_main([*SMALL, *rest, "--seed", "4", "--cost-limit", "2.5"]) == 0
    shown = capsys.readouterr()
    assert "Restoration-v0: 7 common scenarios (seed 4), limit on the mean gap: 2.5 h" in shown.out
    assert "clairvoyant †" in shown.out
    assert "nearest: 7 episodes" in shown.err
    summary = json.loads(file.read_text())
    assert list(summary["agents"]) == agents.split(",")
    assert summary["cost_limit"] == 2.5
    assert summary["settings"]["env_kwargs"] == {
        "city": "synthetic:6:0",
        "predictor": "point",
        "cost_limit": 2.5,
    }
    for name in (
        "mean_outage_h",
        "gap_h",
        "violation_rate",
        "worst_group_mean_h",
        "p95_h",
        "gini",
        "saidi_h",
    ):
        low, high = summary["agents"]["nearest"][f"{name}_ci"]
        assert low <= summary["agents"]["nearest"][name] <= high
    assert len(summary["agents"]["random"]["episodes"]) == summary["episodes"] == 7
    assert summary["agents"]["clairvoyant"]["privileged"]
    assert page.read_text().startswith("<!doctype html>")


def test_evaluation__scenarios_do_not_depend_on_the_batch(evaluate_main: Callable[..., int], tmp_path: Path) -> None:
    outages = []
    for size in ("2", "5"):
        file = tmp_path / f"{size}.json"
        arguments = ("--agents", "nearest", "--episodes", "5", "--batch-size", size, "--json", str(file))
        assert evaluate_main([*SMALL, *arguments]) == 0
        outages.append([e["mean_outage_h"] for e in json.loads(file.read_text())["agents"]["nearest"]["episodes"]])
    assert outages[0] == pytest.approx(outages[1], abs=1e-9)


def test_evaluation__writes_to_a_device_and_leaves_it_one(evaluate_main: Callable[..., int]) -> None:
    arguments = ("--agents", "nearest", "--episodes", "2", "--json", "/dev/null", "--html", "/dev/null")
    assert evaluate_main([*SMALL, *arguments]) == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_evaluation__with_a_full_disk_keeps_what_it_can(
    evaluate_main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    from stormgym.agents.evaluation import command

    def full(summary: object, file: Path) -> Path:
        if file.parent == tmp_path:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
        return write_json(summary, file)

    write_json = command.write_json
    monkeypatch.setattr(command, "write_json", full)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    files = ("--json", str(tmp_path / "a.json"), "--html", str(tmp_path / "a.html"))
    assert evaluate_main([*SMALL, "--agents", "nearest", "--episodes", "2", *files]) == 2
    shown = capsys.readouterr()
    (rescued,) = tmp_path.glob("stormgym-*/a.json")
    assert f"a.json could not be written (No space left on device); it was written to {rescued} instead" in shown.err
    assert json.loads(rescued.read_text())["episodes"] == 2
    assert (tmp_path / "a.html").exists()
    assert "nearest" in shown.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--agents", "nearest", "--json", "same.out", "--html", "./same.out"],
            "--json and --html both name same.out; give each a file of its own",
        ),
        (["--agents", "a\udc80=runs"], "has a character that cannot be printed; give it another label"),
        (
            ["--agents", "nearest,neareest"],
            "unknown agent 'neareest'; did you mean 'nearest'? Known agents of Restoration-v0: random, ",
        ),
        (
            ["--agents", "runs/Restoration-v0/sta-sac/absent"],
            "run folder 'runs/Restoration-v0/sta-sac/absent' does not",
        ),
        (["--agents", "ours=absent"], "run folder 'absent' does not exist"),
        (
            ["--agents", "ppo"],
            "agent 'ppo' learns: train it first (python train.py --env Restoration-v0 --agent ppo)",
        ),
        (["--agents", "nearest,nearest"], "two agents are named 'nearest'; give a run folder a label"),
        (
            ["--env", "Nowhere-v0"],
            "unknown environment 'Nowhere-v0'; known environments: CrewDispatch-v0, DefenderAttackerCrews-v0",
        ),
        (
            ["--env", "Restoraton-v0"],
            "unknown environment 'Restoraton-v0'; did you mean 'Restoration-v0'? Known environments: CrewDispatch-v0",
        ),
        (["--agents", "mine=pyproject.toml"], "'pyproject.toml' is a file, and Restoration-v0 takes"),
        (["--option", "cost_limt=8"], "no argument 'cost_limt'; did you mean 'cost_limit'? It takes city, predictor"),
        (["--city", "atlantis"], "city must be 'default', 'synthetic:N:SEED'"),
        (["--predictor", "oracle"], "predictor must be one of ecqr, cqr, cp, point, none; got 'oracle'"),
        (["--option", "colour=red"], "Restoration-v0 takes no argument 'colour'; it takes city, predictor"),
        (["--option", "colour"], "--option takes KEY=VALUE"),
        (["--episodes", "0"], "--episodes and --batch-size must be at least 1; got 0 and 64"),
        (["--episodes", "1000000000"], "--episodes must be at most 1,000,000; got 1000000000. Score several --seed"),
        (["--episodes", "1000000", "--batch-size", "1000000"], "--batch-size must be at most 100,000; got 1000000"),
        (["--agents", "ours=nearest"], "'nearest' is known by its own name and takes no label; write nearest"),
        (["--agents", f"{'x' * 4000}=sta-sac:default"], "a label must have at most 200 characters; got 4,000. Shorten"),
        (["--env", "CartPole-v1", "--agents", "nearest"], "'nearest' does not fit CartPole-v1, which has no agents of"),
        (["--agents", "~nobody-of-this-name/run"], "run folder '~nobody-of-this-name/run' does not exist"),
        (["--agents", f"ours={'x' * 4000}"], "does not exist"),
        (["--option", f"shock_log_sd={'9' * 5000}"], "a number of an option must have at most 400 digits; got 999"),
        (["--seed", "-1"], "--seed must be at least 0; got -1"),
        (["--plan", "--agents", "nearest,random"], "--plan takes one agent; got nearest, random"),
        (["--plan", "--agents", "clairvoyant"], "agent 'clairvoyant' looks at true repair durations"),
        (["--plan", "--agents", "nearest", "--shock", "group"], "--plan has no use for shock; it takes"),
        (
            ["--agents", "nearest", "--csv", "plan.csv", "--jobs", "jobs.csv"],
            "no use here for --jobs, --csv; leave it out, or add --plan",
        ),
        (["--plan", "--json", "table.json", "--episodes", "9"], "no use here for --episodes, --json; leave"),
        (["--option", "shock_log_sd=much"], "shock_log_sd must be a number; got 'much'"),
        (["--plan", "--agents", "nearest", "--start", "noon"], "--start must be a date and time"),
        (["--plan", "--agents", "nearest", "--jobs", "absent.csv"], "absent.csv: no such file"),
    ],
)
def test_command__wrong_request_is_exit_code_2_and_a_sentence(
    evaluate_main: Callable[..., int], capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    small = [] if arguments[0] in ("--city", "--predictor") else list(SMALL)
    assert evaluate_main([*small, *arguments]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert "Traceback" not in shown.err
    assert not shown.out


def test_command__process_ends_with_code_2_and_no_traceback() -> None:
    command = [sys.executable, str(ROOT / "evaluate.py"), "--agents", "nobody"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("evaluate.py: unknown agent 'nobody'")
    assert "Traceback" not in done.stderr


def test_command__unreadable_run_folder_says_so_before_any_episode(
    evaluate_main: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert evaluate_main([*SMALL, "--agents", str(tmp_path), "--episodes", "2"]) == 2
    assert f"trained agent '{tmp_path.parent.name}/{tmp_path.name}' cannot be loaded" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sort", "said"),
    [
        ("gap", "no figure 'gap' to sort by; did you mean 'gap_h'? Known: given, name, completed"),
        ("beauty", "no figure 'beauty' to sort by; known: given, name, completed"),
        ("widest", "did you mean 'wide'?"),
    ],
)
def test_command__wrong_order_is_refused_before_anything_is_played(
    evaluate_main: Callable[..., int], capsys: pytest.CaptureFixture[str], sort: str, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(OWN_FIGURE)
    words = ["--agents", f"nearest,equity-planner,mine={file}:Mine", "--episodes", "500", "--sort", sort]
    assert evaluate_main([*SMALL, *words]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert not out
    assert "episodes (" not in err


def test_reference__is_the_agent_that_is_named_and_must_be_one_of_those_that_play(
    evaluate_main: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "scores.json"
    words = [*SMALL, "--agents", "random,nearest,request-volume", "--episodes", "3"]
    assert evaluate_main([*words, "--reference", "random", "--json", str(file)]) == 0
    summary = json.loads(file.read_text())
    assert summary["reference"] == "random"
    assert summary["agents"]["nearest"]["paired"]["versus"] == "random"
    assert "random" in capsys.readouterr().out
    assert evaluate_main([*words, "--reference", "nerest"]) == 2
    out, err = capsys.readouterr()
    assert "reference must be one of the agents; got 'nerest'; did you mean 'nearest'?" in " ".join(err.split())
    assert not out


@pytest.mark.parametrize("sort", ["wide", "p95_h", "mean_outage_h_worst", "above", "decision_ms", None])
def test_sort__figures_of_their_own_are_known_and_few_are_played_for_it(
    sort: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(OWN_FIGURE)
    entrants = resolve_agents(f"nearest,clairvoyant,mine={file}:Mine", "Restoration-v0")
    asked = "excess_over_clairvoyant_h" if sort == "above" else sort
    played = []
    monkeypatch.setattr(sorting, "evaluate", lambda env_id, agents, **rest: played.extend(agents) or evaluate(env_id, agents, **rest))  # fmt: skip  # noqa: E501
    check_sort(asked, entrants, "Restoration-v0", {"city": "synthetic:6:0", "predictor": "none"})
    expected = {"wide": ["nearest", "mine"], "p95_h": ["nearest"], "decision_ms": ["nearest"]}
    assert played == expected.get(str(sort), [])


def test_command__what_proves_unknown_late_still_shows_the_table(
    evaluate_main: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "check_sort", lambda *_: None)
    assert evaluate_main([*SMALL, "--agents", "nearest", "--episodes", "2", "--sort", "beauty"]) == 0
    out = capsys.readouterr().out
    assert "no figure 'beauty' to sort by" in out
    assert "mean outage h" in out


@pytest.mark.slow
def test_evaluation__under_a_range_of_limits_judges_episodes_by_their_own(
    evaluate_main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, page = tmp_path / "evaluation.json", tmp_path / "report.html"
    command = [
        *SMALL,
        "--agents",
        "nearest,equity-planner",
        "--episodes",
        "6",
        "--cost-limit",
        "0.5-9",
        "--replays",
        "1",
    ]
    assert evaluate_main([*command, "--json", str(file), "--html", str(page)]) == 0
    out = capsys.readouterr().out
    assert "limit on the gap of each drawn from 0.5 to 9 h" in out
    assert "/ limit" in out
    summary = json.loads(file.read_text())
    assert (summary["cost_limit"], summary["cost_limit_range"]) == (4.75, [0.5, 9.0])
    limits = []
    for agent in summary["agents"].values():
        episodes = agent["episodes"]
        limits.append([e["cost_limit_h"] for e in episodes])
        assert agent["violation_rate"] == pytest.approx(
            sum(e["cost"] > e["cost_limit_h"] + 1e-6 for e in episodes) / len(episodes)
        )
        assert agent["violation_rate"] == agent["over_limit"]
        shares = [e["cost"] / e["cost_limit_h"] for e in episodes]
        assert agent["cost_in_limits"] == pytest.approx(sum(shares) / len(shares))
    assert limits[0] == limits[1]  # all agents meet the same limits
    assert len(set(limits[0])) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--city", "synthetic:5-9:0:3"), r"names many cities \(3\); for training only"),
        (("--cost-limit", "20-4"), r"cost_limit must be a pair \(low, high\) with 0 < low <= high hours"),
        (("--cost-limit", "some"), "--cost-limit must be a number"),
        (("--plan", "--cost-limit", "4-20"), r"--plan takes one limit; got the range \(4.0, 20.0\)"),
        (("--plan", "--city", "synthetic:5-9:0:3"), r"names many cities \(3\); for training only"),
    ],
)
def test_evaluation__wrong_limits_and_cities_are_errors(
    evaluate_main: Callable[..., int], arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = () if "--city" in arguments else ("--city", "synthetic:6:0")
    assert evaluate_main([*place, *arguments]) == 2
    assert re.search(message, capsys.readouterr().err.replace("\n", " "))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="takes /proc as a folder that nobody writes to")
def test_evaluation__a_folder_that_cannot_be_written_is_found_before_play(
    evaluate_main: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate_main(["--city", "synthetic:6:0", "--html", "/proc/report.html"]) == 2
    err = capsys.readouterr().err
    assert "/proc" in err
    assert "episodes (" not in err  # nobody played
