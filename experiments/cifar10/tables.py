"""Tables of the CIFAR-10 runs: paired differences, cell by cell and pooled; precision and speed."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from liprune_utils.book.formats import difference, number, to_settle
from liprune_utils.book.register import load_register
from liprune_utils.intervals import Estimate, crossed_mean, mean_interval, runs_to_settle
from liprune_utils.speed_up import SpeedUp, speed_up

LEVEL = load_register()["cifar-no-acceleration-b"]["level"]
CELL = ["depth", "learning_rate", "prune_epoch", "keep_fraction"]
STATISTICS = ("mean_error", "final_error")
MANY_CELLS = 8  # from here on cells are random effects
LEAST_EPOCHS, LEAST_SPAN = 8, 3.0  # of a speed-up: before the rate falls; in points of error


def select(curves: pd.DataFrame, **levels: float) -> pd.DataFrame:
    """Select cells, with the runs without pruning that belong to them."""
    for name, value in levels.items():
        pruning = name in ("prune_epoch", "keep_fraction")
        curves = curves[(curves[name] == value) | (pruning & (curves.method == "none"))]
    return curves


def cells(curves: pd.DataFrame) -> dict[str, dict[str, float]]:
    """List the cells of a grid by name."""
    groups = curves[curves.method != "none"].groupby(CELL).groups
    return {_cell_name(values): dict(zip(CELL, values, strict=True)) for values in groups}


def _cell_name(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _after_pruning(curves: pd.DataFrame) -> pd.DataFrame:
    """Put the test errors of the methods side by side, from the pruning on."""
    after = curves[(curves.method != "none") & (curves.epoch >= curves.prune_epoch)]
    return after.pivot(index=[*CELL, "seed", "epoch"], columns="method", values="test_error")


def pairs(curves: pd.DataFrame) -> pd.DataFrame:
    """Put LiPrune's test errors beside random pruning's, where both have run."""
    return _after_pruning(curves)[["liprune", "random"]].dropna()


def differences(curves: pd.DataFrame) -> pd.DataFrame:
    """Subtract random pruning from LiPrune, pair by pair."""
    errors, keys = pairs(curves), [*CELL, "seed"]
    gap = (errors.liprune - errors.random).groupby(keys)
    return pd.DataFrame({"mean_error": gap.mean(), "final_error": gap.last()}).reset_index()


def pooled(table: pd.DataFrame, statistic: str) -> Estimate:
    """Pool differences over cells and seeds, by the register's rule for intervals; n: pairs."""
    found = _pool(table.pivot(index=CELL, columns="seed", values=statistic))
    return found._replace(num_runs=len(table))


# One row per cell, one column per seed; the seeds are random, the cells where there are many.
def _pool(values: pd.DataFrame) -> Estimate:
    return crossed_mean(values if len(values) >= MANY_CELLS else values.mean().to_frame().T, LEVEL)


def contrast(table: pd.DataFrame, column: str, first: float, second: float) -> Estimate:
    """Compare LiPrune's difference in mean error between two levels of a setting; n: seeds."""
    others = [name for name in CELL if name != column]
    by_level = table.pivot(index=others, columns=[column, "seed"], values="mean_error")
    found = _pool(by_level[first] - by_level[second])
    return found._replace(num_runs=table.seed.nunique())


def before_decay(curves: pd.DataFrame, decay: int) -> pd.DataFrame:
    """Select the epochs before the rate falls in the cells whose speed-up counts."""
    early = decay - curves.prune_epoch >= LEAST_EPOCHS
    return curves[early & (curves.epoch < decay) & (curves.method != "none")]


def error_speed_up(curves: pd.DataFrame, method: str = "liprune") -> SpeedUp:
    """Estimate a method's speed-up over random pruning from the test errors since the pruning."""
    after = curves[curves.epoch >= curves.prune_epoch]
    cells_of = {
        name: {cell: _by_seed(rows) for cell, rows in after[after.method == name].groupby(CELL)}
        for name in (method, "random")
    }
    rivals = {cell: cells_of["random"][cell] for cell in cells_of[method]}
    return speed_up(rivals, cells_of[method], least_span=LEAST_SPAN, level=LEVEL)


def _by_seed(rows: pd.DataFrame) -> np.ndarray:
    return rows.pivot(index="seed", columns="epoch", values="test_error").to_numpy()


