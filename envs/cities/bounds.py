"""Largest hours and distances that observations of a city's environments can hold."""

MAX_HOURS = 1e4
"""Of a repair and of an interval's end (h)."""
MAX_ELAPSED_HOURS = 1e6
"""Since the start of an episode."""
MAX_KM = 1e5
"""Of a coordinate; roads are at most ten times as long."""
