"""Attention model trained by policy gradient with a shared baseline, under a cost limit."""
