"""Linear and mixed-integer programs, solved by HiGHS directly."""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np
import numpy.typing as npt
from scipy import sparse

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearProgram:
    """min cost·x subject to row_lower <= rows·x <= row_upper and lower <= x <= upper.

    rows: CSR, shape (m, n). integral: shape (n,) booleans, or None for a purely continuous program.
    """

    cost: Floats
    rows: sparse.csr_array
    row_lower: Floats
    row_upper: Floats
    lower: Floats
    upper: Floats
    integral: npt.NDArray[np.bool_] | None = None


class SolverError(RuntimeError):
    """HiGHS ended without an optimum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimum:
    """x: shape (n,). bound: the best proven lower bound of the objective, equal to it when solved fully."""

    x: Floats
    objective: float
    bound: float


def minimise(
    program: LinearProgram, *, interior: bool = False, gap: float = 1e-6, time_limit_s: float = 600.0
) -> Optimum:
    """Solve program on one thread; a continuous one ends at a vertex unless interior.

    interior: interior point without crossover, for large programs of which only the value matters.
    gap: relative gap at which a mixed-integer search stops.
    Raises SolverError when there is no optimum (infeasible, unbounded, out of time with nothing found).
    """
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    solver.setOptionValue("time_limit", time_limit_s)
    solver.setOptionValue("mip_rel_gap", gap)
    if program.integral is None:
        solver.setOptionValue("solver", "ipm" if interior else "simplex")
        if interior:
            solver.setOptionValue("run_crossover", "off")
    solver.passModel(_model(program))
    solver.run()
    status, info = solver.getModelStatus(), solver.getInfo()
    found = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    timed_out = status == highspy.HighsModelStatus.kTimeLimit and program.integral is not None and found
    if status != highspy.HighsModelStatus.kOptimal and not timed_out:
        raise SolverError(f"HiGHS ended with {solver.modelStatusToString(status)}, expected an optimum")
    objective = float(info.objective_function_value)
    bound = objective if program.integral is None else float(info.mip_dual_bound)
    return Optimum(x=np.array(solver.getSolution().col_value), objective=objective, bound=bound)


def _model(program: LinearProgram) -> highspy.HighsLp:
    model = highspy.HighsLp()
    rows, columns = program.rows.shape
    model.num_row_, model.num_col_ = rows, columns
    model.col_cost_ = program.cost
    model.col_lower_, model.col_upper_ = program.lower, program.upper
    model.row_lower_, model.row_upper_ = program.row_lower, program.row_upper
    matrix = model.a_matrix_
    matrix.format_ = highspy.MatrixFormat.kRowwise
    matrix.num_row_, matrix.num_col_ = rows, columns
    matrix.start_, matrix.index_ = program.rows.indptr, program.rows.indices
    matrix.value_ = program.rows.data
    if program.integral is not None:
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        model.integrality_ = [kinds[int(flag)] for flag in program.integral]
    return model
