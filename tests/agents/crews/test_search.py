"""Planning for several crews: what a tour is worth, tours and plans, annealing against exact plans and bounds."""

import itertools
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stormgym.agents.crews.search import annealing as annealing_module
from stormgym.agents.crews.search import problem as problem_module
from stormgym.agents.crews.search.annealing import Limit, Schedule, anneal, value_of
from stormgym.agents.crews.search.compiled import back_times_of, compiled
from stormgym.agents.crews.search.exact import exact_plan
from stormgym.agents.crews.search.problem import (
    CrewProblem,
    Valued,
    back_times_by_numpy,
    finish_times,
    sequences,
    value_tours,
)
from stormgym.agents.crews.search.tours import insert_missing, places_of, tours_of
from stormgym.envs.crews.instances import process_of
from stormgym.envs.crews.process import chains_of
from stormgym.envs.crews.roster import Roster

ZERO = np.zeros(1, dtype=np.int64)


def crews(k, *, on=8.0, off=0.0, skills=None):
    return Roster(
        depot=np.zeros(k, dtype=np.int64), speed_kmh=np.full(k, 30.0), skills=np.ones((k, 1), bool) if skills is None
        else skills, start_h=np.zeros(k), on_h=np.full(k, on), off_h=np.full(k, off), assessor=np.zeros(k, bool),
    )  # fmt: skip


def problem(rng, n, k, *, storms=1, off=0.0, depth=0, late=False, way=1.0, groups=0):
    """Random storms, all of n jobs."""
    roster = crews(k, off=off)
    legs = np.zeros((storms, k, n + 1, n + 1))
    legs[..., :n] = way * rng.random((storms, 1, n + 1, n)) + rng.exponential(2.0, (storms, 1, 1, n)) + 0.1
    parent = np.array([[rng.integers(-1, j) if j and depth else -1 for j in range(n)] for _ in range(storms)])
    chain = chains_of(parent)
    padded = np.concatenate([chain, np.full((storms, 1, chain.shape[2]), n)], axis=1)
    weight = np.concatenate([rng.random((storms, n)) / n, np.zeros((storms, 1))], axis=1)
    arrival = np.concatenate(
        [rng.exponential(2.0, (storms, n)) if late else np.zeros((storms, n)), np.zeros((storms, 1))], 1
    )
    extra = {}
    if groups:
        group = rng.integers(0, groups, (storms, n + 1))
        there = np.broadcast_to(np.arange(n + 1) < n, group.shape)
        extra = {"group": group, "there": there, "settled_h": np.zeros((storms, 0)), "n_groups": groups}
    return CrewProblem(
        roster=roster, slots=np.broadcast_to(np.arange(n), (storms, n)), leg_h=legs,
        ready_h=roster.next_on(0.5 * rng.random((storms, k))), under_way_h=np.zeros((storms, 0)), chain=padded,
        weight=weight, arrival_h=arrival, earliest_h=arrival if late else None, **extra,
    )  # fmt: skip


def all_tours(n, k):
    """Every tour: all sequences of items, cut in all ways."""
    for order in itertools.permutations(range(n)):
        for cuts in itertools.combinations_with_replacement(range(n + 1), k - 1):
            tour = list(order)
            for crew, cut in reversed(list(enumerate(cuts))):
                tour.insert(cut, n + 1 + crew)
            yield tour


