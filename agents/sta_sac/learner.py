"""STA-SAC as a learner of the registry, and the plain form of its paper."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from stormgym.agents.learners.base import Learner
from stormgym.agents.mixed import policy_for
from stormgym.agents.policy import Policy
from stormgym.agents.registry import AGENTS, agent_spec
from stormgym.agents.restoration.network.features import check_regions
from stormgym.agents.sta_sac.algorithm import STASAC
from stormgym.agents.sta_sac.settings import STASACPaperSettings, STASACSettings


class STASACLearner(Learner):
    """STA-SAC: it knows the constraint itself."""

    many_cities = True
    any_regions = True
    must_match = "number of groups"
    any_limit = True

    def check(self, venv: VecEnv) -> None:
        """STA-SAC needs regions."""
        check_regions("sta-sac", venv.observation_space)

    def arguments(self, venv: VecEnv, settings: STASACSettings, extractor: Any) -> tuple[Any, dict[str, Any]]:
        """All settings; sizes go to the policy, the teacher is bound to the environments."""
        del extractor  # it has a network of its own
        arguments = asdict(settings)
        sizes = (
            "width",
            "n_layers",
            "n_heads",
            "step_width",
            "balance",
            "shape",
            "share_critics",
            "known_part",
            "actor_lr_factor",
        )
        shock = has_shock(venv)
        arguments["policy_kwargs"] = {**{key: arguments.pop(key) for key in sizes}, "update": shock}
        arguments["teacher"] = teacher_of(settings.teacher, venv, arguments.pop("teacher_margin"))
        arguments["shared_luck"] = shock
        return "STASACPolicy", arguments

    def rebind(self, model: BaseAlgorithm, venv: VecEnv, settings: STASACSettings) -> None:
        """The teacher, bound to these environments."""
        assert isinstance(model, STASAC)
        model.teacher = teacher_of(settings.teacher, venv, settings.teacher_margin)


def has_shock(venv: VecEnv) -> bool:
    """Whether durations share a factor, so that those seen so far tell about those to come."""
    return venv.has_attr("core") and any(core.shock != "none" for core in venv.get_attr("core"))


def teacher_of(name: str, venv: VecEnv, margin: float = 0.0) -> Policy | None:
    """The policy of that name, bound to the environments; None for `"none"`.

    Where durations share a shock, the equity planner is the one that plans again.

    Args:
        name: a policy of the registry that needs no training.
        venv: the environments.
        margin: share of the cost limit that a planner with a limit leaves free; others have none.

    Raises:
        ValueError: an unknown name, a learner, or a policy that looks at the true durations.
    """
    if name == "none":
        return None
    if name == "equity-planner" and has_shock(venv):
        name = "equity-replanner"
    fitting = [n for n, spec in AGENTS.items() if not spec.trainable and not spec.privileged]
    if name not in fitting:
        raise ValueError(f"teacher must be none or one of {', '.join(fitting)}; got {name!r}")
    keeps_limit = "margin" in inspect.signature(agent_spec(name).load().__init__).parameters
    return policy_for(name, venv, **({"margin": margin} if keeps_limit else {}))


sta_sac = STASACLearner("sta-sac", STASAC, STASACSettings, default_timesteps=240_000, default_num_envs=64)
sta_sac_paper = STASACLearner(
    "sta-sac-paper", STASAC, STASACPaperSettings, default_timesteps=60_000, default_num_envs=16
)
