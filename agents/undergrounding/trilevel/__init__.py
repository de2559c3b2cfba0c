"""Robust undergrounding: least loss in the worst storm to which crews respond; exact methods, and simpler models."""
