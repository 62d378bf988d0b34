"""Algorithm 1 (LiPrune): keep the functions with the largest scores."""

import math
from numbers import Real

import numpy as np

from liprune_utils.checks import require


def num_kept(num_functions: int, keep_fraction: float) -> int:
    r"""Count the functions that are kept: :math:`\max(1, \lfloor r n + \tfrac12 \rfloor)`.

    The paper's threshold :math:`\hat s_{r \times n}` needs a whole :math:`r n`; this rounds to the
    nearest, halves upwards, and never keeps nothing.

    Args:
        num_functions: Number of functions :math:`n`, >= 1.
        keep_fraction: Fraction kept :math:`r`, in (0, 1].

    Returns:
        The number kept, from 1 to ``num_functions``.

    Example:
        >>> num_kept(1000, keep_fraction=0.3)
        300
    """
    require(num_functions >= 1, "num_functions", num_functions, "at least 1")
    fits = isinstance(keep_fraction, Real) and 0 < keep_fraction <= 1
    require(fits, "keep_fraction", keep_fraction, "a fraction in (0, 1]")
    return max(1, math.floor(keep_fraction * num_functions + 0.5))


def rank(scores: np.ndarray) -> np.ndarray:
    """Order indices from the largest score to the smallest, the lowest index first among equals.

    Args:
        scores: Array of shape ``[..., n]`` without NaN.

    Returns:
        Integer array of shape ``[..., n]``; its first k entries are what Algorithm 1 keeps for k.

    Example:
        >>> rank(np.array([3.0, 1.0, 2.0, 3.0]))
        array([0, 3, 2, 1])
    """
    scores = np.asarray(scores)
    bad = np.argwhere(np.isnan(scores))
    if len(bad):
        place = ", ".join(map(str, bad[0]))
        require(False, f"The score at index {place}", "NaN", "a number")
    # Not argsort(-scores): the negative of an unsigned or the least integer is no such number.
    return scores.shape[-1] - 1 - np.argsort(scores[..., ::-1], axis=-1, kind="stable")[..., ::-1]


def keep_highest(scores: np.ndarray, keep_fraction: float) -> np.ndarray:
    """Keep the functions with the largest scores (Algorithm 1 of the paper).

    Unlike the printed threshold rule, ties do not enlarge the kept set. Random scores give random
    pruning.

    Args:
        scores: Array of shape ``[..., n]``, one score per function.
        keep_fraction: Fraction kept, in (0, 1].

    Returns:
        Sorted indices, integer array of shape ``[..., k]``, with k from `num_kept`.

    Example:
        >>> keep_highest(np.array([3.0, 1.0, 2.0, 3.0]), keep_fraction=0.5)
        array([0, 3])
    """
    scores = np.asarray(scores)
    count = num_kept(scores.shape[-1], keep_fraction)
    return np.sort(rank(scores)[..., :count], axis=-1)


def overlap(kept: np.ndarray, other: np.ndarray) -> np.ndarray | float:
    """Compute the share of a kept set that another kept set has too.

    Args:
        kept: Indices without repetition, array of shape ``[..., k]``, k >= 1.
        other: Indices of the other set, array of shape ``[..., m]``.

    Returns:
        Array of shape ``[...]``, from 0 to 1; on average r for two random sets of fraction r.

    Example:
        >>> overlap(np.array([0, 3]), np.array([1, 3]))
        0.5
    """
    kept, other = np.asarray(kept), np.asarray(other)
    marks = np.zeros((*other.shape[:-1], max(kept.max(), other.max()) + 1), dtype=bool)
    np.put_along_axis(marks, other, True, axis=-1)
    shares = np.take_along_axis(marks, kept, axis=-1).mean(axis=-1)
    return shares if shares.ndim else float(shares)
