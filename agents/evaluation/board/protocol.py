"""What a score must keep to stand on the results board."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stormgym.agents.evaluation.options import takes
from stormgym.agents.policy import Entrant
from stormgym.agents.registry import domain_of
from stormgym.agents.runs import Run, comparable, open_run

PROTOCOL = 1
"""Its version; scores of different ones are not compared."""
EPISODES, SEED, TRAINING_SEEDS = 1_000, 2026, 5
HELD_OUT, LEARNT_FROM = "test", "train"
"""The halves of records (`split`) that scores and trainings take, where an environment has halves."""


def check_protocol(
    env_id: str, env_kwargs: Mapping[str, Any], episodes: int, seed: int, entrants: Mapping[str, Entrant]
) -> None:
    """Check an evaluation before it is played.

    Args:
        env_id, env_kwargs: the environment.
        episodes, seed: its scenarios.
        entrants: the agents by name.

    Raises:
        ValueError: a rule that is not kept, with the option that keeps it.
    """
    if (episodes, seed) != (EPISODES, SEED):
        raise ValueError(
            f"scores of the board are over {EPISODES:,} scenarios of seed {SEED}; got {episodes:,} of seed {seed}. "
            f"Add --episodes {EPISODES} --seed {SEED}"
        )
    if takes(env_id, "split") and env_kwargs.get("split", None) != HELD_OUT:
        raise ValueError(
            "scores of the board are on records that no training draws; got "
            f"split={env_kwargs.get('split', 'its default')}. Add --option split={HELD_OUT}"
        )
    for name, value in env_kwargs.items():
        if isinstance(value, str) and Path(value).exists():
            raise ValueError(
                f"scores of the board are in places that everyone has; {name} is the file or folder {value!r}. "
                "Take a built-in name, or keep a board of your own"
            )
    if domain_of(env_id).headline.objective.key == "return":
        raise ValueError(f"{env_id} has no domain that names its objective, so there is no board for it")
    for runs in trained(entrants).values():
        _check_runs(runs, env_kwargs)


def trained(entrants: Mapping[str, Entrant]) -> dict[str, list[tuple[str, Run]]]:
    """Runs among the agents, those that differ by their seed alone together: names and runs by the first's name."""
    groups: dict[str, list[tuple[str, Run]]] = defaultdict(list)
    keys: list[tuple[Any, str]] = []
    for name, entrant in entrants.items():
        if entrant.run is None:
            continue
        run = open_run(entrant.run)
        key = (comparable(run.settings), entrant.ahead)
        first = next((other for known, other in keys if known == key), name)
        keys.append((key, first))
        groups[first].append((name, run))
    return dict(groups)


def _check_runs(runs: list[tuple[str, Run]], env_kwargs: Mapping[str, Any]) -> None:
    seeds = sorted({run.settings.seed for _, run in runs})
    if len(seeds) < TRAINING_SEEDS or len(seeds) < len(runs):
        raise ValueError(
            f"what is trained is scored over {TRAINING_SEEDS} different training seeds at least; got the seeds "
            f"{', '.join(str(run.settings.seed) for _, run in runs)} of {runs[0][0]}. Train the others with --seeds "
            f"{TRAINING_SEEDS} and name all run folders"
        )
    for name, run in runs:
        split = run.settings.env_kwargs.get("split")
        if "split" in env_kwargs and split != LEARNT_FROM:
            raise ValueError(
                f"{name} was trained on split={split or 'its default'}, which may hold the scenarios of the board; "
                f"train it with --option split={LEARNT_FROM}"
            )
