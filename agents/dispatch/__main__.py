"""Fit a forecaster of outage waves on simulated storms, tune it on plans if asked, and keep it in a file.

python -m stormgym.agents.dispatch --profile A --out forecaster.npz
python train.py --env GeneratorDispatch-v0 --profile A --option forecast=forecaster.npz
python evaluate.py --env GeneratorDispatch-v0 --profile A --agents oracle-dispatch,mine=forecaster.npz
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from stormgym.agents.dfl.learner import FineTuning, fine_tune
from stormgym.agents.dfl.problem import regret
from stormgym.agents.dispatch.decision import WEATHER, DispatchProblem, Events, WaveModel, simulated_events
from stormgym.agents.dispatch.forecasters import N_PLANNED
from stormgym.agents.statistics import mean_estimate
from stormgym.agents.terminal import PlainTable, make_console
from stormgym.agents.usage import check_writable
from stormgym.envs.dispatch.profiles import resolve_profile
from stormgym.envs.storms import FEATURES
from stormgym.predictors.outage_ode import Loss, OutageODE


@dataclass(frozen=True, kw_only=True)
class ForecasterSettings:
    """A forecaster of outage waves."""

    out: Path
    """File to write (.npz)."""
    profile: str = "A"
    """Counties, storms and costs: a name or a folder."""
    loss: Loss = "crps"
    """crps: the distribution of waves, for plans over samples; mse: one wave."""
    tune: Literal["none", "qp", "spo+"] = "none"
    """Tune it on the cost of plans: through a smoothed problem (qp), or a bound of the regret (spo+)."""
    features: tuple[str, ...] = WEATHER
    """Covariates that it sees."""
    storms: int = 160
    """Simulated storms to fit on; a hundred others choose epochs and calibrate intervals, 200 more score it."""
    n_steps: int = 100
    """Gradient steps of the fit."""
    confidence_level: float = 0.9
    """Of the conformal intervals."""
    seed: int = 0


def main(args: list[str] | None = None) -> int:
    """Fit, tune, calibrate, score, write."""
    settings = tyro.cli(ForecasterSettings, args=args, description=__doc__)
    console = make_console()
    try:
        profile = resolve_profile(settings.profile)
        unknown = [name for name in settings.features if name not in FEATURES]
        if unknown or not settings.features:
            raise ValueError(f"--features must be of {', '.join(FEATURES)}; got {settings.features}")
        if settings.storms < 1:
            raise ValueError(f"--storms must be at least 1; got {settings.storms}")
        if settings.out.suffix != ".npz":
            raise ValueError(f"--out must end in .npz; got {settings.out}")
        check_writable(settings.out)
        ode = OutageODE(
            profile.population,
            profile.n_periods,
            feature_names=settings.features,
            loss=settings.loss,
            steps_per_period=profile.steps_per_period,
            n_steps=settings.n_steps,
            confidence_level=settings.confidence_level,
            random_state=settings.seed,
        )
    except (ValueError, OSError) as error:
        console.print(f"error: {error}", style="red", markup=False)
        return 2
    fit, choose, test = (
        simulated_events(profile, n, 10_000 * (i + 1) + settings.seed, names=settings.features)
        for i, n in enumerate((settings.storms, 100, 200))
    )
    problem = DispatchProblem(profile)
    with console.status("fitting"):
        ode.fit(fit.X, fit.out, fit.onset)
    epochs = ""
    if settings.tune != "none":
        tuning = FineTuning(settings.tune, random_state=settings.seed)
        columns = (TextColumn("tuning on plans"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=make_console(stderr=True)) as progress:
            task = progress.add_task("", total=tuning.n_epochs)
            tuned = fine_tune(
                WaveModel(ode), problem, fit, choose, tuning, lambda epoch, _: progress.update(task, completed=epoch)
            )
        epochs = f"epoch {tuned.best_epoch} of {tuning.n_epochs} (0 is the fit)"
    with console.status("calibrating and scoring"):
        ode.conformalize(choose.X, choose.out, choose.onset)
        rows = _scores(ode, problem, test, settings)
    table = PlainTable(
        title=f"{settings.out}: {settings.loss} forecaster of profile {profile.name}, on 200 other storms"
    )
    table.add_column("figure")
    table.add_column("value", justify="right")
    if epochs:
        rows["tuning kept"] = epochs
    for name, value in rows.items():
        table.add_row(name, value)
    ode.save(settings.out)
    console.print(table)
    return 0


def _scores(ode: OutageODE, problem: DispatchProblem, test: Events, settings: ForecasterSettings) -> dict[str, str]:
    """Error, coverage of intervals and regret of plans on test storms, as rows of the table."""
    centre, interval, total = (a[:, 1:] for a in ode.forecast(test.X, test.onset))
    sums = test.outcomes.sum(axis=-1)
    inside = (interval[..., 0] <= test.outcomes) & (test.outcomes <= interval[..., 1])
    together = (total[..., 0] <= sums) & (sums <= total[..., 1])
    sampled = settings.loss == "crps"
    waves = ode.sample(test.X, test.onset, n_samples=N_PLANNED)[:, :, 1:] if sampled else centre[None]
    above = mean_estimate(regret(problem, waves, test.outcomes))
    return {
        "root mean squared error of the forecast, customers": f"{np.sqrt(((centre - test.outcomes) ** 2).mean()):.1f}",
        f"intervals of {settings.confidence_level:.0%} that hold, by county and period": f"{inside.mean():.1%}",
        f"intervals of {settings.confidence_level:.0%} that hold, of totals": f"{together.mean():.1%}",
        "regret of plans": f"{above.value:,.0f} ± {above.half_width:,.0f}",
    }


if __name__ == "__main__":
    sys.exit(main())
