"""What is left of a fitted polytope: plain arrays with the same sets to the bit."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression

from stormgym.predictors import polytope
from stormgym.predictors.polytope import SOURCES, FrozenPolytope
from stormgym.predictors.uncertainty import ConformalPolytope

FOLDER = Path(polytope.__file__).parent
N_STORMS, N_REGIONS, N_FEATURES = 60, 4, 3


def storms(seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N_STORMS, N_REGIONS, N_FEATURES))
    return X, np.exp(X[..., 0] + 0.3 * rng.normal(size=(N_STORMS, N_REGIONS)))


def fitted(**settings: Any) -> ConformalPolytope:
    model = ConformalPolytope(random_state=0, **{"confidence_level": 0.9, **settings})
    return model.fit(*storms(0)).conformalize(*storms(1))


@pytest.mark.parametrize("calibration", ["marginal", "joint"])
@pytest.mark.parametrize("method", ["ncp", "cp", "empirical"])
def test_frozen__gives_the_same_forecasts_and_sets_to_the_bit_also_from_its_arrays(
    method: str, calibration: str
) -> None:
    model = fitted(method=method, calibration=calibration)
    frozen = model.frozen()
    again = FrozenPolytope.from_arrays(frozen.arrays())
    X, y = storms(2)
    for other in (frozen, again):
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
        for mine, own in zip(other.predict_set(X).bounds, model.predict_set(X).bounds, strict=True):
            np.testing.assert_array_equal(mine, own)
        assert repr(other.coverage(X, y)) == repr(model.coverage(X, y))
    assert all(values.dtype != object for values in frozen.arrays().values())


def test_frozen__needs_a_calibrated_default_network() -> None:
    with pytest.raises(NotFittedError, match="this ConformalPolytope is not fitted"):
        ConformalPolytope().frozen()
    with pytest.raises(NotFittedError, match="fitted but not conformalized"):
        ConformalPolytope(method="empirical").fit(*storms(0)).frozen()
    with pytest.raises(TypeError, match=r"only a fitted default_network can be frozen; got LinearRegression\(\)"):
        fitted(estimator=LinearRegression()).frozen()


def test_frozen__checks_what_it_is_given_as_the_original_does() -> None:
    frozen = fitted(method="empirical").frozen()
    with pytest.raises(ValueError, match="X must have the 4 regions and 3 features of fit"):
        frozen.predict(np.ones((2, 5, 3)))
    with pytest.raises(KeyError, match="method"):
        FrozenPolytope.from_arrays({})


def test_frozen__warns_of_infinite_bounds_as_the_original_does() -> None:
    with pytest.warns(UserWarning, match="the regions' bounds are infinite: 60 calibration storms") as told:
        model = fitted(method="cp", confidence_level=0.99)
    assert told[0].filename == __file__
    with pytest.warns(UserWarning, match="the regions' bounds are infinite: 60 calibration storms") as told:
        FrozenPolytope.from_arrays(model.frozen().arrays()).warn_infinite()
    assert told[0].filename == __file__


def test_frozen__needs_neither_scikit_learn_nor_scipy(tmp_path: Path) -> None:
    np.savez(tmp_path / "frozen.npz", **fitted().frozen().arrays())
    code = (
        "import sys, numpy as np; from stormgym.predictors.polytope import FrozenPolytope;"
        f"model = FrozenPolytope.from_arrays(np.load({str(tmp_path / 'frozen.npz')!r}));"
        f"model.predict_set(np.ones((2, {N_REGIONS}, {N_FEATURES})));"
        "heavy = {'sklearn', 'scipy', 'pandas'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_sources__are_the_forecaster_and_all_that_it_imports() -> None:
    found, left = set(), {"uncertainty"}
    while left:
        found.add(name := left.pop())
        for node in ast.walk(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))):
            module = node.module if isinstance(node, ast.ImportFrom) and node.module else ""
            if module.startswith("stormgym.predictors."):
                left |= {module.rpartition(".")[2]} - found
    # and `sources`, which makes the digest
    assert set(SOURCES) == found | {"sources"}
    assert sorted(SOURCES) == list(SOURCES)
