"""The record of CrewDispatch-v0 in the registry: its agents, headline metrics and options."""

from __future__ import annotations

from stormgym.agents.domain import AgentSpec, Column, Domain, Headline
from stormgym.agents.general import (
    DQN,
    MASKABLE_DQN,
    MASKABLE_PPO,
    NEAREST,
    PPO,
    RANDOM,
    REQUEST_VOLUME,
    SHORTEST_REPAIR,
)

_HERE = "stormgym.agents.crews"

AGENTS = (
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
    flaws=(Column("wasted_trips", "wasted trips", decimals=1),),
    group_mean_prefix="group_mean_h_",
)

DOMAIN = Domain(
    env_id="CrewDispatch-v0",
    agents=AGENTS,
    headline=HEADLINE,
    default_learner="maskable-ppo",
    own={
        "nearest": f"{_HERE}.rules:NearestJob",
        "request-volume": f"{_HERE}.rules:RequestVolume",
        "shortest-repair": f"{_HERE}.rules:ShortestRepair",
    },
    options=("city", "n_crews", "known_share", "cost_limit", "predictor", "split"),
    demonstrators={"status-quo": "request-volume", "planner": "nearest", "expert": "list-rho"},
    small={"city": "synthetic:6:1", "n_crews": 2, "predictor": "none"},
)
