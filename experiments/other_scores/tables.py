"""What page 10's tables say: costs, classes, and the recorded runs against random pruning."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd

from experiments.other_scores.comparison import extremes
from liprune_utils.book.formats import estimated, in_brackets, number
from liprune_utils.intervals import Estimate, mean_interval

LABELS = {
    "hessian": "Hessian norm",
    "gauss-newton": "Gauss-Newton norm",
    "grand": "GraNd",
    "el2n": "EL2N",
    "loss": "loss",
    "margin": "margin",
    "forgetting": "forgetting",
    "hessian-batch": "batch's norm",
    "random": "random",
}
METHODS = {"liprune": "LiPrune (batches)", "random": "random batches"} | {
    name: LABELS[name]
    for name in ("hessian", "gauss-newton", "grand", "el2n", "loss", "forgetting")
}
MEASURES = {"final": "after the last epoch", "mean": "mean over the epochs after the pruning"}
LEVEL = 0.90  # the register's, for test errors
RUN = ["method", "keep_fraction", "seed"]


def cost_table(costs: pd.DataFrame) -> pd.DataFrame:
    """Reduce the costs of scoring, batch by batch, to a row for each score.

    Args:
        costs: From `experiments.other_scores.runs.all_scores`.

    Returns:
        Median, lowest and highest of ``gradients`` over the batches, and the mean number of
        Hessian ``products``, of each batch or image.
    """
    groups = costs.groupby("score", sort=False)
    found = groups.gradients.agg(["median", "min", "max"])
    return found.assign(products=groups.products.mean(), num_turns=groups.size()).reset_index()


def gallery_rows(
    scores: pd.DataFrame,
    images: np.ndarray,
    classes: Sequence[str],
    names: Sequence[str],
    count: int,
) -> list[tuple[str, np.ndarray, list[str]]]:
    """Choose the images with the highest and the lowest scores.

    Args:
        scores: One row an image, one column a score.
        images: The images, uint8, shape ``[n, 32, 32, 3]``.
        classes: The name of each one's class.
        names: The scores to show.
        count: Images in a row.

    Returns:
        Two rows for each score, as `experiments.other_scores.figures.gallery_figure` takes them.
    """
    rows = []
    for name in names:
        pair = zip(("highest", "lowest"), extremes(scores[name].to_numpy(), count), strict=True)
        for end, chosen in pair:
            values = scores[name].iloc[chosen]
            shown = [f"{v:,.0f}" if v >= 100 else number(v, 2) for v in values]
            words = [f"{classes[at]}\n{text}" for at, text in zip(chosen, shown, strict=True)]
            rows.append((f"{LABELS[name]}, {end}", images[chosen], words))
    return rows


def class_words(classes: pd.DataFrame) -> str:
    """Say which scores change the balance of classes more than chance would.

    Args:
        classes: From `experiments.other_scores.comparison.class_table`.

    Returns:
        A sentence for each fraction.
    """
    sentences = []
    for fraction, rows in classes.groupby("keep_fraction"):
        beyond = rows[rows.distance > rows.chance_high]
        listed = ", ".join(f"{LABELS[r.score]} {r.distance:.2f}" for r in beyond.itertuples())
        sentences.append(
            f"With {fraction:g} kept, {len(beyond)} of {len(rows)} kept sets are farther from the "
            f"classes of all images than 99% of random subsets, {rows.chance_high.iloc[0]:.2f}"
            f"{': ' if listed else ''}{listed}."
        )
    return " ".join(sentences)


def error_table(curves: pd.DataFrame) -> pd.DataFrame:
    """Reduce recorded curves to the two errors that are compared.

    Args:
        curves: One row a run and epoch: ``method``, ``keep_fraction``, ``seed``, ``epoch``,
            ``prune_epoch`` and ``test_error``, in per cent.

    Returns:
        One row a run: the test error after the last epoch (``final``), and its ``mean`` over the
        epochs from ``prune_epoch`` on.
    """
    after = curves[curves.epoch >= curves.prune_epoch].sort_values("epoch")
    errors = after.groupby(RUN, sort=False).test_error
    return pd.DataFrame({"final": errors.last(), "mean": errors.mean()}).reset_index()


def gap_table(curves: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """Compare every method with random pruning, paired by seed.

    Args:
        curves: As in `error_table`, with "random" among the methods.
        level: Confidence level, in (0, 1).

    Returns:
        One row a measure, fraction and method: the mean ``difference`` of test errors in points,
        the method less random, with its interval over seeds, and random pruning's mean error.
    """
    errors, rows = error_table(curves), []
    for measure, fraction in product(MEASURES, sorted(errors.keep_fraction.unique())):
        here = errors[errors.keep_fraction == fraction]
        wide = here.pivot(index="seed", columns="method", values=measure)
        for method in (name for name in METHODS if name != "random" and name in wide):
            found = mean_interval(wide[method] - wide["random"], level)._asdict()
            facts = {"measure": measure, "keep_fraction": fraction, "method": method}
            facts |= {"random_error": wide["random"].mean(), "difference": found.pop("value")}
            rows.append(facts | found)
    return pd.DataFrame(rows).rename(columns={"num_runs": "num_seeds"})


def _difference(row: pd.Series) -> Estimate:
    return Estimate(row.difference, row.low, row.high, int(row.num_seeds))


def gap_words(gaps: pd.DataFrame) -> pd.DataFrame:
    """Lay the differences out for a reader.

    Args:
        gaps: From `gap_table`.

    Returns:
        A row a method, a column for each measure and fraction kept, of words such as
        "3.1 [2.1, 4.1]", in points.
    """
    shown = gaps.assign(gap=[in_brackets(_difference(row)) for _, row in gaps.iterrows()])
    shown = shown.replace({"measure": MEASURES, "method": METHODS})
    shown = shown.rename(columns={"keep_fraction": "fraction kept"})
    wide = shown.pivot(index="method", columns=["measure", "fraction kept"], values="gap")
    return wide.reindex(shown.method.unique())


def recorded_words(gaps: pd.DataFrame, measure: str) -> str:
    """Say who is ahead of random pruning in the recorded runs.

    Args:
        gaps: From `gap_table`.
        measure: "final" or "mean".

    Returns:
        A sentence for each fraction kept.
    """
    sentences = []
    for fraction, rows in gaps[gaps.measure == measure].groupby("keep_fraction"):
        signs = [_difference(row).below(0.0) for row in rows.itertuples()]
        ends = [rows.loc[at] for at in (rows.difference.idxmin(), rows.difference.idxmax())]
        best, worst = (f"{METHODS[e.method]}, {estimated(_difference(e), 'seeds')}" for e in ends)
        sentences.append(
            f"With {fraction:g} kept, {signs.count(True)} of {len(signs)} ways to choose have a "
            f"90% interval below zero and {signs.count(False)} above; lowest: {best}; "
            f"highest: {worst}."
        )
    return " ".join(sentences)


def agreement_words(correlations: pd.DataFrame, overlaps: pd.DataFrame) -> str:
    """Say how far other scores choose what the Hessian norm of every image chooses.

    Args:
        correlations: From `experiments.other_scores.comparison.rank_correlations`.
        overlaps: From `experiments.other_scores.comparison.overlap_table`.

    Returns:
        Two sentences.
    """
    rows = correlations[correlations.score == "hessian"].set_index("other").correlation
    named = ("gauss-newton", "grand", "el2n", "loss", "margin", "forgetting", "hessian-batch")
    listed = ", ".join(f"{rows[name]:.2f} with {LABELS[name]}" for name in named)
    fraction = overlaps.keep_fraction.min()
    here = overlaps[(overlaps.keep_fraction == fraction)]
    here = here[(here.score == "hessian") | (here.other == "hessian")]
    shared = here.set_index(here.score.where(here.score != "hessian", here.other)).overlap
    return (
        f"The rank correlation of an image's Hessian norm is {listed}. Of the {fraction:g} that it "
        f"keeps, GraNd keeps {shared['grand']:.0%} too, EL2N {shared['el2n']:.0%}, the loss "
        f"{shared['loss']:.0%}; chance would give {here.chance.iloc[0]:.0%}."
    )
