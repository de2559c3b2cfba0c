"""Practice: an actor learns from storms that it plays in simulation, many orders of each, beside those really played.

In the storm as forecast the expected outage and gap of an order can be computed, so an order is told from another one
by what it is worth and by no luck.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stormgym.agents.attention.masking import masked_log_softmax
from stormgym.agents.attention.networks import EpisodeNet, PaperNet
from stormgym.agents.restoration.network.episodes import EpisodeBatch, place_of
from stormgym.agents.restoration.network.features import EpisodeFeatures
from stormgym.agents.restoration.network.scenarios import advantages, expected_to_go
from stormgym.agents.restoration.network.simulation import FORECASTS, Simulator, States, standing
from stormgym.agents.restoration.scenario_sampler import ScenarioSampler
from stormgym.agents.restoration.search.expected_gap import expected_gap
from stormgym.agents.restoration.search.orders import OrderProblem
from stormgym.agents.restoration.situation import parts
from stormgym.envs.arrays import Floats, Ints, Observation
from stormgym.envs.cities.tables import city_map
from stormgym.envs.data import City
from stormgym.envs.restoration.knowledge import RestorationAnnounced
from stormgym.envs.restoration.layout import COLUMN, REGION_COLUMNS, regions_of

N_SCENARIOS = 48
"""Scenarios of repair hours over which an order's gap is expected."""
LEARNT_SHARE = 0.2
"""Share of the states of a practice that are learnt from. In most of them the choice is sure, and nothing is to be
learnt: those with the largest product of advantage and doubt are taken."""


@dataclass(frozen=True)
class Drawn:
    """K orders of each of R storms, what the actor saw, and what the orders are worth."""

    observation: Observation
    order: Ints
    """`[R, K, N]`; the first of each storm is the greedy one."""
    states: States
    outage_h: Floats
    """`[R, K, N]` what each step adds to the expected mean outage."""
    gap_h: Floats
    """`[R, K]` expected gap."""


class Ground:
    """A city in which storms are played in simulation."""

    def __init__(self, announced: RestorationAnnounced, n_groups: int) -> None:
        self.city = announced.city
        self.simulator = Simulator(city_map(self.city), n_groups, announced.max_travel_km)
        self.sampler = ScenarioSampler(self.city, n_scenarios=N_SCENARIOS)


