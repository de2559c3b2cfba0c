"""Scenarios of repair hours for planners: drawn from the forecasts, updated by the repairs that were observed."""

from __future__ import annotations

from typing import Any

import numpy as np

from stormgym.agents.binding import announced_of
from stormgym.agents.restoration.search.expected_gap import sample_lognormal, sample_quantiles, uniform_scenarios
from stormgym.agents.restoration.situation import Part, restoration_envs, rows_of_part
from stormgym.agents.shocks import shock_posterior
from stormgym.envs.arrays import Floats, Observation
from stormgym.envs.data import City
from stormgym.envs.restoration.layout import crew_columns


class ScenarioSampler:
    """Samples scenarios: S equally likely vectors of repair hours of the open regions.

    They are drawn from what the environment announces: the predictive quantiles of the episode's jobs, the shock (its
    strength, not its value), bias and noise of forecasts. Without an environment they are lognormals fitted to mean and
    upper end of the prediction interval; where forecasts are points without quantiles, every scenario is the forecast.
    The same random numbers serve every call, so equal observations give equal scenarios.

    Args:
        city: the city.
        env: where predictive quantiles and the shock are read; None for lognormals.
        seed: of the scenarios.
        n_scenarios: S.
    """

    def __init__(self, city: City, env: Any = None, *, seed: int = 0, n_scenarios: int = 128) -> None:
        if n_scenarios < 1:
            raise ValueError(f"n_scenarios must be at least 1; got {n_scenarios!r}")
        self.city = city
        if env is not None:
            restoration_envs(env)  # raises TypeError for another environment
        self._env = env
        announced = None if env is None else announced_of(env)[0]
        self.shock: str = "none" if announced is None else announced.shock
        self._log_sd = 0.0 if announced is None or self.shock == "none" else float(announced.shock_log_sd)
        rng = np.random.default_rng([seed, 1])
        self._uniform = uniform_scenarios(n_scenarios, city.n_regions, rng)
        self._factor = self._prior_factors(rng, n_scenarios)
        if self.has_shock:
            assert announced is not None, "without an environment there is no shock"
            self._noise = announced.noise
            width = 1 if self.shock == "common" else city.n_groups
            score = np.random.default_rng([seed, 2]).standard_normal((n_scenarios, width))
            self._score = np.broadcast_to(score, (n_scenarios, city.n_groups))

    @property
    def n_scenarios(self) -> int:
        """S"""
        return len(self._uniform)

    @property
    def has_shock(self) -> bool:
        """Whether durations share a shock, so that observed repairs are evidence of those to come."""
        return self._log_sd > 0

    def prior(self, part: Part, n_rows: int) -> Floats:
        """Scenarios `[R, S, n]` (h) before any repair was observed: from forecasts and the prior of the shock.

        Args:
            part: R episodes out of the observation's `n_rows`.
            n_rows: B.
        """
        return self._scenarios(part, n_rows, self._factor)

    def posterior(self, observation: Observation, part: Part, n_rows: int) -> tuple[Floats, Floats]:
        """Forecasts and scenarios updated by the repairs observed so far (see `shock_posterior`).

        Returns:
            `[R, N]` factors of all regions' mean forecasts (the posterior mean of the shock), and scenarios
            `[R, S, n]` (h) of the open regions, whose averages are about the corrected forecasts.
        """
        if not self.has_shock:
            return np.ones((len(part.rows), self.city.n_regions)), self._scenarios(part, n_rows, 1.0)
        columns = {name: i for i, name in enumerate(crew_columns(self.city.n_groups))}
        groups = range(self.city.n_groups)
        crew = np.asarray(observation["crew"], dtype=np.float64)[part.rows]
        mean_log = crew[:, [columns[f"log_ratio_{g}"] for g in groups]]
        shares = crew[:, [columns[f"share_restored_{g}"] for g in groups]]
        # the observation has shares, not counts; times the group's size they are whole but for float32
        n_seen = np.rint(shares * np.bincount(self.city.group, minlength=self.city.n_groups))
        mean, sd = shock_posterior(
            mean_log, n_seen, self._noise.bias, self._noise.variance, self._log_sd, self.shock == "common"
        )
        factor = np.exp(mean[:, None] + sd[:, None] * self._score)  # [R, S, G]
        expected = np.exp(mean + 0.5 * sd**2)  # [R, G]
        # S draws have a mean of their own: rescale them to the posterior mean, by which forecasts are corrected
        factor *= (expected / factor.mean(axis=1))[:, None]
        hours = self._scenarios(part, n_rows, 1.0) * part.local(factor[:, :, self.city.group])
        return expected[:, self.city.group], hours

    def _scenarios(self, part: Part, n_rows: int, factor: Floats | float) -> Floats:
        """Repair hours `[R, S, n]` of the open regions; `factor` `[S, N]` as in `sample_quantiles`."""
        announced = [] if self._env is None else announced_of(self._env)
        quantile = None
        if announced:
            quantile = rows_of_part(announced, part, n_rows, [record.quantile_h for record in announced])
        if quantile is None:
            hours = sample_lognormal(self._uniform, part.point_h, part.upper_h, factor)
        else:
            levels = announced[0].quantile_levels
            hours = sample_quantiles(self._uniform, levels, quantile, part.point_h, factor)
        return part.local(hours)

    def _prior_factors(self, rng: np.random.Generator, n_scenarios: int) -> Floats:
        """Factors `[S, N]` from the prior of the shock; all 1 without a shock."""
        if self.shock == "none":
            return np.ones((n_scenarios, self.city.n_regions))
        score = rng.standard_normal((n_scenarios, self.city.n_groups))
        score = score[:, self.city.group if self.shock == "group" else np.zeros_like(self.city.group)]
        # the mean of exp(sd z) is not 1, but `sample_*` rescales scenarios to the mean forecast
        return np.exp(self._log_sd * score)
