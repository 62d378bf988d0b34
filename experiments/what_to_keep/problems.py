r"""Generated problems of page 12, on which the excess test loss of any weights is exact.

Inputs are :math:`x = r z R`, with standard normal z, a matrix R and, where sizes differ, a random
size r with :math:`E r^2 = 1`; so :math:`\Sigma = E x x^\top = R^\top R`. The weights
:math:`w^*` of the truth are a random unit vector u, as on page 01; with an even signal they are
:math:`R^{-1} u`, so that small features matter as much as large ones.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import expit

from liprune_utils.problems import LOGISTIC, SQUARED, Loss, Objective
from liprune_utils.streams import StreamFamily

NUM_POINTS = 1000
INPUTS = ("even", "uneven", "heavy-tailed", "correlated")
LARGEST_SCALE = 3  # of the uneven features; the smallest is its inverse
SIZE_SPREAD = 0.5  # standard deviation of the log sizes where they differ, as on page 06
CORRELATION = 0.9  # of neighbouring features where they are correlated
LARGEST_ASINH = 16.0  # up to here a function of asinh s is tabulated; beyond, it is 0
TUNING, RACING = 0, 1  # what data sets are for: those that tune report nothing
stream = StreamFamily({"inputs": 50, "labels": 51, "choice": 52, "batches": 53, "cost": 54})


class Labels(NamedTuple):
    """How labels come about, and the loss that is trained on them."""

    loss: Loss
    noise_sd: float = 0.0
    bend: float = 0.0  # standard deviation of a quadratic part of the truth, for Gaussian inputs
    even_signal: bool = False  # whether all features, uneven or not, matter equally


LABELS = {
    "noise 0.5": Labels(SQUARED, 0.5),
    "noise 3": Labels(SQUARED, 3.0),
    "bent truth": Labels(SQUARED, 0.5, bend=1.0),
    "logistic": Labels(LOGISTIC),
    "even signal": Labels(SQUARED, 0.5, even_signal=True),
}


class Population(NamedTuple):
    """A law of inputs."""

    dim: int
    inputs: str

    @property
    def root(self) -> np.ndarray:
        r"""R, with :math:`\Sigma = R^\top R`."""
        places = np.arange(self.dim)
        if self.inputs == "correlated":
            return np.linalg.cholesky(CORRELATION ** np.abs(places[:, None] - places)).T
        log_scales = np.linspace(1, -1, self.dim) * (self.dim > 1)
        return np.diag(float(LARGEST_SCALE) ** (log_scales * (self.inputs == "uneven")))

    @property
    def covariance(self) -> np.ndarray:
        r"""The matrix :math:`\Sigma`."""
        return self.root.T @ self.root

    @property
    def sizes(self) -> tuple[np.ndarray, np.ndarray]:
        """Nodes and weights of a quadrature over the sizes r."""
        if self.inputs != "heavy-tailed":
            return np.ones(1), np.ones(1)
        nodes, weights = np.polynomial.hermite_e.hermegauss(60)
        return np.exp(SIZE_SPREAD * nodes - SIZE_SPREAD**2), weights / weights.sum()

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """Draw inputs, ``[NUM_POINTS, dim]``."""
        x = generator.standard_normal((NUM_POINTS, self.dim)) @ self.root
        if self.inputs == "heavy-tailed":
            log_sizes = SIZE_SPREAD * generator.standard_normal((NUM_POINTS, 1))
            x *= np.exp(log_sizes - SIZE_SPREAD**2)
        return x


class DataSet(NamedTuple):
    """Points to train on, and the excess test loss of weights ``[..., dim]``."""

    train: Objective
    excess: Callable[[np.ndarray], np.ndarray]


def label(
    x: np.ndarray, population: Population, kind: str, generator: np.random.Generator
) -> DataSet:
    """Draw the true weights and the labels of inputs."""
    labels = LABELS[kind]
    target = generator.standard_normal(population.dim)
    target /= np.linalg.norm(target)
    if labels.even_signal:
        target = np.linalg.solve(population.root, target)
    signal = x @ target
    if labels.loss is LOGISTIC:
        y, excess = generator.random(NUM_POINTS) < expit(signal), logistic_excess
    else:
        bent = (signal**2 / (target @ population.covariance @ target) - 1) / np.sqrt(2)
        noise = labels.noise_sd * generator.standard_normal(NUM_POINTS)
        y, excess = signal + labels.bend * bent + noise, squared_excess
    train = Objective(labels.loss, x, y[:, None].astype(float), 0.0)
    return DataSet(train, lambda weights: excess(weights, target, population))


def squared_excess(weights: np.ndarray, target: np.ndarray, population: Population) -> np.ndarray:
    r"""Compute :math:`\tfrac12 (w - w^*)^\top \Sigma (w - w^*)`.

    It is exact for a bent truth too: an even part does not change the best linear prediction.
    """
    return (((weights - target) @ population.root.T) ** 2).sum(axis=-1) / 2


def logistic_excess(weights: np.ndarray, target: np.ndarray, population: Population) -> np.ndarray:
    r"""Compute the expected log-loss of w less that of :math:`w^*`, for new points.

    It is :math:`E \log(1 + e^{w \cdot x}) - E \sigma(w^* \cdot x)\, w \cdot x`. The first term
    depends on :math:`s = \|R w\|` alone. By Stein's identity, given the size r, the second is
    :math:`\kappa\, w^\top \Sigma w^*` with :math:`\kappa = E r^2 \sigma'(w^* \cdot x)`.
    """
    ours, truth = weights @ population.root.T, target @ population.root.T
    length = np.linalg.norm(truth)
    risks = mean_softplus(np.stack([length, 0.0]), population)
    slope = stein_factor(float(length), population)
    found = mean_softplus(np.linalg.norm(ours, axis=-1), population) - slope * (ours @ truth)
    return found - (risks[0] - slope * length**2)


def mean_softplus(scale: np.ndarray, population: Population) -> np.ndarray:
    r"""Compute :math:`E \log(1 + e^{s r Z})` with a standard normal Z, for scales s >= 0."""
    sizes, weights = population.sizes
    mean_size, tail = sizes @ weights, _tail(population.inputs == "heavy-tailed")
    # log(1 + e^t) = t / 2 + |t| / 2 + log(1 + e^-|t|)
    return scale * mean_size / np.sqrt(2 * np.pi) + tail(
        np.minimum(np.arcsinh(scale), LARGEST_ASINH)
    )


@cache
def _tail(sizes_differ: bool) -> CubicSpline:
    r"""Interpolate :math:`E \log(1 + e^{-s r |Z|})` as a function of asinh s."""
    sizes, weights = Population(1, "heavy-tailed" if sizes_differ else "even").sizes
    nodes, shares = _half_normal()
    knots = np.linspace(0, LARGEST_ASINH, 600)
    means = [np.log1p(np.exp(-np.outer(sizes, s * nodes))) @ shares for s in np.sinh(knots)]
    return CubicSpline(knots, np.array(means) @ weights)


@cache
def _half_normal() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of a quadrature over |Z|: the trapezoidal rule in its logarithm."""
    logs = np.linspace(-30, np.log(9.5), 650)
    nodes = np.exp(logs)
    return nodes, (logs[1] - logs[0]) * nodes * np.exp(-(nodes**2) / 2) * np.sqrt(2 / np.pi)


def stein_factor(scale: float, population: Population) -> float:
    r"""Compute :math:`E r^2 \sigma'(s r Z)` with a standard normal Z."""
    sizes, weights = population.sizes
    nodes, shares = _half_normal()
    chance = expit(scale * sizes[:, None] * nodes)
    return float((sizes**2 * weights) @ (chance * (1 - chance) @ shares))
