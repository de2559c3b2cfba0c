"""Agents: policies, planners and learners by domain; training, evaluation and the registry that they share."""

from stormgym.agents.moved import install

install()  # old module names go on working; costs a few microseconds
