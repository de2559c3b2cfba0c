"""Planners of CrewDispatch-v0: sequences of jobs for all crews, planned once or again whenever time has moved."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np

from stormgym.agents.binding import announced_of, base_envs, truth_of
from stormgym.agents.crews.search.annealing import Limit, Schedule, anneal
from stormgym.agents.crews.search.problem import CrewProblem
from stormgym.agents.crews.search.tours import NOWHERE, insert_missing, places_of, tours_of
from stormgym.agents.crews.situation import ENV_ID, Situation, problem_of, read
from stormgym.agents.policy import BasePolicy
from stormgym.envs.arrays import Bools, Floats, Ints, Observation
from stormgym.envs.crews.knowledge import CrewAnnounced, CrewTruth

ROWS_AT_ONCE = 16
"""Storms planned in one call, which bounds memory."""
FIRST = Schedule(400, candidates=96, first_h=0.3)
"""Of a storm's first plan."""
AGAIN = Schedule(80, candidates=64)
"""Of those that follow it."""
FORESEEN = Schedule(800, candidates=96, first_h=0.3, last_h=0.002)
"""Of the one plan of who knows what comes."""


@dataclass(frozen=True, eq=False)
class Plans:
    """The plans of B storms: the crew that is to do each job, and when in its sequence."""

    crew: Ints
    """`[B, N]` number among the crews that repair; -1 for jobs that no plan holds."""
    place: Ints
    """`[B, N]` the jobs of one crew follow each other by it."""
    made_h: Floats
    """`[B]` when the plan was made; -1 before the first."""

    @classmethod
    def none(cls, n_storms: int, n_jobs: int) -> Plans:
        """No plan yet."""
        return cls(np.full((n_storms, n_jobs), NOWHERE), np.full((n_storms, n_jobs), NOWHERE), np.full(n_storms, -1.0))

    def without(self, rows: Bools) -> Plans:
        """Those of some storms forgotten."""
        return Plans(
            np.where(rows[:, None], NOWHERE, self.crew),
            np.where(rows[:, None], NOWHERE, self.place),
            np.where(rows, -1.0, self.made_h),
        )


class CrewPlanner(BasePolicy):
    """Base of planners: subclasses say when they plan and on what.

    The state is a `Plans`. The asked crew takes the first open job of its sequence; with none left it waits, where it
    may, else it takes the nearest job. Assessors go to the nearest job that nobody has looked at.

    Args:
        env: the environment that it plays.
        seed: of the search. Equal observations give equal plans, whatever else is in the batch.
        first: schedule of a storm's first plan.
        again: of those that follow it.
        effort: factor of the iterations of both.
    """

    by_gap: ClassVar[bool] = False
    """Whether the plan is to keep the gap within the limit."""

    def __init__(
        self, env: Any, *, seed: int = 0, first: Schedule = FIRST, again: Schedule = AGAIN, effort: float = 1.0
    ) -> None:
        if not 0 <= effort <= 1000:
            raise ValueError(f"effort must be from 0 to 1,000; got {effort!r}")
        base_envs(env, "announced", CrewAnnounced, ENV_ID)
        self._env = env
        self.seed = seed
        self.first, self.again = (replace(s, iterations=round(effort * s.iterations)) for s in (first, again))

    @classmethod
    def for_env(cls, env: Any, **kwargs: Any) -> CrewPlanner:
        """Bind to what `env` announces."""
        return cls(env, **kwargs)

    def situation(self, observation: Observation) -> Situation:
        """What it reads of the storms."""
        return read(observation, announced_of(self._env))

    def problem(self, situation: Situation, rows: Ints) -> CrewProblem:
        """The problem of some storms."""
        return problem_of(situation.rows(rows), gap=self.by_gap)

    def limit(self, situation: Situation, rows: Ints) -> Limit | None:
        """The price on the gap in some storms."""
        return Limit(situation.limit_h[rows]) if self.by_gap else None

    def due(self, situation: Situation, plans: Plans) -> Bools:
        """Which storms are planned now `[B]`: those in which time has moved since the last plan."""
        return situation.now_h > plans.made_h

    def act(self, observation: Observation, state: Any, episode_start: Bools, deterministic: bool) -> tuple[Ints, Any]:
        """Plan where it is due, and follow the plans."""
        del deterministic
        s = self.situation(observation)
        plans = Plans.none(*s.open.shape) if state is None else kept(state, s, episode_start)
        due = np.flatnonzero(self.due(s, plans) & self.plannable(s).any(axis=1))
        for begins, schedule in ((True, self.first), (False, self.again)):
            rows = due[(plans.made_h[due] < 0) == begins]
            for i in range(0, rows.size, ROWS_AT_ONCE):
                plans = self._planned(s, plans, rows[i : i + ROWS_AT_ONCE], schedule)
        return follow(s, plans, np.asarray(observation["action_mask"]) > 0, observation), plans

    def plannable(self, situation: Situation) -> Bools:
        """Jobs that are planned `[B, N]`."""
        return situation.open

    def _planned(self, s: Situation, plans: Plans, rows: Ints, schedule: Schedule) -> Plans:
        """Plans with those of some storms made anew."""
        problem, limit = self.problem(s, rows), self.limit(s, rows)
        tours = improved(problem, plans.crew[rows], plans.place[rows], schedule, limit, self.seed)
        return written(plans, problem, tours, rows, s.now_h[rows])


