"""Wells of the sine model's landscapes, for data sets and the population."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.signal import find_peaks
from scipy.special import ndtri

from experiments.linear_model.runs import KEEP_FRACTIONS, Pruning
from experiments.sine_model.landscapes import (
    WEIGHT,
    WEIGHTS,
    draw_sine,
    pruned_population,
    sampled_losses,
)
from experiments.sine_model.runs import (
    BATCH_SIZE,
    FLOOR,
    LEARNING_RATE,
    NEAR,
    NUM_STEPS,
    START,
)
from liprune_utils.book.register import margin
from liprune_utils.book.style import METHODS
from liprune_utils.intervals import mean_interval, share_interval, standard_error

DEEP = margin("sine-landscape", "relative_depth")  # of wells that count, over the deepest
MANY_WELLS = margin("sine-landscape", "wells")
PRUNED = (1.0, 0.5, 0.01)  # register: sine-pruned-landscape
NORMAL_99 = 2.58  # half-width of a 99% interval, in standard errors
BLOCK_POINTS = 10**6  # points whose landscapes are computed together


class Wells(NamedTuple):
    """The local minima of a landscape: places, losses there, and depths, arrays ``[n]``."""

    weight: np.ndarray
    loss: np.ndarray
    depth: np.ndarray

    @property
    def deep(self) -> np.ndarray:
        """Which wells count: those deeper than a tenth of the deepest (register)."""
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
    """
    places, facts = find_peaks(-loss, prominence=0)
    return Wells(WEIGHTS[places], loss[places], facts["prominences"])


def minimisers(losses: np.ndarray) -> np.ndarray:
    """Find the weight with the smallest loss, by a parabola through the lowest three."""
    lowest = losses.argmin(axis=1)
    middle = np.clip(lowest, 1, len(WEIGHTS) - 2)
    left, here, right = (
        np.take_along_axis(losses, (middle + k)[:, None], axis=1)[:, 0] for k in (-1, 0, 1)
    )
    bend = left - 2 * here + right
    shift = np.where(lowest == middle, (left - right) / 2 / np.where(bend > 0, bend, 1), 0)
    return WEIGHTS[lowest] + shift * (WEIGHTS[1] - WEIGHTS[0])


def basin(loss: np.ndarray, wells: Wells) -> tuple[float, float]:
    """Find the ends of the well at the true weight."""
    home, small = WEIGHTS.searchsorted(wells.weight[wells.home]), wells.depth[wells.home] / 100
    tops = np.array([0, *find_peaks(loss, prominence=small)[0], len(loss) - 1])
    left, right = tops[tops < home].max(), tops[tops > home].min()
    low = left + np.flatnonzero(loss[left:home] > loss[left] - small).max()
    high = home + np.flatnonzero(loss[home : right + 1] > loss[right] - small).min()
    return WEIGHTS[low], WEIGHTS[high]


