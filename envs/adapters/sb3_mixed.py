"""Many cities in one Stable-Baselines3 `VecEnv`, padded to the largest."""

from __future__ import annotations

from stormgym.predictors.extras import require

require("this form of the environments for Stable-Baselines3", ("torch", "stable_baselines3"), "agents")

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from stormgym.envs.adapters.sb3 import StormVecEnv, make_vec_env
from stormgym.envs.arrays import Observation
from stormgym.envs.doors import check_num_envs
from stormgym.envs.restoration.layout import REGION_COLUMNS

PADDED = frozenset({*REGION_COLUMNS, "action_mask"})
"""Keys of the observation with one number a region."""

NO_REGION = -1.0
"""What `group` holds where a row has no region; the only mark of padding (everything else there is 0)."""


@dataclass(frozen=True)
class CityRows:
    """Where one city is in a mixed batch."""

    rows: slice
    """Its environments."""
    n_regions: int
    """Its number of regions N; the columns beyond are padding."""

    def of(self, observation: Observation) -> Observation:
        """The observation of its rows without padding, `[b, N]` where the mixed one has `[B, N_max]`."""
        return {
            key: value[self.rows, : self.n_regions] if key in PADDED else value[self.rows]
            for key, value in observation.items()
        }


def make_mixed_vec_env(
    env_id: str,
    num_envs: int,
    cities: Sequence[Any],
    *,
    seed: int | None = None,
    on_city: Callable[[int, int], None] | None = None,
    **env_kwargs: Any,
) -> MixedVecEnv:
    """Make environments over several cities, as `make_vec_env` does over one.

    Args:
        env_id: a registered id whose environment takes a `city`.
        num_envs: B, shared evenly among the cities, the first ones taking the rest; raised to one a city.
        cities: names, folders or `City` objects.
        seed: environment i is seeded with `seed + i` at its first reset; None for fresh entropy.
        on_city: called with the index of the city that is prepared next (the first time, its forecasts are fitted,
            which takes seconds) and the number of cities.
        **env_kwargs: further arguments of the environments.

    Raises:
        ValueError: no city, or cities with different numbers of groups.
    """
    share, rest = divmod(max(check_num_envs(num_envs), len(cities)), max(len(cities), 1))
    venvs = []
    for i, city in enumerate(cities):
        if on_city is not None:
            on_city(i, len(cities))
        venvs.append(make_vec_env(env_id, share + (i < rest), city=city, **env_kwargs))
    venv = MixedVecEnv(venvs)
    if seed is not None:
        venv.seed(seed)
    return venv


