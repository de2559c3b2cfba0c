"""The rows of the results table. A new row is one more `Row` in `ROWS`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from benchmarks.kit.cells import digest
from benchmarks.kit.seeds import Training
from stormgym.agents.registry import AGENTS, agent_spec
from stormgym.agents.sta_sac.settings import STASACSettings

ENV_ID = "Restoration-v0"
Group = Literal["Table 1 baselines", "learners", "planners", "ablations", "frontier"]
GROUPS: tuple[Group, ...] = ("Table 1 baselines", "planners", "learners", "ablations")
"""Groups of the table, in its order; `frontier` is drawn only."""

SPLIT = "test"
"""Records of the held-out storms; training draws the other half."""
ABLATION_CITY = "synthetic:20:5"
FRONTIER_H = (4, 5, 6, 7, 8, 10, 12, 14, 16, 18, 20)
"""Limits (h) at which the equity planner is scored for the figure's line."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: an agent, how it is trained, and in which form of the environment it acts."""

    label: str
    agent: str
    """Name in `stormgym.agents.policy.AGENTS`."""
    group: Group
    kind: Literal["learner", "policy"] = "policy"
    """A learner is trained once a seed; a policy needs no training and has seed 0 only."""
    constrained: bool = True
    """Whether the row aims at the limit."""
    train: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the learner that differ from its defaults (`--AGENT.NAME` of train.py)."""
    env: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the environment that differ from its defaults, but for the city."""
    run: Mapping[str, Any] = field(default_factory=dict)
    """Further options of train.py, such as num_envs."""
    timesteps: int = 0
    """Environment steps of a learner's training."""
    seeds: int = 1
    city: str | None = None
    """The one city of this row; None for the cities of the command line."""
    role: Literal["planner", "sta-sac"] | None = None
    """What other rows of its city are compared with: paired differences to the planner, improvement over STA-SAC."""
    printed: tuple[float, float] | None = None
    """Mean outage and inequity (h) in EPOPR's Table 1."""
    lookahead: int = 0
    """Orders that the trained agent draws when it looks ahead (`AGENT@K`); it is trained as the row without."""
    revision: int = 0
    """Raise it when the agent's code has changed so much that seeds trained before no longer count."""

    crowded: bool = False
    """Whether it lies on top of other rows in the figure, and is left out of it."""

    @property
    def drawn(self) -> bool:
        """Whether the figure shows it."""
        return self.group != "ablations" and not self.crowded

    @property
    def privileged(self) -> bool:
        """Whether the agent looks at what no crew can know."""
        return self.agent in AGENTS and AGENTS[self.agent].privileged

    def settings(self) -> dict[str, Any]:
        """All that decides the trained agent, but for city and seed.

        Settings that came after the first rows are left out where they stand for what was before, as in those rows.
        """
        chosen = {"agent": self.agent, "env": {**self.env, "split": SPLIT}, "revision": self.revision}
        if self.kind == "learner":
            train = {name: value for name, value in self.train.items() if BEFORE_PRACTICE.get(name) != value}
            chosen |= {"train": train, "run": dict(self.run), "timesteps": self.timesteps}
        if self.lookahead:
            chosen["lookahead"] = self.lookahead
        return chosen

    @property
    def trained_as(self) -> Row:
        """The row whose runs this one plays: itself, but for looking ahead."""
        return replace(self, lookahead=0)

    def digest(self, city_fingerprint: str) -> str:
        """Name of these settings on a city: a changed setting is a new name, and so a new run."""
        return digest(json.dumps([self.settings(), city_fingerprint], sort_keys=True))

    def lacking(self) -> str | None:
        """Why this installation cannot play the row (an agent or option it does not have); None when it can."""
        if self.agent not in AGENTS:
            return f"no agent {self.agent!r}"
        if self.kind == "learner":
            known = {f.name for f in fields(agent_spec(self.agent).load().settings)}
            unknown = [name for name in self.train if name not in known]
            if unknown:
                return f"{self.agent} has no option {', '.join(unknown)}"
        return None

    def training(self, city: str) -> Training:
        """How the row's seeds are trained in a city."""
        return Training(
            env_id=ENV_ID,
            agent=self.agent,
            timesteps=self.timesteps,
            env={"city": city, **self.env},
            train=self.train,
            run=self.run,
        )


