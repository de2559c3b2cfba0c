"""What every environment over a city shares: forecasts of its log, the tables that episodes draw from, their limits."""
