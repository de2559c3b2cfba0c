"""Everything that happens: storms, repairs, data in, equity out.

An environment is read in this order: `env.py` (its docstring is the reference: spaces, rewards, costs, arguments),
`core.py` (arguments, observations, infos), `process.py` (the dynamics, batched, without Gymnasium), `knowledge.py`
(what planners may know beside the observation). `core.py` of this folder says what every core keeps, `doors.py` makes a
single and a vector environment of one.

Sources that docstrings cite: EPOPR is "Uncertainty-aware Predict-Then-Optimize Framework for Equitable Post-Disaster
Power Restoration" (Jiang et al., IJCAI 2025); GDF is "Global-Decision-Focused Neural ODEs for Proactive Grid Resilience
Management" (Chen et al.); SO-EBM is "End-to-end Stochastic Optimization with Energy-based Model" (Kong et al., NeurIPS
2022); Gen-DFL is arXiv 2502.05468; tri-level is "Adaptive Robust Optimization with Data-Driven Uncertainty for
Enhancing Distribution System Resilience" (Chen et al.). Equations are theirs, put right where they are misprinted.
"""

import pettingzoo
from gymnasium.envs.registration import register, registry

_DECISIONS = {
    "PowerScheduling": "power_scheduling_env",
    "HospitalBeds": "hospital_beds_env",
    "NetworkSecurity": "network_security_env",
    "Portfolio": "portfolio_env",
    "FractionalKnapsack": "fractional_knapsack_env",
    "ShortestPath": "shortest_path_env",
    "EnergyScheduling": "energy_scheduling_env",
}
"""Decision problems of one step: names of their environments, and modules."""


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
    if "CrewDispatch-v0" not in registry:
        register(
            id="CrewDispatch-v0",
            entry_point="stormgym.envs.crews.env:CrewDispatchEnv",
            vector_entry_point="stormgym.envs.crews.env:CrewDispatchVectorEnv",
        )
    for name, module in _DECISIONS.items():
        if f"{name}-v0" not in registry:
            register(
                id=f"{name}-v0",
                entry_point=f"stormgym.envs.decisions.{module}:{name}Env",
                vector_entry_point=f"stormgym.envs.decisions.{module}:{name}VectorEnv",
            )
    for side in ("planner", "nature", "crews"):
        if f"DefenderAttacker{side.title()}-v0" not in registry:
            register(
                id=f"DefenderAttacker{side.title()}-v0",
                entry_point="stormgym.envs.undergrounding.side:AgainstRulesEnv",
                kwargs={"side": side},
            )
    if "DefenderAttacker-v0" not in pettingzoo.aec_registry:
        pettingzoo.register(
            "aec", "DefenderAttacker-v0", entry_point="stormgym.envs.undergrounding.adversary:DefenderAttackerEnv"
        )
    for registry_of, kind, door in (
        (pettingzoo.aec_registry, "aec", "env"),
        (pettingzoo.parallel_registry, "parallel", "parallel_env"),
    ):
        if "crew_dispatch-v0" not in registry_of:  # PettingZoo keeps crew_dispatch_v0 under this spelling
            pettingzoo.register(kind, "crew_dispatch_v0", entry_point=f"stormgym.envs.crews.teams:{door}")
