"""Cities by name."""

from pathlib import Path

import pytest

from stormgym.envs.data import City, resolve_city
from stormgym.envs.data.resolve import is_generated, many_cities


def test_resolve__default_names_folder_and_city(folder: Path) -> None:
    assert resolve_city("default") is resolve_city("default")
    assert resolve_city("default").fingerprint() == City.synthetic().fingerprint()
    assert resolve_city("synthetic:7:3").n_regions == 7
    assert resolve_city("synthetic:7:3").fingerprint() == City.synthetic(3, 7).fingerprint()
    city = resolve_city(folder)
    assert city.fingerprint() == resolve_city(str(folder)).fingerprint()
    assert resolve_city(city) is city
    assert resolve_city("synthetic:7:3", income_effect=0.0).fingerprint() != City.synthetic(3, 7).fingerprint()


@pytest.mark.parametrize("name", ["tallahassee", "synthetic", "synthetic:7", "synthetic:7:-1", "no/such/folder"])
def test_resolve__unknown_name_lists_the_known(name: str) -> None:
    with pytest.raises(ValueError, match="'default', 'synthetic:N:SEED'") as error:
        resolve_city(name)
    assert name in str(error.value)


def test_resolve__income_effect_is_for_the_generator_only(folder: Path) -> None:
    for city in (folder, City.load(folder)):
        with pytest.raises(ValueError, match=r"income_effect is a knob of the synthetic generator.*got 0.5"):
            resolve_city(city, income_effect=0.5)


def test_resolve__wrong_type_is_named() -> None:
    with pytest.raises(TypeError, match="must be a City, a name or a path; got int"):
        resolve_city(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name",
    ["synthetic:\u0663:1", f"synthetic:{'9' * 5000}:1", "x" * 100_000, "a\0b", f"synthetic:3:{'1' * 101}"],
)
def test_resolve__odd_names_are_refused_by_a_sentence(name: str) -> None:
    with pytest.raises(ValueError, match="city must be 'default', 'synthetic:N:SEED'") as error:
        resolve_city(name)
    assert len(str(error.value)) < 500


def test_generated__are_names_and_no_folders_that_begin_alike() -> None:
    assert all(map(is_generated, ("default", "synthetic:20:3", "varied:20:3", "varied:20-30:1:2")))
    assert not any(map(is_generated, ("default_city", "synthetic", "varied", "./default", "our/city")))


def test_many_cities__more_than_memory_holds_are_refused() -> None:
    with pytest.raises(ValueError, match="needs COUNT <= 100,000; got 'synthetic:5-9:1:1000000000'"):
        many_cities("synthetic:5-9:1:1000000000")
