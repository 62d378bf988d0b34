r"""What pruning changes: the kept images, and the noise of the gradient.

A step of SGD follows the gradient :math:`g` of one batch. Over the batches its second moment is
noise plus signal,

.. math:: E \|g\|^2 = \operatorname{tr} \operatorname{Cov}(g) + \|E g\|^2 .
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

from experiments.cifar10.kept_batches import class_shift
from liprune_utils.batch_scores import batch_hessian_norms, best_estimates, to_indices
from liprune_utils.checks import require
from liprune_utils.curvature import loss_gradient
from liprune_utils.example_scores import el2n_scores, example_losses
from liprune_utils.images import Images, fixed_batches
from liprune_utils.settings import TrainingRun
from liprune_utils.training import State, with_population_statistics
from liprune_utils.training_run import final_losses

NUM_SHARP, SHARP_TOLERANCE = 3, 0.1  # batches whose Hessian norm is measured, and how well


class GradientMoments(NamedTuple):
    """Unbiased estimates from a sample of gradients."""

    noise: float  # trace of the covariance of one gradient, >= 0
    signal: float  # squared norm of the mean gradient; below 0 where noise hides it

    @property
    def second_moment(self) -> float:
        """Mean squared norm of one gradient, noise plus signal."""
        return self.noise + self.signal

    def noise_scale(self, batch_size: int) -> float:
        """Compute the batch size with as much noise as signal (McCandlish et al., 1812.06162)."""
        return batch_size * self.noise / self.signal if self.signal > 0 else np.inf


def _gradient_moments(gradients: np.ndarray) -> GradientMoments:
    """Estimate the moments of a stochastic gradient without bias, from one gradient per row."""
    gradients = np.asarray(gradients, dtype=np.float64)
    require(len(gradients) >= 2, "The number of gradients", len(gradients), "at least 2")
    mean = gradients.mean(axis=0)
    noise = float(((gradients - mean) ** 2).sum() / (len(gradients) - 1))
    return GradientMoments(noise, float(mean @ mean) - noise / len(gradients))


def batch_gradients(
    model: nn.Module, images: Tensor, labels: Tensor, batches: Sequence[np.ndarray]
) -> np.ndarray:
    """Compute the gradient of each batch's mean cross-entropy in train mode, one per row."""
    rows = []
    for batch in batches:
        chosen = to_indices(batch, len(images)).to(images.device)
        pair = images[chosen], labels[chosen]
        rows.append(loss_gradient(model, functional.cross_entropy, *pair).cpu().numpy())
    return np.stack(rows)


def importance_gain(squares: np.ndarray, constants: np.ndarray) -> float:
    r"""Compute the second moment under importance sampling over that under uniform sampling.

    With :math:`p_i \propto L_i` the step follows :math:`g_i / (n p_i)`, and the ratio is

    .. math:: \frac{\bar L \; \frac1n \sum_i \|g_i\|^2 / L_i}{\frac1n \sum_i \|g_i\|^2} .
    """
    smallest = float(np.min(constants))
    require(smallest > 0, "The smallest constant", smallest, "a positive number")
    return float(np.mean(constants) * np.mean(squares / constants) / np.mean(squares))


def full_batches(batches: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Leave out a smaller last batch, whose gradient has more noise."""
    size = max(map(len, batches))
    return [batch for batch in batches if len(batch) == size]


def kept_shift(model: nn.Module, images: Images, kept: Sequence[np.ndarray]) -> dict[str, float]:
    """Compare the classes, losses and EL2N scores of the kept images with those of all."""
    chosen, network = np.concatenate(kept), with_population_statistics(model, images.inputs)
    labels = images.labels.cpu().numpy()
    shares = np.bincount(labels) / len(labels)
    facts = {"num_kept": len(chosen), "class_shift": class_shift(labels[chosen], shares)}
    for name, score in (("loss", example_losses), ("el2n", el2n_scores)):
        values = score(network, images.inputs, images.labels)
        facts |= {f"kept_{name}": values[chosen].mean(), f"all_{name}": values.mean()}
    return facts


def rate_factor(
    model: nn.Module, images: Images, kept: Sequence[np.ndarray], random: Sequence[np.ndarray]
) -> float:
    r"""Compute Johnson and Guestrin's factor of the rate (2018).

    :math:`E \|g_{\mathrm{random}}\|^2 / E \|g\|^2`, both at the same weights.
    """
    theirs, own = (
        _gradient_moments(
            batch_gradients(model, images.inputs, images.labels, full_batches(batches))
        )
        for batches in (random, kept)
    )
    return theirs.second_moment / own.second_moment


def measure(
    state: State, images: Images, kept: Sequence[np.ndarray], run: TrainingRun
) -> dict[str, float]:
    """Measure a network in training, and leave it as it was."""
    model, pair = state.model, (images.inputs, images.labels)
    batches = full_batches(fixed_batches(len(images.labels), run.batch_size, run.seed))
    facts: dict[str, float] = {}
    for name, group in (("kept", full_batches(kept)), ("all", batches)):
        moments = _gradient_moments(batch_gradients(model, *pair, group))
        values = moments._asdict() | {
            "second_moment": moments.second_moment,
            "noise_scale": moments.noise_scale(len(group[0])),
        }
        facts |= {f"{name}_{key}": value for key, value in values.items()}
    norms = batch_hessian_norms(model, *pair, batches[:NUM_SHARP], tolerance=SHARP_TOLERANCE)
    facts |= {"sharpness": best_estimates(norms).max()} | final_losses(state, images, kept)
    return facts | {"test_error": state.test_errors[-1], "train_loss": state.train_losses[-1]}
