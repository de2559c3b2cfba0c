"""The record of Restoration-v0 in the registry: its agents, headline metrics and options."""

from __future__ import annotations

from stormgym.agents.domain import AgentSpec, Column, Domain, Headline, Many
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

_HERE = "stormgym.agents.restoration"
_LOOK_AHEAD = f"{_HERE}.network.lookahead:look_ahead"

AGENTS = (
    RANDOM,
    REQUEST_VOLUME,
    NEAREST,
    SHORTEST_REPAIR,
    AgentSpec("tsp", f"{_HERE}.planners:TSPPolicy", "open-path TSP with service times (PyVRP)"),
    AgentSpec("repairman", f"{_HERE}.planners:RepairmanPolicy", "travelling repairman on the forecast (local search)"),
    AgentSpec("equity-planner", f"{_HERE}.planners:EquityPlanner", "travelling repairman within the gap limit"),
    AgentSpec(
        "priced-planner",
        f"{_HERE}.priced:PricedPlanner",
        "travelling repairman that pays one price for the gap in all storms",
        usual=False,
    ),
    AgentSpec(
        "equity-replanner",
        f"{_HERE}.replanning:EquityReplanner",
        "equity planner that plans again as repairs tell of the storm's shock",
        usual=False,
    ),
    AgentSpec("rollout", f"{_HERE}.rollout:RolloutPolicy", "rollout of gap-aware greedy rules on the forecast"),
    CLAIRVOYANT,
    CLAIRVOYANT_FAIR,
    STA_SAC,
    AgentSpec(
        "sta-sac-paper",
        "stormgym.agents.sta_sac.learner:sta_sac_paper",
        "STA-SAC in the plain form of its paper",
        trainable=True,
        settings="stormgym.agents.sta_sac.settings:STASACPaperSettings",
        look_ahead=_LOOK_AHEAD,
    ),
    PPO,
    DQN,
    MASKABLE_PPO,
    MASKABLE_DQN,
    AgentSpec(
        "hrl-dpdp",
        f"{_HERE}.network.hierarchical:hrl_dpdp",
        "a group, then a region of it; by MaskablePPO",
        trainable=True,
        settings="stormgym.agents.learners.settings:HRLDPDPSettings",
    ),
    AgentSpec(
        "attention-pg",
        "stormgym.agents.attention_pg.learner:attention_pg",
        "attention model, REINFORCE with a shared baseline, Lagrangian",
        trainable=True,
        settings="stormgym.agents.attention_pg.settings:AttentionPGSettings",
        look_ahead=_LOOK_AHEAD,
    ),
)

HEADLINE = Headline(
    objective=Column("mean_outage_h", "mean outage", "h", 2, interval=True),
    constraint=Column("gap_h", "gap", "h", 2, interval=True),
    others=(
        Column("worst_group_mean_h", "worst group", "h"),
        Column("p95_h", "95th pct.", "h"),
        Column("gini", "Gini", decimals=3),
    ),
    further=(
        Column("saidi_h", "SAIDI", "h"),
        Column("customer_hours", "customer-hours", decimals=0),
        Column("customers_out_24h", "customers\nout 24 h", percent=True),
        Column("customers_out_48h", "customers\nout 48 h", percent=True),
        Column("share_out_24h", "regions\nout 24 h", percent=True),
        Column("share_out_48h", "regions\nout 48 h", percent=True),
        Column("makespan_h", "last region", "h"),
    ),
    flaws=(Column("wasted_trips", "wasted trips"),),
    bound="clairvoyant",
    excess_key="excess_over_clairvoyant_h",
    group_mean_prefix="group_mean_h_",
)

DOMAIN = Domain(
    env_id="Restoration-v0",
    agents=AGENTS,
    clairvoyant=f"{_HERE}.planners:ClairvoyantPolicy",
    own={
        "nearest": f"{_HERE}.rules:NearestPolicy",
        "request-volume": f"{_HERE}.rules:RequestVolumePolicy",
        "shortest-repair": f"{_HERE}.rules:ShortestRepairPolicy",
        "clairvoyant-fair": f"{_HERE}.planners:ClairvoyantFairPolicy",
    },
    headline=HEADLINE,
    default_learner="sta-sac",
    tokens=f"{_HERE}.network.reading:READING",
    look_ahead=_LOOK_AHEAD,
    look_ahead_moves=True,
    teacher="equity-planner",
    extractor=f"{_HERE}.network.extractor:RegionExtractor",
    plan=f"{_HERE}.todays_plan:plan_today",
    plan_agent="equity-planner",
    replay=f"{_HERE}.replay:RestorationRecorder",
    instance="city",
    options=(
        "city",
        "predictor",
        "confidence_level",
        "cost_limit",
        "cost_limit_kind",
        "cost_limit_level",
        "shock",
        "max_travel_km",
        "income_effect",
        "split",
    ),
    many=Many("city", "stormgym.envs.data.resolve:many_cities"),
    demonstrators={"status-quo": "request-volume", "planner": "tsp", "expert": "equity-planner"},
    small={"city": "synthetic:6:1", "predictor": "none"},
)
