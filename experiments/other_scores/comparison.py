"""Do scores pick the same examples? Rank correlations, kept sets, and the classes in them."""

from collections.abc import Sequence
from itertools import combinations, product

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from liprune_utils.checks import require
from liprune_utils.pruning import keep_highest, num_kept, rank

LEVEL = 0.99
NUM_DRAWS = 10_000  # random subsets, for the class balance that chance gives


def rank_correlations(scores: pd.DataFrame) -> pd.DataFrame:
    r"""Compute Spearman's rank correlation of every two scores; ties share their mean rank.

    Args:
        scores: One row an example, one column a score.

    Returns:
        One row an ordered pair, ``score`` and ``other``, with their ``correlation``, and
        ``chance``: for n independent examples, 99% of correlations lie within plus or minus this,
        about 2.58 standard deviations of :math:`1 / \sqrt{n - 1}`.
    """
    matrix = scores.corr(method="spearman")
    chance = 2.576 / np.sqrt(len(scores) - 1)
    rows = [
        {"score": one, "other": two, "correlation": matrix.loc[one, two], "chance": chance}
        for one, two in product(scores, repeat=2)
    ]
    return pd.DataFrame(rows)


def overlap_table(scores: pd.DataFrame, keep_fractions: Sequence[float]) -> pd.DataFrame:
    r"""Count what two scores keep both, beside what chance gives.

    Of two independent sets of K from n, one random, the number shared is hypergeometric, with
    mean :math:`K^2 / n`.

    Args:
        scores: One row an example, one column a score.
        keep_fractions: Fractions kept, each in (0, 1].

    Returns:
        One row a fraction and pair, ``score`` and ``other``: the shared part of a kept set,
        ``overlap``; what ``chance`` gives on average, and the range that holds at least 99% of it
        (``chance_low``, ``chance_high``).
    """
    rows, tail = [], (1 - LEVEL) / 2
    for fraction in keep_fractions:
        count = num_kept(len(scores), fraction)
        shared = hypergeom(len(scores), count, count)
        chance = {"chance": count / len(scores)}
        chance |= {"chance_low": shared.ppf(tail) / count}
        chance |= {"chance_high": shared.ppf(1 - tail) / count}
        kept = {name: keep_highest(scores[name], fraction) for name in scores}
        for one, two in combinations(scores, 2):
            overlap = len(np.intersect1d(kept[one], kept[two])) / count
            facts = {"keep_fraction": fraction, "score": one, "other": two, "overlap": overlap}
            rows.append(facts | chance | {"num_kept": count, "num_examples": len(scores)})
    return pd.DataFrame(rows)


def class_distance(labels: np.ndarray, kept: np.ndarray, num_classes: int) -> float:
    r"""Measure how far the classes of a kept set are from those of all examples.

    Args:
        labels: Classes, int array of shape ``[n]``.
        kept: Indices.
        num_classes: Number of classes.

    Returns:
        The total variation distance :math:`\tfrac12 \sum_c |q_c - p_c|`, from 0 to 1.

    Example:
        >>> class_distance(np.array([0, 0, 1, 1]), kept=np.array([0, 1]), num_classes=2)
        0.5
    """
    whole, part = (
        np.bincount(found, minlength=num_classes) / len(found) for found in (labels, labels[kept])
    )
    return float(np.abs(part - whole).sum() / 2)


def class_table(
    scores: pd.DataFrame,
    labels: np.ndarray,
    keep_fractions: Sequence[float],
    num_classes: int,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure what pruning by each score does to the balance of classes.

    Args:
        scores: One row an example, one column a score.
        labels: Classes, int array of shape ``[n]``.
        keep_fractions: Fractions kept, each in (0, 1].
        num_classes: Number of classes.
        seed: Seed of the random subsets.

    Returns:
        One row a fraction and score: the `class_distance` of what is kept, the largest class's and
        the smallest's share of it, and for random subsets of that size the mean distance
        (``chance``) and the one that 99% stay below (``chance_high``).
    """
    rows, draw = [], np.random.default_rng(seed)
    counts = np.bincount(labels, minlength=num_classes)
    for fraction in keep_fractions:
        count = num_kept(len(labels), fraction)
        drawn = draw.multivariate_hypergeometric(counts, count, NUM_DRAWS) / count
        distances = np.abs(drawn - counts / len(labels)).sum(axis=1) / 2
        chance = {"chance": distances.mean(), "chance_high": np.quantile(distances, LEVEL)}
        for name in scores:
            kept = keep_highest(scores[name], fraction)
            shares = np.bincount(labels[kept], minlength=num_classes) / count
            found = {"distance": class_distance(labels, kept, num_classes)}
            found |= {"largest_share": shares.max(), "smallest_share": shares.min()}
            rows.append({"keep_fraction": fraction, "score": name} | found | chance)
    return pd.DataFrame(rows)


def kept_flags(scores: pd.DataFrame, keep_fractions: Sequence[float]) -> pd.DataFrame:
    """Mark what each score keeps.

    Args:
        scores: One row an example, one column a score.
        keep_fractions: Fractions kept, each in (0, 1].

    Returns:
        Booleans, one row an example and one column a score and fraction, such as "loss keeps 0.2".
    """
    flags = {}
    for name, fraction in product(scores, keep_fractions):
        kept = keep_highest(scores[name], fraction)
        flags[f"{name} keeps {fraction:g}"] = np.isin(np.arange(len(scores)), kept)
    return pd.DataFrame(flags)


def extremes(score: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the examples with the highest and the lowest score.

    Args:
        score: Array of shape ``[n]``.
        count: How many of each, from 1 to n.

    Returns:
        Indices from the highest down, and from the lowest up.
    """
    require(1 <= count <= len(score), "count", count, f"from 1 to the {len(score)} examples")
    return rank(score)[:count], rank(-np.asarray(score))[:count]
