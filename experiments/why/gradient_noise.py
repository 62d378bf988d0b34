r"""How noisy a stochastic gradient is: its mean, its spread over batches, and their ratio.

A step of SGD follows the gradient :math:`g` of one batch. Over the batches its second moment is
noise plus signal,

.. math:: E \|g\|^2 = \operatorname{tr} \operatorname{Cov}(g) + \|E g\|^2 .
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

from liprune_utils.batch_scores import to_indices
from liprune_utils.checks import require
from liprune_utils.curvature import loss_gradient


@dataclass(frozen=True)
class GradientMoments:
    """Unbiased estimates from a sample of gradients.

    Attributes:
        noise: Trace of the covariance of one gradient, >= 0.
        signal: Squared norm of the mean gradient; below 0 where noise hides it.
    """

    noise: float
    signal: float

    @property
    def second_moment(self) -> float:
        """Mean squared norm of one gradient, noise plus signal."""
        return self.noise + self.signal

    def noise_scale(self, batch_size: int) -> float:
        r"""Compute the batch size at which noise and signal of random batches are equal.

        :math:`B \operatorname{tr} \operatorname{Cov}(g) / \|E g\|^2`, the simple noise scale of
        McCandlish et al. (arXiv 1812.06162).

        Args:
            batch_size: Examples B in the batch of each gradient.

        Returns:
            The size; infinite where the signal is not above 0.
        """
        return batch_size * self.noise / self.signal if self.signal > 0 else np.inf


def gradient_moments(gradients: np.ndarray) -> GradientMoments:
    r"""Estimate the moments of a stochastic gradient without bias.

    With the sample's mean :math:`\bar g` the noise is :math:`\sum_k \|g_k - \bar g\|^2 / (n - 1)`
    and the signal :math:`\|\bar g\|^2` less the noise over n.

    Args:
        gradients: Independent gradients, array of shape ``[n, num_parameters]``, n >= 2.

    Returns:
        The moments; noise plus signal is the mean of :math:`\|g_k\|^2` exactly.
    """
    gradients = np.asarray(gradients, dtype=np.float64)
    require(len(gradients) >= 2, "The number of gradients", len(gradients), "at least 2")
    mean = gradients.mean(axis=0)
    noise = float(((gradients - mean) ** 2).sum() / (len(gradients) - 1))
    return GradientMoments(noise, float(mean @ mean) - noise / len(gradients))


def batch_gradients(
    model: nn.Module, images: Tensor, labels: Tensor, batches: Sequence[np.ndarray]
) -> np.ndarray:
    """Compute the gradient of each batch's mean cross-entropy, leaving the model as it was.

    Batch norm is in train mode, as in a step of training; nothing is augmented.

    Args:
        model: A classifier, as in `liprune_utils.curvature.loss_gradient`.
        images: Its inputs, shape ``[n, ...]``, on its device.
        labels: Their classes, int64, shape ``[n]``.
        batches: Arrays of indices below n.

    Returns:
        Array of shape ``[num_batches, num_parameters]``, in the model's precision.
    """
    rows = []
    for batch in batches:
        chosen = to_indices(batch, len(images)).to(images.device)
        pair = images[chosen], labels[chosen]
        rows.append(loss_gradient(model, functional.cross_entropy, *pair).cpu().numpy())
    return np.stack(rows)


def importance_gain(squares: np.ndarray, constants: np.ndarray) -> float:
    r"""Compute what importance sampling makes of the second moment of a stochastic gradient.

    With probabilities :math:`p_i \propto L_i` the step follows :math:`g_i / (n p_i)`; its second
    moment over that of uniform sampling is

    .. math:: \frac{\bar L \; \frac1n \sum_i \|g_i\|^2 / L_i}{\frac1n \sum_i \|g_i\|^2} .

    Both steps have the same mean, so below 1 the noise is smaller, too.

    Args:
        squares: Squared gradient norms of the functions, array of shape ``[n]``, not all 0.
        constants: Their constants L > 0, array of shape ``[n]``.

    Returns:
        The ratio, > 0.
    """
    smallest = float(np.min(constants))
    require(smallest > 0, "The smallest constant", smallest, "a positive number")
    return float(np.mean(constants) * np.mean(squares / constants) / np.mean(squares))
