"""`jobs.csv`: what is read of jobs and of the crews at them, one clock for hours and times, and every error."""

import json
from pathlib import Path

import numpy as np
import pytest

from stormgym.envs.data import City, DataError
from stormgym.envs.data.jobs_file import jobs_file_of, read_reported_jobs

CREWS = [
    {"name": "n", "depot": 0, "skills": [0, 1], "on_h": 16, "off_h": 8},
    {"name": "s", "depot": 0, "skills": [0], "on_h": 16, "off_h": 8},
]


@pytest.fixture
def city(folder: Path) -> City:
    """The town with two crews."""
    (folder / "crews.json").write_text(json.dumps({"crews": CREWS}))
    return City.load(folder)


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "jobs.csv"
    file.write_text(text)
    return file


def test_read__every_column(city: City, tmp_path: Path) -> None:
    text = (
        "job,region,arrival_h,skill,parent,customers,assessed,crew,begun_h,repaired,damage_class,repair_h,weather\n"
        "A,a,-2,0,,12,1,s,-0.5,,2,1.5,rain\n"
        "B,a,,1,A,1,0,,,0,1,2,rain\n"
        "C,c,0.5,0,B,30,,,,1,3,0.25,dry\n"
    )
    jobs = read_reported_jobs(city, written(tmp_path, text))
    assert jobs_file_of(tmp_path) == tmp_path / "jobs.csv"
    assert (jobs.ids, jobs.region.tolist(), jobs.parent.tolist()) == (("A", "B", "C"), [0, 0, 2], [-1, 0, 1])
    assert jobs.arrival_h.tolist() == [-2.0, 0.0, 0.5]
    assert jobs.skill.tolist() == [0, 1, 0]
    assert jobs.customers is not None
    assert jobs.customers.tolist() == [12.0, 1.0, 30.0]
    assert jobs.assessed.tolist() == [True, False, True]
    assert jobs.crew == ("s", "", "")
    np.testing.assert_array_equal(jobs.begun_h, [-0.5, np.nan, np.nan])
    assert jobs.repaired.tolist() == [False, False, True]
    assert jobs.repair_h is not None
    assert jobs.repair_h.tolist() == [1.5, 2.0, 0.25]
    assert jobs.source.endswith("(columns that are no features: weather)")
    features = dict(zip(city.log.feature_names, jobs.features.T.tolist(), strict=True))
    assert features["damage_class"] == [2.0, 1.0, 3.0]
    assert features["customers"] == [100.0, 100.0, 300.0]  # of the regions, as in the log


def test_read__what_may_be_left_out(city: City, tmp_path: Path) -> None:
    jobs = read_reported_jobs(city, written(tmp_path, "region,damage_class\nb,1\nb,2\n"))
    assert (jobs.ids, jobs.crew, jobs.start, jobs.customers, jobs.repair_h) == (("1", "2"), ("", ""), None, None, None)
    assert jobs.arrival_h.tolist() == [0.0, 0.0]
    assert jobs.assessed.all()


