"""Other libraries of reinforcement learning: thin adapters."""
