"""A random choice, which knows no environment."""

import numpy as np
from scipy.stats import chisquare

from stormgym.agents.rules import RandomPolicy


def test_random__is_uniform_over_open_regions() -> None:
    mask = np.tile(np.array([1, 0, 1, 1, 0], np.int8), (3000, 1))
    action, _ = RandomPolicy(seed=1).predict({"action_mask": mask})
    count = np.bincount(action, minlength=5)
    assert count[[1, 4]].sum() == 0
    assert chisquare(count[[0, 2, 3]]).pvalue > 1e-4  # a correct policy fails once in ten thousand seeds


def test_random__same_seed_same_calls_same_actions() -> None:
    mask = {"action_mask": np.ones((8, 9), np.int8)}
    a, b, c = RandomPolicy(seed=1), RandomPolicy(seed=1), RandomPolicy(seed=2)
    first = [p.predict(mask, deterministic=True)[0] for p in (a, b, c)]
    assert (first[0] == first[1]).all()
    assert (first[0] != first[2]).any()
