"""What the CIFAR-10 runs say: paired differences between methods, the claim decided."""

import pandas as pd

from liprune_utils.records import Claim, claim
from liprune_utils.stats import Estimate, mean_interval

MARGIN = 1.0  # points of test error, the register's margin at reduced scale
LEVEL = 0.90  # the register's level for equivalence
CELL = ["depth", "learning_rate", "prune_epoch", "keep_fraction"]


def mean_errors(curves: pd.DataFrame) -> pd.Series:
    """Average the test error over epochs.

    Args:
        curves: One row a run and epoch.

    Returns:
        Per cent, indexed by method, cell and seed.
    """
    return curves.groupby(["method", *CELL, "seed"]).test_error.mean()


def method_difference(curves: pd.DataFrame) -> Estimate:
    """Estimate by how much LiPrune's mean test error exceeds random pruning's, paired by seed.

    The seeds are the independent repetitions; the cells of one seed share batches and
    initialisation, so they are averaged first.

    Args:
        curves: One row a run and epoch.

    Returns:
        Points of test error, with a 90% interval over seeds.
    """
    errors = mean_errors(curves)
    return mean_interval((errors["liprune"] - errors["random"]).groupby("seed").mean(), LEVEL)


def control_difference(curves: pd.DataFrame) -> Estimate:
    """Estimate the positive control: random pruning, the largest against the smallest fraction.

    More batches an epoch mean more updates an epoch, so the difference must be negative; a
    comparison that cannot see it cannot see acceleration either.

    Args:
        curves: One row a run and epoch.

    Returns:
        Points of test error, with a 90% interval over seeds.
    """
    errors = mean_errors(curves)["random"].groupby(["keep_fraction", "seed"]).mean()
    fractions = errors.index.get_level_values("keep_fraction")
    return mean_interval(errors[fractions.max()] - errors[fractions.min()], LEVEL)


def precision_difference(runs: pd.DataFrame) -> pd.DataFrame:
    """Compare runs in bfloat16 with the same runs in float32, paired by seed.

    Args:
        runs: One row a run, with ``precision``, ``seed``, ``test_error`` and ``train_loss`` of the
            last epoch.

    Returns:
        For each of the two the mean ``difference``, bfloat16 less float32, with its 99% interval
        (``low``, ``high``), the standard deviation over seeds in float32, and the number of seeds.
    """
    rows = []
    for name in ("test_error", "train_loss"):
        table = runs.pivot(index="seed", columns="precision", values=name)
        gap = mean_interval(table.bfloat16 - table.float32, 0.99)
        spread = {"seed_sd": table.float32.std(), "num_seeds": len(table)}
        found = {"difference": gap.value, "low": gap.low, "high": gap.high}
        rows.append({"statistic": name.replace("_", " ")} | found | spread)
    return pd.DataFrame(rows)


def throughput(benchmark: pd.DataFrame) -> pd.DataFrame:
    """Reduce the benchmark of training to what it shows.

    Args:
        benchmark: One row a depth, method, fraction kept and turn, with ``images_per_second``.

    Returns:
        For each depth and method, all kept: median ``images_per_second``, and how many times those
        of common code: ``times_common``, the median over turns, the ``lowest`` and ``highest``.
    """
    whole = benchmark[benchmark.keep_fraction == 1]
    keys = {"index": ["depth", "turn"], "columns": "method", "values": "images_per_second"}
    rates = whole.pivot(**keys)
    times = rates.div(rates.common, axis=0).stack().groupby(["depth", "method"])
    found = times.agg(times_common="median", lowest="min", highest="max")
    found.insert(0, "images_per_second", rates.stack().groupby(["depth", "method"]).median())
    return found.reset_index()


def acceleration_claim(curves: pd.DataFrame, *, is_cifar10: bool, cost: float) -> Claim:
    """Decide "no advantage of LiPrune" by equivalence within the margin (register).

    Args:
        curves: One row a run and epoch.
        is_cifar10: Whether the images are CIFAR-10; a stand-in decides nothing.
        cost: Seconds of computing.

    Returns:
        The claim; "inconclusive" also where the positive control is not seen.
    """
    gap, control = method_difference(curves), control_difference(curves)
    seen = control.below(0.0) is True
    if not is_cifar10:
        verdict, note = "not-evaluated", "Handwritten digits stood in for CIFAR-10."
    elif seen and gap.within(-MARGIN, MARGIN):
        verdict, note = "holds", "The 90% interval lies within the margin of 1 point."
    elif seen and gap.high < -MARGIN:
        verdict, note = "does-not-hold", "LiPrune is ahead by more than the margin of 1 point."
    else:
        verdict = "inconclusive"
        note = (
            "A small live run: the 90% interval leaves the margin of 1 point. "
            if seen
            else "A small live run: even the positive control is not resolved. "
        ) + "Mean test error over epochs, LiPrune minus random, in points."
    return claim("cifar-no-acceleration", gap, verdict, cost=cost, note=note)