class Practice:
    """Draws orders of storms as forecast, and says how much better than its fellows each choice was.

    Args:
        announced: of the environments.
        n_groups: G.
        n_orders: K, orders drawn of each storm; one of them greedily, which nothing is learnt from.
        spread: log standard deviation of a factor on the hours of a group's repairs, drawn for each group and storm.
    """

    def __init__(
        self, announced: Sequence[RestorationAnnounced], n_groups: int, n_orders: int, spread: float = 0.0
    ) -> None:
        self.n_groups = n_groups
        self.n_orders = n_orders
        self.spread = spread
        cities = {_place(record.city): record for record in announced}  # environments share cities
        self.grounds = {place: Ground(record, n_groups) for place, record in cities.items()}

    @classmethod
    def of(cls, venv: Any, n_groups: int, n_orders: int, spread: float = 0.0) -> Practice | None:
        """For a vector environment, of one city or of many; None where practice is not possible.

        That is where environments are not Restoration-v0's, where durations share a shock, which only real repairs tell
        of, where the limit is not on the mean gap, or where two cities have the same regions, so that an observation
        does not tell which it is of.
        """
        if venv is None or not venv.has_attr("announced"):
            return None
        announced = venv.get_attr("announced")
        if not all(isinstance(record, RestorationAnnounced) for record in announced):
            return None
        plain = all(record.shock == "none" and record.risk_measure.is_mean for record in announced)
        cities = {record.city.fingerprint(): _place(record.city) for record in announced}
        told_apart = len(set(cities.values())) == len(cities)
        return cls(announced, n_groups, n_orders, spread) if plain and told_apart else None

    def ground(self, storms: EpisodeBatch) -> Ground:
        """The city of storms, all of one.

        Raises:
            ValueError: it is none of the environments'.
        """
        place = place_of(storms.regions[0].cpu().numpy())
        if place not in self.grounds:
            raise ValueError(
                "a storm to be practised is of a city in which this agent does not train; practise on episodes of its "
                "own environments"
            )
        return self.grounds[place]

    def draw(self, actor: EpisodeNet | PaperNet, storms: EpisodeBatch) -> Drawn:
        """Draw orders of storms of one city; of the episode of each that is at hand only the first observation is read.

        With a `spread` these are storms like it, in which groups had it worse or better: what an actor learns of the
        price of fairness in storms of some years then holds in others, in which groups differ more.

        Draws from NumPy's global generator, which Stable-Baselines3 seeds.
        """
        ground = self.ground(storms)
        observation = self._varied(first_observation(storms))
        if next(actor.parameters()).device.type != "cpu":
            actor = deepcopy(actor).cpu()
        n_storms, n = observation["open"].shape
        (part,) = parts(observation, ground.city, np.arange(n_storms))  # nothing is restored yet: one part
        shape = (n_storms, self.n_orders, n)

        def log_race(step: int) -> Floats:
            del step
            return np.asarray(np.log(np.random.exponential(size=shape)), dtype=np.float32)

        order, states = ground.simulator.draw(
            actor, observation, observation["point_h"], part.regions, self.n_orders, log_race, keep=True
        )
        assert states is not None
        hours = ground.sampler.prior(part, n_storms)
        gap = np.stack([expected_gap(part.problem, order[:, k], hours) for k in range(self.n_orders)], axis=1)
        return Drawn(observation, order, states, step_outages(part.problem, order), gap)

    def _varied(self, observation: Observation) -> Observation:
        """The observation of a storm in which the repairs of each group take longer or shorter by one factor."""
        if not self.spread:
            return observation
        group = observation["group"].astype(np.int64)
        draws = np.random.normal(scale=self.spread, size=(len(group), self.n_groups))
        factor = np.exp(np.take_along_axis(draws, group, axis=1)).astype(np.float32)
        return {**observation, **{name: observation[name] * factor for name in FORECASTS}}

    def advantages(self, drawn: Drawn, price: Floats, free_h: Floats | float = 0.0) -> Tensor:
        """Advantage `[R, K - 1, N]` (h) of each choice in the drawn orders over the other drawn orders of the storm.

        The return to go of an order is its outage from there on, and its gap at a price.

        Args:
            drawn: orders.
            price: `[R]` hours of mean outage for an hour of gap.
            free_h: `[R]` hours of gap that cost nothing.
        """
        gain = -drawn.outage_h[:, 1:].copy()
        paid_h = np.maximum(drawn.gap_h - np.reshape(free_h, (-1, 1)), 0.0)[:, 1:]
        gain[..., -1] -= price[:, None] * paid_h
        r, k, n = gain.shape
        regions = torch.from_numpy(regions_of(drawn.observation)).repeat_interleave(k, 0)
        features = EpisodeFeatures(regions, self.n_groups)
        is_open = drawn.states.is_open[:, 1:].reshape(r * k, n, n) > 0
        guess = expected_to_go(regions, is_open, features.scales)
        return advantages(torch.from_numpy(gain.reshape(r * k, n)).float(), k, guess).view(r, k, n)

    def objective(self, actor: EpisodeNet | PaperNet, drawn: Drawn, advantage: Tensor) -> Tensor:
        """Advantage times log probability, summed over the choices most is learnt from and divided by all of them.

        Its gradient is that of the policy at the weights that drew, so one step is taken of each draw.

        Args:
            actor: the network that learns, with its graph.
            drawn: orders.
            advantage: `[R, K - 1, N]` of the drawn ones.
        """
        r, k, n = advantage.shape
        device = next(actor.parameters()).device
        flat = advantage.reshape(r, -1)
        doubt = (1.0 - drawn.states.log_pi[:, 1:].reshape(r, -1).exp()) * flat.abs()
        best = doubt.topk(max(int(LEARNT_SHARE * flat.shape[1]), 1), dim=1).indices  # [R, M]

        def of(values: Tensor) -> Tensor:
            values = values[:, 1:].reshape(r, k * n, -1)
            return values.gather(1, best.unsqueeze(-1).expand(-1, -1, values.shape[-1])).to(device)

        states = drawn.states
        features = EpisodeFeatures(torch.from_numpy(regions_of(drawn.observation)).to(device), self.n_groups)
        encoding = actor.encode(features.at(*(values.to(device) for values in standing(drawn.observation))))
        inputs = features.at(of(states.distance_km), of(states.is_open), of(states.crew))
        log_pi = masked_log_softmax(actor.score(encoding, inputs).squeeze(-1), of(states.allowed) > 0)
        chosen = log_pi.gather(-1, of(torch.from_numpy(drawn.order).unsqueeze(-1))).squeeze(-1)
        return (chosen * flat.gather(1, best).to(device)).sum() / flat.numel()


def _place(city: City) -> int:
    """The number under which `place_of` finds a city's storms."""
    regions = np.zeros((city.n_regions, len(REGION_COLUMNS)))
    regions[:, COLUMN["x_km"]], regions[:, COLUMN["y_km"]] = city.xy_km.T
    regions[:, COLUMN["group"]] = city.group
    return place_of(regions)


def step_outages(problem: OrderProblem, order: Ints) -> Floats:
    """What each step of orders `[R, K, n]` adds to the expected mean outage (h): `[R, K, n]`."""
    r, k, n = order.shape
    many, flat = problem.take(np.repeat(np.arange(r), k)), order.reshape(r * k, n)
    hours = many.way_h(flat) + np.take_along_axis(many.repair_h, flat, axis=1)
    return np.asarray((hours * (n - np.arange(n)) / n).reshape(r, k, n))


def first_observation(storms: EpisodeBatch) -> Observation:
    """The observation with which episodes began, as an environment gives it."""
    regions = storms.regions.cpu().numpy()
    columns = {name: regions[..., i] for i, name in enumerate(REGION_COLUMNS)}
    mask = storms.action_mask[:, 0].cpu().numpy().astype(np.int8)
    return {**columns, "crew": storms.crew[:, 0].cpu().numpy(), "action_mask": mask}
