"""Lines to bury before a storm: harden, be hit, respond."""
