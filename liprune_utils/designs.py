r"""Optimal designs: which points determine a linear model best, if only a few may be kept.

Least squares on a kept set K of k points, with label noise :math:`\sigma`, has the error
:math:`E (\hat w_K - w^*)(\hat w_K - w^*)^\top = \frac{\sigma^2}{k} M_K^{-1}`, where :math:`M_K` is
the mean of :math:`x x^\top` over K. Three criteria measure its size; M is the mean over all points:

.. math::
    \mathrm{A}: \mathrm{tr}\, M_K^{-1}, \qquad
    \mathrm{V}: \mathrm{tr}\, (M M_K^{-1}), \qquad
    \mathrm{D}: (\det M_K)^{-1/d},

the error of the weights, of predictions at all points, and the size of a confidence region. The
order that D and V give does not depend on the coordinates of x; that of A does.
"""

from typing import Literal, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from liprune_utils.checks import require
from liprune_utils.pruning import num_kept

Criterion = Literal["A", "D", "V"]
CRITERIA = ("A", "D", "V")
_CHUNK = 2**14  # units that are looked at at once
_GAP, _MAX_ITERATIONS = 0.01, 50  # of the continuous problem: relative gap to its bound
_CANDIDATES, _MAX_SWAPS = 8, 200  # for swaps of one unit for another
_BETTER = 1 - 1e-9  # a ratio of criteria that is progress
_RIDGE = 1e-9  # gives every set a criterion, whatever its rank; M is the identity


class Design(NamedTuple):
    """A kept set, and how good it is."""

    kept: np.ndarray  # sorted indices
    efficiency: float  # in (0, 1]: the criterion of the best set over this one's, at least


def leverages(x: np.ndarray) -> np.ndarray:
    r"""Compute the leverage of every point, :math:`x_i^\top M^{-1} x_i`, M the mean of x xᵀ.

    In coordinates in which M is the identity, it is the Lipschitz constant :math:`\|x_i\|^2` of the
    gradient of :math:`\tfrac12 (w \cdot x_i - y_i)^2`. The largest are D-optimal where many points
    have elliptical contours (Glemser and Schwabe, arXiv 2307.02236).

    Args:
        x: Points, array of shape ``[n, dim]``. Directions in which all points are 0 are left out.

    Returns:
        Float64 array of shape ``[n]``, >= 0; the mean is the rank of ``x``.

    Example:
        >>> leverages(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 10.0], [0.0, 20.0]])).round(1)
        array([2. , 2. , 0.8, 3.2])
    """
    units = _Units(_checked(x, dims=(2,)), "D")
    return units.gains(np.eye(units.rank))


def keep_extremes(x: np.ndarray, keep_fraction: float) -> np.ndarray:
    """Keep the extremes of every coordinate: IBOSS of Wang, Yang and Stufken (arXiv 1710.10382).

    Coordinate after coordinate, the points with the smallest and the largest values are kept,
    equally many, among those that are not kept yet.

    Args:
        x: Points, array of shape ``[n, dim]``; a column of ones is to be left out.
        keep_fraction: Fraction kept, in (0, 1].

    Returns:
        Sorted indices, integer array of shape ``[k]``, with k from `num_kept`.

    Example:
        >>> keep_extremes(np.array([[0.0, 1.0], [5.0, 0.0], [-5.0, 0.0], [1.0, 9.0]]), 0.75)
        array([1, 2, 3])
    """
    x = _checked(x, dims=(2,))
    count, free = num_kept(len(x), keep_fraction), np.arange(len(x))
    ends = [sign * column for column in x.T for sign in (-1, 1)]
    for place, values in enumerate(ends, start=1):
        wanted = count * place // len(ends) - (len(x) - len(free))
        if wanted:
            free = free[np.argpartition(-values[free], wanted - 1)[wanted:]]
    return np.setdiff1d(np.arange(len(x)), free)


def optimal_design(x: np.ndarray, keep_fraction: float, criterion: Criterion = "V") -> Design:
    r"""Keep the points, or the batches, that determine a linear model best.

    The continuous problem, in which shares of points may be kept, is convex. The algorithm of Frank
    and Wolfe solves it, proposes kept sets on its way, and bounds the best one. From the best
    proposal on, units are swapped as long as that helps. The cost is some dozens of passes over
    many points; in many dimensions up to a thousand, most of them for the swaps. `leverages` cost a
    few, and are often nearly as good.

    Args:
        x: Points, array of shape ``[n, dim]``, or batches, ``[n, batch_size, dim]``. Directions in
            which all points are 0 are left out.
        keep_fraction: Fraction of the points or batches kept, in (0, 1]; at least as many points
            as the rank of ``x``.
        criterion: "A" (error of the weights), "D" (size of a confidence region) or "V" (error of
            predictions at all points).

    Returns:
        What is kept, and its efficiency.

    Example:
        >>> x = np.array([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0], [0.0, 1.0]])
        >>> optimal_design(x, keep_fraction=0.5, criterion="D").kept
        array([1, 2])
    """
    require(criterion in CRITERIA, "criterion", criterion, f"one of {', '.join(CRITERIA)}")
    units = _Units(_checked(x, dims=(2, 3)), criterion)
    count = num_kept(len(units.x), keep_fraction)
    points, least = count * units.x.shape[1], f"at least the rank of x, {units.rank}"
    require(points >= units.rank, "number of points kept", points, least)
    proposal, bound = _propose(units, count)
    kept = np.sort(_swap_one(units, _swap_many(units, proposal)))
    return Design(kept, float(min(1.0, bound / units.criterion(units.moment(kept)))))


