"""Each feed's own form: what becomes of its columns, and which fault of its rows is flagged."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stormgym.envs.data.feeds import (
    Fault,
    JobTable,
    read_aneel_interruptions,
    read_aneel_jobs,
    read_nged,
    read_pge,
    read_pge_stated,
    read_ssen,
    read_ukpn,
    with_interruptions,
)
from stormgym.envs.data.tables import DataError

Flags = Callable[[JobTable], list[set[str]]]
PAULO = "America/Sao_Paulo"


def utc(*texts: str) -> np.ndarray:
    return np.array([t or "NaT" for t in texts], dtype="M8[s]")


def test_nged__live_file(fixtures: Path, flags_of: Flags) -> None:
    jobs = read_nged(fixtures / "nged_power_outage_ext.csv", tz="Europe/London")
    assert jobs.job_id.tolist()[:3] == ["INCD-101-Z", "INCD-102-Z", "INCD-103-Z"]
    day = "2024-12-07T"
    np.testing.assert_array_equal(jobs.arrival, utc(*(day + h for h in ("04:12", "09:50", "08:00")), "", day + "09:30"))
    np.testing.assert_array_equal(jobs.customers, [124, np.nan, 3, np.nan, 12.5])
    assert jobs.planned.tolist() == [0, 0, 1, -1, 0]
    assert jobs.status.tolist() == ["ONS", "UNASSIGNED", "COMP", "LOST", "SENT"]
    np.testing.assert_array_equal(jobs.ert_seen_at, utc(day + "10:05", "", *[day + "10:05"] * 1, "", day + "10:05"))
    assert flags_of(jobs) == [
        {"double_id", "zone_assumed"},
        {"zone_assumed"},
        {"swapped_coordinates", "zone_assumed", "ert_past"},
        {"bad_coordinates", "no_arrival", "unread_time", "sentinel_time", "zone_assumed", "negative", "unknown_word"},
        {"double_id", "outside_area", "zone_assumed", "fractional", "odd_text"},
    ]
    assert "Start Time='2024-12-07T25:61:00'" in jobs.unread[3]
    assert "Confirmed Off='-2'" in jobs.unread[3]


def test_nged__detailed_file_has_vulnerable_customers_and_ends(fixtures: Path, flags_of: Flags) -> None:
    jobs = read_nged(fixtures / "nged_detailed.csv", tz="UTC")
    assert jobs.vulnerable_customers.tolist() == [17.0, 1.0]
    np.testing.assert_allclose(jobs.duration_h, [12 + 28 / 60, -40 / 60])
    assert flags_of(jobs) == [set(), {"restored_first"}]


def test_nged__summer_times_are_local(tmp_path: Path, fixtures: Path) -> None:
    text = (fixtures / "nged_power_outage_ext.csv").read_text().replace("2024-12-07", "2024-10-27")
    file = tmp_path / "nged.csv"
    file.write_text(text.replace("04:12:00", "01:12:00").replace("08:00:00", "00:30:00"))
    jobs = read_nged(file, tz="Europe/London")
    np.testing.assert_array_equal(jobs.arrival[[0, 2]], utc("2024-10-27T00:12", "2024-10-26T23:30"))
    assert jobs.has(Fault.CLOCK_CHANGE).tolist() == [True, False, False, False, False]


def test_ssen__power_track(fixtures: Path, flags_of: Flags) -> None:
    jobs = read_ssen(fixtures / "ssen_power_track.json", seen="2024-12-07T10:00")
    assert jobs.region.tolist() == ["Alford", "AB33 8AC", ""]
    np.testing.assert_array_equal(jobs.latitude, [np.nan, 57.234, np.nan])
    np.testing.assert_array_equal(jobs.on_site_at, utc("2024-12-07T05:10", "", ""))
    assert jobs.feeder.tolist() == ["P12/H3", "P12/H3/T9/2", ""]
    assert jobs.parent.tolist() == ["", "NF0001", "NF0999"]
    assert flags_of(jobs) == [
        set(),
        {"ert_past", "merged"},
        {"no_place", "no_arrival", "unread_time", "unread_number", "unknown_word", "merged", "no_parent"},
    ]
    assert np.isnat(read_ssen(fixtures / "ssen_power_track.json").ert_seen_at).all()


def test_ukpn__export_as_csv(fixtures: Path, flags_of: Flags) -> None:
    jobs = read_ukpn(fixtures / "ukpn_live_faults.csv")
    assert jobs.region.tolist() == ["Essex", "IP1 1AA;IP1 1AB", "London", "Kent", "Kent"]
    day = "2024-12-07T"
    np.testing.assert_array_equal(jobs.arrival, utc(day + "03:55", day + "02:00", "", day + "01:58", day + "01:58"))
    assert jobs.planned.tolist() == [0, -1, 1, -1, -1]
    assert flags_of(jobs) == [
        set(),
        set(),
        {"no_zone", "no_arrival"},
        {"swapped_coordinates", "doubtful_end"},
        {"unread_number", "too_many", "unknown_word"},
    ]
    zoned = read_ukpn(fixtures / "ukpn_live_faults.csv", tz="Europe/London")
    assert flags_of(zoned)[2] == {"zone_assumed"}


def test_ukpn__export_as_json_gives_the_same(fixtures: Path, assert_same: Callable[..., None]) -> None:
    with pytest.warns(UserWarning, match="holds 2 of 3 records: it is one page of several"):
        there = read_ukpn(fixtures / "ukpn_live_faults.json")
    here = read_ukpn(fixtures / "ukpn_live_faults.csv").take([0, 1])
    for name in ("job_id", "region", "latitude", "arrival", "restored", "ert", "customers", "planned", "flags"):
        np.testing.assert_array_equal(getattr(here, name), getattr(there, name), err_msg=name)


def test_aneel__three_stages_in_minutes(fixtures: Path, flags_of: Flags) -> None:
    jobs = read_aneel_jobs(fixtures / "aneel_ocorrencias_2023.csv", tz=PAULO)
    day = "2023-10-05T"
    np.testing.assert_array_equal(jobs.arrival[:2], utc(day + "16:00", day + "16:10"))  # three hours behind UTC
    np.testing.assert_array_equal(jobs.sent_at[:2], utc(day + "17:15:30", day + "16:30"))
    np.testing.assert_array_equal(jobs.on_site_at, jobs.repair_start)
    np.testing.assert_array_equal(jobs.repair_start[:3], utc(day + "17:40", day + "17:00", ""))
    np.testing.assert_allclose(jobs.work_h, [1.5, 0.0, np.nan, 0.5])
    assert np.isnat(jobs.assessed_at).all()
    assert jobs.crew.tolist() == ["V-118", "V-118", "", "K9"]
    assert flags_of(jobs) == [
        {"double_id", "zone_assumed"},
        {"zone_assumed", "figures_disagree"},  # 90 minutes of work where none are left
        {"zone_assumed", "unread_number", "negative", "unknown_word"},
        {"double_id", "zone_assumed"},
    ]
    assert jobs.unread[2] == "MdaDeslocamento='-3'; MdaExecucao='1,2,3'"


def test_aneel__columns_of_2026(fixtures: Path, flags_of: Flags) -> None:
    jobs = read_aneel_jobs(fixtures / "aneel_ocorrencias_2026.csv", tz=PAULO, agents=["06981180000116"])
    assert jobs.job_id.tolist() == ["A-77"]
    assert jobs.cause.tolist() == ["Interna;Não Programada;Próprias do Sistema;Falha"]
    assert np.isnat(jobs.sent_at).all()
    assert flags_of(jobs) == [{"zone_assumed"}]
    found = read_aneel_interruptions(fixtures / "aneel_interrupcoes_2026.csv", tz=PAULO)
    both, share = with_interruptions(jobs, found)
    assert (both.customers.tolist(), both.feeder.tolist(), share) == ([55.0], ["AL-07"], 1.0)


def test_aneel__interruptions_join_by_what_stands_before_the_underscore(fixtures: Path) -> None:
    found = read_aneel_interruptions(fixtures / "aneel_interrupcoes_2023.csv", tz=PAULO, agents=["CEMIG-D"])
    assert found.parent.tolist() == ["9001", "9001", "5555"]
    assert found.region.tolist() == ["12963"] * 3
    assert found.planned.tolist() == [0, 0, 1]
    assert found.has(Fault.FRACTIONAL).tolist() == [False, False, True]
    jobs = read_aneel_jobs(fixtures / "aneel_ocorrencias_2023.csv", tz=PAULO, agents=["CEMIG-D"], places=["3106200"])
    both, share = with_interruptions(jobs, found)
    np.testing.assert_array_equal(both.customers, [412.0, np.nan])
    assert both.feeder.tolist() == ["AL-07", ""]
    assert share == 0.5


def test_aneel__latin_1_and_dots_and_thousands(
    fixtures: Path, tmp_path: Path, assert_same: Callable[..., None]
) -> None:
    text = (fixtures / "aneel_ocorrencias_2023.csv").read_text(encoding="utf-8")
    file = tmp_path / "aneel_ocorrencias_2023.csv"
    file.write_text(text, encoding="latin-1")
    jobs = read_aneel_jobs(file, tz=PAULO)
    assert jobs.cause[1] == "Interna;Não Programada;Árvore"
    with pytest.raises(DataError, match=r"aneel_ocorrencias_2023\.csv: not utf-8 text"):
        read_aneel_jobs(file, tz=PAULO, encodings=["utf-8"])
    file.write_text(text.replace("75,5", "75.5").replace(";20;", ";1.234;"), encoding="utf-8")
    jobs = read_aneel_jobs(file, tz=PAULO)  # a point where commas mark decimals could mean either
    assert jobs.unread[:2].tolist() == ["MdaPreparo='75.5'", "MdaPreparo='1.234'"]
    assert read_aneel_jobs(file, tz=PAULO, decimal=".").sent_at[0] == np.datetime64("2023-10-05T17:15:30")


def test_aneel__nothing_kept_and_two_generations_are_errors(fixtures: Path, tmp_path: Path) -> None:
    file = fixtures / "aneel_ocorrencias_2023.csv"
    with pytest.raises(DataError, match=r"no row has agents \['CEMIG'\], places all\. Check the names"):
        read_aneel_jobs(file, tz=PAULO, agents=["CEMIG"])
    both = tmp_path / "both.csv"
    both.write_text(file.read_text(encoding="utf-8").replace("NumVeiculo", "DthIniOcorrencia"), encoding="utf-8")
    with pytest.raises(DataError, match="'DthInicioOcorrenciaAberta' and 'DthIniOcorrencia' both hold 'start'"):
        read_aneel_jobs(both, tz=PAULO)


def test_pge__stages_ends_and_words(fixtures: Path, flags_of: Flags) -> None:
    jobs = read_pge(fixtures / "pge_outages.csv")
    day = "2021-01-26T"
    np.testing.assert_array_equal(jobs.on_site_at[:3], utc(day + "11:30", day + "12:40", ""))
    np.testing.assert_array_equal(jobs.assessed_at[:2], utc(day + "12:00", ""))  # the second was mended by the first
    np.testing.assert_array_equal(jobs.work_h, [3.0, 80 / 60, np.nan, np.nan, 230 / 60])
    np.testing.assert_allclose(jobs.restored_within_h, 1 / 6)
    assert jobs.planned.tolist() == [0, 0, 0, 0, 1]
    assert jobs.customers.tolist() == [12, 1, 4, 1, 6]  # the first that were stated
    assert flags_of(jobs) == [
        set(),
        set(),
        {"merged", "late_seen", "ert_far"},
        {"restored_first", "doubtful_end"},
        {"figures_disagree"},
    ]
    calm = read_pge(fixtures / "pge_outages.csv", windows=["calm"], region="region")
    assert calm.region.tolist() == ["Chico"]
    with pytest.raises(DataError, match=r"no row has window \['storm_b'\]\. Check the names"):
        read_pge(fixtures / "pge_outages.csv", windows=["storm_b"])
    with pytest.raises(ValueError, match="region must be 'county' or 'region'; got 'town'"):
        read_pge(fixtures / "pge_outages.csv", region="town")


def test_pge__the_statement_in_force(fixtures: Path) -> None:
    jobs = read_pge(fixtures / "pge_outages.csv", windows=["storm_a"])
    stated = read_pge_stated(fixtures / "pge_etr_history.csv", jobs)
    assert len(stated) == 4  # that of the calm window is left out
    day = np.datetime64("2021-01-26T00:00", "s")
    for clock, found in ((10, ""), (12, "18:00"), (16, "18:00"), (17, ""), (18, "21:00")):
        at = np.full(4, day + np.timedelta64(clock, "h"))
        told = stated.stated_at(at)
        np.testing.assert_array_equal(told[0], utc(f"2021-01-26T{found}" if found else "")[0])
        assert np.isnat(told[1:]).all()  # of the third one only a year that stands for unknown
    with pytest.raises(DataError, match="none of its ids is in the table"):
        read_pge_stated(fixtures / "pge_etr_history.csv", jobs.take([1]))
