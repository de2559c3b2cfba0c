"""Docstrings in Markdown for Sphinx: our docstrings are Markdown with Google sections, autodoc reads reStructuredText.

Headings, tables and lists of Markdown are rewritten, code spans become literals or links, and characters that have a
meaning in reStructuredText alone are escaped. Google sections (`Args:`, `Returns:`, `Raises:`) are left to napoleon,
which runs after.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import Any

BEFORE_NAPOLEON = 400
"""Priority of the event's handler; napoleon's is 500."""
CODE = re.compile(r"(`[^`]+`)")
NAME = re.compile(r"[A-Za-z_][\w.]*(?<!\.)")
LINK = re.compile(r"\[([^\]]+)\]\((https?://[^)]+)\)")
SPECIAL = re.compile(r"[\\*|]|_(?=\W|$)")
GENERATED = re.compile(r"set_\w+_request")
"""Methods that scikit-learn adds to every estimator, with docstrings of its own."""
HEADING = re.compile(r"#{1,6} +(.+)")
ITEM = re.compile(r"(?:[-*]|\d+\.) +\S")
SECTION = re.compile(r"(Args|Returns|Raises|Yields|Attributes|Examples?|Notes?):")
RULE = re.compile(r"\|[\s:|-]+\|$")


def inline(text: str) -> str:
    """One run of Markdown text, which may go over lines, as reStructuredText."""
    parts = CODE.split(text)
    return "".join(_code(part) if i % 2 else _plain(part) for i, part in enumerate(parts))


def _code(span: str) -> str:
    words = re.sub(r"\s*\n\s*", " ", span.strip("`"))
    if NAME.fullmatch(words):  # a link where the name is known, else code
        return f"\\ :py:obj:`{words}`\\ "
    return f"\\ ``{words.strip()}``\\ " if words.strip() else span


def _plain(text: str) -> str:
    return LINK.sub(r"`\1 <\2>`__", SPECIAL.sub(r"\\\g<0>", text))


def as_rst(lines: list[str]) -> list[str]:
    """The lines of a docstring in Markdown as lines in reStructuredText.

    Every block keeps its indentation, so that it may stand inside a Google section.
    """
    out: list[str] = []
    base = 0  # indentation of the last paragraph outside a code block
    for kind, block in groupby(lines, key=_kind):
        for part in _parts(kind, list(block)):
            indent = len(part[0]) - len(part[0].lstrip())
            if kind == "text" and _is_code(out, indent, base):
                out += [f"{' ' * base}.. code-block:: text", "", *part, ""]
                continue
            out += _BLOCKS[kind](part, " " * indent)
            if kind in ("text", "heading"):
                base = indent
    return out


def _kind(line: str) -> str:
    text = line.strip()
    if not text:
        return "blank"
    if HEADING.fullmatch(text):
        return "heading"
    return "table" if text.startswith("|") else "doctest" if text.startswith(">>>") else "text"


def _parts(kind: str, block: list[str]) -> list[list[str]]:
    """A list that follows a line of text at once is a part of its own; so is every heading."""
    if kind == "heading":
        return [[line] for line in block]
    if kind == "text" and not ITEM.match(block[0].strip()):
        for i, line in enumerate(block):
            if ITEM.match(line.strip()) and not SECTION.fullmatch(block[0].strip()):
                return [block[:i], block[i:]]
    return [block]


def _is_code(before: list[str], indent: int, base: int) -> bool:
    """Whether a block is code: indented by four or more, after a blank line, below a paragraph."""
    text = [line for line in before if line.strip()]
    return bool(before) and not before[-1].strip() and bool(text) and indent >= base + 4


def _text(block: list[str], indent: str) -> list[str]:
    lines = inline("\n".join(block)).split("\n")
    return ["", *lines] if ITEM.match(block[0].strip()) else lines


def _heading(block: list[str], indent: str) -> list[str]:
    return [f"{indent}.. rubric:: {inline(block[0].strip().lstrip('#').strip())}", ""]


def _as_it_is(block: list[str], indent: str) -> list[str]:
    return block


def _indented_table(block: list[str], indent: str) -> list[str]:
    table = _table(block) if len(block) > 1 and RULE.match(block[1].strip()) else ["::", "", *block]
    return ["", *(indent + line for line in table), ""]


_BLOCKS = {"text": _text, "heading": _heading, "table": _indented_table, "doctest": _as_it_is, "blank": _as_it_is}


def _table(block: list[str]) -> list[str]:
    rows = [_cells(line) for line in (block[0], *block[2:])]
    out = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        for i, cell in enumerate(row):
            out.append(f"   {'* -' if i == 0 else '  -'} {inline(cell)}".rstrip())
    return [*out, ""]


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def _process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    if name.startswith("stormgym"):
        lines[:] = as_rst(lines)
        if what in ("attribute", "data", "property"):
            lines.insert(0, "\\")  # an empty word: napoleon would take what stands before a colon for the type


def _skip(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    return True if GENERATED.fullmatch(name) else None


def setup(app: Any) -> dict[str, bool]:
    """Connect to autodoc."""
    app.connect("autodoc-skip-member", _skip)
    app.connect("autodoc-process-docstring", _process, priority=BEFORE_NAPOLEON)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