def _policy(label: str, agent: str, group: Group, **kwargs: Any) -> Row:
    return Row(label=label, agent=agent, group=group, **kwargs)


def _learner(label: str, agent: str, group: Group, timesteps: int, seeds: int = 5, **kwargs: Any) -> Row:
    return Row(label=label, agent=agent, group=group, kind="learner", timesteps=timesteps, seeds=seeds, **kwargs)


def _sta_sac(label: str, **kwargs: Any) -> Row:
    return _learner(label, "sta-sac", "learners", 240_000, run={"eval_freq": 24_000}, **kwargs)


BEFORE_PRACTICE = STASACSettings.BEFORE
"""STA-SAC as it was before it practised."""
FREE: dict[str, Any] = {"constrained": False, "train": {"constrained": False}}
"""A learner without the constraint."""

_TABLE_1 = (
    _policy("status quo", "request-volume", "Table 1 baselines", constrained=False, printed=(57.521, 17.344)),
    _policy("nearest", "nearest", "Table 1 baselines", constrained=False, printed=(53.287, 16.365)),
    _policy("TSP-ST", "tsp", "Table 1 baselines", constrained=False, printed=(49.337, 11.389)),
    _learner(
        "RL-DTSP",
        "maskable-dqn",
        "Table 1 baselines",
        60_000,
        env={"predictor": "point"},
        printed=(50.853, 11.952),
        **FREE,
    ),
    _learner(
        "HRL-DPDP",
        "hrl-dpdp",
        "Table 1 baselines",
        250_000,
        env={"predictor": "point"},
        printed=(56.924, 15.725),
        **FREE,
    ),
    _learner(
        "ROPU", "maskable-ppo", "Table 1 baselines", 250_000, env={"predictor": "cp"}, printed=(47.471, 10.132), **FREE
    ),
)

_PLANNERS = (
    _policy("shortest repair", "shortest-repair", "planners", constrained=False),
    _policy("rollout", "rollout", "planners"),
    _policy("repairman", "repairman", "planners", constrained=False),
    _policy("equity planner", "equity-planner", "planners", role="planner"),
    _policy("clairvoyant, fair", "clairvoyant-fair", "planners"),
)

_LEARNERS = (
    _learner("EPOPR as printed", "sta-sac-paper", "learners", 60_000, printed=(45.762, 8.694)),
    _learner("MaskablePPO-Lagrangian", "maskable-ppo", "learners", 250_000),
    _learner("attention-PG", "attention-pg", "learners", 500_000),
    _sta_sac("STA-SAC", seeds=10, role="sta-sac", revision=2),
    _sta_sac("STA-SAC, looking ahead", lookahead=32, revision=2),
    _sta_sac("STA-SAC, no practice", seeds=10, train=dict(BEFORE_PRACTICE), crowded=True),
    _sta_sac(
        "STA-SAC, practising at one price",
        seeds=6,
        train={**BEFORE_PRACTICE, "practice": 24, "practice_cost": "gap"},
        crowded=True,
    ),
)


def _ablation(label: str, train: Mapping[str, Any] | None = None, **kwargs: Any) -> Row:
    """Without practice, which would hide much of what else differs."""
    settings = {"timesteps": 60_000, "city": ABLATION_CITY, "train": {**BEFORE_PRACTICE, **(train or {})}, **kwargs}
    return _learner(label, "sta-sac", "ablations", **settings)


