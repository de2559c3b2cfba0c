"""Options of environments on a command line: what was given reaches them, limits are read."""

import pytest

from stormgym.agents.evaluation.options import check_env_id, check_env_kwargs, limit_of, options_of


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
