r"""Three small real data sets as convex problems with exact Lipschitz constants and minimisers.

scikit-learn's bundled tables, each with the loss that suits it: breast cancer (logistic), digits
(multinomial logistic), diabetes (least squares). All are generalised linear models: the function
of one point is :math:`f_i(W) = \phi(W x_i, y_i) + \tfrac\rho2 \|W\|^2` with a convex :math:`\phi`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from sklearn import datasets

from liprune_utils.checks import require
from liprune_utils.lipschitz import linear_constant, logistic_constant, multinomial_constant

TRAIN_FRACTION = 0.75
LARGEST_GRADIENT = 1e-6  # what may be left at a minimiser: the loss is then exact to about 1e-6


class Loss(NamedTuple):
    r"""A loss :math:`\phi(z, y)` of the scores z, whose gradient in z is ``mean(z) - y``.

    Scores and labels are arrays of shape ``[..., num_scores, num_points]``.
    """

    value: Callable[[np.ndarray, np.ndarray], np.ndarray]  # to [..., num_points]
    mean: Callable[[np.ndarray], np.ndarray]
    constant: Callable[[np.ndarray], np.ndarray]  # points to Lipschitz constants without the ridge


def _logistic_value(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return (np.logaddexp(0, scores) - labels * scores)[..., 0, :]


def _multinomial_value(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    top = scores.max(axis=-2, keepdims=True)
    log_sum = np.log(np.exp(scores - top).sum(axis=-2)) + top[..., 0, :]
    return log_sum - np.vecdot(labels, scores, axis=-2)


def _softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=-2, keepdims=True))
    return powers / powers.sum(axis=-2, keepdims=True)


def _squared_value(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return ((scores - labels) ** 2 / 2)[..., 0, :]


LOGISTIC = Loss(_logistic_value, expit, logistic_constant)
MULTINOMIAL = Loss(_multinomial_value, _softmax, multinomial_constant)
SQUARED = Loss(_squared_value, np.asarray, linear_constant)


@dataclass(frozen=True)
class Objective:
    r"""The mean over points :math:`F(W) = \frac1n \sum_i \phi(W x_i, y_i) + \frac\rho2 \|W\|^2`.

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
        r"""Lipschitz constants of the :math:`\nabla f_i`, of shape ``[..., num_points]``; exact.

        :math:`L_i = c \|x_i\|^2 + \rho` with :math:`c = 1` (least squares), 1/4 (logistic), 1/2
        (multinomial): attained, or for more than two classes approached.
        """
        return self.loss.constant(self.x) + self.ridge

    @cached_property
    def minimiser(self) -> np.ndarray:
        """The minimiser, of shape ``[num_scores, dim]``, to ``LARGEST_GRADIENT`` in each entry."""
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
        """The values at W = 0 and at the minimiser."""
        return self.value(np.stack([0 * self.minimiser, self.minimiser]))

    def value(self, weights: np.ndarray) -> np.ndarray:
        """Compute the objective.

        Args:
            weights: Array of shape ``[..., num_scores, dim]``.

        Returns:
            Array of shape ``[...]``.
        """
        losses = self.loss.value(weights @ self.x.swapaxes(-1, -2), self.y.swapaxes(-1, -2))
        return losses.mean(axis=-1) + self.ridge / 2 * (weights**2).sum(axis=(-1, -2))

    def gradient(self, weights: np.ndarray, factors: np.ndarray | float = 1.0) -> np.ndarray:
        r"""Compute :math:`\frac1n \sum_i c_i \nabla f_i(W)`.

        Args:
            weights: Array of shape ``[..., num_scores, dim]``.
            factors: The :math:`c_i`, array of shape ``[..., num_points]``; 1 for the gradient.

        Returns:
            Array of the shape of ``weights``.
        """
        shares = np.broadcast_to(factors, self.x.shape[:-1])[..., None, :] / self.x.shape[-2]
        residual = self.loss.mean(weights @ self.x.swapaxes(-1, -2)) - self.y.swapaxes(-1, -2)
        pull = self.ridge * shares.sum(axis=-1, keepdims=True)
        return (residual * shares) @ self.x + pull * weights

    def take(self, points: np.ndarray) -> Self:
        """Restrict the mean to some points, such as those kept, or those of batches.

        Args:
            points: Indices, integer array of shape ``[..., k]``; points may repeat.

        Returns:
            The objectives of those points, with the same ridge.
        """
        return replace(self, x=self.x[points], y=self.y[points])


class Split(NamedTuple):
    """A data set, split: what is minimised, and what is watched."""

    train: Objective
    test: Objective  # without the ridge


SOURCES = {
    "breast cancer": (datasets.load_breast_cancer, LOGISTIC),
    "digits": (datasets.load_digits, MULTINOMIAL),
    "diabetes": (datasets.load_diabetes, SQUARED),
}


def load(name: str, generator: np.random.Generator) -> Split:
    r"""Load a data set and split it at random, three quarters for training.

    Features, and the label of diabetes, are standardised with the mean and standard deviation of
    the training points; a feature that is constant there is only centred. A column of ones
    follows for the intercept. The two logistic problems have the ridge :math:`\rho = 1 / n`, which
    is scikit-learn's default penalty ``C = 1`` on n training points, here on the intercept too.

    Args:
        name: "breast cancer", "digits" or "diabetes".
        generator: Source of the split.

    Returns:
        The split.
    """
    require(name in SOURCES, "data set", name, f"one of {', '.join(SOURCES)}")
    source, loss = SOURCES[name]
    bunch = source()
    order = generator.permutation(len(bunch.target))
    count = round(TRAIN_FRACTION * len(order))
    x = np.column_stack([_standardised(bunch.data[order], count), np.ones(len(order))])
    y = _labels(loss, bunch.target[order], count)
    ridge = 0.0 if loss is SQUARED else 1 / count
    train = Objective(loss, x[:count], y[:count], ridge)
    return Split(train, Objective(loss, x[count:], y[count:], 0.0))


# Centre and scale columns by the mean and standard deviation of their first entries.
def _standardised(values: np.ndarray, count: int) -> np.ndarray:
    mean, sd = values[:count].mean(axis=0), values[:count].std(axis=0)
    return (values - mean) / np.where(sd > 0, sd, 1)


# Labels beside the scores, [num_points, num_scores]: one-hot, 0 and 1, or standardised.
def _labels(loss: Loss, target: np.ndarray, count: int) -> np.ndarray:
    if loss is MULTINOMIAL:
        return np.eye(target.max() + 1)[target]
    values = target.astype(float)[:, None]
    return values if loss is LOGISTIC else _standardised(values, count)
