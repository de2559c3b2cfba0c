"""Storms of an evaluation that are kept for replay: which ones, and what happened in them as each agent played."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.agents.binding import base_envs
from stormgym.agents.domain import Headline, load_entry
from stormgym.agents.evaluation.playing import Player, Task
from stormgym.agents.evaluation.rollouts import Evaluation
from stormgym.agents.evaluation.summary import plain, reference_of
from stormgym.agents.policy import Entrant, Policy
from stormgym.agents.registry import domain_of
from stormgym.agents.storm_replay import StormRecorder, ToldTimes, rounded
from stormgym.envs.core import Core

USUAL_STORMS = 5
"""Kept where a page is written."""
MOST_STORMS = 100


def record_storms(
    evaluation: Evaluation,
    summary: Mapping[str, Any],
    entrants: Mapping[str, Entrant],
    n_storms: int = USUAL_STORMS,
    on_progress: Callable[[str, int], None] | None = None,
) -> dict[str, Any] | None:
    """Play some storms of an evaluation once more and keep what happened; None where the domain tells no replay.

    Args:
        evaluation: whose storms.
        summary: `summarise(evaluation)`.
        entrants: its agents; names that it does not have are left out.
        n_storms: how many storms, at most.
        on_progress: called with an agent's name and the number of storms that it has just played.

    Returns:
        `scene` (`ReplayScene.as_json`), and `storms`: a list with `episode`, `seed`, `why` it was kept, `times` and
        `labels` of its T instants, and `agents`: name to `Replay.as_json` with the episode's `metrics`, and with `told`
        (`ToldTimes.as_json`) of one that announces times.

    Raises:
        ValueError: fewer than one storm, or more than `MOST_STORMS`.
        PrivilegeError: an agent read what nobody can know without saying so.
    """
    if not 1 <= n_storms <= MOST_STORMS:
        raise ValueError(f"storms kept for replay must be from 1 to {MOST_STORMS}; got {n_storms}")
    domain = domain_of(summary["env"])
    if domain.replay is None:
        return None
    kind: type[StormRecorder] = load_entry(domain.replay)
    chosen = chosen_storms(summary, n_storms)
    seeds = {episode: summary["agents"][reference(summary)]["episodes"][episode]["seed"] for episode in chosen}
    names = [name for name in summary["agents"] if name in entrants]
    kwargs = dict(evaluation.settings["env_kwargs"])
    player = Player(Task(summary["env"], kwargs, 1, {name: entrants[name] for name in names}))
    played: dict[int, dict[str, _Recorded]] = {episode: {} for episode in chosen}
    try:
        core = base_envs(player.env, "core", Core, summary["env"])[0].core
        for name in names:
            for episode, seed in seeds.items():
                played[episode][name] = _record(player, core, kind, name, seed)
                if on_progress is not None:
                    on_progress(name, 1)
    finally:
        player.close()
    storms = [
        {"episode": episode, "seed": seeds[episode], "why": why, **_told(kind, played[episode])}
        for episode, why in chosen.items()
    ]
    scene = next(iter(played[next(iter(chosen))].values())).recorder.scene()
    told = plain({"scene": scene.as_json(), "storms": storms})
    assert isinstance(told, dict)
    return told


@dataclass(frozen=True)
class _Recorded:
    """One storm of one agent."""

    recorder: StormRecorder
    metrics: dict[str, Any]
    told: ToldTimes | None


def _record(player: Player, core: Core, kind: type[StormRecorder], name: str, seed: int) -> _Recorded:
    """Play it."""
    recorders: list[StormRecorder] = []
    told: list[ToldTimes] = []

    def end(policy: Policy, state: Any, rows: NDArray[np.int64]) -> None:
        if hasattr(policy, "told_times"):
            told.append(policy.told_times(state, int(rows[0])))

    played = player.play(
        name,
        [seed],
        on_reset=lambda: recorders.append(kind(core)),
        on_step=lambda _: recorders[0].step(core),
        on_end=end,
    )
    recorders[0].end(core)
    metrics = {key: float(values[0]) for key, values in played.metrics.items()}
    return _Recorded(recorders[0], metrics, told[0] if told else None)


def _told(kind: type[StormRecorder], played: Mapping[str, _Recorded]) -> dict[str, Any]:
    """One storm as all agents played it, at common instants."""
    recorders = [recorded.recorder for recorded in played.values()]
    times = kind.times_of(recorders)
    return {
        "times": rounded(times),
        "labels": kind.labels_of(recorders, times),
        "agents": {
            name: {
                "metrics": recorded.metrics,
                "told": None if recorded.told is None else recorded.told.as_json(),
                **recorded.recorder.replay(times).as_json(),
            }
            for name, recorded in played.items()
        },
    }


def reference(summary: Mapping[str, Any]) -> str:
    """The agent by whom storms are called bad or mild: whom all are compared with, or the first."""
    return reference_of(summary) or next(iter(summary["agents"]))


def chosen_storms(summary: Mapping[str, Any], n_storms: int) -> dict[int, str]:
    """Episodes to keep and why, in that order: the worst, the usual and the mildest of the reference agent, its widest
    gap, its 90 % quantile; then those between, evenly over its objective."""
    headline = domain_of(summary["env"]).headline
    name = reference(summary)
    episodes = summary["agents"][name]["episodes"]
    values = np.array([episode[headline.objective.key] for episode in episodes], dtype=np.float64)
    order = np.argsort(-values if headline.lower_is_better else values, kind="stable")  # from the worst

    def at(share: float) -> int:
        return int(order[round(share * (order.size - 1))])

    wanted: list[tuple[int, str]] = [(at(0.0), f"the worst for {name}"), (at(0.5), f"a usual one for {name}")]
    if headline.constraint is not None:
        gaps = np.array([episode[headline.constraint.key] for episode in episodes], dtype=np.float64)
        wanted.append((int(gaps.argmax()), f"the largest {headline.constraint.name} of {name}"))
    wanted += [(at(1.0), f"the mildest for {name}"), (at(0.1), f"in the worst tenth for {name}")]
    wanted += [(at(share), f"worse than {100 * (1 - share):.0f} % for {name}") for share in np.linspace(0, 1, n_storms)]
    chosen: dict[int, str] = {}
    for episode, why in wanted:
        if len(chosen) < n_storms:
            chosen.setdefault(episode, f"{why}: {_sentence(headline, episodes[episode])}")
    return chosen


def _sentence(headline: Headline, episode: Mapping[str, Any]) -> str:
    return ", ".join(column.sentence(episode[column.key]) for column in headline.leading)
