"""Benchmarks of the predictors."""
