"""A storm that begins in the middle goes on like one that came there by itself."""

import numpy as np
import pytest

from stormgym.envs.crews.env import CrewDispatchEnv
from stormgym.envs.crews.standing import go_on, set_repaired, set_to_work

STATE = ("t", "asked", "n_left", "loc", "ready_h", "begin_h", "finish_h", "target", "repaired_h", "power_h", "mask")


def started(seed=3, **kwargs):
    env = CrewDispatchEnv(city="synthetic:9:2", predictor="none", n_crews=3, known_share=1.0, **kwargs)
    env.reset(seed=seed)
    return env.core.process


def same(own, other):
    for name in STATE:
        np.testing.assert_allclose(getattr(own, name), getattr(other, name), err_msg=name)


def test_to_work__is_where_sending_leads_and_all_that_follows():
    sent, stands = started(), started()
    for _ in range(2):
        crew, job = int(sent.asked[0]), int(sent.nearest()[0])
        sent.step(np.array([job]))
        set_to_work(stands, 0, crew, job, float(sent.begin_h[0, crew]), float(sent.finish_h[0, crew]))
    go_on(stands, 0.0)
    same(stands, sent)
    while sent.n_left[0]:
        action = sent.nearest()
        sent.step(action), stands.step(action)
        same(stands, sent)


def test_repaired__has_power_unless_what_is_above_lacks_it():
    p = started()
    head, child = next(
        (int(up), job) for job, up in enumerate(p.jobs.parent[0]) if up >= 0 and p.jobs.parent[0, up] < 0
    )
    set_repaired(p, 0, child, 0.0)
    assert (p.repaired_h[0, child], p.power_h[0, child]) == (0.0, np.inf)
    set_repaired(p, 0, head, 0.0)
    assert p.power_h[0, child] == 0.0
    go_on(p, 0.0)
    assert not p.mask[0, [head, child]].any()
    assert p.n_left[0] == 7


def test_to_work__bad_ones():
    p = started(n_assessors=1, special_crews=0.3)
    special = int(np.flatnonzero(p.jobs.need[0] == 1)[0])
    with pytest.raises(ValueError, match=r"crew 0 cannot repair job .*, which needs skill 1"):
        set_to_work(p, 0, 0, special, 0.0, 1.0)
    with pytest.raises(ValueError, match="crew 3 cannot repair job"):
        set_to_work(p, 0, 3, special, 0.0, 1.0)
    with pytest.raises(ValueError, match="a repair must end after it begins; got 2 to 2 h"):
        set_to_work(p, 0, 2, special, 2.0, 2.0)
    set_to_work(p, 0, 2, special, 0.0, 1.0)
    plain = int(np.flatnonzero(p.jobs.need[0] == 0)[0])
    set_to_work(p, 0, 2, plain, 0.0, 1.0)
    with pytest.raises(ValueError, match=f"job {plain} has crew 2 already"):
        set_to_work(p, 0, 0, plain, 0.0, 1.0)
