"""`crews.json` and the column `parent`: what is read, exact round trips, the schema, and every error."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from stormgym.envs.data import City, DataError
from stormgym.envs.data.checking import check_folder
from stormgym.envs.data.crews_file import CrewRecord
from stormgym.envs.data.kinds import CITY
from stormgym.envs.data.schemas import read_schema, schema_names

CREW = {"depot": 0, "skills": [0], "on_h": 16, "off_h": 8}
FULL = {
    "name": "b",
    "depot": {"x_km": 1.5, "y_km": 2},
    "speed_kmh": 50,
    "skills": [1, 0],
    "start_h": 6,
    "on_h": 12,
    "off_h": 12,
    "assessor": False,
    "at": {"x_km": 4, "y_km": 1},
}
CREWS = jsonschema.Draft202012Validator(read_schema("crews"))


def with_crews(folder: Path, content: object) -> Path:
    (folder / "crews.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_load__reads_every_field_and_what_is_left_out(folder: Path) -> None:
    city = City.load(with_crews(folder, {"crews": [CREW, FULL], "notes": "of 2026"}))
    first, second = city.crews
    assert first == CrewRecord("0", 0, city.speed_kmh, (0,), 0.0, 16.0, 8.0, False)
    assert second == CrewRecord("b", (1.5, 2.0), 50.0, (1, 0), 6.0, 12.0, 12.0, False, (4.0, 1.0))


def test_load__depots_of_the_file_are_named_by_position(folder: Path) -> None:
    content = {"depots": [{"x_km": 1, "y_km": 1}, {"x_km": 3, "y_km": 4}], "crews": [{**CREW, "depot": 1}, CREW]}
    assert [crew.depot for crew in City.load(with_crews(folder, content)).crews] == [(3.0, 4.0), (1.0, 1.0)]


def test_load__latitude_and_longitude_of_a_depot_count_as_those_of_the_regions(folder: Path) -> None:
    (folder / "regions.csv").write_text("region,lat,lon,group\na,30.0,-84.0,0\nb,31.0,-84.0,0\nc,30.5,-83.5,0\n")
    (folder / "city.json").write_text('{"depot": [30.5, -84.0]}')
    city = City.load(with_crews(folder, {"crews": [{**CREW, "depot": {"latitude": 31.0, "longitude": -84.0}}]}))
    assert city.crews[0].depot == pytest.approx(tuple(city.xy_km[1]), abs=1e-9)
    for places, message in (
        ({"x_km": 1, "y_km": 1}, "must have 'latitude' and 'longitude'.*regions.csv has lat and lon"),
        ({"latitude": -84.0, "longitude": 31.0}, r"within 1000 km of a region; got one 1\d,\d\d\d km away.*exchanged"),
        ({"latitude": 91.0, "longitude": 31.0}, r"latitude must be in \[-90, 90\].*got 91 and 31.*exchanged"),
    ):
        with pytest.raises(DataError, match=message):
            City.load(with_crews(folder, {"crews": [{**CREW, "depot": places}]}))


def test_save__round_trip_of_crews_and_lines_is_exact(folder: Path, tmp_path: Path) -> None:
    table = (folder / "regions.csv").read_text().splitlines()
    lines = [f"{row},{cell}" for row, cell in zip(table, ["parent", "", "a", "b"], strict=True)]
    (folder / "regions.csv").write_text("\n".join(lines) + "\n")
    odd = {**FULL, "depot": {"x_km": 0.1 + 0.2, "y_km": -1 / 3}}
    city = City.load(with_crews(folder, {"crews": [CREW, odd]}))
    assert city.parent is not None
    assert city.parent.tolist() == [-1, 0, 1]
    assert "parent" not in city.context
    city.save(tmp_path / "copy")
    again = City.load(tmp_path / "copy")
    assert again.crews == city.crews
    assert again.parent is not None
    assert again.parent.tolist() == city.parent.tolist()
    assert again.fingerprint() == city.fingerprint()
    CREWS.validate(json.loads((tmp_path / "copy" / "crews.json").read_text()))


def test_fingerprint__crews_and_lines_count_and_names_of_crews_do_not(folder: Path) -> None:
    city = City.load(with_crews(folder, {"crews": [FULL]}))
    (crew,) = city.crews
    assert replace(city, crews=(replace(crew, name="z"),)).fingerprint() == city.fingerprint()
    others = [replace(city, crews=()), replace(city, crews=(replace(crew, on_h=3.0),))]
    others.append(replace(city, parent=np.array([-1, 0, 0])))
    assert len({other.fingerprint() for other in [city, *others]}) == 4


def test_save__into_a_folder_with_crews_of_another_is_an_error(folder: Path) -> None:
    city = City.load(folder)
    with_crews(folder, {"crews": [CREW]})
    with pytest.raises(DataError, match=r"crews.json: the folder has crews, which this city has not.*Remove"):
        city.save(folder)


BAD = [
    ({"crews": [{**CREW, "colour": 1}]}, "crew 0: unknown key 'colour'; known are", True),
    ({"crews": [{**CREW, "skill": [1]}]}, "unknown key 'skill'; .*Did you mean 'skills'", True),
    ({"crew": []}, "unknown key 'crew'; .*Did you mean 'crews'", True),
    ({"notes": "x"}, "key 'crews' is missing", True),
    ({"crews": []}, r"'crews' must be a list of at least one crew; got \[\]", True),
    ({"crews": {}}, r"'crews' must be a list of at least one crew; got \{\}", True),
    ({"crews": [3]}, "crew 0: a crew must be an object", True),
    ({"crews": [{k: v for k, v in CREW.items() if k != "on_h"}]}, "crew 0: key 'on_h' is missing", True),
    ({"crews": [{**CREW, "on_h": 0}]}, "'on_h' must be a number above 0, at most 10000 .h.; got 0", True),
    ({"crews": [{**CREW, "on_h": "16"}]}, "'on_h' must be a number above 0.*got '16'", True),
    ({"crews": [{**CREW, "on_h": True}]}, "'on_h' must be a number above 0.*got True", True),
    ({"crews": [{**CREW, "off_h": -1}]}, "'off_h' must be a number from 0 to 10000 .h.; got -1", True),
    ({"crews": [{**CREW, "start_h": 1e5}]}, "'start_h' must be a number from -10000 to 10000", True),
    ({"crews": [{**CREW, "speed_kmh": 0}]}, "'speed_kmh' must be a number above 0, at most 1000", True),
    ({"crews": [{**CREW, "skills": []}]}, "'skills' must be a list of at least one number, unless", True),
    ({"crews": [{**CREW, "skills": [0, 0]}]}, "'skills' must be a list of different whole numbers 0 to 9", True),
    ({"crews": [{**CREW, "skills": [10]}]}, r"'skills' must be .*got \[10\]", True),
    ({"crews": [{**CREW, "skills": 1}]}, "'skills' must be a list", True),
    ({"crews": [{**CREW, "assessor": 1}]}, "'assessor' must be true or false; got 1", True),
    ({"crews": [{**CREW, "assessor": True}]}, "at least one crew must repair; all 1 are assessors", True),
    ({"crews": [{**CREW, "name": " "}]}, "'name' must be a text", True),
    ({"crews": [{**CREW, "name": "a"}, {**CREW, "name": "a"}]}, "crew 1: 'name' must be different.*crew 0 has", False),
    ({"crews": [{**CREW, "depot": -1}]}, "'depot' must be a place .*whole number 0 to 99; got -1", True),
    ({"crews": [{**CREW, "depot": 1}], "depots": [{"x_km": 0, "y_km": 0}]}, "number 0 to 0; got 1", False),
    ({"crews": [CREW], "depots": [{"x_km": 0}]}, "depot 0: a place must have 'x_km' and 'y_km'", True),
    ({"crews": [CREW], "depots": {}}, "'depots' must be a list of at most 100 places", True),
    (
        {"crews": [{**CREW, "depot": {"latitude": 1, "longitude": 2}}]},
        "must have 'x_km' and 'y_km'.*regions.csv has x_km and y_km",
        False,
    ),
    ({"crews": [{**CREW, "depot": {"x_km": 1e5, "y_km": 0}}]}, "within 1000 km of a region; got one .*km away", False),
    ({"crews": [{**CREW, "at": 3}]}, "crew 0, at: a place must have 'x_km' and 'y_km'; got 3", True),
    (
        {"crews": [{**CREW, "depot": {"x_km": "1", "y_km": 0}}]},
        "'x_km' must be a number from -100000 to 100000; got '1'",
        True,
    ),
    (
        {"crews": [{**CREW, "depot": {"x_km": 1e300, "y_km": 0}}]},
        "'x_km' must be a number from -100000 to 100000; got 1e.300",
        True,
    ),
]


@pytest.mark.parametrize(("content", "message", "told_by_schema"), BAD)
def test_load__bad_crews_name_file_crew_value_and_cure(
    folder: Path, content: object, message: str, told_by_schema: bool
) -> None:
    with pytest.raises(DataError, match=f"(?s)crews.json.*{message}"):
        City.load(with_crews(folder, content))
    assert CREWS.is_valid(content) != told_by_schema


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"crews": [{"depot": 0, "skills": [0], "on_h": 8, "off_h": 1, "on_h": 9}]}', "key 'on_h' stands twice"),
        ('{"crews": [{"depot": 0, "skills": [0], "on_h": NaN, "off_h": 1}]}', "'on_h' must be a number.*got nan"),
        ('{"crews": [{"depot": 0, "skills": [0], "on_h": 1e999, "off_h": 1}]}', "'on_h' must be a number.*got inf"),
        ('{"crews": [', "line 1, column 12: not JSON"),
        ("[]", "must hold a JSON object"),
    ],
)
def test_load__bad_json(folder: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        City.load(with_crews(folder, text))


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["", "d", "a"], "line 3, column 'parent': a parent must be the id of another region; got 'd'. Leave it blank"),
        (["b", "c", "a"], "line 2, column 'parent': no region may hang on itself, over others or directly; got 'b'"),
        (["", "b", "a"], "line 3, column 'parent': no region may hang on itself"),
    ],
)
def test_load__bad_parents(folder: Path, cells: list[str], message: str) -> None:
    table = (folder / "regions.csv").read_text().splitlines()
    lines = [f"{row},{cell}" for row, cell in zip(table, ["parent", *cells], strict=True)]
    (folder / "regions.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=message):
        City.load(folder)


def test_city__parents_that_are_no_forest() -> None:
    city = City.synthetic(1, 4)
    for parent, message in (([4, -1, -1, -1], "an index 0 to 3, or -1 for none; got 4"), ([1, 0, -1, -1], "no circle")):
        with pytest.raises(DataError, match=message):
            replace(city, parent=np.array(parent))


def test_load__a_depot_of_city_json_on_the_other_side_of_the_world(folder: Path) -> None:
    options = json.loads((folder / "city.json").read_text())
    (folder / "city.json").write_text(json.dumps(options | {"depot": [20_000, 0]}))
    with pytest.raises(DataError, match=r"city.json: 'depot': a depot must be within 1000 km"):
        City.load(folder)


def test_schemas__are_valid_and_take_what_is_written(folder: Path, tmp_path: Path) -> None:
    for name in schema_names():
        jsonschema.Draft202012Validator.check_schema(read_schema(name))
    city = jsonschema.Draft202012Validator(read_schema("city"))
    city.validate(json.loads((folder / "city.json").read_text()))
    City.synthetic(2, 5).save(tmp_path / "made")
    city.validate(json.loads((tmp_path / "made" / "city.json").read_text()))
    for bad in ({"speed_kmh": 0}, {"depot": [1]}, {"depto": [1, 2]}, {"group_names": []}, {"N": "3"}):
        assert not city.is_valid(bad)
    CREWS.validate({"crews": [CREW, FULL]})
    with pytest.raises(ValueError, match=r"schema must be one of .*city, crews.*; got 'jobs'"):
        read_schema("jobs")


DEGREES = "region,lat,lon,group\na,30.0,-84.0,0\nb,31.0,-84.0,0\nc,30.5,-83.5,0\n"


def in_degrees(folder: Path) -> City:
    """The city of a folder whose regions are in degrees."""
    (folder / "regions.csv").write_text(DEGREES)
    (folder / "city.json").write_text('{"depot": [30.5, -84.0]}')
    return City.load(folder)


def test_save__a_city_that_came_from_degrees_takes_depots_in_degrees(folder: Path, tmp_path: Path) -> None:
    city = in_degrees(folder)
    city.save(tmp_path / "copy")
    header, first = (tmp_path / "copy" / "regions.csv").read_text().splitlines()[:2]
    assert header == "region,x_km,y_km,group,lat,lon"
    assert first.endswith(",0,30,-84")
    assert json.loads((tmp_path / "copy" / "city.json").read_text())["origin"] == list(city.origin or ())
    degrees, km = {"latitude": 31.0, "longitude": -84.0}, {"x_km": 1, "y_km": 2}
    crews = {"depots": [degrees, km], "crews": [CREW, {**CREW, "depot": 1, "at": degrees}]}
    again = City.load(with_crews(tmp_path / "copy", crews))
    assert again.origin == city.origin
    assert again.crews[0].depot == pytest.approx(tuple(city.xy_km[1]), abs=1e-9)
    assert (again.crews[1].depot, again.crews[1].at) == ((1.0, 2.0), again.crews[0].depot)
    assert replace(again, crews=()).fingerprint() == city.fingerprint()
    again.save(tmp_path / "third")
    assert City.load(tmp_path / "third").fingerprint() == again.fingerprint()
    assert City.load(tmp_path / "third").log.feature_names == city.log.feature_names


def test_load__with_an_origin_regions_may_be_in_degrees_and_the_depot_is_in_km(folder: Path) -> None:
    city = in_degrees(folder)
    (folder / "city.json").write_text('{"depot": [1.5, 2.5], "origin": [30.0, -84.0]}')
    other = City.load(folder)
    assert other.depot_km.tolist() == [1.5, 2.5]
    assert other.xy_km[0].tolist() == [0.0, 0.0]
    assert (other.xy_km[1] - other.xy_km[0]).tolist() == pytest.approx((city.xy_km[1] - city.xy_km[0]).tolist())


def test_load__degrees_beside_km_that_are_another_place_are_doubtful(folder: Path, tmp_path: Path) -> None:
    in_degrees(folder).save(tmp_path / "copy")
    file = tmp_path / "copy" / "regions.csv"
    file.write_text(file.read_text().replace(",31,-84", ",32,-84"))
    with pytest.warns(
        UserWarning, match=r"regions.csv, line 3: lat and lon are 111\.2 km from x_km and y_km, which alone"
    ):
        City.load(tmp_path / "copy")


def test_check__a_wrong_place_is_one_finding(folder: Path, tmp_path: Path) -> None:
    in_degrees(folder).save(tmp_path / "copy")
    file = tmp_path / "copy" / "regions.csv"
    lines = file.read_text().splitlines()
    cells = lines[2].split(",")
    file.write_text("\n".join([*lines[:2], ",".join([cells[0], "east", *cells[2:]]), lines[3]]) + "\n")
    report = check_folder(tmp_path / "copy", CITY)
    assert [(f.level, f.line, f.column) for f in report.findings] == [("error", 3, "x_km")]


def test_load__a_depot_in_degrees_where_it_is_in_km_is_doubtful(folder: Path, tmp_path: Path) -> None:
    in_degrees(folder).save(tmp_path / "copy")
    options = json.loads((tmp_path / "copy" / "city.json").read_text())
    (tmp_path / "copy" / "city.json").write_text(json.dumps(options | {"depot": [30.5, -84.0]}))
    with pytest.warns(
        UserWarning, match=r"city.json: 'depot' is in km where .*got \[30\.5, -84\.0\], .* Are these degrees"
    ):
        City.load(tmp_path / "copy")


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        ((95.0, 3.0), r"City.origin must be \(latitude, longitude\).*got \(95.0, 3.0\).*exchanged"),
        ((1.0,), r"City.origin must have shape \[2\]"),
    ],
)
def test_city__of_no_origin(folder: Path, origin: tuple[float, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        replace(City.load(folder), origin=origin)
    with pytest.raises(DataError, match=r"City.context must not have 'lat' beside City.origin"):
        replace(City.load(folder), origin=(30.0, -84.0), context={"lat": np.zeros(3)})


@pytest.mark.parametrize("origin", [[90, 0], [0, 361], [1], "x"])
def test_load__an_origin_that_is_none_is_named(folder: Path, origin: object) -> None:
    (folder / "city.json").write_text(json.dumps({"origin": origin}))
    with pytest.raises(DataError, match=r"city.json: 'origin' must be"):
        City.load(folder)


@pytest.mark.parametrize(
    ("place", "hint"),
    [
        ({"lat": 31.0, "lon": -84.0}, "write 'latitude' for 'lat' and 'longitude' for 'lon'"),
        ({"latitude": 31.0, "lng": -84.0}, "write 'longitude' for 'lng'"),
        ({"x": 1, "y": 2}, "write 'x_km' for 'x' and 'y_km' for 'y'; regions.csv has lat and lon"),
    ],
)
def test_load__a_place_with_other_keys_is_told_the_right_ones(folder: Path, place: object, hint: str) -> None:
    in_degrees(folder)
    with pytest.raises(DataError, match=f"crew 0, depot: a place must have 'latitude' and 'longitude'; got .*{hint}"):
        City.load(with_crews(folder, {"crews": [{**CREW, "depot": place}]}))


def test_load__a_place_in_degrees_where_only_km_are_known_is_told_of_the_origin(folder: Path) -> None:
    content = {"crews": [{**CREW, "depot": {"lat": 31.0, "lon": -84.0}}]}
    with pytest.raises(
        DataError, match=r"must have 'x_km' and 'y_km'; .*'latitude' for 'lat'.*unless 'origin' in city\.js"
    ):
        City.load(with_crews(folder, content))


def test_check__every_mistake_of_the_file_is_told(folder: Path) -> None:
    content = {
        "crew_list": 3,
        "depots": [{"lat": 1, "lon": 2}],
        "crews": [
            {"depot": 0, "skill": [0], "on_h": "16"},
            {**CREW, "name": "a", "depot": {"x_km": 1, "y_km": 9e4}, "at": 3},
            {**CREW, "name": "a", "start_h": 1e9},
            7,
        ],
    }
    report = check_folder(with_crews(folder, content), CITY)
    assert report.complete
    assert {f.column for f in report.findings if f.level == "error"} == {
        "crew_list",
        "depots.0",
        "crews.0.skill",
        "crews.0.skills",
        "crews.0.off_h",
        "crews.0.on_h",
        "crews.1.depot",
        "crews.1.at",
        "crews.2.start_h",
        "crews.3",
        "crews.2.name",
    }


def test_check__crews_that_all_look_and_a_job_of_nowhere_are_both_told(folder: Path) -> None:
    crew = {"depot": 0, "skills": [], "on_h": 16, "off_h": 8, "assessor": True}
    (folder / "jobs.csv").write_text("region,damage_class\nB,1\n")
    report = check_folder(with_crews(folder, {"crews": [crew]}), CITY)
    told = [f.message for f in report.findings if not f.follows]
    assert any("at least one crew must repair" in message for message in told)
    assert any("Did you mean 'b'?" in message for message in (f.message for f in report.findings))
