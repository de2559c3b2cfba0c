"""Decision-focused losses: one file a loss, each of samples of a forecast and of what came, one number an event.

`LOSSES` names them and makes them from settings. A loss prepares what it needs of the outcomes once (`targets`), and
then gives values `[B]` with gradients in the forecast.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stormgym.agents.dfl.losses.contract import LossValue, PreparedLoss
from stormgym.agents.dfl.losses.energy import EnergyLoss
from stormgym.agents.dfl.losses.listwise import ListwiseLoss
from stormgym.agents.dfl.losses.nothing import NoLoss
from stormgym.agents.dfl.losses.pool import PoolLoss
from stormgym.agents.dfl.losses.proper import ProperRiskLoss
from stormgym.agents.dfl.losses.relaxed import RelaxedLoss, relaxed_cost, relaxed_plan
from stormgym.agents.dfl.losses.spo_plus import SPOPlusLoss, TailSPOPlusLoss, spo_plus
from stormgym.agents.dfl.losses.task import TaskLoss

__all__ = [
    "LOSSES",
    "EnergyLoss",
    "ListwiseLoss",
    "LossValue",
    "NoLoss",
    "PoolLoss",
    "PreparedLoss",
    "ProperRiskLoss",
    "RelaxedLoss",
    "SPOPlusLoss",
    "TailSPOPlusLoss",
    "TaskLoss",
    "relaxed_cost",
    "relaxed_plan",
    "spo_plus",
]

LOSSES: dict[str, Callable[[Any], PreparedLoss]] = {
    "none": lambda s: NoLoss(),
    "qp": lambda s: RelaxedLoss(s.smooth, s.rho),
    "spo+": lambda s: SPOPlusLoss(s.smooth),
    "tail-spo+": lambda s: TailSPOPlusLoss(s.smooth, s.risk),
    "tail-spo+-every": lambda s: TailSPOPlusLoss(s.smooth, s.risk, every_event=True),
    "proper": lambda s: ProperRiskLoss(s.smooth, s.risk, s.curvature),
    "nce": lambda s: PoolLoss("nce", s.risk),
    "map": lambda s: PoolLoss("map", s.risk),
    "pairwise": lambda s: PoolLoss("pairwise", s.risk),
    "pool-listwise": lambda s: PoolLoss("listwise", s.risk),
    "task": lambda s: TaskLoss(),
    "so-ebm": lambda s: EnergyLoss(
        temperature=s.temperature,
        mle_weight=s.mle_weight,
        kl_weight=s.kl_weight,
        cost_weight=s.cost_weight,
        normaliser=s.normaliser,
        n_proposals=s.n_proposals,
        proposal_sd=s.proposal_sd,
    ),
    "listwise": lambda s: ListwiseLoss(s.temperature, s.mle_weight, s.kl_weight),
}
"""Losses by name, made from the settings of a fine-tuning (`stormgym.agents.dfl.learner.FineTuning`)."""