def by_hand(p, tour):
    """Weighted outage and overtime of a tour, one crew and one job after another."""
    n, roster = p.slots.shape[1], p.roster
    mended, overtime, crew = np.zeros(p.weight.shape[1]), 0.0, 0
    now, here = float(p.ready_h[0, 0]), n
    for token in tour:
        if token == n:
            continue
        if token > n:
            crew += 1
            now, here = float(p.ready_h[0, crew]), n
            continue
        if p.earliest_h is not None and p.earliest_h[0, token] > now:
            now = float(roster.next_on(np.full(roster.n_crews, p.earliest_h[0, token]))[crew])
        done = now + p.leg_h[0, crew, here, token]
        duty = roster.duty_h(np.full(roster.n_crews, done)) - roster.duty_h(np.full(roster.n_crews, now))
        overtime += done - now - duty[crew]
        mended[token] = done
        now, here = float(roster.next_on(np.full(roster.n_crews, done))[crew]), token
    back = mended[p.chain[0]].max(axis=1)
    return float((p.weight[0] * (back - p.arrival_h[0])).sum()), overtime


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 4), st.booleans(), st.booleans(), st.booleans())
def test_value__is_that_of_one_job_after_another(seed, n, k, shifts, feeder, late):
    rng = np.random.default_rng(seed)
    p = problem(rng, n, k, off=4.0 if shifts else 0.0, depth=int(feeder), late=late)
    tokens = np.concatenate([np.arange(n), n + 1 + np.arange(k - 1)])
    tours = rng.permuted(np.tile(tokens, (5, 1)), axis=1)
    valued = value_tours(p, tours, np.zeros(5, dtype=np.int64))
    for row, tour in enumerate(tours):
        outage, overtime = by_hand(p, tour)
        assert valued.outage_h[row] == pytest.approx(outage, abs=1e-9)
        sequence = sequences(tour[None], n, k)
        before = np.concatenate([np.full((1, 1, k), n), sequence[:-1]])
        hours = p.leg_h[0][np.arange(k), before, sequence]
        earliest = None if p.earliest_h is None else p.earliest_h[0][sequence]
        assert finish_times(p.roster, p.ready_h, hours, earliest)[1][0] == pytest.approx(overtime, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000), n=st.integers(1, 14), k=st.integers(1, 4), shifts=st.booleans(), feeder=st.booleans()
)
def test_value__compiled_is_that_of_numpy_to_the_bit(seed, n, k, shifts, feeder):
    pytest.importorskip("numba")
    rng = np.random.default_rng(seed)
    p = problem(rng, n, k, storms=3, off=4.0 if shifts else 0.0, depth=1 if feeder else 0)
    under_way = 5.0 * rng.random((3, 2))  # two more jobs, above some of the others, are under way
    chain = np.concatenate([p.chain, rng.integers(n, n + 3, (3, n + 1, 1))], axis=2)
    own = np.broadcast_to(np.array([[n + 1], [n + 2]]), (3, 2, chain.shape[2]))
    p = replace(p, under_way_h=under_way, chain=np.concatenate([chain, own], axis=1))
    padding = np.full(2, n)
    tours = np.array(
        [np.concatenate([rng.permutation([*range(n), *range(n + 1, n + k)]), padding]) for _ in range(30)],
        dtype=np.int64,
    )
    storm = rng.integers(0, 3, 30)
    back, overtime = back_times_by_numpy(p, tours, storm)
    duty, parts = p.roster.duty, (p.leg_h, p.ready_h, p.under_way_h, p.chain)
    found = compiled().back_times_of(tours, storm, *parts, duty.start_h, duty.on_h, duty.period_h)
    np.testing.assert_array_equal(found[0], back)
    np.testing.assert_array_equal(found[1], overtime)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 20), st.integers(1, 5))
def test_gap__compiled_is_that_of_numpy_to_the_bit(seed, n, groups):
    pytest.importorskip("numba")
    rng = np.random.default_rng(seed)
    p = problem(rng, n, 2, storms=3, groups=groups)
    there = rng.random((3, n + 4)) < 0.7
    there[:, n] = False
    p = replace(
        p, there=there, group=rng.integers(0, groups, there.shape), settled_h=np.round(4.0 * rng.random((3, 3)), 1)
    )
    back = np.round(rng.exponential(3.0, (10, n + 1)), rng.integers(0, 9))  # with ties
    storm = rng.integers(0, 3, 10)
    valued, at = Valued(np.zeros(10), back), np.flatnonzero(rng.random(10) < 0.6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(problem_module, "compiled", lambda: None)
        expected = valued.gap(p, storm, at), valued.gap(p, storm)
    np.testing.assert_array_equal(valued.gap(p, storm, at), expected[0])
    np.testing.assert_array_equal(valued.gap(p, storm), expected[1])


def test_annealing__without_the_compiled_loop_finds_the_same_plans(monkeypatch):
    p = problem(np.random.default_rng(1), 12, 3, storms=2, off=4.0, depth=1, groups=2)
    tours = np.broadcast_to(np.array([*range(12), 13, 14]), (2, 14))
    limit = Limit(np.array([0.2, 0.4]))
    first = anneal(p, tours, Schedule(60), limit=limit)
    for module in (problem_module, annealing_module):
        monkeypatch.setattr(module, "compiled", lambda: None)
    second = anneal(p, tours, Schedule(60), limit=limit)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(1, 4))
def test_places__bring_a_tour_back(seed, n, k):
    rng = np.random.default_rng(seed)
    p = problem(rng, n, k, storms=3)
    tokens = np.concatenate([np.arange(n), n + 1 + np.arange(k - 1)])
    tours = rng.permuted(np.tile(tokens, (3, 1)), axis=1)
    again = tours_of(p, *places_of(tours, n))
    rows = np.arange(3)
    # separators are alike: only which items each crew has, and their sequence, count
    np.testing.assert_array_equal(sequences(again, n, k), sequences(tours, n, k))
    np.testing.assert_allclose(value_of(p, again, rows), value_of(p, tours, rows))


