"""Hospital beds for the week to come, while an epidemic runs (SO-EBM section 4.2, eq. 8).

    f(y, a) = sum over 7 days of c_b [y - a]+ + c_h [a - y]+ + q_b ([y - a]+)^2 + q_h ([a - y]+)^2,   a >= 0

b is for patients without a bed and h for beds held empty, in both powers. The paper gives neither coefficients nor
data: the defaults and the epidemics (`stormgym.envs.decisions.epidemic`) are ours.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from numbers import Integral, Real
from typing import Any

import numpy as np

from stormgym.envs.arrays import Bools, Floats, Ints
from stormgym.envs.decisions.epidemic import (
    DEAD,
    EXPOSED,
    IN_HOSPITAL,
    INFECTIOUS,
    NEWS,
    STATES,
    RegionNoise,
    Regions,
    compartments,
    day,
    next_level,
    season_of,
    simulate,
    transmission_rate,
)
from stormgym.envs.decisions.problem import Cases, DecisionProblem, Split, namespace

N_DAYS = 7
"""Days of a decision."""
N_PAST = 21
"""Days of history that are known."""
SEEN = (EXPOSED, INFECTIOUS, IN_HOSPITAL, DEAD)
"""Compartments in the history; S and R add little."""
MOST_BEDS = 2_000.0
"""Bound of decisions, beds per 100,000: four times the most of ten recorded instances."""
REGIONS: dict[Split, slice] = {"train": slice(0, 60), "validation": slice(60, 90), "test": slice(90, 150)}
"""Which of an instance's recorded regions belong to each split."""
N_REGIONS, N_RECORDED_DAYS = 150, 420
FIRST_DAY, STRIDE = 40, 21
WINDOWS = np.arange(FIRST_DAY, N_RECORDED_DAYS - N_DAYS, STRIDE)
"""Days on which decisions are taken, 18 a region: later than the start, and no week twice."""
_STREAM = 840
"""Keeps the recorded regions apart from those of an environment's seeds."""


class HospitalBedsProblem(DecisionProblem):
    """How many beds to prepare on each of the next seven days.

    An instance has 150 recorded regions of 420 days: 60 to learn from, 30 to choose by, 60 to be scored on, a decision
    every 21 days from day 40 (1,080, 540 and 1,080 cases). `draw` for `test` simulates fresh regions instead.

    Context: `history` `[21, 4]`, log(1 + E, I, H, D) of the last 21 mornings, today's last, and `state` `[6]`,
    S, E, I, R, H, D this morning. Outcome `[7]`: beds needed at the end of each day. All in people per 100,000.
    Hidden: `level`, `turbulent`, `beds` `[2]`, `day` and `phase` of the year, on which transmission depends.

    Args:
        c_b, q_b: price of a patient without a bed, and of its square.
        c_h, q_h: the same of an empty bed.
        instance: number of the recorded regions, at least 0.

    Raises:
        TypeError: a price that is no number, an instance that is no whole number.
        ValueError: below 0; shortages or empty beds that cost nothing, for then the best decision is trivial.
    """

    n = N_DAYS
    context_shapes = {"history": (N_PAST, len(SEEN)), "state": (len(STATES),)}  # noqa: RUF012 - as the base declares it
    knows_truth = True

    def __init__(
        self, c_b: float = 10.0, c_h: float = 1.0, q_b: float = 2.0, q_h: float = 0.5, instance: int = 0
    ) -> None:
        self.c_b, self.c_h, self.q_b, self.q_h = check_prices(c_b, c_h, q_b, q_h)
        if isinstance(instance, bool) or not isinstance(instance, Integral):
            raise TypeError(f"instance must be a whole number; got {instance!r}")
        if instance < 0:
            raise ValueError(f"instance must be at least 0; got {instance!r}")
        self.instance: int = int(instance)
        self.low, self.high = np.zeros(self.n), np.full(self.n, MOST_BEDS)
        self.key = ("hospital-beds", self.c_b, self.c_h, self.q_b, self.q_h, self.instance)

    @cached_property
    def _recorded(self) -> dict[Split, Cases]:
        regions = recorded_regions(self.instance)
        cases: dict[Split, Cases] = {}
        for split, of in REGIONS.items():
            at = np.arange(N_REGIONS)[of]
            c = cases_of(regions, np.repeat(at, len(WINDOWS)), np.tile(WINDOWS, len(at)))
            cases[split] = Cases(c.context, c.outcomes, c.hidden, np.arange(len(c)))
        return cases

    def _cases(self, split: Split) -> Cases:
        return self._recorded[split]

    def draw(self, rngs: list[np.random.Generator], split: Split) -> Cases:
        """One case a generator: a recorded one, or for `test` of a fresh region, simulated as far as needed."""
        if split != "test":
            return super().draw(rngs, split)
        days = WINDOWS[[rng.integers(len(WINDOWS)) for rng in rngs]]
        noise = RegionNoise.draw(rngs, N_RECORDED_DAYS)
        regions = simulate(noise, int(days.max()) + N_DAYS + 1)
        return cases_of(regions, np.arange(len(rngs)), days)

    def cost(self, plans: Any, outcomes: Any) -> Any:
        """Cost `[...]` of beds `[..., 7]` when beds `[..., 7]` are needed (eq. 8)."""
        return self.daily_cost(plans, outcomes).sum(-1)

    def daily_cost(self, plans: Any, outcomes: Any) -> Any:
        """Cost of each day, broadcast; arrays or tensors."""
        return bed_costs(plans, outcomes, self.c_b, self.c_h, self.q_b, self.q_h)

    def best(self, outcomes: Floats) -> Floats:
        """The beds needed."""
        return np.asarray(outcomes, dtype=np.float64).copy()

    def true_outcomes(self, cases: Cases, n_samples: int, rng: np.random.Generator) -> Floats:
        """Beds `[S, E, 7]` that the true law gives from today's state, level and regime on."""
        shape, hidden = (n_samples, len(cases)), cases.hidden
        people = compartments(np.broadcast_to(cases.context["state"], (*shape, len(STATES))))
        heard = [hidden["beds"][:, 0], hidden["beds"][:, 1]]  # of t - 2, t - 1
        level, turbulent = hidden["level"], hidden["turbulent"] > 0.5
        beds = np.empty((*shape, N_DAYS))
        for k in range(N_DAYS):
            heard.append(people[IN_HOSPITAL])
            level, turbulent = next_level(level, turbulent, rng.standard_normal(shape), rng.random(shape))
            season = season_of(hidden["day"] + k, hidden["phase"])
            people = day(people, transmission_rate(level, heard[k], season))
            beds[..., k] = people[IN_HOSPITAL]
        return beds

    def picture(self, axes: Any, case: Cases, plan: Floats | None) -> None:
        """Beds occupied in the last 21 days, the beds planned, and those that were needed."""
        past, ahead = np.arange(1 - N_PAST, 1), np.arange(1, N_DAYS + 1)
        axes.plot(
            past, np.expm1(case.context["history"][0, :, SEEN.index(IN_HOSPITAL)]), color="#555555", label="occupied"
        )
        if plan is not None:
            axes.bar(ahead, plan, color="#0072B2", alpha=0.6, label="prepared")
            axes.plot(ahead, case.outcomes[0], "o-", color="#D55E00", label="needed")
        axes.set_xlim(past[0] - 0.5, ahead[-1] + 0.5)
        axes.set_ylim(bottom=0.0)
        axes.set_xlabel("day from now")
        axes.set_ylabel("beds per 100,000 people")
        axes.legend(loc="best")


