"""Learners of Stable-Baselines3 and sb3-contrib by name, on reward - lambda * cost; the interface of all learners."""
