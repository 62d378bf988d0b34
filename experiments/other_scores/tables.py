"""What page 10's runs say: do scores keep the same images, what do they cost, and do they help?"""

from collections.abc import Sequence
from itertools import combinations, product

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from liprune_utils.book.formats import difference, number
from liprune_utils.intervals import Estimate, mean_interval
from liprune_utils.pruning import keep_highest, num_kept, overlap, rank

LABELS = {
    "hessian": "Hessian norm",
    "gauss-newton": "Gauss-Newton norm",
    "grand": "GraNd",
    "el2n": "EL2N",
    "loss": "loss",
    "margin": "margin",
    "leverage": "leverage",
    "forgetting": "forgetting",
    "hessian-batch": "batch's norm",
    "random": "random",
}
METHODS = {"liprune": "LiPrune (batches)", "random": "random batches"} | {
    name: LABELS[name]
    for name in ("hessian", "gauss-newton", "grand", "el2n", "loss", "forgetting")
}
MEASURES = {"final": "after the last epoch", "mean": "mean over the epochs after the pruning"}
LEVEL = 0.99  # of what chance gives
NUM_DRAWS = 10_000  # random subsets, for the class balance that chance gives


def rank_correlations(scores: pd.DataFrame) -> pd.DataFrame:
    """Compute Spearman's rank correlation of every two scores; ties share their mean rank."""
    matrix = scores.corr(method="spearman")
    chance = 2.576 / np.sqrt(len(scores) - 1)  # 99% of independent scores are within
    rows = [
        {"score": one, "other": two, "correlation": matrix.loc[one, two], "chance": chance}
        for one, two in product(scores, repeat=2)
    ]
    return pd.DataFrame(rows)


def overlap_table(scores: pd.DataFrame, keep_fractions: Sequence[float]) -> pd.DataFrame:
    r"""Compute the share of what one score keeps that another keeps too, beside chance.

    Of two independent sets of K from n, one random, the number shared is hypergeometric, with
    mean :math:`K^2 / n`.
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
            facts = {"keep_fraction": fraction, "score": one, "other": two}
            facts |= {"overlap": overlap(kept[one], kept[two])} | chance
            rows.append(facts | {"num_kept": count, "num_examples": len(scores)})
    return pd.DataFrame(rows)


def overlaps_with(reference: str, overlaps: pd.DataFrame) -> pd.DataFrame:
    """Select the overlaps with one score; the column ``name`` has the other score."""
    here = overlaps[(overlaps.score == reference) | (overlaps.other == reference)]
    return here.assign(name=here.score.where(here.score != reference, here.other))


def class_table(
    scores: pd.DataFrame,
    labels: np.ndarray,
    keep_fractions: Sequence[float],
    num_classes: int,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure what pruning by each score does to the balance of classes."""
    rows, draw = [], np.random.default_rng(seed)
    counts = np.bincount(labels, minlength=num_classes)
    everything = counts / len(labels)
    for fraction in keep_fractions:
        count = num_kept(len(labels), fraction)
        drawn = draw.multivariate_hypergeometric(counts, count, NUM_DRAWS) / count
        distances = _total_variation(drawn, everything)
        chance = {"chance": distances.mean(), "chance_high": np.quantile(distances, LEVEL)}
        for name in scores:
            kept = labels[keep_highest(scores[name], fraction)]
            shares = np.bincount(kept, minlength=num_classes) / count
            facts = {"keep_fraction": fraction, "score": name}
            facts |= {"distance": _total_variation(shares, everything)}
            facts |= {"largest_share": shares.max(), "smallest_share": shares.min()}
            rows.append(facts | chance)
    return pd.DataFrame(rows)


