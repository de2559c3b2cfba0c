"""The record of CrewDispatch-v0 in the registry: its agents, headline metrics and options."""

from __future__ import annotations

from stormgym.agents.domain import AgentSpec, Column, Domain, Headline, LearnerDefaults
from stormgym.agents.general import (
    CLAIRVOYANT,
    CLAIRVOYANT_FAIR,
    DQN,
    MASKABLE_DQN,
    MASKABLE_PPO,
    NEAREST,
    PPO,
    RANDOM,
    REQUEST_VOLUME,
    SHORTEST_REPAIR,
    STA_SAC,
)

_HERE = "stormgym.agents.crews"

AGENTS = (
    STA_SAC,
    MASKABLE_PPO,
    PPO,
    DQN,
    MASKABLE_DQN,
    RANDOM,
    REQUEST_VOLUME,
    NEAREST,
    SHORTEST_REPAIR,
    AgentSpec("smith", f"{_HERE}.rules:Smith", "least hours, way included, for its weight"),
    AgentSpec("customers", f"{_HERE}.rules:MostCustomers", "least hours, way included, for its customers"),
    AgentSpec("list-rho", f"{_HERE}.rules:ListRho", "best ratio of weight to hours of what hangs on it"),
    AgentSpec("static-plan", f"{_HERE}.planners:StaticPlan", "planned once; what arrives goes to the end"),
    AgentSpec("rolling-planner", f"{_HERE}.planners:RollingPlanner", "least mean outage, planned again as time moves"),
    AgentSpec(
        "rolling-fair", f"{_HERE}.planners:RollingFair", "replans as time moves, and pays for gap over the limit"
    ),
    AgentSpec(
        "rolling-priced", f"{_HERE}.priced:RollingPriced", "replans as time moves, at one price on every hour of gap"
    ),
    CLAIRVOYANT,
    CLAIRVOYANT_FAIR,
)

HEADLINE = Headline(
    objective=Column("mean_outage_h", "mean outage", "h", 2, interval=True),
    constraint=Column("gap_h", "gap", "h", 2, interval=True),
    others=(
        Column("worst_group_mean_h", "worst group", "h", 2),
        Column("saidi_h", "SAIDI", "h", 2),
        Column("overtime_h", "overtime", "crew-h", 1),
    ),
    further=(
        Column("p95_h", "95 %", "h", 1),
        Column("gini", "Gini", decimals=3),
        Column("makespan_h", "last power back", "h", 1),
        Column("share_out_24h", "out 24 h", percent=True),
        Column("caidi_h", "CAIDI", "h", 2),
        Column("utilisation", "utilisation", percent=True),
        Column("travel_h", "travel", "crew-h", 1),
        Column("waits", "waits", decimals=1),
    ),
    extras=(
        (
            "First estimated restoration time of a job",
            (
                Column("ert_coverage", "covers", percent=True),
                Column("ert_coverage_g", "", percent=True),
                Column("ert_width_h", "width", "h", 1),
                Column("ert_score_h", "interval score", "h", 1),
                Column("ert_late", "later", percent=True),
                Column("ert_early", "earlier", percent=True),
                Column("ert_error_h", "signed error", "h", 2),
                Column("ert_revisions", "revisions", decimals=2),
            ),
        ),
        (
            "The same when its crew is sent",
            (
                Column("ert_sent_coverage", "covers", percent=True),
                Column("ert_sent_coverage_g", "", percent=True),
                Column("ert_sent_width_h", "width", "h", 1),
                Column("ert_sent_score_h", "interval score", "h", 1),
                Column("ert_sent_late", "later", percent=True),
                Column("ert_sent_early", "earlier", percent=True),
                Column("ert_sent_error_h", "signed error", "h", 2),
            ),
        ),
    ),
    flaws=(Column("wasted_trips", "wasted trips", decimals=1),),
    group_mean_prefix="group_mean_h_",
)

DOMAIN = Domain(
    env_id="CrewDispatch-v0",
    agents=AGENTS,
    headline=HEADLINE,
    default_learner="sta-sac",
    learner_defaults={
        "sta-sac": LearnerDefaults(
            timesteps=160_000,
            settings={
                "learning_rate": 2e-3,
                "lr_last": 0.2,
                "buffer_size": 12_000,
                "target_entropy": (0.2, 0.05),
                "n_epochs": 4,
                "actor_batch_size": 16,
                "limit_margin": 0.95,
                "multiplier_init": 1.0,
                "teacher_steps": 60_000,
            },
        )
    },
    extractor=f"{_HERE}.network.extractor:JobExtractor",
    tokens=f"{_HERE}.network.reading:READING",
    look_ahead=f"{_HERE}.network.lookahead:look_ahead",
    teacher="rolling-priced",
    teacher_arguments={"effort": 0.3},
    clairvoyant=f"{_HERE}.planners:ClairvoyantCrews",
    own={
        "nearest": f"{_HERE}.rules:NearestJob",
        "request-volume": f"{_HERE}.rules:RequestVolume",
        "shortest-repair": f"{_HERE}.rules:ShortestRepair",
        "clairvoyant-fair": f"{_HERE}.planners:ClairvoyantFairCrews",
    },
    plan=f"{_HERE}.todays_plan:plan_today",
    plan_agent="rolling-planner",
    plan_extras=("json", "what_if"),
    compiled=(
        "static-plan",
        "rolling-planner",
        "rolling-fair",
        "rolling-priced",
        "clairvoyant",
        "clairvoyant-fair",
    ),
    replay=f"{_HERE}.replay:CrewRecorder",
    ert=f"{_HERE}.ert.publishing:publishing",
    instance="city",
    options=("city", "profile", "n_crews", "known_share", "cost_limit", "predictor", "split"),
    demonstrators={"status-quo": "request-volume", "planner": "list-rho", "expert": "rolling-fair"},
    small={"city": "synthetic:6:1", "n_crews": 2, "predictor": "none"},
)
