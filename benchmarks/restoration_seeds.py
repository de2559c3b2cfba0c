"""Train one learner with several seeds, score every seed beside the heuristics on held-out storms, and write the table.

    python benchmarks/restoration_seeds.py --seeds 5 --timesteps 300000 --jobs 2 --docs docs/results.md

Each seed is one `train.py` run on one core; the runs go side by side, and a killed benchmark goes on where it
stopped: runs that have ended are kept, and one under way resumes from its last checkpoint. Scores come from
`evaluate.py` on scenarios that no training saw.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from pages import replace_block
from rich.console import Console
from rich.table import Table

from stormgym.agents.evaluation.statistics import mean_estimate
from stormgym.agents.training.runs import open_run

ROOT = Path(__file__).resolve().parent.parent
UNPLANNED = ("request-volume", "nearest", "tsp", "shortest-repair")
OTHERS = ("random", *UNPLANNED, "repairman", "equity-planner", "clairvoyant-fair")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Seeds of one learner beside the heuristics."""

    agent: str = "sta-sac"
    """Learner to train."""
    city: str = "default"
    """City name or folder."""
    seeds: int = 5
    """Training seeds 0, 1, ..."""
    timesteps: int = 300_000
    """Environment steps of each seed."""
    jobs: int = 2
    """Runs side by side, one thread each."""
    episodes: int = 1_000
    """Held-out storms."""
    eval_seed: int = 12_345
    """Seed of the held-out storms."""
    runs_dir: Path = Path("runs/seeds")
    """Where the runs and the scores are kept."""
    docs: Path | None = None
    """Markdown file whose block between seeds:begin and seeds:end is replaced."""
    extra: tuple[str, ...] = ()
    """Further options of train.py."""


def call(command: list[str], log: Path) -> None:
    """Run a command on one thread; raise with the end of its log when it fails."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("a", encoding="utf-8") as out:
        code = subprocess.run(command, cwd=ROOT, env=env, stdout=out, stderr=out, check=False).returncode
    if code:
        raise RuntimeError(f"{' '.join(command)} failed with code {code}:\n{log.read_text(encoding='utf-8')[-2000:]}")


def train_seed(settings: Settings, seed: int) -> Path:
    """Train one seed, or go on with it, or find it; return its run folder."""
    folder = (settings.runs_dir / f"{settings.agent}-{settings.timesteps}" / str(seed)).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    done, log = folder / "done.json", folder / "train.log"
    if done.is_file():
        return Path(json.loads(done.read_text(encoding="utf-8"))["run"])
    command = [sys.executable, "train.py"]
    started = sorted(folder.glob("*/*/*/settings.json"))
    if started and open_run(started[-1].parent).last_checkpoint() is not None:
        call([*command, "--resume", str(started[-1].parent), "--final-episodes", "0", "--no-progress"], log)
    else:
        options = {
            "--env": "Restoration-v0",
            "--agent": settings.agent,
            "--seed": seed,
            "--timesteps": settings.timesteps,
        }
        options |= {"--city": settings.city, "--runs-dir": folder, "--final-episodes": 0, "--torch-threads": 1}
        words = [str(word) for pair in options.items() for word in pair]
        call([*command, *words, "--no-progress", *settings.extra], log)
    run = sorted(folder.glob("*/*/*/settings.json"))[-1].parent
    done.write_text(json.dumps({"run": str(run)}), encoding="utf-8")
    return run


def score(settings: Settings, runs: list[Path]) -> dict[str, Any]:
    """Score runs and heuristics on the same held-out storms; return evaluate.py's JSON."""
    file = (settings.runs_dir / f"{settings.agent}-{settings.timesteps}" / "scores.json").resolve()
    command = [sys.executable, "evaluate.py", "--env", "Restoration-v0", "--city", settings.city]
    command += ["--agents", ",".join([*OTHERS, *map(str, runs)]), "--episodes", str(settings.episodes)]
    call([*command, "--seed", str(settings.eval_seed), "--json", str(file)], file.with_suffix(".log"))
    return json.loads(file.read_text(encoding="utf-8"))


