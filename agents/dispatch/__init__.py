"""GeneratorDispatch-v0: exact plans, planners, and forecasters tuned on plans."""
