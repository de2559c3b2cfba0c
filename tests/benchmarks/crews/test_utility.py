"""The profile "utility" beside the storms that it is fitted to, in figures that are no inputs."""

from benchmarks.crews.utility import MEASURED, RULES, figures, table_of


def test_figures__queues_and_outages_of_jobs_that_need_a_repair_crew_are_those_of_the_storms():
    found = figures("nearest", 16)
    assert 2.6 <= found["queue of jobs that need a repair crew h"] <= 11.3
    assert 11.0 <= found["outage of jobs that need a repair crew h"] <= 46.0
    assert 2.2 <= found["open jobs a crew at the peak"] <= 8.3


def test_table__has_a_row_for_every_figure():
    found = figures("nearest", 2, city="synthetic:7:1", n_jobs=15)
    assert len(table_of([found] * len(RULES)).splitlines()) == len(MEASURED) + 2