def kept(plans: Plans, s: Situation, episode_start: Bools) -> Plans:
    """The plans so far, without those of storms that begin.

    Raises:
        ValueError: they are of another batch.
    """
    if plans.crew.shape != s.open.shape:
        raise ValueError(
            f"state holds plans of shape {plans.crew.shape} but the observation has {s.open.shape}; "
            "start with state=None"
        )
    return plans.without(episode_start)


def improved(problem: CrewProblem, crew: Ints, place: Ints, schedule: Schedule, limit: Limit | None, seed: int) -> Ints:
    """Tours `[R, T]` searched from the plans `[R, N]` so far, with what is new put in."""
    n = problem.slots.shape[1]
    at = np.maximum(problem.slots, 0)
    tours = tours_of(problem, np.take_along_axis(crew, at, axis=1), np.take_along_axis(place, at, axis=1))
    # what is short for its weight is put in first
    ratio = problem.leg_h[:, :, n, :n].min(axis=1) / np.maximum(problem.weight[:, :n], 1e-12)
    tours = insert_missing(problem, tours, np.argsort(ratio, axis=1, kind="stable"), limit)
    return anneal(problem, tours, schedule, limit=limit, seed=seed)[0]


def written(plans: Plans, problem: CrewProblem, tours: Ints, rows: Ints, now_h: Floats) -> Plans:
    """Plans in which tours `[R, T]` are those of some storms."""
    crew, place = places_of(tours, problem.slots.shape[1])
    new = replace(plans, crew=plans.crew.copy(), place=plans.place.copy(), made_h=plans.made_h.copy())
    new.crew[rows], new.place[rows], new.made_h[rows] = NOWHERE, NOWHERE, now_h
    item = problem.slots >= 0
    row, column = np.nonzero(item)
    slot = problem.slots[item]
    new.crew[rows[row], slot], new.place[rows[row], slot] = crew[row, column], place[row, column]
    return new


def follow(s: Situation, plans: Plans, mask: Bools, observation: Observation) -> Ints:
    """What the asked crews do `[B]`: the next jobs of their sequences; else wait, else the nearest job.

    A crew whose next job is still to arrive waits for it where it may.
    """
    repairs = ~s.roster.assessor
    number = np.where(repairs, np.cumsum(repairs) - 1, -2)
    rows, wait = np.arange(len(mask)), mask.shape[1] - 1
    open_, may_wait = mask[:, :-1], mask[:, -1] & repairs[s.asked]
    own = s.open & (plans.crew == number[s.asked][:, None])
    first = _first(own, plans.place)
    awaited = own.any(axis=1) & (s.arrival_h[rows, first] > s.now_h) & may_wait
    planned = (own & open_).any(axis=1)
    near = np.where(open_, np.asarray(observation["distance_km"], dtype=np.float64), np.inf).argmin(axis=1)
    idle = np.where(may_wait | ~open_.any(axis=1), wait, near)
    return np.where(planned & ~awaited, _first(own & open_, plans.place), np.where(awaited, wait, idle))


def _first(chosen: Bools, place: Ints) -> Ints:
    """The chosen job of each row that comes first."""
    return np.where(chosen, place, np.iinfo(np.int64).max).argmin(axis=1)


class RollingPlanner(CrewPlanner):
    """Plans all crews on the forecasts whenever time has moved, and follows the plan until then.

    Idea: arrivals and repairs change what is best; each search begins from the last plan. Under a shock forecasts are
    multiplied by the posterior mean of each group's factor, given the repairs seen. Cost: some 20 to 50 ms a decision
    alone. Source: receding horizon over the problem of Arif et al. (2018), without a limit on the gap.

    Args:
        env: the environment that it plays.
        correct: whether forecasts are corrected by the repairs seen, where there is a shock.
        seed, first, again, effort: as for all planners.
    """

    name = "rolling-planner"

    def __init__(self, env: Any, *, correct: bool = True, **kwargs: Any) -> None:
        super().__init__(env, **kwargs)
        self.correct = correct

    def situation(self, observation: Observation) -> Situation:
        """With forecasts corrected."""
        return read(observation, announced_of(self._env), correct=self.correct)


