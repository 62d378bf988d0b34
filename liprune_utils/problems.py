r"""Convex problems with exact constants: the paper's linear model, and generalised linear models.

The loss of a generalised linear model at one point depends on the scores :math:`z = W x_i` alone:

.. math:: f_i(W) = \phi(W x_i, y_i) + \tfrac\rho2 \|W\|^2, \qquad F = \frac1n \sum_i f_i .

`SQUARED`, `LOGISTIC` and `MULTINOMIAL` are three losses :math:`\phi`. `Objective` has a matrix of
weights; `LeastSquares` and `Logistic` have one weight vector, which may differ from run to run.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, NamedTuple, Self

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, softmax

from liprune_utils.checks import require

NOISE_SD = 0.2  # of the labels (paper, Section 4.1)
LARGEST_GRADIENT = 1e-6  # left at a minimiser, at most: the loss is then exact to about 1e-6


@dataclass(frozen=True)
class LinearData:
    r"""Independent data sets of the linear model :math:`y_i = w^* x_i + \sigma \varepsilon_i`.

    Each row is a data set: ``x`` and ``noise`` (that is, :math:`\sigma \varepsilon_i`) are float64
    arrays of shape ``[num_runs, num_points]``.
    """

    x: np.ndarray
    noise: np.ndarray
    slope: float

    @property
    def y(self) -> np.ndarray:
        """Labels, a float64 array of shape ``[num_runs, num_points]``."""
        return self.slope * self.x + self.noise

    @property
    def lipschitz(self) -> np.ndarray:
        r"""Lipschitz constants :math:`L_i = x_i^2` of the gradients, ``[num_runs, num_points]``.

        Exact, since :math:`f_i(w) = \tfrac12 (w x_i - y_i)^2` has a constant second derivative
        (paper, Section 4.1).
        """
        return self.x**2


def draw_linear(
    generator: np.random.Generator,
    num_runs: int,
    num_points: int,
    *,
    slope: float = 1.0,
    half_width: float = 5.0,
    noise_sd: float = NOISE_SD,
) -> LinearData:
    r"""Draw data sets of the paper's Eq. (3), :math:`y_i = w^* x_i + 0.2\,\varepsilon_i`.

    With :math:`x_i \sim U(-5, 5)` and standard normal :math:`\varepsilon_i`.

    Args:
        generator: Source of randomness; data sets are drawn one after the other, so that the first
            ones do not depend on how many follow.
        num_runs: Number of data sets, >= 1.
        num_points: Points in each, >= 1.
        slope: The true slope :math:`w^*`; the paper does not state its value.
        half_width: The inputs lie in ``[-half_width, half_width]``.
        noise_sd: Standard deviation of the label noise, >= 0.

    Returns:
        The data sets, arrays of shape ``[num_runs, num_points]``.

    Example:
        >>> data = draw_linear(np.random.default_rng(0), num_runs=3, num_points=1000)
        >>> data.x.shape
        (3, 1000)
    """
    draws = np.empty((num_runs, 2, num_points))
    for row in draws:
        generator.random(out=row[0])
        generator.standard_normal(out=row[1])
    return LinearData(half_width * (2 * draws[:, 0] - 1), noise_sd * draws[:, 1], slope)


class Loss(NamedTuple):
    r"""A convex loss :math:`\phi(z, y)` of scores z and labels y.

    ``value`` takes scores and labels of shape ``[..., num_scores, num_points]`` to losses of shape
    ``[..., num_points]``. The gradient in z is ``mean(z) - y``, for scores of any shape if there is
    one per point. ``curvature`` is the supremum of the Hessian's spectral norm in z.
    """

    value: Callable[[np.ndarray, np.ndarray], np.ndarray]
    mean: Callable[[np.ndarray], np.ndarray]
    curvature: float

    def constants(self, x: np.ndarray) -> np.ndarray:
        r"""Compute the Lipschitz constants of :math:`W \mapsto \nabla \phi(W x, y)`.

        The Hessian in the rows of W is :math:`\nabla_z^2 \phi \otimes x x^\top`, so that the
        constant is ``curvature`` :math:`\cdot \|x\|^2`, whatever the label.

        Args:
            x: Points, array of shape ``[..., dim]``; a constant feature for the bias counts.

        Returns:
            Array of shape ``[...]``, >= 0.

        Example:
            >>> SQUARED.constants(np.array([[1.0, 2.0], [0.0, 3.0]]))
            array([5., 9.])
        """
        return self.curvature * (np.asarray(x) ** 2).sum(axis=-1)


def _squared_value(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return ((scores - labels) ** 2 / 2)[..., 0, :]


def _logistic_value(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return (np.logaddexp(0, scores) - labels * scores)[..., 0, :]


def _multinomial_value(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    top = scores.max(axis=-2, keepdims=True)
    log_sum = np.log(np.exp(scores - top).sum(axis=-2)) + top[..., 0, :]
    return log_sum - np.vecdot(labels, scores, axis=-2)


#: :math:`\tfrac12 (z - y)^2`. Every secant along x attains the constant. Without the half, as in a
#: mean squared loss, the constant is twice as large.
SQUARED = Loss(_squared_value, np.asarray, 1.0)
#: :math:`\log(1 + e^z) - y z` with labels 0 and 1. The second derivative :math:`p (1 - p)`, with
#: :math:`p = 1 / (1 + e^{-z})`, attains 1/4 at z = 0 alone.
LOGISTIC = Loss(_logistic_value, expit, 1 / 4)
#: The cross-entropy of softmax(z) with one-hot labels. The Hessian
#: :math:`\mathrm{diag}(p) - p p^\top` gives the variance under p of the entries of v, at most
#: :math:`(\max v - \min v)^2 / 4 \le \|v\|^2 / 2`. Two classes attain 1/2 where they are equally
#: likely; more come near it only as all but two, equally likely, vanish.
MULTINOMIAL = Loss(_multinomial_value, lambda scores: softmax(scores, axis=-2), 1 / 2)


@dataclass(frozen=True)
class Objective:
    r"""The mean F of a generalised linear model's losses, for a matrix of weights.

    ``x`` is a float64 array of shape ``[..., num_points, dim]``, ``y`` one of shape
    ``[..., num_points, num_scores]``, ``ridge`` is :math:`\rho \ge 0`. Weights have shape
    ``[..., num_scores, dim]``. Leading axes, those of many batches, broadcast.
    """

    loss: Loss
    x: np.ndarray
    y: np.ndarray
    ridge: float

    @property
    def lipschitz(self) -> np.ndarray:
        r"""Lipschitz constants of the :math:`\nabla f_i`, of shape ``[..., num_points]``; exact."""
        return self.loss.constants(self.x) + self.ridge

    @cached_property
    def minimiser(self) -> np.ndarray:
        """The minimiser, of shape ``[num_scores, dim]``, to a gradient of 1e-6 in each entry."""
        shape = (self.y.shape[-1], self.x.shape[-1])

        def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
            weights = flat.reshape(shape)
            return float(self.value(weights)), self.gradient(weights).ravel()

        options = {"gtol": LARGEST_GRADIENT / 10, "ftol": 0, "maxcor": 30, "maxiter": 10_000}
        start = np.zeros(shape).ravel()
        found = minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", options=options)
        left = float(np.abs(found.jac).max())
        expected = f"at most {LARGEST_GRADIENT:g}"
        require(left <= LARGEST_GRADIENT, "gradient at the minimiser", left, expected)
        return found.x.reshape(shape)

    @cached_property
    def ends(self) -> np.ndarray:
        """The values of F at W = 0 and at the minimiser."""
        return self.value(np.stack([0 * self.minimiser, self.minimiser]))

    def value(self, weights: np.ndarray) -> np.ndarray:
        """Compute F at weights of shape ``[..., num_scores, dim]``; array of shape ``[...]``."""
        losses = self.loss.value(weights @ self.x.swapaxes(-1, -2), self.y.swapaxes(-1, -2))
        return losses.mean(axis=-1) + self.ridge / 2 * (weights**2).sum(axis=(-1, -2))

    def gradient(self, weights: np.ndarray, factors: np.ndarray | float = 1.0) -> np.ndarray:
        r"""Return :math:`\frac1n \sum_i c_i \nabla f_i(W)`, of the shape of ``weights``.

        The ``factors`` :math:`c_i` broadcast to ``[..., num_points]``.
        """
        shares = np.broadcast_to(factors, self.x.shape[:-1])[..., None, :] / self.x.shape[-2]
        residual = self.loss.mean(weights @ self.x.swapaxes(-1, -2)) - self.y.swapaxes(-1, -2)
        pull = self.ridge * shares.sum(axis=-1, keepdims=True)
        return (residual * shares) @ self.x + pull * weights

    def take(self, points: np.ndarray) -> Self:
        """Restrict the mean to points, an index array; ``x`` has shape ``[*points.shape, dim]``."""
        return replace(self, x=self.x[points], y=self.y[points])


@dataclass(frozen=True)
class Problem:
    """Base of the problems with one weight vector, for which the theorems are stated.

    ``x`` is a float64 array of shape ``[num_points, dim]``, ``y`` one of shape ``[num_points]``.
    """

    x: np.ndarray
    y: np.ndarray
    loss: ClassVar[Loss]

    @property
    def lipschitz(self) -> np.ndarray:
        r"""Lipschitz constants :math:`L_i` of the :math:`\nabla f_i`, ``[num_points]``; exact."""
        return self.loss.constants(self.x) + self.ridge

    def gradients(self, weights: np.ndarray, points: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\nabla f_i(w)` for weights ``[num_pairs, dim]`` and a point i of each."""
        x = self.x[points]
        errors = self.loss.mean((x * weights).sum(axis=1)) - self.y[points]
        return errors[:, None] * x + self.ridge * weights


