"""What `stormgym data check` says of crews that drawn storms do not take."""

import json

import gymnasium as gym
import pytest

import stormgym  # noqa: F401  (registers the ids)
from stormgym.envs.crews.example import write_example
from stormgym.envs.data.checking import check_folder
from stormgym.envs.data.jobs_file import JOBS_FILE
from stormgym.envs.data.kinds import CITY


@pytest.fixture
def folder(tmp_path):
    """The example without open jobs."""
    write_example(tmp_path / "town", n_regions=12, n_jobs=4)
    (tmp_path / "town" / JOBS_FILE).unlink()
    return tmp_path / "town"


def change(folder, **fields):
    """Give every crew, assessors too, other fields."""
    file = folder / "crews.json"
    content = json.loads(file.read_text())
    for crew in content["crews"]:
        crew.update(fields)
    file.write_text(json.dumps(content))


def test_crews__that_began_before_hour_0_are_for_plans_alone(folder):
    change(folder, start_h=-2)
    report = check_folder(folder, CITY)
    assert report.usable
    (finding,) = report.findings
    assert finding.level == "warning"
    assert "crews.json: 'start_h' of crew 'north 1' is below 0, which plans for today take" in finding.message
    rule = r"crews.json of '.*': 'start_h' of crew 'north 1' must be at least 0 in drawn storms.*got -2, .*Write 0"
    with pytest.raises(ValueError, match=rule):
        gym.make("CrewDispatch-v0", city=str(folder), predictor="none")


@pytest.mark.parametrize(("skills", "lacking"), [([0], None), ([0, 1], None), ([1], 0), ([0, 2], 1)])
def test_crews__need_the_skills_of_drawn_storms(folder, skills, lacking):
    change(folder, skills=skills)
    report = check_folder(folder, CITY)
    assert report.usable
    assert len(report.findings) == (lacking is not None)
    if lacking is None:
        gym.make("CrewDispatch-v0", city=str(folder), predictor="none").reset(seed=0)
        return
    assert f"no crew that repairs has skill {lacking}; got {skills}" in report.findings[0].message
    with pytest.raises(ValueError, match=f"crews.json of .*jobs need skill {lacking}, which no crew that repairs has"):
        gym.make("CrewDispatch-v0", city=str(folder), predictor="none")
