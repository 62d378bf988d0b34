"""The races on real data in words: what the intervals decide, setting by setting."""

import pandas as pd

from experiments.convex_is_not_enough.real_data import SOURCES
from experiments.convex_is_not_enough.runs import KEEP_FRACTIONS
from experiments.convex_is_not_enough.tables import LIMIT
from liprune_utils.book.formats import number


def findings(losses: pd.DataFrame, sooner: pd.DataFrame, classes: pd.DataFrame) -> dict[str, str]:
    """Put the comparisons into words: counts over data sets and fractions, and a few estimates.

    Args:
        losses: From `experiments.convex_is_not_enough.tables.loss_table`.
        sooner: From `experiments.convex_is_not_enough.tables.sooner_table`.
        classes: From `experiments.convex_is_not_enough.tables.class_table`.

    Returns:
        Texts by name: "real_RULE_MEASURE_OTHER" and "real_RULE_OTHER" count, for LiPrune against
        another method, what the 99% intervals decide; "real_digits" and "real_diabetes" are the
        differences of excess from random pruning at the minimisers of a tenth of the points;
        "real_importance" those of importance sampling from no pruning, each at its own best;
        "real_malignant" and "real_zeros" are shares of a class in a tenth and in all.
    """
    texts, ours = {}, losses[losses.method == "liprune"]
    for (rule, measure, other), rows in ours.groupby(["rule", "measure", "against"]):
        key = f"real_{rule}_{measure.removesuffix('_loss')}_{other}"
        texts[key] = _decided(rows.high < 0, rows.low > 0, ("lower", "higher"))
    for (rule, other), rows in sooner[sooner.method == "liprune"].groupby(["rule", "against"]):
        words = ("sooner", "later")
        texts[f"real_{rule}_{other}"] = _decided(rows.low > 0.5, rows.high < 0.5, words)
    least = f"rule == '{LIMIT}' and measure == 'excess' and against == 'random'"
    tenth = ours.query(f"{least} and keep_fraction == {min(KEEP_FRACTIONS)}").set_index("data_set")
    texts |= {f"real_{name}": _written(tenth.loc[name]) for name in ("digits", "diabetes")}
    own = losses.query("method == 'importance' and rule == 'final' and measure == 'excess'")
    parts = own.set_index("data_set").loc[list(SOURCES)].iterrows()
    texts["real_importance"] = "; ".join(f"{name} {_written(row)}" for name, row in parts)
    shares = classes.pivot(index="label", columns="keep_fraction", values="share")
    for key, label in (("real_malignant", "malignant"), ("real_zeros", "0")):
        few, everything = shares.loc[label, [min(KEEP_FRACTIONS), 1.0]]
        texts[key] = f"{few:.1%} instead of {everything:.1%}"
    return texts


# How many of the settings are decided either way.
def _decided(first: pd.Series, second: pd.Series, words: tuple[str, str]) -> str:
    left = len(first) - first.sum() - second.sum()
    found = f"{words[0]} in {first.sum()}, {words[1]} in {second.sum()} and undecided in {left}"
    return f"{found} of {len(first)} settings"


# A difference with its interval.
def _written(row: pd.Series) -> str:
    interval = f"[{number(row.low)}, {number(row.high)}]"
    return f"{number(row.difference)} {interval}, n = {row.num_runs:.0f}"
