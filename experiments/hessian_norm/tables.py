"""The tables of page 08: overlaps, spreads, rank correlations, secants, and the benchmark."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler
from scipy.stats import bootstrap, spearmanr

from experiments.liprune.batch_spread import kept_gain
from liprune_utils.book.formats import number
from liprune_utils.book.register import margin
from liprune_utils.intervals import Estimate, mean_interval
from liprune_utils.pruning import keep_highest, num_kept, overlap

KEEP_FRACTIONS = np.arange(1, 10) / 10  # kept, over which overlaps are averaged
LEVEL = 0.99
NUM_RESAMPLES = 1999
RANDOM_WALK = -0.5  # exponent of secants whose jumps add up like the steps of a random walk
DISTANCES = [10.0**-power for power in range(1, 8)]


def spreads(scores: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Measure how much batches differ, group by group."""
    rows = []
    for key, group in scores.groupby(by):
        norms = group.norm.to_numpy()
        spread = _bootstrap(_relative_sd, norms)
        row = {"num_batches": len(group), "mean_norm": norms.mean(), "gain": kept_gain(norms, 0.2)}
        row |= {"relative_sd": spread.value, "low": spread.low, "high": spread.high}
        row |= {"num_negative": int((group.eigenvalue < 0).sum())}
        rows.append(dict(zip(by, key, strict=True)) | row)
    return pd.DataFrame(rows)


def _relative_sd(norms: np.ndarray) -> float:
    return float(np.std(norms, ddof=1) / np.mean(norms))


