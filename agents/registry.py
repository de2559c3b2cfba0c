"""Every domain and every agent by name; `register_domain` adds those of other packages."""

from __future__ import annotations

from typing import Any

from stormgym.agents.crews.domain import DOMAIN as CREWS
from stormgym.agents.decisions.domain import DOMAINS as DECISIONS
from stormgym.agents.dispatch.domain import DOMAIN as DISPATCH
from stormgym.agents.domain import AgentSpec, Domain
from stormgym.agents.general import ANYWHERE
from stormgym.agents.restoration.domain import DOMAIN as RESTORATION
from stormgym.agents.undergrounding.domain import DOMAIN as UNDERGROUNDING
from stormgym.envs.spelling import unknown

DOMAINS: dict[str, Domain] = {}
"""Domains by environment id, without a prefix `module:`."""

AGENTS: dict[str, AgentSpec] = {}
"""Every agent by name, in the order in which domains list them."""


def register_domain(domain: Domain) -> None:
    """Make an environment of any package one that `train.py`, `evaluate.py` and their reports know.

    Call it where the environment is registered with Gymnasium, so that `--env module:Name-v0` does both. Registering
    the same record again changes nothing.

    Raises:
        ValueError: the id has another domain already; an agent of this name is another one; or the domain's default
            learner or planning agent is not among its agents.
    """
    if DOMAINS.get(domain.env_id, domain) != domain:
        raise ValueError(f"{domain.env_id} has a domain already; register one record an environment id")
    for spec in domain.agents:
        if AGENTS.get(spec.name, spec) != spec:
            raise ValueError(
                f"an agent {spec.name!r} is registered already ({AGENTS[spec.name].entry_point}); give the agent of "
                f"{domain.env_id} ({spec.entry_point}) another name, or let each domain name its own policy behind one "
                "agent (Domain.own)"
            )
    for what, name in (("default_learner", domain.default_learner), ("plan_agent", domain.plan_agent)):
        if name is not None and domain.agent(name) is None:
            raise ValueError(f"{what} of {domain.env_id} must be one of its agents; got {name!r}")
    bound = domain.headline.bound
    if bound is not None and domain.agent(bound) is None:
        raise ValueError(f"headline.bound of {domain.env_id} must be one of its agents; got {bound!r}")
    if domain.default_learner is not None and not _learns(domain, domain.default_learner):
        raise ValueError(f"default_learner of {domain.env_id} must learn; {domain.default_learner!r} does not")
    DOMAINS[domain.env_id] = domain
    AGENTS.update({spec.name: spec for spec in domain.agents})


def _learns(domain: Domain, name: str) -> bool:
    spec = domain.agent(name)
    return spec is not None and spec.trainable


def plain_id(env_id: str) -> str:
    """An environment id without its prefix `module:`."""
    return env_id.rpartition(":")[2]


def has_domain(env_id: str) -> bool:
    """Whether an environment has a domain of its own: costs, metrics and a headline that reports can count on."""
    return plain_id(env_id) in DOMAINS


def domain_of(env_id: str) -> Domain:
    """The domain of an environment id; for one without, a plain record: return and cost, learners that fit anywhere."""
    return DOMAINS.get(plain_id(env_id)) or Domain(plain_id(env_id), agents=ANYWHERE)


def domain_of_env(env: Any) -> Domain:
    """The domain of an environment: Env, VectorEnv, a VecEnv of Stable-Baselines3, or a wrapper of one."""
    specs = env.get_attr("spec") if hasattr(env, "has_attr") and env.has_attr("spec") else [getattr(env, "spec", None)]
    return domain_of("" if specs[0] is None else specs[0].id)


def agent_spec(name: str) -> AgentSpec:
    """Return the entry of that name; raise `KeyError` with the known names."""
    try:
        return AGENTS[name]
    except KeyError:
        rest = f"known agents: {', '.join(AGENTS)}"
        raise KeyError(unknown(f"unknown agent {name!r}", name, AGENTS, rest)) from None


def known_agents(env_id: str, *, trainable: bool | None = None) -> tuple[str, ...]:
    """Names of the agents that fit an environment id, all or only those that learn (or do not); () without a domain."""
    agents = domain_of(env_id).agents if has_domain(env_id) else ()
    return tuple(spec.name for spec in agents if trainable is None or spec.trainable == trainable)


for _domain in (RESTORATION, CREWS, DISPATCH, UNDERGROUNDING, *DECISIONS):
    register_domain(_domain)
for _spec in ANYWHERE:  # environments without a domain take them, whether a domain lists them or not
    AGENTS.setdefault(_spec.name, _spec)
