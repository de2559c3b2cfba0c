"""Learners: Stable-Baselines3 and its kin behind names of the registry, on reward - lambda * cost."""