def _bootstrap(statistic: Callable[..., float], *samples: np.ndarray) -> Estimate:
    """Estimate a statistic of paired samples with a percentile interval."""
    interval = bootstrap(
        samples, statistic, paired=True, vectorized=False, n_resamples=NUM_RESAMPLES,
        confidence_level=LEVEL, method="percentile", rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return Estimate(float(statistic(*samples)), interval.low, interval.high, len(samples[0]))


def spread_exponent(scores: pd.DataFrame) -> Estimate:
    r"""Fit the exponent a of :math:`\mathrm{sd} / \mathrm{mean} \propto B^a` by least squares."""
    # A bootstrap: batches are drawn again within each size.
    draw = np.random.default_rng(0)
    groups = {size: group.norm.to_numpy() for size, group in scores.groupby("batch_size")}
    logs = np.log(list(groups))

    def fit(samples: list[np.ndarray]) -> float:
        return float(np.polyfit(logs, np.log([_relative_sd(norms) for norms in samples]), 1)[0])

    fits = [fit([draw.choice(g, len(g)) for g in groups.values()]) for _ in range(NUM_RESAMPLES)]
    low, high = np.quantile(fits, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(fit(list(groups.values())), float(low), float(high), len(scores))


def agreements(scores: pd.DataFrame, epochs: tuple[int, int]) -> pd.DataFrame:
    """Compare the ranking between seeds, over training, and between modes of batch norm."""
    networks = dict(iter(scores.groupby(["seed", "epoch", "batch_norm"])))
    last = epochs[1]
    pairs = [
        ("seeds", f"seed 0 and {seed}, epoch {epoch}", (0, epoch, "train"), (seed, epoch, "train"))
        for epoch in epochs for seed in sorted(set(scores.seed) - {0})
    ]  # fmt: skip
    times = sorted(epoch for seed, epoch, mode in networks if (seed, mode) == (0, "train"))
    pairs += [
        ("training", f"epoch {epoch} and {last}", (0, epoch, "train"), (0, last, "train"))
        for epoch in times[:-1]
    ]
    pairs += [
        ("batch norm", f"train and eval, epoch {epoch}", (0, epoch, "train"), (0, epoch, "eval"))
        for epoch in epochs
    ]
    return pd.DataFrame([
        {"kind": kind, "comparison": title} | _rank_agreement(networks[one], networks[other])
        for kind, title, one, other in pairs
    ])  # fmt: skip


def _rank_agreement(one: pd.DataFrame, other: pd.DataFrame) -> dict[str, float]:
    """Compare how two networks, or one in two modes, rank the same batches."""
    pairs = one.merge(other, on="batch", suffixes=("", "_other"))
    first, second = pairs.norm.to_numpy(), pairs.norm_other.to_numpy()
    estimate = _bootstrap(lambda a, b: spearmanr(a, b).statistic, first, second)
    count = len(pairs)
    by_chance = np.mean([num_kept(count, fraction) / count for fraction in KEEP_FRACTIONS])
    return {
        "num_batches": count, "correlation": estimate.value, "low": estimate.low,
        "high": estimate.high, "overlap": _kept_overlap(first, second), "chance": float(by_chance),
    }  # fmt: skip


def _kept_overlap(scores: np.ndarray, exact: np.ndarray) -> float:
    """Average the share of the rightly kept over the fractions 0.1, 0.2, ..., 0.9."""
    pairs = [[keep_highest(s, fraction) for s in (exact, scores)] for fraction in KEEP_FRACTIONS]
    return float(np.mean([overlap(*pair) for pair in pairs]))


def worst_ratios(secants: pd.DataFrame) -> pd.DataFrame:
    """Reduce secants to what the register asks, network by network."""
    near = secants[secants.distance <= margin("hessian-tight", "distance") * (1 + 1e-9)]
    network = ["activation", "epochs"]
    along = near[near.direction == "eigenvector"].groupby(network, sort=False)
    farthest = along.ratio.agg(lambda ratios: ratios.iloc[(ratios - 1).abs().argmax()])
    highest = near.groupby(network, sort=False).ratio.max()
    return pd.DataFrame({"highest": highest, "along_top": farthest}).reset_index()


def switching_exponent(secants: pd.DataFrame) -> Estimate:
    r"""Fit the exponent a of :math:`\mathrm{secant} \propto \epsilon^a` where ReLU units switch."""
    # One line for each network and direction, over the distances at which ten units switch or more.
    enough = secants[(secants.activation == "relu") & (secants.num_switched >= 10)]
    lines = [line for _, line in enough.groupby(["epochs", "direction"]) if len(line) >= 2]
    fits = [np.polyfit(np.log(line.distance), np.log(line.secant), 1)[0] for line in lines]
    return mean_interval(np.array(fits), LEVEL)


def walk_comparison(exponent: Estimate) -> str:
    """Say whether the secants grow as fast as if the jumps added up like a random walk."""
    below = exponent.below(RANDOM_WALK)
    if below is None:
        return f"That interval contains {number(RANDOM_WALK)}, so a random walk may explain them"
    pace = "faster" if below else "more slowly"
    return f"The secants grow {pace} than a random walk of jumps would make them"


def switching_table(secants: pd.DataFrame, epochs: int) -> pd.DataFrame:
    """List a ReLU network's secants along the top eigenvector, with columns named for readers."""
    names = {"distance": "distance", "num_switched": "units that switch", "secant": "secant"}
    names |= {"tangent": "Hessian × eigenvector", "ratio": "secant / Hessian norm"}
    chosen = (secants.activation == "relu") & (secants.direction == "eigenvector")
    return secants[chosen & (secants.epochs == epochs)][[*names]].rename(columns=names)


def epoch_table(by_epoch: pd.DataFrame) -> pd.DataFrame:
    """List how much batches differ at each stage of training, with columns named for readers."""
    names = {"epoch": "start of epoch", "num_batches": "batches", "mean_norm": "mean norm"}
    names |= {"relative_sd": "standard deviation / mean", "gain": "mean of the top fifth / mean"}
    names |= {"num_negative": "negative eigenvalues"}
    return by_epoch[[*names]].rename(columns=names)


def with_interval(estimate: Estimate, counted: str, unit: str = "") -> str:
    """Write an estimate with its 99% interval and what it rests on."""
    value, low, high = map(number, estimate[:3])
    unit = f" {unit}" if unit else ""
    return f"{value}{unit} ({LEVEL:.0%} interval {low} to {high}, {counted})"


def summarise_benchmark(benchmark: pd.DataFrame) -> pd.DataFrame:
    """Reduce the benchmark to one row per stage and method."""
    table = []
    for epochs, stage in benchmark.groupby("epochs"):
        exact = stage[stage.method == "reference"].sort_values("batch").eigenvalue.abs()
        for method, rows in stage.groupby("method", sort=False):
            norms = rows.sort_values("batch").eigenvalue.abs()
            complete = len(norms) == len(exact)
            row = {"epochs": epochs, "method": method, "num_batches": len(rows)}
            row |= {"products": rows.num_products.mean() or np.nan}  # 0 where it is not known
            row |= {"seconds": rows.seconds.median(), "worst_error": rows.relative_error.max()}
            share = _kept_overlap(norms.to_numpy(), exact.to_numpy()) if complete else np.nan
            table.append(row | {"overlap": share})
    return pd.DataFrame(table)


def times_faster(benchmark: pd.DataFrame, mode: str) -> pd.DataFrame:
    """Compare the time of a mode of this library with each peer's, batch by batch."""
    seconds = benchmark.pivot(index=["epochs", "batch"], columns="method", values="seconds")
    seconds = seconds.drop(columns="reference").dropna()
    peers = [name for name in seconds.columns if name not in ("accurate", "ranking")]
    ratios = seconds[peers].div(seconds[mode], axis=0).stack().rename("ratio")
    groups = ratios.groupby(level=["epochs", "method"])
    return groups.agg(["median", "min", "max"]).reset_index()


def against_pyhessian(benchmark: pd.DataFrame) -> pd.DataFrame:
    """Compare this library's times and errors with PyHessian's, one row per network and stage."""
    keys, rows = ["network", "epochs"], []
    for (network, epochs), group in benchmark.groupby(keys, sort=False):
        by_method = group.set_index("batch").groupby("method")
        ours, peer = (by_method.get_group(name) for name in ("accurate", "PyHessian"))
        row = {"network": network, "epochs": epochs, "num_batches": len(ours)}
        row |= {"times_faster": (peer.seconds / ours.seconds).median()}
        row |= {"seconds": ours.seconds.median(), "seconds_pyhessian": peer.seconds.median()}
        row |= {"derivatives": (ours.derivative_seconds / ours.seconds).median()}
        row |= {"products": ours.num_products.mean()}
        row |= {"products_pyhessian": peer.num_products.mean()}
        row |= {"worst_error": ours.relative_error.max()}
        rows.append(row | {"worst_error_pyhessian": peer.relative_error.max()})
    return pd.DataFrame(rows)


def pyhessian_table(ratios: pd.DataFrame) -> Styler:
    """List the comparison for readers, PyHessian's own numbers in brackets."""
    table = ratios[["network", "epochs", "times_faster", "derivatives"]]
    table.columns = ["network", "epochs trained", "times faster", "time in derivatives"]
    formats = {"products": "{:.1f}", "worst_error": "{:.1g}"}
    pairs = {
        f"{name.replace('_', ' ')} (PyHessian's)": [
            f"{number.format(own)} ({number.format(peer)})"
            for own, peer in ratios[[name, f"{name}_pyhessian"]].to_numpy()
        ]
        for name, number in formats.items()
    }
    style = table.assign(**pairs).style.hide()
    return style.format({"times faster": "{:.2f}", "time in derivatives": "{:.0%}"})
