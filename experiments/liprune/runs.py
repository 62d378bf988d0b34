"""LiPrune as printed, and GraNd as its approximation (paper, Section 3).

GraNd is measured on the linear model, whose Lipschitz constants are known exactly.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import ndtr

from liprune_utils.book.parameters import Parameters
from liprune_utils.checks import InputError, require
from liprune_utils.problems import NOISE_SD, LinearData
from liprune_utils.pruning import keep_highest, num_kept, rank

HALF_WIDTH = 5.0  # of the linear model's inputs (paper, Eq. 3)
KEEP_FRACTIONS = (0.1, 0.3, 0.5)
RULE_CASES = (
    ("whole r n, distinct scores", np.arange(10.0), 0.3),
    ("inputs ±1 to ±5, scores x²", np.delete(np.arange(-5.0, 6.0), 5) ** 2, 0.3),
    ("equal scores", np.ones(10), 0.1),
    ("r n not whole", np.arange(10.0), 0.25),
    ("r n below 1", np.arange(10.0), 0.04),
    ("r = 1", np.arange(10.0), 1.0),
    ("391 batches of CIFAR-10", np.arange(391.0), 0.2),
    ("391 batches of CIFAR-10", np.arange(391.0), 0.5),
)
NARROWEST = 0.5  # interval of the sine model's weight


@dataclass(frozen=True)
class LipruneParameters(Parameters):
    """Parameters of page 03."""

    slope: float  # true slope w* of the linear model, which the paper does not state
    low: float  # lower end of "your interval" for the weight of the sine model
    high: float  # its upper end
    num_runs: int  # data sets of the linear model
    seed: int  # root of all random streams

    def check(self) -> None:
        """Check the ranges, and that the interval is one."""
        super().check()
        require(0 < abs(self.slope) <= 1e3, "slope", self.slope, "not 0, and at most 1000 in size")
        require(-1e3 <= self.low <= 1e3, "low", self.low, "a weight from -1000 to 1000")
        # On a narrower interval rounding decides what the search for secants finds.
        above = f"a weight above low = {self.low} by at least {NARROWEST}, up to 1000"
        require(self.low + NARROWEST <= self.high <= 1e3, "high", self.high, above)
        runs = self.num_runs
        require(1000 <= runs <= 10_000, "num_runs", runs, "from 1000, for the intervals, to 10000")
        require(self.seed >= 0, "seed", self.seed, "a whole number from 0")


def printed_rule(scores: np.ndarray, keep_fraction: float) -> np.ndarray:
    r"""Keep every score from the threshold up, as Algorithm 1 says.

    The threshold :math:`T_r = \hat s_{r \times n}` is the r n-th largest score.

    Args:
        scores: Array of shape ``[n]``, one score a function.
        keep_fraction: The paper's compression ratio r, in (0, 1).

    Returns:
        Sorted indices; more than :math:`r n` of them if scores are tied with the threshold.

    Raises:
        InputError: If r is out of range, or :math:`r n` is not the index of a score.
    """
    require(0 < keep_fraction < 1, "r", keep_fraction, "a ratio in (0, 1)")
    position = keep_fraction * len(scores)
    index = round(position)
    whole = index >= 1 and math.isclose(position, index, rel_tol=1e-9)
    require(whole, "r n", round(position, 9), "a whole number from 1, the index of a score")
    threshold = np.sort(scores)[::-1][index - 1]
    return np.flatnonzero(scores >= threshold)


def rule_table() -> pd.DataFrame:
    """Run Algorithm 1 as printed beside `keep_highest`.

    Returns:
        One row a case: how many each keeps; NaN and the reason where the printed rule has no
        answer.
    """
    rows = []
    for case, scores, fraction in RULE_CASES:
        try:
            printed, problem = len(printed_rule(scores, fraction)), ""
        except InputError as error:
            printed, problem = np.nan, str(error)
        kept = len(keep_highest(scores, fraction))
        rows.append((case, len(scores), fraction, len(scores) * fraction, printed, kept, problem))
    columns = ["case", "n", "r", "r_n", "printed", "kept", "problem"]
    return pd.DataFrame(rows, columns=columns)


def gradient_norms(x: np.ndarray, y: np.ndarray, w: float | np.ndarray) -> np.ndarray:
    r"""Score points of the linear model as GraNd does: :math:`|f_i'(w)| = |x_i (w x_i - y_i)|`.

    Args:
        x: Inputs, array.
        y: Labels, broadcast with ``x``.
        w: Weights, broadcast with ``x``.

    Returns:
        Array of their common shape, >= 0.
    """
    return np.abs(x * (w * x - y))


def expected_gradient_norms(x: np.ndarray, y: np.ndarray, init_sd: float) -> np.ndarray:
    r"""Average GraNd's score over initial weights :math:`w_0 \sim N(0, \tau^2)`.

    :math:`w_0 x - y` is normal with mean :math:`-y` and deviation :math:`s = \tau |x|`, so that
    :math:`E |f'(w_0)| = |x| \big( s \sqrt{2 / \pi}\, e^{-y^2 / 2 s^2} + |y| (1 - 2 \Phi(-|y| / s))
    \big)` (Paul et al., arXiv 2107.07075, define GraNd as an expectation).

    Args:
        x: Inputs, array without 0.
        y: Labels, broadcast with ``x``.
        init_sd: Standard deviation :math:`\tau` > 0.

    Returns:
        Array of their common shape, >= 0.
    """
    require(init_sd > 0, "init_sd", init_sd, "a standard deviation above 0")
    sd, mean = init_sd * np.abs(x), np.abs(y)
    ratio = mean / sd
    bell = math.sqrt(2 / math.pi) * np.exp(-(ratio**2) / 2)
    return np.abs(x) * (sd * bell + mean * (1 - 2 * ndtr(-ratio)))


def minimisers(data: LinearData) -> np.ndarray:
    r"""Compute the minimiser of F for each data set, :math:`\sum x_i y_i / \sum x_i^2`.

    Args:
        data: Data sets.

    Returns:
        Array of shape ``[num_runs]``; the paper's :math:`w_*`, which is not quite the true slope.
    """
    return (data.x * data.y).sum(axis=1) / (data.x**2).sum(axis=1)


def overlaps(first: np.ndarray, second: np.ndarray, keep_fractions: Sequence[float]) -> np.ndarray:
    """Compare what two scores keep: the share of one kept set that lies in the other.

    Args:
        first: Scores, array of shape ``[..., n]``.
        second: Scores of the same functions, same shape.
        keep_fractions: Fractions kept, each in (0, 1].

    Returns:
        Array of shape ``[num_fractions, ...]``, in [0, 1]; unrelated scores give the fraction kept.
    """
    order, place = rank(first), np.argsort(rank(second), axis=-1)
    counts = [num_kept(order.shape[-1], fraction) for fraction in keep_fractions]
    places = np.take_along_axis(place, order[..., : max(counts)], axis=-1)
    return np.array([(places[..., :count] < count).mean(axis=-1) for count in counts])


def kept_table(
    x: np.ndarray, y: np.ndarray, weights: dict[float, float], keep_fraction: float
) -> pd.DataFrame:
    """Tabulate what GraNd at some weights and LiPrune keep of one data set.

    Args:
        x: Inputs, array of shape ``[num_points]``.
        y: Labels, same shape.
        weights: Weights at which GraNd scores, under the name that the column ``way`` gets.
        keep_fraction: Fraction kept by each, in (0, 1].

    Returns:
        One row a weight and point: input, gradient norm, and who keeps it.
    """
    points, tables = np.arange(len(x)), []
    liprune = np.isin(points, keep_highest(x**2, keep_fraction))
    for way, w in weights.items():
        norms = gradient_norms(x, y, w)
        grand = np.isin(points, keep_highest(norms, keep_fraction))
        columns = {"way": way, "x": x, "gradient_norm": norms, "liprune": liprune, "grand": grand}
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def population_overlap(
    distance: float, keep_fraction: float, *, noise_sd: float = NOISE_SD
) -> float:
    r"""Compute the overlap of GraNd's and LiPrune's kept sets for infinitely many points.

    At a weight :math:`\delta` away from :math:`w^*`, GraNd's score is :math:`|x| |\delta x - \nu|`
    and exceeds t with probability :math:`q_t(x) = \Phi((\delta x - t / x) / \sigma) +
    \Phi((-\delta x - t / x) / \sigma)`. The t with :math:`E\, q_t = r` is GraNd's threshold;
    LiPrune keeps the outermost r of the inputs, over which the mean of :math:`q_t` is the overlap.

    Args:
        distance: :math:`\delta = |w - w^*|`, >= 0.
        keep_fraction: r, in (0, 1).
        noise_sd: :math:`\sigma` > 0.

    Returns:
        The overlap, by Gauss-Legendre quadrature over U(0, 5), to about 1e-9.
    """
    require(distance >= 0, "distance", distance, "at least 0")
    require(0 < keep_fraction < 1, "keep_fraction", keep_fraction, "a fraction in (0, 1)")
    require(noise_sd > 0, "noise_sd", noise_sd, "above 0; without noise the overlap is 1")
    inner, outer = _nodes(0, 1 - keep_fraction), _nodes(1 - keep_fraction, 1)

    def share_above(threshold: float, nodes: tuple[np.ndarray, np.ndarray]) -> float:
        x, weights = HALF_WIDTH * nodes[0], nodes[1]
        tails = ndtr((np.array([[1], [-1]]) * distance * x - threshold / x) / noise_sd)
        return float(weights @ tails.sum(axis=0))

    def surplus(threshold: float) -> float:
        return share_above(threshold, inner) + share_above(threshold, outer) - keep_fraction

    largest = HALF_WIDTH * (HALF_WIDTH * distance + 9 * noise_sd)
    return share_above(brentq(surplus, 0, largest, xtol=1e-12), outer) / keep_fraction


# Nodes and weights of a composite Gauss-Legendre rule.
def _nodes(low: float, high: float, num_panels: int = 200) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(16)
    half = (high - low) / num_panels / 2
    middles = low + half * (2 * np.arange(num_panels)[:, None] + 1)
    return (middles + half * nodes).ravel(), np.tile(half * weights, num_panels)


def far_overlap(
    distance: float | np.ndarray, keep_fraction: float, *, noise_sd: float = NOISE_SD
) -> float | np.ndarray:
    r"""Approximate `population_overlap` far from the minimiser.

    To first order in the noise, GraNd moves a point by :math:`\nu / (2 \delta)` across LiPrune's
    threshold on :math:`|x|`, which has density 1/5: overlap :math:`\approx 1 -
    \frac{1}{\sqrt{2 \pi}} \frac{\sigma}{2 \cdot 5\, \delta r}`.

    Args:
        distance: :math:`\delta` > 0.
        keep_fraction: r, in (0, 1).
        noise_sd: :math:`\sigma` >= 0.

    Returns:
        The approximation; below 0 very near the minimiser.
    """
    return 1 - noise_sd / (math.sqrt(2 * math.pi) * 2 * HALF_WIDTH * distance * keep_fraction)


def population_table(distances: Sequence[float]) -> pd.DataFrame:
    """Compute the overlap for infinitely many points of the linear model.

    Args:
        distances: Values of :math:`|w - w_*|`, > 0.

    Returns:
        One row a fraction kept and distance: the overlap, and its approximation far away.
    """
    rows = [
        (
            fraction,
            distance,
            population_overlap(distance, fraction),
            far_overlap(distance, fraction),
        )
        for fraction in KEEP_FRACTIONS
        for distance in distances
    ]
    return pd.DataFrame(rows, columns=["keep_fraction", "distance", "population", "far"])


def distance_needed(overlap: float, keep_fraction: float) -> float:
    """Find how far from the minimiser GraNd must score to share so much with LiPrune.

    Args:
        overlap: The overlap wanted, above `population_overlap` at 0 and below 1.
        keep_fraction: r, in (0, 1).

    Returns:
        The distance :math:`|w - w^*|`, at the paper's noise.
    """
    lowest = population_overlap(0.0, keep_fraction)
    require(lowest < overlap < 1, "overlap", overlap, f"between {lowest:.3f} and 1")
    farthest = 2 * NOISE_SD / (1 - overlap) / keep_fraction
    return brentq(lambda d: population_overlap(d, keep_fraction) - overlap, 0, farthest)
