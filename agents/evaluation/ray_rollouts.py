"""Batches of an evaluation, played in actors of a Ray cluster: the same numbers to the bit as in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from stormgym.agents.cluster import Workers, connect, environment_of
from stormgym.agents.evaluation.playing import Floats, Played, Player, Task

RETRIES = 3
"""How often a batch is played again whose actor was killed, or whose machine is gone."""

Unit = tuple[str, int]
"""An agent and the number of its batch; -1 for the decisions that are timed."""


def play_on_cluster(
    task: Task,
    batches: Sequence[Sequence[int]],
    timed: Sequence[int],
    workers: Workers,
    on_progress: Callable[[str, int], None] | None = None,
) -> dict[str, tuple[list[Played], Floats]]:
    """Play every agent on every batch.

    A batch is a function of its scenarios, so one that is played again, since its actor died, gives the same; each
    counts once.

    Args:
        task: what is played.
        batches: seeds of the scenarios of each.
        timed: seeds of those that an agent plays alone, to time its decisions.
        workers: how many actors, of one processor each.
        on_progress: called with an agent's name and the number of episodes it has just finished.

    Returns:
        Name -> what each batch came to, in their order, and the seconds of decisions.

    Raises:
        MissingExtraError: Ray is not installed.
        RuntimeError: actors died again and again.
        Exception: what an agent raised.
    """
    ray = connect()
    units: list[Unit] = [(name, i) for name in task.entrants for i in (*range(len(batches)), -1)]
    make = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=RETRIES)(Player)
    make = make.options(runtime_env={"env_vars": environment_of(1)})
    actors = [make.remote(task) for _ in range(min(workers.count(), len(units)))]
    found: dict[Unit, Any] = {}

    def begin(actor: Any, unit: Unit) -> Any:
        name, i = unit
        return actor.time_alone.remote(name, timed) if i < 0 else actor.play.remote(name, batches[i])

    try:
        for unit, result in _as_they_end(ray, actors, units, begin):
            found[unit] = result
            name, i = unit
            if on_progress is not None and i >= 0:
                on_progress(name, len(batches[i]))
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayActorError as error:
        raise RuntimeError(f"a worker of the evaluation died, and again when it was tried anew: {error}") from error
    finally:
        for actor in actors:
            ray.kill(actor)
    return {name: ([found[name, i] for i in range(len(batches))], found[name, -1]) for name in task.entrants}


def _as_they_end(
    ray: Any, actors: Sequence[Any], units: Sequence[Unit], begin: Callable[[Any, Unit], Any]
) -> Iterator[tuple[Unit, Any]]:
    """Units and their results as they end; each actor has one at a time."""
    waiting = iter(units)
    under_way: dict[Any, tuple[Any, Unit]] = {}
    for actor, unit in zip(actors, waiting, strict=False):
        under_way[begin(actor, unit)] = actor, unit
    while under_way:
        (ended,), _ = ray.wait(list(under_way))
        actor, unit = under_way.pop(ended)
        following = next(waiting, None)
        if following is not None:
            under_way[begin(actor, following)] = actor, following
        yield unit, ray.get(ended)