@dataclass(frozen=True)
class LeastSquares(Problem):
    r"""Least squares: :math:`f_i(w) = \tfrac12 (x_i \cdot w - y_i)^2`.

    ``x`` has full column rank.
    """

    loss = SQUARED
    ridge = 0.0

    @cached_property
    def hessian(self) -> np.ndarray:
        r"""Hessian of F, :math:`X^\top X / n`, of shape ``[dim, dim]``."""
        return self.x.T @ self.x / len(self.x)

    @property
    def strong_convexity(self) -> float:
        r"""The largest :math:`\mu` for which F is strongly convex: the least eigenvalue of H."""
        return float(np.linalg.eigvalsh(self.hessian)[0])

    @cached_property
    def minimiser(self) -> np.ndarray:
        """The minimiser of F, of shape ``[dim]``."""
        return np.linalg.lstsq(self.x, self.y)[0]


@dataclass(frozen=True)
class Logistic(Problem):
    r"""Logistic regression with labels 0 and 1 and the ridge :math:`\rho > 0`.

    :math:`f_i(w) = \log(1 + e^{x_i \cdot w}) - y_i\, x_i \cdot w + \tfrac\rho2 \|w\|^2`.
    """

    ridge: float
    loss = LOGISTIC

    @property
    def strong_convexity(self) -> float:
        r"""A valid :math:`\mu`: the ridge, approached as the weights grow."""
        return self.ridge

    @cached_property
    def minimiser(self) -> np.ndarray:
        """The minimiser of F, of shape ``[dim]``, to a gradient of 1e-10."""
        objective = Objective(self.loss, self.x, self.y[:, None], self.ridge)
        w, ridge = objective.minimiser[0], self.ridge * np.eye(self.x.shape[1])
        for _ in range(3):  # Newton, where the loss is too flat for a line search
            curvature = expit(self.x @ w) * expit(-self.x @ w)
            hessian = (self.x.T * curvature) @ self.x / len(self.x) + ridge
            w = w - np.linalg.solve(hessian, objective.gradient(w[None])[0])
        return w


