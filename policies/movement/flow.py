"""The cheapest flow from sources to sinks, exactly, by HiGHS' simplex method from a basis that is nearly optimal.

A basis of a flow is a spanning tree: of sources, sinks and a root, which stands for discarding, for room that is
left, or for what another point is worth. With prices that are nearly right the tree of least reduced costs is nearly
the optimal one, and a tenth of the steps remain. Columns that look far too dear are left out, until prices of the
optimum without them say otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import minimum_spanning_tree

from policies.linear import SolverError
from policies.movement.arcs import Arcs
from policies.movement.instance import Bools, Floats, Ints

_FAR = 0.6
"""In standard deviations of costs: columns dearer than the best way by more come last."""
_EXACT = 1e-9
_PRIMAL = 4
"""simplex_strategy: columns that are added leave a flow feasible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """Pieces of what points at a sink are worth, in order. Shape (S,): sink, cost of a point (below 0), and length.

    rank: 0 for the piece in which the sink's amount is expected, below 0 for the pieces before that.
    """

    sink: Ints
    cost: Floats
    length: Floats
    rank: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """arcs: points, shape (A,). source, sink: their optimal prices, shape (N,) each, beyond discarding: <= 0, and a
    sink's is 0 or more where only room counts. cost: of arcs, less discard, and of segments."""

    arcs: Floats
    source: Floats
    sink: Floats
    cost: float


