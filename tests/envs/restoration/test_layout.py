"""The columns of the observation and of the crew vector."""

import numpy as np
import pytest

from stormgym.envs.restoration.layout import COLUMN, REGION_COLUMNS, crew_columns, n_groups_of, regions_of
from stormgym.envs.restoration.vector_env import RestorationVectorEnv

CITY = "synthetic:12:1"
N = 12


def test_observation__regions_of_puts_the_columns_side_by_side():
    env = RestorationVectorEnv(3, city=CITY, predictor="none")
    obs, _ = env.reset(seed=0)
    stacked = regions_of(obs)
    assert stacked.shape == (3, N, len(REGION_COLUMNS))
    np.testing.assert_array_equal(stacked[..., COLUMN["point_h"]], obs["point_h"])


def test_layout__number_of_groups_follows_from_the_length_of_the_crew_vector():
    for n_groups in range(1, 8):
        assert n_groups_of(len(crew_columns(n_groups))) == n_groups
    with pytest.raises(ValueError, match="no number of groups gives a crew vector of 11 columns"):
        n_groups_of(11)
