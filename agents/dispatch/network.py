"""Features without units of generator dispatch, for Stable-Baselines3's algorithms."""

from __future__ import annotations

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor

from stormgym.envs.dispatch.core import STATE
from stormgym.envs.storms import AMPLITUDE, COVARIATES, MEAN_WEATHER

DAYS_AHEAD = 4
"""Days of the forecast among the features, today first."""
_STATE = {name: i for i, name in enumerate(STATE)}
_PER_COUNTY = 5 + len(COVARIATES) + 3 * DAYS_AHEAD
_OF_ALL = 6


def is_dispatch(space: spaces.Space[object]) -> bool:
    """Whether an observation space is that of GeneratorDispatch-v0."""
    return isinstance(space, spaces.Dict) and {"stock", "out", "forecast", "state", *COVARIATES} <= set(space.spaces)


class DispatchFeatures(BaseFeaturesExtractor):
    """Shares and ratios instead of customers, generators and money: `[B, 21 K + 6]`; no weights.

    Of each county: generators as a share of what its customers could use, customers out (also in generators), unserved
    so far, group, the storm's weather and onset, and the forecast of the next days with its interval, as shares of its
    customers. Of all: day, generators at home, transport and operating cost relative to that of
    interruption, the gap as a share of its limit, and what all generators could serve as a share of all customers.

    Args:
        observation_space: of GeneratorDispatch-v0.
    """

    def __init__(self, observation_space: spaces.Dict) -> None:
        shape, forecast = observation_space["stock"].shape, observation_space["forecast"].shape
        assert shape is not None
        assert forecast is not None
        self.n_counties = shape[0]
        self.n_days = forecast[0] // shape[0]
        super().__init__(observation_space, features_dim=_PER_COUNTY * self.n_counties + _OF_ALL)
        centre, width = torch.as_tensor(MEAN_WEATHER), torch.as_tensor(AMPLITUDE)
        self.register_buffer("centre", centre.float())
        self.register_buffer("width", width.float())

    centre: Tensor
    width: Tensor

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Observations -> `[B, 21 K + 6]`."""
        state, people = observations["state"], observations["population"]

        def of_state(name: str) -> Tensor:
            return state[:, _STATE[name], None]

        each = of_state("customers_per_generator")
        weather = torch.stack([observations[name] for name in COVARIATES[:3]], dim=-1)
        ahead = [
            observations[name].unflatten(1, (self.n_days, self.n_counties))[:, :DAYS_AHEAD] / people[:, None]
            for name in ("forecast", "lower", "upper")
        ]
        days = of_state("day") + of_state("days_left")
        counties = torch.cat(
            [
                torch.stack(
                    [
                        observations["stock"] * each / people,
                        observations["out"] / people,
                        (observations["out"] / each / of_state("generators").clamp_min(1.0)),
                        observations["unserved"],
                        observations["group"] - 1.0,
                        (observations["onset"] - of_state("day")) / days,
                    ],
                    dim=-1,
                ),
                (weather - self.centre) / self.width,
                *(values.transpose(1, 2) for values in ahead),
            ],
            dim=-1,
        )  # [B, K, 21]
        worth = of_state("interruption_cost").clamp_min(1e-6) * each  # of a generator that is used fully
        overall = torch.cat(
            [
                of_state("day") / days,
                of_state("home") / of_state("generators").clamp_min(1.0),
                of_state("transport_cost") / worth,
                of_state("operating_cost") / worth,
                of_state("gap") / of_state("cost_limit"),
                of_state("generators") * each / people.sum(dim=1, keepdim=True),
            ],
            dim=-1,
        )
        return torch.cat([counties.flatten(1), overall], dim=1)
