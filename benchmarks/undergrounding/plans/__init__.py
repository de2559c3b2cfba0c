"""Which plan buries lines best? One-, two- and three-level plans in storms that come and in the worst of a set."""
