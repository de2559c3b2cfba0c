"""Hostile inputs: every reader given files as hands, exports, downloads and malice make them, and what came of it."""