def _total_variation(shares: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.abs(shares - others).sum(axis=-1) / 2


def kept_flags(scores: pd.DataFrame, keep_fractions: Sequence[float]) -> pd.DataFrame:
    """Mark what each score keeps."""
    flags = {}
    for name, fraction in product(scores, keep_fractions):
        kept = keep_highest(scores[name], fraction)
        flags[f"{name} keeps {fraction:g}"] = np.isin(np.arange(len(scores)), kept)
    return pd.DataFrame(flags)


def cost_table(costs: pd.DataFrame) -> pd.DataFrame:
    """Reduce the costs of scoring, batch by batch, to one row per score."""
    groups = costs.groupby("score", sort=False)
    summary = groups.gradients.agg(["median", "min", "max"])
    return summary.assign(products=groups.products.mean(), num_turns=groups.size()).reset_index()


def gallery_rows(
    scores: pd.DataFrame,
    images: np.ndarray,
    classes: Sequence[str],
    names: Sequence[str],
    count: int,
) -> list[tuple[str, np.ndarray, list[str]]]:
    """Select the images with the highest and the lowest scores: title, images and captions."""
    rows = []
    for name in names:
        values = scores[name].to_numpy()
        for end, order in {"highest": rank(values), "lowest": rank(-values)}.items():
            chosen = order[:count]
            captions = [f"{classes[at]}\n{_short_number(values[at])}" for at in chosen]
            rows.append((f"{LABELS[name]}, {end}", images[chosen], captions))
    return rows


def _short_number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else number(value, 2)


def gap_table(curves: pd.DataFrame, level: float = 0.90) -> pd.DataFrame:
    """Compare the test error of every recorded method with random pruning's, paired by seed."""
    after = curves[curves.epoch >= curves.prune_epoch].sort_values("epoch")
    groups = after.groupby(["seed", "keep_fraction", "method"]).test_error
    errors, rows = {"final": groups.last(), "mean": groups.mean()}, []
    for measure, fraction in product(MEASURES, sorted(curves.keep_fraction.unique())):
        wide = errors[measure].xs(fraction, level="keep_fraction").unstack("method")
        for method in (name for name in METHODS if name != "random" and name in wide):
            facts = {"measure": measure, "keep_fraction": fraction, "method": method}
            facts |= {"random_error": wide["random"].mean()}
            gap = mean_interval(wide[method] - wide["random"], level)
            rows.append(facts | gap.columns("difference"))
    return pd.DataFrame(rows).rename(columns={"num_runs": "num_seeds"})


def _differences(gaps: pd.DataFrame) -> list[Estimate]:
    named = gaps.rename(columns={"num_seeds": "num_runs"})
    return [Estimate.of(row, "difference") for row in named.itertuples()]


def batches_in_words(gaps: pd.DataFrame) -> str:
    """Say how the runs that keep LiPrune's batches end."""
    last = gaps[(gaps.method == "liprune") & (gaps.measure == "final")]
    ends = " and ".join(
        f"{difference(gap, 'points', level=0.9)} where {fraction:.0%} are kept"
        for fraction, gap in zip(last.keep_fraction, _differences(last), strict=True)
    )
    return (
        f"With LiPrune's batches the last test error is, against that of random batches, {ends}. "
        f"These are two of the sixteen settings of page 9, where one or two such intervals would "
        f"miss zero by chance."
    )


def image_score_gaps(gaps: pd.DataFrame) -> dict[str, Estimate]:
    """List the mean differences of scores of images, the fewest kept, the lowest first."""
    fewest = gaps[(gaps.measure == "mean") & (gaps.keep_fraction == gaps.keep_fraction.min())]
    rows = fewest[fewest.method != "liprune"].sort_values("difference")
    return dict(zip(rows.method, _differences(rows), strict=True))


def gap_words(gaps: pd.DataFrame) -> pd.DataFrame:
    """Lay the differences out for a reader, one row per fraction and method."""
    shown = gaps.replace({"measure": MEASURES, "method": METHODS})
    shown = shown.rename(columns={"keep_fraction": "fraction kept"})
    keys = ["fraction kept", "method"]
    wide = shown.pivot(index=keys, columns="measure", values=["difference", "low", "high"])
    order = pd.MultiIndex.from_frame(shown[keys].drop_duplicates())
    return wide.swaplevel(axis=1)[list(MEASURES.values())].loc[order]
