"""Energy scheduling: how much to run in each hour of tomorrow before prices are known (Gen-DFL section 6.2, B.4).

    f(c, w) = c.w,   lower <= w_h <= upper,   sum w = total;   c the prices of 24 hours

Prices are of `price_data`: a folder's, whose law nobody knows, or those of a made-up market whose law is known. Of the
day itself only what is published on its eve is context.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from stormgym.envs.arrays import Floats
from stormgym.envs.decisions.arguments import check_number
from stormgym.envs.decisions.price_data import CALENDAR, FORECASTS, HOURS, YESTERDAY, PriceDays
from stormgym.envs.decisions.price_market import MarketLaw, market_law, market_noise, market_prices
from stormgym.envs.decisions.problem import Cases, Split
from stormgym.envs.decisions.projections import nearest_with_total
from stormgym.envs.decisions.sampled_law import SampledLaw
from stormgym.envs.risk import Polytope, check_alpha

LAST_TRAIN, LAST_VALIDATION = 70, 80
"""Percent of the days, in order of time, after which training and validation end; the rest tests."""


class EnergySchedulingProblem(SampledLaw):
    """Power `[24]` by hour, from the eve's forecasts of load, wind and price, the calendar and yesterday's prices.

    Args:
        days: the record.
        lower, upper: least and most power in an hour.
        total: power of the day.
        risk: see `LinearProblem`.

    Raises:
        TypeError, ValueError: an argument out of its range, or bounds between which the total cannot be.
    """

    n: int = HOURS
    context_shapes: Mapping[str, tuple[int, ...]] = {
        **{name: (HOURS,) for name in FORECASTS},
        "calendar": (len(CALENDAR),),
        "price_yesterday": (len(YESTERDAY),),
    }
    knows_truth: bool = False  # type: ignore[misc]  # true of the synthetic market alone
    cost_unit: ClassVar[str] = ""

    def __init__(
        self, days: PriceDays, *, lower: float = 0.5, upper: float = 1.5, total: float = 24.0, risk: float = 1.0
    ) -> None:
        least, most = check_number("lower", lower), check_number("upper", upper, above=0)
        self.total = check_number("total", total, above=0)
        if not least < most:
            raise ValueError(f"lower must be below upper; got {least:g} and {most:g}")
        if not HOURS * least <= self.total <= HOURS * most:
            raise ValueError(
                f"total must be what {HOURS} hours between lower and upper can add up to, {HOURS * least:g} to "
                f"{HOURS * most:g}; got {self.total:g}"
            )
        self.days, self.risk = days, check_alpha(risk, "risk")
        self.low, self.high = np.full(HOURS, least), np.full(HOURS, most)
        self.polytope = Polytope(self.low, self.high, A_eq=np.ones((1, HOURS)), b_eq=np.array([self.total]))
        self.knows_truth = isinstance(days.key, tuple) and days.key[0] == "synthetic market"
        self.instance = int(days.key[2]) if isinstance(days.key, tuple) and self.knows_truth else 0
        self.key = ("energy scheduling", days.key, least, most, self.total, self.risk)

    def _cases(self, split: Split) -> Cases:
        n = len(self.days)
        first, second = LAST_TRAIN * n // 100, LAST_VALIDATION * n // 100
        rows = {"train": slice(0, first), "validation": slice(first, second), "test": slice(second, n)}[split]
        context = {name: getattr(self.days, name)[rows] for name in self.context_shapes}
        return Cases(context, self.days.price[rows], {}, np.arange(len(self.days.price[rows])))

    def oracle(self, prices: Floats) -> Floats:
        """The cheapest schedules `[B, 24]`: `lower` everywhere, then the cheapest hours up to `upper`."""
        order = np.argsort(prices, axis=1, kind="stable")
        room = float(self.high[0] - self.low[0])
        fill = np.clip(self.total - self.low.sum() - room * np.arange(HOURS), 0.0, room)
        plans = np.empty(prices.shape)
        np.put_along_axis(plans, order, np.broadcast_to(self.low + fill, prices.shape), 1)
        return plans

    def project(self, plans: Floats) -> Floats:
        """The nearest schedules `[B, 24]`; those that keep bounds and total stay as they are."""
        return nearest_with_total(plans, self.low, self.high, np.ones(HOURS), self.total)

    def _law(self, cases: Cases) -> MarketLaw:
        return market_law(*(cases.context[name] for name in (*FORECASTS, "price_yesterday")))

    def true_mean(self, cases: Cases) -> Floats:
        """Mean prices `[E, 24]` of the synthetic market."""
        return self._law(cases).mean if self.knows_truth else super().true_mean(cases)

    def law_noise(self, shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
        """What is random in a day of the synthetic market, `[*shape, 29]`."""
        return market_noise(shape, rng)

    def outcomes_of(self, cases: Cases, noise: Floats) -> Floats:
        """Prices `[S, E, 24]`."""
        return market_prices(self._law(cases), noise)

    def picture(self, axes: Any, case: Cases, plan: Floats | None) -> None:
        """The price forecast by hour, the price that came, the schedule, and the best one in hindsight."""
        hour = np.arange(HOURS)
        axes.plot(hour, case.context["price_forecast"][0], ":", color="#7f7f7f", label="price forecast")
        axes.set_xlabel("hour of the day")
        axes.set_ylabel("price")
        if plan is not None:
            axes.plot(hour, case.outcomes[0], "o-", color="#D55E00", markersize=4, label="price")
            twin = axes.twinx()
            twin.bar(hour, plan, color="#0072B2", alpha=0.35, label="schedule")
            twin.step(hour, self.best(case.outcomes)[0], where="mid", color="#009E73", label="best in hindsight")
            twin.set_ylim(0.0, 1.5 * float(self.high[0]))
            twin.set_ylabel("power")
            twin.spines["top"].set_visible(False)
            twin.legend(loc="upper right", frameon=False)
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, 0.0), 1.25 * high)
        axes.legend(loc="upper left", frameon=False)
