"""Restoration-v0: one crew restores the regions of a city after a storm."""
