"""The page of an evaluation."""

import re
from collections.abc import Callable
from pathlib import Path

from stormgym.agents.evaluation.html import write_html
from stormgym.agents.evaluation.rollouts import AgentRecord, Evaluation
from stormgym.agents.evaluation.summary import summarise


def test_page__is_self_contained_and_escapes(
    full: Evaluation, tmp_path: Path, record: Callable[..., AgentRecord]
) -> None:
    full.agents["<b>mine</b>"] = record("<b>mine</b>", 46, 7)
    page = write_html(full, summarise(full), tmp_path / "page.html").read_text()
    assert "<b>mine" not in page
    assert "&lt;b&gt;mine" in page
    assert page.count("data:image/svg+xml;base64,") == 2
    assert not re.search(r'(src|href)="http', page)
    assert "customers_out_24h" in page
    assert "<h2>Tail of mean outage h</h2>" in page
    assert "too narrow below 500 scenarios" in page
