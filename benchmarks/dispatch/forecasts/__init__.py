"""Which forecast gives the best plans? Two-stage, GDF, SPO+ and sampled ones beside online rules and the optimum."""
