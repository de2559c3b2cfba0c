"""Settings of STA-SAC: what `STASAC` takes, options of `train.py`, and part of what a run folder keeps.

Loads nothing heavy: a command line reads it for its help.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

NETWORK = (
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
"""Settings that the policy takes, which owns networks and optimisers."""


class Chosen(NamedTuple):
    """Settings that may be left out, as they are used."""

    practice: int
    teacher_margin: float
    limit_margin: float


UNPRACTISED, PRACTISED = Chosen(0, 0.25, 0.88), Chosen(24, 0.1, 0.98)
"""What they are where nothing is given: without practice, and with it."""


@dataclass(frozen=True, kw_only=True)
class STASACSettings:
    """STA-SAC: soft actor-critic over regions under a cost limit, learnt from whole episodes (one storm each)."""

    learning_rate: float = 1e-3
    """Step size of critics and actor (Adam)."""
    lr_last: float = 0.05
    """Share of the step size that is left at the end; it falls linearly."""
    actor_lr_factor: float = 0.5
    """The actor's step size as a multiple of the critics'."""
    buffer_size: int = 7_040
    """Steps kept in the replay buffer, as whole episodes."""
    learning_starts: int = 3_000
    """Steps at random before the first update; none where a teacher plays first or storms are shared."""
    batch_size: int = 4
    """Episodes an update."""
    tau: float = 0.01
    """Polyak factor of the target critics."""
    train_freq: int | None = None
    """Steps of each environment between updates; left out, a whole episode."""
    gradient_steps: int = 64
    """Updates of the critics, and of the imitation while the teacher plays, after each collection."""
    retrace: float = 1.0
    """Lambda in [0, 1] of the Retrace targets: how much of the return along an episode they carry; 0 gives one-step
    targets."""
    target_entropy: tuple[float, float] = (0.12, 0.03)
    """First and last target entropy, as a share of log(open regions)."""
    alpha_init: float = 0.0001
    """First weight of the entropy; it then moves so that the entropy follows its target."""
    entropy_in_critic: bool = False
    """Whether critics' targets carry the entropy bonus."""
    control_variate: bool = True
    """Take the luck of repair durations out of rewards and costs: what they were beside what was expected of them."""
    cost_reduction: Literal["mean", "max"] = "mean"
    """How the two cost critics count together. Their minimum, as for rewards, would be optimistic about cost."""
    actor_tau: float = 0.005
    """Polyak factor of the averaged actor, which acts; 1 takes the actor itself."""
    actor_follows: Literal["target", "online"] = "target"
    """Critics that the actor's loss takes: the slowly moving targets, or those that learn."""
    actor_gradient: Literal["critics", "returns"] = "returns"
    """What tells the actor which actions are good: the critics (eq. 18), or returns above a baseline."""
    n_rollouts: int = 8
    """Environments on the same storm, whose mean return is the baseline of returns; 1 asks the critics instead."""
    n_epochs: int = 2
    """Passes over each collection where storms are shared."""
    actor_batch_size: int = 8
    """Episodes of an update where storms are shared, rounded to whole storms."""
    practice: int | None = None
    """Updates on simulated storms after each collection of storms that are shared: in the storm as forecast the actor
    draws many orders at once, and learns which are better; 0 for none. Left out, 24 where that is possible: in
    Restoration-v0, unless durations share a shock or the limit is not on the mean."""
    practice_cost: Literal["excess", "gap"] = "excess"
    """What a simulated storm pays for: its gap above `practice_margin`, at four times lambda's price, which
    holds each storm near the limit as the planner does; or all of it at the price, which holds the mean."""
    practice_margin: float = 0.98
    """Share of its limit up to which the gap of a simulated storm is free, where excess is paid for."""
    practice_spread: float = 0.1
    """Log standard deviation of a factor on a group's repair hours, drawn for each group of a simulated storm: groups
    differ more in some years than in others, and the limit shall hold there too."""
    practice_lr: float = 5e-4
    """The actor's step size in them, which has moments of its own; it falls linearly from when the teacher leaves."""
    practice_storms: int = 8
    """Storms of such an update."""
    practice_orders: int = 16
    """Orders drawn of each of them."""
    clip_range: float = 0.2
    """Clipping of the policy's ratio, as in PPO, where returns tell which actions are good."""
    limit_margin: float | None = None
    """The multiplier aims at this share of the cost limit, so that a finite evaluation holds the limit. Left out, 0.88,
    and 0.98 where the actor practises, which holds each storm near the limit."""
    multiplier_init: float = 0.15
    """Lambda at the start, per limit of cost."""
    multiplier_lr: float = 0.05
    """Step size of lambda; two fifths of it where the actor practises, which then follows lambda far faster."""
    multiplier_method: Literal["softplus", "projected"] = "softplus"
    """How lambda moves: softplus with Adam, or a projected gradient step."""
    greedy_share: float = 0.25
    """Share of the environments that act greedily and whose costs move lambda; 0 takes all, which explore."""
    constrained: bool = True
    """Off leaves the cost out: the multiplier stays at zero."""
    teacher: str = "equity-planner"
    """Policy that needs no training and plays the first steps, a warm start that the actor imitates; `usual` for the
    planner that the environment's domain names, which also stands in for the equity planner where the domain has none;
    or `none`. Under --shock the equity planner plans again on the way."""
    teacher_steps: int = 120_000
    """Steps that the teacher plays, at most half of the training."""
    teacher_margin: float | None = None
    """Share of the cost limit that the teacher leaves free. The actor imitates it with errors, and errors widen the gap
    between groups: this is the room for them. Left out, 0.25, and 0.1 where the actor practises afterwards, which
    mends them."""
    imitation: tuple[float, float] = (0.0, 0.0)
    """Weight of the imitation loss (cross entropy on the teacher's choices) when the teacher leaves and at the end.
    While it plays, the actor does nothing but imitate."""
    imitation_batch: int = 4
    """Teacher's episodes an update."""
    max_grad_norm: float = 5.0
    """Gradient clipping."""
    width: int = 64
    """Width of the encoder."""
    n_layers: int = 2
    """Transformer layers."""
    n_heads: int = 4
    """Attention heads."""
    step_width: int = 32
    """Width of what is computed for every region at every step."""
    balance: bool = True
    """Show the networks what restoring each region does to the balance between groups."""
    shape: Literal["episode", "paper"] = "episode"
    """Regions encoded once an episode, or anew at every step as in the paper."""
    share_critics: bool = True
    """Four heads on one trunk, or an encoder for each critic."""
    known_part: bool = True
    """Critics learn a rest on top of what can be written down, or everything."""

    BEFORE: ClassVar[Mapping[str, Any]] = {**UNPRACTISED._asdict(), "practice_spread": 0.0}
    """What settings that came later, or were no question, stand for in runs from before practice."""

    def chosen(self, practises: bool) -> Chosen:
        """What is left out in numbers, which depend on whether the actor practises."""
        usual = (PRACTISED if practises else UNPRACTISED)._asdict()
        return Chosen(**{name: usual[name] if (value := getattr(self, name)) is None else value for name in usual})

    @property
    def network(self) -> dict[str, Any]:
        """Keyword arguments of the policy."""
        return {name: getattr(self, name) for name in NETWORK}

    @property
    def shares_storms(self) -> bool:
        """Whether environments shall meet the same storm, and the mean return of their episodes be the baseline."""
        return self.actor_gradient == "returns" and self.n_rollouts > 1 and self.train_freq is None

    def check(self) -> None:
        """Raise `ValueError` for a value out of range."""
        if not 0 <= self.retrace <= 1:
            raise ValueError(f"retrace must be in [0, 1]; got {self.retrace!r}")
        if self.cost_reduction not in ("mean", "max"):
            raise ValueError(f"cost_reduction must be 'mean' or 'max'; got {self.cost_reduction!r}")
        if self.actor_follows not in ("target", "online"):
            raise ValueError(f"actor_follows must be 'target' or 'online'; got {self.actor_follows!r}")
        if self.actor_gradient not in ("critics", "returns"):
            raise ValueError(f"actor_gradient must be 'critics' or 'returns'; got {self.actor_gradient!r}")
        if not self.clip_range > 0:
            raise ValueError(f"clip_range must be above 0; got {self.clip_range!r}")
        if min(self.n_rollouts, self.n_epochs, self.actor_batch_size) < 1:
            raise ValueError(
                "n_rollouts, n_epochs and actor_batch_size must be at least 1; "
                f"got {self.n_rollouts!r}, {self.n_epochs!r} and {self.actor_batch_size!r}"
            )
        if (self.practice or 0) < 0 or self.practice_storms < 1 or self.practice_orders < 3:
            raise ValueError(
                "practice must be at least 0, practice_storms at least 1 and practice_orders at least 3; "
                f"got {self.practice!r}, {self.practice_storms!r} and {self.practice_orders!r}"
            )
        if self.practice_cost not in ("excess", "gap"):
            raise ValueError(f"practice_cost must be 'excess' or 'gap'; got {self.practice_cost!r}")
        if not 0 < self.practice_margin <= 1:
            raise ValueError(f"practice_margin must be in (0, 1]; got {self.practice_margin!r}")
        if self.teacher_margin is not None and not 0 <= self.teacher_margin < 1:
            raise ValueError(f"teacher_margin must be in [0, 1); got {self.teacher_margin!r}")
        if not 0 <= self.practice_spread < 1:
            raise ValueError(f"practice_spread must be in [0, 1); got {self.practice_spread!r}")
        if not self.practice_lr > 0:
            raise ValueError(f"practice_lr must be above 0; got {self.practice_lr!r}")
        if not 0 <= self.greedy_share < 1:
            raise ValueError(f"greedy_share must be in [0, 1); got {self.greedy_share!r}")
        if self.limit_margin is not None and not 0 < self.limit_margin <= 1:
            raise ValueError(f"limit_margin must be in (0, 1]; got {self.limit_margin!r}")
        if not all(0 <= share < 1 for share in self.target_entropy):
            raise ValueError(f"target_entropy must be two shares in [0, 1); got {self.target_entropy!r}")
        if min(self.imitation) < 0 or self.teacher_steps < 0 or self.imitation_batch < 1:
            raise ValueError(
                "imitation and teacher_steps must be at least 0 and imitation_batch at least 1; "
                f"got {self.imitation!r}, {self.teacher_steps!r} and {self.imitation_batch!r}"
            )


