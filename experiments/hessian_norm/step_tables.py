"""Tables of page 08's study at the length of a step: by seed, and over the seeds."""

from collections.abc import Iterator

import pandas as pd

from liprune_utils.book.formats import number
from liprune_utils.intervals import Estimate, mean_interval
from liprune_utils.pruning import keep_highest, overlap

KEEP_FRACTION = 0.2
MEASURES = ("eigenvector", "down", "up", "step", "overlap")
KEYS = ["learning_rate", "epoch", "seed"]


def by_seed(recorded: pd.DataFrame) -> pd.DataFrame:
    """Reduce the batches of each network at each epoch to two mean ratios and an overlap."""
    groups = recorded.groupby(KEYS)
    return pd.DataFrame([dict(zip(KEYS, key, strict=True)) | _cell(rows) for key, rows in groups])


def _cell(batches: pd.DataFrame) -> dict[str, float]:
    """Measure one network at one epoch; an eigenvector has no sign, so both ways count the same."""
    norm = batches.eigenvalue.abs()
    secant = (batches.secant_down + batches.secant_up) / 2
    kept = [keep_highest(scores.to_numpy(), KEEP_FRACTION) for scores in (norm, secant)]
    return {
        "length": batches.length.iloc[0],
        "eigenvector": (secant / norm).mean(),
        "down": (batches.secant_down / norm).mean(),
        "up": (batches.secant_up / norm).mean(),
        "step": (batches.secant_step / norm).mean(),
        "overlap": overlap(*kept),
    }


def over_seeds(cells: pd.DataFrame, level: float) -> pd.DataFrame:
    """Estimate each measure at each rate and epoch, with Student's interval over the seeds."""
    rows = []
    for (rate, epoch), group in cells.groupby(["learning_rate", "epoch"]):
        row = {"learning_rate": rate, "epoch": epoch, "length": group.length.mean()}
        for name in MEASURES:
            row |= mean_interval(group[name].to_numpy(), level).named_columns(name)
        rows.append(row | {"num_runs": len(group)})
    return pd.DataFrame(rows)


def estimates(summary: pd.DataFrame, name: str) -> Iterator[Estimate]:
    """Yield a measure's estimate at each rate and epoch."""
    return (Estimate.of(row, name) for row in summary.itertuples())


def in_words(summary: pd.DataFrame, limits: tuple[float, float]) -> str:
    """Say how the secants over a step compare with the Hessian norm, over all cases."""
    low, high = limits
    close = sum(e.within(low, high) is True for e in estimates(summary, "eigenvector"))
    spans = {name: _span(summary[name]) for name in MEASURES}
    shares = _span(100 * summary.overlap)
    return (
        f"Over the {len(summary)} cases of a learning rate and an epoch, the steps have a median "
        f"length of {_span(summary.length)}. Along the top eigenvector the gradient changes "
        f"{spans['eigenvector']} times as fast as the Hessian norm says; in {close} of the cases "
        f"the interval lies within {low:g} to {high:g}. Downhill the ratio is {spans['down']}, "
        f"uphill {spans['up']}. Along a step of training it is {spans['step']}. The secant would "
        f"keep {shares}% of the batches that the Hessian norm keeps; two random choices share "
        f"{KEEP_FRACTION:.0%}."
    )


def _span(values: pd.Series) -> str:
    return f"{number(values.min(), 2)} to {number(values.max(), 2)}"
