"""What observed repairs tell of a shock that all repair hours of a group share."""

from __future__ import annotations

import numpy as np

from stormgym.envs.arrays import Floats


def shock_posterior(
    mean_log: Floats, n_seen: Floats, bias: Floats, noise_var: Floats, shock_log_sd: float, common: bool
) -> tuple[Floats, Floats]:
    """Mean and standard deviation `[R, G]` of the log of each group's shock, given the repairs observed.

    The shock of a group multiplies all its repair hours. It is lognormal with mean one; log(realised / forecast) of a
    repair is the log of the shock plus normal noise. So the posterior is normal on the log scale (conjugate update).

    Args:
        mean_log: `[R, G]` mean of log(realised / forecast) over the observed repairs of each group.
        n_seen: `[R, G]` their number.
        bias: `[G]` mean of log(realised / forecast) without a shock.
        noise_var: `[G]` its variance, above 0.
        shock_log_sd: log standard deviation of the shock.
        common: whether all groups have the same shock.
    """
    weight = n_seen / noise_var  # [R, G] precision of what the repairs say
    pull = weight * (mean_log - bias)
    if common:  # one shock: the repairs of every group are evidence of it
        weight = np.broadcast_to(weight.sum(axis=1, keepdims=True), weight.shape)
        pull = np.broadcast_to(pull.sum(axis=1, keepdims=True), pull.shape)
    # A lognormal of mean one has log mean -sd^2 / 2: times its precision sd^-2 that is the prior's pull of -1/2.
    precision = weight + shock_log_sd**-2
    return (pull - 0.5) / precision, precision**-0.5