def control_difference(curves: pd.DataFrame) -> Estimate:
    """Estimate the positive control: random pruning, the largest less the smallest fraction.

    More batches per epoch mean more updates, so the difference must be negative. A comparison that
    cannot detect it cannot detect acceleration either.
    """
    errors = _after_pruning(curves).random.groupby([*CELL, "seed"]).mean()
    by_fraction = errors.unstack(["keep_fraction", "seed"])
    fractions = by_fraction.columns.get_level_values("keep_fraction")
    return _pool((by_fraction[fractions.max()] - by_fraction[fractions.min()]).dropna())


def last_errors(curves: pd.DataFrame) -> pd.DataFrame:
    """Put the last test errors of the three methods side by side."""
    last = curves[curves.epoch == curves.epoch.max()]
    keys = ["depth", "learning_rate", "seed"]
    none = last[last.method == "none"].set_index(keys).test_error.rename("none")
    kept = last[last.method != "none"]
    table = kept.pivot(index=[*CELL, "seed"], columns="method", values="test_error")
    return table.reset_index().rename_axis(columns=None).join(none, on=keys)


def final_table(curves: pd.DataFrame) -> pd.DataFrame:
    """Summarise the last test error of each cell and method."""
    methods = ["liprune", "random", "none"]
    errors = last_errors(curves).melt(CELL, methods, "method", "test_error").dropna()
    groups = errors.groupby([*CELL, "method"], sort=False).test_error
    return groups.agg(mean="mean", sd="std", num_seeds="size").reset_index()


def effect_table(curves: pd.DataFrame) -> pd.DataFrame:
    """Estimate LiPrune's difference from random pruning in each cell, by level, and pooled."""
    table = differences(curves)
    groups = [("cell", _cell_name(key), rows) for key, rows in table.groupby(CELL)]
    for column, words in (("learning_rate", "rate"), ("prune_epoch", "pruned at epoch")):
        levels = table.groupby(column)
        groups += [(column, f"all, {words} {level:g}", rows) for level, rows in levels]
    groups.append(("all", "all", table))
    estimates = [
        {"statistic": statistic, "scope": scope, "name": name}
        | pooled(rows, statistic).columns("difference")
        for statistic in STATISTICS
        for scope, name, rows in groups
    ]
    return pd.DataFrame(estimates).rename(columns={"num_runs": "num_pairs"})


def equal_updates(curves: pd.DataFrame) -> pd.DataFrame:
    """Compare pruned runs with no pruning after as many updates, not epochs."""
    tables = []
    for _, runs in curves.groupby(["depth", "learning_rate", "seed"]):
        none = runs[runs.method == "none"].sort_values("num_updates")
        if none.empty:
            continue
        kept = runs[(runs.method != "none") & (runs.epoch >= runs.prune_epoch)]
        known = (none.num_updates, none.test_error)
        expected = np.interp(kept.num_updates, *known, left=np.nan)
        tables.append(kept.assign(none_error=expected, difference=kept.test_error - expected))
    return pd.concat(tables, ignore_index=True)


def faults(curves: pd.DataFrame) -> list[str]:
    """List what is impossible in curves of paired runs."""
    messages = []
    if not curves.test_error.between(0, 100).all():
        messages.append("A test error lies outside 0 to 100 per cent.")
    kept = curves[curves.method != "none"].groupby([*CELL, "seed"])
    if not kept.apply(_same_updates).all():
        messages.append("LiPrune and random pruning differ in their number of updates.")
    early = curves[(curves.epoch < curves.prune_epoch) | (curves.method == "none")]
    shared = early.groupby(["depth", "learning_rate", "seed", "epoch"])
    if (shared[["test_error", "train_loss"]].nunique() > 1).any(axis=None):
        messages.append("Runs of one seed differ before they prune.")
    return messages


# Random pruning may run alone, as the positive control.
def _same_updates(runs: pd.DataFrame) -> bool:
    updates = runs.groupby("epoch").num_updates
    num_methods = 2 if "liprune" in set(runs.method) else 1
    return bool((updates.nunique() == 1).all() and (updates.size() == num_methods).all())


