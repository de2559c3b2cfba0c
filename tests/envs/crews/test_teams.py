"""crew_dispatch_v0: PettingZoo's checks, both forms beside the single environment, rounds, and what stays hidden."""

import inspect
from itertools import pairwise, product

import gymnasium as gym
import numpy as np
import pettingzoo
import pytest
from gymnasium.utils.env_checker import data_equivalence as same
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, seed_test
from pettingzoo.test.state_test import state_test

import stormgym
from stormgym.envs.crews import teams
from stormgym.envs.crews.env import CrewDispatchEnv
from stormgym.envs.crews.teams import CrewDispatchAEC, CrewDispatchParallel
from stormgym.envs.crews.teams_game import masks_of, pending_of

SMALL = {"city": "synthetic:14:1", "n_crews": 3, "predictor": "none"}
LOOKING = {"n_assessors": 1, "assessed_share": 0.3}
SETTINGS = (
    {},
    {"n_crews": 1, "n_depots": 1, "n_skills": 1},
    {**LOOKING, "known_share": 0.3},
    {"on_h": 2.0, "off_h": 3.0, "shock": "group", "cost_limit": (1.0, 3.0)},
    {"known_share": 1.0, "feeder": "none", "reward": "terminal", "cost": "terminal"},
)
each_setting = pytest.mark.parametrize("settings", SETTINGS)
CREW = {"depot": 0, "speed_kmh": 30.0, "skills": [0, 1], "start_h": 0.0, "on_h": 90.0, "off_h": 0.0, "assessor": False}


def turns(**kwargs):
    return CrewDispatchAEC(**{**SMALL, **kwargs})


def rounds(**kwargs):
    return CrewDispatchParallel(**{**SMALL, **kwargs})


def single(**kwargs):
    return CrewDispatchEnv(**{**SMALL, **kwargs})


def flat(seen):
    """An observation of a game in the form of the single environment."""
    return {"action_mask": seen["action_mask"], **seen["observation"]}


def nearest(seen):
    """The nearest open job; the crew's own wait where none is open."""
    seen = flat(seen) if "observation" in seen else seen
    open_ = seen["action_mask"][:-1] > 0
    return int(np.where(open_, seen["distance_km"], np.inf).argmin()) if open_.any() else open_.size


def drawn(rng, odd=0.1):
    """A rule that draws an open choice, and now and then any."""

    def choose(seen):
        mask = seen["action_mask"]
        return int(rng.integers(mask.size) if rng.random() < odd else rng.choice(np.flatnonzero(mask)))

    return choose


def waiting_often(rng):
    """A rule that waits in half of its turns, where it may."""

    def choose(seen):
        mask = seen["action_mask"]
        return mask.size - 1 if mask[-1] and rng.random() < 0.5 else int(rng.choice(np.flatnonzero(mask)))

    return choose


def storm_of(env):
    jobs = env.core.process.jobs
    names = ("duration_h", "point_h", "lower_h", "upper_h", "arrival_h", "need", "parent", "weight", "assessed")
    return {name: getattr(jobs, name)[0].copy() for name in names}


# ------------------------------------------------------------------------------------------------- PettingZoo's checks


def test_ids__are_registered_once_in_both_registries():
    stormgym.register_envs()  # again, without a warning
    for make in (
        pettingzoo.make,
        lambda kind, _, **kwargs: {"aec": teams.env, "parallel": teams.parallel_env}[kind](**kwargs),
    ):
        game, both = make("aec", "crew_dispatch_v0", **SMALL), make("parallel", "crew_dispatch_v0", **SMALL)
        assert isinstance(game, CrewDispatchAEC)
        assert isinstance(both, CrewDispatchParallel)
        assert str(game) == str(both) == "crew_dispatch_v0"
        assert game.metadata["is_parallelizable"] is False
        assert game.possible_agents == both.possible_agents == ["crew_0", "crew_1", "crew_2"]
    assert isinstance(teams.raw_env(**SMALL), CrewDispatchAEC)
    arguments = inspect.signature(CrewDispatchAEC).parameters
    assert list(arguments) == list(inspect.signature(CrewDispatchEnv).parameters)


