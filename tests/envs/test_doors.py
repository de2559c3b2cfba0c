"""The single and the vector environment over a core: arguments said once, facts shown once, other people's cores."""

import copy
import inspect
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pettingzoo
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from stormgym.envs.adapters.sb3 import make_vec_env
from stormgym.envs.core import Core, Step
from stormgym.envs.dispatch.env import GeneratorDispatchEnv
from stormgym.envs.dispatch.forecasts import typical_wave
from stormgym.envs.doors import BatchedVectorEnv, SingleEnv
from stormgym.envs.restoration.env import RestorationEnv
from stormgym.envs.undergrounding.env import UndergroundingEnv
from stormgym.envs.undergrounding.regions import usual_loss_h

SMALL: dict[str, dict[str, Any]] = {
    "Restoration-v0": {"city": "synthetic:9:2", "predictor": "none"},
    "GeneratorDispatch-v0": {"profile": "B"},
    "Undergrounding-v0": {"profile": "synthetic:6:1"},
}
ENVS = {
    "Restoration-v0": RestorationEnv,
    "GeneratorDispatch-v0": GeneratorDispatchEnv,
    "Undergrounding-v0": UndergroundingEnv,
}
each_id = pytest.mark.parametrize("env_id", SMALL)


class CoinCore(Core):
    """Somebody else's environment, which says no facts: guess a coin, three times."""

    def __init__(self, batch: int, *, bias: float = 0.5, render_mode: str | None = None) -> None:
        self.batch, self.bias = batch, bias
        self.observation_space = spaces.Dict({"turn": spaces.Box(0, 3, shape=(1,), dtype=np.float32)})
        self.action_space = spaces.Discrete(2)
        self.turn, self.coins = np.zeros(batch), np.zeros((batch, 3))

    def reset(self, rngs, rows=None, options=None):
        at = slice(None) if rows is None else rows
        self.turn[at], self.coins[at] = 0, [rng.random(3) < self.bias for rng in rngs]

    def step(self, actions, live=None):
        at = np.minimum(self.turn, 2).astype(int)
        reward = (self.coins[np.arange(self.batch), at] == actions).astype(float)
        self.turn = np.minimum(self.turn + 1, 3)
        ended = self.turn >= 3
        return Step(reward, np.zeros(self.batch), ended, np.zeros(self.batch, dtype=bool), bool(ended.any()))

    def validate_actions(self, actions, waiting):
        return np.asarray(actions).astype(np.int64)

    def observe(self, row=None):
        turn = self.turn[:, None].astype(np.float32)
        return {"turn": turn if row is None else turn[row]}

    def extra_info(self):
        return {}

    def metrics(self, rows):
        return {"heads": self.coins[rows].sum(axis=1)}

    def action_masks(self):
        return np.ones((self.batch, 2), dtype=bool)


class CoinEnv(SingleEnv):
    """One coin."""

    core_class = CoinCore
    metadata = {"render_modes": [], "render_fps": 1}  # noqa: RUF012 - as Gymnasium declares it


class CoinVectorEnv(BatchedVectorEnv):
    """Many coins."""

    core_class = CoinCore
    metadata = dict(CoinEnv.metadata)  # noqa: RUF012 - as Gymnasium declares it


def vector(env_id: str, n: int = 3, **kwargs: Any) -> Any:
    return gym.make_vec(env_id, n, vectorization_mode="vector_entry_point", **{**SMALL[env_id], **kwargs}).unwrapped


def single(env_id: str, **kwargs: Any) -> Any:
    return ENVS[env_id](**{**SMALL[env_id], **kwargs})


# ------------------------------------------------------------------------------------------- arguments said once


@each_id
def test_signature__of_an_environment_lists_the_arguments_of_its_core(env_id):
    shown = inspect.signature(ENVS[env_id]).parameters
    core = {n: p for n, p in inspect.signature(ENVS[env_id].core_class).parameters.items() if n != "batch"}
    assert list(shown) == list(core)
    for name, parameter in shown.items():
        assert parameter.default == core[name].default
        assert parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert ENVS[env_id].core_class is vector(env_id).core_class


@each_id
def test_docstring__documents_every_argument(env_id):
    text = inspect.getdoc(ENVS[env_id]).partition("Args:")[2].partition("##")[0]
    for name in inspect.signature(ENVS[env_id]).parameters:
        assert name in text, name


