"""Today's jobs carried out by a policy, every repair as forecast: who goes where, in which sequence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stormgym.agents.crews.planners import Plans
from stormgym.agents.crews.search.tours import NOWHERE
from stormgym.agents.crews.situation import Situation, read
from stormgym.agents.crews.todays_jobs import Today
from stormgym.agents.policy import Policy, predict_in
from stormgym.envs.crews.env import CrewDispatchEnv
from stormgym.envs.crews.process import CrewProcess
from stormgym.envs.crews.standing import go_on, set_repaired, set_to_work


@dataclass(frozen=True)
class Sent:
    """A crew that is sent, or was; hours from now."""

    crew: int
    job: int
    travel_h: float | None
    """None where it was on its way or at work already."""
    begin_h: float
    """On site."""
    looks: bool
    """It looks, and repairs nothing."""


class TodaysPlay:
    """An environment that stands as today does, with every repair as long as its mean forecast.

    Hour 0 of the environment is before the first report, so that ages are known; no crew is on duty before now.

    Args:
        today: jobs and crews.
        **settings: further arguments of the environment (`assess_h`, `cost_limit`, ...).
    """

    def __init__(self, today: Today, **settings: Any) -> None:
        self.today = today
        jobs, forecast = today.jobs, today.forecast
        crews = today.crews
        past = [0.0, *-jobs.arrival_h, *-jobs.begun_h[np.isfinite(jobs.begun_h)], *(-crew.start_h for crew in crews)]
        self.now_h = float(np.ceil(max(past)))
        shifted = [replace(crew, start_h=crew.start_h + self.now_h, depot=crew.at or crew.depot) for crew in crews]
        self.env = CrewDispatchEnv(
            replace(today.city, crews=tuple(shifted)),
            n_jobs=len(jobs),
            predictor="none",
            special_share=0.0,
            known_share=0.0,
            arrival_end_h=self.now_h,
            **settings,
        )
        point = np.maximum(forecast.point_h, 1e-6)
        self.options = {
            "region": jobs.region,
            "arrival_h": jobs.arrival_h + self.now_h,
            "need": jobs.skill,
            "parent": jobs.parent,
            "customers": today.customers,
            "assessed": jobs.assessed,
            "duration_h": point,
            "point_h": point,
            "lower_h": forecast.lower_h,
            "upper_h": forecast.upper_h,
            "quantile_h": forecast.quantile_h,
        }
        self.env.reset(seed=0, options={"jobs": self.options})
        self.situation = self._stand()

    @property
    def process(self) -> CrewProcess:
        """The state; nothing in it is true but what is known now."""
        return self.env.core.process

    def _stand(self) -> Situation:
        """Put crews to work; return what a planner reads now."""
        process, jobs, hand = self.process, self.today.jobs, self.today.hand
        process.t[:] = self.now_h
        for job in np.flatnonzero(jobs.repaired).tolist():
            set_repaired(process, 0, job, self.now_h)
        busy = np.flatnonzero(hand >= 0).tolist()
        begin = {crew: float(jobs.begun_h[hand[crew]]) + self.now_h for crew in busy}
        for crew in busy:
            job = int(hand[crew])
            done = max(begin[crew], self.now_h) + float(process.jobs.duration_h[0, job])
            set_to_work(process, 0, crew, job, begin[crew], done)
        situation = self._read()
        for crew in busy:  # of work in hand the rest that is expected
            done = max(begin[crew], self.now_h) + max(float(situation.left_h[0, crew]), 1e-6)
            set_to_work(process, 0, crew, int(hand[crew]), begin[crew], done)
        return self._read()

    def _read(self) -> Situation:
        return read(self.env.core.observe(), [self.env.core.announced])

    def carry_out(self, policy: Policy, name: str) -> list[Sent]:
        """Who is sent where, in the sequence of time; work in hand comes first.

        Raises:
            ValueError: the policy leaves jobs.
        """
        process, hand = self.process, self.today.hand
        sent = [
            Sent(crew, int(hand[crew]), None, float(process.begin_h[0, crew]) - self.now_h, False)
            for crew in np.flatnonzero(hand >= 0).tolist()
        ]
        if process.n_left[0] == 0:
            return sent
        go_on(process, self.now_h)
        predict = predict_in(self.env, policy)
        observation, state, start, over = self.env.core.observe(0), None, np.ones(1, dtype=bool), False
        while not over:
            action, state = predict(observation, state=state, episode_start=start, deterministic=True)
            crew, choice, now = int(process.asked[0]), int(action), float(process.t[0])
            good = choice < process.n_jobs and bool(process.mask[0, choice])
            observation, _, terminated, truncated, _ = self.env.step(action)
            over, start = terminated or truncated, np.zeros(1, dtype=bool)
            if good and process.completed[0]:
                begin, looks = float(process.begin_h[0, crew]), bool(process.roster.assessor[crew])
                sent.append(Sent(crew, choice, begin - now, begin - self.now_h, looks))
        if not process.completed[0]:
            raise ValueError(
                f"agent {name!r} left jobs without a crew after {process.max_choices} choices; use another agent"
            )
        return sent

    def plans(self, sent: list[Sent]) -> Plans:
        """Repairs of jobs that are open now, crew by crew, as a plan."""
        number = np.cumsum(~self.process.roster.assessor) - 1
        open_ = self.situation.open[0]
        crew, place = np.full((2, 1, open_.size), NOWHERE)
        for turn, one in enumerate(sent):
            if open_[one.job] and not one.looks:
                crew[0, one.job], place[0, one.job] = number[one.crew], turn
        return Plans(crew, place, np.array([self.now_h]))
