"""Sphinx reads this: the site made of docs/ and of docstrings. Build: `python .ci/site.py` (CONTRIBUTING.md)."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))

project = "stormgym"
author = "The stormgym authors"
project_copyright = "The stormgym authors, MIT licence"
version = release = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

extensions = [
    "myst_nb",  # brings myst_parser
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_design",
    "api_links",
    "markdown_docstrings",
    "sections",
]
exclude_patterns = ["_*"]
default_role = "code"
nitpicky = False
suppress_warnings = ["myst.header"]  # a table made by a command begins below its page's heading

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4  # the anchors that GitHub makes

nb_execution_mode = "force"  # a page that is read is executed; site.py --no-notebooks shows cells alone
nb_execution_in_temp = True
nb_execution_timeout = 600  # seconds of a cell
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True

autodoc_default_options = {"members": True, "show-inheritance": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_type_aliases = {name: name for name in ("ArrayLike", "Floats", "Ints", "Bools", "Observation")}
autodoc_mock_imports = ["ray", "torchrl", "tensordict", "tianshou", "skrl", "minari", "omnisafe"]
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_attr_annotations = False
add_module_names = False

html_theme = "pydata_sphinx_theme"
html_title = "stormgym"
html_static_path = ["_static"]
html_css_files = ["stormgym.css"]
html_search_scorer = str(HERE / "_static" / "search_scorer.js")
html_show_sourcelink = False
html_theme_options: dict[str, Any] = {
    "header_links_before_dropdown": 7,
    "show_toc_level": 2,
    "navigation_depth": 3,
    "show_nav_level": 1,
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_context = {"default_mode": "auto"}
html_sidebars = {"index": []}
