"""Decision problems as environments of one step: a context, a decision, what it costs when the outcome comes."""
