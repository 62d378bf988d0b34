r"""How much faster one training is than another: the steps that both take to the same loss.

Two curves of test error or loss, averaged over seeds and made non-increasing, are compared at many
levels that both reach. Unlike the steps to one best value, the ratio does not hang on a single
noisy epoch.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.stats import t as student

from liprune_utils.checks import require
from liprune_utils.intervals import Estimate, standard_error

NUM_LEVELS = 20
Cells = Mapping[object, np.ndarray] | Sequence[np.ndarray] | np.ndarray


class SpeedUp(NamedTuple):
    """A speed-up over one or several cells."""

    estimate: Estimate  #: steps of the rival over own steps; NaN if no cell counts
    spans: dict[object, float]  #: span of the levels in each cell, at most 0 if none is shared
    counted: tuple[object, ...]  #: the cells that count


def speed_up(
    rival_curves: Cells,
    curves: Cells,
    *,
    steps: np.ndarray | None = None,
    least_span: float = 0.0,
    level: float = 0.90,
) -> SpeedUp:
    r"""Estimate how many steps of a rival one step is worth, over cells that share their seeds.

    In each cell the two curves are averaged over the seeds and compared by `curve_speed_up`. The
    result is the geometric mean over the cells, :math:`e^\theta`. The interval of :math:`\theta` is
    Student's, with the jackknife's standard error: that of the mean of the pseudo-values
    :math:`S \theta - (S - 1) \theta_{-s}` (Tukey 1958), where :math:`\theta_{-s}` leaves seed s out
    of all cells.

    Args:
        rival_curves: Test errors or losses of the rival: one cell, ``[num_seeds, num_steps]``;
            several, ``[num_cells, num_seeds, num_steps]``; or a mapping or a sequence of cells,
            which may have different numbers of steps. The order of the seeds is the same in all.
        curves: Those to be judged: the same cells, of the same shapes.
        steps: Step or epoch of each entry, above 0 and increasing, ``[num_steps]``, the same for
            all cells. Without it they are 1, 2, ...: the first entry counts as 1.
        least_span: A cell whose levels span less than this is left out; so is one that has none.
        level: Confidence level, in (0, 1).

    Returns:
        The ratio of the steps, above 1 where the rival is slower, and the number of seeds; for each
        cell the span of its levels; and the names of the cells that count, or their numbers.

    Example:
        >>> rival = np.array([[9.0, 8.0, 7.0, 6.0], [9.2, 8.2, 7.2, 6.2]])  # two seeds
        >>> twice_as_fast = np.array([[8.0, 6.0, 4.0, 2.0], [8.2, 6.2, 4.2, 2.2]])
        >>> round(speed_up(rival, twice_as_fast).estimate.value, 3)
        2.0
    """
    rivals, owns = _cells(rival_curves), _cells(curves)
    same = f"those of the rival, {list(rivals)}"
    require(list(rivals) == list(owns), "cells of the curves", list(owns), same)
    num_seeds = _check(rivals, owns, steps)
    spans = {c: level_span(rivals[c].mean(axis=0), owns[c].mean(axis=0)) for c in owns}
    counted = tuple(cell for cell in owns if spans[cell] > 0 and spans[cell] >= least_span)
    if not counted:
        return SpeedUp(Estimate(np.nan, np.nan, np.nan, num_seeds), spans, counted)
    logs = np.mean([_jackknife(rivals[cell], owns[cell], steps) for cell in counted], axis=0)
    whole, parts = logs[0], logs[1:]
    error = standard_error(num_seeds * whole - (num_seeds - 1) * parts)
    half = student.interval(level, num_seeds - 1)[1] * error
    ends = (float(np.exp(value)) for value in (whole, whole - half, whole + half))
    return SpeedUp(Estimate(*ends, num_seeds), spans, counted)


def curve_speed_up(
    rival_curve: np.ndarray, curve: np.ndarray, *, steps: np.ndarray | None = None
) -> float:
    """Compute how many steps of a rival one step is worth, from two curves.

    Both curves are made non-increasing by isotonic regression. At 20 equally spaced levels, from
    the smaller of their two first values down to the larger of their two last, the step at which
    each first crosses the level is found by linear interpolation. The result is the geometric mean
    over the levels of the rival's step over the own one.

    Args:
        rival_curve: Test errors or losses of the rival, ``[num_steps]``.
        curve: Those to be judged, ``[num_steps]``.
        steps: As in `speed_up`.

    Returns:
        The ratio, above 1 where the rival is slower; NaN where the curves share no two levels.

    Example:
        >>> float(curve_speed_up(np.array([4.0, 2.0, 1.0]), np.array([4.0, 2.0, 1.0])))
        1.0
    """
    falling = [_non_increasing(c) for c in (rival_curve, curve)]
    top, bottom = _ends(*falling)
    if not bottom < top:
        return np.nan
    steps = np.arange(1.0, len(curve) + 1) if steps is None else np.asarray(steps, dtype=float)
    levels = np.linspace(top, bottom, NUM_LEVELS)
    rival_steps, own_steps = (_crossings(c, levels, steps) for c in falling)
    return float(np.exp(np.log(rival_steps / own_steps).mean()))


def level_span(rival_curve: np.ndarray, curve: np.ndarray) -> float:
    """Compute the span of the levels at which `curve_speed_up` compares two curves.

    Args:
        rival_curve: Test errors or losses of the rival, ``[num_steps]``.
        curve: Those to be judged, ``[num_steps]``.

    Returns:
        The highest level less the lowest, in the unit of the curves; below 0 where one curve ends
        above the start of the other.
    """
    top, bottom = _ends(_non_increasing(rival_curve), _non_increasing(curve))
    return float(top - bottom)


def predicted_speed_up(constants: np.ndarray, kept: np.ndarray) -> float:
    r"""Predict the speed-up over random pruning: the mean constant of the kept over that of all.

    Far from the minimum, SGD on quadratic losses contracts the error by
    :math:`1 - \eta \overline{L}` per step, where :math:`\overline{L}` is the mean constant of the
    functions that it draws; random pruning leaves that mean as it is. With losses that are flatter
    than their constants, or curved in several directions, it is no more than a guide.

    Args:
        constants: Lipschitz constants, or Hessian norms, ``[n]``, >= 0 and not all 0.
        kept: Indices of those that are kept, ``[k]``, k >= 1.

    Returns:
        The ratio of the means; 1 where the constants are all the same.

    Example:
        >>> predicted_speed_up(np.array([1.0, 2.0, 3.0, 2.0]), kept=np.array([2]))
        1.5
    """
    constants = np.asarray(constants, dtype=float)
    known = bool(np.isfinite(constants).all() and constants.min() >= 0 and constants.max() > 0)
    require(
        known, "constants", f"array with a smallest of {constants.min()}", "at least 0, not all 0"
    )
    require(len(kept) >= 1, "number of kept constants", len(kept), "at least 1")
    return float(constants[kept].mean() / constants.mean())


def _cells(curves: Cells) -> dict[object, np.ndarray]:
    if isinstance(curves, Mapping):
        return {cell: np.asarray(values, dtype=float) for cell, values in curves.items()}
    one = np.ndim(curves[0]) == 1
    return {k: np.asarray(v, dtype=float) for k, v in enumerate([curves] if one else curves)}


# The number of seeds, which all cells share.
def _check(
    rivals: Mapping[object, np.ndarray], owns: Mapping[object, np.ndarray], steps: np.ndarray | None
) -> int:
    require(len(owns) >= 1, "number of cells", len(owns), "at least 1")
    num_seeds = len(next(iter(owns.values())))
    require(num_seeds >= 2, "number of seeds", num_seeds, "at least 2")
    for cell, own in owns.items():
        for values in (rivals[cell], own):
            shape = f"{list(own.shape)}, with {num_seeds} seeds and at least 2 steps"
            fits = values.shape == own.shape and own.ndim == 2 and own.shape[1] >= 2
            require(fits and len(own) == num_seeds, f"shape of cell {cell}", values.shape, shape)
            missing = int((~np.isfinite(values)).sum())
            require(missing == 0, f"number of missing values of cell {cell}", missing, "0")
        if steps is not None:
            given = np.asarray(steps, dtype=float)
            rising = given.shape == own.shape[1:] and given[0] > 0 and (np.diff(given) > 0).all()
            expected = f"{own.shape[1]} of them, above 0 and increasing"
            require(bool(rising), "steps", given.tolist(), expected)
    return num_seeds


# Logarithms of the ratio from all seeds, then without each of them, [1 + num_seeds].
def _jackknife(rival: np.ndarray, own: np.ndarray, steps: np.ndarray | None) -> np.ndarray:
    means = [np.vstack([c.mean(axis=0), (c.sum(axis=0) - c) / (len(c) - 1)]) for c in (rival, own)]
    pairs = zip(*means, strict=True)
    return np.log([curve_speed_up(*pair, steps=steps) for pair in pairs])


def _non_increasing(curve: np.ndarray) -> np.ndarray:
    return isotonic_regression(curve, increasing=False).x


# The highest and the lowest level that two curves share.
def _ends(rival: np.ndarray, own: np.ndarray) -> tuple[float, float]:
    return min(rival[0], own[0]), max(rival[-1], own[-1])


# The step at which a non-increasing curve first is at each level or below it; it ends there.
def _crossings(curve: np.ndarray, levels: np.ndarray, steps: np.ndarray) -> np.ndarray:
    after = (curve <= levels[:, None]).argmax(axis=1)
    before = np.maximum(after - 1, 0)
    fall = np.where(after > 0, curve[before] - curve[after], 1.0)  # above 0
    shares = np.where(after > 0, (curve[before] - levels) / fall, 0.0)
    return steps[before] + shares * (steps[after] - steps[before])
