"""What an installation brings, weighs and takes: versions, sizes, the first environment in a fresh process."""
