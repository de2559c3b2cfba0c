"""Adapters, learners, run folders and callbacks for training with Stable-Baselines3."""