def bed_costs(plans: Any, outcomes: Any, c_b: float, c_h: float, q_b: float, q_h: float) -> Any:
    """Terms of eq. 8, broadcast: beds planned and needed, arrays or tensors."""
    gap = outcomes - plans
    clip = namespace(gap).clip
    short, empty = clip(gap, 0.0, None), clip(-gap, 0.0, None)
    return c_b * short + c_h * empty + q_b * short**2 + q_h * empty**2


def check_prices(c_b: Any, c_h: Any, q_b: Any, q_h: Any) -> tuple[float, float, float, float]:
    """The four prices as floats.

    Raises:
        TypeError: one is no number.
        ValueError: one is negative or not finite; or shortages, or empty beds, cost nothing.
    """
    prices = {"c_b": c_b, "c_h": c_h, "q_b": q_b, "q_h": q_h}
    for name, value in prices.items():
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{name} must be a number; got {value!r}")
        if not 0.0 <= float(value) < np.inf:
            raise ValueError(f"{name} must be at least 0 and finite; got {value!r}")
    for what, names in (("a missing bed", ("c_b", "q_b")), ("an empty bed", ("c_h", "q_h"))):
        if not any(prices[name] for name in names):
            raise ValueError(f"{what} must cost something: set {names[0]} or {names[1]} above 0")
    return float(c_b), float(c_h), float(q_b), float(q_h)


@lru_cache(maxsize=4)
def recorded_regions(instance: int) -> Regions:
    """The 150 regions of an instance over 420 days; region i from stream `[instance, i]`."""
    rngs = [np.random.default_rng([instance, region, _STREAM]) for region in range(N_REGIONS)]
    return simulate(RegionNoise.draw(rngs, N_RECORDED_DAYS), N_RECORDED_DAYS)


def cases_of(regions: Regions, region: Ints, days: Ints) -> Cases:
    """Decisions in E regions, one on a day each; copies.

    Args:
        regions: simulated to a week after the last of the days.
        region: `[E]` index.
        days: `[E]` on whose morning the decision is taken, at least 20.
    """
    state = regions.state
    past = days[:, None] + np.arange(1 - N_PAST, 1)  # [E, 21]
    ahead = days[:, None] + np.arange(1, N_DAYS + 1)  # [E, 7]
    history = np.log1p(np.stack([state[past, part, region[:, None]] for part in SEEN], axis=-1))
    turbulent: Bools = regions.turbulent[days - 1, region]
    hidden = {
        "level": regions.level[days - 1, region],
        "turbulent": turbulent.astype(np.float64),
        "beds": np.stack([state[days - back, IN_HOSPITAL, region] for back in range(NEWS, 0, -1)], axis=-1),
        "day": days.astype(np.float64),
        "phase": regions.phase[region],
    }
    return Cases(
        {"history": history, "state": state[days, :, region]}, state[ahead, IN_HOSPITAL, region[:, None]], hidden
    )
