"""Cards as Croissant 1.0 metadata with the responsible-AI vocabulary (RAI 1.0), in JSON-LD.

Sources: https://docs.mlcommons.org/croissant/docs/croissant-spec.html, .../croissant-rai-spec.html.
"""

from __future__ import annotations

import csv
import hashlib
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data_cards.card import MAINTENANCE, Card

ROOT = Path(__file__).resolve().parents[2]
CONFORMS_TO = ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"]
LICENCE = "https://opensource.org/license/mit"
FORMATS = {".csv": "text/csv", ".json": "application/json", ".npz": "application/x-npz"}
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


class CardError(ValueError):
    """A card and the files of its data set do not agree."""


def as_croissant(card: Card, folder: Path) -> dict[str, Any]:
    """The metadata of a data set.

    Args:
        card: what is said of it.
        folder: its files (`exports.export`); types of columns and hashes are read from them.

    Raises:
        CardError: a file or column that the card names is not there, or one that is there has no words in the card.
    """
    named, there = {*card.fields, *(card.files or {})}, {file.name for file in folder.iterdir()}
    if named != there:
        raise CardError(f"{card.name}: the card names the files {sorted(named)}, the generator writes {sorted(there)}")
    version, date = _released()
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": card.name,
        "alternateName": card.title,
        "description": card.description,
        "version": version,
        "datePublished": date,
        "license": LICENCE,
        "url": f"data_cards.html#{card.name}",
        "creator": {"@type": "sc:Organization", "name": "The stormgym authors"},
        "citeAs": f"The stormgym authors. stormgym {version}, data set {card.name}. {date}.",
        "isLiveDataset": False,
        "rai:dataCollection": card.collection,
        "rai:dataCollectionType": ["Software Collection"],
        "rai:dataBiases": card.biases,
        "rai:dataLimitations": card.limitations,
        "rai:dataUseCases": card.use_cases,
        "rai:dataSocialImpact": card.social_impact,
        "rai:personalSensitiveInformation": card.sensitive,
        "rai:dataReleaseMaintenancePlan": MAINTENANCE,
        "distribution": [_file(file) for file in sorted(folder.iterdir())],
        "recordSet": [_records(card, folder / file) for file in card.fields],
    }


def _released() -> tuple[str, str]:
    """Version of the package and its date, from CITATION.cff."""
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    version, date = (re.search(rf'^{key}: "?([^"\n]+)', text, re.MULTILINE) for key in ("version", "date-released"))
    assert version is not None, "CITATION.cff has no version"
    assert date is not None, "CITATION.cff has no date-released"
    return version[1], date[1]


def _file(file: Path) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.name,
        "name": file.name,
        "contentUrl": f"{file.parent.name}/{file.name}",
        "encodingFormat": FORMATS[file.suffix],
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }


def _records(card: Card, file: Path) -> dict[str, Any]:
    """The columns of a table with their types; or what arrays a file holds, as records of their own."""
    stem, words = file.stem, card.fields[file.name]
    record: dict[str, Any] = {"@type": "cr:RecordSet", "@id": stem, "name": stem}
    if file.suffix == ".csv":
        with file.open(encoding="utf-8", newline="") as stream:
            header, *rows = csv.reader(stream)
        _check_same(card, file, header)
        fields = [
            {
                "@type": "cr:Field",
                "@id": f"{stem}/{column}",
                "name": column,
                "description": words[column],
                "dataType": _type_of([row[i] for row in rows]),
                "source": {"fileObject": {"@id": file.name}, "extract": {"column": column}},
            }
            for i, column in enumerate(header)
        ]
        return {**record, "description": f"A row of {file.name}.", "field": fields}
    with np.load(file, allow_pickle=False) as arrays:
        _check_same(card, file, list(arrays.files))
        data = [
            {
                f"{stem}/name": name,
                f"{stem}/dtype": str(arrays[name].dtype),
                f"{stem}/shape": str(list(arrays[name].shape)),
                f"{stem}/meaning": next(text for pattern, text in words.items() if fnmatchcase(name, pattern)),
            }
            for name in arrays.files
        ]
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"{stem}/{key}",
            "name": key,
            "description": f"{key} of the array",
            "dataType": "sc:Text",
        }
        for key in ("name", "dtype", "shape", "meaning")
    ]
    return {**record, "description": f"An array of {file.name} a record.", "field": fields, "data": data}


def _check_same(card: Card, file: Path, there: list[str]) -> None:
    """Every column has words, and all words are of a column; words of arrays may stand for several (`centre.*`)."""
    words = card.fields[file.name]
    silent = [name for name in there if not any(fnmatchcase(name, pattern) for pattern in words)]
    idle = [pattern for pattern in words if not any(fnmatchcase(name, pattern) for name in there)]
    if silent or idle:
        raise CardError(f"{card.name}, {file.name}: no words for {silent}, nothing there for {idle}")


def _type_of(cells: list[str]) -> str:
    """The narrowest type that reads every cell."""
    for name, read in (("sc:Integer", int), ("sc:Float", float), ("sc:DateTime", np.datetime64)):
        try:
            for cell in cells:
                read(cell)
        except ValueError:
            continue
        return name
    return "sc:Text"
