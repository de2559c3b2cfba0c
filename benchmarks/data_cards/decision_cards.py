"""The cards of the one-step decision problems: what is known before a decision, and what came."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.data_cards.card import SYNTHETIC, Card

NOBODY = (
    "There are no groups of people in these data, so nothing in them can be fair or unfair to anybody. A method that "
    "is good on them may still be unfair where its forecasts err more for some people than for others: judge it there."
)
SPLIT = "[M] 0 a case to learn from, 1 one to choose models by"
_FORECASTS = (
    "The law is the same in both splits and in the test cases that nobody sees: no drift, no outliers but the law's "
    "own, no missing values. Methods that lean on a fixed law look better here than they will on records."
)


def _card(
    problem: str,
    title: str,
    description: str,
    columns: Mapping[str, str],
    outcomes: str,
    limitations: str,
    use_cases: str,
    collection: str = SYNTHETIC,
) -> Card:
    """A card of an environment's record: the arrays of its open cases."""
    return Card(
        name=f"decisions-{problem}",
        title=title,
        description=f"{description} The open cases of the default environment (instance 0), M in all; those of the "
        "test split stay in the environment.",
        fields={"cases.npz": {"split": SPLIT, **columns, "outcomes": f"[M, ...] what came: {outcomes}"}},
        collection=collection,
        biases=_FORECASTS,
        limitations=limitations,
        use_cases=use_cases,
        social_impact=NOBODY,
    )


_LOADS = "temperatures of every hour, in degrees Fahrenheit"
_SHARED = (
    " Features x are standard normal and tell the mean by a polynomial of degree 4 of B x, B of zeros and ones drawn "
    "for the instance."
)
_GEN_DFL = (
    "Costs of a known formula, built so that the risk of every decision can be told exactly; nothing about markets, "
    "goods or roads follows from them. What a method gains hangs on the degree of the polynomial and on the noise, "
    "both arguments."
)

DECISIONS: tuple[Card, ...] = (
    _card(
        "hospital-beds",
        "Epidemics of HospitalBeds-v0",
        "Three weeks of an epidemic in a region of 100,000 people and the beds that the week after them needed (SO-EBM "
        "section 4.2).",
        {
            "history": "[M, 21, 4] log(1 + people per 100,000): exposed, infectious, in hospital and dead, today last",
            "state": "[M, 6] people per 100,000 today: susceptible, exposed, infectious, recovered, in hospital, dead",
        },
        "beds per 100,000 that each of the next seven days needed",
        "SEIR dynamics with a random rate whose numbers are ours: the paper publishes neither data nor prices. No "
        "disease, no hospital and no policy is meant, and nothing about any of them follows.",
        "Comparing decision-focused learning where outcomes have a wide, skewed law. Not for planning beds.",
    ),
    _card(
        "power-scheduling",
        "Days of the made-up town of PowerScheduling-v0",
        "Hourly load of a made-up town with what was known on the eve, four years from 2012-01-01. PJM's record, on "
        "which papers report, is not in the package: name its folder (`data=`).",
        {
            "load_yesterday": "[M, 24] load of the day before (no unit: of the order of 1 to 3)",
            "temperature_yesterday": f"[M, 24] {_LOADS}, of the day before",
            "temperature": f"[M, 24] {_LOADS}, of the day itself",
            "calendar": "[M, 5] weekend, federal holiday, daylight saving time, cosine and sine of the day of the year",
        },
        "load of every hour of the day",
        "Given the eve, hours are normal with a known mean and spread: real loads have tails, trends and outages. The "
        "temperature of the day is known exactly, which is no forecast. Holidays are those of the United States.",
        "Testing forecasts and schedules where the true law is known. Not for scheduling power.",
    ),
    _card(
        "energy-scheduling",
        "Days of the made-up market of EnergyScheduling-v0",
        "Day-ahead forecasts of load, wind and price, and the prices that came, with rare spikes.",
        {
            "load_forecast": "[M, 24] load, published on the eve (MW)",
            "wind_forecast": "[M, 24] wind power, published on the eve (MW)",
            "price_forecast": "[M, 24] price, published on the eve (per MWh, no currency)",
            "calendar": "[M, 9] day of the week, Monday first, one of seven; cosine and sine of the month",
            "price_yesterday": "[M, 2] mean and standard deviation of yesterday's prices",
        },
        "price of every hour (per MWh)",
        "All numbers of the market are ours and say nothing of a real one. Spikes have a tail of index 2.5: means of "
        "few days are mostly luck, as in real markets.",
        "Comparing plans under risk where the tail is known exactly. Not for trading.",
    ),
    _card(
        "network-security",
        "Attackers of NetworkSecurity-v0",
        "Attackers on one graph of 50 nodes and 126 edges who differ in what attracts them (SO-EBM section 4.3).",
        {"features": "[M, 50, 16] noisy features of the nodes, by a fixed unknown map from what attracts"},
        "how much each of the 50 nodes attracts the attacker",
        "A random graph and attackers of a formula. Nothing about a real network, its weak spots or the people who "
        "would attack it is in the data, and no cover that is good here protects anything.",
        "Comparing decision-focused learning where the objective is not convex. Not for defending a network.",
    ),
    *(
        _card(
            problem,
            f"Cases of {env_id}",
            f"{what}{_SHARED} (Gen-DFL section 4.)",
            {"features": "[M, 5] x", **more},
            outcomes,
            _GEN_DFL,
            f"Comparing decisions under risk with exact regrets. Not for {use}.",
        )
        for problem, env_id, what, more, outcomes, use in (
            (
                "portfolio",
                "Portfolio-v0",
                "Returns of 50 assets that share factors, whose mean features tell.",
                {},
                "return of each of the 50 assets",
                "investing",
            ),
            (
                "fractional-knapsack",
                "FractionalKnapsack-v0",
                "Gains of 50 items, whose mean features tell, times a number uniform on (0, 2).",
                {
                    "weights": "[M, 50] weights of the items, whole, 3 to 8; the same in all cases",
                    "capacity": "[M, 1] weight that the sack holds; the same in all cases",
                },
                "gain of each of the 50 items",
                "choosing goods or projects",
            ),
            (
                "shortest-path",
                "ShortestPath-v0",
                "Costs of the 40 arcs of a grid, whose mean features tell, times a number uniform on (0.5, 1.5).",
                {},
                "cost of each of the 40 arcs, to the right row by row, then down row by row",
                "routing traffic",
            ),
        )
    ),
)
"""The cases that come with each environment of one decision."""