def record_table(
    records: Mapping[str, tuple[pd.DataFrame, Mapping[str, object]]],
) -> pd.DataFrame:
    """Describe recorded runs for a reader: of each record its table of runs, and its grid."""
    rows = [
        {
            "record": name, "ResNets": " and ".join(map(str, sorted(runs.depth.unique()))),
            "training images": grid["num_images"], "epochs": grid["num_epochs"],
            "seeds": runs.seed.nunique(), "runs": len(runs),
            "hours": round(runs.seconds.sum() / 3600, 1), "data": grid["data_source"],
        }
        for name, (runs, grid) in records.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def precision_difference(runs: pd.DataFrame) -> pd.DataFrame:
    """Compare runs in bfloat16 with the same runs in float32, paired by seed."""
    rows = []
    for name in ("test_error", "train_loss"):
        table = runs.pivot(index="seed", columns="precision", values=name)
        gap = mean_interval(table.bfloat16 - table.float32, 0.99)
        spread = {"seed_sd": table.float32.std(), "num_seeds": len(table)}
        estimate = {"difference": gap.value, "low": gap.low, "high": gap.high}
        rows.append({"statistic": name.replace("_", " ")} | estimate | spread)
    return pd.DataFrame(rows)


def to_settle_in_words(estimate: Estimate, bound: float, num_seeds: int, seconds: float) -> str:
    """Say how many seeds would decide, and what they cost if they run as these did."""
    share = runs_to_settle(estimate, bound, num_seeds) / num_seeds - 1
    hours = number(seconds * share / 3600, 1)
    return f"{to_settle(estimate, bound, num_seeds)} They take some {hours} more hours of runs."


def machines_in_words(
    runs: pd.DataFrame, scores: pd.DataFrame, gaps: pd.DataFrame, commit: str
) -> str:
    """Say what ran on a GPU, known by its commit, and whether the machine makes a difference.

    ``gaps`` is the table of `differences` of these runs, and ``scores`` are theirs.
    """
    on_gpu = (runs.commit == commit).groupby(runs.seed).mean()
    of_seed = gaps.groupby("seed").mean_error.mean()
    groups = {
        "on CPUs": on_gpu == 0, "on a GPU": on_gpu == 1, "on both": on_gpu.between(0, 1, "neither"),
    }  # fmt: skip
    listed = [
        f"{name} (seed{'s' * int(chosen.sum() > 1)} {', '.join(map(str, on_gpu.index[chosen]))}), "
        f"{of_seed[chosen].mean():+.2f}"
        for name, chosen in groups.items()
        if chosen.any()
    ]
    means = "; ".join(listed).replace("-", "\N{MINUS SIGN}")
    return (
        f"The runs of a pair come from one machine. LiPrune's mean test error less that of random "
        f"pruning, in points: {means}. So few seeds cannot tell a machine from its seeds. "
        f"{_scored_twice(scores)}"
    )


def _scored_twice(scores: pd.DataFrame) -> str:
    """Compare the scores of networks before training, which have no rate yet."""
    first = scores[scores.prune_epoch == 1]
    norms, kept = (
        first.pivot(index=["seed", "batch"], columns="learning_rate", values=name)
        for name in ("norm", "kept")
    )
    off = (norms.max(axis=1) / norms.min(axis=1) - 1).groupby("seed").max()
    seed = off.idxmax()
    same, count = kept.loc[seed].all(axis=1).sum(), kept.loc[seed].any(axis=1).sum()
    return (
        f"Before training both score the same network of seed {seed}: norms differ by at most "
        f"{off[seed]:.2%}, and of {count} batches that one keeps the other keeps {same}."
    )


def trial_in_words(agreement: pd.DataFrame) -> str:
    """Say how a trial on a GPU differed from the same runs on CPUs, seed by seed."""
    rows = dict(iter(agreement.groupby("method")))
    gaps = {
        method: difference(mean_interval(runs.difference.to_numpy(), LEVEL), "points", level=LEVEL)
        for method, runs in rows.items()
    }
    same = rows["liprune"].same_images_kept
    return (
        f"A trial did the same short runs of {len(same)} seeds on both. On the GPU the last test "
        f"error is {gaps['none']} without pruning, and {gaps['liprune']} with LiPrune. There "
        f"each machine trains its network for an epoch before it scores, and rounding makes them "
        f"two: of the images that one keeps the other keeps {same.min():.0%} to {same.max():.0%}."
    )


def throughput(benchmark: pd.DataFrame) -> pd.DataFrame:
    """Reduce the benchmark of training to what it shows."""
    unpruned = benchmark[benchmark.keep_fraction == 1]
    rates = unpruned.pivot(index=["depth", "turn"], columns="method", values="images_per_second")
    times = rates.div(rates.common, axis=0).stack().groupby(["depth", "method"])
    table = times.agg(times_common="median", lowest="min", highest="max")
    table.insert(0, "images_per_second", rates.stack().groupby(["depth", "method"]).median())
    return table.reset_index()
