"""Convex problems with exact constants: the paper's linear model, least squares, logistic loss."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from liprune_utils.checks import require

NOISE_SD = 0.2  # of the labels (paper, Section 4.1)


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
    r"""Draw data sets of the paper's Eq. (3).

    :math:`y_i = w^* x_i + 0.2\,\varepsilon_i` with :math:`x_i \sim U(-5, 5)` and standard normal
    :math:`\varepsilon_i`.

    Args:
        generator: Source of randomness; data sets are drawn one after the other, so that the first
            ones do not depend on how many follow.
        num_runs: Number of data sets, >= 1.
        num_points: Points in each, >= 1.
        slope: The true slope :math:`w^*`; the paper does not state its value.
        half_width: The inputs lie in ``[-half_width, half_width]``.
        noise_sd: Standard deviation of the label noise, >= 0.

    Returns:
        The data sets.

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


@dataclass(frozen=True)
class LeastSquares:
    r"""Least squares: :math:`f_i(w) = \tfrac12 (x_i \cdot w - y_i)^2`, :math:`F` their mean.

    ``x`` is a float64 array of shape ``[num_points, dim]`` of full column rank, ``y`` one of shape
    ``[num_points]``.
    """

    x: np.ndarray
    y: np.ndarray

    @cached_property
    def hessian(self) -> np.ndarray:
        r"""Hessian of F, :math:`X^\top X / n`, of shape ``[dim, dim]``."""
        return self.x.T @ self.x / len(self.x)

    @property
    def lipschitz(self) -> np.ndarray:
        r"""Lipschitz constants :math:`L_i = \|x_i\|^2`, of shape ``[num_points]``; exact."""
        return (self.x**2).sum(axis=1)

    @property
    def strong_convexity(self) -> float:
        r"""The largest :math:`\mu` for which F is strongly convex: the least eigenvalue of H."""
        return float(np.linalg.eigvalsh(self.hessian)[0])

    @cached_property
    def minimiser(self) -> np.ndarray:
        """The minimiser of F, of shape ``[dim]``."""
        return np.linalg.lstsq(self.x, self.y)[0]

    def gradients(self, weights: np.ndarray, points: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\nabla f_i(w)` for pairs of a weight vector and a point.

        Args:
            weights: Array of shape ``[num_pairs, dim]``.
            points: Indices, integer array of shape ``[num_pairs]``.

        Returns:
            Array of shape ``[num_pairs, dim]``.
        """
        x = self.x[points]
        return ((x * weights).sum(axis=1) - self.y[points])[:, None] * x


@dataclass(frozen=True)
class Logistic:
    r"""Logistic regression: :math:`f_i(w) = \log(1 + e^{-y_i x_i \cdot w}) + \tfrac\rho2 \|w\|^2`.

    ``x`` is a float64 array of shape ``[num_points, dim]``, ``y`` holds -1 and 1, ``ridge`` is
    :math:`\rho > 0`.
    """

    x: np.ndarray
    y: np.ndarray
    ridge: float

    @property
    def lipschitz(self) -> np.ndarray:
        r"""Lipschitz constants :math:`L_i = \|x_i\|^2 / 4 + \rho`, attained where x.w = 0."""
        return (self.x**2).sum(axis=1) / 4 + self.ridge

    @property
    def strong_convexity(self) -> float:
        r"""A valid :math:`\mu`: the ridge, approached as the weights grow."""
        return self.ridge

    @cached_property
    def minimiser(self) -> np.ndarray:
        """The minimiser of F, of shape ``[dim]``, to a gradient of 1e-10."""
        signed, eye = self.x * self.y[:, None], np.eye(self.x.shape[1])

        def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
            margin = signed @ w
            gradient = self.ridge * w - (expit(-margin)[:, None] * signed).mean(axis=0)
            return self.ridge * w @ w / 2 - log_expit(margin).mean(), gradient

        w = minimize(loss, np.zeros(len(eye)), jac=True, method="BFGS").x
        for _ in range(3):  # Newton, where the loss is too flat for a line search
            curvature = expit(signed @ w) * expit(-signed @ w)
            hessian = (signed.T * curvature) @ signed / len(signed) + self.ridge * eye
            w = w - np.linalg.solve(hessian, loss(w)[1])
        return w

    def gradients(self, weights: np.ndarray, points: np.ndarray) -> np.ndarray:
        r"""Compute :math:`\nabla f_i(w)` for pairs of a weight vector and a point.

        Args:
            weights: Array of shape ``[num_pairs, dim]``.
            points: Indices, integer array of shape ``[num_pairs]``.

        Returns:
            Array of shape ``[num_pairs, dim]``.
        """
        signed = self.x[points] * self.y[points, None]
        pull = expit(-(signed * weights).sum(axis=1))
        return self.ridge * weights - pull[:, None] * signed


Problem = LeastSquares | Logistic


def draw_least_squares(
    generator: np.random.Generator, num_points: int, dim: int, *, noise_sd: float, spread: float = 1
) -> LeastSquares:
    r"""Draw a least-squares problem whose points differ in size.

    :math:`x_i = e^{s z_i} g_i` with standard normal :math:`z_i` and :math:`g_i`, and
    :math:`y_i = x_i \cdot u + \sigma \varepsilon_i` with a unit vector :math:`u`.

    Args:
        generator: Source of randomness.
        num_points: Points, more than ``dim``.
        dim: Dimension of the weights, >= 1.
        noise_sd: Standard deviation :math:`\sigma` of the label noise, >= 0.
        spread: Standard deviation :math:`s` of the log sizes, >= 0.

    Returns:
        The problem; without noise all functions share their minimiser.
    """
    require(num_points > dim >= 1, "num_points", num_points, f"more than dim = {dim} >= 1")
    x = _sized_normals(generator, num_points, dim, spread)
    direction = generator.standard_normal(dim)
    noise = noise_sd * generator.standard_normal(num_points)
    return LeastSquares(x, x @ (direction / np.linalg.norm(direction)) + noise)


def draw_logistic(
    generator: np.random.Generator, num_points: int, dim: int, *, ridge: float, spread: float = 0.5
) -> Logistic:
    r"""Draw a logistic problem with points as in `draw_least_squares` and labels from the model.

    :math:`P(y_i = 1) = 1 / (1 + e^{-x_i \cdot u})` with a unit vector :math:`u`.

    Args:
        generator: Source of randomness.
        num_points: Points, >= 1.
        dim: Dimension of the weights, >= 1.
        ridge: Weight of the squared norm, > 0.
        spread: Standard deviation of the log sizes, >= 0.

    Returns:
        The problem.
    """
    require(ridge > 0, "ridge", ridge, "above 0, or F is not strongly convex")
    x = _sized_normals(generator, num_points, dim, spread)
    direction = generator.standard_normal(dim)
    chance = expit(x @ (direction / np.linalg.norm(direction)))
    positive = generator.random(num_points) < chance
    return Logistic(x, np.where(positive, 1.0, -1.0), ridge)


# Normal points times log-normal sizes, [num_points, dim].
def _sized_normals(
    generator: np.random.Generator, num_points: int, dim: int, spread: float
) -> np.ndarray:
    sizes = np.exp(spread * generator.standard_normal((num_points, 1)))
    return sizes * generator.standard_normal((num_points, dim))