def population_table(keep_fractions: Iterable[float]) -> pd.DataFrame:
    r"""Describe the landscape that LiPrune makes of infinitely many points.

    Random pruning leaves the population as it is, the row of fraction 1.
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
        row |= {"expected_spacing": 2 * np.pi / (kept.p @ kept.x)}
        rows.append(row | {"by_size": _curvature_by_size(fraction)})
    return pd.DataFrame(rows)


def _curvature_by_size(keep_fraction: float) -> float:
    """Compute the curvature at the true weight if points were ranked by the size of x alone."""
    everything = pruned_population(1.0)
    steep = everything.p * (everything.x * np.cos(WEIGHT * everything.x)) ** 2
    return steep[everything.x > ndtri(1 - keep_fraction / 2)].sum() / keep_fraction


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
) -> dict[Pruning, Landscapes]:
    """Draw data sets, prune them both ways and measure their landscapes."""
    places, wells, sums = defaultdict(list), defaultdict(list), defaultdict(list)
    size = max(1, BLOCK_POINTS // num_points)
    for first in range(0, num_runs, size):
        data = draw_sine(generator, min(size, num_runs - first), num_points)
        ordered = data.by_constant()
        for fraction in keep_fractions:
            pairs = {"liprune": ordered, "random": data} if fraction < 1 else {"none": data}
            for method, points in pairs.items():
                key, losses = Pruning(method, fraction), sampled_losses(points.first(fraction))
                places[key].append(minimisers(losses))
                wells[key] += [_well_row(loss) for loss in losses[: num_wells - len(wells[key])]]
                sums[key].append([losses.sum(axis=0), (losses**2).sum(axis=0)])
    landscapes = {}
    for key in places:
        mean, square = np.sum(sums[key], axis=0) / num_runs
        se = np.sqrt((square - mean**2) / (num_runs - 1))
        minimiser = np.concatenate(places[key])
        landscapes[key] = Landscapes(minimiser, pd.DataFrame(wells[key]), mean, se)
    return landscapes


def _well_row(loss: np.ndarray) -> dict[str, float]:
    """Count the wells of a landscape and describe the best rival."""
    wells = find_wells(loss)
    rival = wells.rival
    row = {"minima": len(wells.depth), "wells_1": (wells.depth > wells.depth.max() / 100).sum()}
    row |= {"wells": wells.deep.sum()}
    if rival is None:
        return row | {"rival_depth": 0.0, "margin": np.nan}
    margin = wells.loss[rival] - wells.loss[wells.home]
    return row | {"rival_depth": wells.depth[rival], "margin": margin}


def landscape_table(measured: Mapping[int, Mapping[Pruning, Landscapes]]) -> pd.DataFrame:
    """Summarise the landscapes of data sets, one row per size and pruning."""
    rows = []
    for num_points, pruned in measured.items():
        for pruning, landscapes in pruned.items():
            distance = np.abs(landscapes.minimiser - WEIGHT)
            row = {"num_points": num_points, **pruning._asdict(), "num_runs": len(distance)}
            shares = {"near": distance <= NEAR, "basin": distance <= 1}
            shares["many"] = landscapes.wells.wells >= MANY_WELLS
            for name, hits in shares.items():
                row |= share_interval(int(hits.sum()), len(hits)).named_columns(name)
            for name, values in landscapes.wells.items():
                row |= mean_interval(values.dropna()).named_columns(name)
            rows.append(row | {"num_wells": len(landscapes.wells)})
    return pd.DataFrame(rows)


def count_table(samples: pd.DataFrame) -> pd.DataFrame:
    """Show how many local minima data sets without pruning have, by their number of points."""
    names = {"num_points": "points", "minima": "all local minima", "wells_1": "deeper than 1%"}
    names |= {"wells": "deeper than 10%", "num_wells": "data sets"}
    return samples[samples.method == "none"][list(names)].rename(columns=names)


def quadrature_errors(measured: Mapping[Pruning, Landscapes]) -> pd.DataFrame:
    """Compare mean landscapes with the quadrature: the largest difference of each, and its z."""
    rows = []
    for pruning, landscapes in measured.items():
        fraction = pruning.keep_fraction if pruning.method == "liprune" else 1.0
        difference = np.abs(landscapes.mean - pruned_population(fraction).landscape)
        z = (difference / landscapes.se).max()
        rows.append(pruning._asdict() | {"difference": difference.max(), "z": z})
    return pd.DataFrame(rows)


def wells_as_in_smaller_sets(measured: Mapping[int, Mapping[Pruning, Landscapes]]) -> pd.Series:
    """Compare the wells after random pruning with those of smaller, unpruned data sets, as z."""
    values = {}
    for small, large, fraction in ((1000, 10**4, 0.1), (1000, 10**5, 0.01), (10**4, 10**5, 0.1)):
        unpruned = measured[small]["none", 1.0].wells.wells
        pruned = measured[large]["random", fraction].wells.wells
        error = np.hypot(*(standard_error(wells) for wells in (unpruned, pruned)))
        gap = abs(unpruned.mean() - pruned.mean())
        values[small, large] = gap / error if gap else 0.0
    return pd.Series(values)


def summary_table(population: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """Put what LiPrune makes of the expected loss beside what data sets of 1000 points show."""
    shown = samples[samples.num_points == 1000].set_index(["method", "keep_fraction"])
    rows = []
    for fraction in samples.keep_fraction.unique():
        expected = population.set_index("keep_fraction").loc[fraction]
        row = {"keep": f"{fraction:g}", "wells, expected loss": f"{expected.wells:.0f}"}
        row |= {"best rival higher by": f"{expected.margin:.3f}"}
        row |= {"well at 12": f"{expected.basin_low:.1f}\u00a0to\u00a0{expected.basin_high:.1f}"}
        for method, name in (("liprune", "LiPrune"), ("random", "random")):
            one = shown.loc[method if fraction < 1 else "none", fraction]
            row |= {f"wells, {name}": f"{one.wells:.1f}", f"near 12, {name}": f"{one.near:.1%}"}
        rows.append(row)
    return pd.DataFrame(rows)


def starting_table() -> pd.DataFrame:
    """Describe what SGD sees at its start in Figure 12, by quadrature."""
    rows = []
    for fraction in (*KEEP_FRACTIONS, 1.0):
        kept = pruned_population(fraction)
        slope, noise = kept.slope(START), kept.gradient_sd(START)
        pruned = fraction < 1
        row = {"method": "LiPrune" if pruned else "random, none"}
        row |= {"keep": f"{fraction:g}" if pruned else "any", "slope at 8": slope}
        row |= {"noise of a batch": noise / np.sqrt(BATCH_SIZE)}
        row |= {"drift in 100 steps": -LEARNING_RATE * NUM_STEPS * slope}
        spread = LEARNING_RATE * noise * np.sqrt(NUM_STEPS / BATCH_SIZE)
        rows.append(row | {"spread in 100 steps": spread})
    return pd.DataFrame(rows)


def best_rate_table(by_rate: pd.DataFrame) -> pd.DataFrame:
    """Pick each method's best learning rate at each step, from start 11 with a tenth kept."""
    tenth = by_rate[(by_rate.keep_fraction == 0.1) & (by_rate.start == 11)]
    best = tenth.loc[tenth.groupby(["step", "method"]).loss_mean.idxmin()]
    names = best.method.map({key: look["label"] for key, look in METHODS.items()})
    half = NORMAL_99 * best.loss_se
    return best.assign(method=names, excess=best.loss_mean - FLOOR, half=half)
