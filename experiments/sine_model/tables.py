"""What page 07 says of landscapes: wells, data sets against the population."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.signal import find_peaks

from experiments.sine_model.landscapes import (
    WEIGHT,
    WEIGHTS,
    draw_sine,
    pruned_population,
    sampled_losses,
)
from experiments.sine_model.runs import NEAR, Cell, interval
from liprune_utils.intervals import mean_interval, share_interval

DEEP = 0.1  # register: wells deeper than this share of the deepest count
MANY_WELLS = 3  # register: sine-landscape
PRUNED = (1.0, 0.5, 0.01)  # register: sine-pruned-landscape
BLOCK_POINTS = 10**6  # points whose landscapes are computed together


class Wells(NamedTuple):
    """The local minima of a landscape: places, losses there, and depths, arrays ``[n]``."""

    weight: np.ndarray
    loss: np.ndarray
    depth: np.ndarray

    @property
    def deep(self) -> np.ndarray:
        """Tells which wells count, those deeper than a tenth of the deepest (register)."""
        return self.depth > DEEP * self.depth.max()

    @property
    def home(self) -> int:
        """Index of the well nearest to the true weight."""
        return int(np.abs(self.weight - WEIGHT).argmin())

    @property
    def rival(self) -> int | None:
        """Index of the lowest other well that counts, or None."""
        others = self.deep & (np.arange(len(self.depth)) != self.home)
        return int(np.where(others, self.loss, np.inf).argmin()) if others.any() else None


def find_wells(loss: np.ndarray) -> Wells:
    """Find the wells of a landscape and their depths.

    The depth is the topological prominence: how far one must climb, on the easier side, before the
    path leads to a lower place or to the edge of the range.

    Args:
        loss: Losses at ``WEIGHTS``, array of shape ``[num_weights]``.

    Returns:
        The wells, from left to right.
    """
    places, facts = find_peaks(-loss, prominence=0)
    return Wells(WEIGHTS[places], loss[places], facts["prominences"])


def minimisers(losses: np.ndarray) -> np.ndarray:
    """Find the weight with the smallest loss, by a parabola through the lowest three.

    Args:
        losses: Losses at ``WEIGHTS``, array of shape ``[num_runs, num_weights]``.

    Returns:
        Array of shape ``[num_runs]``; a minimum at the edge of the range stays there.
    """
    lowest = losses.argmin(axis=1)
    middle = np.clip(lowest, 1, len(WEIGHTS) - 2)
    left, here, right = (
        np.take_along_axis(losses, (middle + k)[:, None], axis=1)[:, 0] for k in (-1, 0, 1)
    )
    bend = left - 2 * here + right
    shift = np.where(lowest == middle, (left - right) / 2 / np.where(bend > 0, bend, 1), 0)
    return WEIGHTS[lowest] + shift * (WEIGHTS[1] - WEIGHTS[0])


def basin(loss: np.ndarray, wells: Wells) -> tuple[float, float]:
    """Find the ends of the well at the true weight.

    Args:
        loss: Losses at ``WEIGHTS``.
        wells: Its wells.

    Returns:
        Where the loss comes within a hundredth of the well's depth of the next top, left and right;
        tops lower than that do not count, and the edges of the range are tops.
    """
    home, small = WEIGHTS.searchsorted(wells.weight[wells.home]), wells.depth[wells.home] / 100
    tops = np.array([0, *find_peaks(loss, prominence=small)[0], len(loss) - 1])
    left, right = tops[tops < home].max(), tops[tops > home].min()
    low = left + np.flatnonzero(loss[left:home] > loss[left] - small).max()
    high = home + np.flatnonzero(loss[home : right + 1] > loss[right] - small).min()
    return WEIGHTS[low], WEIGHTS[high]


def population_table(keep_fractions: Iterable[float]) -> pd.DataFrame:
    r"""Describe the landscape that LiPrune makes of infinitely many points.

    Random pruning leaves the population as it is, the row of fraction 1.

    Args:
        keep_fractions: Fractions kept.

    Returns:
        One row a fraction: ``minimiser``; ``wells`` that count; place, depth and ``margin`` of the
        best rival, which is its loss less that of the well at the true weight; that well's depth,
        ends and ``curvature``; its distance ``spacing`` to the next well on the right and
        ``expected_spacing`` :math:`2 \pi / E |x|`, after which the kept inputs' sines come again.
    """
    rows = []
    for fraction in keep_fractions:
        kept = pruned_population(fraction)
        loss = kept.landscape
        wells = find_wells(loss)
        home, rival = wells.home, wells.rival
        low, high = basin(loss, wells)
        right = wells.weight[wells.deep & (wells.weight > WEIGHT + 0.5)]
        row = {"keep_fraction": fraction, "minimiser": minimisers(loss[None])[0]}
        row |= {"wells": wells.deep.sum(), "home_depth": wells.depth[home]}
        row |= {"rival": wells.weight[rival], "rival_depth": wells.depth[rival]}
        row |= {"margin": wells.loss[rival] - wells.loss[home]}
        row |= {"basin_low": low, "basin_high": high, "curvature": kept.curvature(WEIGHT)}
        row |= {"spacing": right[0] - WEIGHT if len(right) else np.nan}
        rows.append(row | {"expected_spacing": 2 * np.pi / (kept.p @ kept.x)})
    return pd.DataFrame(rows)


class Landscapes(NamedTuple):
    """What was measured on each data set of one kind, and the mean landscape."""

    minimiser: np.ndarray  # [num_runs]
    wells: pd.DataFrame  # one row for each of the first data sets
    mean: np.ndarray  # [num_weights]
    se: np.ndarray  # [num_weights], standard error of the mean


def measure(
    generator: np.random.Generator,
    num_points: int,
    num_runs: int,
    keep_fractions: Iterable[float],
    *,
    num_wells: int = 1000,
) -> dict[Cell, Landscapes]:
    """Draw data sets, prune them both ways and measure their landscapes.

    Args:
        generator: Source of randomness; both ways of pruning see the same data.
        num_points: Points of a data set before pruning.
        num_runs: Number of data sets, >= 2.
        keep_fractions: Fractions kept; 1 is no pruning.
        num_wells: Data sets, at most, whose wells are counted one by one.

    Returns:
        For each cell what was measured.
    """
    places, wells, sums = defaultdict(list), defaultdict(list), defaultdict(list)
    size = max(1, BLOCK_POINTS // num_points)
    for first in range(0, num_runs, size):
        data = draw_sine(generator, min(size, num_runs - first), num_points)
        ordered = data.by_constant()
        for fraction in keep_fractions:
            pairs = {"liprune": ordered, "random": data} if fraction < 1 else {"none": data}
            for method, points in pairs.items():
                cell, losses = Cell(method, fraction), sampled_losses(points.first(fraction))
                places[cell].append(minimisers(losses))
                wells[cell] += [well_row(loss) for loss in losses[: num_wells - len(wells[cell])]]
                sums[cell].append([losses.sum(axis=0), (losses**2).sum(axis=0)])
    found = {}
    for cell in places:
        mean, square = np.sum(sums[cell], axis=0) / num_runs
        se = np.sqrt((square - mean**2) / (num_runs - 1))
        table = pd.DataFrame(wells[cell])
        found[cell] = Landscapes(np.concatenate(places[cell]), table, mean, se)
    return found


def well_row(loss: np.ndarray) -> dict[str, float]:
    """Count the wells of a landscape and describe the best rival.

    Args:
        loss: Losses at ``WEIGHTS``, array of shape ``[num_weights]``.

    Returns:
        ``minima`` of any depth, those deeper than a hundredth (``wells_1``) and than a tenth of
        the deepest (``wells``), the rival's depth and ``margin``; without a rival 0 and NaN.
    """
    wells = find_wells(loss)
    rival = wells.rival
    row = {"minima": len(wells.depth), "wells_1": (wells.depth > wells.depth.max() / 100).sum()}
    row |= {"wells": wells.deep.sum()}
    if rival is None:
        return row | {"rival_depth": 0.0, "margin": np.nan}
    margin = wells.loss[rival] - wells.loss[wells.home]
    return row | {"rival_depth": wells.depth[rival], "margin": margin}


def landscape_table(measured: Mapping[int, Mapping[Cell, Landscapes]]) -> pd.DataFrame:
    """Summarise the landscapes of data sets.

    Args:
        measured: For each number of points the result of `measure`.

    Returns:
        One row a number of points, method and fraction: share of data sets whose minimiser is
        ``near`` the true weight, and in its ``basin`` (within 1), and the means of `well_row`'s
        columns, each with its 99% interval; ``many`` is the share with at least three wells.
    """
    rows = []
    for num_points, cells in measured.items():
        for cell, found in cells.items():
            row = {"num_points": num_points, **cell._asdict(), "num_runs": len(found.minimiser)}
            distance = np.abs(found.minimiser - WEIGHT)
            shares = {"near": distance <= NEAR, "basin": distance <= 1}
            shares["many"] = found.wells.wells >= MANY_WELLS
            for name, hits in shares.items():
                row |= interval(name, share_interval(int(hits.sum()), len(hits)))
            for name, values in found.wells.items():
                row |= interval(name, mean_interval(values.dropna()))
            rows.append(row | {"num_wells": len(found.wells)})
    return pd.DataFrame(rows)
