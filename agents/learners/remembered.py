"""Environments as a saved model remembers them: spaces, and what a learner asked them when it made the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv


class RememberedEnvs(VecEnv):
    """Stands in for the environments of a training where a model is only to act; it cannot be played.

    Args:
        observation_space, action_space: of one environment.
        attributes: what `get_attr` gives of each environment, by name.
        extractor_arguments: what the extractor asked of them (`arguments_of`).
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        attributes: Mapping[str, Any],
        extractor_arguments: Mapping[str, Any],
    ) -> None:
        self.attributes = {"render_mode": None, **attributes}
        self.extractor_arguments = dict(extractor_arguments)
        super().__init__(1, observation_space, action_space)

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """What is remembered of each environment."""
        if attr_name not in self.attributes:
            raise AttributeError(f"a saved model remembers nothing of {attr_name!r} of its environments")
        return [self.attributes[attr_name] for _ in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """No wrapper is remembered."""
        return [False for _ in self._get_indices(indices)]

    def _unplayable(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError("environments that a saved model remembers cannot be played; make new ones")

    reset = step_async = step_wait = set_attr = env_method = _unplayable

    def close(self) -> None:
        """Nothing is open."""


def arguments_of(extractor: type[Any] | None, venv: VecEnv) -> dict[str, Any]:
    """What an extractor asks of the environments before it is made (a classmethod `arguments_for(venv)`), if it does.

    They are numbers, lists and words, which a saved model keeps.
    """
    ask = getattr(extractor, "arguments_for", None)
    if ask is None:
        return {}
    return dict(venv.extractor_arguments) if isinstance(venv, RememberedEnvs) else dict(ask(venv))
