"""The core of CrewDispatch-v0: arguments, spaces, the draw of storms, observations, infos and facts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cached_property
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from stormgym.envs.arrays import Bools, Floats, Ints, Observation, read_only
from stormgym.envs.cities.forecasts import check_predictor
from stormgym.envs.cities.limits import CostLimit, EpisodeLimits, fixed_limits
from stormgym.envs.cities.noise import ForecastNoise
from stormgym.envs.cities.tables import SHOCKS, SPLITS, city_tables
from stormgym.envs.core import (
    Core,
    Groups,
    Payment,
    Step,
    Timing,
    check_choice,
    check_render_mode,
    in_environment,
    whole_choices,
)
from stormgym.envs.crews.given import between_ends, given_jobs
from stormgym.envs.crews.jobs import WEIGHTS, WIDE, Arrivals, JobSource
from stormgym.envs.crews.knowledge import CrewAnnounced, CrewTruth
from stormgym.envs.crews.layout import observation_space, observe
from stormgym.envs.crews.metrics import crew_metrics
from stormgym.envs.crews.process import CrewProcess, StormJobs
from stormgym.envs.crews.profiles import PROFILES, UtilityJobs, with_profile
from stormgym.envs.crews.roster import FIELDS
from stormgym.envs.crews.tables import FEEDERS, default_roster, depots_of, distances_of, feeder_of, roster_of
from stormgym.envs.data import City, resolve_city
from stormgym.envs.data.crews_file import CREWS_FILE
from stormgym.envs.data.sizes import MAX_CREWS, MAX_JOBS

RENDER_MODES = ("ansi", "rgb_array")
ROSTER_ARGUMENTS = frozenset(
    {"n_depots", "n_skills", "special_crews", "n_assessors", "start_h", "on_h", "off_h", "night_share"}
)
"""Arguments from which crews are made where none are given."""


class ResetOptions(NamedTuple):
    """What `reset(options=...)` fixes; None is drawn."""

    cost_limit_h: Floats | None
    jobs: StormJobs | None


class CrewCore(Core):
    """B storms of CrewDispatch-v0; arguments as on `CrewDispatchEnv`."""

    process: CrewProcess
    settles_when_truncated = True
    """The jobs that are left are served by the nearest rule inside the last step."""

    given: frozenset[str]
    """Arguments that were given, not left to the profile."""

    @with_profile
    def __init__(
        self,
        batch: int,
        *,
        city: str | os.PathLike[str] | City = "default",
        profile: str = "default",
        n_jobs: int | None = None,
        n_crews: int = 4,
        n_depots: int = 2,
        crews: Sequence[Mapping[str, Any]] | None = None,
        n_skills: int = 2,
        special_share: float = 0.25,
        special_crews: float = 0.5,
        start_h: float = 0.0,
        on_h: float = 16.0,
        off_h: float = 8.0,
        night_share: float = 0.0,
        known_share: float = 0.6,
        arrival_end_h: float = 24.0,
        arrival_tau_h: float = 12.0,
        feeder: str = "radial",
        assessed_share: float = 1.0,
        n_assessors: int = 0,
        assess_h: float = 0.25,
        wide: str = "all",
        weights: str = "regions",
        overtime_price: float = 0.05,
        predictor: str = "ecqr",
        confidence_level: float = 0.9,
        cost_limit: CostLimit = None,
        reward: Timing = "dense",
        cost: Timing = "dense",
        shock: str = "none",
        shock_log_sd: float = 0.35,
        income_effect: float = 1.0,
        split: str = "all",
        on_invalid: str = "waste",
        render_mode: str | None = None,
    ) -> None:
        self._payment = Payment(batch, reward, cost)
        for name, word, choices in (
            ("feeder", feeder, FEEDERS),
            ("wide", wide, WIDE),
            ("weights", weights, WEIGHTS),
            ("shock", shock, SHOCKS),
            ("split", split, SPLITS),
            ("on_invalid", on_invalid, ("waste", "raise")),
        ):
            check_choice(name, word, choices)
        check_render_mode(render_mode, RENDER_MODES)
        for name, count in {"n_crews": n_crews, "n_skills": n_skills}.items():
            _whole(name, count, 1)
        _whole("n_depots", n_depots, 1, MAX_CREWS)
        _whole("n_assessors", n_assessors, 0)
        if n_jobs is not None:
            _whole("n_jobs", n_jobs, 1, MAX_JOBS)
        if n_skills > 2:
            raise ValueError(f"n_skills must be 1 or 2; got {n_skills}: jobs need skill 0 or 1")
        ranges: dict[tuple[float, float], dict[str, float]] = {
            (0.0, 1.0): {
                "special_share": special_share,
                "special_crews": special_crews,
                "night_share": night_share,
                "known_share": known_share,
                "assessed_share": assessed_share,
                "confidence_level": confidence_level,
            },
            (0.0, 1e4): {"start_h": start_h, "off_h": off_h, "assess_h": assess_h, "arrival_end_h": arrival_end_h},
            (1e-6, 1e6): {"on_h": on_h, "arrival_tau_h": arrival_tau_h},
            (0.0, 1e6): {"overtime_price": overtime_price},
            (0.0, 2.0): {"shock_log_sd": shock_log_sd},
            (-1e3, 1e3): {"income_effect": income_effect},
        }
        for (low, high), numbers in ranges.items():
            for name, number in numbers.items():
                _number(name, number, low, high)
        check_predictor(predictor, confidence_level)
        self.city = resolve_city(city, income_effect=income_effect)
        self.instance_name = self.city.name if profile == "default" else f"{self.city.name}, profile {profile}"
        if self.city.parent is not None and "feeder" not in self.given:
            feeder = "city"
        own = {"n_crews", "crews"}.isdisjoint(self.given) and bool(self.city.crews)
        self.crew_names = tuple(crew.name for crew in self.city.crews) if own else ()
        """Of the city's own crews; empty where arguments made them."""
        if own:
            crews, n_skills, n_depots = self._crews_of_city()
        if crews is not None:
            self.roster, self.depots_km = roster_of(self.city, crews, int(n_skills), int(n_depots))
        else:
            self.depots_km = depots_of(self.city, int(n_depots))
            self.roster = default_roster(
                self.city,
                n_crews=int(n_crews),
                n_depots=int(n_depots),
                n_skills=int(n_skills),
                special_crews=special_crews,
                n_assessors=int(n_assessors),
                start_h=start_h,
                on_h=on_h,
                off_h=off_h,
                night_share=night_share,
            )
        self.places_km = np.vstack([self.city.xy_km, self.depots_km])
        n_repair = int((~self.roster.assessor).sum())
        self.limits = EpisodeLimits(batch, cost_limit, self.city.cost_limit_h / max(n_repair, 1))
        self.cost_limit = self.limits.middle_h
        self.cost_limit_range = self.limits.range_h
        self._limit_h = np.full(batch, float(self.cost_limit))
        storm = PROFILES[profile].storm
        self.tables = city_tables(self.city, "none" if storm else predictor, float(confidence_level), split)
        self.arrivals = Arrivals(
            float(known_share), float(arrival_end_h), float(arrival_tau_h), float(special_share), float(assessed_share)
        )
        draws: dict[str, Any] = {
            "tables": self.tables,
            "arrivals": self.arrivals,
            "n_skills": self.roster.n_skills,
            "parent": feeder_of(self.city, self.depots_km, feeder),
            "n_jobs": n_jobs if n_jobs is None else int(n_jobs),
            "weights": weights,
            "wide": wide,
            "shock": shock,
            "shock_log_sd": float(shock_log_sd),
        }
        self.source: JobSource = (
            JobSource(**draws)
            if storm is None
            else UtilityJobs(**draws, storm=storm, confidence_level=float(confidence_level))
        )
        if self.roster.n_skills > 1 and special_share > 0:
            try:
                self.roster.check_needs(np.arange(2))
            except ValueError as error:
                raise ValueError(f"{self._crews_file()}drawn storms have jobs of skill 0 and 1; {error}") from error
        self.shock, self.shock_log_sd = shock, float(shock_log_sd)
        self.raise_on_invalid = on_invalid == "raise"
        self.batch = batch
        self.n_jobs = n = self.source.n_jobs
        k = self.roster.n_crews
        self.process = CrewProcess(
            distances_of(self.city, self.depots_km),
            self.roster,
            batch,
            n,
            self.city.n_groups,
            arrival_end_h=self.arrivals.end_h if self.arrivals.known_share < 1 else 0.0,
            assess_h=float(assess_h),
            overtime_price=float(overtime_price),
        )
        self.groups = Groups(self.city.group, self.city.group_names)
        self.observation_space = observation_space(n, k, self.roster.n_skills, self.city.n_groups)
        self.action_space: spaces.Discrete = spaces.Discrete(n + 1)

    def _crews_file(self) -> str:
        """How messages begin that are about crews of the city; empty for others."""
        return f"{CREWS_FILE} of {self.city.name!r}: " if self.crew_names else ""

    def _crews_of_city(self) -> tuple[list[dict[str, Any]], int, int]:
        """Records of the city's crews, and how many skills and depots these name."""
        idle = sorted(ROSTER_ARGUMENTS & self.given)
        if idle:
            raise ValueError(
                f"{idle[0]} has no use with the crews of {self.city.name!r} (its crews.json); leave it out, or give "
                "n_crews or crews as well, which leave those aside"
            )
        early = next((crew for crew in self.city.crews if crew.start_h < 0), None)
        if early is not None:
            raise ValueError(
                f"{self._crews_file()}'start_h' of crew {early.name!r} must be at least 0 in drawn storms, which begin "
                f"at hour 0; got {early.start_h:g}, which plans for today alone take. Write 0 or more, or play a copy "
                "of the folder"
            )
        crews = [{name: getattr(crew, name) for name in FIELDS} for crew in self.city.crews]
        skills = [skill for crew in crews for skill in crew["skills"]]
        depots = [crew["depot"] for crew in crews if isinstance(crew["depot"], int)]
        return crews, 1 + max(skills, default=0), 1 + max(depots, default=0)

    @cached_property
    def return_unit(self) -> float:
        """Mean repair hours times N / (20 K) (h)."""
        return self.source.mean_h * self.n_jobs / (20.0 * self.roster.n_crews)

    def times_h(self, rows: Any = slice(None)) -> Floats:
        """Hours that each region was without power, `[len(rows), R]`, in episodes that have ended.

        The longest of its jobs; 0 where it had none.
        """
        power, arrival, site = (
            x[rows] for x in (self.process.power_h, self.process.jobs.arrival_h, self.process.jobs.site)
        )
        there = np.isfinite(arrival)
        outage = np.where(there, np.where(there, power, 0.0) - np.where(there, arrival, 0.0), 0.0)
        result = np.zeros((len(site), self.city.n_regions))
        np.maximum.at(result, (np.arange(len(site))[:, None], site), outage)
        return result

    @cached_property
    def _noise(self) -> ForecastNoise:
        return self.source.noise

    @property
    def announced(self) -> CrewAnnounced:
        """What any planner may know now."""
        p, now = self.process, self.process.t[:, None]
        known = p.jobs.arrival_h <= now
        return CrewAnnounced(
            city=self.city,
            roster=self.roster,
            places_km=read_only(self.places_km),
            distance_km=read_only(p.distance_km),
            arrivals=self.arrivals,
            assess_h=p.assess_h,
            overtime_price=p.overtime_price,
            shock=self.shock,
            shock_log_sd=self.shock_log_sd,
            noise=self._noise,
            cost_limit_h=self.limits.middle_h,
            cost_limit_range_h=self.limits.range_h,
            now_h=read_only(p.t),
            site=read_only(np.where(known, p.jobs.site, -1)),
            loc=read_only(p.loc),
            begin_h=read_only(p.begin_h),
            busy=read_only(p.finish_h > now),
            arrival_h=read_only(np.where(known, p.jobs.arrival_h, np.inf)),
            power_h=read_only(np.where(p.power_h <= now, p.power_h, np.inf)),
            repaired_h=read_only(np.where(p.repaired_h <= now, p.repaired_h, np.inf)),
            quantile_levels=read_only(self.source.quantile_levels),
            quantile_h=read_only(self._quantiles(known)),
        )

    def _quantiles(self, known: Bools) -> Floats:
        """Predictive quantiles of known jobs `[B, N, Q]`."""
        p, jobs = self.process, self.process.jobs
        wide = jobs.wide_quantile_h
        if wide is None:
            mean, low, high = np.moveaxis(jobs.wide_h, -1, 0)
            wide = between_ends(mean, low, high, self.source.quantile_levels)
        narrow = jobs.quantile_h if jobs.quantile_h is not None else wide
        seen = p.seen_h <= p.t[:, None]
        return np.where(known[..., None], np.where(seen[..., None], narrow, wide), 0.0)

    @property
    def truth(self) -> CrewTruth:
        """The true durations, and all jobs, those to come included."""
        jobs = self.process.jobs
        return CrewTruth(**{f.name: read_only(getattr(jobs, f.name)) for f in fields(CrewTruth)})

    def parse_options(self, options: Mapping[str, Any]) -> ResetOptions:
        """`cost_limit`, a number of hours or B of them, and `jobs`, arrays of one storm."""
        limit, jobs = options.get("cost_limit"), options.get("jobs")
        return ResetOptions(
            None if limit is None else fixed_limits(limit, self.batch),
            None if jobs is None else given_jobs(jobs, self.source, self.process.arrival_end_h),
        )

    def reset(
        self, rngs: list[np.random.Generator], rows: Ints | None = None, options: ResetOptions | None = None
    ) -> None:
        """Draw new storms for `rows` (all when None), one generator a row; what options fix is drawn all the same."""
        at: Ints | slice = slice(None) if rows is None else rows
        limit: float | Floats = self.limits.draw(rngs, rows)
        jobs = self.source.draw(rngs)
        if options is not None:
            if options.cost_limit_h is not None:
                limit = options.cost_limit_h[at]
            jobs = jobs if options.jobs is None else options.jobs
        self._limit_h[at] = limit
        self.process.reset(jobs, rows)
        self._payment.begin(rows)

    def side_generators(self, rngs: list[np.random.Generator], rows: Ints | None = None) -> list[np.random.Generator]:
        """Those of the limits, where each episode draws its own."""
        return self.limits.generators(rngs, rows)

    def step(self, actions: Ints, live: Bools | None = None) -> Step:
        """Carry out one choice in every storm."""
        if self.raise_on_invalid:
            self._check_masks(actions, live)
        step = self.process.step(actions)
        return self._payment.pay(step, self.process.gap_h)

    def _check_masks(self, actions: Ints, live: Bools | None) -> None:
        masked = ~self.process.mask[np.arange(self.batch), actions]
        if live is not None:
            masked &= live
        if masked.any():
            row = int(masked.argmax())
            raise ValueError(
                f"action {int(actions[row])} is masked for crew {int(self.process.asked[row])}"
                f"{in_environment(row, self.batch)}; choose where action_mask is 1, "
                'or make the environment with on_invalid="waste"'
            )

    def validate_actions(self, actions: Any, waiting: Bools | None) -> Ints:
        """Choices `[B]` in 0..N.

        Raises:
            TypeError: not B integers.
            ValueError: one is out of range.
        """
        rule = f"action must be a job 0 to {self.n_jobs - 1}, or {self.n_jobs} to wait"
        return whole_choices(actions, self.batch, self.n_jobs + 1, waiting, rule)

    def observe(self, row: int | None = None) -> Observation:
        """Fresh copies of what agents see, with a leading axis B, or of one row without it."""
        return observe(self.process, self.places_km, self._limit_h, row)

    def extra_info(self) -> dict[str, NDArray[Any]]:
        """What every info holds beside the cost: limits and asked crews `[B]`, masks `[B, N + 1]`."""
        return {
            "cost_limit": self._limit_h.copy(),
            "asked": self.process.asked.astype(np.float64),
            "action_mask": self.process.mask.astype(np.int8),
        }

    def metrics(self, rows: Any) -> dict[str, Floats]:
        """Figures of finished storms, name to `[len(rows)]`."""
        return crew_metrics(self.process, rows, self._limit_h, self.source.n_customers)

    def action_masks(self) -> Bools:
        """Which choices are open now, `[B, N + 1]`."""
        return self.process.mask.copy()

    def render_row(self, row: int, mode: str) -> Any:
        """Text or picture of one row."""
        from stormgym.envs.crews.render import Scene, render

        return render(Scene(self.process, self.city, self.places_km), row, mode)


def _whole(name: str, value: Any, low: int, high: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number; got {value!r}")
    if value < low:
        raise ValueError(f"{name} must be at least {low}; got {value}")
    if high is not None and int(value) > high:
        raise ValueError(f"{name} must be at most {high:,}; got {value}")


def _number(name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number; got {value!r}")
    if not low <= float(value) <= high:
        raise ValueError(f"{name} must be from {low:g} to {high:g}; got {value!r}")
