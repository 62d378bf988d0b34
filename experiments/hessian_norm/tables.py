"""What page 08 reads off its tables: overlaps, spreads, ranks."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.stats import bootstrap, spearmanr

from liprune_utils.intervals import Estimate, mean_interval
from liprune_utils.pruning import keep_highest

FRACTIONS = np.arange(1, 10) / 10  # kept, over which overlaps are averaged
GAIN_FRACTION = 0.2  # the paper's smaller fraction
LEVEL = 0.99
TRAINING_EPOCHS = 164  # of the paper, the register's limit for the cost of scoring
NEAR = 1e-3  # the register's largest distance for the inequality
TOLERATED = 0.05  # the register's
DISTANCES = [10.0**-power for power in range(1, 8)]


def kept_overlap(scores: np.ndarray, exact: np.ndarray) -> float:
    """Average the share of the rightly kept over the fractions 0.1, 0.2, ..., 0.9.

    Args:
        scores: Array of shape ``[n]``.
        exact: What they estimate, same shape.

    Returns:
        From 0 to 1.
    """
    pairs = [[keep_highest(s, fraction) for s in (scores, exact)] for fraction in FRACTIONS]
    return float(np.mean([len(np.intersect1d(*pair)) / len(pair[0]) for pair in pairs]))


def resampled(statistic: Callable[..., float], *samples: np.ndarray, seed: int = 0) -> Estimate:
    """Estimate a statistic of paired samples with a bootstrap interval (percentile, 99%).

    Args:
        statistic: Of arrays of equal length.
        *samples: The arrays, shape ``[n]``; drawn again together.
        seed: Seed of the draws.

    Returns:
        The estimate.
    """
    found = bootstrap(
        samples, statistic, paired=True, vectorized=False, n_resamples=1999,
        confidence_level=LEVEL, method="percentile", rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return Estimate(float(statistic(*samples)), found.low, found.high, len(samples[0]))


def relative_sd(norms: np.ndarray) -> float:
    """Compute the standard deviation of norms in units of their mean.

    Args:
        norms: Array of shape ``[n]``, n >= 2, > 0.

    Returns:
        The coefficient of variation, >= 0.
    """
    return float(np.std(norms, ddof=1) / np.mean(norms))


def spreads(scores: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Measure how much batches differ, group by group.

    Args:
        scores: One row a batch, with ``norm``, ``eigenvalue`` and the grouping columns.
        by: The grouping columns.

    Returns:
        For each group the number of batches, their mean norm, ``gain``: the mean norm of the fifth
        with the largest in units of that, the relative standard deviation with its 99% interval
        (``low``, ``high``), and how many dominant eigenvalues are negative.
    """
    rows = []
    for key, group in scores.groupby(by):
        norms = group.norm.to_numpy()
        spread = resampled(relative_sd, norms)
        gain = norms[keep_highest(norms, GAIN_FRACTION)].mean() / norms.mean()
        found = {"num_batches": len(group), "mean_norm": norms.mean(), "gain": gain}
        found |= {"relative_sd": spread.value, "low": spread.low, "high": spread.high}
        found |= {"num_negative": int((group.eigenvalue < 0).sum())}
        rows.append(dict(zip(by, key, strict=True)) | found)
    return pd.DataFrame(rows)


