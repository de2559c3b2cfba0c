"""Agents: policies, planners and learners by domain; training, evaluation and the registry that they share."""

from stormgym.agents.moved import install
from stormgym.predictors.extras import require

require("stormgym.agents", ("torch", "stable_baselines3", "sb3_contrib", "rich", "tyro"), "agents")
install()  # old module names go on working; costs a few microseconds
