"""What tests of agents share."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from rich.console import Console

import stormgym  # noqa: F401  (registers the ids)
from stormgym.agents.attention_pg.settings import AttentionPGSettings
from stormgym.agents.decisions import generative, hospital_beds, methods
from stormgym.agents.dfl.learner import FineTuning
from stormgym.agents.dfl.recall import forget
from stormgym.agents.dispatch import forecasters
from stormgym.agents.dispatch.decision import WEATHER, simulated_events
from stormgym.agents.learners.settings import (
    DQNSettings,
    HRLDPDPSettings,
    MaskableDQNSettings,
    MaskablePPOSettings,
    PPOSettings,
    SACSettings,
)
from stormgym.agents.pretrained.cards import Card, TrainedOn, write_card
from stormgym.agents.pretrained.sta_sac import write_weights
from stormgym.agents.pretrained.tokens import SHAPE
from stormgym.agents.runs import RunRequest, RunSettings
from stormgym.agents.sta_sac.settings import STASACSettings
from stormgym.agents.training import command
from stormgym.envs.adapters.sb3 import StormVecEnv, make_vec_env
from stormgym.envs.adapters.sb3_mixed import MixedVecEnv, make_mixed_vec_env
from stormgym.envs.dispatch.profiles import resolve_profile
from stormgym.predictors.conditional import ConditionalNetwork
from stormgym.predictors.outage_ode import OutageODE

ROOT = Path(__file__).resolve().parents[2]


def keep_untrained(model: Any, env_id: str, env_kwargs: dict[str, Any], folder: Path) -> str:
    """Write a model over tokens as a pretrained agent into a folder; return the name to load it by."""
    card = Card(
        agent="sta-sac",
        name="tried",
        summary="untrained",
        network={"shape": SHAPE, **model.policy.sizes, **model.policy.widths},
        n_groups=model.policy.n_groups,
        command="none",
        seed=0,
        timesteps=0,
        version="0",
        date="2026-12-01",
        trained_on=TrainedOn(env_id=env_id, env_kwargs=env_kwargs, instance="none", cost_limit=None),
        scores=(),
    )
    write_card(card, folder)
    write_weights(model.policy.actor_average.state_dict(), folder / f"{card.stem}.npz")
    return card.full_name


@pytest.fixture
def untrained() -> Callable[[Any, str, dict[str, Any], Path], str]:
    """`keep_untrained`."""
    return keep_untrained


SMALL: dict[str, dict[str, Any]] = {
    "Restoration-v0": {"city": "synthetic:7:1", "predictor": "none"},
    "Undergrounding-v0": {"profile": "synthetic:12:1", "budget": 3_000.0},
}
REPLAY: dict[str, Any] = {"learning_starts": 64, "buffer_size": 96, "batch_size": 16, "gradient_steps": 2, "width": 16}
QUICK: dict[str, Any] = {
    "sta-sac": STASACSettings(
        learning_starts=64,
        gradient_steps=1,
        width=16,
        n_layers=1,
        teacher="nearest",
        teacher_steps=56,
        practice=2,
        practice_storms=2,
        practice_orders=4,
    ),
    "ppo": PPOSettings(n_steps=8, batch_size=32, n_epochs=2, width=16),
    "dqn": DQNSettings(target_update_interval=64, **REPLAY),
    "maskable-ppo": MaskablePPOSettings(n_steps=8, batch_size=32, n_epochs=2, width=16),
    "maskable-dqn": MaskableDQNSettings(target_update_interval=64, **REPLAY),
    "sac": SACSettings(**REPLAY),
    "hrl-dpdp": HRLDPDPSettings(n_steps=8, batch_size=32, n_epochs=2, width=16),
    "attention-pg": AttentionPGSettings(n_rollouts=3, width=16, n_layers=1),
}
"""Settings with which learners learn within a hundred steps, and replay buffers are full by then."""


def main_of(script: str) -> Callable[..., int]:
    """The `main(words)` of a command line at the repository's root, which returns the exit code."""
    name = f"stormgym_command_line_{script.removesuffix('.py')}"
    if name not in sys.modules:
        spec = spec_from_file_location(name, ROOT / script)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module_from_spec(spec)  # dataclasses and tyro look their module up by name
        spec.loader.exec_module(sys.modules[name])
    main: Callable[..., int] = sys.modules[name].main
    return main


@pytest.fixture(scope="session")
def evaluate_main() -> Callable[..., int]:
    """The command line `evaluate.py`."""
    return main_of("evaluate.py")


@pytest.fixture(scope="session")
def train_main() -> Callable[..., int]:
    """The command line `train.py`."""
    return main_of("train.py")


@pytest.fixture
def console() -> Console:
    """A console that shows nothing."""
    return Console(stderr=True, quiet=True)


