"""Train an agent, or go on with a run.

python train.py --env Restoration-v0
python train.py --env Restoration-v0 --agent ppo --timesteps 500000 --city FOLDER
python train.py --resume runs/Restoration-v0/sta-sac/RUN
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated

import tyro

from stormgym.agents.attention_pg.settings import AttentionPGSettings
from stormgym.agents.evaluation.options import EnvOptions, shown_as
from stormgym.agents.sta_sac.settings import STASACPaperSettings, STASACSettings
from stormgym.agents.training.settings import (
    DQNSettings,
    HRLDPDPSettings,
    MaskableDQNSettings,
    MaskablePPOSettings,
    PPOSettings,
    STAPPOSettings,
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Train an agent on an environment, or (--resume) go on with a run."""

    env: str = "Restoration-v0"
    """Environment id: one of this suite, or any registered one for ppo and dqn."""
    agent: Annotated[str | None, shown_as("NAME")] = None
    """An agent that learns: sta-sac, maskable-ppo, attention-pg, ... (a wrong name lists all). Left out: the agent that
    fits the environment."""
    timesteps: Annotated[int | None, shown_as("N")] = None
    """Environment steps of the whole run. Left out: a small budget of the agent's own."""
    seed: int = 0
    """Decides networks, exploration and training scenarios."""
    resume: Annotated[Path | None, shown_as("RUN")] = None
    """Run folder to go on with, with its own settings; --timesteps may name a larger total."""
    num_envs: Annotated[int | None, shown_as("N")] = None
    """Environments that collect side by side. Left out: the agent's own number."""
    eval_freq: Annotated[int | None, shown_as("STEPS")] = None
    """Steps between evaluations. Left out: a twentieth of the run."""
    eval_episodes: int = 256
    """Fixed scenarios of each evaluation during training; they decide which model is kept as the best."""
    checkpoint_freq: Annotated[int | None, shown_as("STEPS")] = None
    """Steps between checkpoints. Left out: a tenth of the run."""
    final_episodes: int = 100
    """Held-out scenarios of the table at the end; 0 for no table."""
    compare: Annotated[str | None, shown_as("A,B")] = None
    """Agents beside the trained one in that table, or none. Left out: all that need no training."""
    runs_dir: Path = Path("runs")
    """Where run folders are made."""
    device: str = "cpu"
    """Torch device: cpu, cuda or auto. The networks are small, so a CPU is usually faster."""
    torch_threads: int = 1
    """Threads of torch; the networks are small and gain little from more."""
    progress: bool = True
    """Show a progress bar (on a terminal)."""
    environment: tyro.conf.OmitArgPrefixes[EnvOptions] = field(default_factory=EnvOptions)
    sta_sac: STASACSettings = field(default_factory=STASACSettings)
    sta_sac_paper: STASACPaperSettings = field(default_factory=STASACPaperSettings)
    sta_ppo: STAPPOSettings = field(default_factory=STAPPOSettings)
    ppo: PPOSettings = field(default_factory=PPOSettings)
    dqn: DQNSettings = field(default_factory=DQNSettings)
    maskable_ppo: MaskablePPOSettings = field(default_factory=MaskablePPOSettings)
    maskable_dqn: MaskableDQNSettings = field(default_factory=MaskableDQNSettings)
    hrl_dpdp: HRLDPDPSettings = field(default_factory=HRLDPDPSettings)
    attention_pg: AttentionPGSettings = field(default_factory=AttentionPGSettings)


FREE_ON_RESUME = ("resume", "timesteps", "final_episodes", "compare", "progress")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code (2 for a wrong name, path or option; 130 after Ctrl-C)."""
    settings = tyro.cli(Settings, args=arguments)
    try:
        return _run(settings)
    except KeyboardInterrupt:
        print(
            "train.py: stopped at once; --resume goes on from the last checkpoint, if there is one",
            file=sys.stderr,
        )
        return 130


def _run(settings: Settings) -> int:
    from rich.console import Console

    from stormgym.agents.training import command as door

    out, err = door.make_console(), Console(stderr=True, emoji=False)
    try:
        if settings.resume is not None:
            plain = Settings()
            names = [f.name for f in fields(settings) if f.name not in FREE_ON_RESUME]
            changed = [name for name in names if getattr(settings, name) != getattr(plain, name)]
            if changed:
                options = ", ".join(f"--{name.replace('_', '-')}" for name in changed)
                raise door.UsageError(f"--resume goes on with the run's own settings; leave out {options}")
            training = door.resume(
                settings.resume,
                settings.timesteps,
                err,
                final_episodes=settings.final_episodes,
                compare=settings.compare,
            )
        else:
            with door.usage_errors():
                env_kwargs = settings.environment.env_kwargs()
            training = door.start_run(
                env_id=settings.env,
                agent=settings.agent,
                learner_settings={
                    "sta-sac": settings.sta_sac,
                    "sta-sac-paper": settings.sta_sac_paper,
                    "sta-ppo": settings.sta_ppo,
                    "ppo": settings.ppo,
                    "dqn": settings.dqn,
                    "maskable-ppo": settings.maskable_ppo,
                    "maskable-dqn": settings.maskable_dqn,
                    "hrl-dpdp": settings.hrl_dpdp,
                    "attention-pg": settings.attention_pg,
                },
                timesteps=settings.timesteps,
                seed=settings.seed,
                num_envs=settings.num_envs,
                env_kwargs=env_kwargs,
                eval_freq=settings.eval_freq,
                eval_episodes=settings.eval_episodes,
                checkpoint_freq=settings.checkpoint_freq,
                runs_dir=settings.runs_dir,
                device=settings.device,
                torch_threads=settings.torch_threads,
                console=err,
                final_episodes=settings.final_episodes,
                compare=settings.compare,
            )
        run = training.run
        left = run.settings.timesteps - training.model.num_timesteps
        small = "" if settings.resume or settings.timesteps else " (a small default budget; --timesteps sets another)"
        out.print(f"Training {run.settings.agent} on {run.settings.env_id}: {left:,} steps{small}", highlight=False)
        warm_up = getattr(training.settings, "learning_starts", 0)
        if run.settings.timesteps <= warm_up:
            option = f"--{run.settings.agent}.learning-starts"
            out.print(
                f"Note: the first {warm_up:,} steps are random ({option}), so this run may learn nothing",
                highlight=False,
            )
        out.print(f"Run folder: {run.folder}", soft_wrap=True, highlight=False)
        door.train(training, err, progress=settings.progress)
        door.show_result(run, out, episodes=settings.final_episodes, compare=settings.compare)
    except door.Stopped as stopped:
        print(f"train.py: {stopped}", file=sys.stderr)
        return 128 + stopped.signum
    except door.UsageError as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
