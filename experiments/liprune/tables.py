"""What page 03 measures: searches and overlaps as tidy tables."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments.liprune.runs import (
    KEEP_FRACTIONS,
    expected_gradient_norms,
    far_overlap,
    gradient_norms,
    kept_overlaps,
    minimisers,
    population_overlap,
)
from liprune_utils.intervals import mean_interval, standard_error
from liprune_utils.lipschitz import (
    batch_constant,
    extreme_sine_curvature,
    largest_secant,
    search_constant,
    sine_constant,
    sine_gradient,
)
from liprune_utils.problems import LOGISTIC, MULTINOMIAL, SQUARED, LinearData, Objective
from liprune_utils.pruning import keep_highest, overlap, rank

WAY = tuple(step / 10 for step in range(11))  # from w_0 = 0 to the minimiser


def linear_ratios(data: LinearData) -> np.ndarray:
    """Search the secants of the linear model's gradients, over the constants."""
    w = np.linspace(-10, 10, 21)[:, None, None]
    return largest_secant(w, data.x * (w * data.x - data.y)) / data.lipschitz


def sine_ratios(x: np.ndarray, y: np.ndarray, low: float, high: float) -> dict[str, np.ndarray]:
    """Search the secants of the sine model's gradients, over the constants."""
    period = np.linspace(0, 2 * np.pi, 4001)[:, None] / np.abs(x)
    inside = np.linspace(low, high, 8001)[:, None]
    found = [largest_secant(w, sine_gradient(w, x, y)) for w in (period, inside)]
    interval = np.abs(extreme_sine_curvature(x, y, low, high))
    return {"all": found[0] / sine_constant(x, y), "interval": found[1] / interval}


def blind_ratios(generator: np.random.Generator, num_cases: int = 3) -> dict[str, np.ndarray]:
    """Search the secants of the models with several weights, over the constants."""
    found = {"batch": [], "logistic": [], "softmax, 2 classes": [], "softmax, 4 classes": []}
    for _ in range(num_cases):
        points, labels = generator.standard_normal((8, 3)), generator.standard_normal((8, 1))
        batch = Objective(SQUARED, points, labels, ridge=0.0)
        best = search_constant(batch.gradient, (1, 3), generator)
        found["batch"].append(best / batch_constant(points))
        logistic = Objective(LOGISTIC, points[:1], np.ones((1, 1)), ridge=0.0)
        best = search_constant(logistic.gradient, (1, 3), generator)
        found["logistic"].append(best / logistic.lipschitz[0])
        for k in (2, 4):
            softmax = Objective(MULTINOMIAL, points[:1], np.eye(k)[:1], ridge=0.0)
            best = search_constant(softmax.gradient, (k, 3), generator, num_starts=3)
            found[f"softmax, {k} classes"].append(best / softmax.lipschitz[0])
    return {name: np.array(ratios) for name, ratios in found.items()}


def search_table(ratios: dict[str, np.ndarray]) -> pd.DataFrame:
    """Tabulate searches: the largest secant found over the constant."""
    rows = [(name, r.size, 1 - r.min(), r.max() - 1) for name, r in ratios.items()]
    return pd.DataFrame(rows, columns=["model", "num_cases", "shortfall", "excess"])


def interval_table(
    x: np.ndarray, y: np.ndarray, intervals: Sequence[tuple[float, float]]
) -> pd.DataFrame:
    """Compare the sine model's constants on intervals of w with those over all w."""
    overall, rows = sine_constant(x, y), []
    for low, high in intervals:
        curvature = extreme_sine_curvature(x, y, low, high)
        size = np.abs(curvature)
        measured = {
            "global_share": (size >= overall * (1 - 1e-9)).mean(axis=1),
            "negative_share": (curvature < 0).mean(axis=1),
            "constant_ratio": (size / overall).mean(axis=1),
            "overlap": kept_overlaps(overall, size, 0.1),
        }
        row = {"low": low, "high": high, "num_runs": len(x)}
        for name, values in measured.items():
            row |= {name: values.mean(), f"{name}_se": standard_error(values)}
        rows.append(row)
    return pd.DataFrame(rows)


