"""Benchmarks of Undergrounding-v0 and its plans."""
