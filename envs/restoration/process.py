"""The dynamics of restoration, written once and batched: one crew a city, B cities at a time, no Gymnasium in it.

`RestorationProcess` holds the state of B episodes and advances them together: B = 1 under `RestorationEnv`, B
environments at once under `RestorationVectorEnv`.

How a step is written. What costs at B = 1 is the number of NumPy calls and the conversion of Python numbers; at large B
it is the bytes touched. Hence:

- State that agents observe lives in the layout in which they observe it (regions `[B, F, N]`, crews `[K, B]`), so that
  a fresh observation is one copy of each.
- `_bind` keeps flat views of these arrays, offsets of their rows, and constants as arrays: one `take` with a flat index
  replaces a fancy index of two or three axes.
- Between two restorations everything that an observation shows of time grows at a constant rate: elapsed hours at 1,
  the mean outage of a group at its share that is still dark, the W1 distance of two groups at |F_a - F_b|, the
  difference of their restored shares (the area between two distribution functions, EPOPR eq. 14). So a step is `state
  += rate * delta` for all of them at once, and a restoration only changes the rates.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stormgym.envs.arrays import Bools, Floats, Ints, Observation
from stormgym.envs.cities.tables import CityMap
from stormgym.envs.core import Step
from stormgym.envs.restoration.jobs import Jobs
from stormgym.envs.restoration.layout import COLUMN, CREW_SCALARS, REGION_COLUMNS, crew_columns

WASTED_H = 0.25
"""Hours lost on the spot by a wasted trip (a masked choice), beside the travel."""

STEPS_PER_REGION = 4
"""An episode is truncated after this many steps per region."""

_OPEN, _REALISED, _DISTANCE = COLUMN["open"], COLUMN["realised_h"], COLUMN["distance_km"]
_ELAPSED, _X, _LIMIT, _GAP = (CREW_SCALARS.index(c) for c in ("elapsed_h", "x_km", "cost_limit_h", "gap_h"))
_KEYS = ("action_mask", "crew", *REGION_COLUMNS)
# arrays that hold the state of an episode, by where their axis of episodes is: `_part` copies rows of all of them
_BATCH_FIRST = (
    "regions",
    "action_mask",
    "duration_h",
    "log_ratio",
    "outage_h",
    "origin",
    "n_open",
    "started",
    "wasted",
)
_BATCH_LAST = ("crew", "rate", "n_restored", "log_ratio_sum")


class RestorationProcess:
    """B episodes of one crew restoring the N regions of a city.

    Args:
        tables: the city's map.
        batch: B.
        cost_limit_h: limit of all episodes until `reset` says others; agents observe it (h).
        max_travel_km: regions farther than this (road km) are closed while another open one is nearer; None for no
            rule.
    """

    def __init__(self, tables: CityMap, batch: int, *, cost_limit_h: float, max_travel_km: float | None = None) -> None:
        self.tables = tables
        self.batch = batch
        self.max_travel_km = max_travel_km
        n, g, p = tables.n_regions, tables.n_groups, tables.pairs.shape[0]
        self.max_steps = STEPS_PER_REGION * n
        # what agents observe
        self.regions = np.zeros((batch, len(REGION_COLUMNS), n), dtype=np.float32)  # [B, F, N]
        self.crew = np.zeros((len(crew_columns(g)), batch))  # [K, B]
        self.action_mask = np.ones((batch, n), dtype=np.int8)  # [B, N]
        # what they do not
        self.duration_h = np.ones((batch, n))  # [B, N] true repair hours
        self.log_ratio = np.zeros((batch, n))  # [B, N] log(duration / point forecast)
        self.outage_h = np.zeros((batch, n))  # [B, N] hours without power; 0 while open
        self.rate = np.zeros((2 * g + p, batch))  # growth per hour of running means, shares (none) and pair gaps
        self.n_restored = np.zeros((g, batch))
        self.log_ratio_sum = np.zeros((g, batch))
        self.origin = np.zeros(batch, dtype=np.int64)  # [B] where the crew's row of the travel table starts
        self.n_open = np.zeros(batch)
        self.clock = 0  # steps of this process so far
        self.started = np.zeros(batch, dtype=np.int64)  # [B] the clock at the episode's start
        self.wasted = np.zeros(batch, dtype=np.int64)
        self.row: Ints | None = np.zeros((batch, n), dtype=np.int64)  # [B, N] drawn records
        self.fixed_quantile_h: Floats | None = None
        self._steps_to_spare = 0  # no episode can end before this many further steps
        self.regions[:, : COLUMN["y_km"] + 1] = tables.xy_km[:, :-1]
        self.regions[:, COLUMN["group"]] = tables.group
        self.crew[CREW_SCALARS.index("speed_kmh")] = tables.city.speed_kmh
        self.crew[_LIMIT] = cost_limit_h
        self._bind()

    def _bind(self) -> None:
        """Keep views and offsets; made anew after pickling, so that views stay views.

        The crew's columns are laid out (see `crew_columns`) as scalars, G log ratios, then all that grows with time: G
        running means, G shares (which grow at rate 0 and jump when a region is restored) and P pair gaps. `rate` has a
        row for each of these 2 G + P.
        """
        n, g, batch = self.tables.n_regions, self.tables.n_groups, self.batch
        first = len(CREW_SCALARS)
        crew, rate = self.crew, self.rate
        self._view_elapsed, self._view_limit, self._view_gap = crew[_ELAPSED], crew[_LIMIT], crew[_GAP]
        self._view_xy = crew[_X : _X + 2]
        self._view_ratios = crew[first : first + g]
        self._view_growing = crew[first + g :]  # running means, shares, pair gaps
        self._view_shares = crew[first + 2 * g : first + 3 * g]
        self._view_pairs = crew[first + 3 * g :]
        self._view_mean_rate, self._view_pair_rate = rate[:g], rate[2 * g :]
        self._view_distance = self.regions[:, _DISTANCE]
        # regions[b, f, n] is flat_regions[f * N + at_column[b] + n]: a column's offset is taken off once, here
        flat_regions = self.regions.reshape(-1)
        self._view_open, self._view_realised = flat_regions[_OPEN * n :], flat_regions[_REALISED * n :]
        self._view_mask = self.action_mask.reshape(-1)
        self._view_duration = self.duration_h.reshape(-1)
        self._view_ratio = self.log_ratio.reshape(-1)
        self._view_outage = self.outage_h.reshape(-1)
        self._view_travel = self.tables.travel_h.reshape(-1)
        rows = np.arange(batch)
        self._view_at_region = rows * n  # start of a row in a flat [B, N]
        self._view_at_column = rows * len(REGION_COLUMNS) * n  # start of a row in a column of the flat [B, F, N]
        # arrays of one number: NumPy would convert a Python number anew in every call
        self._view_closed = np.zeros(batch, dtype=np.float32)
        self._view_masked = np.zeros(batch, dtype=np.int8)
        self._view_one = np.ones(1)
        self._view_minus_n, self._view_row_length = np.array([-float(n)]), np.array([n + 1])

    def __getstate__(self) -> dict[str, Any]:
        """State without the views."""
        return {k: v for k, v in self.__dict__.items() if not k.startswith("_view")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore, and bind the views to the restored arrays."""
        self.__dict__.update(state)
        self._bind()

    def reset(self, jobs: Jobs, rows: Ints | None = None, cost_limit_h: float | Floats | None = None) -> None:
        """Start the episodes of `rows` (all when None) with drawn jobs `[len(rows), N]`.

        `cost_limit_h` is their limit, one or `[len(rows)]`; None keeps the limits that they have.
        """
        at: Any = slice(None) if rows is None else rows
        t = self.tables
        n = t.n_regions
        regions, crew = self.regions, self.crew
        regions[at, COLUMN["lower_h"]] = jobs.lower_h
        regions[at, COLUMN["upper_h"]] = jobs.upper_h
        regions[at, COLUMN["point_h"]] = jobs.point_h
        regions[at, _DISTANCE] = t.distance_km[n]
        regions[at, _OPEN] = 1.0
        regions[at, _REALISED] = 0.0
        crew[_ELAPSED, at] = 0.0
        crew[_X : _X + 2, at] = t.xy_km[:, n:]
        crew[_GAP:, at] = 0.0
        if cost_limit_h is not None:
            self._view_limit[at] = cost_limit_h
        self.duration_h[at] = jobs.duration_h
        self.log_ratio[at] = np.log(np.maximum(jobs.duration_h, 1e-9) / jobs.point_h)
        self.outage_h[at] = 0.0
        self.rate[:, at] = 0.0
        self.rate[: t.n_groups, at] = 1.0
        self.n_restored[:, at] = 0.0
        self.log_ratio_sum[:, at] = 0.0
        self.origin[at] = n * (n + 1)  # the depot
        self.n_open[at] = n
        self.started[at] = self.clock
        self.wasted[at] = 0
        if jobs.row is None:
            self.row, self.fixed_quantile_h = None, jobs.quantile_h
        else:
            if self.row is None:
                self.row = np.zeros((self.batch, n), dtype=np.int64)
            self.row[at] = jobs.row
            self.fixed_quantile_h = None
        self.action_mask[at] = 1
        self._steps_to_spare = n - 1 if rows is None else min(self._steps_to_spare, n - 1)
        if self.max_travel_km is not None:
            self._close_far_regions()

    def stand_at(self, observation: Observation, duration_h: Floats) -> None:
        """Put B episodes into the state in which they are observed, for looking ahead.

        An observation shows all that the dynamics need but the hours of repairs to come. It does not show steps, wasted
        trips and the outages of regions restored before (`outage_h`): here they begin at 0.

        Args:
            observation: of B episodes of this city.
            duration_h: `[B, N]` hours that repairs to come are taken to need; those of restored regions are not read.

        Raises:
            ValueError: another number of episodes or regions.
        """
        t = self.tables
        if observation["open"].shape != self.duration_h.shape or np.shape(duration_h) != self.duration_h.shape:
            raise ValueError(
                f"this process has {self.batch} episodes of {t.n_regions} regions; got observations of shape "
                f"{observation['open'].shape} and hours of shape {np.shape(duration_h)}"
            )
        # what agents observe is copied; what they do not is worked out from it
        for name, place in COLUMN.items():
            self.regions[:, place] = observation[name]
        self.crew[:] = observation["crew"].T
        self.action_mask[:] = observation["action_mask"]
        self.duration_h[:] = np.where(self.regions[:, _OPEN] > 0, duration_h, self.regions[:, _REALISED])
        point = self.regions[:, COLUMN["point_h"]].astype(np.float64)
        self.log_ratio[:] = np.log(np.maximum(self.duration_h, 1e-9) / np.maximum(point, 1e-9))
        self.n_restored[:] = np.rint(self._view_shares * t.group_size)  # shares are float32 multiples of 1 / size
        self.log_ratio_sum[:] = self._view_ratios * self.n_restored
        self.rate[:] = 0.0
        np.subtract(1.0, self._view_shares, out=self._view_mean_rate)
        np.abs(t.pairs @ self._view_shares, out=self._view_pair_rate)
        # the crew stands at the place (a region or the depot) that is nearest to where it is observed to be
        off = np.abs(self._view_xy[:, :, None] - t.xy_km[:, None]).sum(axis=0)  # [B, N+1]
        self.origin[:] = off.argmin(axis=1) * (t.n_regions + 1)
        self.n_open[:] = (self.regions[:, _OPEN] > 0).sum(axis=1)
        self.outage_h[:] = 0.0
        self.started[:] = self.clock
        self.wasted[:] = 0
        self.row, self.fixed_quantile_h = None, None
        self._steps_to_spare = int(self.n_open.min()) - 1

    def step(self, actions: Ints) -> Step:
        """Advance every episode by one choice `[B]`; the caller has checked 0 <= action < N."""
        reward, cost = self._advance(actions)
        self.clock += 1
        # An episode ends after N restorations at the earliest and 4 N steps at the latest. While no row can have
        # reached either, nothing has to be looked at.
        if self._steps_to_spare > 0:
            self._steps_to_spare -= 1
            return Step(reward, cost, np.zeros(self.batch, dtype=bool), np.zeros(self.batch, dtype=bool), False)
        terminated = self.n_open == 0
        steps = self.steps
        truncated = steps >= self.max_steps
        truncated &= ~terminated
        if truncated.any():
            late = np.flatnonzero(truncated)
            more_reward, more_cost = self._restore_the_rest(late)
            reward[late] += more_reward
            cost[late] += more_cost
        ended = terminated | truncated
        any_ended = bool(ended.any())
        if any_ended:
            self.action_mask[ended] = 1  # all zeros turn a masked softmax into NaN in loops that act once more
        # the last of the open regions, or the last step, is at least so many steps away
        self._steps_to_spare = int(min(self.n_open.min(), self.max_steps - steps.max())) - 1
        return Step(reward, cost, terminated, truncated, any_ended)

    def _advance(self, actions: Ints) -> tuple[Floats, Floats]:
        """Send every crew to its action `[B]`; return reward and cost of the step, `[B]` each.

        Time first, at the rates of the step's beginning; then the crew moves; then the region is restored, which sets
        the rates of the next step.
        """
        t = self.tables
        here = self._view_at_region + actions  # [B] flat index in [B, N]
        valid = self._view_mask.take(here).view(bool)  # int8 0 or 1 read as bool, without a copy
        travel = self._view_travel.take(self.origin + actions)  # [B] from where the crew is
        work = self._view_duration.take(here)  # [B] true hours of the repair
        # A masked choice is a wasted trip: the travel, and a quarter of an hour on the spot. Hardly any agent makes
        # one, so that `wasted` is None in the usual case and no array of it has to be carried along.
        if np.count_nonzero(valid) == self.batch:
            wasted = None
        else:
            wasted = ~valid
            work[wasted] = WASTED_H
            self.wasted += wasted
        delta = travel + work  # [B] hours of this step (eq. 3)
        # Every region that is dark during the step waits delta longer, so the sum over the episode is minus the mean
        # outage (eq. 13). The region under repair is still among them.
        reward = delta * self.n_open
        reward /= self._view_minus_n
        self._view_elapsed += delta
        self._view_growing += self.rate * delta  # running means and W1 of each pair, |F_a - F_b| * delta (eq. 14)
        # The running gap is the largest W1 accrued so far over pairs (0 for a single group). It never falls, and what
        # has accrued when the last region is restored is the gap of the episode: from then on all F are 1.
        gap = np.maximum.reduce(self._view_pairs, axis=0, initial=0.0)
        cost = gap - self._view_gap
        self._view_gap[:] = gap
        self._view_xy[:] = t.xy_km.take(actions, axis=1)
        self._view_distance[:] = t.distance_km.take(actions, axis=0)
        self.origin = actions * self._view_row_length  # where this region's row of the travel table starts
        self._restore(actions, here, work, wasted)
        if self.max_travel_km is not None:
            self._close_far_regions()
        return reward, cost

    def _restore(self, actions: Ints, here: Ints, work: Floats, wasted: Bools | None) -> None:
        """Mark the chosen regions as restored, and bring shares, rates and log ratios up to date.

        Args:
            actions: `[B]` chosen regions.
            here: `[B]` their flat index in `[B, N]`.
            work: `[B]` hours that they took.
            wasted: `[B]` rows whose trip restored nothing; None where there is none.
        """
        t = self.tables
        member = t.member.take(actions, axis=1)  # [G, B] 1 in the group of the restored region
        elapsed = self._view_elapsed
        there = self._view_at_column + actions  # [B] flat index in a column of [B, F, N]
        ratio = self._view_ratio.take(here)  # [B] log(realised / forecast)
        if wasted is None:
            self.n_open -= self._view_one
        else:
            member *= ~wasted  # counts go on with all rows, of which wasted ones add 0 ...
            self.n_open -= ~wasted
            done = np.flatnonzero(~wasted)
            # ... and what is written at an index goes on with the others alone
            here, there, work, elapsed = here[done], there[done], work[done], elapsed[done]
        self._view_mask[here] = self._view_masked[: here.size]
        self._view_open[there] = self._view_closed[: here.size]
        self._view_realised[there] = work
        self._view_outage[here] = elapsed
        self.n_restored += member
        member *= ratio  # in place: the 1 of the group becomes the ratio
        self.log_ratio_sum += member
        np.divide(self.log_ratio_sum, np.maximum(self.n_restored, self._view_one), out=self._view_ratios)
        shares = np.divide(self.n_restored, t.group_size, out=self._view_shares)  # F_g now, [G, B]
        np.subtract(self._view_one, shares, out=self._view_mean_rate)  # a mean grows by the share that is still dark
        np.abs(t.pairs @ shares, out=self._view_pair_rate)  # [P, B] |F_a - F_b|

    def _close_far_regions(self) -> None:
        """Mask regions farther than `max_travel_km`, but never the nearest open one."""
        is_open = self.regions[:, _OPEN] > 0
        distance = np.where(is_open, self._view_distance, np.inf)
        near = (distance <= self.max_travel_km) | (distance <= distance.min(axis=1, keepdims=True))
        self.action_mask[:] = near & is_open

    def _restore_the_rest(self, rows: Ints) -> tuple[Floats, Floats]:
        """Restore what out-of-steps episodes left open, nearest first; return their sums of reward and cost.

        They are played on in a smaller process of their own, which shrinks as one after the other is done: `_advance`
        moves every row that it has, and the other episodes must stay where they are.

        Args:
            rows: `[L]` episodes that are out of steps.

        Returns:
            Reward and cost of what is settled here, `[L]` each.
        """
        reward, cost = np.zeros(self.batch), np.zeros(self.batch)
        left, part = rows, self._part(rows)  # rows of this process, and the same episodes in one of their own
        while True:
            is_open = part.regions[:, _OPEN] > 0
            part.action_mask[:] = is_open  # without the rule on travel: all that is open may be chosen
            nearest = np.where(is_open, part._view_distance, np.inf).argmin(axis=1)
            more_reward, more_cost = part._advance(nearest)
            reward[left] += more_reward
            cost[left] += more_cost
            dark = part.n_open > 0
            if not dark.all():  # some are done
                self._take_back(left[~dark], part, ~dark)
                if not dark.any():
                    return reward[rows], cost[rows]
                left, part = left[dark], part._part(np.flatnonzero(dark))

    def _part(self, rows: Ints) -> RestorationProcess:
        """Copy the episodes of `rows` into a process of their own."""
        part = RestorationProcess(self.tables, rows.size, cost_limit_h=0.0, max_travel_km=None)
        for name in _BATCH_FIRST:
            getattr(part, name)[:] = getattr(self, name)[rows]
        for name in _BATCH_LAST:
            getattr(part, name)[:] = getattr(self, name)[:, rows]
        return part

    def _take_back(self, rows: Ints, part: RestorationProcess, of_part: Bools) -> None:
        """Copy episodes `of_part` back into `rows`."""
        for name in _BATCH_FIRST:
            getattr(self, name)[rows] = getattr(part, name)[of_part]
        for name in _BATCH_LAST:
            getattr(self, name)[:, rows] = getattr(part, name)[:, of_part]

    @property
    def gap_h(self) -> Floats:
        """Running gap `[B]` (h): largest W1 between groups accrued so far."""
        return self._view_gap

    @property
    def cost_limit_h(self) -> Floats:
        """Limit of each episode's gap `[B]` (h)."""
        return self._view_limit

    @property
    def elapsed_h(self) -> Floats:
        """Hours since the start of the episode `[B]`."""
        return self._view_elapsed

    @property
    def steps(self) -> Ints:
        """Steps of each running episode `[B]`."""
        return self.clock - self.started

    @property
    def position(self) -> Ints:
        """Region where each crew is `[B]`; N at the depot."""
        return self.origin // (self.tables.n_regions + 1)

    @property
    def travel_total_h(self) -> Floats:
        """Hours on the road so far `[B]`: those that were neither repair nor wasted on the spot."""
        worked = np.where(self.regions[:, _OPEN] > 0, 0.0, self.duration_h).sum(axis=1)
        return self._view_elapsed - worked - WASTED_H * self.wasted

    def observe(self, row: int | None = None) -> Observation:
        """Fresh copies of what agents see, with a leading axis B, or of one row without it.

        The region columns are views of one copy.
        """
        if row is None:
            mask, crew = self.action_mask.copy(), self.crew.astype(np.float32).T
            columns = self.regions.copy().transpose(1, 0, 2)  # [F, B, N]
        else:
            mask, crew = self.action_mask[row].copy(), self.crew[:, row].astype(np.float32)
            columns = self.regions[row].copy()  # [F, N]
        return dict(zip(_KEYS, (mask, crew, *columns), strict=True))
