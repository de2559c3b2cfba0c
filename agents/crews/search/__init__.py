"""Search for the sequences of several crews: the problem, its tours, their value, annealing, exact plans."""
