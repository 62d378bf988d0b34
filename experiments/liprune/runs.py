"""LiPrune as printed, and GraNd as its approximation (paper, Section 3).

GraNd is measured on the linear model, whose Lipschitz constants are known exactly.
"""

import math
from collections.abc import Sequence
from itertools import product
from typing import Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from scipy.optimize import brentq
from scipy.special import ndtr

from liprune_utils.book.parameters import Parameters
from liprune_utils.checks import InputError, require
from liprune_utils.problems import NOISE_SD, LinearData
from liprune_utils.pruning import keep_highest, overlap

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


class LipruneParameters(Parameters):
    """Parameters of page 03."""

    slope: float = Field(ge=-1000, le=1000)  # true slope of the linear model, not in the paper
    low: float = Field(ge=-1000, le=1000)  # lower end of "your interval" of the sine model's weight
    high: float = Field(le=1000)  # its upper end
    num_runs: int = Field(ge=1000, le=10_000)  # data sets of the linear model
    seed: int = Field(ge=0)  # root of all random streams

    @model_validator(mode="after")
    def _check(self) -> Self:
        require(self.slope != 0, "slope", self.slope, "a number that is not 0")
        # On a narrower interval rounding decides what the search for secants finds.
        above = f"a weight above low = {self.low} by at least 0.5"
        require(self.high >= self.low + 0.5, "high", self.high, above)
        return self


def printed_rule(scores: np.ndarray, keep_fraction: float) -> np.ndarray:
    r"""Keep every score from the r n-th largest up, as Algorithm 1 says (:math:`T_r`)."""
    require(0 < keep_fraction < 1, "r", keep_fraction, "a ratio in (0, 1)")
    position = keep_fraction * len(scores)
    index = round(position)
    whole = index >= 1 and math.isclose(position, index, rel_tol=1e-9)
    require(whole, "r n", round(position, 9), "a whole number from 1, the index of a score")
    threshold = np.sort(scores)[::-1][index - 1]
    return np.flatnonzero(scores >= threshold)


def rule_table() -> pd.DataFrame:
    """Run Algorithm 1 as printed beside `keep_highest`."""
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
    """Score points of the linear model as GraNd does: :math:`|f_i'(w)| = |x_i (w x_i - y_i)|`."""
    return np.abs(x * (w * x - y))


def expected_gradient_norms(x: np.ndarray, y: np.ndarray, init_sd: float) -> np.ndarray:
    r"""Average GraNd's score over :math:`w_0 \sim N(0, \tau^2)`, as in arXiv 2107.07075."""
    # w_0 x - y is normal with mean -y and deviation s = tau |x|, so that E |w_0 x - y| =
    # s sqrt(2 / pi) exp(-y^2 / 2 s^2) + |y| (1 - 2 Phi(-|y| / s)).
    sd, mean = init_sd * np.abs(x), np.abs(y)
    ratio = mean / sd
    bell = math.sqrt(2 / math.pi) * np.exp(-(ratio**2) / 2)
    return np.abs(x) * (sd * bell + mean * (1 - 2 * ndtr(-ratio)))


def minimisers(data: LinearData) -> np.ndarray:
    r"""Compute the minimiser of F for each data set, :math:`\sum x_i y_i / \sum x_i^2`."""
    return (data.x * data.y).sum(axis=1) / (data.x**2).sum(axis=1)


def kept_overlaps(first: np.ndarray, second: np.ndarray, keep_fraction: float) -> np.ndarray:
    """Compute for each data set the overlap of what two scores keep."""
    return overlap(keep_highest(first, keep_fraction), keep_highest(second, keep_fraction))


def kept_table(
    x: np.ndarray, y: np.ndarray, weights: dict[float, float], keep_fraction: float
) -> pd.DataFrame:
    """Tabulate what GraNd at some weights and LiPrune keep of one data set."""
    points, tables = np.arange(len(x)), []
    liprune = np.isin(points, keep_highest(x**2, keep_fraction))
    for way, w in weights.items():
        norms = gradient_norms(x, y, w)
        grand = np.isin(points, keep_highest(norms, keep_fraction))
        columns = {"way": way, "x": x, "gradient_norm": norms, "liprune": liprune, "grand": grand}
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def population_overlap(distance: float, keep_fraction: float) -> float:
    r"""Compute the overlap of GraNd's and LiPrune's kept sets for infinitely many points."""
    # At a weight delta away from w*, GraNd's score is |x| |delta x - nu|. It exceeds t with the
    # chance q_t(x) = Phi((delta x - t / x) / sigma) + Phi((-delta x - t / x) / sigma). GraNd's
    # threshold t has E q_t = r. LiPrune keeps the outermost r of the inputs, over which the mean of
    # q_t is the overlap.
    inner, outer = _nodes(0, 1 - keep_fraction), _nodes(1 - keep_fraction, 1)

    def share_above(threshold: float, nodes: tuple[np.ndarray, np.ndarray]) -> float:
        x, weights = HALF_WIDTH * nodes[0], nodes[1]
        tails = ndtr((np.array([[1], [-1]]) * distance * x - threshold / x) / NOISE_SD)
        return float(weights @ tails.sum(axis=0))

    def surplus(threshold: float) -> float:
        return share_above(threshold, inner) + share_above(threshold, outer) - keep_fraction

    largest = HALF_WIDTH * (HALF_WIDTH * distance + 9 * NOISE_SD)
    return share_above(brentq(surplus, 0, largest, xtol=1e-12), outer) / keep_fraction


# Nodes and weights of a composite Gauss-Legendre rule.
def _nodes(low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    num_panels = 200
    nodes, weights = np.polynomial.legendre.leggauss(16)
    half = (high - low) / num_panels / 2
    middles = low + half * (2 * np.arange(num_panels)[:, None] + 1)
    return (middles + half * nodes).ravel(), np.tile(half * weights, num_panels)


def far_overlap(distance: float, keep_fraction: float) -> float:
    """Approximate `population_overlap` far from the minimiser, to first order in the noise."""
    # GraNd moves a point by nu / (2 delta) across LiPrune's threshold on |x|, of density 1/5.
    scale = math.sqrt(2 * math.pi) * 2 * HALF_WIDTH
    return 1 - NOISE_SD / (scale * distance * keep_fraction)


def population_table(distances: Sequence[float]) -> pd.DataFrame:
    """Compute the overlap for infinitely many points of the linear model."""
    rows = [
        (r, distance, population_overlap(distance, r), far_overlap(distance, r))
        for r, distance in product(KEEP_FRACTIONS, distances)
    ]
    return pd.DataFrame(rows, columns=["keep_fraction", "distance", "population", "far"])


def distance_needed(overlap: float, keep_fraction: float) -> float:
    """Find how far from the minimiser GraNd must score to share so much with LiPrune."""
    farthest = 2 * NOISE_SD / (1 - overlap) / keep_fraction
    return brentq(lambda d: population_overlap(d, keep_fraction) - overlap, 0, farthest)
