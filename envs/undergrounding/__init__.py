"""Undergrounding-v0: which lines to bury before a storm strikes and crews respond.

DefenderAttacker-v0 is the same as a game of planner, nature and crews.
"""
