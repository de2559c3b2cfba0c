"""Everything that decides, and what trains, runs and scores it."""

from stormgym.agents.moved import install

install()  # old module names go on working; costs a few microseconds
