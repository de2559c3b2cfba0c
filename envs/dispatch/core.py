"""The core of GeneratorDispatch-v0: arguments, spaces, the draw of storms, observations, infos and facts."""

from __future__ import annotations

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
from stormgym.envs.dispatch.blocks import BlockPlan
from stormgym.envs.dispatch.forecasts import LearntWave, WaveForecast, typical_wave
from stormgym.envs.dispatch.generators import StormProfile
from stormgym.envs.dispatch.knowledge import DispatchAnnounced, DispatchTruth
from stormgym.envs.dispatch.process import DispatchProcess
from stormgym.envs.dispatch.profiles import DEFAULT_PROFILE, resolve_profile
from stormgym.envs.storms import COVARIATES

RENDER_MODES = ("ansi", "rgb_array")
ACTIONS = ("units", "box", "blocks")
FORECASTS = ("typical", "none")
STORMS = ("drawn", "simulated")
STATE = (
    "day",
    "days_left",
    "home",
    "generators",
    "customers_per_generator",
    "transport_cost",
    "interruption_cost",
    "operating_cost",
    "cost_limit",
    "gap",
)
"""Columns of `obs["state"]`."""
_LARGE = 1e9


class DispatchCore(Core):
    """B episodes of GeneratorDispatch; arguments as on `GeneratorDispatchEnv`."""

    process: DispatchProcess
    settles_when_truncated = True
    """Episodes are never truncated."""

    def __init__(
        self,
        batch: int,
        *,
        profile: str = DEFAULT_PROFILE,
        generators: int | None = None,
        transport_cost: float | None = None,
        interruption_cost: float | None = None,
        operating_cost: float | None = None,
        cost_limit: float | None = None,
        action: str = "units",
        blocks: int = 10,
        forecast: str = "typical",
        storms: str = "drawn",
        reward: Timing = "dense",
        cost: Timing = "dense",
        render_mode: str | None = None,
    ) -> None:
        check_choice("action", action, ACTIONS)
        if not isinstance(forecast, str) or not (forecast in FORECASTS or forecast.endswith(".npz")):
            raise ValueError(f"forecast must be {', '.join(FORECASTS)} or a forecaster's .npz file; got {forecast!r}")
        check_choice("storms", storms, STORMS)
        self._payment = Payment(batch, reward, cost)
        check_render_mode(render_mode, RENDER_MODES)
        if not isinstance(profile, str):
            raise TypeError(f"profile must be a name or the path of a folder, as text; got {profile!r}")
        changes = {
            "generators": generators,
            "transport_cost": transport_cost,
            "interruption_cost": interruption_cost,
            "operating_cost": operating_cost,
            "cost_limit": cost_limit,
        }
        changes = {name: value for name, value in changes.items() if value is not None}
        for name, value in changes.items():
            if isinstance(value, bool) or not isinstance(value, Integral if name == "generators" else Real):
                raise TypeError(f"{name} must be a {'whole ' if name == 'generators' else ''}number; got {value!r}")
        self.profile: StormProfile = replace(resolve_profile(profile), **changes)  # type: ignore[arg-type]
        self.instance_name = self.profile.name
        self.cost_limit = self.profile.cost_limit
        self.batch = batch
        self.process = DispatchProcess(self.profile, batch)
        self.draw = self.profile.draw if storms == "drawn" else self.profile.simulate
        self.covariates = np.zeros((batch, self.profile.n_counties, len(COVARIATES)))
        self._learnt = None if forecast in FORECASTS else LearntWave(forecast, self.profile)
        # of each row; one period of zeros behind the end for each that is over, so that what is ahead is a window
        t, k = self.profile.n_periods, self.profile.n_counties
        sizes = dict.fromkeys(("forecast", "lower", "upper"), (k,)) | dict.fromkeys(("total_lower", "total_upper"), ())
        self._forecast = {name: np.zeros((batch, 2 * t, *size)) for name, size in sizes.items()}
        if forecast == "typical":
            self._expect(typical_wave(self.profile), slice(None))
        self.most = self.profile.most_useful  # [K]
        self._blocks = BlockPlan(self.profile, batch, blocks) if action == "blocks" else None
        self.action_space: spaces.Discrete | spaces.MultiDiscrete | spaces.Box
        if self._blocks is not None:
            self.action_space = spaces.Discrete(k + 1)
        elif action == "units":
            self.action_space = spaces.MultiDiscrete(self.most + 1)
        else:
            self.action_space = spaces.Box(0.0, self.most.astype(np.float32), dtype=np.float32)
        self.observation_space = self._space()

    def _space(self) -> spaces.Dict:
        k, t = self.profile.n_counties, self.profile.n_periods
        shapes = dict.fromkeys(("stock", "out", "population", "group", "unserved", *COVARIATES), (k,))
        shapes |= {"state": (len(STATE),), "forecast": (t * k,), "lower": (t * k,), "upper": (t * k,)}
        shapes |= {"total_lower": (t,), "total_upper": (t,)}
        if self._blocks is not None:
            shapes["planned"] = (k,)
        low = dict.fromkeys(("temperature_c", "humidity", "wind_ms"), -_LARGE)
        parts: dict[str, spaces.Space[Any]] = {
            name: spaces.Box(low.get(name, 0.0), _LARGE, shape=shape, dtype=np.float32)
            for name, shape in shapes.items()
        }
        return spaces.Dict({"action_mask": spaces.MultiBinary(self.n_choices), **parts})

    @property
    def n_choices(self) -> int:
        """Length of the mask: choices of all parts of an action together."""
        return self.profile.n_counties + 1 if self._blocks is not None else int((self.most + 1).sum())

    def _expect(self, wave: WaveForecast, rows: Ints | slice) -> None:
        """Keep the forecast of some rows."""
        for name, values in wave._asdict().items():
            self._forecast[name][rows, : self.profile.n_periods] = values

    @cached_property
    def return_unit(self) -> float:
        """A twentieth of what the typical wave costs if nothing is done."""
        return float(self.profile.interruption_cost * typical_wave(self.profile).forecast.sum()) / 20.0

    @property
    def announced(self) -> DispatchAnnounced:
        """What any planner may know."""
        return DispatchAnnounced(self.profile, self.profile.cost_limit)

    @property
    def truth(self) -> DispatchTruth:
        """The whole waves."""
        return DispatchTruth(read_only(self.process.out))

    def reset(self, rngs: list[np.random.Generator], rows: Ints | None = None, options: Any = None) -> None:
        """Draw new storms for `rows` (all when None), one generator a row."""
        del options
        at = slice(None) if rows is None else rows
        storms = self.draw(rngs)
        self.process.reset(storms.out, rows)
        self.covariates[at] = storms.covariates
        if self._learnt is not None:
            self._expect(self._learnt(storms.covariates), at)
        if self._blocks is not None:
            self._blocks.begin(at)
        self._payment.begin(rows)

    def step(self, actions: Ints, live: Bools | None = None) -> Step:
        """Play a day in all episodes; with blocks, in those whose allocation of today is complete."""
        del live
        if self._blocks is None:
            return self._payment.pay(self.process.step(actions), self.process.gap)
        complete = self._blocks.choose(actions)
        step = self.process.step(self._blocks.planned, complete)
        self._blocks.begin(np.flatnonzero(complete))
        return self._payment.pay(step, self.process.gap)

    def validate_actions(self, actions: Any, waiting: Bools | None) -> Ints:
        """Targets `[B, K]` as whole generators in range; shares of a `Box` are rounded, halves up. Blocks: `[B]`.

        Raises:
            TypeError: another shape or kind of number.
            ValueError: one is out of range or not finite.
        """
        if self._blocks is not None:
            k = self.profile.n_counties
            return whole_choices(
                actions, self.batch, k + 1, waiting, f"action must be a county 0 to {k - 1}, or {k} to end the day"
            )
        shape = (self.batch, self.profile.n_counties)
        targets = np.asarray(actions)
        units = isinstance(self.action_space, spaces.MultiDiscrete)
        if targets.shape != shape or targets.dtype.kind not in ("iu" if units else "iuf"):
            kind = "integers" if units else "numbers"
            raise TypeError(
                f"actions must be {kind} of shape {shape}; got shape {targets.shape}, dtype {targets.dtype}"
            )
        bad = ~((targets >= 0) & (targets <= self.most))  # also what is no number
        if bad.any():
            row, county = np.argwhere(bad)[0].tolist()
            raise ValueError(
                f"action must be from 0 to {self.most[county]} generators in county {county}; got {targets[bad][0]}"
                f"{in_environment(row, self.batch)}"
            )
        return targets.astype(np.int64) if units else np.floor(targets + 0.5).astype(np.int64)

    def observe(self, row: int | None = None) -> Observation:
        """Fresh copies of what agents see, with a leading axis B, or of one row without it."""
        rows = np.arange(self.batch) if row is None else np.array([row])
        p, process = self.profile, self.process
        day = process.day[rows]
        b, k, t = len(rows), p.n_counties, p.n_periods
        constants = (
            p.generators,
            p.customers_per_generator,
            p.transport_cost,
            p.interruption_cost,
            p.operating_cost,
            p.cost_limit,
        )
        state = np.empty((b, len(STATE)))
        state[:, 0], state[:, 1] = day, t - day
        state[:, 2] = p.generators - process.stock[rows].sum(axis=1)
        state[:, 3:9], state[:, 9] = constants, process.gap[rows]
        observation: dict[str, NDArray[Any]] = {
            "action_mask": self.action_masks()[rows].astype(np.int8),
            "stock": process.stock[rows],
            "out": process.observed[rows],
            "population": np.broadcast_to(p.population, (b, k)),
            "group": np.broadcast_to(p.group, (b, k)),
            "unserved": process.unserved[rows] / p.population,
            **{name: self.covariates[rows, :, i] for i, name in enumerate(COVARIATES)},
            "state": state,
        }
        if self._blocks is not None:
            observation["planned"] = self._blocks.planned[rows]
        window = day[:, None] + np.arange(t)
        observation |= {name: values[rows[:, None], window].reshape(b, -1) for name, values in self._forecast.items()}
        observation = {
            name: values if values.dtype == np.int8 else np.array(values, dtype=np.float32)
            for name, values in observation.items()
        }
        return observation if row is None else {name: values[0] for name, values in observation.items()}

    def extra_info(self) -> dict[str, NDArray[Any]]:
        """What every info holds beside the cost: limits `[B]` and masks."""
        return {
            "cost_limit": np.full(self.batch, self.cost_limit),
            "action_mask": self.action_masks().astype(np.int8),
        }

    def metrics(self, rows: Any) -> dict[str, Floats]:
        """Figures of finished episodes, name to `[len(rows)]`."""
        return self.process.metrics(rows)

    def action_masks(self) -> Bools:
        """All ones: numbers of generators that are of no use are not among the choices, `[B, sum of choices]`.

        With blocks, `[B, K + 1]`: counties that can use more generators today, and the end of the day.
        """
        if self._blocks is None:
            return np.ones((self.batch, self.n_choices), dtype=bool)
        return self._blocks.open() | (self.process.day >= self.profile.n_periods)[:, None]

    def render_row(self, row: int, mode: str) -> Any:
        """Text or picture of one row."""
        from stormgym.envs.dispatch.render import render

        return render(self.process, row, mode, self._forecast["forecast"][row, : self.profile.n_periods])
