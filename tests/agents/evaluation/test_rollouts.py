"""Rollouts on common scenarios: a small environment with episodes of unequal length, then Restoration-v0."""

from collections.abc import Iterator
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from numpy.testing import assert_allclose

from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.policy import BasePolicy, Entrant
from stormgym.envs.making import episode_seeds

TOY = "StormgymEvaluationToy-v0"


class Toy(gym.Env[dict[str, Any], np.int64]):
    """An episode of 2 to 6 steps, drawn at reset; the reward is a drawn number, the cost the action taken."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(
        self, cost_key: str = "cost", with_metrics: bool = True, limited: bool = True, own_cost: bool = False
    ) -> None:
        self.observation_space = spaces.Dict(
            {"action_mask": spaces.MultiBinary(3), "left": spaces.Box(0, 10, (1,), np.float32)}
        )
        self.action_space = spaces.Discrete(3)
        if limited:
            self.cost_limit = 4.0
        self.cost_key, self.with_metrics, self.own_cost = cost_key, with_metrics, own_cost

    def _seen(self) -> dict[str, Any]:
        return {"action_mask": np.ones(3, np.int8), "left": np.array([self.left], np.float32)}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        self.length = self.left = int(self.np_random.integers(2, 7))
        self.prize = float(self.np_random.random())
        return self._seen(), {self.cost_key: 0.0}

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        self.left -= 1
        info: dict[str, Any] = {self.cost_key: float(action)}
        if self.left == 0 and self.with_metrics:
            info["metrics"] = {"length": float(self.length), "prize": self.prize}
            if self.own_cost:
                info["metrics"]["cost"] = 1_000.0
        return self._seen(), self.prize, self.left == 0, False, info


class Constant(BasePolicy):
    """Takes one action, and remembers at which observations it was told that an episode starts."""

    def __init__(self, action: int = 1) -> None:
        self.action = action
        self.starts: list[Any] = []
        self.lefts: list[Any] = []

    def act(self, observation: Any, state: Any, episode_start: Any, deterministic: bool) -> tuple[Any, Any]:
        assert deterministic
        self.starts.append(episode_start.copy())
        self.lefts.append(observation["left"][:, 0].copy())
        return np.full(len(episode_start), self.action), "kept"


@pytest.fixture(autouse=True)
def _toy() -> Iterator[None]:
    gym.register(TOY, entry_point=Toy)
    yield
    del gym.registry[TOY]


@pytest.mark.parametrize("batch_size", [1, 3, 4, 64])
def test_evaluate__equals_single_episodes_whatever_the_batch(batch_size: int) -> None:
    result = evaluate(TOY, {"two": Constant(2)}, episodes=10, seed=5, batch_size=batch_size)
    record = result.agents["two"].metrics
    assert result.episodes == 10
    env = gym.make(TOY)
    for i, seed in enumerate(episode_seeds(5, 10)):
        env.reset(seed=seed)
        total = cost = steps = 0.0
        over = False
        while not over:
            _, reward, over, _, info = env.step(2)
            total, cost, steps = total + float(reward), cost + info["cost"], steps + 1
        assert_allclose(record["return"][i], total)
        assert (record["cost"][i], record["steps"][i]) == (cost, steps)
        assert {k: record[k][i] for k in ("length", "prize")} == info["metrics"]


def test_evaluate__agents_meet_the_same_scenarios() -> None:
    result = evaluate(TOY, {"a": Constant(0), "b": Constant(2)}, episodes=9, batch_size=4)
    a, b = result.agents["a"].metrics, result.agents["b"].metrics
    assert_allclose(a["prize"], b["prize"])
    assert_allclose(a["length"], b["length"])
    assert_allclose(b["cost"] - a["cost"], 2 * a["length"])
    assert np.unique(a["prize"]).size == 9


def test_evaluate__tells_policies_where_episodes_start() -> None:
    policy = Constant()
    evaluate(TOY, {"p": policy}, episodes=8, batch_size=8, latency_episodes=1)
    batched = [(s, left) for s, left in zip(policy.starts, policy.lefts, strict=True) if len(s) == 8]
    assert batched[0][0].all()
    before = np.full(8, -1.0)
    for start, left in batched:
        assert np.array_equal(start, left > before)  # the steps left rise where an episode starts, and only there
        before = left


def test_evaluate__records_limit_kind_and_latency() -> None:
    told: list[tuple[str, int]] = []
    agents = {
        "maker": Entrant(lambda env: Constant(), learned=True, summary="made"),
        "class": Constant,
        "cheat": Entrant(lambda env: Constant(), privileged=True),
    }
    result = evaluate(TOY, agents, episodes=5, batch_size=2, on_progress=lambda name, n: told.append((name, n)))
    assert result.cost_limit == 4.0
    assert result.agents["maker"].learned
    assert not result.agents["class"].learned
    assert result.agents["cheat"].privileged
    for record in result.agents.values():
        assert 0 < record.latency.mean_ms <= record.latency.worst_ms
        assert record.latency.batch_size == 2
    assert sum(n for name, n in told if name == "class") == 5
    assert 0 in [n for _, n in told]  # a word after each step, whether an episode ended in it or not


def test_evaluate__errors_say_what_is_missing() -> None:
    with pytest.raises(ValueError, match="episodes must be at least 1; got 0"):
        evaluate(TOY, {"a": Constant()}, episodes=0)
    with pytest.raises(ValueError, match="no agent to evaluate"):
        evaluate(TOY, {})
    with pytest.raises(TypeError, match="an agent must be a policy"):
        evaluate(TOY, {"a": 3})  # type: ignore[dict-item]
    with pytest.raises(KeyError, match="must put 'cost' into info at every step"):
        evaluate(TOY, {"a": Constant()}, env_kwargs={"cost_key": "price"})
    with pytest.raises(KeyError, match="must put 'metrics' into info when an episode ends"):
        evaluate(TOY, {"a": Constant()}, env_kwargs={"with_metrics": False})


class NearestOpen(BasePolicy):
    """Nearest open region: a rule written here, so that this test needs no other part."""

    def act(self, observation: Any, state: Any, episode_start: Any, deterministic: bool) -> tuple[Any, Any]:

        far = np.where(observation["action_mask"] > 0, observation["distance_km"], np.inf)
        return far.argmin(axis=1), state


class Stubborn(NearestOpen):
    """Always the first region: every later step is a wasted trip, until the episode is cut off."""

    def act(self, observation: Any, state: Any, episode_start: Any, deterministic: bool) -> tuple[Any, Any]:
        return np.zeros(len(episode_start), dtype=np.int64), state


def test_restoration__equals_single_env_and_keeps_region_times() -> None:
    kwargs = {"city": "synthetic:6:0", "predictor": "none", "cost_limit": 3.0}
    agents = {"nearest": NearestOpen(), "stubborn": Stubborn()}
    result = evaluate("Restoration-v0", agents, episodes=7, seed=1, env_kwargs=kwargs, batch_size=3)
    assert result.cost_limit == 3.0
    env = gym.make("stormgym:Restoration-v0", **kwargs)
    for name, policy in agents.items():
        record = result.agents[name]
        assert record.times is not None
        assert record.times.shape == (7, 6)
        assert_allclose(record.times.mean(axis=1), record.metrics["mean_outage_h"])
        assert_allclose(record.metrics["return"], -record.metrics["mean_outage_h"])
        assert_allclose(record.metrics["cost"], record.metrics["gap_h"])
        for i, seed in enumerate(result.seeds):
            observation, _ = env.reset(seed=seed)
            over = False
            while not over:
                action, _ = policy.predict(observation, deterministic=True)
                observation, _, terminated, truncated, info = env.step(int(action))
                over = terminated or truncated
            for key, value in info["metrics"].items():
                assert_allclose(record.metrics[key][i], value, atol=1e-9)
    assert (result.agents["stubborn"].metrics["completed"] == 0).all()
    assert (result.agents["nearest"].metrics["wasted_trips"] == 0).all()


def test_cost__is_the_environments_own_metric_only_where_nothing_limits_the_sum_of_steps() -> None:
    def costs(**kwargs: Any) -> Any:
        record = evaluate(TOY, {"one": Constant(1)}, episodes=5, env_kwargs=kwargs).agents["one"]
        assert set(record.metrics) == {"length", "prize", "return", "cost", "steps"}
        return record.metrics["cost"], record.metrics["steps"]

    for kwargs in ({}, {"limited": False}, {"own_cost": True}):
        cost, steps = costs(**kwargs)
        assert_allclose(cost, steps)  # the limit bounds the sum of the steps' costs
    cost, _ = costs(limited=False, own_cost=True)
    assert_allclose(cost, 1_000.0)


@pytest.mark.parametrize(
    ("env_id", "env_kwargs"),
    [
        ("Restoration-v0", {"city": "synthetic:6:1", "predictor": "none"}),
        ("CrewDispatch-v0", {"city": "synthetic:6:1", "n_crews": 2}),
        ("GeneratorDispatch-v0", {"profile": "A"}),
    ],
)
def test_evaluate__a_raw_model_of_sb3_contrib_keeps_to_masks(env_id: str, env_kwargs: dict[str, Any]) -> None:
    sb3_contrib = pytest.importorskip("sb3_contrib")
    env = gym.make(f"stormgym:{env_id}", **env_kwargs)
    model = sb3_contrib.MaskablePPO("MultiInputPolicy", env, n_steps=8, batch_size=8, seed=0, device="cpu")
    metrics = evaluate(env_id, {"raw": model}, episodes=4, env_kwargs=env_kwargs).agents["raw"].metrics
    assert (metrics.get("wasted_trips", np.zeros(4)) == 0).all()
    assert (metrics.get("completed", np.ones(4)) == 1).all()


def test_evaluate__a_policy_may_say_itself_that_it_was_trained() -> None:
    class Trained(Constant):
        learned = True

    agents = {
        "class": Trained,
        "policy": Trained(),
        "rule": Constant(),
        "said": Entrant(lambda env: Constant(), learned=True),
    }
    result = evaluate(TOY, agents, episodes=2)  # type: ignore[arg-type]
    assert [record.learned for record in result.agents.values()] == [True, True, False, True]
