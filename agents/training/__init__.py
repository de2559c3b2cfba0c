"""The loop of training: run of one seed or several, environments, callbacks, checkpoints, logs and a pool of runs."""
