"""What planners of a decision problem may know beside the observation, and what only privileged policies may."""

from __future__ import annotations

from dataclasses import dataclass

from stormgym.envs.decisions.problem import Cases, DecisionProblem


@dataclass(frozen=True, eq=False)
class DecisionAnnounced:
    """What any planner may know now; read the record again after a reset."""

    problem: DecisionProblem
    """Costs, feasible set, and past cases (`problem.cases("train")`, `"validation"`); test cases are closed."""


@dataclass(frozen=True, eq=False)
class DecisionTruth:
    """What only policies with `privileged = True` may read."""

    problem: DecisionProblem
    """The problem with its true law."""
    cases: Cases
    """The B current cases, outcomes and hidden state included."""
