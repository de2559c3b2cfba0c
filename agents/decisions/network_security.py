"""The network security game as a decision, and networks over its graph: what attracts attackers, or a cover at once.

Source: SO-EBM 4.3. The plan is a descent from many starts, as the best cover in hindsight is
(`stormgym.envs.decisions.security_game`); its derivative comes from the optimality conditions of the local optimum.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stormgym.agents.dfl.learner import FineTuning
from stormgym.agents.dfl.risk import check_alpha, cvar
from stormgym.envs.arrays import Floats
from stormgym.envs.decisions.network_security import N_FEATURES, NetworkSecurityProblem
from stormgym.envs.decisions.problem import Cases, namespace
from stormgym.predictors.networks import fit_until_stopped, restore_weights, weights_as_arrays

AT_BOUND = 1e-6
"""Covers nearer than this to 0 or 1 are held there in the derivative of a plan."""
LEAST_CURVATURE = 0.05
"""Smaller eigenvalues of the Hessian are taken for this: the loss is not convex, and flat directions would run away."""


class NetworkSecurity:
    """Covers `[B, E]` for samples `[S, B, N]` of what attracts attackers.

    Args:
        problem: the graph, the loss and the budget.
    """

    separable = False

    def __init__(self, problem: NetworkSecurityProblem) -> None:
        self.problem = problem

    def cost(self, plans: Any, outcomes: Any) -> Any:
        """Loss `[...]` of covers `[..., E]` and attackers `[..., N]`, broadcast; covers are clipped to 0..1 first.

        Energy-based losses ask for covers around the best one, which is sparse: half of their parts are below 0.
        """
        return self.problem.cost(namespace(plans).clip(plans, 0.0, 1.0), outcomes)

    def energy(self, forecast: Tensor, plans: Tensor) -> Tensor:
        """Mean loss `[..., B]` of covers `[..., B, E]` over samples `[S, B, N]`."""
        mean: Tensor = self.cost(plans.unsqueeze(-3), forecast).mean(dim=-2)  # [..., S, B] before
        return mean

    def decide(self, forecast: Floats, risk: float = 1.0) -> Floats:
        """The best covers `[B, E]` known for the mean over samples `[S, B, N]`, or over the worst share `risk` of them.

        Raises:
            TypeError, ValueError: another shape, or a risk that is no number in (0, 1].
        """
        share = check_alpha(risk, "risk")
        samples = np.asarray(forecast, dtype=np.float64)
        if samples.ndim != 3 or not len(samples):
            raise ValueError(f"forecast must be samples [S, B, {self.problem.game.n_nodes}]; got shape {samples.shape}")
        mean = self.problem.best_mean(samples)
        if share == 1.0 or len(samples) == 1:
            return mean
        tail = self.problem.best_mean(samples, share)  # a local optimum: the other one's risk may be less
        risks = [cvar(self.problem.cost(covers, samples).T, share) for covers in (mean, tail)]
        return np.where((risks[1] < risks[0])[:, None], tail, mean)

    def project(self, plans: Tensor) -> Tensor:
        """The nearest covers `[..., E]` within 0..1 and the budget, without gradient."""
        return torch.as_tensor(self.problem.project(plans.detach().numpy()), dtype=plans.dtype)

    def plan(self, forecast: Tensor) -> Tensor:
        """The best covers `[B, E]`, differentiable in samples `[S, B, N]` by the implicit function theorem.

        At a local optimum a the covers strictly between 0 and 1 move, the others stay, and so does the sum where the
        budget is spent: da = -K d(slope), K the inverse of the Hessian on these directions.
        """
        decided = torch.as_tensor(self.decide(forecast.detach().numpy()))
        if not forecast.requires_grad:
            return decided
        at = decided.clone().requires_grad_()
        (slope,) = torch.autograd.grad(self.energy(forecast, at).sum(), at, create_graph=True)  # [B, E]
        free = (decided > AT_BOUND) & (decided < 1 - AT_BOUND)
        n_free = int(free.sum(dim=1).max())
        edges = free.byte().argsort(dim=1, descending=True, stable=True)[:, :n_free]  # [B, F], free ones first
        rows = [
            torch.autograd.grad(slope.gather(1, edges[:, i : i + 1]).sum(), at, retain_graph=True)[0].gather(1, edges)
            for i in range(n_free)
        ]
        if not rows:
            return decided + 0 * slope  # every cover is held: the derivative is 0
        spent = decided.sum(dim=1) >= self.problem.budget * (1 - 1e-9)
        inverse = inverse_on_plane(torch.stack(rows, dim=1), free.gather(1, edges), spent)  # [B, F, F]
        change = slope.gather(1, edges)
        step = -(inverse @ (change - change.detach()).unsqueeze(-1)).squeeze(-1)  # 0 in value, K in derivative
        return decided.scatter_add(1, edges, step)


def inverse_on_plane(hessian: Tensor, free: Tensor, spent: Tensor) -> Tensor:
    """Inverse `[B, F, F]` of Hessians on the directions in which covers can move, eigenvalues at least 0.05.

    They are clipped after the budget's row is taken out: at an optimum the Hessian need be positive only along the
    budget's plane, and clipping it before would change derivatives that are sound.

    Args:
        hessian: `[B, F, F]`.
        free: `[B, F]` covers that can move.
        spent: `[B]` whether the sum is held.
    """
    free = free.to(hessian.dtype)
    even = free / free.sum(dim=1, keepdim=True).clamp_min(1.0).sqrt() * spent.unsqueeze(1)  # unit normal of the plane
    onto = torch.diag_embed(free) - even.unsqueeze(2) * even.unsqueeze(1)
    values, vectors = torch.linalg.eigh(onto @ (hessian + hessian.mT) @ onto / 2)
    inverse: Tensor = (vectors / values.clamp_min(LEAST_CURVATURE).unsqueeze(1)) @ vectors.mT
    return onto @ inverse @ onto


# ------------------------------------------------------------------------------------------------ networks


class GraphNetwork(nn.Module):
    """Graph convolutions, h <- relu(A h W0 + h W1 + b): `[B, N, F]` -> `[B, N, width]`; W1 keeps a node's own features.

    Args:
        adjacency: `[N, N]` A.
        width, depth: of the layers.
        rng: of the first weights.
    """

    adjacency: Tensor

    def __init__(self, adjacency: Floats, width: int, depth: int, rng: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("adjacency", torch.as_tensor(adjacency), persistent=False)
        self.layers = nn.ModuleList(linear(2 * n_in, width, rng) for n_in in (N_FEATURES, *[width] * (depth - 1)))

    def forward(self, features: Tensor) -> Tensor:
        """Features of nodes -> hidden features."""
        h = features
        for layer in self.layers:
            h = torch.relu(layer(torch.cat([self.adjacency @ h, h], dim=-1)))
        return h


def linear(n_in: int, n_out: int, rng: torch.Generator) -> nn.Linear:
    """A linear layer in float64 with weights from a generator of its own."""
    layer = nn.utils.skip_init(nn.Linear, n_in, n_out, dtype=torch.float64)  # leaves torch's own generator alone
    nn.init.xavier_uniform_(layer.weight, generator=rng)
    nn.init.zeros_(layer.bias)
    return layer


class GraphLearner:
    """What both networks share: standardised features, training with early stopping, and their state as arrays.

    Args:
        problem: the graph.
        seed: of the first weights, and of batches.
        width, depth: of the graph convolutions.
        learning_rate: of Adam.
        batch_size: cases a gradient step.
        max_epochs, patience: epochs at most, and without a better validation loss.
    """

    n_joined: ClassVar[int]
    """Inputs of the head, as a multiple of a node's hidden features."""

    def __init__(
        self,
        problem: NetworkSecurityProblem,
        seed: int = 0,
        *,
        width: int = 32,
        depth: int = 3,
        learning_rate: float = 3e-3,
        batch_size: int = 10,
        max_epochs: int = 300,
        patience: int = 30,
    ) -> None:
        self.problem, self.seed = problem, seed
        self.learning_rate, self.batch_size = learning_rate, batch_size
        self.max_epochs, self.patience = max_epochs, patience
        rng = torch.Generator().manual_seed(seed)
        self.body = GraphNetwork(problem.adjacency, width, depth, rng)
        self.head = linear(self.n_joined * width, 1, rng)
        self.network = nn.ModuleDict({"body": self.body, "head": self.head})
        self.mean_, self.sd_ = np.zeros(N_FEATURES), np.ones(N_FEATURES)

    def parameters(self) -> list[nn.Parameter]:
        """Weights."""
        return list(self.network.parameters())

    def hidden(self, cases: Cases) -> Tensor:
        """Hidden features of nodes `[E, N, width]`."""
        return self.body(torch.as_tensor((cases.context["features"] - self.mean_) / self.sd_))

    def loss(self, cases: Cases) -> Tensor:
        """What `fit` makes small (a scalar)."""
        raise NotImplementedError(f"{type(self).__name__} must write loss()")

    def fit(self, train: Cases, validation: Cases, seed: int | None = None) -> Self:
        """Learn from cases, and keep the epoch whose loss on the validation cases is least.

        Args:
            train, validation: cases, apart from each other.
            seed: of the batches' order; None: that of the weights.
        """
        features = train.context["features"]
        self.mean_, self.sd_ = features.mean(axis=(0, 1)), np.maximum(features.std(axis=(0, 1)), 1e-9)
        rng = np.random.default_rng([self.seed if seed is None else seed, 3])
        optimizer = torch.optim.Adam(self.parameters(), lr=self.learning_rate)

        def epoch() -> None:
            order = rng.permutation(len(train))
            for first in range(0, len(order), self.batch_size):
                optimizer.zero_grad()
                self.loss(train.rows(order[first : first + self.batch_size])).backward()
                optimizer.step()

        fit_until_stopped(
            self.network,
            epoch,
            lambda: float(self.loss(validation)),
            most=self.max_epochs,
            patience=self.patience,
            start_counts=True,
        )
        return self

    def state(self) -> dict[str, NDArray[Any]]:
        """Plain arrays by name."""
        return {**weights_as_arrays(self.network), "mean_": self.mean_, "sd_": self.sd_}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Become what `state` says.

        Raises:
            KeyError, RuntimeError: names or shapes of another network.
        """
        self.mean_, self.sd_ = np.array(state["mean_"]), np.array(state["sd_"])
        restore_weights(self.network, state)


class GCNModel(GraphLearner):
    """What attracts attackers, phi `[1, E, N]`, from the features of nodes.

    phi is known only up to what moves an attacker, so it is fitted to moves: cross-entropy of the transitions without
    cover (two-stage learning). Arguments of `GraphLearner`.

    Attributes:
        scale_: factor k on phi that `outcomes` applies and `fit_loss` does not, chosen by what its plans cost.
    """

    n_joined = 1

    def __init__(self, problem: NetworkSecurityProblem, seed: int = 0, **settings: Any) -> None:
        super().__init__(problem, seed, **settings)
        self.scale_ = 1.0

    def phi(self, cases: Cases) -> Tensor:
        """`[E, N]`, not scaled."""
        phi: Tensor = self.head(self.hidden(cases)).squeeze(-1)
        return phi

    def outcomes(self, data: Cases, noise: torch.Generator) -> Tensor:
        """One sample of each case, `[1, E, N]`, scaled."""
        del noise
        return self.scale_ * self.phi(data)[None]

    def loss(self, cases: Cases) -> Tensor:
        """Cross-entropy of a move without cover, mean over nodes and cases."""
        true, moves = self._log_moves(torch.as_tensor(cases.outcomes)), self._log_moves(self.phi(cases))
        return -(true.exp() * moves).sum(dim=-1).mean()

    def fit_loss(self, data: Cases, noise: torch.Generator) -> Tensor:
        """`loss`, as learners ask for it."""
        del noise
        return self.loss(data)

    def _log_moves(self, phi: Tensor) -> Tensor:
        game = self.problem.game
        return torch.log_softmax(phi[..., game.head] + torch.as_tensor(game.wall), dim=-1)  # [E, I, W]

    def state(self) -> dict[str, NDArray[Any]]:
        """Plain arrays by name."""
        return {**super().state(), "scale_": np.array(self.scale_)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Become what `state` says."""
        super().restore(state)
        self.scale_ = float(state["scale_"])


