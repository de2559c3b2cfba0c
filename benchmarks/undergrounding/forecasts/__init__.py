"""Is a forecast that is tuned on what plans cost worth more? Forecasts of hours out, for a knapsack of lines."""
