"""Pretrained agents: made of runs."""
