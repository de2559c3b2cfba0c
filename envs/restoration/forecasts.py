"""Moved to `stormgym.envs.cities.forecasts`, which every environment over a city uses."""

from stormgym.envs.moved import forward

__getattr__ = forward(__name__, "stormgym.envs.cities.forecasts")
