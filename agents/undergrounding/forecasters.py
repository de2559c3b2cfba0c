"""Predict, then bury: policies that plan a knapsack on a network's forecast of each region's hours, as GDF's one level.

Unless a forecaster is an argument they fit one on simulated seasons of the profile, which takes some seconds.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from stormgym.agents.undergrounding.case import Bools, Case
from stormgym.agents.undergrounding.decision import ForecastLoss, SAIDIModel, fit_saidi_forecaster
from stormgym.agents.undergrounding.planners import HardeningPolicy
from stormgym.agents.undergrounding.trilevel.problem import knapsack
from stormgym.envs.undergrounding.regions import UndergroundingProfile


class TwoStageKnapsack(HardeningPolicy):
    """The plan of least forecast loss, if no crew came.

    Idea: predict, then optimise (one level). Cost: milliseconds, once a forecaster is fitted. Source: GDF eq. 15-16.

    Args:
        profile: of the environment.
        forecaster: of the profile's seasons; None fits one.
    """

    name = "two-stage-knapsack"
    loss: ClassVar[ForecastLoss] = "mse"

    def __init__(self, profile: UndergroundingProfile, *, forecaster: SAIDIModel | None = None) -> None:
        super().__init__(profile)
        self.forecaster = fit_saidi_forecaster(profile, self.loss) if forecaster is None else forecaster
        if self.forecaster.feature_names != profile.feature_names:
            raise ValueError(
                f"the forecaster must see {', '.join(profile.feature_names)} of each region; this one sees "
                f"{', '.join(self.forecaster.feature_names)}. Fit one with fit_saidi_forecaster(profile)"
            )

    def plan(self, case: Case, row: int) -> Bools:
        """A knapsack of customers times forecast hours."""
        del row
        hours = self.forecaster.predict(self.profile.known_before(case.covariates[None]))[0]
        plan: Bools = np.asarray(knapsack(case.weights * hours, case.cost, case.budget), dtype=np.bool_)
        return plan & ~case.protected


class GDFKnapsack(TwoStageKnapsack):
    """The same with a forecaster tuned on the cost of plans.

    Idea: train the forecast on the cost of its plans, through a smoothed knapsack.
    Cost: as two-stage, and some seconds to tune. Source: GDF Algorithm 1 with eq. 15-16.
    """

    name = "gdf-knapsack"
    loss = "qp"


class SPOKnapsack(TwoStageKnapsack):
    """The same with a forecaster tuned on a bound of the regret.

    Idea: SPO+. Cost: as two-stage, and some seconds to tune. Source: Elmachtoub and Grigas (2022) for GDF eq. 15-16.
    """

    name = "spo-knapsack"
    loss = "spo+"


class ListwiseKnapsack(TwoStageKnapsack):
    """The same with a forecaster tuned to rank regions within the budget.

    Idea: an energy-based model of plans (SO-EBM) in which the price of the budget is part of the law of plans.
    Cost: as two-stage, and some seconds to tune. Source: SO-EBM eq. 4 for GDF eq. 15-16.
    """

    name = "listwise-knapsack"
    loss = "listwise"
