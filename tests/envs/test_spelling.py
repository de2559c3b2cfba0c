"""What errors say of names that nobody knows."""

from stormgym.envs.spelling import unknown


def test_unknown__names_what_is_near_and_nothing_where_nothing_is() -> None:
    known = ["cost_limit", "cost_limit_kind", "city"]
    rest = "it takes cost_limit, cost_limit_kind, city"
    assert unknown("X takes no 'cost_limitt'", "cost_limitt", known, rest) == (
        f"X takes no 'cost_limitt'; did you mean 'cost_limit'? I{rest[1:]}"
    )
    assert unknown("X takes no 'colour'", "colour", known, rest) == f"X takes no 'colour'; {rest}"
    assert unknown("nothing is known of ''", "", [], "") == "nothing is known of ''; "
