"""Benchmarks of crew dispatch."""
