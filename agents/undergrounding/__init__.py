"""Undergrounding-v0 and the game DefenderAttacker-v0: planners, players, and a forecaster tuned on plans."""
