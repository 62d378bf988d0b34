"""Stochastic gradient descent for many runs at once, and its exact moments on linear models."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
from tqdm import tqdm

from liprune_utils.checks import require
from liprune_utils.problems import Problem

Key = TypeVar("Key")


def run_in_blocks(
    run_block: Callable[[int], Mapping[Key, Iterable[np.ndarray]]],
    num_runs: int,
    *,
    name: str,
    block: int = 500,
) -> dict[Key, list[np.ndarray]]:
    """Simulate independent runs a block at a time, and join what the blocks give.

    Args:
        run_block: Simulates so many runs and returns arrays whose last axis is the run, by key. Its
            random streams go on from one block to the next.
        num_runs: Runs, >= 1.
        name: Title of the progress bar.
        block: Runs simulated together, >= 1; bounds the memory, not what is drawn.

    Returns:
        For each key its arrays, with ``num_runs`` on the last axis.
    """
    sizes = [min(block, num_runs - start) for start in range(0, num_runs, block)]
    blocks = [run_block(size) for size in tqdm(sizes, desc=name, unit="block")]
    return {
        key: [
            np.concatenate(arrays, axis=-1)
            for arrays in zip(*(b[key] for b in blocks), strict=True)
        ]
        for key in blocks[0]
    }


def distinct_batches(
    generator: np.random.Generator,
    num_runs: int,
    num_points: int,
    batch_size: int,
    num_steps: int,
) -> Iterator[np.ndarray]:
    """Draw batches of distinct points, afresh at each step, for many runs at once.

    A partial Fisher-Yates shuffle: exchanging each position below the batch size with itself or a
    random later one leaves a uniform sample in front, whatever the order was before.

    Args:
        generator: Source of randomness; each run takes ``num_steps * batch_size`` uniforms in
            turn, so that its batches do not depend on how many runs are drawn together.
        num_runs: Runs, >= 1.
        num_points: Points of each run, >= 1.
        batch_size: Distinct points in a batch, from 1 to ``num_points``.
        num_steps: Steps, >= 0.

    Yields:
        For each step, flat indices into an array of shape ``[num_points, num_runs]``: an integer
        array of shape ``[batch_size, num_runs]``, overwritten by the next step.
    """
    first = np.arange(batch_size)
    uniforms = generator.random((num_runs, num_steps, batch_size))
    jumps = (uniforms * (num_points - first)).astype(np.int32)  # [num_runs, num_steps, batch_size]
    runs = np.arange(num_runs)
    order = np.arange(num_points * num_runs).reshape(num_points, num_runs)
    flat = order.ravel()  # a view: exchanges in it are exchanges in order
    for step in range(num_steps):
        others = (first + jumps[:, step]).T * num_runs + runs  # [batch_size, num_runs]
        for here, other in zip(order, others, strict=False):
            chosen = flat[other]
            flat[other] = here
            here[:] = chosen
        yield order[:batch_size]


def descend(curvature: np.ndarray, pull: np.ndarray, learning_rate: float) -> np.ndarray:
    r"""Follow SGD on a linear model from :math:`w_0 = 0`.

    One step is :math:`w_{t+1} = w_t - \eta\,(a_t w_t - b_t)` with the batch's means
    :math:`a_t = \overline{x^2}` and :math:`b_t = \overline{x y}` (paper, Section 4.1).

    Args:
        curvature: The means :math:`a_t`, array of shape ``[num_steps, ...]``.
        pull: The means :math:`b_t`, array of the same shape.
        learning_rate: Step size :math:`\eta` > 0.

    Returns:
        The iterates, array of shape ``[num_steps + 1, ...]``, the first being zero.
    """
    weights = np.zeros((len(curvature) + 1, *curvature.shape[1:]))
    for step, (a, b) in enumerate(zip(curvature, pull, strict=True)):
        weights[step + 1] = weights[step] - learning_rate * (a * weights[step] - b)
    return weights


def importance_sgd(
    problem: Problem,
    probabilities: np.ndarray,
    *,
    step_size: float,
    num_steps: int,
    num_runs: int,
    generator: np.random.Generator,
    keep_probability: float = 1.0,
) -> Iterator[np.ndarray]:
    r"""Run SGD with importance sampling and stochastic pruning from :math:`w_0 = 0`.

    :math:`w_{t+1} = w_t - \eta \zeta_t \nabla g_{i_t}(w_t)` with
    :math:`g_i = \frac{1}{r n p_i} f_i`, :math:`\zeta_t \sim \mathcal{B}(r)` and
    :math:`i_t \sim p` (paper, Eq. (2); for :math:`r = 1` the update before it).

    Args:
        problem: The functions :math:`f_i`.
        probabilities: :math:`p`, array of shape ``[n]`` with sum 1.
        step_size: :math:`\eta` > 0.
        num_steps: Steps, made or not, >= 0.
        num_runs: Independent runs, >= 1.
        generator: Source of randomness.
        keep_probability: :math:`r`, in (0, 1].

    Yields:
        The iterates, array of shape ``[num_runs, dim]``, first :math:`w_0`; a new array each time.
    """
    total = probabilities.sum()
    require(abs(total - 1) < 1e-9, "sum of the probabilities", total, "1")
    edges = np.cumsum(probabilities)
    scale = step_size / (keep_probability * len(edges) * probabilities)
    weights = np.zeros((num_runs, problem.x.shape[1]))
    yield weights
    for _ in range(num_steps):
        points = np.searchsorted(edges, generator.random(num_runs) * edges[-1], side="right")
        made = generator.random(num_runs) < keep_probability
        factor = (made * scale[points])[:, None]
        weights = weights - factor * problem.gradients(weights, points)
        yield weights


@dataclass(frozen=True)
class Moments:
    r"""Means over a set of points of the linear model, one value for each run.

    With :math:`\nu_i` the label noise: ``xx`` is :math:`\overline{x^2}`, ``x4``
    :math:`\overline{x^4}`, ``xn`` :math:`\overline{x \nu}`, ``nn`` :math:`\overline{\nu^2}`;
    float64 arrays of shape ``[num_runs]``. Errors :math:`e = w - w^*` have shape
    ``[..., num_runs]``, and so have their losses.
    """

    num_points: int
    xx: np.ndarray
    x4: np.ndarray
    xn: np.ndarray
    nn: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, noise: np.ndarray) -> Self:
        """Take the means over axis 0 of inputs and label noise, ``[num_points, num_runs]`` each."""
        xx = x**2
        means = (term.mean(axis=0) for term in (xx, xx**2, x * noise, noise**2))
        return cls(len(x), *means)

    def loss(self, error: np.ndarray) -> np.ndarray:
        r"""Compute the loss at :math:`w^* + e`, :math:`\tfrac12 \overline{(e x - \nu)^2}`."""
        return self.excess_loss(error) + self.nn / 2

    def excess_loss(self, error: np.ndarray) -> np.ndarray:
        """Compute the loss at :math:`w^* + e` less that at the true slope :math:`w^*`; any sign."""
        return error**2 * self.xx / 2 - error * self.xn


@dataclass(frozen=True)
class ExactMoments:
    r"""Exact expectations over label noise and batches, for given inputs.

    ``square`` is :math:`E(w_t - w^*)^2`; ``forgotten`` is :math:`1 - (1 - \eta \overline{x^2})^t`,
    the share of the least-squares solution that the mean iterate has reached. Arrays of shape
    ``[num_steps + 1, num_runs]``.
    """

    square: np.ndarray
    forgotten: np.ndarray


def exact_moments(
    kept: Moments,
    *,
    batch_size: int,
    learning_rate: float,
    num_steps: int,
    slope: float,
    noise_sd: float,
) -> ExactMoments:
    r"""Compute :math:`E(w_t - w^*)^2` for SGD from :math:`w_0 = 0` on K kept points, exactly.

    With the noise of label i :math:`\nu_i`, and :math:`a_S` the mean of :math:`x^2` over the batch
    S, :math:`w_t - w^* = -w^* P_t + \sum_i g_{t,i} \nu_i` with
    :math:`P_{t+1} = (1 - \eta a_S) P_t` and
    :math:`g_{t+1,i} = (1 - \eta a_S) g_{t,i} + \eta x_i 1[i \in S] / B`. The noise has mean zero
    and is independent of the batches, so :math:`E(w_t - w^*)^2 = w^{*2} q^t + \sigma^2 G_t` with
    :math:`G_t = \sum_i E g_{t,i}^2` and

    .. math::

       G_{t+1} = q\, G_t + 2 \eta \frac{1 - p^t}{K^2 m} \sum_i x_i^2 (1 - \eta \alpha_i)
                 + \frac{\eta^2 m}{B},

    where :math:`m = \overline{x^2}`, :math:`p = 1 - \eta m`,
    :math:`q = p^2 + \eta^2 \mathrm{Var}\, a_S` with the finite-population variance, and
    :math:`\alpha_i = E[a_S \mid i \in S] = (x_i^2 + (B-1)(K m - x_i^2)/(K-1)) / B`.

    Args:
        kept: Moments of the kept points.
        batch_size: Distinct points in a batch :math:`B`, at most the number kept.
        learning_rate: Step size :math:`\eta`.
        num_steps: Steps, >= 0.
        slope: True slope :math:`w^*`.
        noise_sd: Standard deviation :math:`\sigma` of the label noise.

    Returns:
        The exact moments at steps 0 to ``num_steps``.
    """
    count, rate, m = kept.num_points, learning_rate, kept.xx
    others = max(count - 1, 1)
    variance = (kept.x4 - m**2) / batch_size * (count - batch_size) / others
    pair = (batch_size - 1) / others
    sum_alpha = (count * kept.x4 * (1 - pair) + pair * (count * m) ** 2) / batch_size
    cross = 2 * rate * (count * m - rate * sum_alpha) / (count**2 * m)
    mean_factor, square_factor = 1 - rate * m, (1 - rate * m) ** 2 + rate**2 * variance
    forgotten = 1 - mean_factor ** np.arange(num_steps + 1)[:, None]
    spread = np.zeros_like(forgotten)  # G_t
    for t in range(num_steps):
        new = cross * forgotten[t] + rate**2 * m / batch_size
        spread[t + 1] = square_factor * spread[t] + new
    decay = square_factor ** np.arange(num_steps + 1)[:, None]
    return ExactMoments(slope**2 * decay + noise_sd**2 * spread, forgotten)