def spread_exponent(scores: pd.DataFrame, seed: int = 0) -> Estimate:
    r"""Fit the exponent a of :math:`\mathrm{sd} / \mathrm{mean} \propto B^a`.

    Least squares through the logarithms; batches are drawn again within each size. Independent
    examples and a smooth norm would give :math:`a = -1/2`.

    Args:
        scores: One row a batch, with ``norm`` and ``batch_size``.
        seed: Seed of the bootstrap.

    Returns:
        The exponent with its 99% interval.
    """
    draw = np.random.default_rng(seed)
    groups = {size: group.norm.to_numpy() for size, group in scores.groupby("batch_size")}
    logs = np.log(list(groups))

    def fit(samples: list[np.ndarray]) -> float:
        return float(np.polyfit(logs, np.log([relative_sd(norms) for norms in samples]), 1)[0])

    again = [fit([draw.choice(g, len(g)) for g in groups.values()]) for _ in range(1999)]
    low, high = np.quantile(again, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(fit(list(groups.values())), float(low), float(high), len(scores))


def rank_agreement(one: pd.DataFrame, other: pd.DataFrame) -> dict[str, float]:
    """Compare how two networks, or one in two modes, rank the same batches.

    Args:
        one: One row a batch, with ``batch`` and ``norm``.
        other: The same of the other; batches that only one has are left out.

    Returns:
        Spearman's rank correlation with its 99% interval, `kept_overlap`, and what overlap chance
        would give.
    """
    pairs = one.merge(other, on="batch", suffixes=("", "_other"))
    first, second = pairs.norm.to_numpy(), pairs.norm_other.to_numpy()
    found = resampled(lambda a, b: spearmanr(a, b).statistic, first, second)
    by_chance = np.mean([len(keep_highest(first, f)) / len(first) for f in FRACTIONS])
    return {
        "num_batches": len(pairs), "correlation": found.value, "low": found.low,
        "high": found.high, "overlap": kept_overlap(first, second), "chance": float(by_chance),
    }  # fmt: skip


def agreements(scores: pd.DataFrame, epochs: tuple[int, int]) -> pd.DataFrame:
    """Compare the ranking between seeds, over training, and between modes of batch norm.

    Args:
        scores: The recorded table of one batch size: ``seed``, ``epoch``, ``batch_norm``, ``batch``
            and ``norm``.
        epochs: The first and last epoch scored.

    Returns:
        One row a comparison: ``kind``, ``comparison`` and what `rank_agreement` gives.
    """
    keys = ["seed", "epoch", "batch_norm"]
    tables = dict(iter(scores.groupby(keys)))
    last = epochs[1]
    pairs = [
        ("seeds", f"seed 0 and {seed}, epoch {epoch}", (0, epoch, "train"), (seed, epoch, "train"))
        for epoch in epochs for seed in sorted(set(scores.seed) - {0})
    ]  # fmt: skip
    times = sorted(scores[(scores.seed == 0) & (scores.batch_norm == "train")].epoch.unique())
    pairs += [
        ("training", f"epoch {epoch} and {last}", (0, epoch, "train"), (0, last, "train"))
        for epoch in times[:-1]
    ]
    pairs += [
        ("batch norm", f"train and eval, epoch {epoch}", (0, epoch, "train"), (0, epoch, "eval"))
        for epoch in epochs
    ]
    return pd.DataFrame([
        {"kind": kind, "comparison": words} | rank_agreement(tables[one], tables[other])
        for kind, words, one, other in pairs
    ])  # fmt: skip


def switching_exponent(table: pd.DataFrame, at_least: int = 10) -> Estimate:
    r"""Fit the exponent a of :math:`\mathrm{secant} \propto \epsilon^a` where ReLU units switch.

    A line for each network and direction, by least squares through the logarithms, over the
    distances at which enough units switch for their jumps to be many. Jumps that add up as a random
    walk give :math:`a = -1/2`, a bounded second derivative :math:`a = 0`.

    Args:
        table: As in `worst_ratios`.
        at_least: How many units must switch.

    Returns:
        The mean exponent over the lines, with its 99% interval; the lines of one network share its
        units, so that it is a description of these networks rather than of all.
    """
    enough = table[(table.activation == "relu") & (table.num_switched >= at_least)]
    lines = [line for _, line in enough.groupby(["epochs", "direction"]) if len(line) >= 2]
    fits = [np.polyfit(np.log(line.distance), np.log(line.secant), 1)[0] for line in lines]
    return mean_interval(np.array(fits), LEVEL)


def summarise_benchmark(benchmark: pd.DataFrame) -> pd.DataFrame:
    """Reduce the benchmark to a row for each stage and method.

    Args:
        benchmark: One row a stage, method and batch.

    Returns:
        ``epochs``, ``method``, the number of batches, mean products, median ``seconds`` a batch,
        ``worst_error`` and ``overlap``: the mean of `kept_overlap` with the reference, for methods
        that scored all its batches.
    """
    rows = []
    for epochs, stage in benchmark.groupby("epochs"):
        exact = stage[stage.method == "reference"].sort_values("batch").eigenvalue.abs()
        for method, part in stage.groupby("method", sort=False):
            norms = part.sort_values("batch").eigenvalue.abs()
            complete = len(norms) == len(exact)
            row = {"epochs": epochs, "method": method, "num_batches": len(part)}
            row |= {"products": part.num_products.mean() or np.nan}  # 0 where it is not known
            row |= {"seconds": part.seconds.median(), "worst_error": part.relative_error.max()}
            overlap = kept_overlap(norms.to_numpy(), exact.to_numpy()) if complete else np.nan
            rows.append(row | {"overlap": overlap})
    return pd.DataFrame(rows)


def times_faster(benchmark: pd.DataFrame, mode: str) -> pd.DataFrame:
    """Compare the time of a mode of this library with each peer's, batch by batch.

    Args:
        benchmark: One row a stage, method and batch, each batch scored by all peers in turn.
        mode: "accurate" or "ranking".

    Returns:
        For each stage and peer the median, lowest and highest ratio of seconds over the batches.
    """
    seconds = benchmark.pivot(index=["epochs", "batch"], columns="method", values="seconds")
    seconds = seconds.drop(columns="reference").dropna()
    peers = [name for name in seconds.columns if name not in ("accurate", "ranking")]
    ratios = seconds[peers].div(seconds[mode], axis=0).stack().rename("ratio")
    groups = ratios.groupby(level=["epochs", "method"])
    return groups.agg(["median", "min", "max"]).reset_index()


def worst_ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Reduce secants to what the register asks, case by case.

    Args:
        table: Of `experiments.hessian_norm.tightness.tightness`, with ``activation`` and
            ``epochs``.

    Returns:
        For each network the largest ratio up to the distance 0.001 (``highest``), and the ratio
        farthest from 1 along the top eigenvector there (``along_top``).
    """
    near = table[table.distance <= NEAR * (1 + 1e-9)]
    cases = near.groupby(["activation", "epochs"], sort=False)
    along = near[near.direction == "eigenvector"].groupby(["activation", "epochs"], sort=False)
    farthest = along.ratio.agg(lambda ratios: ratios.iloc[(ratios - 1).abs().argmax()])
    return pd.DataFrame({"highest": cases.ratio.max(), "along_top": farthest}).reset_index()
