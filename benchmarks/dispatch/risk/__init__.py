"""Plans for the bad storms: what the worst tenth of a storm's chances, or of storms, costs under each plan."""
