"""Everything that happens: storms, repairs, data in, equity out."""

import pettingzoo
from gymnasium.envs.registration import register, registry


def register_envs() -> None:
    """Register every stormgym id with Gymnasium, and games with PettingZoo; calling it twice changes nothing."""
    if "Restoration-v0" not in registry:
        register(
            id="Restoration-v0",
            entry_point="stormgym.envs.restoration.env:RestorationEnv",
            vector_entry_point="stormgym.envs.restoration.vector_env:RestorationVectorEnv",
        )
    if "GeneratorDispatch-v0" not in registry:
        register(
            id="GeneratorDispatch-v0",
            entry_point="stormgym.envs.dispatch.env:GeneratorDispatchEnv",
            vector_entry_point="stormgym.envs.dispatch.vector_env:GeneratorDispatchVectorEnv",
        )
    if "Undergrounding-v0" not in registry:
        register(
            id="Undergrounding-v0",
            entry_point="stormgym.envs.undergrounding.env:UndergroundingEnv",
            vector_entry_point="stormgym.envs.undergrounding.vector_env:UndergroundingVectorEnv",
        )
    if "DefenderAttacker-v0" not in pettingzoo.aec_registry:
        pettingzoo.register(
            "aec", "DefenderAttacker-v0", entry_point="stormgym.envs.undergrounding.adversary:DefenderAttackerEnv"
        )