@pytest.mark.filterwarnings("ignore:Observation is not a NumPy array:UserWarning")  # it is a dictionary
@pytest.mark.filterwarnings("ignore:Observation space for each agent probably:UserWarning")
@each_setting
def test_games__pass_pettingzoos_checks(settings):
    api_test(turns(**settings), num_cycles=60)
    parallel_api_test(rounds(**settings), num_cycles=120)
    seed_test(lambda: turns(**settings), num_cycles=60)
    parallel_seed_test(lambda: rounds(**settings), num_cycles=60)
    state_test(turns(**settings), rounds(**settings), num_cycles=20)


def storms(game, n, choose_of):
    """All that a game in turns gives over some storms, seeded once."""
    game.reset(seed=3)
    choose, history = choose_of(np.random.default_rng(1)), []
    for _ in range(n):
        for agent in game.agent_iter():
            seen, reward, over, cut, info = game.last()
            action = None if over or cut else choose(seen)
            history.append((agent, seen, reward, over, cut, info, action))
            game.step(action)
        game.reset()
    return history


def test_turns__many_storms_in_two_games_are_the_same_to_the_bit():
    """PettingZoo's own seed test stops at the first end."""
    mine, other = (storms(turns(**LOOKING), 3, drawn) for _ in range(2))
    assert len(mine) > 100
    assert all(same(a, b) for a, b in zip(mine, other, strict=True))


# -------------------------------------------------------------------------------------------- as the single environment


@each_setting
@pytest.mark.parametrize("rule", ["nearest", "drawn"])
def test_turns__are_the_single_environment_step_for_step(settings, rule):
    game, env = turns(**settings), single(**settings)
    choose = nearest if rule == "nearest" else drawn(np.random.default_rng(5))
    for seed in (2, None):
        seen, info = env.reset(seed=seed)
        game.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            agent = game.agent_selection
            own, own_info = game.observe(agent), game.infos[agent]
            assert agent == f"crew_{int(info['asked'])}"
            assert same(flat(own), seen)
            assert game.observation_space(agent).contains(own)
            for name in ("cost", "episode_cost", "cost_limit"):
                assert own_info[name] == info[name], name
            np.testing.assert_array_equal(own_info["action_mask"], info["action_mask"])
            action = choose(seen)
            seen, reward, over, cut, info = env.step(action)
            game.step(action)
            total += reward
            assert set(game.rewards.values()) == {reward}
            assert set(game.terminations.values()) == {over}
            assert set(game.truncations.values()) == {cut}
        for agent in game.agents:
            assert game.infos[agent]["metrics"] == info["metrics"]
            assert game.observe(agent)["action_mask"].all()
        assert total != 0


def test_turns__what_a_crew_gets_from_last_sums_to_the_storm():
    game = turns(**LOOKING)
    for seed in range(3):
        game.reset(seed=seed)
        got = {agent: np.zeros(2) for agent in game.agents}
        total, choose = np.zeros(2), drawn(np.random.default_rng(seed))
        for agent in game.agent_iter():
            seen, reward, over, _, info = game.last()
            got[agent] += reward, info["cumulative_cost"]
            game.step(None if over else choose(seen))
            if not over:
                total += game.rewards[agent], game.infos[agent]["cost"]
        for sums in got.values():
            np.testing.assert_allclose(sums, total, atol=1e-12)
        assert total[1] == pytest.approx(info["metrics"]["gap_h"])


def test_turns__the_clock_says_whose_turn_it_is():
    game = turns()
    storms_seen = [agent for agent, *_ in storms(game, 2, lambda rng: nearest)]
    assert any(a == b for a, b in pairwise(storms_seen))


def test_turns__a_storm_that_is_cut_off_is_settled_and_both_flags_are_set():
    game, env, both = turns(city="synthetic:6:1"), single(city="synthetic:6:1"), rounds(city="synthetic:6:1")
    for it in (game, env, both):
        it.reset(seed=1)
    sent, total = 0, 0.0
    while game.agents and not any(game.terminations.values()):
        mask = game.observe(game.agent_selection)["action_mask"]
        closed = np.flatnonzero(mask == 0)
        action = int(closed[0]) if closed.size else 0
        game.step(action)
        _, reward, over, cut, info = env.step(action)
        sent, total = sent + 1, total + reward
    assert sent == 24
    assert over
    assert cut
    assert all(game.terminations.values())
    assert all(game.truncations.values())
    metrics = game.infos["crew_0"]["metrics"]
    assert metrics == info["metrics"]
    assert metrics["completed"] == 0.0
    _, infos = both.reset(seed=1)
    while both.agents:
        actions = {agent: np.append(info["action_mask"] == 0, True).argmax() % 7 for agent, info in infos.items()}
        _, _, over, cut, infos = both.step(actions)
    assert all(over.values())
    assert all(cut.values())
    assert infos["crew_0"]["metrics"]["completed"] == 0.0


