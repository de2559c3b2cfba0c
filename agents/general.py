"""Agents that know no environment, for domains to list: a random choice, and learners of Stable-Baselines3."""

from __future__ import annotations

from stormgym.agents.domain import AgentSpec

_LEARNERS = "stormgym.agents.learners.sb3"
_SETTINGS = "stormgym.agents.learners.settings"

RANDOM = AgentSpec("random", "stormgym.agents.rules:RandomPolicy", "an allowed choice at random")

PPO = AgentSpec(
    "ppo",
    f"{_LEARNERS}:ppo",
    "SB3 PPO on reward - lambda * cost",
    trainable=True,
    settings=f"{_SETTINGS}:PPOSettings",
)
DQN = AgentSpec(
    "dqn",
    f"{_LEARNERS}:dqn",
    "SB3 DQN on reward - lambda * cost",
    trainable=True,
    settings=f"{_SETTINGS}:DQNSettings",
)
MASKABLE_PPO = AgentSpec(
    "maskable-ppo",
    f"{_LEARNERS}:maskable_ppo",
    "sb3-contrib MaskablePPO on reward - lambda * cost",
    trainable=True,
    settings=f"{_SETTINGS}:MaskablePPOSettings",
)
MASKABLE_DQN = AgentSpec(
    "maskable-dqn",
    f"{_LEARNERS}:maskable_dqn",
    "masked double DQN on reward - lambda * cost",
    trainable=True,
    settings=f"{_SETTINGS}:MaskableDQNSettings",
)
SAC = AgentSpec(
    "sac",
    f"{_LEARNERS}:sac",
    "SB3 SAC, for continuous actions, on reward - lambda * cost",
    trainable=True,
    settings=f"{_SETTINGS}:SACSettings",
)

STA_SAC = AgentSpec(
    "sta-sac",
    "stormgym.agents.sta_sac.learner:sta_sac",
    "spatial-temporal attention SAC-Lagrangian (EPOPR)",
    trainable=True,
    settings="stormgym.agents.sta_sac.settings:STASACSettings",
    pretrained="stormgym.agents.pretrained.sta_sac:load_sta_sac",
    look_ahead="stormgym.agents.look_ahead:look_ahead",
)
"""For domains that say how it is to read their observations (`Domain.tokens`)."""

_OF_DOMAIN = "stormgym.agents.of_domain"
REQUEST_VOLUME = AgentSpec("request-volume", f"{_OF_DOMAIN}:RequestVolume", "most repair requests first (status quo)")
NEAREST = AgentSpec("nearest", f"{_OF_DOMAIN}:Nearest", "nearest that is open first")
SHORTEST_REPAIR = AgentSpec("shortest-repair", f"{_OF_DOMAIN}:ShortestRepair", "shortest expected repair first")
CLAIRVOYANT_FAIR = AgentSpec(
    "clairvoyant-fair", f"{_OF_DOMAIN}:ClairvoyantFair", "knows what comes, within the limit", privileged=True
)
"""For domains that name policies of their own for them (`Domain.own`)."""

CLAIRVOYANT = AgentSpec(
    "clairvoyant",
    "stormgym.agents.clairvoyant:ClairvoyantOfDomain",
    "knows what comes: a bound",
    privileged=True,
)
"""For domains that name a policy with perfect information (`Domain.clairvoyant`)."""

ANYWHERE = (PPO, DQN, MASKABLE_PPO, SAC)
"""Learners that also take environments without a domain, when the spaces fit."""
