"""Options of environments on a command line: what was given reaches them, limits are read."""

from dataclasses import fields

import pytest

from stormgym.agents.evaluation.options import (
    argument_help,
    asks_for_help,
    check_env_id,
    check_env_kwargs,
    held_out,
    known_ids,
    limit_of,
    options_of,
    read_value,
    takes,
    word_behind,
)
from stormgym.agents.registry import DOMAINS


def test_options__only_what_was_given_reaches_the_environment() -> None:
    assert options_of()().env_kwargs() == {}
    options = options_of()(city="default", shock="group", option=("shock_log_sd=0.5", "on_invalid=raise"))
    assert options.env_kwargs() == {
        "city": "default",
        "shock": "group",
        "shock_log_sd": 0.5,
        "on_invalid": "raise",
    }
    check_env_kwargs("Restoration-v0", options.env_kwargs())
    with pytest.raises(ValueError, match="argument 'city' is given twice"):
        options_of()(city="default", option=("city=x",)).env_kwargs()
    assert check_env_id("stormgym:Restoration-v0") == "Restoration-v0"


def test_limit__is_a_number_or_a_range() -> None:
    assert [limit_of(text) for text in ("8", "2.5", "1e1")] == [8.0, 2.5, 10.0]
    assert [limit_of(text) for text in ("4-20", "4,20", " 4.5 - 2e1 ", "1e-1-3")] == [
        (4.0, 20.0),
        (4.0, 20.0),
        (4.5, 20.0),
        (0.1, 3.0),
    ]
    assert options_of()(cost_limit="4-20").env_kwargs() == {"cost_limit": (4.0, 20.0)}
    for text in ("much", "4-", "4-20-30", "4 20", ""):
        with pytest.raises(ValueError, match=r"--cost-limit must be a number \(8\) or a range \(4-20\); got"):
            limit_of(text)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("city", "default", "default"),
        ("city", "12", "12"),  # what an environment takes as text stays text
        ("split", "test", "test"),
        ("profile", "7", "7"),
        ("confidence_level", "0.8", 0.8),
        ("max_travel_km", "3", 3),
        ("max_travel_km", "null", None),
        ("income_effect", "much", "much"),  # the environment says what is wrong with it
        ("cost_limit", "8", 8.0),
        ("cost_limit", "4-20", (4.0, 20.0)),
        ("nobodys", "[1, 2]", [1, 2]),
    ],
)
def test_value__is_text_where_the_environment_takes_text_else_what_json_reads(
    name: str, text: str, value: object
) -> None:
    found = read_value(name, text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["--env", "A-v0"], "A-v0"),
        (["--env=module:A-v0"], "module:A-v0"),
        (["--env="], ""),
        (["--city", "x", "--env=a=b"], "a=b"),
        (["--env", "A-v0", "--env", "B-v0"], "A-v0"),
        (["--env"], None),
        (["--environment", "A-v0"], None),
        ([], None),
    ],
)
def test_word__behind_an_option_in_either_form(words: list[str], value: str | None) -> None:
    assert word_behind("--env", words) == value


def test_help__is_asked_for_in_either_form() -> None:
    assert [asks_for_help(words) for words in (["-h"], ["--env", "A", "--help"], ["--helpful"], [])] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("env_id", DOMAINS)
def test_help__of_an_argument_is_what_the_docstring_says(env_id: str) -> None:
    texts = argument_help(env_id)
    assert set(DOMAINS[env_id].options) <= set(texts)
    for name in DOMAINS[env_id].options:
        assert texts[name][0].isupper() or not texts[name][0].isalpha()
        assert "`" not in texts[name]
        assert "\n" not in texts[name]
    texts.clear()  # a copy
    assert argument_help(env_id)


def test_options__of_some_environments_are_theirs_alone() -> None:
    ours = {f.name for f in fields(options_of(["GeneratorDispatch-v0"]))}
    assert ours == {"option", "profile", "cost_limit"}
    assert {"city", "profile", "shock"} <= {f.name for f in fields(options_of())}


@pytest.mark.parametrize("item", ["colour", "=red", "a b=red", "1=2"])
def test_options__that_are_no_key_and_value_are_errors(item: str) -> None:
    with pytest.raises(ValueError, match="--option takes KEY=VALUE"):
        options_of()(option=(item,)).env_kwargs()


def test_env_id__keeps_the_prefix_of_another_package_and_unknown_ones_list_the_known() -> None:
    assert check_env_id("CartPole-v1") == "CartPole-v1"
    assert check_env_id("gymnasium.envs.classic_control:CartPole-v1") == "gymnasium.envs.classic_control:CartPole-v1"
    assert set(DOMAINS) <= set(known_ids())
    with pytest.raises(
        KeyError, match=r"module of 'nowhere:A-v0' cannot be imported .*Known environments: .*Restoration-v0"
    ):
        check_env_id("nowhere:A-v0")
    with pytest.raises(KeyError, match="'DefenderAttacker-v0' is a game"):
        check_env_id("DefenderAttacker-v0")


def test_env_kwargs__are_those_of_the_signature() -> None:
    assert takes("Restoration-v0", "city")
    assert not takes("GeneratorDispatch-v0", "city")
    check_env_kwargs("CartPole-v1", {"sutton_barto_reward": True})
    with pytest.raises(ValueError, match=r"takes no argument 'city'; it takes profile, .*cost_limit"):
        check_env_kwargs("GeneratorDispatch-v0", {"city": "default"})


def test_held_out__scores_on_records_that_training_never_drew() -> None:
    assert held_out({"split": "train", "city": "a"}) == {"split": "test", "city": "a"}
    assert held_out({"split": "all"}) == {"split": "all"}
    assert held_out({}) == {}


@pytest.mark.parametrize(
    ("text", "message"), [('{"a": 1, "a": 2}', "key 'a' stands twice"), ("[" * 50_000, "too deep")]
)
def test_options__json_with_a_key_twice_or_without_end_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        options_of()(city="default", option=(f"jobs={text}",)).env_kwargs()
