"""Decision-focused learning: predictors trained through the plan that is made with their forecast (GDF)."""
