"""Offline learning: datasets of what policies played, and learners that see nothing else."""