def test_insertion__puts_in_all_that_is_missing_and_keeps_the_rest_in_sequence():
    rng = np.random.default_rng(3)
    p = problem(rng, 7, 3, storms=4)
    crew, place = np.full((4, 7), -1), np.full((4, 7), -1)
    crew[:, :3], place[:, :3] = [0, 0, 2], [1, 0, 5]
    tours = insert_missing(p, tours_of(p, crew, place), np.broadcast_to(np.arange(7), (4, 7)))
    crew, place = places_of(tours, 7)
    assert (crew >= 0).all()
    assert (crew[:, [0, 1, 2]] == [0, 0, 2]).all()
    assert (place[:, 1] < place[:, 0]).all()


@pytest.mark.parametrize(("n", "k", "off", "depth", "late"), [(5, 2, 0, 0, 0), (5, 2, 4, 1, 0), (4, 3, 0, 1, 1)])
def test_annealing__finds_the_best_of_all_tours(n, k, off, depth, late):
    rng = np.random.default_rng(n + k)
    for _ in range(4):
        p = problem(rng, n, k, off=float(off), depth=depth, late=bool(late))
        tours = np.array(list(all_tours(n, k)))
        best = value_of(p, tours, np.zeros(len(tours), dtype=np.int64)).min()
        found = anneal(p, tours[-1:], Schedule(150, candidates=24, first_h=0.3))[1][0]
        assert found == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_exact_plan__is_the_best_of_all_tours(seed):
    rng = np.random.default_rng(seed)
    p = problem(rng, 5, 2, depth=1, late=seed > 0)
    tours = np.array(list(all_tours(5, 2)))
    best = value_of(p, tours, np.zeros(len(tours), dtype=np.int64)).min()
    plan = exact_plan(p)
    assert plan.status == "optimal"
    assert plan.outage_h == pytest.approx(best, abs=1e-6)
    assert plan.bound_h == pytest.approx(best, abs=1e-4)


def test_exact_plan__of_crews_with_off_hours_or_many_jobs_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="without off hours"):
        exact_plan(problem(rng, 4, 2, off=8.0))
    with pytest.raises(ValueError, match="up to 10 jobs"):
        exact_plan(problem(rng, 11, 2))


def test_annealing__of_a_storm_does_not_depend_on_the_storms_beside_it():
    rng = np.random.default_rng(5)
    p = problem(rng, 8, 3, storms=4, off=6.0, depth=1, groups=2)
    start = np.tile(np.concatenate([np.arange(8), [9, 10]]), (4, 1))
    limit = Limit(np.full(4, 0.5))
    together, values = anneal(p, start, Schedule(30, candidates=16), limit=limit, seed=1)
    for storm in range(4):
        at = np.array([storm])
        alone, value = anneal(p.rows(at), start[:1], Schedule(30, candidates=16), limit=Limit(np.full(1, 0.5)), seed=1)
        np.testing.assert_array_equal(alone[0], together[storm])
        assert value[0] == pytest.approx(values[storm], abs=1e-12)


def test_price__brings_the_gap_down():
    rng = np.random.default_rng(6)
    p = problem(rng, 12, 3, storms=8, groups=2)
    start = np.tile(np.concatenate([np.arange(12), [13, 14]]), (8, 1))
    rows = np.arange(8)
    free = anneal(p, start, Schedule(100))[0]
    fair = anneal(p, start, Schedule(100), limit=Limit(np.full(8, 0.2), price=5.0))[0]
    assert value_tours(p, fair, rows).gap(p, rows).mean() < 0.7 * value_tours(p, free, rows).gap(p, rows).mean()
    assert value_of(p, free, rows).mean() < value_of(p, fair, rows).mean()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 3))
def test_single_crew_order__given_to_free_crews_is_within_tans_bound(seed, n, k):
    """Tan et al. (2017): without ways, arrivals, skills and shifts at most 2 - 1/m times the best plan."""
    rng = np.random.default_rng(seed)
    p = problem(rng, n, k, depth=1, way=0.0)
    hours = p.leg_h[0, 0, n, :n]
    p.ready_h[:] = 0.0
    one = problem(np.random.default_rng(seed), n, 1, depth=1, way=0.0)
    one.ready_h[:] = 0.0
    orders = np.array(list(itertools.permutations(range(n))))
    order = orders[value_of(one, orders, np.zeros(len(orders), dtype=np.int64)).argmin()]  # the best of one crew
    free, finish = np.zeros(k), np.zeros(n + 1)
    for job in order:
        crew = free.argmin()
        free[crew] = finish[job] = free[crew] + hours[job]
    back = finish[p.chain[0]].max(axis=1)
    given_out = float((p.weight[0] * back).sum())
    tours = np.array(list(all_tours(n, k)))
    best = value_of(p, tours, np.zeros(len(tours), dtype=np.int64)).min()
    assert best - 1e-9 <= given_out <= (2.0 - 1.0 / k) * best + 1e-9


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 3))
def test_best_plan__is_not_below_the_bound_of_one_fast_crew(seed, n, k):
    """Eastman, Even and Isaacs (1964), each job's hours those of its shortest way in."""
    rng = np.random.default_rng(seed)
    p = problem(rng, n, k)
    p.ready_h[:] = 0.0
    hours, weight = p.leg_h[0, 0, :, :n].min(axis=0), p.weight[0, :n]
    order = np.argsort(hours / weight)
    one_fast = (weight[order] * np.cumsum(hours[order])).sum() / k
    bound = one_fast + (k - 1) / (2 * k) * (weight * hours).sum()
    tours = np.array(list(all_tours(n, k)))
    assert value_of(p, tours, np.zeros(len(tours), dtype=np.int64)).min() >= bound - 1e-9


