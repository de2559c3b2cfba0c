"""Environments and batches from an id, arguments and seeds."""

import gymnasium as gym
import pytest

from stormgym.envs.making import episode_seeds, make_batch


def test_seeds__depend_on_seed_and_index_alone() -> None:
    assert episode_seeds(3, 50)[:7] == episode_seeds(3, 7)
    assert set(episode_seeds(3, 50)).isdisjoint(episode_seeds(4, 50))
    assert len(set(episode_seeds(0, 5000))) == 5000
    assert all(float(s) == s and s < 2**53 for s in episode_seeds(0, 100))


def test_make_batch__takes_the_native_form_and_refuses_another_autoreset() -> None:
    with pytest.raises(ValueError, match="evaluation needs autoreset_mode NEXT_STEP"):
        make_batch(
            "Restoration-v0",
            2,
            {
                "city": "synthetic:6:0",
                "predictor": "none",
                "autoreset_mode": gym.vector.AutoresetMode.SAME_STEP,
            },
        )
    env = make_batch("Restoration-v0", 2, {"city": "synthetic:6:0", "predictor": "none"})
    assert type(env.unwrapped).__name__ == "RestorationVectorEnv"
    env.close()
