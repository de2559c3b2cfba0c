"""Pages that are generated whole, and blocks of pages that are written by hand."""

from pathlib import Path

import pytest

from benchmarks.kit.pages import NOTE, PICTURES, Page, replace_block, save_picture, write_summary
from benchmarks.kit.tables import bracketed, markdown, number, percent
from stormgym.agents.statistics import Estimate

ALONE = Estimate(41.234, float("nan"), float("nan"), 1)
SOME = Estimate(41.234, 40.5, 42.0, 5)


def test_page__is_written_whole_and_names_what_it_means_and_what_made_it(tmp_path: Path) -> None:
    page = Page("storm-table", "Some table", "restoration")
    file = page.write(tmp_path, "Made by `python -m benchmarks.x`.\n\n| a |\n")
    assert file == tmp_path / "results" / "tables" / "storm-table.md"
    assert file.read_text() == (
        f"{NOTE}\n\n# Some table\n\nWhat it means: [restoration](../restoration.md).\n\n"
        "Made by `python -m benchmarks.x`.\n\n| a |\n"
    )
    page.write(tmp_path, "Made anew.")
    assert "| a |" not in file.read_text()
    assert (file.parent / PICTURES).resolve() == (tmp_path / "img").resolve()


def test_picture__goes_to_the_docs(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().plot([1, 2])
    save_picture(figure, tmp_path, "some.png")
    assert (tmp_path / "img" / "some.png").stat().st_size > 1_000


def test_block__is_replaced_between_its_markers_only(tmp_path: Path, docs: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- x:begin -->\nold\n<!-- x:end -->\nbelow\n")
    replace_block(page, "x", "\nnew\n\n")
    assert page.read_text() == "above\n<!-- x:begin -->\nnew\n<!-- x:end -->\nbelow\n"
    with pytest.raises(SystemExit, match=r"needs the lines <!-- y:begin --> and <!-- y:end -->"):
        replace_block(page, "y", "new")
    write_summary(docs, "dispatch", "| small |")
    assert "<!-- dispatch:begin -->\n| small |\n<!-- dispatch:end -->" in (docs / "results" / "README.md").read_text()


def test_numbers__have_half_widths_or_brackets_where_there_is_an_interval() -> None:
    assert (number(SOME, "+", 1), number(ALONE, decimals=1), number(Estimate(1234.5, 1233.5, 1235.5, 2))) == (
        "+41.2 ± 0.8",
        "41.2",
        "1,234 ± 1",
    )
    assert (bracketed(SOME), bracketed(ALONE, 3)) == ("41.23 [40.50, 42.00]", "41.234")
    assert percent(Estimate(-0.021, -0.03, 0.001, 5)) == "-2.1 % [-3.0, +0.1]"
    assert (percent(ALONE), percent(None)) == ("+4123.4 %", "")
    assert markdown(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
    assert markdown(["a", "b"], [], right=True) == "| a | b |\n| --- | ---: |"