# -------------------------------------------------------------------------------------------------------------- rounds


def played(both, seed, choose=nearest):
    """A storm in rounds: return, cost, metrics, and rounds in which time stood still."""
    seen, infos = both.reset(seed=seed)
    total, cost, still = 0.0, infos["crew_0"]["cost"], 0
    while both.agents:
        before = both.core.process.t[0]
        actions = {agent: choose(own) for agent, own in seen.items()}
        seen, rewards, _, _, infos = both.step(actions)
        assert len(set(rewards.values())) == 1
        total, cost = total + rewards["crew_0"], cost + infos["crew_0"]["cost"]
        still += both.core.process.t[0] == before
        assert all(both.observation_space(agent).contains(own) for agent, own in seen.items())
    assert infos["crew_0"]["episode_cost"] == pytest.approx(cost)
    return total, cost, infos["crew_0"]["metrics"], still


@pytest.mark.slow
def test_rounds__give_the_return_of_turns_on_sixty_storms():
    game, both, stood_still = turns(), rounds(), 0
    for seed in range(60):
        game.reset(seed=seed)
        total = 0.0
        while not any(game.terminations.values()):
            game.step(nearest(game.observe(game.agent_selection)))
            total += game.rewards["crew_0"]
        own, cost, metrics, still = played(both, seed)
        assert own == pytest.approx(total, abs=1e-12)
        assert metrics == game.infos["crew_0"]["metrics"]
        assert cost == pytest.approx(metrics["gap_h"])
        stood_still += still
    assert stood_still > 30  # crews of one depot want the same job


def plain_mask(core, crew):
    """What a crew may choose now, from the arrays of jobs and crews by the rules of the documentation, one by one."""
    p, now = core.process, float(core.process.t[0])
    jobs, roster = p.jobs, core.roster

    def could(k, j):
        if jobs.arrival_h[0, j] > now or p.sent_h[0, j] <= now:
            return False
        if roster.assessor[k]:
            return not np.isfinite(p.seen_h[0, j])  # nobody has looked, and nobody is on the way to look
        return bool(roster.skills[k, jobs.need[0, j]])

    def on_duty(k):
        since = now - roster.start_h[k]
        return since >= 0 and since % (roster.on_h[k] + roster.off_h[k]) < roster.on_h[k]

    def free(k):
        return p.finish_h[0, k] <= now and not p.waiting[0, k] and on_duty(k)

    able = [free(k) and any(could(k, j) for j in range(core.n_jobs)) for k in range(roster.n_crews)]
    if not able[crew]:
        return False, [False] * core.n_jobs + [True]
    wait = bool((p.finish_h[0] > now).any()) or sum(able) > 1 or now < p.arrival_end_h
    return True, [could(crew, j) for j in range(core.n_jobs)] + [wait]


@each_setting
def test_rounds__pending_crews_and_masks_are_those_of_the_rules(settings):
    both, shown = rounds(**settings), 0
    rules = drawn(np.random.default_rng(4)), waiting_often(np.random.default_rng(4))
    for seed, choose in product(range(3), rules):
        seen, infos = both.reset(seed=seed)
        while both.agents:
            process = both.core.process
            pending = pending_of(process)
            asked = int(process.asked[0])
            assert pending[0].argmax() == asked
            np.testing.assert_array_equal(masks_of(process, pending)[0, asked], process.mask[0])
            for k, (agent, own) in enumerate(seen.items()):
                expected = plain_mask(both.core, k)
                assert infos[agent]["pending"] == expected[0]
                assert own["action_mask"].astype(bool).tolist() == expected[1]
                np.testing.assert_array_equal(infos[agent]["action_mask"], own["action_mask"])
                shown += expected[0]
            seen, *_, infos = both.step({agent: choose(own) for agent, own in seen.items()})
    assert shown > 40


