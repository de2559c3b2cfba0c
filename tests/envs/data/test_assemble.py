"""A city from a log and a table of regions."""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stormgym.envs.data import City, DataError, RepairLog

CSV = """outage,region,start_time,duration_h,crew
1,North,2020-01-05 10:00:00,2.0,3
2,South,2020-01-04 10:00:00,0.5,1
3,North,2020-07-05 10:00:00,4.0,2
"""


def export(tmp_path: Path, text: str = CSV) -> Path:
    path = tmp_path / "export.csv"
    path.write_text(text)
    return path


TOWNS = """town,lat,lon,income,people,note
South,42.1,-72.5,40000,900,low
North,42.3,-72.5,60000,100,
East,42.2,-72.3,80000,100,x
West,42.2,-72.7,90000,1,unused
"""


def three(tmp_path: Path) -> RepairLog:
    return RepairLog.read_outage_log(
        export(tmp_path, CSV + "4,East,2020-02-01 00:00,1.5,1\n"), tz="UTC", feature_columns=["crew"]
    )


def towns(tmp_path: Path, text: str = TOWNS) -> Path:
    path = tmp_path / "towns.csv"
    path.write_text(text)
    return path


def test_from_log__joins_terciles_depot_and_features(tmp_path: Path) -> None:
    city = City.from_log(
        three(tmp_path),
        towns(tmp_path),
        region_column="town",
        income_column="income",
        customers_column="people",
    )
    assert city.region_ids == ("East", "North", "South")
    assert city.group.tolist() == [2, 1, 0]
    assert city.customers is not None
    assert city.customers.tolist() == [100.0, 100.0, 900.0]
    np.testing.assert_allclose(city.depot_km, city.customers @ city.xy_km / 1100)
    assert city.log.feature_names == ("x_km", "y_km", "depot_km", "people", "crew")
    assert city.requests.tolist() == [1.0, 2.0, 1.0]
    assert set(city.context) == {"income"}


