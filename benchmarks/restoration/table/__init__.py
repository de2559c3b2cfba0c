"""How do rules, planners and learners restore a city? The main table: rows, training, scores, statistics, page."""