def test_rounds__every_crew_sees_the_storm_from_where_it_is():
    both = rounds(**LOOKING)
    seen, _ = both.reset(seed=3)
    while both.agents:
        process, views = both.core.process, [flat(own) for own in seen.values()]
        for k, view in enumerate(views):
            assert view["crew_asked"].argmax() == k
            assert view["crew_asked"].sum() == 1
            known = view["known"] > 0
            km = process.distance_km[process.loc[0, k], process.jobs.site[0]]
            np.testing.assert_allclose(view["distance_km"][known], km[known], rtol=1e-6)
            np.testing.assert_allclose(view["travel_h"], view["distance_km"] / view["crew_speed_kmh"][k], rtol=1e-6)
            alike = set(view) - {"distance_km", "travel_h", "crew_asked", "action_mask"}
            assert all(np.array_equal(view[name], views[0][name]) for name in alike)
        seen, *_ = both.step({agent: nearest(own) for agent, own in seen.items()})


def test_rounds__a_job_that_is_taken_ends_the_round_and_the_second_is_asked_again():
    both = rounds(known_share=1.0, feeder="none")
    seen, _ = both.reset(seed=2)
    job = nearest(seen["crew_0"])
    choices = {"crew_0": job, "crew_1": job, "crew_2": job}
    assert all(seen[agent]["action_mask"][job] for agent in ("crew_0", "crew_1"))
    seen, rewards, over, _, infos = both.step(choices)
    process = both.core.process
    assert process.t[0] == 0.0
    assert not any(over.values())
    assert process.crew_of[0, job] == 0
    assert (process.target[0] >= 0).sum() == 1
    assert [infos[agent]["pending"] for agent in both.agents] == [0.0, 1.0, 1.0]
    assert not seen["crew_1"]["action_mask"][job]
    assert rewards["crew_2"] == 0.0
    both.step({"crew_1": nearest(seen["crew_1"]), "crew_2": nearest(seen["crew_2"])})  # crew_0 need not be heard
    assert process.t[0] > 0


def test_rounds__the_last_that_could_act_may_not_wait():
    both = rounds(n_crews=2, known_share=1.0, feeder="none")
    seen, _ = both.reset(seed=0)
    n = both.n_jobs
    assert [own["action_mask"][n] for own in seen.values()] == [1, 1]  # each sees another that could act
    seen, _, _, _, infos = both.step({"crew_0": n, "crew_1": n})
    assert both.core.process.t[0] == 0.0
    assert [infos[agent]["pending"] for agent in both.agents] == [0.0, 1.0]
    assert seen["crew_0"]["observation"]["crew_waiting"].tolist() == [1.0, 0.0]
    assert seen["crew_1"]["action_mask"][n] == 0
    assert seen["crew_1"]["action_mask"][:-1].any()
    _, _, _, _, infos = both.step({"crew_0": n, "crew_1": nearest(seen["crew_1"])})
    process = both.core.process
    assert process.t[0] == process.finish_h[0, 1]  # the end of work wakes both
    assert infos["crew_0"]["pending"] == 1.0


def test_rounds__a_crew_whose_last_job_was_taken_is_passed_over():
    crews = [CREW, {**CREW, "skills": [0]}, {**CREW, "skills": [1]}]
    both = rounds(crews=crews, known_share=1.0, feeder="none")
    both.reset(seed=0)
    storm = storm_of(both)
    storm["need"] = np.array([0] + [1] * 13)
    both.reset(seed=0, options={"jobs": storm})
    both.step({"crew_0": 0, "crew_1": 0, "crew_2": 5})
    process = both.core.process
    assert process.crew_of[0, [0, 5]].tolist() == [0, 2]
    assert process.t[0] > 0
    assert process.finish_h[0, 1] == -np.inf


def test_rounds__what_a_crew_said_that_was_passed_over_is_forgotten():
    both = rounds(crews=[CREW, CREW], known_share=0.5, feeder="none")
    both.reset(seed=0)
    storm = storm_of(both)
    storm["arrival_h"] = np.array([0.0] + [5.0] * 13)
    storm["duration_h"][0] = 9.0
    both.reset(seed=0, options={"jobs": storm})
    _, _, _, _, infos = both.step({"crew_0": 0, "crew_1": both.n_jobs})  # crew_1 has no job left to wait for
    process = both.core.process
    assert process.t[0] == 5.0
    assert process.waits[0] == 0
    assert [infos[agent]["pending"] for agent in both.agents] == [0.0, 1.0]


