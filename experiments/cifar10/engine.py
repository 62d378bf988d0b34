"""What recorded runs say of the training engine itself: its precision and its speed."""

import pandas as pd

from liprune_utils.intervals import mean_interval


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