@pytest.fixture(scope="session")
def begin() -> Callable[..., command.Training]:
    """Begins a small run in a folder: begin(folder, console, agent, **changes of the request)."""

    def start(folder: Path, console: Console, agent: str = "maskable-ppo", **changes: Any) -> command.Training:
        asked: dict[str, Any] = {
            "env_id": "Restoration-v0",
            "agent": agent,
            "learner": asdict(QUICK[agent]),
            "timesteps": 256,
            "seed": 3,
            "num_envs": 8,
            "env_kwargs": SMALL["Restoration-v0"],
            "eval_freq": 128,
            "eval_episodes": 4,
            "checkpoint_freq": 128,
        }
        return command.start_run(RunRequest(**{**asked, **changes}), runs_dir=folder, console=console)

    return start


@pytest.fixture(scope="session")
def settings_for() -> Callable[..., RunSettings]:
    """Makes the settings of a run that trains nothing."""

    def make(agent: str = "ppo") -> RunSettings:
        return RunSettings(
            env_id="Restoration-v0",
            agent=agent,
            seed=0,
            timesteps=10,
            num_envs=1,
            eval_freq=5,
            eval_episodes=4,
            checkpoint_freq=5,
        )

    return make


@pytest.fixture(scope="session")
def environments() -> Callable[..., StormVecEnv]:
    """Makes environments of Restoration-v0 in a city of seven regions, as Stable-Baselines3 takes them."""

    def make(num_envs: int = 4) -> StormVecEnv:
        return make_vec_env("Restoration-v0", num_envs, seed=2, **SMALL["Restoration-v0"])

    return make


@pytest.fixture(scope="session")
def mixed() -> Callable[..., MixedVecEnv]:
    """Makes seven environments of Restoration-v0 over three cities of five, nine and seven regions."""
    cities = ("synthetic:5:1", "synthetic:9:2", "synthetic:7:3")

    def make(seed: int | None = 3, **kwargs: Any) -> MixedVecEnv:
        return make_mixed_vec_env("Restoration-v0", 7, cities, seed=seed, **{"predictor": "none", **kwargs})

    return make


@pytest.fixture(scope="session")
def mid_episode() -> Callable[..., tuple[StormVecEnv, dict[str, np.ndarray[Any, Any]]]]:
    """Makes such environments, of an id in `SMALL`, and plays three random steps; gives them and the observation."""

    def make(num_envs: int = 4, env_id: str = "Restoration-v0") -> tuple[Any, dict[str, np.ndarray[Any, Any]]]:
        venv = make_vec_env(env_id, num_envs, seed=2, **SMALL[env_id])
        venv.reset()
        rng = np.random.default_rng(0)
        obs: Any = None
        for _ in range(3):
            masks = venv.action_masks()
            obs, *_ = venv.step((rng.random(masks.shape) * masks).argmax(axis=1))
        return venv, obs

    return make


@pytest.fixture(scope="session")
def vector_env() -> Callable[..., Any]:
    """Makes a native vector environment of Restoration-v0, without a fit unless `predictor` is given."""

    def make(num_envs: int, **kwargs: Any) -> Any:
        return gym.make_vec(
            "Restoration-v0", num_envs, vectorization_mode="vector_entry_point", **{"predictor": "none", **kwargs}
        )

    return make


@pytest.fixture(scope="session")
def odes() -> dict[str, OutageODE]:
    """Forecasters of profile A, by loss, fitted in some seconds; copy what is to change."""
    profile = resolve_profile("A")
    train = simulated_events(profile, 60, 1)
    return {
        loss: OutageODE(profile.population, 15, feature_names=WEATHER, loss=loss, n_steps=40).fit(  # type: ignore[arg-type]
            train.X, train.out, train.onset
        )
        for loss in ("mse", "crps")
    }


@pytest.fixture(scope="module")
def quick_fits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Agents fit their forecasters on few storms or in few steps, and tune them for one epoch."""
    tuning_of = methods.tuning_of
    with pytest.MonkeyPatch.context() as patch:
        forget()
        patch.setattr(forecasters, "N_FIT", 24)
        patch.setattr(forecasters, "N_VALIDATION", 12)
        patch.setattr(forecasters, "FineTuning", partial(FineTuning, n_epochs=1))
        patch.setattr(forecasters, "OutageODE", partial(OutageODE, n_steps=10))
        patch.setenv("STORMGYM_CACHE", str(tmp_path_factory.mktemp("quick")))  # no other test may recall these
        patch.setattr(methods, "tuning_of", lambda task, method: replace(tuning_of(task, method), n_epochs=1))
        patch.setattr(hospital_beds, "MOST_EPOCHS", 2)
        patch.setattr(generative, "RADII", (0.0, 0.3))
        fit = ConditionalNetwork.fit

        def fit_soon(self: ConditionalNetwork, *events: Any) -> ConditionalNetwork:
            self.max_epochs = 2
            return fit(self, *events)

        patch.setattr(ConditionalNetwork, "fit", fit_soon)
        yield
    forget()