def test_rounds__a_crew_that_is_off_duty_is_not_pending():
    both = rounds(crews=[CREW, {**CREW, "on_h": 2.0, "off_h": 30.0}], known_share=0.5, feeder="none")
    both.reset(seed=0)
    storm = storm_of(both)
    storm["arrival_h"], storm["duration_h"][0] = np.array([0.0] + [5.0] * 13), 1.0
    both.reset(seed=0, options={"jobs": storm})
    seen, *_, infos = both.step({"crew_0": 0, "crew_1": 0})  # nothing is left for the second in its hours
    assert both.core.process.t[0] == 5.0
    assert [infos[agent]["pending"] for agent in both.agents] == [1.0, 0.0]
    assert seen["crew_1"]["action_mask"].tolist() == [0] * 14 + [1]


def test_rounds__a_choice_that_was_closed_from_the_beginning_is_wasted_or_an_error():
    for kwargs in ({}, {"on_invalid": "raise"}):
        both = rounds(n_crews=2, known_share=0.3, feeder="none", **kwargs)
        seen, _ = both.reset(seed=0)
        job, closed = nearest(seen["crew_0"]), int(np.flatnonzero(seen["crew_1"]["action_mask"] == 0)[0])
        if kwargs:
            with pytest.raises(ValueError, match=rf"action {closed} is masked for crew_1; choose where action_mask is"):
                both.step({"crew_0": job, "crew_1": closed})
            assert (both.core.process.target == -1).all()  # nobody has gone
            game = turns(n_crews=2, known_share=0.3, feeder="none", **kwargs)
            game.reset(seed=0)
            with pytest.raises(ValueError, match=rf"action {closed} is masked for crew 0"):
                game.step(closed)
        else:
            both.step({"crew_0": job, "crew_1": closed})
            assert both.core.process.wasted[0] == 1
            assert both.core.process.crew_of[0, job] == 0


# -------------------------------------------------------------------------------------------------------------- hidden


@pytest.mark.parametrize("kind", ["turns", "rounds"])
def test_hidden__what_has_not_happened_changes_nothing_that_any_crew_sees(kind):
    make = {"turns": turns, "rounds": rounds}[kind]
    kwargs = {"assessed_share": 0.5, "n_assessors": 1}
    game, twin = make(**kwargs), make(**kwargs)
    game.reset(seed=4)
    storm = storm_of(game)
    change_h = 3.0
    late = np.flatnonzero(storm["arrival_h"] > change_h)
    assert late.size
    other = {name: values.copy() for name, values in storm.items()}
    other["arrival_h"][late] = np.where(np.arange(late.size) % 2, 3.5, 20.0)
    other["need"][late] = 1 - other["need"][late]
    other["duration_h"][late] *= 3.0
    for job in range(14):  # what is above must not arrive later
        parent = other["parent"][job]
        if parent >= 0:
            other["arrival_h"][parent] = min(other["arrival_h"][parent], other["arrival_h"][job])
    first = [it.reset(seed=0, options={"jobs": jobs}) for it, jobs in ((game, storm), (twin, other))]
    decisions = 0
    while max(game.core.process.t[0], twin.core.process.t[0]) < change_h:
        np.testing.assert_array_equal(game.state(), twin.state())
        if kind == "turns":
            for agent in game.agents:
                assert same(game.observe(agent), twin.observe(agent)), agent
                assert same(game.infos[agent], twin.infos[agent]), agent
            action = nearest(game.observe(game.agent_selection))
            game.step(action), twin.step(action)
        else:
            assert same(first[0], first[1])
            actions = {agent: nearest(own) for agent, own in first[0][0].items()}
            first = [it.step(actions) for it in (game, twin)]
            first = [(seen, infos) for seen, _, _, _, infos in first]
        decisions += 1
    assert decisions > 3


def test_state__is_what_all_see_alike_and_marks_who_may_choose():
    game, both = turns(), rounds()
    game.reset(seed=1)
    seen, infos = both.reset(seed=1)
    np.testing.assert_array_equal(game.state(), both.state())
    parts = gym.spaces.unflatten(both._common, both.state())
    assert parts["crew_asked"].tolist() == [infos[agent]["pending"] for agent in both.agents]
    for name, values in parts.items():
        if name != "crew_asked":
            np.testing.assert_array_equal(values, seen["crew_2"]["observation"][name])


# -------------------------------------------------------------------------------------------------------- small things


