"""What dispatches crews: rules, list scheduling."""
