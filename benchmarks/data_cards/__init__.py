"""Data cards: what the package's data sets and generators hold, where it comes from, and what may not be concluded."""
