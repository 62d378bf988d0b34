r"""Loss landscapes of the sine model, for data sets and the population (paper, Eqs. 4 and 7).

:math:`f_i(w) = \tfrac12 (\sin(w x_i) - y_i)^2` with :math:`y_i = \sin(12 x_i) + 0.1 \varepsilon_i`
and standard normal :math:`x_i`, :math:`\varepsilon_i`. Without the half, every loss doubles and a
learning rate counts twice; no minimum moves.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple, Self

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from liprune_utils.checks import require
from liprune_utils.lipschitz import sine_constant
from liprune_utils.pruning import num_kept, rank

WEIGHT, NOISE_SD, NUM_POINTS = 12.0, 0.1, 1000  # paper, Appendix B.4
WEIGHTS = np.arange(-800, 801) / 40  # where landscapes are computed: from -20 to 20
NODE_STEP = 0.005  # inputs are spread on nodes this far apart: the loss errs by 1e-5 at most


class SineData(NamedTuple):
    """Data sets, one per row: inputs and labels, float64 arrays ``[num_runs, num_points]``."""

    x: np.ndarray
    y: np.ndarray

    def by_constant(self) -> Self:
        """Put the points in LiPrune's order, the largest Lipschitz constant first."""
        order = rank(sine_constant(self.x, self.y))
        return SineData(*(np.take_along_axis(values, order, axis=-1) for values in self))

    def first(self, keep_fraction: float) -> Self:
        """Keep the first points of each data set.

        After `SineData.by_constant` this is LiPrune. On data as drawn it is random pruning: the
        points are independent and in no order, so that the first ones are a uniform sample.
        """
        count = num_kept(self.x.shape[-1], keep_fraction)
        return SineData(self.x[..., :count], self.y[..., :count])


def draw_sine(generator: np.random.Generator, num_runs: int, num_points: int) -> SineData:
    """Draw data sets of the paper's Eq. (7)."""
    x, noise = generator.standard_normal((num_runs, 2, num_points)).swapaxes(0, 1)
    return SineData(x, np.sin(WEIGHT * x) + NOISE_SD * noise)


def population_loss(w: np.ndarray) -> np.ndarray:
    r"""Compute the expected loss without pruning, in closed form.

    From :math:`E \cos(t x) = e^{-t^2 / 2}`, with a = 12 and :math:`\sigma` = 0.1:
    :math:`F(w) = \tfrac14 (1 - e^{-2 w^2}) + \tfrac14 (1 - e^{-2 a^2}) - \tfrac12 e^{-(w - a)^2/2}
    + \tfrac12 e^{-(w + a)^2/2} + \tfrac12 \sigma^2`.
    """
    squares = -(np.expm1(-2 * np.square(w)) + np.expm1(-2 * WEIGHT**2)) / 4
    product = (np.exp(-((w - WEIGHT) ** 2) / 2) - np.exp(-((w + WEIGHT) ** 2) / 2)) / 2
    return squares - product + NOISE_SD**2 / 2


@dataclass(frozen=True)
class Population:
    r"""What is kept of infinitely many points, as a measure on inputs x > 0.

    The points x and -x, y and -y have the same loss, so that one half of the line stands for both.
    ``p``, ``py`` and ``pyy`` are density times node spacing times 1, :math:`E[y]` and
    :math:`E[y^2]` among the kept points at ``x``; the sum of ``p`` is 1.
    """

    x: np.ndarray
    p: np.ndarray
    py: np.ndarray
    pyy: np.ndarray

    def loss(self, w: np.ndarray) -> np.ndarray:
        r"""Compute the expected loss :math:`\tfrac12 E[(\sin(w x) - y)^2 \mid \text{kept}]`."""
        s = np.sin(np.outer(w, self.x))
        return (s**2 @ self.p - 2 * (s @ self.py) + self.pyy.sum()) / 2

    @cached_property
    def landscape(self) -> np.ndarray:
        """Losses at ``WEIGHTS``, array of shape ``[num_weights]``."""
        return self.loss(WEIGHTS)

    def slope(self, w: float) -> float:
        r"""Compute :math:`F'(w) = E[x \cos(w x) (\sin(w x) - y) \mid \text{kept}]`."""
        s, c = np.sin(w * self.x), np.cos(w * self.x)
        return float(self.x * c @ (s * self.p - self.py))

    def curvature(self, w: float) -> float:
        r"""Compute :math:`F''(w) = E[x^2 (1 - 2 \sin^2(w x) + y \sin(w x)) \mid \text{kept}]`."""
        s = np.sin(w * self.x)
        return float(self.x**2 @ ((1 - 2 * s**2) * self.p + s * self.py))

    def gradient_sd(self, w: float) -> float:
        """Compute the standard deviation of a single point's gradient."""
        s, factor = np.sin(w * self.x), (self.x * np.cos(w * self.x)) ** 2
        square = factor @ (s**2 * self.p - 2 * s * self.py + self.pyy)
        return float(np.sqrt(square - self.slope(w) ** 2))


