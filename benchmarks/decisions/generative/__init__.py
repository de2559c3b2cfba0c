"""Gen-DFL and every baseline of its tables: risk plans on forecasts of linear costs, against the true law."""
