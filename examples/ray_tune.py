"""Search a learner's settings with Ray Tune, which ends trials that fall behind (ASHA).

python examples/ray_tune.py --trials 16 --timesteps 40000
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import ASHAScheduler

from stormgym.agents.training.api import train

PRICE = 10.0
"""What an hour of gap over the limit counts for, in hours of outage: a trial shall not win by breaking the limit."""


def trial(config: dict[str, Any]) -> None:
    """Train once; every evaluation is reported, and Tune ends the trial where others do better."""

    def report(step: int, score: dict[str, float]) -> None:
        tune.report({**score, "step": step, "value": score["return"] - PRICE * score["excess"]})

    train("Restoration-v0", "maskable-ppo", config["settings"], on_eval=report, torch_threads=1, **config["run"])


def main(words: list[str] | None = None) -> tune.ResultGrid:
    """Search; print the best settings. Trials run on a cluster where there is one (docs/ray.md)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--timesteps", type=int, default=40_000)
    parser.add_argument("--city", default="synthetic:12:1")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs/tune"), help="a folder that all machines see")
    given = parser.parse_args(words)
    folder = given.runs_dir.absolute()
    run = {"timesteps": given.timesteps, "num_envs": 8, "runs_dir": str(folder), "env_kwargs": {"city": given.city}}
    settings = {
        "learning_rate": tune.loguniform(1e-4, 3e-3),
        "ent_coef": tune.loguniform(1e-4, 3e-2),
        "n_steps": tune.choice([32, 64]),
    }
    scheduler = ASHAScheduler(
        time_attr="step", max_t=given.timesteps, grace_period=given.timesteps // 8, reduction_factor=2
    )
    results = tune.Tuner(
        tune.with_resources(trial, {"cpu": 1}),
        param_space={"settings": settings, "run": run},
        tune_config=tune.TuneConfig(metric="value", mode="max", num_samples=given.trials, scheduler=scheduler),
        run_config=tune.RunConfig(name="search", storage_path=str(folder), verbose=0),
    ).fit()
    best = results.get_best_result(scope="all")
    print(f"best of {len(results)}: {best.config['settings']}: value {best.metrics['value']:.2f}")
    return results


if __name__ == "__main__":
    main()
