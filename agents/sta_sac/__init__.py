"""Spatial-temporal attention soft actor-critic under a cost limit (EPOPR)."""
