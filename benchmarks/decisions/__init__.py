"""Decision problems of one step: what methods of learning a decision are worth, and what they cost."""
