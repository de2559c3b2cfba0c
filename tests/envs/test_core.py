"""What a core is by default, and when rewards and costs are paid."""

import numpy as np
import pytest

from stormgym.envs.core import Core, Payment, Step, check_choice


def steps_of_two() -> list[tuple[Step, np.ndarray]]:
    """Two episodes of one and of two steps: each step and the cost so far."""
    ended = np.array([True, False]), np.array([False, True])
    no = np.zeros(2, dtype=bool)
    return [
        (Step(np.array([-1.0, -2.0]), np.array([3.0, 1.0]), ended[0], no, True), np.array([3.0, 1.0])),
        (Step(np.array([0.0, -4.0]), np.array([0.0, -0.5]), no, ended[1], True), np.array([3.0, 0.5])),
    ]


def test_payment__dense_steps_pass_through_as_they_are():
    payment = Payment(2, "dense", "dense")
    assert payment.any_dense
    for step, so_far in steps_of_two():
        assert payment.pay(step, so_far) is step


@pytest.mark.parametrize(("reward", "cost"), [("dense", "terminal"), ("terminal", "dense"), ("terminal", "terminal")])
def test_payment__terminal_pays_the_sum_with_the_last_step_also_of_a_truncated_one(reward, cost):
    payment = Payment(2, reward, cost)
    assert payment.any_dense == ("dense" in (reward, cost))
    payment.begin(None)
    (first, cost_1), (second, cost_2) = steps_of_two()
    one, two = payment.pay(first, cost_1), payment.pay(second, cost_2)
    rewards = ([-1.0, 0.0], [0.0, -6.0]) if reward == "terminal" else (first.reward, second.reward)
    costs = ([3.0, 0.0], [0.0, 0.5]) if cost == "terminal" else (first.cost, second.cost)
    for paid, reward_due, cost_due in ((one, rewards[0], costs[0]), (two, rewards[1], costs[1])):
        np.testing.assert_array_equal(paid.reward, reward_due)
        np.testing.assert_array_equal(paid.cost, cost_due)


def test_payment__a_row_that_begins_again_owes_nothing():
    payment = Payment(2, "terminal", "dense")
    first, second = (step for step, _ in steps_of_two())
    nothing = np.zeros(2)
    payment.pay(first, nothing)
    payment.begin(np.array([1]))
    np.testing.assert_array_equal(payment.pay(second, nothing).reward, [0.0, -4.0])
    payment.begin(None)
    both = second._replace(truncated=np.ones(2, dtype=bool))
    np.testing.assert_array_equal(payment.pay(both, nothing).reward, [0.0, -4.0])


def test_payment__a_total_that_is_known_is_paid_instead_of_the_sum():
    (step, so_far), _ = steps_of_two()
    paid = Payment(2, "terminal", "dense").pay(step, so_far, total_reward=np.array([-7.0, -8.0]))
    np.testing.assert_array_equal(paid.reward, [-7.0, 0.0])


@pytest.mark.parametrize(("arguments", "name"), [(("late", "dense"), "reward"), (("dense", None), "cost")])
def test_payment__another_word_is_an_error_that_lists_the_words(arguments, name):
    with pytest.raises(ValueError, match=f"{name} must be one of dense, terminal; got {arguments[name == 'cost']!r}"):
        Payment(1, *arguments)


def test_check_choice__takes_only_its_words():
    check_choice("colour", "red", ("red", "blue"))
    with pytest.raises(ValueError, match="colour must be one of red, blue; got 'green'"):
        check_choice("colour", "green", ("red", "blue"))
    with pytest.raises(ValueError, match=r"got \['red'\]"):
        check_choice("colour", ["red"], ("red", "blue"))


def test_core__facts_have_defaults_and_methods_say_who_must_write_them():
    class Bare(Core):
        """Nothing."""

    core = Bare()
    assert (core.cost_limit, core.cost_limit_range, core.groups, core.announced, core.truth) == (None,) * 5
    assert (core.return_unit, core.settles_when_truncated, core.truth_reads) == (1.0, False, 0)
    assert core.instance_name == ""
    assert core.times_h() is None
    assert core.parse_options({}) is None
    for call in (
        lambda: core.reset([]),
        lambda: core.step(np.zeros(1)),
        lambda: core.validate_actions(0, None),
        core.observe,
        core.extra_info,
        lambda: core.metrics(0),
        core.action_masks,
        lambda: core.render_row(0, "ansi"),
    ):
        with pytest.raises(NotImplementedError, match="Bare must write"):
            call()