def test_read__times_count_from_the_start_or_the_first_arrival(city: City, tmp_path: Path) -> None:
    text = (
        "region,damage_class,arrival_time,crew,begun_time\n"
        "a,1,2026-09-27 04:30,n,2026-09-27 05:15\n"
        "b,1,2026-09-27 06:00,,\n"
        "b,1,2026-09-27 03:00,,\n"
    )
    file = written(tmp_path, text)
    jobs = read_reported_jobs(city, file, start="2026-09-27 06:00")
    assert jobs.arrival_h.tolist() == [-1.5, 0.0, -3.0]
    np.testing.assert_array_equal(jobs.begun_h, [-0.75, np.nan, np.nan])
    first = read_reported_jobs(city, file)
    assert first.arrival_h.tolist() == [1.5, 3.0, 0.0]
    assert first.start == "2026-09-27T03:00:00"
    zoned = written(tmp_path, text.replace(":00,", ":00Z,").replace(":30,", ":30Z,").replace("05:15", "07:15+02:00"))
    assert read_reported_jobs(city, zoned, start="2026-09-27T08:00+02:00").begun_h[0] == -0.75


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("regoin,damage_class\na,1\n", "unknown column 'regoin'. Did you mean 'region'"),
        ("region,damage_class\nA,1\n", "the region is not one of the city; got 'A'. Did you mean 'a'"),
        ("region,damage_class,custommers\na,1,3\n", "unknown column 'custommers'. Did you mean 'customers'"),
        ("region,damage_class\nx,1\n", "line 2, column 'region': the region is not one of the city; got 'x'"),
        (
            "job,region,damage_class\nA,a,1\nA,b,1\n",
            "line 3, column 'job': each job needs an id of its own, but line 2",
        ),
        ("region,damage_class,parent\na,1,\n", "column 'job' is missing.*'parent' names jobs by it"),
        (
            "job,region,damage_class,parent\nA,a,1,B\n",
            "column 'parent': a parent must be the id of another job; got 'B'",
        ),
        ("job,region,damage_class,parent\nA,a,1,B\nB,a,1,A\n", "line 2, column 'parent': no job may hang on itself"),
        ("region,damage_class,skill\na,1,2\n", r"'skill': a crew that repairs must have it; got '2'.*\[0, 1\]"),
        ("region,damage_class,skill\na,1,0.5\n", "'skill': a skill must be a whole number 0 to 9; got '0.5'"),
        ("region,damage_class,customers\na,1,-4\n", "'customers': customers must be 0 or more; got '-4'"),
        ("region,damage_class,customers\na,1,nan\n", "'customers': customers must be 0 or more; got 'nan'"),
        ("region,damage_class,customers\na,1,inf\n", "'customers': customers must be 0 or more; got 'inf'"),
        ("region,damage_class,repair_h\na,1,0\n", "'repair_h': a repair duration must be above 0.*got '0'"),
        ("region,damage_class,assessed\na,1,2\n", "'assessed': assessed must be 0 or 1; got '2'"),
        ("region,damage_class,arrival_h\na,1,1e6\n", "'arrival_h': an hour must be from -10000 to 10000; got '1e6'"),
        ("region,damage_class,arrival_h,arrival_time\na,1,0,\n", "'arrival_h' and 'arrival_time' say the same"),
        (
            "region,damage_class,arrival_time\na,1,9999-12-31 23:59\n",
            "line 2, column 'arrival_time': a time must be of a year 1900 to 2200; got '9999-12-31 23:59'",
        ),
        (
            "region,damage_class,arrival_time\na,1,2026-09-27 06:00\na,1,2062-09-27 06:00\n",
            r"line 3, column 'arrival_time': a time must be within 10000 h of hour 0 \(2026-09-27T06.*year right",
        ),
        (
            "region,damage_class,arrival_time\na,1,2026-09-27 06:00\na,1,2026-09-27 06:00Z\n",
            "line 3, column 'arrival_time': either all times or none carry an offset",
        ),
        ("region,damage_class,arrival_time\na,1,noon\n", "'arrival_time': a time must be ISO 8601"),
        (
            "region,damage_class,crew,begun_time\na,1,n,2026-09-27 06:00\n",
            "'begun_time' needs 'arrival_time' beside it",
        ),
        (
            "region,damage_class,crew,begun_h\na,1,n,-1\nb,1,n,0\n",
            "line 3, column 'crew': a crew is at one job, but line 2",
        ),
        ("region,damage_class,crew\na,1,n\n", "'crew': a job with a crew needs the hour at which it began"),
        ("region,damage_class,begun_h\na,1,-1\n", "'begun_h': a job without a crew has not begun; got '-1'"),
        (
            "region,damage_class,crew,begun_h,repaired\na,1,n,-1,1\n",
            "'crew': a job that is mended has no crew; got 'n'",
        ),
    ],
)
def test_read__bad_files_name_line_value_and_cure(city: City, tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=f"(?s)jobs.csv.*{message}"):
        read_reported_jobs(city, written(tmp_path, text))


def test_read__a_start_that_does_not_fit(city: City, tmp_path: Path) -> None:
    file = written(tmp_path, "region,damage_class,arrival_time\na,1,2026-09-27 06:00\n")
    for start, message in (
        ("today", "start must be an ISO 8601 date or time"),
        ("9999-01-01", "start must be of a year 1900 to 2200; got '9999-01-01'"),
        ("2026-09-27T06:00Z", "all times, and the start, carry an offset"),
        ("2020-09-27", "within 10000 h of hour 0"),
    ):
        with pytest.raises(ValueError, match=message):
            read_reported_jobs(city, file, start=start)
