"""The records of decisions: which agents, which columns, which arguments, and that all of it is there."""

from __future__ import annotations

import inspect

import gymnasium as gym
import pytest

import stormgym  # noqa: F401  (registers the ids)
from stormgym.agents.decisions.domain import (
    DFL,
    DOMAINS,
    METHODS,
    SO_EBM,
    USUAL,
    decision_domain,
    headline,
)
from stormgym.agents.decisions.methods import METHODS as METHOD_NAMES
from stormgym.agents.domain import Domain, load_entry
from stormgym.agents.policy import BasePolicy
from stormgym.agents.registry import DOMAINS as REGISTERED
from stormgym.agents.registry import domain_of_env

IDS = ("PowerScheduling-v0", "HospitalBeds-v0", "NetworkSecurity-v0")
LINEAR = ("Portfolio-v0", "FractionalKnapsack-v0", "ShortestPath-v0", "EnergyScheduling-v0")
"""Those whose cost is linear in what comes."""
each_domain = pytest.mark.parametrize("domain", DOMAINS, ids=lambda domain: domain.env_id)


def test_domains__are_those_of_the_environments_and_registered() -> None:
    assert tuple(domain.env_id for domain in DOMAINS) == IDS + LINEAR
    for domain in DOMAINS:
        assert REGISTERED[domain.env_id] == domain
        assert domain.env_id in gym.registry


@each_domain
def test_agents__load_and_are_policies_named_as_the_record_says(domain: Domain) -> None:
    names = [spec.name for spec in domain.agents]
    assert len(set(names)) == len(names)
    assert names[0] == "usual"
    own = (
        {"sampled-plan", "spo+", "dro", "gen-dfl"}
        if domain.env_id in LINEAR
        else {"two-stage-calibrated", "dfl", "so-ebm"}
    )
    assert {"ppo", "sac", "two-stage", "policy-net", "clairvoyant", *own} <= {*names}
    for spec in domain.agents:
        found = spec.load()
        if spec.trainable:
            continue
        assert issubclass(found, BasePolicy)
        assert found.name == spec.name
        assert found.privileged == spec.privileged
        assert found.__doc__
        method = getattr(found, "method", None)
        assert method is None or method == spec.name
        assert method is None or method in METHOD_NAMES


def test_agents__the_floor_is_listed_where_the_law_is_known_and_the_slow_form_where_it_is_written() -> None:
    listed = {domain.env_id: {spec.name for spec in domain.agents} for domain in DOMAINS}
    assert ["true-distribution" in listed[name] for name in IDS] == [True, True, False]
    assert all("true-distribution" in listed[name] for name in LINEAR)
    assert ["dfl-cvx" in listed[name] for name in IDS] == [True, False, False]
    rare = {spec.name for domain in DOMAINS for spec in domain.agents if not spec.usual}
    assert {"dfl-cvx", "true-distribution"} <= rare  # they are asked for by name: slow, and without a law an error
    assert not rare & {"usual", *(spec.name for spec in METHODS)}


@each_domain
def test_record__names_what_is_there(domain: Domain) -> None:
    env = gym.make(domain.env_id, **domain.small).unwrapped
    assert domain_of_env(env) is REGISTERED[domain.env_id]
    arguments = inspect.signature(type(env)).parameters
    assert set(domain.options) <= set(arguments)
    assert domain.chosen_on == {"split": "validation"}
    assert "split" in arguments
    assert domain.default_learner == "ppo"
    assert domain.extractor is not None
    assert inspect.isclass(load_entry(domain.extractor))
    assert domain.clairvoyant is not None
    assert load_entry(domain.clairvoyant).privileged


@each_domain
def test_headline__has_columns_that_the_environment_measures_and_no_constraint(domain: Domain) -> None:
    env = gym.make(domain.env_id, **domain.small)
    env.reset(seed=0)
    *_, info = env.step(env.action_space.sample())
    columns = (*domain.headline.columns, *domain.headline.further)
    keys = {column.key for column in columns}
    assert keys <= set(info["metrics"])
    rest = set(info["metrics"]) - keys  # beside regret at the risk asked for, the risks that regrets are made of
    assert rest == (
        {"true_mean", "true_cvar_0.5", "true_cvar_0.1", "risk_regret"} if domain.env_id in LINEAR else set()
    )
    assert domain.headline.constraint is None
    assert domain.headline.objective.key == "cost"
    assert domain.headline.lower_is_better


def test_headline__writes_costs_with_unit_and_decimals() -> None:
    found = headline(1, "USD")
    assert found.objective.sentence(2.26) == "cost 2.3 USD"
    assert found.others[1].text(0.5) == "50 %"
    assert [column.unit for column in (*found.others, *found.further)] == ["USD", "", "USD"]


def test_decision_domain__of_a_problem_of_your_own_has_every_method_and_learner() -> None:
    found = decision_domain("Mine-v0", options=("instance",), decimals=0, small={"instance": 3})
    assert [spec.name for spec in found.agents] == ["usual", "ppo", "sac", *(spec.name for spec in METHODS)]
    assert found.headline == headline(0)
    assert found.options == ("instance",)
    assert found.small == {"instance": 3}
    few = decision_domain("Mine-v0", agents=(SO_EBM,))
    assert few.agent("so-ebm") == SO_EBM
    assert few.agent("dfl") is None
    assert few.agents[0] == USUAL
    assert DFL not in few.agents
