"""Pretrained agents: those in the package act anywhere and score as their cards say; names, files and their errors."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import stormgym  # noqa: F401
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.lineup import make_policy, resolve_agents
from stormgym.agents.policy import Policy
from stormgym.agents.pretrained import known_pretrained, load_card, load_pretrained
from stormgym.agents.pretrained.cards import FOLDER, Card, CardScore, check_name, read_card, write_card
from stormgym.agents.restoration.todays_jobs import sub_city
from stormgym.envs.data import resolve_city
from stormgym.envs.restoration.layout import observation_space

FULL = os.environ.get("STORMGYM_FULL") == "1"
KNOWN = known_pretrained()
ANY = next(iter(KNOWN), "")
MAX_BYTES = 2 * 1024**2
CHECKED = 64
"""Episodes of the scores that are played again in every test run; longer ones only with STORMGYM_FULL=1."""
TOLERANCE_H = 0.05
"""Room for other machines' rounding, which may turn a close choice in a few episodes."""
SCORES = [(card, score) for card in KNOWN.values() for score in card.scores if FULL or score.episodes <= CHECKED]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder with the files of one agent."""
    for suffix in ("json", "npz"):
        shutil.copy(FOLDER / f"{KNOWN[ANY].stem}.{suffix}", tmp_path)
    return tmp_path


def vector_env(num_envs: int, **kwargs: Any) -> Any:
    return gym.make_vec(
        "Restoration-v0", num_envs, vectorization_mode="vector_entry_point", **{"predictor": "none", **kwargs}
    )


# what the package holds


def test_package__holds_agents_each_with_weights_and_card() -> None:
    assert KNOWN
    names = {card.stem for card in KNOWN.values()}
    assert names == {file.stem for file in FOLDER.glob("*.npz")} == {file.stem for file in FOLDER.glob("*.json")}
    for file in (*FOLDER.glob("*.npz"), *FOLDER.glob("*.json")):
        assert file.stat().st_size < MAX_BYTES, file


@pytest.mark.parametrize("full_name", KNOWN)
def test_card__says_how_the_agent_was_made_and_has_a_score_to_check(full_name: str) -> None:
    card = KNOWN[full_name]
    assert full_name == f"{card.agent}:{card.name}"
    assert card.summary
    assert "\n" not in card.summary
    assert card.command.startswith(f"python train.py --env {card.trained_on.env_id} --agent {card.agent}")
    assert any(score.episodes <= CHECKED for score in card.scores)


@pytest.mark.parametrize("full_name", KNOWN)
def test_weights__are_float32_arrays_without_pickles(full_name: str) -> None:
    with np.load(FOLDER / f"{KNOWN[full_name].stem}.npz", allow_pickle=False) as arrays:
        assert arrays.files
        for key in arrays.files:
            assert arrays[key].dtype == np.float32, key
            assert np.isfinite(arrays[key]).all(), key


@pytest.mark.parametrize(
    ("card", "score"), SCORES, ids=[f"{card.full_name}-{i}-{s.episodes}" for i, (card, s) in enumerate(SCORES)]
)
def test_agent__scores_as_its_card_says(card: Card, score: CardScore) -> None:
    evaluation = evaluate(
        card.trained_on.env_id,
        {"it": load_pretrained(card.full_name)},
        episodes=score.episodes,
        seed=score.seed,
        env_kwargs=score.env_kwargs,
        latency_episodes=1,
    )
    record = evaluation.agents["it"]
    for key in ("mean_outage_h", "gap_h"):
        assert record.metrics[key].mean() == pytest.approx(getattr(score, key), abs=TOLERANCE_H), key
    assert np.mean(evaluation.limits_of(record)) == pytest.approx(score.cost_limit_h, abs=1e-3)


# acting


@pytest.mark.parametrize("full_name", KNOWN)
@pytest.mark.parametrize("city", ["synthetic:5:1", "synthetic:23:2"])
def test_agent__acts_in_a_city_of_any_size_single_and_batched(full_name: str, city: str) -> None:
    envs = vector_env(3, city=city)
    policy = load_pretrained(full_name, envs)
    assert isinstance(policy, Policy)
    assert not policy.privileged
    obs, _ = envs.reset(seed=0)
    state, start = None, np.ones(3, dtype=bool)
    for _ in range(envs.single_action_space.n):
        action, state = policy.predict(obs, state, start, deterministic=True)
        assert action.shape == (3,)
        assert obs["action_mask"][np.arange(3), action].all()
        alone, _ = policy.predict({key: value[1] for key, value in obs.items()}, deterministic=True)
        assert np.shape(alone) == ()
        assert alone == action[1]
        drawn, _ = policy.predict(obs, state, np.zeros(3, dtype=bool), deterministic=False)
        assert obs["action_mask"][np.arange(3), drawn].all()
        obs, _, terminated, _, _ = envs.step(action)
        start = np.zeros(3, dtype=bool)
    assert terminated.all()


def test_agent__draws_follow_from_its_own_seed() -> None:
    envs = vector_env(32, city="synthetic:9:1")

    def drawn(seed: int) -> list[list[int]]:
        policy, state, result = load_pretrained(ANY, envs, seed=seed), None, []
        obs, _ = envs.reset(seed=0)
        for _ in range(9):  # a trained agent is sure of many choices, never of a whole episode
            action, state = policy.predict(obs, state, deterministic=False)
            result.append(action.tolist())
            obs, *_ = envs.step(action)
        return result

    np.random.seed(5)
    before = np.random.get_state()[1]
    assert drawn(1) == drawn(1) != drawn(2)
    assert (np.random.get_state()[1] == before).all()


def test_agent__state_of_another_city_is_not_taken() -> None:
    policy = load_pretrained(ANY)
    small, large = (vector_env(2, city=city).reset(seed=0)[0] for city in ("synthetic:5:1", "synthetic:8:1"))
    _, state = policy.predict(small, deterministic=True)
    fresh, _ = policy.predict(large, deterministic=True)
    kept, _ = policy.predict(large, state, np.zeros(2, dtype=bool), deterministic=True)
    assert fresh.tolist() == kept.tolist()


def test_make_policy__takes_the_name() -> None:
    envs = vector_env(2, city="synthetic:6:1")
    assert make_policy(ANY, envs).name == ANY  # type: ignore[attr-defined]
    with pytest.raises(KeyError, match=r"unknown pretrained agent 'sta-sac:absent'; known pretrained agents: .*" + ANY):
        make_policy("sta-sac:absent", envs)


def test_agent__of_another_number_of_groups_is_refused_at_once_or_at_the_first_observation() -> None:
    groups = KNOWN[ANY].n_groups
    env = SimpleNamespace(observation_space=observation_space(6, groups + 1))
    said = f"'{ANY}' was trained on cities with {groups} groups; this environment has {groups + 1}. Take a city with"
    with pytest.raises(ValueError, match=said):
        load_pretrained(ANY, env)
    obs = env.observation_space.sample()
    with pytest.raises(ValueError, match=f"these observations have {groups + 1}"):
        load_pretrained(ANY).predict(obs)
    with pytest.raises(ValueError, match="STA-SAC needs an observation Dict"):
        load_pretrained(ANY, gym.make("CartPole-v1"))


# files


def test_card__is_the_same_after_writing_and_reading(tmp_path: Path) -> None:
    for card in KNOWN.values():
        wide = replace(card, trained_on=replace(card.trained_on, cost_limit_h=(4.0, 20.0)))
        for one in (card, wide):
            assert read_card(write_card(one, tmp_path)) == one


def test_files__what_is_wrong_with_them_is_said(copied: Path) -> None:
    card = KNOWN[ANY]
    assert load_pretrained(ANY, folder=copied).card == card
    file = copied / f"{card.stem}.json"
    write_card(replace(card, network={**card.network, "width": 32}), copied)
    with pytest.raises(ValueError, match=f"does not hold the weights of '{ANY}' with network"):
        load_pretrained(ANY, folder=copied)
    write_card(replace(card, network={"shape": "round"}), copied)
    with pytest.raises(ValueError, match="does not hold the weights"):
        load_pretrained(ANY, folder=copied)
    write_card(card, copied)
    (copied / f"{card.stem}.npz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="does not hold the weights"):
        load_pretrained(ANY, folder=copied)
    (copied / f"{card.stem}.npz").unlink()
    with pytest.raises(FileNotFoundError, match="has a card and no weights"):
        load_pretrained(ANY, folder=copied)
    file.rename(copied / "other.json")
    with pytest.raises(ValueError, match=rf"is the card of '{card.full_name}'; name the file {card.stem}\.json"):
        known_pretrained(folder=copied)
    (copied / "other.json").write_text(json.dumps({"agent": "sta-sac"}))
    with pytest.raises(ValueError, match=r"cannot be read as the card .* benchmarks/restoration/export_pretrained\.py"):
        known_pretrained(folder=copied)


def test_files__none_in_a_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="known pretrained agents: none in"):
        load_card("sta-sac:default", tmp_path)


def test_weights__that_hold_pickles_are_not_opened(copied: Path) -> None:
    with np.load(copied / f"{KNOWN[ANY].stem}.npz") as arrays:
        held = {key: arrays[key] for key in arrays.files}
    first = next(iter(held))
    held[first] = np.array([{}], dtype=object)
    np.savez(copied / f"{KNOWN[ANY].stem}.npz", **held)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_pretrained(ANY, folder=copied)


@pytest.mark.parametrize("name", ["", "Default", "a b", "../x", "any_limit", "a--b"])
def test_name__of_other_letters_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="words of a-z and 0-9 joined by hyphens"):
        check_name(name)


# the command line


def test_lineup__takes_names_and_labels() -> None:
    entrants = resolve_agents(["nearest", ANY, f"ours={ANY}"], "Restoration-v0")
    assert list(entrants) == ["nearest", ANY, "ours"]
    assert [entrant.learned for entrant in entrants.values()] == [False, True, True]
    assert KNOWN[ANY].summary in entrants[ANY].summary


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("sta-sac:absent", "unknown pretrained agent 'sta-sac:absent'; known pretrained agents: "),
        ("nearest:default", "unknown pretrained agent 'nearest:default'"),
        ("sta-sac", r"agent 'sta-sac' learns: train it first .* or take sta-sac:"),
        ("nobody:default", r"unknown agent 'nobody:default'; known agents of Restoration-v0: random, .*sta-sac:"),
    ],
)
def test_lineup__wrong_names_list_the_known_ones(item: str, said: str) -> None:
    with pytest.raises((KeyError, ValueError), match=said):
        resolve_agents(item, "Restoration-v0")


def test_command__scores_it_by_name_in_a_city_of_another_size(
    evaluate_main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "table.json"
    small = ("--city", "synthetic:6:0", "--predictor", "point")
    assert evaluate_main([*small, "--agents", f"{ANY},nearest", "--episodes", "4", "--json", str(file)]) == 0
    assert ANY in capsys.readouterr().out
    agents = json.loads(file.read_text())["agents"]
    assert list(agents) == [ANY, "nearest"]
    assert agents[ANY]["learned"]


def test_command__plans_with_it(
    evaluate_main: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    csv = tmp_path / "plan.csv"
    assert (
        evaluate_main(["--plan", "--city", "synthetic:9:1", "--predictor", "cqr", "--agents", ANY, "--csv", str(csv)])
        == 0
    )
    assert f"Plan of {ANY} for" in capsys.readouterr().out
    assert len(csv.read_text().splitlines()) == 10


def test_command__refuses_a_city_of_other_groups(
    evaluate_main: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    city = resolve_city("synthetic:12:1")
    fewer = sub_city(city, np.flatnonzero(city.group > 0))
    assert fewer.n_groups == city.n_groups - 1
    fewer.save(tmp_path / "city")
    arguments = ["--city", str(tmp_path / "city"), "--predictor", "none", "--agents", ANY]
    assert evaluate_main([*arguments, "--episodes", "2"]) == 2
    assert f"trained agent '{ANY}' cannot be loaded" in (error := capsys.readouterr().err)
    assert f"this environment has {fewer.n_groups}" in error


def test_command__lists_it_with_its_summary(
    evaluate_main: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate_main(["--list"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for text in ("equity-planner", "clairvoyant †", "maskable-ppo", *KNOWN, *(c.summary for c in KNOWN.values())):
        assert text in shown
    assert evaluate_main(["--list", "--agents", "nearest", "--city", "default"]) == 2
    assert "no use here for --agents, --city; leave it out, or leave out --list" in capsys.readouterr().err
