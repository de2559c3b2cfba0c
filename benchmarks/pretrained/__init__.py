"""Benchmarks of Restoration-v0."""
