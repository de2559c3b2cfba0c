"""Files of runs: named arrays with a JSON head, read so that a hostile file neither runs code nor takes all memory."""
