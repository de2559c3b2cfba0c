"""The least loss in the worst storm to which crews answer: three levels, exact, and simpler models."""