def test_replay__of_a_plan_gives_what_it_was_said_to_be_worth():
    """A tour without arrivals, played on the process, has the value that the search gives it."""
    rng = np.random.default_rng(9)
    sites = rng.random((8, 2)) * 10
    distance = np.linalg.norm(sites[:, None] - sites[None], axis=-1)
    jobs = [
        {"site": j, "group": j % 2, "weight": 1 / 6, "customers": 1, "arrival_h": 0.0, "skill": 0,
         "parent": -1 if j < 3 else j - 3, "duration_h": float(rng.exponential(3) + 0.2), "assessed": True}
        for j in range(6)
    ]  # fmt: skip
    roster = [
        {"depot": 6 + c, "speed_kmh": 20.0, "skills": [0], "start_h": 0.0, "on_h": 5.0, "off_h": 3.0, "assessor": False}
        for c in range(2)
    ]
    instance = {
        "distance_km": distance.tolist(), "crews": roster, "jobs": jobs, "arrival_end_h": 0.0, "assess_h": 0.25,
        "n_groups": 2, "n_skills": 1,
    }  # fmt: skip
    process = process_of(instance)
    duration = np.array([job["duration_h"] for job in jobs])
    legs = np.zeros((1, 2, 7, 7))
    legs[0, :, :6, :6] = distance[:6, :6] / 20.0 + duration
    legs[0, :, 6, :6] = distance[6:, :6] / 20.0 + duration
    p = CrewProblem(
        roster=process.roster, slots=np.arange(6)[None], leg_h=legs, ready_h=np.zeros((1, 2)),
        under_way_h=np.zeros((1, 0)), weight=np.array([[1 / 6] * 6 + [0.0]]), arrival_h=np.zeros((1, 7)),
        chain=np.concatenate([chains_of(process.jobs.parent), np.full((1, 1, 2), 6)], axis=1),
    )  # fmt: skip
    tour = np.array([[3, 0, 4, 7, 1, 5, 2]])
    queues = [[3, 0, 4], [1, 5, 2]]
    total = 0.0
    while process.n_left[0]:
        crew = int(process.asked[0])
        total += float(process.step(np.array([queues[crew].pop(0) if queues[crew] else 6])).reward[0])
    assert value_of(p, tour, ZERO)[0] == pytest.approx(-total, abs=1e-9)


def test_exact_plan__what_leaves_no_plan_is_named():
    p = problem(np.random.default_rng(0), 3, 2)
    legs = p.leg_h.copy()
    legs[:, :, :, 1] = np.inf  # as for crews without the skill
    with pytest.raises(ValueError, match=r"job 1 can be done by no crew: none has its skill\. Change skills or jobs"):
        exact_plan(replace(p, leg_h=legs))
    legs[:, :, :, 1] = np.nan
    with pytest.raises(ValueError, match="leg_h must be finite for an exact plan; got nan"):
        exact_plan(replace(p, leg_h=legs))
    with pytest.raises(ValueError, match="weight must be finite for an exact plan; got inf"):
        exact_plan(replace(p, weight=np.full_like(p.weight, np.inf)))
    for bad in (0.0, -1.0, "x", True):
        with pytest.raises(ValueError, match="time_limit_s must be above 0 seconds; got"):
            exact_plan(p, time_limit_s=bad)


def test_compiled__where_nothing_can_be_kept_it_is_compiled_each_time(monkeypatch):
    numba = pytest.importorskip("numba")
    asked = []

    def njit(**options):
        asked.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'candidates_of': no locator available")
        return lambda function: function

    monkeypatch.setattr(numba, "njit", njit)
    found = compiled.__wrapped__()
    assert found.back_times_of is back_times_of
    assert asked[0] == {"cache": True, "error_model": "numpy"}
    assert asked[1:] == 3 * [{"error_model": "numpy"}]


def test_compiled__is_none_without_numba(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    assert compiled.__wrapped__() is None
