"""Evaluation: rollouts on common scenarios, bootstrap statistics, tables, figures, and what `evaluate.py` does."""