def _checked(x: np.ndarray, dims: tuple[int, ...]) -> np.ndarray:
    x, shapes = np.asarray(x, dtype=float), {2: "[n, dim]", 3: "[n, batch_size, dim]"}
    expected = " or ".join(shapes[each] for each in dims)
    require(x.ndim in dims and x.size > 0, "shape of x", list(x.shape), f"{expected}, none 0")
    bad = np.argwhere(~np.isfinite(x))
    require(not len(bad), "x", bad[:1].tolist(), "a finite number at every index, not so there")
    require(bool(x.any()), "x", 0, "points of which one at least is not 0")
    return x


class _Units:
    """Points or batches, turned so that M is the identity, with a criterion of designs."""

    def __init__(self, x: np.ndarray, criterion: Criterion):
        x = x if x.ndim == 3 else x[:, None]
        flat = x.reshape(-1, x.shape[-1])
        values, vectors = np.linalg.eigh(flat.T @ flat / len(flat))
        seen = values > values[-1] * len(values) * np.finfo(float).eps
        self.x, self.name = x @ (vectors[:, seen] / np.sqrt(values[seen])), criterion
        self.costs = 1 / values[seen] if criterion == "A" else np.ones(seen.sum())
        self.rank = len(self.costs)

    def moment(self, kept: np.ndarray) -> np.ndarray:
        """Compute the mean of x xᵀ over the kept units."""
        flat = self.x[kept].reshape(-1, self.rank)
        return flat.T @ flat / len(flat)

    def criterion(self, moments: np.ndarray) -> np.ndarray:
        """Compute the criterion for moments ``[..., rank, rank]``; lower is better."""
        moments = moments + _RIDGE * np.eye(self.rank)
        if self.name == "D":
            return np.exp(-np.linalg.slogdet(moments).logabsdet / self.rank)
        return np.linalg.inv(moments).diagonal(axis1=-2, axis2=-1) @ self.costs

    def slope(self, moment: np.ndarray) -> np.ndarray:
        """Compute W: the mean of xᵀ W x over a unit is how fast it lowers the criterion."""
        inverse = np.linalg.inv(moment + _RIDGE * np.eye(self.rank))
        # For D it is the criterion's logarithm, times the rank.
        return inverse if self.name == "D" else inverse * self.costs @ inverse

    def gains(self, moment: np.ndarray) -> np.ndarray:
        """Compute how fast each unit lowers the criterion, ``[n]``."""
        slope, starts = self.slope(moment), range(0, len(self.x), _CHUNK)
        chunks = (self.x[first : first + _CHUNK] for first in starts)
        return np.concatenate([np.vecdot(x @ slope, x).mean(axis=1) for x in chunks])


def _top(values: np.ndarray, count: int) -> np.ndarray:
    return np.argpartition(-values, count - 1)[:count]


def _propose(units: _Units, count: int) -> tuple[np.ndarray, float]:
    """Solve the continuous problem; the best kept set on the way, and a bound for all sets."""
    moment, bound = np.eye(units.rank), 0.0
    sets: list[tuple[float, np.ndarray]] = []
    for _ in range(_MAX_ITERATIONS):
        gains, here = units.gains(moment), units.criterion(moment)
        kept = _top(gains, count)
        target = units.moment(kept)
        sets.append((float(units.criterion(target)), kept))
        gap = gains[kept].mean() - (units.slope(moment) * moment).sum()
        shrink = np.exp(-gap / units.rank) if units.name == "D" else 1 - gap / here
        bound = max(bound, here * shrink)
        if min(sets[-1][0], here) * (1 - _GAP) <= bound:
            break
        moment = moment + _step(units, moment, target) * (target - moment)
    return min(sets, key=lambda pair: pair[0])[1], bound


def _step(units: _Units, moment: np.ndarray, target: np.ndarray) -> float:
    """Find the best share of a target moment."""
    found = minimize_scalar(
        lambda share: float(units.criterion(moment + share * (target - moment))),
        bounds=(0, 1), method="bounded", options={"xatol": 1e-4},
    )  # fmt: skip
    return found.x


def _exchanged(kept: np.ndarray, out: np.ndarray, into: np.ndarray) -> np.ndarray:
    return np.concatenate([np.setdiff1d(kept, out), into])


def _swap_many(units: _Units, kept: np.ndarray) -> np.ndarray:
    """Swap the kept units of least gain for the others of most, fewer where that does not help."""
    others, size = len(units.x) - len(kept), len(kept) // 2
    size = min(size, others)
    while size:
        gains = units.gains(units.moment(kept))
        out = kept[_top(-gains[kept], size)]
        gains[kept] = -np.inf
        trial = _exchanged(kept, out, _top(gains, size))
        pair = [units.criterion(units.moment(each)) for each in (trial, kept)]
        if pair[0] < pair[1] * _BETTER:
            kept = trial
        else:
            size //= 2
    return kept


def _swap_one(units: _Units, kept: np.ndarray) -> np.ndarray:
    """Swap one kept unit for another, the best pair of some candidates, while that helps."""
    if len(kept) == len(units.x):
        return kept
    for _ in range(_MAX_SWAPS):
        moment = units.moment(kept)
        gains = units.gains(moment)
        out = kept[_top(-gains[kept], min(_CANDIDATES, len(kept)))]
        gains[kept] = -np.inf
        into = _top(gains, min(_CANDIDATES, len(units.x) - len(kept)))
        own = [np.array([units.moment([unit]) for unit in each]) for each in (out, into)]
        found = units.criterion(moment + (own[1][None] - own[0][:, None]) / len(kept))
        at = np.unravel_index(found.argmin(), found.shape)
        if not found[at] < units.criterion(moment) * _BETTER:
            break
        kept = _exchanged(kept, out[at[0] : at[0] + 1], into[at[1] : at[1] + 1])
    return kept
