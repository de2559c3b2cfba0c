"""The registry of agents and domains: every entry point loads, and every domain plays."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from stormgym.agents.domain import AgentSpec, Domain, load_entry
from stormgym.agents.evaluation.options import takes
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.learners.base import Learner
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.registry import (
    AGENTS,
    DOMAINS,
    agent_spec,
    domain_of,
    domain_of_env,
    has_domain,
    known_agents,
    plain_id,
    register_domain,
)
from stormgym.envs.adapters.sb3 import make_vec_env
from stormgym.envs.making import spec_of

EPISODES = 3
SPECS = [(domain.env_id, spec) for domain in DOMAINS.values() for spec in domain.agents]


@pytest.fixture
def registries() -> Iterator[None]:
    """Takes back what a test registers."""
    domains, agents = dict(DOMAINS), dict(AGENTS)
    yield
    DOMAINS.clear()
    DOMAINS.update(domains)
    AGENTS.clear()
    AGENTS.update(agents)


def test_registry__every_untrained_agent_loads_with_idea_cost_and_source() -> None:
    for spec in AGENTS.values():
        if not spec.trainable:
            policy = spec.load()
            assert policy.name == spec.name
            assert policy.privileged == spec.privileged
            lacking = [word for word in ("Idea:", "Cost:", "Source:") if word not in (policy.__doc__ or "")]
            assert not lacking, f"the docstring of {spec.name} ({spec.entry_point}) must say {', '.join(lacking)} ..."


def test_registry__what_domains_have_of_their_own_behind_one_name_is_a_policy_of_that_name() -> None:
    for domain in DOMAINS.values():
        for name, entry_point in domain.own.items():
            assert domain.agent(name) is not None, f"{domain.env_id} has its own {name} and does not list the agent"
            own = load_entry(entry_point)
            assert own.name == name, entry_point
            assert (own.__doc__ or "").strip(), f"{entry_point} has no docstring"


@pytest.mark.usefixtures("quick_fits")
@pytest.mark.parametrize("domain", DOMAINS.values(), ids=list(DOMAINS))
def test_domain__plays_a_batch_of_episodes_with_every_usual_agent(domain: Domain) -> None:
    usual = [spec for spec in domain.agents if not spec.trainable and spec.usual]
    assert len(usual) >= 3
    agents = resolve_agents([spec.name for spec in usual], domain.env_id)
    arguments = {"episodes": EPISODES, "batch_size": EPISODES, "env_kwargs": domain.small, "latency_episodes": 1}
    played = evaluate(domain.env_id, agents, **arguments)  # type: ignore[arg-type]
    assert list(played.agents) == [spec.name for spec in usual]
    headline = domain.headline
    columns = {column.key for column in (*headline.columns, *headline.further, *headline.flaws)}
    for spec in usual:
        record = played.agents[spec.name]
        assert record.privileged == spec.privileged
        assert columns <= set(record.metrics) | {"return", "cost", "steps"}, spec.name
        for key in columns & set(record.metrics):
            assert record.metrics[key].shape == (EPISODES,), key
            assert np.isfinite(record.metrics[key]).all(), (spec.name, key)
    if headline.group_mean_prefix is not None:
        assert f"{headline.group_mean_prefix}0" in played.agents[usual[0].name].metrics


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=list(DOMAINS))
def test_domain__names_arguments_that_the_environment_takes(domain: Domain) -> None:
    assert has_domain(domain.env_id)
    assert domain.small
    assert len(set(domain.options)) == len(domain.options)
    for name in (*domain.options, *domain.small):
        assert takes(domain.env_id, name), name
    if domain.many is not None:
        assert domain.many.argument in domain.options
        assert domain.many.of(domain.small) is None
    text = spec_of(domain.env_id)
    assert "Args:" in (inspect.getdoc(load_entry(str(text.entry_point))) or "")


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=list(DOMAINS))
def test_domain__entry_points_load(domain: Domain) -> None:
    if domain.extractor is not None:
        extractor = load_entry(domain.extractor)
        assert issubclass(extractor, BaseFeaturesExtractor)
        space = gym.make(domain.env_id, **domain.small).observation_space
        assert extractor(space).features_dim > 0
    if domain.plan is not None:
        assert list(inspect.signature(load_entry(domain.plan)).parameters)[:2] == ["name", "entrant"]
        assert not agent_spec(domain.plan_agent or "").trainable
    for suffix, function in domain.agent_files.items():
        assert suffix.startswith(".")
        assert callable(load_entry(function))
    assert domain.headline.bound is None or agent_spec(domain.headline.bound).privileged
    assert agent_spec(domain.default_learner or "").trainable


@pytest.mark.parametrize(("env_id", "spec"), SPECS, ids=[f"{env_id}-{spec.name}" for env_id, spec in SPECS])
def test_agent__entry_points_load_and_fit_what_it_says(env_id: str, spec: AgentSpec) -> None:
    loaded = spec.load()
    assert isinstance(loaded, Learner) == spec.trainable
    assert loaded.name == spec.name
    assert spec.summary
    assert "\n" not in spec.summary
    assert DOMAINS[env_id].agent(spec.name) is spec is AGENTS[spec.name]
    assert (spec.settings is not None) == spec.trainable
    if spec.settings is not None:
        assert load_entry(spec.settings) is loaded.settings
    if spec.pretrained is not None:
        assert callable(load_entry(spec.pretrained))
    if spec.look_ahead is not None:
        assert list(inspect.signature(load_entry(spec.look_ahead)).parameters)[:2] == ["policy", "env"]


def test_ids__with_a_prefix_are_those_without() -> None:
    assert plain_id("stormgym:Restoration-v0") == "Restoration-v0"
    assert plain_id("a.b:Some-v1") == "Some-v1"
    assert domain_of("stormgym:Restoration-v0") is DOMAINS["Restoration-v0"]
    assert not has_domain("CartPole-v1")
    assert known_agents("CartPole-v1") == ()
    assert "ppo" in known_agents("Restoration-v0", trainable=True)
    assert "ppo" not in known_agents("Restoration-v0", trainable=False)


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=list(DOMAINS))
def test_domain__is_found_behind_an_environment_of_any_form(domain: Domain) -> None:
    single = gym.make(domain.env_id, **domain.small)
    many = gym.make_vec(domain.env_id, 2, vectorization_mode="vector_entry_point", **domain.small)
    for env in (single, single.unwrapped, many, make_vec_env(domain.env_id, 2, **domain.small)):
        assert domain_of_env(env) is domain
    assert domain_of_env(gym.make("CartPole-v1")).env_id == "CartPole-v1"


@pytest.mark.usefixtures("registries")
def test_register__adds_a_domain_and_its_agents_whole_or_not_at_all() -> None:
    mine = AgentSpec("mine", "stormgym.agents.rules:RandomPolicy", "any")
    before = dict(AGENTS), dict(DOMAINS)
    wrong = (
        (
            Domain("Own-v0", (mine,), plan_agent="nearest"),
            "plan_agent of Own-v0 must be one of its agents; got 'nearest'",
        ),
        (Domain("Own-v0", (mine,), default_learner="mine"), "default_learner of Own-v0 must learn; 'mine' does not"),
        (Domain("Own-v0", (mine, AgentSpec("tsp", "a:B", "x"))), "an agent 'tsp' is registered already"),
    )
    for domain, message in wrong:
        with pytest.raises(ValueError, match=message):
            register_domain(domain)
        assert (dict(AGENTS), dict(DOMAINS)) == before
    register_domain(Domain("Own-v0", (mine,)))
    assert known_agents("elsewhere:Own-v0") == ("mine",)
    assert agent_spec("mine") is mine


def test_agent_spec__of_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(
        KeyError, match=r"unknown agent 'nearst'; did you mean 'nearest'\? Known agents: random, request-volume"
    ):
        agent_spec("nearst")
