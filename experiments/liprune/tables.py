"""What page 03 measures: searches and overlaps as tidy tables."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments.liprune.runs import (
    KEEP_FRACTIONS,
    expected_gradient_norms,
    far_overlap,
    gradient_norms,
    minimisers,
    overlaps,
    population_overlap,
)
from liprune_utils.intervals import mean_interval, standard_error
from liprune_utils.lipschitz import (
    batch_constant,
    extreme_sine_curvature,
    largest_secant,
    linear_constant,
    logistic_constant,
    logistic_gradient,
    multinomial_constant,
    multinomial_gradient,
    search_constant,
    sine_constant,
    sine_gradient,
)
from liprune_utils.problems import LinearData

WAY = tuple(step / 10 for step in range(11))  # from w_0 = 0 to the minimiser


def linear_ratios(data: LinearData) -> np.ndarray:
    """Search the secants of the linear model's gradients, over the constants.

    Args:
        data: Data sets.

    Returns:
        Largest secant on a grid of w from -10 to 10 over :math:`x^2`, ``[num_runs, num_points]``.
    """
    w = np.linspace(-10, 10, 21)[:, None, None]
    return largest_secant(w, data.x * (w * data.x - data.y)) / linear_constant(data.x[..., None])


def sine_ratios(x: np.ndarray, y: np.ndarray, low: float, high: float) -> dict[str, np.ndarray]:
    """Search the secants of the sine model's gradients, over the constants.

    Args:
        x: Inputs other than 0, array of shape ``[num_points]``.
        y: Labels, same shape.
        low: Lower end of the interval.
        high: Its upper end.

    Returns:
        Ratios for all w (searched over one period) and for the interval, ``[num_points]`` each.
    """
    period = np.linspace(0, 2 * np.pi, 4001)[:, None] / np.abs(x)
    inside = np.linspace(low, high, 8001)[:, None]
    found = [largest_secant(w, sine_gradient(w, x, y)) for w in (period, inside)]
    interval = np.abs(extreme_sine_curvature(x, y, low, high))
    return {"all": found[0] / sine_constant(x, y), "interval": found[1] / interval}


def blind_ratios(generator: np.random.Generator, num_cases: int = 3) -> dict[str, np.ndarray]:
    """Search the secants of the models with several weights, over the constants.

    Args:
        generator: Source of the points and of the starts.
        num_cases: Random points, or batches of 8, for each model, in three dimensions.

    Returns:
        For each model the ratios, ``[num_cases]``.
    """
    found = {"batch": [], "logistic": [], "softmax, 2 classes": [], "softmax, 4 classes": []}
    for _ in range(num_cases):
        points, labels = generator.standard_normal((8, 3)), generator.standard_normal(8)
        x = points[0]

        def mean_gradient(w: np.ndarray, points=points, labels=labels) -> np.ndarray:
            return points.T @ (points @ w - labels) / len(points)

        best = search_constant(mean_gradient, 3, generator)
        found["batch"].append(best / batch_constant(points))
        best = search_constant(lambda w, x=x: logistic_gradient(w, x, 1), 3, generator)
        found["logistic"].append(best / logistic_constant(x))
        for k in (2, 4):
            best = search_constant(
                lambda w, x=x: multinomial_gradient(w, x, 0), 3 * k, generator, num_starts=3
            )
            found[f"softmax, {k} classes"].append(best / multinomial_constant(x))
    return {name: np.array(ratios) for name, ratios in found.items()}


def search_table(ratios: dict[str, np.ndarray]) -> pd.DataFrame:
    """Tabulate searches: the largest secant found over the constant.

    Args:
        ratios: For each model its ratios, arrays of any shape.

    Returns:
        One row a model; a constant is never exceeded if ``excess`` is rounding, and attained if
        ``shortfall`` is small.
    """
    rows = [(name, r.size, 1 - r.min(), r.max() - 1) for name, r in ratios.items()]
    return pd.DataFrame(rows, columns=["model", "num_cases", "shortfall", "excess"])


def interval_table(
    x: np.ndarray, y: np.ndarray, intervals: Sequence[tuple[float, float]]
) -> pd.DataFrame:
    """Compare the sine model's constants on intervals of w with those over all w.

    Args:
        x: Inputs, array of shape ``[num_runs, num_points]``.
        y: Labels, same shape.
        intervals: Lower and upper ends; equal ends give the curvature at one weight.

    Returns:
        One row an interval, means over data sets: the share of points whose constant is that over
        all w, and the share where it is attained at negative curvature, with standard errors; the
        mean ratio of the two constants; the overlap of the kept sets, a tenth kept.
    """
    overall, rows = sine_constant(x, y), []
    for low, high in intervals:
        curvature = extreme_sine_curvature(x, y, low, high)
        size = np.abs(curvature)
        measured = {
            "global_share": (size >= overall * (1 - 1e-9)).mean(axis=1),
            "negative_share": (curvature < 0).mean(axis=1),
            "constant_ratio": (size / overall).mean(axis=1),
            "overlap": overlaps(overall, size, [0.1])[0],
        }
        row = {"low": low, "high": high, "num_runs": len(x)}
        for name, values in measured.items():
            row |= {name: values.mean(), f"{name}_se": standard_error(values)}
        rows.append(row)
    return pd.DataFrame(rows)


def way_table(data: LinearData, noise_sd: float) -> pd.DataFrame:
    """Measure the overlap of GraNd and LiPrune on the way from 0 to each data set's minimiser.

    Args:
        data: Data sets of the linear model.
        noise_sd: Standard deviation of their label noise.

    Returns:
        One row a weight: the share of the way, the overlap (a tenth kept) with its 99% interval,
        that of infinitely many points, and the mean gradient at the minimiser over the mean
        difference of the gradients, which the paper takes to be small.
    """
    target, rows = minimisers(data)[:, None], []
    at_target = gradient_norms(data.x, data.y, target).mean()
    for share in WAY:
        scores = gradient_norms(data.x, data.y, share * target)
        found = mean_interval(overlaps(data.lipschitz, scores, [0.1])[0])
        distance = (1 - share) * abs(data.slope)
        difference = ((1 - share) * np.abs(target) * data.lipschitz).mean()
        row = {"way": share, "distance": distance, "overlap": found.value}
        row |= {"low": found.low, "high": found.high, "num_runs": found.num_runs}
        row |= {"population": population_overlap(distance, 0.1, noise_sd=noise_sd)}
        rows.append(row | {"gradient_ratio": at_target / difference if difference else np.nan})
    return pd.DataFrame(rows)


def distance_table(data: LinearData, distances: Sequence[float]) -> pd.DataFrame:
    """Measure the overlap of GraNd and LiPrune at given distances from the minimisers.

    Args:
        data: Data sets of the linear model with the paper's noise.
        distances: Values of :math:`|w - w_*|`, >= 0.

    Returns:
        One row a distance and fraction kept: mean overlap, its standard error, that of infinitely
        many points and their difference in standard errors, and the approximation far away.
    """
    target, rows = minimisers(data)[:, None], []
    for distance in distances:
        scores = gradient_norms(data.x, data.y, target - distance)
        measured = overlaps(data.lipschitz, scores, KEEP_FRACTIONS)
        for fraction, values in zip(KEEP_FRACTIONS, measured, strict=True):
            row = {"distance": distance, "keep_fraction": fraction, "num_runs": len(values)}
            row |= {"overlap": values.mean(), "overlap_se": standard_error(values)}
            row |= {"population": population_overlap(distance, fraction)}
            far = far_overlap(distance, fraction) if distance else np.nan
            rows.append(row | {"far": far})
    table = pd.DataFrame(rows)
    return table.assign(z=(table.overlap - table.population) / table.overlap_se)


def initialisation_table(data: LinearData, deviations: Sequence[float]) -> pd.DataFrame:
    """Measure the overlap with LiPrune of GraNd as it is defined: averaged over initial weights.

    Args:
        data: Data sets of the linear model.
        deviations: Standard deviations of the initial weight around 0; at 0 it is fixed, as in the
            paper.

    Returns:
        One row a deviation: the overlap (a tenth kept) with its 99% interval.
    """
    rows = []
    for init_sd in deviations:
        average = expected_gradient_norms(data.x, data.y, init_sd) if init_sd else None
        scores = gradient_norms(data.x, data.y, 0.0) if average is None else average
        found = mean_interval(overlaps(data.lipschitz, scores, [0.1])[0])
        rows.append((init_sd, found.value, found.low, found.high, found.num_runs))
    return pd.DataFrame(rows, columns=["init_sd", "overlap", "low", "high", "num_runs"])


def direction_table(
    generator: np.random.Generator, dims: Sequence[int], num_runs: int
) -> pd.DataFrame:
    r"""Measure how well a secant in one direction ranks points of several dimensions.

    Without noise, GraNd's score is :math:`\|x\| |x \cdot u|` times the distance, with u the
    direction of :math:`w - w_*`; LiPrune's is :math:`\|x\|^2`. For standard normal x,
    :math:`x \cdot u` is normal and the rest of :math:`\|x\|^2` chi-squared.

    Args:
        generator: Source of randomness.
        dims: Dimensions, each >= 1.
        num_runs: Data sets of 1000 points.

    Returns:
        One row a dimension: the overlap (a tenth kept) with its 99% interval.
    """
    rows = []
    for dim in dims:
        along = generator.standard_normal((num_runs, 1000)) ** 2
        square = along + 2 * generator.standard_gamma((dim - 1) / 2, along.shape)
        found = mean_interval(overlaps(square, np.sqrt(square * along), [0.1])[0])
        rows.append((dim, found.value, found.low, found.high, found.num_runs))
    return pd.DataFrame(rows, columns=["dim", "overlap", "low", "high", "num_runs"])
