"""The results board: scores by one protocol, in a file that anyone can add to and reproduce."""