@pytest.mark.slow
def test_arguments__go_by_position_and_by_name():
    by_position, by_name = (
        RestorationEnv("synthetic:9:2", "none"),
        RestorationEnv(predictor="none", city="synthetic:9:2"),
    )
    for env in (by_position, by_name):
        assert env.city.name == "synthetic:9:2"
        assert env.core.tables.point_h.std() < 0.1  # without a predictor forecasts are means
    assert RestorationEnv("synthetic:9:2", render_mode="ansi").render_mode == "ansi"


@each_id
@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        (
            (),
            {"no_such_argument": 1},
            r"^{id} takes no argument 'no_such_argument'; it takes .*, render_mode, observation_",
        ),
        ((), {"render_mod": 1}, r"^{id} takes no argument 'render_mod'; did you mean 'render_mode'\? It takes "),
        ((None,) * 20, {}, r"^{id}: too many positional arguments"),
        ((), {"batch": 3}, "{id} takes no argument 'batch'"),
    ],
)
def test_arguments__a_wrong_one_is_a_type_error_that_names_it(env_id, args, kwargs, message):
    with pytest.raises(TypeError, match=message.format(id=env_id)):
        ENVS[env_id](*args, **kwargs)
    if kwargs:
        with pytest.raises(TypeError, match=message.format(id=env_id)):
            gym.make(f"stormgym:{env_id}", **kwargs)
        with pytest.raises(TypeError, match=f"^{env_id} takes no argument '{next(iter(kwargs))}'.*, autoreset_mode$"):
            gym.make_vec(f"stormgym:{env_id}", 2, vectorization_mode="vector_entry_point", **kwargs)


def test_arguments__a_wrong_one_of_a_game_or_of_a_vec_env_is_named_too():
    for kind, name in (("aec", "crew_dispatch_v0"), ("parallel", "crew_dispatch_v0"), ("aec", "DefenderAttacker-v0")):
        with pytest.raises(TypeError, match=rf"^{name} takes no argument 'n_crew'; did you mean 'n_crews'\? It takes "):
            pettingzoo.make(kind, name, n_crew=3)
    said = r"DefenderAttackerPlanner-v0 takes no argument 'natur'; did you mean 'nature'\? It takes planner, "
    with pytest.raises(TypeError, match=said):
        gym.make("stormgym:DefenderAttackerPlanner-v0", natur="worst")
    with pytest.raises(TypeError, match=r"^Restoration-v0 takes no argument 'citty'; did you mean 'city'\?"):
        make_vec_env("Restoration-v0", 2, citty="a")


def test_arguments__of_a_class_without_an_id_are_named_by_the_class():
    class Own(RestorationEnv):
        """Registered nowhere."""

    with pytest.raises(TypeError, match=r"^Own takes no argument 'citty'; did you mean 'city'\?"):
        Own(citty="a")


def test_signature__a_subclass_keeps_it_and_a_constructor_of_its_own_speaks_for_itself():
    class Plain(RestorationEnv):
        """As it is."""

    class Own(RestorationEnv):
        """With one argument."""

        def __init__(self, seed_of_city: int = 0) -> None:
            super().__init__(f"synthetic:9:{seed_of_city}", predictor="none")

    class BelowOwn(Own):
        """As it is."""

    assert inspect.signature(Plain) == inspect.signature(RestorationEnv)
    for kind in (Own, BelowOwn):
        assert list(inspect.signature(kind).parameters) == ["seed_of_city"]
        assert kind(2).city.name == "synthetic:9:2"


@each_id
def test_environments__survive_pickle_and_deepcopy_in_the_middle_of_an_episode(env_id):
    env = single(env_id)
    env.reset(seed=1)
    action = env.action_space.sample()
    copies = [pickle.loads(pickle.dumps(env)), copy.deepcopy(env)]
    expected = env.step(action)
    for other in copies:
        assert other.step(action)[1:4] == expected[1:4]


# ------------------------------------------------------------------------------------------------ facts shown once


@each_id
def test_facts__are_the_same_from_a_single_and_from_a_vector_environment(env_id):
    one, many = single(env_id), vector(env_id)
    for name in ("return_unit", "settles_when_truncated", "cost_limit", "cost_limit_range", "truth_reads"):
        assert getattr(one, name) == getattr(many, name), name
        assert getattr(one, name) == getattr(one.core, name), name
    assert one.instance_name == many.instance_name != ""
    assert one.settles_when_truncated is True
    assert isinstance(one.return_unit, float)
    assert isinstance(one.cost_limit, float)
    assert one.truth_reads == 0