class MixedVecEnv(VecEnv):
    """Several `StormVecEnv`s, each over one city with its own number of regions, as one `VecEnv`.

    The rows of the first city come first, then those of the second, and so on. Observations are padded to the largest
    number of regions N_max: `group` with -1, which marks "no region", every other region column and `action_mask`
    with 0. So are `terminal_observation` and the `action_mask` of infos. Everything else is as `StormVecEnv` gives it.
    The action space is `Discrete(N_max)`; an action beyond the regions of a row's own city is an error.

    Args:
        venvs: the environments of each city.

    Attributes:
        venvs: as given.
        parts: where each city is, one `CityRows` each.

    Raises:
        ValueError: no environments, environments without regions, or cities with different numbers of groups.
    """

    def __init__(self, venvs: Sequence[StormVecEnv]) -> None:
        if not venvs:
            raise ValueError("MixedVecEnv needs the environments of at least one city; got none")
        self.venvs = list(venvs)
        for venv in self.venvs:
            keys = venv.observation_space.spaces if isinstance(venv.observation_space, spaces.Dict) else {}
            if not PADDED <= set(keys) or not venv.has_attr("city"):
                raise ValueError(
                    "MixedVecEnv mixes environments over cities, whose observations have regions, as Restoration-v0's; "
                    f"got {venv.observation_space}"
                )
        cities = [venv.get_attr("city")[0] for venv in self.venvs]
        groups = {city.name: city.n_groups for city in cities}
        if len(set(groups.values())) > 1:
            raise ValueError(
                "all cities of a MixedVecEnv must have the same number of groups; got "
                + ", ".join(f"{name}: {n}" for name, n in groups.items())
            )
        ends = np.cumsum([venv.num_envs for venv in self.venvs]).tolist()
        self.parts = [
            CityRows(slice(end - venv.num_envs, end), city.n_regions)
            for end, venv, city in zip(ends, self.venvs, cities, strict=True)
        ]
        self._row_regions = np.repeat([p.n_regions for p in self.parts], [v.num_envs for v in self.venvs])  # [B]
        largest = self.venvs[int(np.argmax([p.n_regions for p in self.parts]))]
        self.n_regions = int(self._row_regions.max())
        super().__init__(ends[-1], _with_no_region(largest.observation_space), spaces.Discrete(self.n_regions))
        self.metadata = dict(self.venvs[0].metadata)

    def split(self, observation: Observation) -> list[Observation]:
        """The observation of each city's rows without padding."""
        return [part.of(observation) for part in self.parts]

    def reset(self) -> VecEnvObs:
        """Reset all environments; `reset_infos` then holds their infos."""
        if any(self._options):
            raise ValueError(f"reset options cannot go to single environments of a batched one; got {self._options[0]}")
        observations = []
        for part, venv in zip(self.parts, self.venvs, strict=True):
            venv._seeds = list(self._seeds[part.rows])
            observations.append(venv.reset())
        self._reset_seeds()
        self._reset_options()
        self._keep_reset_infos()
        return self._joined(observations)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Hand each city its actions.

        Raises:
            ValueError: an action that is no region of its row's city.
        """
        chosen = np.asarray(actions)
        if chosen.shape != (self.num_envs,):
            raise ValueError(f"actions must have shape ({self.num_envs},); got {chosen.shape}")
        outside = (chosen >= self._row_regions) | (chosen < 0)
        if outside.any():
            row = int(outside.argmax())
            raise ValueError(
                f"action {chosen[row]} in environment {row}: its city has the regions 0..{self._row_regions[row] - 1}; "
                "choose where action_mask is 1"
            )
        for part, venv in zip(self.parts, self.venvs, strict=True):
            venv.step_async(chosen[part.rows])

    def step_wait(self) -> VecEnvStepReturn:
        """Advance all environments, city by city; those that ended are reset in the same step."""
        steps = [venv.step_wait() for venv in self.venvs]
        observation = self._joined([step[0] for step in steps])
        reward = np.concatenate([step[1] for step in steps])
        done = np.concatenate([step[2] for step in steps])
        infos = [info for step in steps for info in step[3]]
        if "action_mask" in infos[0]:
            for info, mask in zip(infos, observation["action_mask"].copy(), strict=True):
                info["action_mask"] = mask
        for part, step in zip(self.parts, steps, strict=True):
            for info in (step[3][i] for i in np.flatnonzero(step[2])):
                last = info["terminal_observation"] = self._padded_row(info["terminal_observation"], part)
                if "action_mask" in info:
                    info["action_mask"] = last["action_mask"].copy()
        if done.any():
            self._keep_reset_infos()
        return observation, reward, done, infos

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are allowed now, `[B, N_max]` bool."""
        masks = np.zeros((self.num_envs, self.n_regions), dtype=bool)
        for part, venv in zip(self.parts, self.venvs, strict=True):
            masks[part.rows, : part.n_regions] = venv.action_masks()
        return masks

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of each environment; those of one city share it."""
        return self._of_rows(indices, lambda venv, rows: venv.get_attr(attr_name, rows))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of all environments, or of all those of some cities."""

        def put(venv: StormVecEnv, rows: list[int]) -> list[Any]:
            venv.set_attr(attr_name, value, rows)
            return [None] * len(rows)

        self._of_rows(indices, put)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method that looks, such as `action_masks` (whose masks are padded).

        Raises:
            ValueError: `reset`, `step` or `close`, which act on all environments at once.
        """
        if method_name == "action_masks":
            masks = self.action_masks()
            return [masks[i] for i in self._get_indices(indices)]
        return self._of_rows(
            indices, lambda venv, rows: venv.env_method(method_name, *method_args, indices=rows, **method_kwargs)
        )

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """True for `Monitor` (episodes are reported as it reports them), False for any other wrapper."""
        return self._of_rows(indices, lambda venv, rows: venv.env_is_wrapped(wrapper_class, rows))

    def get_images(self) -> Sequence[NDArray[Any] | None]:
        """One picture per environment, when made with `render_mode="rgb_array"`."""
        return [image for venv in self.venvs for image in venv.get_images()]

    def state_dict(self) -> dict[str, Any] | None:
        """As `StormVecEnv`, city by city."""
        parts = [venv.state_dict() for venv in self.venvs]
        return None if any(part is None for part in parts) else {"parts": parts}

    def load_state_dict(self, state: dict[str, Any]) -> VecEnvObs:
        """As `StormVecEnv`, city by city."""
        observations = [venv.load_state_dict(part) for venv, part in zip(self.venvs, state["parts"], strict=True)]
        return self._joined(observations)

    def close(self) -> None:
        """Close the environments."""
        for venv in self.venvs:
            venv.close()

    def _joined(self, observations: Sequence[Any]) -> Observation:
        """One padded observation of all rows, in fresh arrays."""
        joined: Observation = {}
        for key, first in observations[0].items():
            if key not in PADDED:
                joined[key] = np.concatenate([observation[key] for observation in observations])
                continue
            joined[key] = np.full((self.num_envs, self.n_regions), _fill(key), dtype=first.dtype)
            for part, observation in zip(self.parts, observations, strict=True):
                joined[key][part.rows, : part.n_regions] = observation[key]
        return joined

    def _padded_row(self, observation: Observation, part: CityRows) -> Observation:
        """The observation of one environment, padded."""
        beyond = (0, self.n_regions - part.n_regions)
        return {
            key: np.pad(value, beyond, constant_values=_fill(key)) if key in PADDED else value
            for key, value in observation.items()
        }

    def _keep_reset_infos(self) -> None:
        self.reset_infos = []
        for part, venv in zip(self.parts, self.venvs, strict=True):
            for info in venv.reset_infos:
                mask = info.get("action_mask")
                padded = {} if mask is None else {"action_mask": np.pad(mask, (0, self.n_regions - part.n_regions))}
                self.reset_infos.append({**info, **padded})

    def _of_rows(self, indices: VecEnvIndices, read: Callable[[StormVecEnv, list[int]], list[Any]]) -> list[Any]:
        """What `read(venv, rows of it)` gives, in the order of `indices`."""
        wanted = [range(self.num_envs)[i] for i in self._get_indices(indices)]
        values: dict[int, Any] = {}
        for part, venv in zip(self.parts, self.venvs, strict=True):
            here = [i for i in wanted if part.rows.start <= i < part.rows.stop]
            if here:
                values.update(zip(here, read(venv, [i - part.rows.start for i in here]), strict=True))
        return [values[i] for i in wanted]


def _fill(key: str) -> float:
    return NO_REGION if key == "group" else 0


def _with_no_region(space: spaces.Space[Any]) -> spaces.Dict:
    """The space with -1 allowed in `group`."""
    assert isinstance(space, spaces.Dict)
    group = space["group"]
    assert isinstance(group, spaces.Box)
    low = np.full(group.shape, NO_REGION, dtype=np.float32)
    return spaces.Dict({**space.spaces, "group": spaces.Box(low, group.high, dtype=np.float32)})
