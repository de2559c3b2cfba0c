"""ANEEL (Brazil): emergency jobs in distribution networks (`ocorrencias`), and interruptions (`interrupcoes`)."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

import numpy as np

from stormgym.envs.arrays import Bools, Floats
from stormgym.envs.data.feeds.columns import Text, hours_between
from stormgym.envs.data.feeds.faults import Fault
from stormgym.envs.data.feeds.files import Cells, read_cells
from stormgym.envs.data.feeds.sheet import Sheet, later_by
from stormgym.envs.data.feeds.table import JobTable
from stormgym.envs.data.tables import DataError

ENCODINGS = ("utf-8", "latin-1")
JOBS: Mapping[str, tuple[str, ...]] = {
    "agent": ("NomAgente",),
    "number": ("NumCPFCNPJ", "NumCnpjDistribuidora"),
    "id": ("NumOcorrencia", "CodOcorrenciaEmergencial"),
    "start": ("DthInicioOcorrenciaAberta", "DthIniOcorrencia"),
    "end": ("DthFimOcorrenciaAberta", "DthFimOcorrencia"),
    "cause": ("DscOcorrenciaAberta",),
    "interruption": ("DscNumInterrupcao", "DscInterrupcaoAssociada"),
    "queue": ("MdaPreparo", "NumTempoPreparacao"),
    "way": ("MdaDeslocamento", "NumTempoDeslocamento"),
    "work": ("MdaExecucao", "NumTempoExecucao"),
    "crew": ("NumVeiculo",),
    "place": ("CodIBGE", "CodMunicipioIBGE"),
}
"""Columns of jobs by what they are called here: until 2025, and since the renaming of 2026."""
INTERRUPTIONS: Mapping[str, tuple[str, ...]] = {
    "agent": ("SigAgente",),
    "id": ("NumOrdemInterrupcao", "CodInterrupcao"),
    "job": ("CodOcorrencia",),
    "start": ("DatInicioInterrupcao",),
    "end": ("DatFimInterrupcao",),
    "cause": ("DscFatoGeradorInterrupcao",),
    "kind": ("DscTipoInterrupcao",),
    "customers": ("NumUnidadeConsumidora", "QtdConsumidoresAfetados"),
    "feeder": ("DscAlimentadorSubestacao", "CodAlimentador"),
    "set": ("IdeConjuntoUnidadeConsumidora",),
    "place": ("CodMunicipioIBGE",),
}
"""The same of interruptions."""
PLANNED = ("programada", "interrupção programada")
UNPLANNED = ("não programada", "nao programada", "interrupção não programada")
FORMATS = ("%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M")
_FACTS = "DscFatoGerador"


def read_aneel_jobs(
    path: str | os.PathLike[str],
    *,
    tz: str,
    agents: Collection[str] = (),
    places: Collection[str] = (),
    encodings: Collection[str] = ENCODINGS,
    decimal: str = ",",
) -> JobTable:
    """Read a yearly file of *Ocorrências Emergenciais nas Redes de Distribuição*, one row an emergency job.

    Three stages are given in minutes: waiting for a crew (`MdaPreparo`), its way (`MdaDeslocamento`) and the work
    (`MdaExecucao`). So `sent_at` is the start and the first of them, `on_site_at` and `repair_start` the way later:
    assessing is part of the work, `assessed_at` is unknown. Where the end is not the sum of all (within 5 minutes) the
    row is flagged. `crew` is the vehicle, `region` the municipality's code. `parent` is the interruption's number; the
    files of interruptions give customers and feeders (`with_interruptions`).

    Columns of 2017 to 2025, and of 2026 with its renamed ones (cause in four `DscFatoGerador...`, stages empty so far,
    no vehicle), as read in loaders and notes of third parties in November 2026, not on the publisher's page; no real
    file was at hand: check the first table against its file. Licence: ODbL as read on a sister set of the same portal.
    A year has millions of rows: name agents or places to keep memory small.

    Args:
        path: `.csv` or `.csv.gz`, cells parted by `;` (others are found), UTF-8 or Latin-1.
        tz: IANA zone of the local times: Brazil has several, e.g. `"America/Sao_Paulo"`.
        agents: names or numbers of utilities to keep; all if empty.
        places: codes of municipalities to keep; all if empty.
        encodings: tried in this order.
        decimal: the decimal mark.

    Raises:
        DataError: the file is missing or cut off, lacks a column, has both generations of one, or nothing is kept.
        ValueError: `tz` is no zone.
    """
    facts = tuple(f"{_FACTS}{i}" for i in range(1, 5))
    names = {**JOBS, **{name: (name,) for name in facts}}
    table = _read(path, names, ("id", "start", "end", "place"), agents, places, encodings)
    sheet = Sheet(table, tz=tz, formats=FORMATS, decimal=decimal)
    arrival, restored = sheet.times("start"), sheet.times("end")
    sent = later_by(arrival, sheet.counts("queue"))
    on_site = later_by(sent, sheet.counts("way"))
    work = sheet.counts("work")
    sheet.flag(Fault.FIGURES_DISAGREE, np.abs(hours_between(on_site, restored) - work / 60.0) > 5.0 / 60.0)
    causes = [sheet.texts(name) for name in ("cause", *facts)]
    columns = sheet.columns(
        job_id=sheet.texts("id"),
        region=_codes(sheet),
        arrival=arrival,
        restored=restored,
        sent_at=sent,
        on_site_at=on_site,
        repair_start=on_site,
        cause=np.array([";".join(filter(None, words)) for words in zip(*causes, strict=True)], dtype=object),
        crew=sheet.texts("crew"),
        parent=sheet.texts("interruption"),
    )
    return JobTable.of(parents_inside=False, **columns)


def read_aneel_interruptions(
    path: str | os.PathLike[str],
    *,
    tz: str,
    agents: Collection[str] = (),
    places: Collection[str] = (),
    encodings: Collection[str] = ENCODINGS,
    decimal: str = ",",
) -> JobTable:
    """Read a yearly file of *Interrupções*, one row an interruption of supply.

    `region` is the municipality's code where the file has it (2026), else the set of consumers (`conjunto`). `parent`
    is the emergency job: the column of 2026, else what stands before `_` in the interruption's number; a row with
    neither is flagged. `customers` are the consumers affected. Columns, licence and arguments as of `read_aneel_jobs`.

    Raises:
        DataError: the file is missing or cut off, lacks a column, has both generations of one, or nothing is kept.
        ValueError: `tz` is no zone.
    """
    table = _read(path, INTERRUPTIONS, ("id", "start", "end", "customers"), agents, places, encodings)
    if "place" not in table.columns and "set" not in table.columns:
        table.require("IdeConjuntoUnidadeConsumidora", cure="An interruption needs a set of consumers or a place.")
    sheet = Sheet(table, tz=tz, formats=FORMATS, decimal=decimal)
    ids, jobs = sheet.texts("id"), sheet.texts("job")
    before = np.array([name.partition("_")[0] if "_" in name else "" for name in ids], dtype=object)
    parent = np.where(jobs == "", before, jobs)
    sheet.flag(Fault.NO_PARENT, parent == "")
    columns = sheet.columns(
        job_id=ids,
        region=_codes(sheet) if "place" in table.columns else sheet.texts("set"),
        arrival=sheet.times("start"),
        restored=sheet.times("end"),
        customers=sheet.counts("customers"),
        cause=sheet.texts("cause"),
        feeder=sheet.texts("feeder"),
        parent=parent,
        planned=sheet.truths("kind", PLANNED, UNPLANNED),
    )
    return JobTable.of(parents_inside=False, **columns)


def with_interruptions(jobs: JobTable, interruptions: JobTable) -> tuple[JobTable, float]:
    """Jobs with the customers and the feeder of their largest interruption, and the share of jobs that have one.

    One job can have several interruptions of different consumers, so that the customers are a lower bound. A loader of
    one utility found 92.7 to 97.2 % matched.

    Args:
        jobs: of `read_aneel_jobs`.
        interruptions: of `read_aneel_interruptions`, of the same utility: numbers are a utility's own.
    """
    largest: dict[str, int] = {}
    size = np.nan_to_num(interruptions.customers, nan=-1.0)
    for row, name in enumerate(interruptions.parent.tolist()):
        if name and (name not in largest or size[row] > size[largest[name]]):
            largest[name] = row
    found = np.array([largest.get(name, -1) for name in jobs.job_id.tolist()], dtype=np.int64)
    if not len(interruptions):
        return jobs, 0.0
    held, at = found >= 0, np.maximum(found, 0)
    columns = dict(vars(jobs))
    columns["customers"] = _filled(jobs.customers, held, interruptions.customers[at])
    columns["feeder"] = _texts_filled(jobs.feeder, held, interruptions.feeder[at])
    return JobTable.of(parents_inside=False, **columns), float(held.mean()) if len(jobs) else 0.0


def _filled(own: Floats, held: Bools, other: Floats) -> Floats:
    return np.where(np.isnan(own) & held, other, own)


def _texts_filled(own: Text, held: Bools, other: Text) -> Text:
    return np.where((own == "") & held, other, own)


def _read(
    path: str | os.PathLike[str],
    columns: Mapping[str, tuple[str, ...]],
    needed: tuple[str, ...],
    agents: Collection[str],
    places: Collection[str],
    encodings: Collection[str],
) -> Cells:
    wanted, here = set(agents), set(places)
    named = [name for name in ("agent", "number") if name in columns]

    def keep(row: Mapping[str, str]) -> bool:
        ours = not wanted or any(row.get(name) in wanted for name in named)
        return ours and (not here or row["place"] in here)

    table = read_cells(
        path, columns, needed=(*needed, *(("place",) if here else ())), encodings=tuple(encodings), keep=keep
    )
    if (wanted or here) and not len(table):
        told = f"agents {sorted(wanted) or 'all'}, places {sorted(here) or 'all'}"
        raise DataError(f"{table.source}: no row has {told}. Check the names, and whether the file has such columns.")
    return table


def _codes(sheet: Sheet) -> Text:
    """Codes of municipalities; one that is not seven digits is flagged."""
    found = sheet.texts("place")
    odd = [bool(code) and not (code.isascii() and code.isdigit() and len(code) == 7) for code in found]
    sheet.flag(Fault.UNKNOWN_WORD, np.array(odd, dtype=np.bool_))
    return found