def test_return_unit__is_to_the_bit_what_learners_have_always_scaled_by():
    city = RestorationEnv("synthetic:9:2", "none")
    assert city.return_unit == float(city.city.log.repair_h.mean()) * 9 / 20.0
    wave = GeneratorDispatchEnv("B", interruption_cost=3.0)
    assert wave.return_unit == float(wave.profile.interruption_cost * typical_wave(wave.profile).forecast.sum()) / 20.0
    lines = UndergroundingEnv("synthetic:6:1")
    assert lines.return_unit == 0.5 * usual_loss_h(lines.profile)


def test_return_unit__is_computed_at_the_first_reading_and_kept(monkeypatch):
    calls = []
    monkeypatch.setattr("stormgym.envs.undergrounding.core.usual_loss_h", lambda profile: calls.append(profile) or 4.0)
    env = UndergroundingEnv("synthetic:6:1")
    assert not calls
    assert (env.return_unit, env.return_unit) == (2.0, 2.0)
    assert len(calls) == 1


def test_cost_limit__of_a_range_is_its_middle():
    env = vector("Restoration-v0", cost_limit=(4.0, 10.0))
    assert (env.cost_limit, env.cost_limit_range) == (7.0, (4.0, 10.0))
    assert vector("Restoration-v0", cost_limit=5.0).cost_limit_range is None


def test_groups__are_those_of_the_city_and_nobody_elses():
    env = single("Restoration-v0")
    np.testing.assert_array_equal(env.groups.ids, env.city.group)
    assert env.groups.names == env.city.group_names
    assert single("GeneratorDispatch-v0").groups is single("Undergrounding-v0").groups is None


def test_times_h__are_the_hours_of_rows_that_have_ended_and_cost_no_look_at_the_truth():
    env = vector("Restoration-v0")
    obs, _ = env.reset(seed=0)
    ended = np.zeros(3, dtype=bool)
    while not ended.all():
        obs, _, ended, _, infos = env.step(obs["action_mask"].argmax(axis=1))
    times = env.times_h()
    assert times.shape == (3, 9)
    np.testing.assert_allclose(times.mean(axis=1), infos["metrics"]["mean_outage_h"])
    np.testing.assert_array_equal(env.times_h(np.array([2, 0])), times[[2, 0]])
    times[:] = 0.0
    assert env.times_h().min() > 0  # a copy
    assert env.truth_reads == 0
    assert vector("GeneratorDispatch-v0").times_h() is vector("Undergrounding-v0").times_h() is None


@each_id
def test_truth_reads__count_the_truth_and_the_process_and_nothing_else(env_id):
    for env in (single(env_id, render_mode="ansi"), vector(env_id, render_mode="ansi")):
        env.reset(seed=0)
        env.render()
        env.step(env.action_space.sample())
        assert (env.announced is not None, env.return_unit > 0, env.truth_reads) == (True, True, 0)
        assert env.truth is not None
        assert env.truth_reads == 1
        assert env.process is env.core.process
        assert env.truth_reads == env.core.truth_reads == 2


# ----------------------------------------------------------------------------------------- other people's cores


def test_third_party_core__without_facts_gets_the_defaults_from_both():
    for env in (CoinEnv(), CoinVectorEnv(2)):
        assert (env.return_unit, env.settles_when_truncated, env.cost_limit_range, env.groups) == (
            1.0,
            False,
            None,
            None,
        )
        assert (env.announced, env.truth, env.process, env.times_h()) == (None,) * 4
        assert not hasattr(env, "cost_limit")  # so that learners take it for unconstrained
        with pytest.raises(AttributeError, match="has no cost_limit: its core sets none"):
            _ = env.cost_limit


def test_third_party_core__plays_and_passes_gymnasiums_checker():
    env = CoinEnv(bias=1.0)
    check_env(env, skip_render_check=True)
    env.reset(seed=0)
    total = 0.0
    for _ in range(3):
        _, reward, terminated, _, info = env.step(1)
        total += reward
    assert (total, terminated, info["metrics"]) == (3.0, True, {"heads": 3.0})
    assert str(inspect.signature(CoinEnv)).startswith("(bias:")


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_third_party_core__in_a_batch_equals_single_ones(mode):
    env = CoinVectorEnv(2, autoreset_mode=mode)
    singles = [CoinEnv(), CoinEnv()]
    env.reset(seed=4)
    for i, one in enumerate(singles):
        one.reset(seed=4 + i)
    for _ in range(3):
        _, reward, terminated, _, infos = env.step(np.ones(2, dtype=np.int64))
        np.testing.assert_array_equal(reward, [one.step(1)[1] for one in singles])
    assert terminated.all()
    final = infos["final_info"] if mode is AutoresetMode.SAME_STEP else infos
    assert set(final["metrics"]) == {"heads", "_heads"}


