"""The core of Undergrounding-v0: arguments, spaces, the draw of seasons, observations, infos and facts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from numbers import Integral, Real
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from stormgym.envs.arrays import Bools, Floats, Ints, Observation, read_only
from stormgym.envs.core import (
    Core,
    Payment,
    Step,
    Timing,
    check_choice,
    check_render_mode,
    in_environment,
    whole_choices,
)
from stormgym.envs.storms import COVARIATES
from stormgym.envs.undergrounding.ahead import SeasonsAhead
from stormgym.envs.undergrounding.forecasts import SeasonForecast, forecast_seasons, forecaster
from stormgym.envs.undergrounding.knowledge import UndergroundingAnnounced, UndergroundingTruth
from stormgym.envs.undergrounding.process import UndergroundingProcess
from stormgym.envs.undergrounding.profiles import DEFAULT_PROFILE, resolve_profile
from stormgym.envs.undergrounding.regions import LARGEST, UndergroundingProfile, usual_loss_h
from stormgym.predictors.checks import check_confidence_level

RENDER_MODES = ("ansi", "rgb_array")
STORMS = ("simulated", "adversarial")
FORECASTS = ("ncp", "cp", "empirical")
STATE = ("turn", "turns_left", "budget", "budget_left", "n_crews", "total_lower", "total_upper", "cost_limit")
"""Columns of `obs["state"]`."""
OF_REGIONS = ("protected", "protect_cost", "population", "group", "mean", "lower", "upper", *COVARIATES)
"""Parts of the observation that hold one number a region."""
RESOLUTION_H = 1e-6
"""Forecasts are rounded to this (h)."""


def profile_from(
    profile: str, budget: float | None, n_crews: int | None, noise: float | None, cost_limit: float | None
) -> UndergroundingProfile:
    """The profile of a name, with what the caller wants otherwise.

    Raises:
        TypeError, ValueError: no such profile, or a number that does not fit.
    """
    if not isinstance(profile, str):
        raise TypeError(f"profile must be a name, as text; got {profile!r}")
    wanted = {"budget": budget, "n_crews": n_crews, "noise": noise, "cost_limit": cost_limit}
    changes = {name: value for name, value in wanted.items() if value is not None}
    for name, value in changes.items():
        whole = name == "n_crews"
        if isinstance(value, bool) or not isinstance(value, Integral if whole else Real):
            raise TypeError(f"{name} must be a {'whole ' if whole else ''}number; got {value!r}")
    return replace(resolve_profile(profile), **changes)  # type: ignore[arg-type]


class SeasonSource:
    """Seasons of a profile and what is known before each, for the environment and for the game.

    Args:
        profile: regions and storms.
        forecast: `ncp`, `cp` or `empirical`.
        calibration: `marginal` or `joint`.
        confidence_level, total_confidence_level: see `stormgym.predictors.ConformalPolytope`.

    Raises:
        ValueError: an unknown name, or levels that leave a region and the sum without an upper end.
    """

    def __init__(
        self,
        profile: UndergroundingProfile,
        forecast: str,
        calibration: str,
        confidence_level: float,
        total_confidence_level: float,
    ) -> None:
        check_choice("forecast", forecast, FORECASTS)
        check_choice("calibration", calibration, ("marginal", "joint"))
        self.profile = profile
        self.forecaster = forecaster(
            profile,
            forecast,  # type: ignore[arg-type]
            calibration,  # type: ignore[arg-type]
            check_confidence_level(confidence_level),
            check_confidence_level(total_confidence_level, "total_confidence_level"),
        )

    def draw(self, rngs: Iterable[np.random.Generator]) -> tuple[Floats, Floats, SeasonForecast]:
        """Storms `[B, K]`, covariates `[B, K, F]` and forecasts of B seasons, one for each time a generator comes."""
        seasons = self.profile.draw_seasons(rngs)
        known = forecast_seasons(self.forecaster, self.profile, seasons)
        upper = known.sets().finite_upper()
        total = np.minimum(known.total_upper, upper.sum(axis=-1))
        ends = (known.mean, known.lower, upper, known.total_lower, total)
        # Rounded outwards: the last bits of a network's forecast depend on how many seasons are forecast at a time.
        away = (np.rint, np.floor, np.ceil, np.floor, np.ceil)
        rounded = (to(part / RESOLUTION_H) * RESOLUTION_H for to, part in zip(away, ends, strict=True))
        return seasons.outage_h, seasons.covariates, SeasonForecast(*rounded)


def observation_space(n_regions: int, n_choices: int | None, further: tuple[str, ...] = ()) -> spaces.Dict:
    """Space of observations of K regions.

    Args:
        n_regions: K.
        n_choices: entries of the action mask; None for a player without one.
        further: names of more parts with one number a region.
    """
    low = dict.fromkeys(("temperature_c", "humidity", "wind_ms"), -LARGEST)
    shapes = dict.fromkeys((*OF_REGIONS, *further), (n_regions,)) | {"state": (len(STATE),)}
    parts: dict[str, spaces.Space[Any]] = {
        name: spaces.Box(low.get(name, 0.0), LARGEST, shape=shape, dtype=np.float32) for name, shape in shapes.items()
    }
    return spaces.Dict(({} if n_choices is None else {"action_mask": spaces.MultiBinary(n_choices)}) | parts)


def observe_seasons(process: UndergroundingProcess, covariates: Floats, rows: Ints) -> Observation:
    """What every player sees of some seasons, without masks, `[len(rows), ...]` float32, as fresh copies."""
    p, b, k = process.profile, len(rows), process.profile.n_counties
    known = SeasonForecast(*(part[rows] for part in process.forecast))
    state = np.empty((b, len(STATE)))
    state[:, 0], state[:, 1] = process.turn[rows], k - process.turn[rows]
    state[:, 2], state[:, 3] = p.budget, p.budget - process.spent[rows]
    state[:, 4], state[:, 5], state[:, 6], state[:, 7] = p.n_crews, known.total_lower, known.total_upper, p.cost_limit
    observation: dict[str, NDArray[Any]] = {
        "protected": process.protected[rows],
        **{name: np.broadcast_to(getattr(p, name), (b, k)) for name in ("protect_cost", "population", "group")},
        "mean": known.mean,
        "lower": known.lower,
        "upper": known.upper,
        **{name: covariates[rows, :, i] for i, name in enumerate(COVARIATES)},
        "state": np.maximum(state, 0.0),
    }
    return {name: np.array(values, dtype=np.float32) for name, values in observation.items()}


def announce_seasons(process: UndergroundingProcess, covariates: Floats, adversarial: bool) -> UndergroundingAnnounced:
    """What any planner of these seasons may know now.

    Args:
        process: the seasons.
        covariates: `[B, K, F]` their weather.
        adversarial: whether the worst storm for the plan comes.
    """
    return UndergroundingAnnounced(
        profile=process.profile,
        adversarial=adversarial,
        cost_limit_h=process.profile.cost_limit,
        forecast=SeasonForecast(*map(read_only, process.forecast)),
        covariates=read_only(covariates),
    )


class UndergroundingCore(Core):
    """B seasons of Undergrounding; arguments as on `UndergroundingEnv`."""

    process: UndergroundingProcess
    settles_when_truncated = True
    """Seasons are never truncated."""

    def __init__(
        self,
        batch: int,
        *,
        profile: str = DEFAULT_PROFILE,
        storm: str = "simulated",
        budget: float | None = None,
        n_crews: int | None = None,
        noise: float | None = None,
        cost_limit: float | None = None,
        forecast: str = "ncp",
        calibration: str = "marginal",
        confidence_level: float = 0.99,
        total_confidence_level: float = 0.5,
        reward: Timing = "dense",
        cost: Timing = "dense",
        on_invalid: str = "waste",
        render_mode: str | None = None,
    ) -> None:
        check_choice("storm", storm, STORMS)
        self._payment = Payment(batch, reward, cost)
        check_choice("on_invalid", on_invalid, ("waste", "raise"))
        check_render_mode(render_mode, RENDER_MODES)
        self.profile = profile_from(profile, budget, n_crews, noise, cost_limit)
        cheapest, money = self.profile.protect_cost.min(), self.profile.budget
        if not cheapest <= money:
            raise ValueError(f"budget must pay for one region at least ({cheapest:g}); got {money!r}")
        self.source = SeasonSource(self.profile, forecast, calibration, confidence_level, total_confidence_level)
        self._seasons = SeasonsAhead(self.source, batch, self.profile.n_counties)
        self.instance_name = self.profile.name
        self.cost_limit = self.profile.cost_limit
        self.adversarial = storm == "adversarial"
        self.batch = batch
        self.process = UndergroundingProcess(self.profile, batch)
        k = self.profile.n_counties
        self.covariates = np.zeros((batch, k, len(COVARIATES)))
        self.raises = on_invalid == "raise"
        self._charged = np.zeros((2, batch))  # loss and gap that the steps so far add up to
        self.action_space = spaces.Discrete(k + 1)
        self.observation_space = observation_space(k, k + 1)

    @cached_property
    def return_unit(self) -> float:
        """Half of what a mean customer goes without power if nothing is buried (h)."""
        return 0.5 * usual_loss_h(self.profile)

    @property
    def announced(self) -> UndergroundingAnnounced:
        """What any planner may know now."""
        return announce_seasons(self.process, self.covariates, self.adversarial)

    @property
    def truth(self) -> UndergroundingTruth:
        """The seasons' own storms."""
        return UndergroundingTruth(read_only(self.process.outage_h))

    def reset(self, rngs: list[np.random.Generator], rows: Ints | None = None, options: Any = None) -> None:
        """Draw new seasons for `rows` (all when None), one generator a row."""
        del options
        at = slice(None) if rows is None else rows
        which = np.arange(self.batch) if rows is None else rows
        outage_h, self.covariates[at], known = self._seasons.draw(rngs, which)
        self.process.reset(outage_h, known, rows)
        self._charged[:, at] = 0.0
        self._payment.begin(rows)

    def step(self, actions: Ints, live: Bools | None = None) -> Step:
        """Make one choice in all seasons; where planning ends, the storm comes and crews answer."""
        del live  # those about to be reset have ended: nothing moves in them
        process = self.process
        going = process.planning.copy()
        process.bury(actions)
        ended = going & ~process.planning
        rows = np.flatnonzero(going if self._payment.any_dense else ended)
        total = self._charged.copy()  # [2, B] loss and gap if the plans stay as they are now
        if rows.size:
            storm = process.worst_h(rows) if self.adversarial else process.outage_h[rows]
            crews = process.best_crews(storm, rows)
            left = process.exposed_h(storm, rows) * (1.0 - crews)
            total[:, rows] = self.profile.loss_h(left), self.profile.gap_h(left)
            over = ended[rows]  # elsewhere the storm is only reckoned with
            process.end(storm[over], crews[over], rows[over])
        change = np.where(going, total - self._charged, 0.0)
        self._charged += change
        step = Step(-change[0], change[1], ended, np.zeros(self.batch, dtype=bool), bool(ended.any()))
        return self._payment.pay(step, total_cost=total[1], total_reward=-total[0])

    def validate_actions(self, actions: Any, waiting: Bools | None) -> Ints:
        """Choices `[B]`.

        Raises:
            TypeError: another shape or kind of number.
            ValueError: out of range, or closed where `on_invalid="raise"`.
        """
        k = self.profile.n_counties
        rule = f"action must be a region 0 to {k - 1}, or {k} to stop"
        chosen = whole_choices(actions, self.batch, k + 1, waiting, rule)
        if self.raises:
            closed = ~self.action_masks()[np.arange(self.batch), chosen]
            if waiting is not None:
                closed &= ~waiting
            if closed.any():
                row = int(np.argmax(closed))
                why = "is buried already" if self.process.protected[row, chosen[row]] else "costs more than is left"
                where = in_environment(row, self.batch)
                raise ValueError(
                    f"action {chosen[row]} is closed{where}: region {chosen[row]} {why}. Follow the action mask"
                )
        return chosen

    def observe(self, row: int | None = None) -> Observation:
        """Fresh copies of what agents see, with a leading axis B, or of one row without it."""
        rows = np.arange(self.batch) if row is None else np.array([row])
        observation = {
            "action_mask": self.action_masks()[rows].astype(np.int8),
            **observe_seasons(self.process, self.covariates, rows),
        }
        return observation if row is None else {name: values[0] for name, values in observation.items()}

    def extra_info(self) -> dict[str, NDArray[Any]]:
        """What every info holds beside the cost: limits `[B]` and masks `[B, K + 1]`."""
        return {
            "cost_limit": np.full(self.batch, self.cost_limit),
            "action_mask": self.action_masks().astype(np.int8),
        }

    def metrics(self, rows: Any) -> dict[str, Floats]:
        """Figures of finished seasons, name to `[len(rows)]`."""
        return self.process.metrics(rows)

    def action_masks(self) -> Bools:
        """Regions that can be buried, and the stop, which is always open; all ones once a season is over."""
        masks = np.ones((self.batch, self.profile.n_counties + 1), dtype=bool)
        masks[:, :-1] = self.process.affordable() | ~self.process.planning[:, None]
        return masks

    def render_row(self, row: int, mode: str) -> Any:
        """Text or picture of one row."""
        from stormgym.envs.undergrounding.render import render

        return render(self.process, row, mode)
