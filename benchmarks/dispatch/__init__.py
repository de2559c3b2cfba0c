"""Benchmarks of GeneratorDispatch-v0 and its plans."""