def test_from_log__depot_and_features_may_be_given(tmp_path: Path) -> None:
    names = {"region_column": "town", "income_column": "income"}
    city = City.from_log(
        three(tmp_path),
        towns(tmp_path),
        depot=(42.3, -72.5),
        features=["crew", "income"],
        **names,  # type: ignore[arg-type]
    )
    np.testing.assert_allclose(city.depot_km, city.xy_km[1], atol=1e-9)
    assert city.log.feature_names == ("crew", "income")
    assert city.customers is None
    default = City.from_log(three(tmp_path), towns(tmp_path), **names)  # type: ignore[arg-type]
    np.testing.assert_allclose(default.depot_km, city.log.counts() @ city.xy_km / 4)  # centre of the records


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            TOWNS.replace("North", "Nord"),
            "1 region.s. of the log have no row, the first is 'North' .did you mean 'Nord'... Add the row",
        ),
        (TOWNS.replace("West", "East"), "line 5, column 'town'.*line 4 has it too; got 'East'"),
        (TOWNS.replace("42.3,-72.5", "42.3,-272.5"), "line 3, column 'lon'.*in .-180, 180.; got '-272.5'"),
        (
            TOWNS.replace("42.3,-72.5", "142.3,-72.5"),
            "line 3, column 'lat'.*in .-90, 90.; got '142.3'.*exchanged",
        ),
        (TOWNS.replace("42.3,-72.5", "nan,-72.5"), "line 3, column 'lat'.*got 'nan'"),
        (TOWNS.replace("lon", "long"), "column 'lon' is missing.*Did you mean 'long'"),
        (TOWNS.replace("60000", ""), "line 3, column 'income'.*got ''"),
        (TOWNS.replace("income", "inc"), "column 'income' is missing.*column 'group'"),
    ],
)
def test_from_log__bad_attributes_are_errors(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(DataError, match=what):
        City.from_log(three(tmp_path), towns(tmp_path, text), region_column="town", income_column="income")


def test_from_log__massachusetts(shared_data: Path, tmp_path: Path) -> None:
    csv = shared_data / "ma_dpu_west_outage_log_2013_2023.csv.gz"
    names = {"tz": "America/New_York", "region_column": "town", "time_column": "time_out"}
    zero = re.escape(csv.name) + ".*must be above 0; got '0.0'.*drop_zero=True"
    with pytest.warns(UserWarning, match="repeats"), pytest.raises(DataError, match=zero):
        RepairLog.read_outage_log(csv, **names)  # type: ignore[arg-type]
    doubts = (pytest.warns(UserWarning, match=words) for words in ("repeats in autumn", "22 of .* as drop_zero says"))
    with next(doubts), next(doubts):
        whole = RepairLog.read_outage_log(
            csv,
            since="2017-01-01",
            drop_zero=True,
            time_features=("hour", "month", "requests_24h"),
            **names,  # type: ignore[arg-type]
        )
    busy = whole.busiest(55)
    assert (len(busy.region_ids), len(busy), int(busy.counts().min())) == (55, 17807, 179)
    assert busy.time is not None
    assert busy.time.min() >= np.datetime64("2017-01-01T05:00:00")  # local midnight
    assert 2.0 < np.median(busy.repair_h) < 3.0
    with pytest.warns(UserWarning, match="no column 'customers'; pass customers_column='customers_tracked' if"):
        city = City.from_log(
            busy,
            shared_data / "ma_town_attributes.csv",
            name="western Massachusetts",
            region_column="town",
            income_column="median_income_usd",
            features=("x_km", "y_km", "depot_km", "aland_sqmi", "hour", "month", "requests_24h"),
        )
    assert np.bincount(city.group).tolist() == [18, 19, 18]
    assert city.distance_km.max() < 200
    city.save(tmp_path / "west")
    again = City.load(tmp_path / "west")
    assert again.fingerprint() == city.fingerprint()
    np.testing.assert_array_equal(again.log.time, city.log.time)


LOG = RepairLog(
    region=np.arange(4),
    features=np.arange(4.0).reshape(4, 1),
    feature_names=("crew",),
    repair_h=np.arange(1.0, 5.0),
    time=None,
    timezone=None,
    region_ids=("South", "North", "East", "West"),
)
NAMES: dict[str, Any] = {"region_column": "town", "income_column": "income"}


def test_from_log__regions_that_are_named_otherwise_are_asked_for(tmp_path: Path) -> None:
    text = TOWNS.replace("South", "SOUTH").replace("North", "Nort").replace("West", "Elsewhere")
    what = (
        r"3 region\(s\) of the log have no row, the first are 'South' \(did you mean 'SOUTH'\?\), 'North' \(did you "
        r"mean 'Nort'\?\), 'West'\. Add the row, or leave the region out by log\.select"
    )
    with pytest.raises(DataError, match=what):
        City.from_log(LOG, towns(tmp_path, text), **NAMES)


def test_from_log__without_incomes_it_is_told_what_to_do(tmp_path: Path) -> None:
    cure = r"Groups need a column 'group' .*Without incomes, number in 'group'.*or write 0 in every row"
    for column, what in ((None, "no column 'group', and income_column is None"), ("pay", "column 'pay' is missing")):
        with pytest.raises(DataError, match=f"towns.csv: {what}.*{cure}"):
            City.from_log(LOG, towns(tmp_path), region_column="town", income_column=column)
    one = "\n".join(f"{row},{cell}" for row, cell in zip(TOWNS.splitlines(), ["group", *"0000"], strict=True))
    city = City.from_log(LOG, towns(tmp_path, one + "\n"), region_column="town", income_column=None)
    assert city.group_names == ("group 0",)
    city.save(tmp_path / "saved")
    assert City.load(tmp_path / "saved").fingerprint() == city.fingerprint()


def test_from_log__the_column_of_regions_is_named_by_an_argument(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"column 'place' is missing.*Name the column with the log's regions by region_col"
    ):
        City.from_log(LOG, towns(tmp_path), region_column="place")


FAR = [
    (
        "42.3,-72.5",
        "42.3,72.5",
        r"line 3, column 'lon'.*got '72\.5', 11,\d\d\d km from .*Is its sign wrong\? .*-72\.5\.",
    ),
    ("42.3,-72.5", "-42.3,-72.5", r"line 3, column 'lat'.*got '-42\.3', 9,\d\d\d km from .*Then write 42\.3\."),
    ("42.3,-72.5", "-72.5,42.3", r"line 3, column 'lat'.*got '-72\.5', .*Are lat and lon of this row exchanged\?"),
    ("42.3,-72.5", "42.3,-12.5", r"line 3, column 'lon'.*got '-12\.5', .*Correct it, or leave the region out\."),
]


@pytest.mark.parametrize(("right", "wrong", "what"), FAR)
def test_from_log__a_region_far_from_all_others_is_refused(tmp_path: Path, right: str, wrong: str, what: str) -> None:
    rule = r"a region must be near the others, half of which are within \d+ km of \(lat, lon\) = "
    with pytest.raises(DataError, match=rule) as error:
        City.from_log(LOG, towns(tmp_path, TOWNS.replace(right, wrong)), **NAMES)
    assert re.search(what, str(error.value))


def test_from_log__a_region_rather_far_from_all_others_is_doubtful(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"line 3, column 'lon': a region must be near.*got '-69\.5', 2\d\d km from"):
        City.from_log(LOG, towns(tmp_path, TOWNS.replace("42.3,-72.5", "42.3,-69.5")), **NAMES)


def test_from_log__places_over_a_country_or_the_date_line_are_not_doubtful(tmp_path: Path) -> None:
    country = TOWNS.replace("42.1,-72.5", "64.8,-147.7").replace("42.3,-72.5", "21.3,-157.8")
    date_line = TOWNS.replace("-72.5", "179.9").replace("-72.3", "-179.9").replace("-72.7", "179.8")
    for text in (country, date_line):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            City.from_log(LOG, towns(tmp_path, text), depot=(42.2, float(text.split(",")[-4])), **NAMES)


def test_from_log__exchanged_columns_are_doubtful(tmp_path: Path) -> None:
    with pytest.warns(
        UserWarning, match=r"at latitude -72\.5, where hardly anybody lives, and longitude 42\.2\. Are lat"
    ):
        City.from_log(LOG, towns(tmp_path, TOWNS.replace("lat,lon", "lon,lat")), **NAMES)