class GCNPolicyNet(GraphLearner):
    """A cover from the features of nodes at once, trained on its loss against the true attackers.

    An edge's logit comes from its ends, h_u + h_v and h_u h_v, and a = min(1, budget softmax). Arguments of
    `GraphLearner`.
    """

    n_joined = 2

    def covers(self, cases: Cases) -> Tensor:
        """`[E', E]` for E' cases, differentiable in the weights."""
        h, (u, v) = self.hidden(cases), self.problem.game.edges.T
        logits = self.head(torch.cat([h[:, u] + h[:, v], h[:, u] * h[:, v]], dim=-1)).squeeze(-1)
        covers: Tensor = (self.problem.budget * torch.softmax(logits, dim=-1)).clamp_max(1.0)
        return covers

    def loss(self, cases: Cases) -> Tensor:
        """Mean loss of the covers."""
        mean: Tensor = self.problem.cost(self.covers(cases), torch.as_tensor(cases.outcomes)).mean()
        return mean

    def plans(self, cases: Cases) -> Floats:
        """Covers `[E', E]` within 0..1 and the budget."""
        with torch.no_grad():
            return self.problem.project(self.covers(cases).numpy())


class NetworkSecurityTask:
    """The problem, its decision and the networks that learn it, gathered for tables and policies.

    Args:
        problem: one instance.
    """

    calibrations = (0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0)
    """Factors on phi among which validation cases choose (`GCNModel.scale_`)."""
    tuning: Mapping[str, FineTuning] = MappingProxyType(
        {
            "dfl": FineTuning("task", fit_weight=0.0, learning_rate=3e-4, n_epochs=8, batch_size=35),
            "so-ebm": FineTuning(
                "so-ebm",
                fit_weight=0.0,
                learning_rate=3e-4,
                n_epochs=8,
                batch_size=35,
                normaliser="snis",
                n_proposals=16,
            ),
        }
    )
    """Few steps: each takes a descent a case, and in instances 0 to 2 the validation cases chose the start."""

    def __init__(self, problem: NetworkSecurityProblem) -> None:
        self.problem, self.decision = problem, NetworkSecurity(problem)

    def new_model(self, seed: int) -> GCNModel:
        """A forecaster that is yet to be fitted."""
        return GCNModel(self.problem, seed)

    def new_policy_net(self, seed: int) -> GCNPolicyNet:
        """A policy net that is yet to be fitted."""
        return GCNPolicyNet(self.problem, seed)
