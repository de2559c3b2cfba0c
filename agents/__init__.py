"""Everything that decides, and what trains, runs and scores it."""
