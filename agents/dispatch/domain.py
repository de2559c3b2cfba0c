"""The record of GeneratorDispatch-v0 in the registry: its agents, headline metrics and options."""

from __future__ import annotations

from stormgym.agents.domain import AgentSpec, Column, Domain, Headline, LearnerDefaults
from stormgym.agents.general import DQN, MASKABLE_DQN, MASKABLE_PPO, PPO, STA_SAC

_HERE = "stormgym.agents.dispatch"

AGENTS = (
    STA_SAC,
    PPO,
    MASKABLE_PPO,
    DQN,
    MASKABLE_DQN,
    AgentSpec("do-nothing", f"{_HERE}.planners:DoNothing", "no generator moves"),
    AgentSpec("online-greedy", f"{_HERE}.planners:OnlineGreedy", "follows yesterday's outages"),
    AgentSpec("static-dispatch", f"{_HERE}.planners:StaticDispatch", "plan for the mean wave"),
    AgentSpec(
        "sample-average-dispatch",
        f"{_HERE}.planners:SampleAverageDispatch",
        "plan of least mean cost over simulated storms",
    ),
    AgentSpec(
        "replanning-dispatch",
        f"{_HERE}.planners:ReplanningDispatch",
        "plans again each day for storms like this one so far",
    ),
    AgentSpec(
        "two-stage-dispatch",
        f"{_HERE}.forecasters:TwoStageDispatch",
        "plan for the wave forecast from the storm's weather",
    ),
    AgentSpec(
        "gdf-dispatch",
        f"{_HERE}.forecasters:GDFDispatch",
        "plans on a forecaster tuned on the cost of plans (GDF)",
        usual=False,
    ),
    AgentSpec(
        "spo-dispatch",
        f"{_HERE}.forecasters:SPODispatch",
        "plans on a forecaster tuned on a bound of the regret (SPO+)",
        usual=False,
    ),
    AgentSpec(
        "sampled-dispatch",
        f"{_HERE}.forecasters:SampledDispatch",
        "plan of least mean cost over samples of the forecast",
    ),
    AgentSpec(
        "so-ebm-dispatch",
        f"{_HERE}.forecasters:SOEBMDispatch",
        "plans over samples of a forecaster tuned as an energy-based model (SO-EBM)",
        usual=False,
    ),
    AgentSpec(
        "risk-dispatch",
        f"{_HERE}.risk_averse:RiskDispatch",
        "plan over samples of the forecast for half the mean and half the worst tenth of costs",
    ),
    AgentSpec(
        "adaptive-dispatch",
        f"{_HERE}.forecasters:AdaptiveDispatch",
        "plans again each day for samples like the storm so far",
    ),
    AgentSpec(
        "fair-adaptive-dispatch",
        f"{_HERE}.forecasters:FairAdaptiveDispatch",
        "adaptive-dispatch; counties of groups that fell behind weigh more",
    ),
    AgentSpec(
        "adaptive-risk-dispatch",
        f"{_HERE}.risk_averse:AdaptiveRiskDispatch",
        "plans again each day, for the mean and the worst tenth of what the rest of the storm costs",
    ),
    AgentSpec("oracle-dispatch", f"{_HERE}.planners:OracleDispatch", "plan for the true wave", privileged=True),
)

HEADLINE = Headline(
    objective=Column("total_cost", "total cost", "", 0, interval=True),
    constraint=Column("gap", "gap", "", 3, interval=True),
    others=(
        Column("transport_cost", "transport", decimals=0),
        Column("operating_cost", "operation", decimals=0),
        Column("interruption_cost", "interruption", decimals=0),
    ),
    further=(
        Column("share_served", "served", percent=True),
        Column("saidi", "SAIDI", "periods", 3),
        Column("unserved", "customer-periods\nunserved", decimals=0),
        Column("scaled_days", "days\nscaled down", decimals=1),
    ),
    bound="oracle-dispatch",
    excess_key="regret",
)

DOMAIN = Domain(
    env_id="GeneratorDispatch-v0",
    agents=AGENTS,
    headline=HEADLINE,
    default_learner="sta-sac",
    learner_defaults={
        "sta-sac": LearnerDefaults(
            timesteps=48_000,
            settings={
                "teacher_steps": 9_600,
                "imitation_batch": 8,
                "actor_batch_size": 16,
                "limit_margin": 0.95,
            },
        )
    },
    extractor=f"{_HERE}.network:DispatchFeatures",
    tokens=f"{_HERE}.reading:READING",
    teacher="fair-adaptive-dispatch",
    replay=f"{_HERE}.replay:DispatchRecorder",
    instance="profile",
    options=("profile", "cost_limit"),
    agent_files={".npz": f"{_HERE}.forecasters:policy_of"},
    demonstrators={
        "status-quo": "online-greedy",
        "planner": "static-dispatch",
        "expert": "fair-adaptive-dispatch",
    },
    small={"profile": "synthetic:3:0"},
)