def _untaught(label: str, train: Mapping[str, Any] | None = None, **kwargs: Any) -> Row:
    """Without the teacher: what imitation hides is seen only where the learner starts from chance."""
    return _ablation(label, timesteps=120_000, train={"teacher": "none", **(train or {})}, **kwargs)


_ABLATIONS = (
    _policy("equity planner (ablations)", "equity-planner", "ablations", city=ABLATION_CITY, role="planner"),
    _ablation("STA-SAC, ECQR", role="sta-sac"),
    *(_ablation(f"predictor {p}", env={"predictor": p}) for p in ("cqr", "cp", "point", "none")),
    _ablation("no balance features", train={"balance": False}),
    _ablation("paper's networks", train={"shape": "paper", "share_critics": False}),
    _untaught("no teacher"),
    _untaught("no teacher, no balance features", {"balance": False}),
    _untaught("no teacher, no control variate", {"control_variate": False}),
    _untaught("no teacher, dual step on exploring episodes", {"greedy_share": 0.0}),
    _untaught("no teacher, terminal reward and cost", env={"reward": "terminal", "cost": "terminal"}),
    _untaught("no teacher, no constraint", {"constrained": False}, constrained=False),
    _untaught("no teacher, critics' value as the baseline", {"n_rollouts": 1}),
    _untaught("no teacher, actor follows the critics", {"actor_gradient": "critics"}),
    _untaught("the same, one-step targets", {"actor_gradient": "critics", "retrace": 0.0}),
    _learner("EPOPR as printed (ablations)", "sta-sac-paper", "ablations", 60_000, city=ABLATION_CITY),
)

ROWS: tuple[Row, ...] = (*_TABLE_1, *_PLANNERS, *_LEARNERS, *_ABLATIONS)
"""Every row of the table, in its order."""

FRONTIER: tuple[Row, ...] = tuple(
    _policy(f"equity planner at {limit} h", "equity-planner", "frontier", env={"cost_limit": float(limit)})
    for limit in FRONTIER_H
)
"""The planner at other limits: the line of the figure."""

SMALL_CITY = "synthetic:8:1"
SMALL_TRAIN: dict[str, Any] = {
    "learning_starts": 256,
    "gradient_steps": 1,
    "teacher_steps": 128,
    "width": 16,
    "batch_size": 8,
    "n_epochs": 1,
    "n_rollouts": 2,
    "teacher": "nearest",
}
"""Settings of learners at the size of a test, for those that have them; a teacher that is none stays none."""
_SMALL_RUN: dict[str, Any] = {"num_envs": 16, "eval_freq": 750, "eval_episodes": 16, "checkpoint_freq": 1_500}


def small(row: Row) -> Row:
    """The row at a size for tests: 1,500 steps and two seeds on eight regions."""
    if row.kind == "policy":
        return replace(row, city=SMALL_CITY)
    known = {f.name: f.default for f in fields(agent_spec(row.agent).load().settings)} if row.agent in AGENTS else {}
    tuned = {name: value for name, value in SMALL_TRAIN.items() if known.get(name, "none") != "none"}
    return replace(
        row, city=SMALL_CITY, timesteps=1_500, seeds=2, train={**tuned, **row.train}, run={**row.run, **_SMALL_RUN}
    )


def choose(rows: Sequence[Row], only: Sequence[str]) -> tuple[Row, ...]:
    """Rows whose label, agent or group is named; all when none is. STA-SAC is one row, sta-sac all of that agent.

    Raises:
        KeyError: a name that is none of them; the message lists the labels.
    """
    if not only:
        return tuple(rows)
    names = [{row.label, row.agent, row.group} for row in rows]
    for word in only:
        if not any(word in name for name in names):
            known = ", ".join(dict.fromkeys(row.label for row in rows))
            raise KeyError(f"no row {word!r}; name a label, an agent or a group. Labels: {known}")
    return tuple(row for row, name in zip(rows, names, strict=True) if name & {*only})
