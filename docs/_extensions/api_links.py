"""Links into the API reference, and between it and the source.

Names of ours in code spans of pages, such as `stormgym.envs.equity.gap`, become links. Source pages link back to what
is described; links of Sphinx's viewcode to names that are not, since it takes them for another module's, are left out.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx import addnodes

OURS = re.compile(r"(stormgym(?:\.\w+)+)(?:\(.*\))?")
ALIAS = re.compile(r"TypeAliasForwardRef\('(\w+)'\)")
NO_TEXT = re.compile(r"<[a-zA-Z][^<>]*>")
BACK = re.compile(r'<a class="viewcode-back" href="([^"#]*)#([^"]+)">.*?</a>', re.DOTALL)


def _exact(app: Any, doctree: nodes.document) -> None:
    """Types in signatures stand with their modules: no search for names that end alike, slow and at times wrong."""
    for link in doctree.findall(addnodes.pending_xref):
        if link.get("refdomain") == "py" and "refspecific" in link:
            del link["refspecific"]


def _link(app: Any, doctree: nodes.document) -> None:
    for literal in list(doctree.findall(nodes.literal)):
        name = OURS.fullmatch(literal.astext())
        if name is None or isinstance(literal.parent, nodes.reference | addnodes.pending_xref | nodes.title):
            continue
        link = addnodes.pending_xref(
            "", refdomain="py", reftype="obj", reftarget=name[1], refexplicit=False, refwarn=False
        )
        literal.replace_self(link)
        link += literal


def _home(app: Any, module: str, attribute: str) -> str:
    """Where something is written: its class's or function's module; data have none and stay where they are."""
    top = getattr(import_module(module), attribute.partition(".")[0], None)
    home = getattr(top, "__module__", None) if inspect.isclass(top) or inspect.isroutine(top) else None
    return home if isinstance(home, str) and home.startswith("stormgym") else module


def readable(text: str) -> str:
    """A signature as people read it: aliases of types by name, `...` for defaults that have no text of their own."""
    return NO_TEXT.sub("...", ALIAS.sub(r"\1", text))


def _signature(
    app: Any, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    return (signature and readable(signature), returns and readable(returns))


def without_strays(body: str, described: Mapping[str, str]) -> str:
    """A source page without links back to what is not described, or on another page; `described`: page by name."""

    def kept(link: re.Match[str]) -> str:
        page = described.get(link[2])
        return link[0] if page is not None and link[1].endswith(page) else ""

    return BACK.sub(kept, body)


def _known_backlinks(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if page.startswith("_modules/") and "body" in context:
        described = app.env.domains["py"].objects
        context["body"] = without_strays(
            context["body"], {name: f"{entry.docname}.html" for name, entry in described.items()}
        )


def setup(app: Any) -> dict[str, bool]:
    """Connect to pages that have been read."""
    app.connect("autodoc-process-signature", _signature)
    app.connect("viewcode-follow-imported", _home)
    app.connect("html-page-context", _known_backlinks)
    app.connect("doctree-read", _exact)
    app.connect("doctree-read", _link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
