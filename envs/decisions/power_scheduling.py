"""Power scheduling: how much to generate in each hour of tomorrow, before its load is known (SO-EBM task 1).

    f(y, a) = sum over hours of gamma_under [y - a]+ + gamma_over [a - y]+ + (a - y)^2 / 2,   |a_h - a_{h-1}| <= ramp

The paper's eq. 7 prints the two prices exchanged. Source: Donti, Amos and Kolter (2017); SO-EBM section 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.core import check_choice
from stormgym.envs.decisions.load_data import CALENDAR, HOURS, LoadDays, synthetic_law
from stormgym.envs.decisions.problem import Cases, DecisionProblem, Split

SplitBy = Literal["published", "time", "random"]
SPLIT_BY: tuple[SplitBy, ...] = ("published", "time", "random")
N_SPLIT_TEST, N_SPLIT_VALIDATION = 0.2, 0.2
"""Share of the days that test, and of the rest that validates."""
DATA_NAMES = ("load_yesterday", "temperature_yesterday", "temperature", "calendar")


class PowerSchedulingProblem(DecisionProblem):
    """Tomorrow's generation by hour, from yesterday's load, temperatures and the calendar.

    Args:
        days: the record.
        split_by: `published`: the last fifth of the days tests, a fifth of the rest, at random, validates; `time`: the
            fifth before the last validates; `random`: all at random.
        instance: seed of the random part of the split.
        gamma_under, gamma_over: price of a unit of load that is not met, and of a unit too much.
        ramp: largest change from hour to hour.

    Raises:
        ValueError: a price or a ramp out of range, or too few days to split.
    """

    n: int = HOURS
    context_shapes: Mapping[str, tuple[int, ...]] = {
        "load_yesterday": (HOURS,),
        "temperature_yesterday": (HOURS,),
        "temperature": (HOURS,),
        "calendar": (len(CALENDAR),),
    }
    knows_truth: bool = False  # type: ignore[misc]  # true of a synthetic record alone
    cost_unit: ClassVar[str] = ""

    def __init__(
        self,
        days: LoadDays,
        *,
        split_by: SplitBy = "published",
        instance: int = 0,
        gamma_under: float = 50.0,
        gamma_over: float = 0.5,
        ramp: float = 0.4,
    ) -> None:
        check_choice("split_by", split_by, SPLIT_BY)
        for name, value in (("gamma_under", gamma_under), ("gamma_over", gamma_over), ("ramp", ramp)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < np.inf:
                raise ValueError(f"{name} must be a number of at least 0; got {value!r}")
        if len(days) < 10:
            raise ValueError(f"at least 10 days are needed to learn, choose and test; got {len(days)}")
        self.days, self.split_by, self.instance = days, split_by, instance
        self.gamma_under, self.gamma_over, self.ramp = float(gamma_under), float(gamma_over), float(ramp)
        self.key = ("power scheduling", days.key, split_by, instance, self.gamma_under, self.gamma_over, self.ramp)
        self.knows_truth = isinstance(days.key, tuple) and days.key[0] == "synthetic load"
        self._rows = split_days(len(days), split_by, instance)
        load = days.load[self._rows["train"]]
        centre, spread = load.mean(axis=0), np.maximum(load.std(axis=0), 1e-9)
        self.low = np.zeros(HOURS)
        self.high = np.full(HOURS, float(np.max(centre + 10.0 * spread)))  # far above any day: it never binds

    def _cases(self, split: Split) -> Cases:
        rows, d = self._rows[split], self.days
        return Cases({name: getattr(d, name)[rows] for name in DATA_NAMES}, d.load[rows], {}, np.arange(len(rows)))

    def cost(self, plans: Any, outcomes: Any) -> Any:
        """f `[...]` of plans and loads `[..., 24]`; arrays or tensors."""
        return self.hourly_cost(plans, outcomes).sum(-1)

    def hourly_cost(self, plans: Any, outcomes: Any) -> Any:
        """What each hour adds to it, `[..., 24]`."""
        short = outcomes - plans
        return self.gamma_under * short.clip(0.0) + self.gamma_over * (-short).clip(0.0) + 0.5 * short**2

    def project(self, plans: Floats) -> Floats:
        """The nearest plan `[B, 24]` (in Euclidean distance) whose hours are within bounds and keep the ramp."""
        inside = np.clip(plans, self.low, self.high)
        steep = np.flatnonzero(np.abs(np.diff(inside, axis=1)).max(axis=1) > self.ramp * (1.0 + 1e-6))
        if steep.size:  # from what was wanted: bounds first and then the ramp would give another plan
            inside[steep] = nearest_schedules(plans[steep], float(self.low[0]), float(self.high[0]), self.ramp)
        return inside

    def best(self, outcomes: Floats) -> Floats:
        """The load itself where it keeps the ramp, else the exact optimum."""
        return best_schedules(outcomes[None], self.gamma_under, self.gamma_over, self.ramp)

    def true_outcomes(self, cases: Cases, n_samples: int, rng: np.random.Generator) -> Floats:
        """Samples `[S, E, 24]` of the synthetic law; hours are independent here, as no cost joins them."""
        if not self.knows_truth:
            return super().true_outcomes(cases, n_samples, rng)
        law = synthetic_law(*(cases.context[name] for name in DATA_NAMES))
        samples: Floats = law.mean + law.sd * rng.standard_normal((n_samples, *law.mean.shape))
        return samples

    def picture(self, axes: Any, case: Cases, plan: Floats | None) -> None:
        """Yesterday's load and today's by hour, the plan, and the temperature."""
        hour = np.arange(HOURS)
        axes.plot(hour, case.context["load_yesterday"][0], ":", color="#7f7f7f", label="load yesterday")
        if plan is not None:
            axes.plot(hour, case.outcomes[0], "o", color="#D55E00", label="load")
            axes.step(hour, plan, where="mid", color="#0072B2", label="generation planned")
            axes.fill_between(hour, plan, case.outcomes[0], step="mid", color="#0072B2", alpha=0.15)
        axes.set_xlabel("hour of the day")
        axes.set_ylabel("load")
        axes.legend(loc="upper left", frameon=False)
        twin = axes.twinx()
        twin.plot(hour, case.context["temperature"][0], color="#009E73", alpha=0.6)
        twin.set_ylabel("temperature (F)", color="#009E73")
        twin.spines["top"].set_visible(False)


def split_days(n_days: int, split_by: SplitBy, instance: int) -> dict[Split, Ints]:
    """Rows of the days that train, validate and test; see `PowerSchedulingProblem`."""
    rng = np.random.default_rng([9_016, instance])
    n_known = int((1.0 - N_SPLIT_TEST) * n_days)
    n_train = int((1.0 - N_SPLIT_VALIDATION) * n_known)
    order = rng.permutation(n_days) if split_by == "random" else np.arange(n_days)
    known, test = order[:n_known], order[n_known:]
    if split_by == "published":
        known = known[rng.permutation(n_known)]
    parts: dict[Split, Ints] = {"train": known[:n_train], "validation": known[n_train:], "test": test}
    return {name: np.sort(rows) for name, rows in parts.items()}


def best_schedules(samples: Floats, gamma_under: float, gamma_over: float, ramp: float) -> Floats:
    """Plans `[B, 24]` of least mean cost over samples `[S, B, 24]`, exact.

    Hour by hour the optimum is a root of the mean subgradient, which jumps at the samples; days on which these roots
    keep the ramp are done, the others are one quadratic program each.
    """
    plans = hourly_optimum(samples, gamma_under, gamma_over)
    for row in np.flatnonzero(np.abs(np.diff(plans, axis=1)).max(axis=1) > ramp):
        plans[row] = _ramped_optimum(samples[:, row], gamma_under, gamma_over, ramp)
    return plans


def hourly_optimum(samples: Floats, gamma_under: float, gamma_over: float) -> Floats:
    """The same without the ramp.

    With k samples above a, the mean subgradient is a - mean + gamma_over - (gamma_under + gamma_over) k / S. It rises
    with a, so the optimum is where it crosses zero: between two samples, or at one where it jumps over zero.
    """
    ordered = np.sort(samples, axis=0)  # [S, B, 24] ascending
    n = len(ordered)
    above = (n - np.arange(n + 1)) / n  # share above, with a below the i-th sample (0-based)
    root = (
        ordered.mean(axis=0) - gamma_over + (gamma_under + gamma_over) * above.reshape(-1, *[1] * 2)
    )  # [S + 1, B, 24]
    low = np.concatenate([np.full((1, *ordered.shape[1:]), -np.inf), ordered])
    high = np.concatenate([ordered, np.full((1, *ordered.shape[1:]), np.inf)])
    # the first piece whose root is not beyond its upper end holds the optimum, at the root or at its lower end
    first = (root <= high).argmax(axis=0)[None]
    return np.maximum(np.take_along_axis(root, first, 0), np.take_along_axis(low, first, 0))[0]


def _ramped_optimum(samples: Floats, gamma_under: float, gamma_over: float, ramp: float) -> Floats:
    """One day's plan `[24]` for samples `[S, 24]` where the ramp binds: a quadratic program in plan, short and excess.

    mean over samples of 0.5 (a - y)^2 = 0.5 a^2 - mean(y) a + const; short >= y - a, excess >= a - y, both >= 0.
    """
    import clarabel
    from scipy import sparse

    n_samples, n = samples.shape
    m = n_samples * n
    quadratic = sparse.diags(np.concatenate([np.ones(n), np.zeros(2 * m)])).tocsc()
    linear = np.concatenate(
        [-samples.mean(axis=0), np.full(m, gamma_under / n_samples), np.full(m, gamma_over / n_samples)]
    )
    each = sparse.vstack([sparse.eye(n)] * n_samples)
    step: Any = sparse.diags([-np.ones(n - 1), np.ones(n - 1)], [0, 1], shape=(n - 1, n))
    none, eye = sparse.csc_matrix((n - 1, m)), sparse.eye(m)
    blocks: Any = [
        [-each, -eye, None],
        [each, None, -eye],
        [None, -eye, None],
        [None, None, -eye],
        [step, none, none],
        [-step, none, none],
    ]
    rows: Any = sparse.bmat(blocks).tocsc()
    y = samples.ravel()
    right = np.concatenate([-y, y, np.zeros(2 * m), np.full(2 * (n - 1), ramp)])
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-11
    found = clarabel.DefaultSolver(quadratic, linear, rows, right, [clarabel.NonnegativeConeT(len(right))], settings)
    return _within_ramp(np.array(found.solve().x)[:n][None], ramp)[0]


def nearest_schedules(plans: Floats, low: float, high: float, ramp: float) -> Floats:
    """The plans `[B, 24]` nearest to those wanted with low <= a_h <= high and |a_h - a_{h-1}| <= ramp; exact.

    F_h(a) is the least half squared distance of hours 0..h with a_h = a. It is convex, and its slope is piecewise
    linear and rising, kept as knots (place, slope). For the next hour what lies left of its minimum moves left by the
    ramp, what lies right of it moves right, and between them the slope is 0; then that hour's own a - wanted is added.
    Going back, each hour is at its own minimum, moved as little as the hour after it asks.
    """
    n = plans.shape[1]
    place = np.tile(np.array([low, high], dtype=np.float64), (len(plans), 1))  # [B, knots]
    slope = np.zeros_like(place)
    modes = np.empty(plans.shape)
    for h in range(n):
        slope = slope + (place - plans[:, h : h + 1])
        mode = np.clip(_interpolated(slope, place, np.zeros((len(plans), 1))), low, high)
        modes[:, h] = mode[:, 0]
        at_mode = _interpolated(place, slope, mode)  # 0 but where a bound holds
        left = (place < mode) | ((place == mode) & (slope < 0.0))
        ends = [mode - ramp, mode - ramp, mode + ramp, mode + ramp]
        kinks = [np.minimum(at_mode, 0.0), np.zeros_like(mode), np.zeros_like(mode), np.maximum(at_mode, 0.0)]
        # both rise together, so that each is sorted alone
        place = np.sort(np.hstack([np.where(left, place - ramp, place + ramp), *ends]), axis=1)
        slope = np.sort(np.hstack([np.where(left, np.minimum(slope, 0.0), np.maximum(slope, 0.0)), *kinks]), axis=1)
    for h in range(n - 2, -1, -1):
        modes[:, h] = np.clip(modes[:, h], modes[:, h + 1] - ramp, modes[:, h + 1] + ramp)
    return modes


def _interpolated(xs: Floats, ys: Floats, at: Floats) -> Floats:
    """Values `[B, 1]` at places `[B, 1]` of the lines through points (xs, ys) `[B, knots]`, xs rising, ties too."""
    above = (xs < at).sum(axis=1, keepdims=True)
    left, right = np.maximum(above - 1, 0), np.minimum(above, xs.shape[1] - 1)
    rows = np.arange(len(xs))[:, None]
    x0, x1, y0, y1 = xs[rows, left], xs[rows, right], ys[rows, left], ys[rows, right]
    share = np.divide(at - x0, x1 - x0, out=np.zeros_like(x0), where=x1 > x0)
    value: Floats = y0 + share * (y1 - y0)
    return value


def _within_ramp(plans: Floats, ramp: float) -> Floats:
    """Plans `[B, 24]` that break the ramp by rounding alone, brought within it."""
    for hour in range(1, plans.shape[1]):
        before = plans[:, hour - 1]
        plans[:, hour] = np.clip(plans[:, hour], before - ramp, before + ramp)
    return plans
