"""Problems with exact constants: so far the linear model of the paper's Section 4.1."""

from dataclasses import dataclass

import numpy as np


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
    noise_sd: float = 0.2,
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
    """
    draws = np.empty((num_runs, 2, num_points))
    for row in draws:
        generator.random(out=row[0])
        generator.standard_normal(out=row[1])
    return LinearData(half_width * (2 * draws[:, 0] - 1), noise_sd * draws[:, 1], slope)