def rows_of(scores: dict[str, Any], n_seeds: int) -> list[dict[str, Any]]:
    """One row per heuristic, per seed, and one for the mean over seeds with a t interval over seeds."""
    agents = scores["agents"]
    rows = []
    for name, agent in agents.items():
        row = {"agent": name, "privileged": agent["privileged"]}
        for key in ("mean_outage_h", "gap_h", "violation_rate"):
            row[key], row[f"{key}_ci"] = agent[key], agent[f"{key}_ci"]
        row["decision_ms"] = agent.get("decision_ms")
        rows.append(row)
    learnt = rows[-n_seeds:]
    for seed, row in enumerate(learnt):
        row["agent"] = f"seed {seed}"
    if n_seeds > 1:
        total: dict[str, Any] = {"agent": f"mean of {n_seeds} seeds", "privileged": False}
        for key in ("mean_outage_h", "gap_h", "violation_rate"):
            estimate = mean_estimate([row[key] for row in learnt])
            total[key], total[f"{key}_ci"] = estimate.value, [estimate.low, estimate.high]
        total["decision_ms"] = float(np.mean([row["decision_ms"] for row in learnt]))
        rows.append(total)
    return rows


def markdown(settings: Settings, rows: list[dict[str, Any]]) -> str:
    """The table for the docs."""
    lines = [
        f"City `{settings.city}`, {settings.episodes} held-out storms, {settings.seeds} training seeds of "
        f"{settings.timesteps:,} steps each. Rows of seeds are `{settings.agent}`. Brackets: 95 % intervals (over "
        "storms; over seeds in the last row). † knows the true durations.",
        "",
        "| agent | mean outage h | mean gap h | episodes over the limit | ms a decision |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        dagger = " †" if row["privileged"] else ""
        cells = [f"{row[k]:.2f} [{row[f'{k}_ci'][0]:.2f}, {row[f'{k}_ci'][1]:.2f}]" for k in ("mean_outage_h", "gap_h")]
        latency = "" if row["decision_ms"] is None else f"{row['decision_ms']:.2f}"
        lines.append(
            f"| {row['agent']}{dagger} | {cells[0]} | {cells[1]} | {100 * row['violation_rate']:.0f} % | {latency} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Train, score, show, write."""
    settings = tyro.cli(Settings)
    console = Console()
    with console.status(f"training {settings.seeds} seeds, {settings.jobs} side by side (logs in {settings.runs_dir})"):
        with ThreadPoolExecutor(settings.jobs) as pool:
            runs = list(pool.map(lambda seed: train_seed(settings, seed), range(settings.seeds)))
    with console.status("scoring on held-out storms"):
        rows = rows_of(score(settings, runs), settings.seeds)
    table = Table("agent", "mean outage h", "gap h", "over the limit", title=f"{settings.agent} on {settings.city}")
    for row in rows:
        table.add_row(
            row["agent"], f"{row['mean_outage_h']:.2f}", f"{row['gap_h']:.2f}", f"{100 * row['violation_rate']:.0f} %"
        )
    console.print(table)
    learnt = [row for row in rows if row["agent"].startswith("seed ")]
    bar = min(row["mean_outage_h"] for row in rows if row["agent"] in UNPLANNED)
    for row in learnt:
        verdict = "holds" if row["gap_h"] <= 8.0 and row["mean_outage_h"] < bar else "MISSES"
        console.print(
            f"{row['agent']}: {verdict} mean gap <= 8 h and mean outage below {bar:.2f} h "
            "(the best rule that does not plan on forecasts)"
        )
    if settings.docs is not None:
        replace_block(settings.docs, "seeds", markdown(settings, rows))
        console.print(f"wrote {settings.docs}")


if __name__ == "__main__":
    main()