def way_table(data: LinearData) -> pd.DataFrame:
    """Measure the overlap of GraNd and LiPrune on the way from 0 to each data set's minimiser."""
    target, rows = minimisers(data)[:, None], []
    at_target = gradient_norms(data.x, data.y, target).mean()
    for share in WAY:
        scores = gradient_norms(data.x, data.y, share * target)
        distance = (1 - share) * abs(data.slope)
        difference = ((1 - share) * np.abs(target) * data.lipschitz).mean()
        row = {"way": share, "distance": distance} | _mean_overlap(data.lipschitz, scores)
        row |= {"population": population_overlap(distance, 0.1)}
        rows.append(row | {"gradient_ratio": at_target / difference if difference else np.nan})
    return pd.DataFrame(rows)


def _mean_overlap(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    return mean_interval(kept_overlaps(first, second, 0.1)).columns("overlap")


def distance_table(data: LinearData, distances: Sequence[float]) -> pd.DataFrame:
    """Measure the overlap of GraNd and LiPrune at given distances from the minimisers."""
    target, rows = minimisers(data)[:, None], []
    liprune = {fraction: keep_highest(data.lipschitz, fraction) for fraction in KEEP_FRACTIONS}
    for distance in distances:
        order = rank(gradient_norms(data.x, data.y, target - distance))
        for fraction, kept in liprune.items():
            overlaps = overlap(kept, order[:, : kept.shape[1]])
            row = {"distance": distance, "keep_fraction": fraction, "num_runs": len(overlaps)}
            row |= {"overlap": overlaps.mean(), "overlap_se": standard_error(overlaps)}
            row |= {"population": population_overlap(distance, fraction)}
            rows.append(row | {"far": far_overlap(distance, fraction) if distance else np.nan})
    table = pd.DataFrame(rows)
    return table.assign(z=(table.overlap - table.population) / table.overlap_se)


def initialisation_table(data: LinearData, deviations: Sequence[float]) -> pd.DataFrame:
    """Measure the overlap with LiPrune of GraNd as it is defined: averaged over initial weights."""
    rows = []
    for init_sd in deviations:
        scores = (
            expected_gradient_norms(data.x, data.y, init_sd)
            if init_sd
            else gradient_norms(data.x, data.y, 0.0)
        )
        rows.append({"init_sd": init_sd} | _mean_overlap(data.lipschitz, scores))
    return pd.DataFrame(rows)


def direction_table(
    generator: np.random.Generator, dims: Sequence[int], num_runs: int
) -> pd.DataFrame:
    """Measure how well a secant in one direction ranks points of several dimensions."""
    # Without noise, GraNd's score is |x| |x.u| times the distance, with u the direction of w - w*;
    # LiPrune's is |x|^2. For standard normal x, x.u is normal and the rest of |x|^2 chi-squared.
    rows = []
    for dim in dims:
        along = generator.standard_normal((num_runs, 1000)) ** 2
        square = along + 2 * generator.standard_gamma((dim - 1) / 2, along.shape)
        rows.append({"dim": dim} | _mean_overlap(square, np.sqrt(square * along)))
    return pd.DataFrame(rows)


def where_table(way: pd.DataFrame, starts: pd.DataFrame, directions: pd.DataFrame) -> pd.DataFrame:
    """Say where GraNd is computed, and which share of LiPrune's kept tenth it keeps."""
    at = {0: "w = 0, where SGD starts", 0.5: "half of the way to the minimiser", 1: "the minimiser"}
    some = way[way.way.isin([*at, 0.9])]
    places = [at.get(share, f"{share:g} of the way") for share in some.way]
    means = starts[starts.init_sd > 0]
    places += [f"mean over initial weights N(0, {sd:g}²)" for sd in means.init_sd]
    places += [f"any weight, no label noise, dimension {dim}" for dim in directions.dim]
    rows = pd.concat([some, means, directions], ignore_index=True)
    shares = [f"{row.overlap:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in rows.itertuples()]
    return pd.DataFrame({"GraNd computed at": places, "overlap, 99% interval": shares})