def cheapest_flow(
    arcs: Arcs,
    supply: Floats,
    discard: Floats,
    room: Floats,
    prices: tuple[Floats, Floats],
    segments: Segments | None = None,
) -> Flow:
    """supply, discard, room: shape (N,). prices: of sources and sinks, near the optimal ones, in absolute terms.

    room: what sinks take in all; with segments, what they hold together is taken instead. Raises SolverError when HiGHS
    ends without an optimum.
    """
    columns = _columns(arcs, discard, segments, len(supply))
    unit = _power_of_two(float(supply.max()))
    money = _power_of_two(float(np.abs(columns.cost).max(initial=0.0)))
    room = np.minimum(room, supply.sum())  # no more will come
    upper = np.concatenate([supply, room if segments is None else np.zeros_like(room)]) / unit
    lower = np.full(len(upper), -np.inf)
    if segments is not None:
        lower[len(supply) :] = 0.0
    reduced = columns.reduced(prices[0] - discard, prices[1])
    near = (reduced < _FAR * float(arcs.cost.std())) | (columns.arc < 0)
    tree, roots = _tree(columns, reduced, near, prices[0] - discard, prices[1])
    solver = _solver()
    used = np.flatnonzero(near)
    _pass(solver, columns, used, lower, upper, unit, money)
    _begin(solver, columns, used, tree, roots, reduced)
    while True:
        amounts, dual, cost = _solved(solver)
        row_prices = dual * money
        reduced = columns.reduced(row_prices[: len(supply)], -row_prices[len(supply) :])
        dear = np.flatnonzero(~near & (reduced < -_EXACT * money))
        if not len(dear):
            break
        near[dear] = True
        used = np.concatenate([used, dear])
        _add(solver, columns, dear, unit, money)
    flow = np.zeros(len(columns.cost))
    flow[used] = amounts * unit
    return Flow(
        arcs=flow[: len(arcs.cost)],
        source=row_prices[: len(supply)],
        sink=-row_prices[len(supply) :],
        cost=cost * unit * money,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """Arcs, then segments: an arc adds to its source's row and its sink's, a segment takes from its sink's.

    sources: how many rows sources have. arc: number of the arc, -1: a segment. from_row: -1 of a segment. side: of a
    segment before (-1), at (0) or after (1) where its sink is expected; 0 of arcs.
    """

    sources: int
    cost: Floats
    most: Floats
    arc: Ints
    from_row: Ints
    to_row: Ints
    side: Ints

    def reduced(self, source: Floats, sink: Floats) -> Floats:
        """Shape (columns,): what a point costs beyond the prices."""
        at_sink = sink[self.to_row - self.sources]
        is_arc = self.arc >= 0
        return self.cost + np.where(is_arc, at_sink - source[np.maximum(self.from_row, 0)], -at_sink)


def _columns(arcs: Arcs, discard: Floats, segments: Segments | None, count: int) -> _Columns:
    cost = arcs.cost - discard[arcs.source]
    number = np.arange(len(cost))
    if segments is None:
        return _Columns(
            sources=count, cost=cost, most=arcs.most, arc=number, from_row=arcs.source,
            to_row=count + arcs.sink, side=np.zeros_like(number),
        )  # fmt: skip
    none = np.full(len(segments.cost), -1)
    return _Columns(
        sources=count,
        cost=np.concatenate([cost, segments.cost]),
        most=np.concatenate([arcs.most, segments.length]),
        arc=np.concatenate([number, none]),
        from_row=np.concatenate([arcs.source, none]),
        to_row=count + np.concatenate([arcs.sink, segments.sink]),
        side=np.concatenate([np.zeros_like(number), np.sign(segments.rank)]),
    )


def _tree(
    columns: _Columns, reduced: Floats, near: Bools, source: Floats, sink: Floats
) -> tuple[Bools, Bools]:
    """Which columns, and which rows by their slack, are in the spanning tree of least reduced costs.

    A row's slack leads to the root: at a price of 0. From a sink with segments the one leads there in which its
    amount is expected.
    """
    count = columns.sources
    root = 2 * count
    chosen = np.flatnonzero(near & (columns.side == 0))
    is_arc = columns.arc[chosen] >= 0
    slack = np.ones(root, dtype=bool)
    slack[columns.to_row[chosen[~is_arc]]] = False
    rows = np.flatnonzero(slack)
    starts = np.concatenate([np.where(is_arc, columns.from_row[chosen], root), np.full(len(rows), root)])
    ends = np.concatenate([columns.to_row[chosen], rows])
    weight = np.concatenate([np.abs(reduced[chosen]), np.abs(np.concatenate([source, sink])[rows])])
    weight += 1e-12 * (weight.max() + 1)  # an entry of 0 would be none
    shape = (root + 1, root + 1)
    numbers = sparse.csr_array((np.arange(len(weight)) + 1, (starts, ends)), shape=shape)
    found = minimum_spanning_tree(sparse.csr_array((weight, (starts, ends)), shape=shape)).tocoo()
    edges = np.asarray(numbers[found.row, found.col]).ravel() - 1
    tree, roots = np.zeros(len(reduced), dtype=bool), np.zeros(root, dtype=bool)
    tree[chosen[edges[edges < len(chosen)]]] = True
    roots[rows[edges[edges >= len(chosen)] - len(chosen)]] = True
    return tree, roots


def _solver() -> highspy.Highs:
    solver = highspy.Highs()
    for name, value in (
        ("output_flag", False),
        ("threads", 1),
        ("solver", "simplex"),
        ("presolve", "off"),
        ("primal_feasibility_tolerance", _EXACT),
        ("dual_feasibility_tolerance", _EXACT),
    ):
        solver.setOptionValue(name, value)
    return solver


def _pass(
    solver: highspy.Highs,
    columns: _Columns,
    used: Ints,
    lower: Floats,
    upper: Floats,
    unit: float,
    money: float,
) -> None:
    start, index, value = _matrix(columns, used)
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(used), len(upper)
    model.col_cost_ = columns.cost[used] / money
    model.col_lower_, model.col_upper_ = np.zeros(len(used)), columns.most[used] / unit
    model.row_lower_, model.row_upper_ = lower, upper
    matrix = model.a_matrix_
    matrix.format_ = highspy.MatrixFormat.kColwise
    matrix.num_row_, matrix.num_col_ = len(upper), len(used)
    matrix.start_, matrix.index_, matrix.value_ = start, index, value
    solver.passModel(model)


def _begin(
    solver: highspy.Highs, columns: _Columns, used: Ints, tree: Bools, roots: Bools, reduced: Floats
) -> None:
    """Hand over the basis: the tree; other arcs full if they are cheaper than prices say, segments up to the expected."""
    status = highspy.HighsBasisStatus
    names = np.array([status.kLower, status.kUpper, status.kBasic], dtype=object)
    full = np.where(columns.side == 0, reduced < 0, columns.side < 0)
    basis = highspy.HighsBasis()
    basis.col_status = list(names[np.where(tree, 2, full.astype(int))[used]])
    basis.row_status = list(names[np.where(roots, 2, 1)])
    basis.valid = True
    solver.setBasis(basis)


def _add(solver: highspy.Highs, columns: _Columns, added: Ints, unit: float, money: float) -> None:
    start, index, value = _matrix(columns, added)
    zeros, most = np.zeros(len(added)), columns.most[added] / unit
    solver.addCols(len(added), columns.cost[added] / money, zeros, most, len(index), start[:-1], index, value)
    solver.setOptionValue("simplex_strategy", _PRIMAL)


def _matrix(columns: _Columns, used: Ints) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], Floats]:
    """Column by column: starts, rows, values."""
    is_arc = columns.arc[used] >= 0
    start = np.concatenate([[0], np.cumsum(1 + is_arc)]).astype(np.int32)
    index, value = np.empty(start[-1], dtype=np.int32), np.ones(start[-1])
    index[start[:-1][is_arc]] = columns.from_row[used][is_arc]
    index[start[1:] - 1] = columns.to_row[used]
    value[start[:-1][~is_arc]] = -1.0
    return start, index, value


def _solved(solver: highspy.Highs) -> tuple[Floats, Floats, float]:
    """Amounts by column, prices by row, and the cost."""
    solver.run()
    status = solver.getModelStatus()
    if status not in (highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kModelEmpty):
        raise SolverError(f"HiGHS ended with {solver.modelStatusToString(status)}, expected an optimum")
    solution = solver.getSolution()
    cost = float(solver.getInfo().objective_function_value)
    return np.array(solution.col_value), np.array(solution.row_dual), cost


def _power_of_two(value: float) -> float:
    """Next to value, so that dividing by it rounds nothing; 1 for 0."""
    return float(2.0 ** np.round(np.log2(value))) if value > 0 else 1.0
