"""Estimated restoration times (ERT): simulated from the plan in force, calibrated on past storms, published."""