def test_seen__is_nobody_elses_array():
    game, both = turns(), rounds()
    game.reset(seed=0)
    seen, infos = both.reset(seed=0)
    for own in (game.observe("crew_0"), seen["crew_0"]):
        own["observation"]["point_h"][:] = -1
        own["action_mask"][:] = 0
    infos["crew_0"]["action_mask"][:] = 0
    game.infos["crew_0"]["action_mask"][:] = 0
    assert game.observe("crew_0")["action_mask"].any()
    assert (game.observe("crew_0")["observation"]["point_h"] >= 0).all()
    assert (seen["crew_1"]["observation"]["point_h"] >= 0).all()
    assert both.core.process.mask.any()


@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
def test_games__render(mode):
    for game in (turns(render_mode=mode), rounds(render_mode=mode)):
        with pytest.raises(gym.error.ResetNeeded, match=r"nothing to render before reset\(\)"):
            game.render()
        game.reset(seed=0)
        assert "open:" in game.render() if mode == "ansi" else game.render().shape == (600, 1200, 3)
        game.close()
    with pytest.raises(ValueError, match="render_mode must be one of ansi, rgb_array; got 'human'"):
        turns(render_mode="human")
    with pytest.warns(UserWarning, match="without a render_mode"):
        assert turns().render() is None


def test_games__announce_what_the_single_environment_does():
    game, env = turns(), single()
    game.reset(seed=0), env.reset(seed=0)
    np.testing.assert_array_equal(game.announced.quantile_h, env.announced.quantile_h)
    assert game.city.n_regions == env.city.n_regions
    assert (game.cost_limit, game.return_unit) == (env.cost_limit, env.return_unit)
    assert game.truth_reads == 0
    np.testing.assert_array_equal(game.truth.duration_h, env.truth.duration_h)
    assert game.truth_reads == 1


def test_games__bad_actions_name_the_crew_and_the_rule():
    game, both = turns(), rounds()
    for it in (game, both):
        with pytest.raises(gym.error.ResetNeeded, match="the storm has not begun or has ended"):
            it.step({})
        with pytest.raises(gym.error.ResetNeeded, match=r"no state before reset\(\)"):
            it.state()
    with pytest.raises(gym.error.ResetNeeded, match=r"nothing to observe before reset\(\)"):
        game.observe("crew_0")
    game.reset(seed=0), both.reset(seed=0)
    with pytest.raises(KeyError, match="agent must be one of crew_0, crew_1, crew_2; got 'crew_9'"):
        game.observe("crew_9")
    with pytest.raises(ValueError, match="the action of crew_0 must be a job 0 to 13, or 14 to wait; got 15"):
        game.step(15)
    for action in (None, 0.5, [1], "x"):
        with pytest.raises(TypeError, match="the action of crew_0 must be an integer; got"):
            game.step(action)
        with pytest.raises(TypeError, match="the action of crew_1 must be an integer; got"):
            both.step({"crew_0": 0, "crew_1": action, "crew_2": 0})
    with pytest.raises(KeyError, match=r"missing \['crew_0', 'crew_2'\], unknown \['crew_7'\]"):
        both.step({"crew_1": 0, "crew_7": 0})
    with pytest.raises(ValueError, match="the action of crew_2 must be a job 0 to 13, or 14 to wait; got -1"):
        both.step({"crew_0": 0, "crew_1": 0, "crew_2": -1})
    with pytest.raises(TypeError, match="n_crew"):
        turns(n_crew=3)


def test_turns__who_has_left_cannot_act():
    game = turns()
    game.reset(seed=0)
    while not game.terminations[game.agent_selection]:
        game.step(nearest(game.observe(game.agent_selection)))
    with pytest.raises(ValueError, match="the only valid action is None"):
        game.step(0)
    for _ in range(3):
        game.step(None)
    with pytest.raises(gym.error.ResetNeeded, match=r"call reset\(\) before step\(\)"):
        game.step(None)


def test_reset__options_fix_storm_and_limit_and_unknown_ones_are_passed_over():
    game, both = turns(), rounds()
    game.reset(seed=4)
    storm = storm_of(game)
    for it in (game, both):
        it.reset(seed=9, options={"jobs": storm, "cost_limit": 1.5, "whatever": 1})
        np.testing.assert_array_equal(storm_of(it)["duration_h"], storm["duration_h"])
    assert game.infos["crew_1"]["cost_limit"] == 1.5
    with pytest.raises(ValueError, match=r"jobs\['duration_h'\] and jobs\['point_h'\] must be above 0 hours"):
        game.reset(options={"jobs": {**storm, "duration_h": np.zeros(14)}})
