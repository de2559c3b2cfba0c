"""Write the data cards: Croissant metadata of every data set as JSON-LD, and the page of them.

python -m benchmarks.data_cards --docs docs            docs/data_cards/NAME.json and docs/data_cards.md
python -m benchmarks.data_cards --data FOLDER          the data sets themselves, as the cards describe them
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.data_cards.card import MAINTENANCE, SOCIAL, Card
from benchmarks.data_cards.cards import CARDS
from benchmarks.data_cards.croissant import as_croissant
from benchmarks.data_cards.exports import export
from benchmarks.kit.pages import NOTE

HEAD = """\
# Data cards

What data the package makes, what its columns mean, where they come from and what may not be concluded from them. All of
it is synthetic, under the MIT licence like the package; feeds and logs that you bring are not in it ([data](data.md)).

Written by `python -m benchmarks.data_cards --docs docs`. Each card is also
[Croissant](https://docs.mlcommons.org/croissant/) metadata with its responsible-AI fields, as JSON-LD in
[`docs/data_cards`](data_cards/default-city.json). The files that a card names are written by

```bash no-run
python -m benchmarks.data_cards --data FOLDER
```

and a test checks that their columns are those of the cards."""
PARTS = {
    "Collection": "rai:dataCollection",
    "For": "rai:dataUseCases",
    "Biases": "rai:dataBiases",
    "Limits": "rai:dataLimitations",
    "People": "rai:personalSensitiveInformation",
}


def write_cards(docs: Path, data: Path) -> list[Path]:
    """Write the metadata of every card, with the data sets below `data`, and the page; return the files."""
    (docs / "data_cards").mkdir(parents=True, exist_ok=True)
    found = {card.name: as_croissant(card, export(card.name, data)) for card in CARDS}
    files = []
    for name, metadata in found.items():
        files.append(docs / "data_cards" / f"{name}.json")
        files[-1].write_text(json.dumps(metadata, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    files.append(docs / "data_cards.md")
    files[-1].write_text(page(found), encoding="utf-8")
    return files


def page(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The page of all cards, from their metadata by name."""
    overview = ["| data set | what |", "| --- | --- |"]
    overview += [f"| [`{card.name}`](#{card.name}) | {card.title} |" for card in CARDS]
    common = f"**What all have in common**, unless a card says otherwise. {SOCIAL} {MAINTENANCE}"
    sections = [section(card, found[card.name]) for card in CARDS]
    return "\n\n".join([NOTE, HEAD, "\n".join(overview), common, *sections]) + "\n"


def section(card: Card, metadata: Mapping[str, Any]) -> str:
    """A card on the page."""
    parts = [f"- **{title}.** {metadata[key]}" for title, key in PARTS.items()]
    if card.social_impact != SOCIAL:
        parts.append(f"- **Fairness.** {card.social_impact}")
    rows = ["| file | column | type | meaning |", "| --- | --- | --- | --- |"]
    for records, (file, words) in zip(metadata["recordSet"], card.fields.items(), strict=True):
        types = {field["name"]: field["dataType"].removeprefix("sc:") for field in records["field"]}
        rows += [f"| `{file}` | `{name}` | {types.get(name, 'array')} | {text} |" for name, text in words.items()]
    rows += [f"| `{file}` | | | {text} |" for file, text in (card.files or {}).items()]
    link = f"[`{card.name}.json`](data_cards/{card.name}.json)"
    return "\n\n".join(
        [f"## {card.name}", f"{card.title}: {link}", card.description, "\n".join(parts), "\n".join(rows)]
    )


def main() -> int:
    """Write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=Path, help="folder of the docs")
    parser.add_argument("--data", type=Path, help="folder for the data sets")
    options = parser.parse_args()
    if options.docs is None and options.data is None:
        parser.error("name --docs, --data or both")
    with tempfile.TemporaryDirectory() as away:
        data = options.data or Path(away)
        if options.docs is None:
            files = [file for card in CARDS for file in sorted(export(card.name, data).iterdir())]
        else:
            files = write_cards(options.docs, data)
    print("\n".join(map(str, files)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
