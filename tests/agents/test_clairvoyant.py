"""`clairvoyant`: one name, and in every environment that domain's own policy with perfect information."""

from __future__ import annotations

from dataclasses import replace

import gymnasium as gym
import pytest

import stormgym  # noqa: F401  (registers the ids)
from stormgym.agents.clairvoyant import ClairvoyantOfDomain
from stormgym.agents.decisions.policies import Clairvoyant
from stormgym.agents.domain import load_entry
from stormgym.agents.lineup import make_policy
from stormgym.agents.registry import DOMAINS, agent_spec
from stormgym.agents.restoration.domain import DOMAIN as RESTORATION

HAVE_ONE = [domain for domain in DOMAINS.values() if domain.agent("clairvoyant") is not None]


def test_clairvoyant__of_restoration_is_restorations_and_of_decisions_theirs() -> None:
    town = gym.make("Restoration-v0", city="synthetic:6:1", predictor="none")
    assert RESTORATION.clairvoyant is not None
    own = load_entry(RESTORATION.clairvoyant)
    policy = make_policy("clairvoyant", town)
    assert type(policy) is own
    assert own is not Clairvoyant
    network = gym.make("NetworkSecurity-v0", n_nodes=12, radius=0.45)
    assert type(make_policy("clairvoyant", network)) is Clairvoyant


@pytest.mark.parametrize("domain", HAVE_ONE, ids=lambda domain: domain.env_id)
def test_clairvoyant__is_privileged_wherever_it_is_listed(domain: object) -> None:
    clairvoyant = domain.clairvoyant  # type: ignore[attr-defined]
    assert load_entry(clairvoyant).privileged
    assert load_entry(clairvoyant).name == "clairvoyant"
    assert agent_spec("clairvoyant").privileged
    assert ClairvoyantOfDomain.privileged


def test_clairvoyant__of_a_domain_without_one_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DOMAINS, "NetworkSecurity-v0", replace(DOMAINS["NetworkSecurity-v0"], clairvoyant=None))
    env = gym.make("NetworkSecurity-v0", n_nodes=12, radius=0.45)
    with pytest.raises(ValueError, match="NetworkSecurity-v0 has no clairvoyant policy: its Domain names none"):
        make_policy("clairvoyant", env)
