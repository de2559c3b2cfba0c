"""Attention over choices, for methods of any domain: networks, heads for Stable-Baselines3, the Lagrange multiplier.

What the networks see of an environment is made in its own room.
"""
