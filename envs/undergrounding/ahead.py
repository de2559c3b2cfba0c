"""Seasons drawn ahead, many at a time: a storm is a wave of hundreds of small steps, which cost one or 500 the same.

An environment's seasons come from its own generator, in their order. So those of several resets can be drawn at once,
if the generator is left where each reset alone would have left it: whoever seeds it, or draws from it in between, meets
the seasons that he would have met without all this.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.storms import COVARIATES
from stormgym.envs.undergrounding.forecasts import SeasonForecast

AT_ONCE = 4_096
"""Regions of all seasons that are drawn together, at most: beyond, more at a time are no faster."""
State = Mapping[str, Any]
"""What `bit_generator.state` gives."""


class Drawn(Protocol):
    """What draws seasons: `SeasonSource`."""

    def draw(self, rngs: Any) -> tuple[Floats, Floats, SeasonForecast]:
        """Storms `[n, K]`, covariates `[n, K, F]` and forecasts, one for each time that a generator comes."""
        ...


@dataclass
class _Row:
    """One environment: its generator, and the seasons that are drawn already."""

    rng: np.random.Generator
    state: State
    """Where the generator stands if nobody else has used it."""
    waiting: deque[tuple[State, Floats]] = field(default_factory=deque)
    """Seasons to come `[M]`, each with the state in which it leaves the generator."""

    @property
    def untouched(self) -> bool:
        """Whether the generator stands where the last season left it."""
        return bool(self.rng.bit_generator.state == self.state)


class SeasonsAhead:
    """The seasons of B environments, drawn ahead where generators go on.

    A generator that is new, or has been seeded, is asked for one season: most who seed want just that one. The more
    often a batch goes on, the further ahead it is drawn, up to `AT_ONCE`. A single environment is never drawn ahead.

    Args:
        source: of the seasons.
        batch: B.
        n_regions: K.
    """

    def __init__(self, source: Drawn, batch: int, n_regions: int) -> None:
        self.source = source
        self.most = 1 if batch == 1 else max(AT_ONCE // (batch * n_regions), 1)
        self._ahead = 1  # seasons that each environment is drawn ahead the next time
        self._rows: dict[int, _Row] = {}

    def draw(self, rngs: Sequence[np.random.Generator], rows: Ints) -> tuple[Floats, Floats, SeasonForecast]:
        """What `source.draw(rngs)` gives, for the environments `rows` `[n]`; generators are left as it leaves them."""
        if self.most == 1 or not all(isinstance(rng.bit_generator, np.random.PCG64) for rng in rngs):
            return self.source.draw(rngs)
        own = [self._row(row, rng) for row, rng in zip(rows.tolist(), rngs, strict=True)]
        if not all(row.waiting for row in own):
            self._fill(own)
        seasons = []
        for row in own:
            row.state, season = row.waiting.popleft()
            row.rng.bit_generator.state = row.state
            seasons.append(season)
        return _unpack(np.array(seasons))

    def _row(self, at: int, rng: np.random.Generator) -> _Row:
        """The environment with this generator; a new one where it is another or has been used."""
        row = self._rows.get(at)
        if row is None or row.rng is not rng or not row.untouched:
            row = self._rows[at] = _Row(rng, rng.bit_generator.state)
            self._ahead = 1
        return row

    def _fill(self, wanted: list[_Row]) -> None:
        """Draw ahead for those that want a season now, and for others that will soon."""
        ahead = self._ahead
        self._ahead = min(2 * ahead, self.most)
        rows = {id(row): row for row in wanted if not row.waiting}
        if ahead > 1:
            soon = (row for row in self._rows.values() if 2 * len(row.waiting) < ahead and row.untouched)
            rows |= {id(row): row for row in soon}
        asked = [(row, ahead - len(row.waiting)) for row in rows.values()]
        states: list[State] = []

        def streams() -> Iterator[np.random.Generator]:
            for row, n in asked:
                generator = row.rng.bit_generator
                if row.waiting:
                    generator.state = row.waiting[-1][0]
                for _ in range(n):
                    yield row.rng
                    states.append(generator.state)  # here its season is drawn: sources ask for one after the other
                generator.state = row.state

        seasons = zip(states, _pack(*self.source.draw(streams())), strict=True)
        for row, n in asked:
            row.waiting.extend(next(seasons) for _ in range(n))


def _pack(outage_h: Floats, covariates: Floats, known: SeasonForecast) -> Floats:
    """All that is drawn of n seasons in one array `[n, M]`."""
    n = len(outage_h)
    parts = (outage_h, covariates, *known)
    return np.concatenate([np.reshape(part, (n, -1)) for part in parts], axis=1)


def _unpack(packed: Floats) -> tuple[Floats, Floats, SeasonForecast]:
    """What `_pack` packed."""
    n, f = len(packed), len(COVARIATES)
    k = (packed.shape[1] - 2) // (4 + f)
    outage_h, covariates, mean, lower, upper, totals = np.split(packed, np.cumsum([k, k * f, k, k, k]), axis=1)
    return outage_h, covariates.reshape(n, k, f), SeasonForecast(mean, lower, upper, totals[:, 0], totals[:, 1])