class RollingFair(RollingPlanner):
    """The rolling planner, which pays for every hour that the gap it expects is over the limit.

    Idea: a price on the predicted gap of jobs known so far holds the mean gap of storms at the limit. Cost: about twice
    that of the rolling planner. Source: EPOPR's problem (eq. 13, 14), with many crews.

    Args:
        env: the environment that it plays.
        price: hours of mean outage that an hour of predicted gap over the limit counts as.
        margin: share of the limit that the plan leaves free.
        correct, seed, first, again, effort: as for the rolling planner.
    """

    name = "rolling-fair"
    by_gap = True

    def __init__(self, env: Any, *, price: float = 1.0, margin: float = 0.0, **kwargs: Any) -> None:
        if not 0 <= margin < 1:
            raise ValueError(f"margin must be in [0, 1); got {margin!r}")
        super().__init__(env, **kwargs)
        self.price, self.margin = price, margin

    def limit(self, situation: Situation, rows: Ints) -> Limit | None:
        """At its price."""
        return Limit((1.0 - self.margin) * situation.limit_h[rows], self.price)


class StaticPlan(CrewPlanner):
    """Plans once, when the storm begins; a job that arrives goes to the end of a sequence.

    Idea: what a plan on paper does. An arrival goes to the crew with the skill whose sequence takes the least hours.
    Cost: one search. Source: none needed.
    """

    name = "static-plan"

    def due(self, situation: Situation, plans: Plans) -> Bools:
        """Those that have no plan."""
        return plans.made_h < 0

    def act(self, observation: Observation, state: Any, episode_start: Bools, deterministic: bool) -> tuple[Ints, Any]:
        """Plan once, put arrivals at the end, and follow."""
        if state is not None:
            s = self.situation(observation)
            state = appended(s, kept(state, s, episode_start))
        return super().act(observation, state, episode_start & (state is None), deterministic)


def appended(s: Situation, plans: Plans) -> Plans:
    """Plans with jobs that are in none put at the end of the sequence of least hours, one after another."""
    new = s.open & (plans.crew == NOWHERE) & (plans.made_h >= 0)[:, None]
    if not new.any():
        return plans
    repairs = np.flatnonzero(~s.roster.assessor)
    crew, place = plans.crew.copy(), plans.place.copy()
    hours = s.free_h[:, repairs].copy()  # [B, K]
    row, job = np.nonzero(s.open & (crew >= 0))
    np.add.at(hours, (row, crew[row, job]), s.point_h[row, job])
    for b, j in np.argwhere(new):  # few: what has arrived since the last decision
        able = s.roster.skills[repairs, s.need[b, j]]
        k = int(np.where(able, hours[b], np.inf).argmin())
        crew[b, j], place[b, j] = k, place[b].max() + 1
        hours[b, k] += s.point_h[b, j]
    return Plans(crew, place, plans.made_h)


class ClairvoyantCrews(CrewPlanner):
    """Reference with perfect information: durations and arrivals known, one search when the storm begins.

    Idea: what foresight would give; privileged, so no agent to use. A crew sets out for a job when it has arrived.
    Cost: one long search. Source: none needed.
    """

    name = "clairvoyant"
    privileged = True

    def __init__(self, env: Any, *, first: Schedule = FORESEEN, **kwargs: Any) -> None:
        super().__init__(env, first=first, **kwargs)

    def due(self, situation: Situation, plans: Plans) -> Bools:
        """Those that have no plan."""
        return plans.made_h < 0

    def situation(self, observation: Observation) -> Situation:
        """With the truth in place of forecasts, and all that is to come."""
        truths = truth_of(self._env, self)
        true: dict[str, Any] = {
            f.name: np.concatenate([getattr(truth, f.name) for truth in truths]) for f in fields(CrewTruth)
        }
        s = super().situation(observation)
        exists = np.isfinite(true["arrival_h"])
        sent = s.known & ~s.open
        true["point_h"] = np.where(exists, true.pop("duration_h"), 1.0)
        true["arrival_h"] = np.where(exists, true["arrival_h"], 0.0)
        return replace(s, known=exists, open=exists & ~sent, **true)

    def problem(self, situation: Situation, rows: Ints) -> CrewProblem:
        """No crew sets out before a job has arrived."""
        problem = super().problem(situation, rows)
        n = problem.slots.shape[1]
        return replace(problem, earliest_h=np.ascontiguousarray(problem.arrival_h[:, : n + 1]))


class ClairvoyantFairCrews(ClairvoyantCrews):
    """Reference with perfect information, the gap of every storm within the limit.

    Idea: the limit asks for the mean gap only; keeping it in every storm is more than needed. Cost: about twice that of
    `clairvoyant`. Source: EPOPR's problem (eq. 13, 14), with many crews.
    """

    name = "clairvoyant-fair"
    by_gap = True
