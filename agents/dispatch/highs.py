"""Linear programs by HiGHS through its own Python interface, without what SciPy's `linprog` does around it.

A plan of a few counties is some 300 variables, which HiGHS solves in a millisecond or two. `linprog` takes as long
again to check and copy them, and to read multipliers that nobody asks for.
"""

from __future__ import annotations

from typing import Any

import highspy
import numpy as np

from stormgym.envs.arrays import Floats


def least_cost(cost: Floats, matrix: Any, right: Floats, upper: Floats) -> tuple[Floats, float]:
    """x `[n]` of least cost x with matrix x = right and 0 <= x <= upper, and its cost.

    Args:
        cost: `[n]`.
        matrix: `[m, n]`, a `scipy.sparse.csc_array`.
        right: `[m]`.
        upper: `[n]`, may be infinite.

    Raises:
        RuntimeError: there is none, or the solver failed; the message says which.
    """
    problem = highspy.HighsLp()
    problem.num_col_ = problem.a_matrix_.num_col_ = cost.size
    problem.num_row_ = problem.a_matrix_.num_row_ = right.size
    problem.col_cost_, problem.col_lower_, problem.col_upper_ = cost, np.zeros(cost.size), upper
    problem.row_lower_ = problem.row_upper_ = right
    problem.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    problem.a_matrix_.start_, problem.a_matrix_.index_ = matrix.indptr, matrix.indices
    problem.a_matrix_.value_ = matrix.data
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.passModel(problem)
    solver.run()
    status = solver.getModelStatus()
    if status != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(f"HiGHS: {solver.modelStatusToString(status).lower()}")
    return np.array(solver.getSolution().col_value), float(solver.getInfo().objective_function_value)
