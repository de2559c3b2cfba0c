"""Attention over regions: networks, heads for Stable-Baselines3, and the Lagrange multiplier; they know no domain."""
