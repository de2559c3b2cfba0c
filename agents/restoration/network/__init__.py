"""What networks see of Restoration-v0, and how trained ones act in it."""
