"""The records of decision problems in the registry: one table of methods for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stormgym.agents.domain import AgentSpec, Column, Domain, Headline, LearnerDefaults
from stormgym.agents.general import CLAIRVOYANT, PPO, SAC, STA_SAC

_POLICIES = "stormgym.agents.decisions.policies"
_LINEAR = "stormgym.agents.decisions.linear_policies"

USUAL = AgentSpec("usual", f"{_POLICIES}:Usual", "one decision always: the best for all training cases together")
TWO_STAGE = AgentSpec("two-stage", f"{_POLICIES}:TwoStage", "the best plan for a forecast fitted by likelihood")
CALIBRATED = AgentSpec(
    "two-stage-calibrated", f"{_POLICIES}:TwoStageCalibrated", "two-stage, one factor on its spread validated on costs"
)
DFL = AgentSpec("dfl", f"{_POLICIES}:DecisionFocused", "forecast tuned on the cost of its plans, exact derivatives")
DFL_CVX = AgentSpec(
    "dfl-cvx", f"{_POLICIES}:DecisionFocusedCvx", "dfl through cvxpylayers over samples (slow)", usual=False
)
SO_EBM = AgentSpec("so-ebm", f"{_POLICIES}:SOEBM", "forecast tuned as an energy-based model of hindsight optima")
ENERGY_COST = AgentSpec(
    "energy-cost", f"{_POLICIES}:EnergyCost", "energy-based model of the expected cost of its decisions", usual=False
)
POLICY_NET = AgentSpec("policy-net", f"{_POLICIES}:NetworkPolicy", "a network straight to the decision, on its cost")
TRUE_DISTRIBUTION = AgentSpec(
    "true-distribution",
    f"{_POLICIES}:TrueDistribution",
    "the best plan for the true law, where it is known: the floor",
    privileged=True,
    usual=False,
)

SAMPLED_PLAN = AgentSpec(
    "sampled-plan", f"{_LINEAR}:SampledPlan", "the plan of least risk over samples of a law fitted to outcomes"
)
SPO_PLUS = AgentSpec("spo+", f"{_LINEAR}:SPOPlus", "point forecast tuned on a convex bound of the regret", usual=False)
DRO = AgentSpec("dro", f"{_LINEAR}:RobustBall", "plan against the worst law near the forecast, radius validated")
GEN_DFL = AgentSpec(
    "gen-dfl", f"{_LINEAR}:GenDFL", "generator tuned on likelihood and on the regret of its plans", usual=False
)

METHODS = (TWO_STAGE, CALIBRATED, DFL, SO_EBM, POLICY_NET, CLAIRVOYANT)
"""Agents of any decision problem, one of your own included."""
LINEAR_METHODS = (TWO_STAGE, SAMPLED_PLAN, SPO_PLUS, DRO, GEN_DFL, POLICY_NET, TRUE_DISTRIBUTION, CLAIRVOYANT)
"""Agents of decisions whose cost is linear in what comes."""
LEARNERS = (PPO, SAC)


def headline(decimals: int = 3, unit: str = "", *, truth: bool = False) -> Headline:
    """Cost and regret lead; there is no constraint, as there are no groups.

    Args:
        decimals: of costs.
        unit: of costs.
        truth: whether regret against the true law follows, in the mean and at two risks, where episodes know it.
    """
    regrets = [
        Column(f"true_regret{ending}", f"true regret{name}", unit, decimals, interval=True)
        for ending, name in (("", ""), ("_0.5", " 0.5"), ("_0.1", " 0.1"))
        if truth
    ]
    return Headline(
        objective=Column("cost", "cost", unit, decimals, interval=True),
        others=(
            Column("regret", "regret", unit, decimals, interval=True),
            Column("repaired", "repaired", percent=True, decimals=0),
        ),
        further=(Column("optimum", "in hindsight", unit, decimals), *regrets),
    )


def decision_domain(
    env_id: str,
    *,
    agents: tuple[AgentSpec, ...] = METHODS,
    options: tuple[str, ...] = (),
    decimals: int = 3,
    small: Mapping[str, Any] | None = None,
    truth: bool = False,
    tokens: str | None = None,
    sta_sac: LearnerDefaults | None = None,
) -> Domain:
    """The record of a decision problem: every method, PPO and SAC, a table of cost and regret.

    Args:
        env_id: of the environment.
        agents: beside the learners.
        options: arguments of the environment that command lines name.
        decimals: of costs in tables.
        small: arguments of a small instance, for tests.
        truth: whether tables show regret against the true law.
        tokens: how STA-SAC reads the observations where actions are choices; None: it does not fit.
        sta_sac: what it takes there over its own defaults.
    """
    learners = LEARNERS if tokens is None else (*LEARNERS, STA_SAC)
    expert = SAMPLED_PLAN if SAMPLED_PLAN in agents else DFL
    return Domain(
        env_id=env_id,
        agents=(USUAL, *learners, *agents),
        headline=headline(decimals, truth=truth),
        default_learner="ppo",
        learner_defaults={} if sta_sac is None else {STA_SAC.name: sta_sac},
        extractor="stormgym.agents.decisions.network:CaseFeatures",
        clairvoyant=f"{_POLICIES}:Clairvoyant",
        options=options,
        tokens=tokens,
        chosen_on={"split": "validation"},
        demonstrators={"status-quo": USUAL.name, "planner": TWO_STAGE.name, "expert": expert.name},
        small=dict(small or {}),
    )


PATH_DEFAULTS = LearnerDefaults(
    timesteps=40_960,
    num_envs=512,
    settings={
        "teacher": "none",
        "n_rollouts": 16,
        "n_epochs": 4,
        "actor_batch_size": 256,
        "buffer_size": 512,
        "greedy_share": 0.0,
        "target_entropy": (0.8, 0.2),
        "alpha_init": 0.05,
        "n_layers": 1,
    },
)
"""Of STA-SAC on ways through a grid: no teacher, many episodes of one step side by side, 16 of them on a case, and more
entropy than elsewhere, as few cases are soon learnt by heart."""

DOMAINS = (
    decision_domain(
        "PowerScheduling-v0",
        agents=(
            TWO_STAGE,
            CALIBRATED,
            DFL,
            DFL_CVX,
            SO_EBM,
            ENERGY_COST,
            POLICY_NET,
            TRUE_DISTRIBUTION,
            CLAIRVOYANT,
        ),
        options=("data", "split_by", "instance"),
        small={"n_days": 200},
    ),
    decision_domain(
        "HospitalBeds-v0",
        agents=(*METHODS[:-1], ENERGY_COST, TRUE_DISTRIBUTION, CLAIRVOYANT),
        options=("instance",),
        small={"instance": 1},
    ),
    decision_domain("NetworkSecurity-v0", options=("instance", "noise"), small={"n_nodes": 12, "radius": 0.45}),
    decision_domain(
        "Portfolio-v0",
        agents=LINEAR_METHODS,
        truth=True,
        options=("instance", "risk"),
        decimals=4,
        small={"n_assets": 8, "n_train": 40, "n_validation": 20, "n_test": 20},
    ),
    decision_domain(
        "FractionalKnapsack-v0",
        agents=LINEAR_METHODS,
        truth=True,
        options=("instance", "noise", "risk", "integral"),
        small={"n_items": 8, "n_train": 40, "n_validation": 20, "n_test": 20},
    ),
    decision_domain(
        "ShortestPath-v0",
        agents=LINEAR_METHODS,
        truth=True,
        options=("instance", "noise", "risk"),
        tokens="stormgym.agents.decisions.reading:READING",
        sta_sac=PATH_DEFAULTS,
        small={"grid": 3, "n_train": 40, "n_validation": 20, "n_test": 20},
    ),
    decision_domain(
        "EnergyScheduling-v0",
        agents=LINEAR_METHODS,
        truth=True,
        options=("data", "instance", "risk"),
        decimals=1,
        small={"n_days": 120},
    ),
)
