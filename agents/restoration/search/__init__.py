"""Search over orders of regions: annealing, local search, routing, the gap that an order may bring."""