def draw_least_squares(
    generator: np.random.Generator, num_points: int, dim: int, *, noise_sd: float, spread: float = 1
) -> LeastSquares:
    r"""Draw least squares, :math:`y_i = x_i \cdot u + \sigma \varepsilon_i` with a unit vector u.

    Args:
        generator: Source of randomness; the inputs are from `draw_sized_normals`.
        num_points: Points, more than ``dim``.
        dim: Dimension of the weights, >= 1.
        noise_sd: Standard deviation :math:`\sigma` of the label noise, >= 0.
        spread: Standard deviation :math:`s` of the log sizes, >= 0.

    Returns:
        The problem; without noise all functions share their minimiser.
    """
    require(num_points > dim >= 1, "num_points", num_points, f"more than dim = {dim} >= 1")
    x = draw_sized_normals(generator, num_points, dim, spread)
    direction = generator.standard_normal(dim)
    noise = noise_sd * generator.standard_normal(num_points)
    return LeastSquares(x, x @ (direction / np.linalg.norm(direction)) + noise)


def draw_logistic(
    generator: np.random.Generator, num_points: int, dim: int, *, ridge: float, spread: float = 0.5
) -> Logistic:
    r"""Draw logistic labels, :math:`P(y_i = 1) = 1 / (1 + e^{-x_i \cdot u})` with a unit vector u.

    Args:
        generator: Source of randomness; the inputs are from `draw_sized_normals`.
        num_points: Points, >= 1.
        dim: Dimension of the weights, >= 1.
        ridge: Weight :math:`\rho` of the squared norm, > 0.
        spread: Standard deviation :math:`s` of the log sizes, >= 0.

    Returns:
        The problem.
    """
    require(ridge > 0, "ridge", ridge, "above 0, or F is not strongly convex")
    x = draw_sized_normals(generator, num_points, dim, spread)
    direction = generator.standard_normal(dim)
    chance = expit(x @ (direction / np.linalg.norm(direction)))
    positive = generator.random(num_points) < chance
    return Logistic(x, positive.astype(float), ridge)


def draw_sized_normals(
    generator: np.random.Generator, num_points: int, dim: int, spread: float
) -> np.ndarray:
    """Draw Gaussian points of random size, :math:`x_i = e^{s z_i} g_i`.

    Args:
        generator: Source of the standard normal :math:`z_i` and :math:`g_i`.
        num_points: Points, >= 1.
        dim: Dimension of the points, >= 1.
        spread: Standard deviation :math:`s` of the log sizes, >= 0.

    Returns:
        Array of shape ``[num_points, dim]``.
    """
    sizes = np.exp(spread * generator.standard_normal((num_points, 1)))
    return sizes * generator.standard_normal((num_points, dim))


def standardise(values: np.ndarray, num_train: int) -> np.ndarray:
    """Centre columns, and scale those that vary, by their training entries' mean and deviation.

    Args:
        values: Array of shape ``[n, ...]``, the training entries first.
        num_train: Number of training entries, >= 1.

    Returns:
        Array of the same shape; what is constant on the training entries is only centred.
    """
    train = values[:num_train]
    varies = train.min(axis=0) < train.max(axis=0)  # by rounding the deviation of 0.1 is not 0
    sd = np.where(varies, train.std(axis=0), 0)
    return (values - train.mean(axis=0)) / np.where(sd > 0, sd, 1)
