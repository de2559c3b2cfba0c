"""Restoration-v0: its rules, planners, search, networks and plans for today."""
