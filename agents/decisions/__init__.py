"""Decisions of one step: solvers, forecasters and the methods that train them, one file a problem."""
