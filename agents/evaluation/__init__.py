"""Rollouts on common scenarios, statistics, reports, and a plan for today."""
