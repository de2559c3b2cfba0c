"""Search over orders of regions: annealing, local search, routing, the expected gap of an order."""
