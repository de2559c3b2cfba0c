"""Seasons drawn ahead are those that would have been drawn one by one, and nobody else's generator notices."""

import numpy as np
import pytest

from stormgym.envs.undergrounding.ahead import SeasonsAhead
from stormgym.envs.undergrounding.core import SeasonSource
from stormgym.envs.undergrounding.profiles import resolve_profile

TEN = resolve_profile("ten")


@pytest.fixture(scope="module")
def source():
    return SeasonSource(TEN, "empirical", "marginal", 0.99, 0.5)


class Counted:
    """A source that counts its seasons."""

    def __init__(self, source):
        self.source, self.calls, self.seasons = source, 0, 0

    def draw(self, rngs):
        drawn = self.source.draw(rngs)
        self.calls, self.seasons = self.calls + 1, self.seasons + len(drawn[0])
        return drawn


def flat(drawn):
    outage_h, covariates, known = drawn
    return b"".join(np.ascontiguousarray(part).tobytes() for part in (outage_h, covariates, *known))


def generators(n, kind=np.random.PCG64):
    return [np.random.Generator(kind(i)) for i in range(n)]


def play(ahead, rngs, source, rounds, disturb):
    """Reset some rows again and again, beside a source that draws each season alone."""
    alone = [type(rng)(type(rng.bit_generator)()) for rng in rngs]
    for mine, rng in zip(alone, rngs, strict=True):
        mine.bit_generator.state = rng.bit_generator.state
    chance = np.random.default_rng(0)
    for t in range(rounds):
        rows = np.flatnonzero(chance.random(len(rngs)) < (1.0 if t == 0 else 0.3))
        if rows.size:
            disturb(t, rngs, alone)
            drawn = ahead.draw([rngs[i] for i in rows], rows)
            assert flat(drawn) == flat(source.draw([alone[i] for i in rows]))
        for mine, rng in zip(alone, rngs, strict=True):
            assert repr(mine.bit_generator.state) == repr(rng.bit_generator.state)


def undisturbed(t, rngs, alone):
    pass


def test_draw__is_what_the_source_draws_and_leaves_generators_where_it_leaves_them(source):
    counted = Counted(source)
    play(SeasonsAhead(counted, 6, 10), generators(6), source, 60, undisturbed)
    assert counted.calls < 12  # instead of some 60


def test_draw__meets_what_others_do_with_a_generator(source):
    def disturb(t, rngs, alone):
        if t % 3 == 1:
            for some in (rngs, alone):
                some[t % 4].random(t % 5)
        if t % 7 == 5:
            rngs[2], alone[2] = np.random.default_rng(t), np.random.default_rng(t)

    play(SeasonsAhead(source, 4, 10), generators(4), source, 40, disturb)


def test_draw__a_new_seed_costs_one_season(source):
    counted = Counted(source)
    ahead = SeasonsAhead(counted, 3, 10)
    for seed in range(4):
        ahead.draw([np.random.default_rng([seed, i]) for i in range(3)], np.arange(3))
    assert counted.seasons == 12


def test_draw__other_kinds_of_generators_are_not_drawn_ahead(source):
    counted = Counted(source)
    play(SeasonsAhead(counted, 3, 10), generators(3, np.random.SFC64), source, 12, undisturbed)
    assert counted.calls > 6


def test_draw__recorded_storms_too():
    class Recorded:
        def draw(self, rngs):
            hours = np.array([[float(rng.integers(5))] * 3 for rng in rngs])
            n = len(hours)
            from stormgym.envs.undergrounding.forecasts import SeasonForecast

            known = SeasonForecast(hours, hours, hours, np.zeros(n), np.ones(n))
            return hours, np.zeros((n, 3, 4)), known

    play(SeasonsAhead(Recorded(), 4, 3), generators(4), Recorded(), 40, undisturbed)
