"""The results table of Restoration-v0: rows, training, scores on disk, statistics, pages and figure."""
