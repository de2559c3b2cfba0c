"""The registry of agents and domains."""

from stormgym.agents.registry import AGENTS


def test_registry__every_untrained_agent_loads_with_idea_cost_and_source() -> None:
    for spec in AGENTS.values():
        if not spec.trainable:
            policy = spec.load()
            assert policy.name == spec.name
            assert policy.privileged == spec.privileged
            assert all(word in policy.__doc__ for word in ("Idea:", "Cost:", "Source:"))
