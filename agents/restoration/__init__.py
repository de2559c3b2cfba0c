"""Restoration-v0: rules, planners, and what networks see of it."""
