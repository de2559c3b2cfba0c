"""Optimisation over visiting orders, and the planners made of it."""
