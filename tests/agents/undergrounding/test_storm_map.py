"""Maps of plans against storms: what is drawn where, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from stormgym.agents.undergrounding.storm_map import MapPanel, draw_storm_map

PLACE = np.array([[0.0, 0.0], [1.0, 0.5], [0.3, 0.9]])


def panel(**changes: object) -> MapPanel:
    usual = {
        "value": np.array([3.0, 0.0, 1.0]),
        "protected": np.array([False, True, False]),
        "crews": np.array([1.0, 0.0, 0.2]),
    }
    return MapPanel(**usual | changes)  # type: ignore[arg-type]


def test_map__one_panel_a_plan_on_one_scale_with_crews_where_they_go() -> None:
    panels = {"a": panel(), "b": panel(value=np.array([6.0, 0.0, 1.0]))}
    figure = draw_storm_map(PLACE, np.array([9.0, 4.0, 1.0]), panels, colour_label="h", size_label="n", labels={0: "x"})
    left, right, bar = figure.axes
    assert [ax.get_title() for ax in (left, right)] == ["a", "b"]
    regions, crews = left.collections
    assert regions.get_clim() == right.collections[0].get_clim() == (0.0, 6.0)
    assert np.asarray(crews.get_offsets()).tolist() == [[0.0, 0.0]]  # a fifth of a crew is not marked
    assert bar.get_ylabel() == "h"
    assert [text.get_text() for text in left.texts] == ["x"]


def test_map__arrays_that_do_not_fit_are_named() -> None:
    names = {"colour_label": "h", "size_label": "n"}
    with pytest.raises(ValueError, match=r"value of 'a' must be \[3\], as place; got shape \(2,\)"):
        draw_storm_map(PLACE, np.ones(3), {"a": panel(value=np.ones(2))}, **names)
    with pytest.raises(ValueError, match="at least one plan"):
        draw_storm_map(PLACE, np.ones(3), {}, **names)