# ------------------------------------------------------------------------------ other names for parts of observations


def test_observation_keys__rename_parts_in_both_doors_and_change_nothing_else():
    keys = {"state": "storm", "action_mask": "mask"}
    plain, renamed = single("GeneratorDispatch-v0"), GeneratorDispatchEnv(profile="B", observation_keys=keys)
    check_env(renamed, skip_render_check=True)
    batch = gym.make_vec(
        "GeneratorDispatch-v0",
        2,
        vectorization_mode="vector_entry_point",
        autoreset_mode="SameStep",
        observation_keys=keys,
        **SMALL["GeneratorDispatch-v0"],
    )
    obs, (other, _), (rows, _) = plain.reset(seed=0)[0], renamed.reset(seed=0), batch.reset(seed=0)
    ended = False
    while not ended:
        assert set(other) == {keys.get(name, name) for name in obs} == set(batch.single_observation_space.spaces)
        for name, values in obs.items():
            np.testing.assert_array_equal(other[keys.get(name, name)], values)
            np.testing.assert_array_equal(rows[keys.get(name, name)][0], values)
        action = plain.action_space.sample()
        obs, _, ended, _, _ = plain.step(action)
        other, *_ = renamed.step(action)
        rows, _, _, _, infos = batch.step(np.array([action, action]))
        if ended:
            rows = {name: values[None] for name, values in infos["final_obs"][0].items()}
    assert set(rows) == set(other)


@pytest.mark.parametrize(
    ("keys", "error", "message"),
    [
        ({"stat": "storm"}, ValueError, r"observation_keys names \['stat'\], which are no parts; known: action_mask, "),
        ({"state": "out"}, ValueError, r"observation_keys gives \['out'\] to more than one part"),
        ({"state": 3}, TypeError, "observation_keys must give names by names"),
    ],
)
def test_observation_keys__bad_names(keys, error, message):
    with pytest.raises(error, match=message):
        GeneratorDispatchEnv(profile="B", observation_keys=keys)


# ------------------------------------------------------------------------------- episodes that settle what is cut off


def test_settled__an_episode_out_of_steps_is_terminated_as_well_and_nothing_bootstraps():
    from stable_baselines3.common.env_util import make_vec_env as make_dummy

    env, batch = single("Restoration-v0"), vector("Restoration-v0", 2, autoreset_mode="SameStep")
    dummy = make_dummy("Restoration-v0", 1, env_kwargs=SMALL["Restoration-v0"])
    env.reset(seed=0), batch.reset(seed=0), dummy.reset()
    for step in range(4 * env.core.n_regions):
        *_, terminated, truncated, info = env.step(0)
        _, _, rows_terminated, rows_truncated, _ = batch.step(np.zeros(2, dtype=int))
        _, _, done, infos = dummy.step(np.zeros(1, dtype=int))
        last = step == 4 * env.core.n_regions - 1
        assert (terminated, truncated, bool(done[0])) == (last, last, last)
        assert rows_terminated.tolist() == rows_truncated.tolist() == [last, last]
    assert info["metrics"]["completed"] == 0.0
    assert infos[0]["TimeLimit.truncated"] is False


@pytest.mark.parametrize(
    ("env_id", "kwargs", "bad", "said"),
    [
        ("Restoration-v0", {"city": "synthetic:6:1", "predictor": "none"}, 99, "got 99 in environment 2$"),
        ("CrewDispatch-v0", {"city": "synthetic:6:1"}, -1, "or 6 to wait; got -1 in environment 2$"),
        ("Undergrounding-v0", {"profile": "synthetic:5:1"}, 99, "to stop; got 99 in environment 2$"),
        ("GeneratorDispatch-v0", {"profile": "A"}, [0, 0, 99], "in county 2; got 99 in environment 2$"),
        ("FractionalKnapsack-v0", {}, np.nan, r"nan.*\] in environment 2$"),
    ],
)
def test_step__of_a_batch_names_the_environment_of_a_bad_action(env_id, kwargs, bad, said):
    batch = gym.make_vec(f"stormgym:{env_id}", 4, vectorization_mode="vector_entry_point", **kwargs)
    batch.reset(seed=0)
    actions = np.zeros_like(batch.action_space.sample())
    actions[2] = bad
    with pytest.raises(ValueError, match=said):
        batch.step(actions)
    one = gym.make(f"stormgym:{env_id}", **kwargs).unwrapped
    one.reset(seed=0)
    with pytest.raises(ValueError, match=r"got .*") as raised:
        one.step(actions[2])
    assert "environment" not in str(raised.value)
