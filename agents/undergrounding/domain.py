"""The record of Undergrounding-v0 in the registry: its agents, headline metrics and options."""

from __future__ import annotations

from stormgym.agents.domain import AgentSpec, Column, Domain, Headline, LearnerDefaults
from stormgym.agents.general import MASKABLE_PPO, PPO, RANDOM, STA_SAC

_HERE = "stormgym.agents.undergrounding"

AGENTS = (
    RANDOM,
    STA_SAC,
    PPO,
    MASKABLE_PPO,
    AgentSpec(
        "sta-ppo",
        f"{_HERE}.network:sta_ppo",
        "STA-SAC's attention network, by MaskablePPO on reward - lambda * cost",
        trainable=True,
        settings="stormgym.agents.learners.settings:STAPPOSettings",
    ),
    AgentSpec("bury-nothing", f"{_HERE}.planners:BuryNothing", "no line is buried"),
    AgentSpec("loss-per-cost", f"{_HERE}.planners:LossPerCost", "largest expected loss for the money"),
    AgentSpec("one-stage-mean", f"{_HERE}.planners:OneStageMean", "least expected loss without crews"),
    AgentSpec("one-stage-worst", f"{_HERE}.planners:OneStageWorst", "least worst loss without crews"),
    AgentSpec("two-stage-mean", f"{_HERE}.planners:TwoStageMean", "least loss in the forecast storm"),
    AgentSpec("two-stage-worst", f"{_HERE}.planners:TwoStageWorst", "least worst loss, crews sent before the storm"),
    AgentSpec("tri-level", f"{_HERE}.planners:TriLevel", "least worst loss, crews answer the storm"),
    AgentSpec("sampled-hardening", f"{_HERE}.planners:SampledHardening", "least mean loss over storms of this weather"),
    AgentSpec(
        "risk-hardening", f"{_HERE}.risk:RiskHardening", "mean loss and its worst tenth over storms of this weather"
    ),
    AgentSpec(
        "fair-hardening",
        f"{_HERE}.planners:FairHardening",
        "sampled-hardening with a price on the gap that keeps the limit",
    ),
    AgentSpec(
        "two-stage-knapsack",
        f"{_HERE}.forecasters:TwoStageKnapsack",
        "knapsack of a network's forecast, without crews",
        usual=False,
    ),
    AgentSpec(
        "gdf-knapsack",
        f"{_HERE}.forecasters:GDFKnapsack",
        "plans on a network tuned on the cost of plans (GDF)",
        usual=False,
    ),
    AgentSpec(
        "spo-knapsack",
        f"{_HERE}.forecasters:SPOKnapsack",
        "plans on a network tuned on a bound of the regret (SPO+)",
        usual=False,
    ),
    AgentSpec(
        "listwise-knapsack",
        f"{_HERE}.forecasters:ListwiseKnapsack",
        "plans on a network tuned to rank regions within the budget (SO-EBM)",
        usual=False,
    ),
    AgentSpec("oracle-hardening", f"{_HERE}.planners:OracleHardening", "plan for the true storm", privileged=True),
)

HEADLINE = Headline(
    objective=Column("saidi_h", "SAIDI", "h", 3, interval=True),
    constraint=Column("gap_h", "gap", "h", 3, interval=True),
    others=(
        Column("worst_saidi_h", "worst storm", "h", 3),
        Column("share_averted", "averted", percent=True),
        Column("n_protected", "buried"),
    ),
    further=(
        Column("spent", "spent", decimals=0),
        Column("crews_sent", "crews\nsent"),
        Column("unserved_customer_h", "customer-hours", decimals=0),
        Column("storm_saidi_h", "storm alone", "h", 3),
    ),
    bound="oracle-hardening",
    excess_key="regret",
)

DOMAIN = Domain(
    env_id="Undergrounding-v0",
    agents=AGENTS,
    headline=HEADLINE,
    default_learner="sta-sac",
    learner_defaults={
        "sta-sac": LearnerDefaults(
            timesteps=60_000,
            settings={
                "teacher_steps": 20_000,
                "teacher_margin": 0.0,
                "gradient_steps": 128,
                "imitation_batch": 32,
                "actor_batch_size": 16,
                "limit_margin": 0.95,
            },
        )
    },
    extractor=f"{_HERE}.network:SeasonExtractor",
    tokens=f"{_HERE}.reading:READING",
    look_ahead=f"{_HERE}.lookahead:look_ahead",
    teacher=f"{_HERE}.reading:teacher_for",
    plan=f"{_HERE}.season_plan:plan_season",
    plan_agent="tri-level",
    replay=f"{_HERE}.replay:UndergroundingRecorder",
    instance="profile",
    options=("profile", "confidence_level", "cost_limit"),
    demonstrators={"status-quo": "loss-per-cost", "planner": "two-stage-mean", "expert": "sampled-hardening"},
    small={"profile": "synthetic:4:0"},
)