@dataclass(frozen=True, kw_only=True)
class STASACPaperSettings(STASACSettings):
    """STA-SAC in the plain form of its paper, with the slips in print put right.

    A transformer at every step for the actor and each of four critics, which learn everything; one-step targets; the
    dual step on exploring episodes; no teacher.
    """

    learning_rate: float = 3e-4
    """Step size of critics and actor (Adam)."""
    lr_last: float = 1.0
    """Share of the step size that is left at the end; it falls linearly."""
    actor_lr_factor: float = 1.0
    """The actor's step size as a multiple of the critics'."""
    buffer_size: int = 110_000
    """Steps kept in the replay buffer."""
    gradient_steps: int = 16
    """Updates after each collection."""
    target_entropy: tuple[float, float] = (0.3, 0.05)
    """First and last target entropy, as a share of log(open regions)."""
    alpha_init: float = 0.02
    """First weight of the entropy, which then follows its target."""
    tau: float = 0.005
    """Polyak factor of the target critics."""
    retrace: float = 0.0
    """Weight of long returns in [0, 1]; 0 gives one-step targets."""
    entropy_in_critic: bool = True
    """Whether critics' targets carry the entropy bonus."""
    actor_tau: float = 1.0
    """Polyak factor of the averaged actor, which acts; 1 takes the actor itself."""
    actor_follows: Literal["target", "online"] = "online"
    """Critics that the actor's loss takes."""
    actor_gradient: Literal["critics", "returns"] = "critics"
    """What tells the actor which actions are good: the critics (eq. 18), or returns above a baseline."""
    multiplier_init: float = 0.3
    """Lambda at the start, per limit of cost."""
    multiplier_lr: float = 0.06
    """Step size of lambda."""
    greedy_share: float = 0.0
    """Share of the environments that act greedily and feed the dual step."""
    control_variate: bool = False
    """Take the luck of repair durations out of rewards and costs."""
    teacher: str = "none"
    """Policy that needs no training and plays the first steps, a warm start that the actor imitates; or none."""
    practice: int | None = UNPRACTISED.practice
    """No updates on simulated storms."""
    teacher_margin: float | None = UNPRACTISED.teacher_margin
    """Share of the cost limit that a teacher leaves free."""
    limit_margin: float | None = UNPRACTISED.limit_margin
    """The multiplier aims at this share of the cost limit."""
    shape: Literal["episode", "paper"] = "paper"
    """Regions encoded once an episode, or anew at every step as in the paper."""
    share_critics: bool = False
    """Four heads on one trunk, or an encoder for each critic."""
    known_part: bool = False
    """Critics learn a rest on top of what can be written down, or everything."""