def _kept_moments(x: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Integrate 1, y and y squared over the labels that LiPrune keeps at an input.

    A point is kept if :math:`x^2 (1 + |y|) > c`, that is if :math:`|y| > t = c / x^2 - 1`; y is
    normal around :math:`\sin(12 x)`, which leaves two tails of a normal density.
    """
    mean, cut = np.sin(WEIGHT * x), np.maximum(threshold / x**2 - 1, 0)
    upper, lower = (cut - mean) / NOISE_SD, (cut + mean) / NOISE_SD  # of eps, and of -eps
    tails = ndtr(-upper) + ndtr(-lower)
    bells = [
        np.exp(-(np.minimum(edge, 50) ** 2) / 2) / np.sqrt(2 * np.pi) for edge in (upper, lower)
    ]
    eps = bells[0] - bells[1]
    eps_square = tails + np.minimum(upper, 50) * bells[0] + np.minimum(lower, 50) * bells[1]
    y = mean * tails + NOISE_SD * eps
    return tails, y, mean * (y + NOISE_SD * eps) + NOISE_SD**2 * eps_square


@cache
def pruned_population(keep_fraction: float, *, num_nodes: int = 7000) -> Population:
    """Find what LiPrune keeps of infinitely many points; 1 is no pruning, and random pruning."""
    require(0 < keep_fraction <= 1, "keep_fraction", keep_fraction, "a fraction in (0, 1]")
    x = 7 * (np.arange(num_nodes) + 0.5) / num_nodes
    mass = np.exp(-(x**2) / 2) * np.sqrt(2 / np.pi) * 7 / num_nodes  # of x and -x together

    def surplus(threshold: float) -> float:
        return float(mass @ _kept_moments(x, threshold)[0]) - keep_fraction

    threshold = brentq(surplus, 1e-12, 100, xtol=1e-12) if keep_fraction < 1 else 0.0
    moments = _kept_moments(x, threshold)
    scale = mass / (mass @ moments[0])
    return Population(x, *(scale * moment for moment in moments))


def loss_sd(w: np.ndarray) -> np.ndarray:
    r"""Compute the standard deviation of one random point's loss, without pruning.

    With :math:`d = \sin(w x) - \sin(12 x)`, :math:`E f^2 = \tfrac14 E[d^4 + 6 \sigma^2 d^2 +
    3 \sigma^4]`. A data set of N points has the standard error :math:`1 / \sqrt N` times this.
    """
    everything = pruned_population(1.0)
    square = (np.sin(np.outer(w, everything.x)) - np.sin(WEIGHT * everything.x)) ** 2
    second = (square**2 + 6 * NOISE_SD**2 * square + 3 * NOISE_SD**4) @ everything.p / 4
    return np.sqrt(second - population_loss(w) ** 2)


def sampled_losses(data: SineData) -> np.ndarray:
    r"""Compute the mean loss over each data set at all of ``WEIGHTS``.

    :math:`F_N(w) = \tfrac14 - \tfrac14 \overline{\cos 2 w x} - \overline{y \sin w x} +
    \tfrac12 \overline{y^2}`: two Fourier sums, even and odd in w, computed from points spread on
    nodes.
    """
    size = np.abs(data.x)
    nodes = NODE_STEP * np.arange(-1, int(size.max() / NODE_STEP) + 3)
    half = WEIGHTS[len(WEIGHTS) // 2 :]  # w >= 0
    cosines = _spread(size, np.ones_like(size), len(nodes)) @ np.cos(2 * np.outer(nodes, half))
    odd = _spread(size, data.y * np.sign(data.x), len(nodes)) @ np.sin(np.outer(nodes, half))
    even = 0.25 - cosines / 4 + (data.y**2).mean(axis=1, keepdims=True) / 2
    return np.concatenate([(even + odd)[:, :0:-1], even - odd], axis=1)


def _spread(size: np.ndarray, values: np.ndarray, num_nodes: int) -> np.ndarray:
    """Spread the mean of values at points on equidistant nodes, by cubic interpolation."""
    node = (size / NODE_STEP).astype(np.int64)
    t = size / NODE_STEP - node
    node += num_nodes * np.arange(len(size))[:, None]
    shares = (
        -t * (t - 1) * (t - 2) / 6, (t + 1) * (t - 1) * (t - 2) / 2,
        -(t + 1) * t * (t - 2) / 2, (t + 1) * t * (t - 1) / 6,
    )  # fmt: skip
    total = sum(
        np.bincount((node + k).ravel(), (share * values).ravel(), len(size) * num_nodes)
        for k, share in enumerate(shares)
    )
    return total.reshape(len(size), num_nodes) / size.shape[1]
