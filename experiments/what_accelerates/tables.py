"""What the runs of page 05 say: tables, closed forms beside them, and three claims decided."""

from itertools import product

import numpy as np
import pandas as pd

from experiments.linear_model.runs import NUM_STEPS, Runs
from experiments.linear_model.tables import closed_form_table
from experiments.what_accelerates.closed_forms import (
    BATCH_SIZE,
    KEEP_FRACTIONS,
    LEARNING_RATE,
    TARGET_STEPS,
    best_rates,
    crossing_rate,
    importance_square,
    noise_floor,
    square_factor,
    stability_limit,
    step_multiplier,
    typical_moments,
)
from experiments.what_accelerates.runs import BATCH_SIZES, CONTRACTION, LIMIT_SHARES, Experiment
from liprune_utils.intervals import Estimate, mean_interval, ratio_interval, standard_error
from liprune_utils.problems import NOISE_SD
from liprune_utils.sgd import exact_moments

STEP = 10  # register: figure-1-mechanism and batch-size
BASE = ("batch", BATCH_SIZE)


def methods_at(x: Experiment, keep_fraction: float) -> dict[str, Runs]:
    """Collect the runs of every method in the paper's setting.

    Args:
        x: The runs.
        keep_fraction: Fraction kept.

    Returns:
        The runs by method: "matched" is random pruning with LiPrune's mean step, "unbiased" samples
        all points with p proportional to L, "theorem2" does so in a fraction of the steps.
    """
    r = keep_fraction
    return {
        "liprune": x.of(BASE, "liprune", r),
        "random": x.of(BASE, "random", r),
        "matched": x.of(("matched", r), "random", r),
        "unbiased": x.unbiased[LEARNING_RATE, 1.0],
        "theorem2": x.unbiased[LEARNING_RATE, r],
        "none": x.of(BASE, "none", 1.0),
    }


def curve_table(x: Experiment) -> pd.DataFrame:
    """Tabulate the mean excess test loss of every method in the paper's setting.

    Args:
        x: The runs.

    Returns:
        One row a keep fraction, method and step.
    """
    tables = []
    for fraction in KEEP_FRACTIONS:
        for method, runs in methods_at(x, fraction).items():
            excess = runs.excess_test_loss()
            columns = {"keep_fraction": fraction, "method": method, "step": range(NUM_STEPS + 1)}
            columns |= {"excess": excess.mean(axis=1), "excess_se": standard_error(excess.T)}
            tables.append(pd.DataFrame(columns | {"num_runs": excess.shape[1]}))
    return pd.concat(tables, ignore_index=True)


def mechanism_table(x: Experiment) -> pd.DataFrame:
    """Compute how much of the gap between random pruning and LiPrune other methods close.

    Args:
        x: The runs.

    Returns:
        One row a keep fraction and method: ``share`` of the gap in excess test loss at step 10,
        1 being LiPrune's and 0 random pruning's, with its 99% interval.
    """
    rows = []
    for fraction in KEEP_FRACTIONS:
        runs = methods_at(x, fraction)
        excess = {method: r.excess_test_loss()[STEP] for method, r in runs.items()}
        gap = excess["random"] - excess["liprune"]
        for method in ("matched", "unbiased", "theorem2"):
            share = ratio_interval(excess["random"] - excess[method], gap)
            columns = {"keep_fraction": fraction, "multiplier": step_multiplier(fraction)}
            rows.append(columns | {"method": method} | in_columns("share", share))
    return pd.DataFrame(rows)


def in_columns(name: str, estimate: Estimate) -> dict[str, float]:
    """Put an estimate into columns of a table.

    Args:
        name: What is estimated.
        estimate: The estimate.

    Returns:
        The value under its name, ``low``, ``high`` and ``num_runs``.
    """
    return dict(zip((name, "low", "high", "num_runs"), estimate, strict=True))


def best_table(x: Experiment) -> pd.DataFrame:
    """Compare the methods, each at the step size that is best for it.

    Args:
        x: The runs.

    Returns:
        One row a number of steps, keep fraction and rival of LiPrune: both step sizes, both mean
        excess test losses, and their ``ratio``, LiPrune over the rival, with its 99% interval.
    """
    rates, rows = best_rates(x.of(BASE, "none", 1.0).slope), []
    rivals = ("random", "none", "unbiased")
    for steps, fraction, rival in product(TARGET_STEPS, KEEP_FRACTIONS, rivals):
        own = fraction if rival == "random" else 1.0
        ours = x.of(("best", steps, "liprune", fraction), "liprune", fraction)
        if rival == "unbiased":
            theirs = x.unbiased[rates[steps, rival, own], 1.0]
        else:
            theirs = x.of(("best", steps, rival, own), rival, own)
        excess = [r.excess_test_loss()[steps] for r in (ours, theirs)]
        columns = {"step": steps, "keep_fraction": fraction, "rival": rival}
        columns |= {"excess": excess[0].mean(), "rival_excess": excess[1].mean()}
        columns |= {
            "rate": rates[steps, "liprune", fraction],
            "rival_rate": rates[steps, rival, own],
        }
        rows.append(columns | in_columns("ratio", ratio_interval(*excess)))
    return pd.DataFrame(rows)


def floor_table(x: Experiment) -> pd.DataFrame:
    """Compare the noise floors of the methods at equal mean contraction.

    Args:
        x: The runs.

    Returns:
        One row a keep fraction and rival of LiPrune: the measured ``ratio`` of excess test losses
        at the last step, the rival over LiPrune, and the ``expected`` one on a typical data set.
    """
    rows = []
    whole = typical_moments(1.0, "random")
    for fraction in KEEP_FRACTIONS:
        key, rate = ("floor", "random", fraction), CONTRACTION / float(whole.xx[0])
        ours = x.of(("floor", "liprune", fraction), "liprune", fraction)
        kept = typical_moments(fraction, "liprune"), typical_moments(fraction, "random")
        floor = noise_floor(kept[0], BATCH_SIZE, ours.setting.learning_rate)
        options = {"batch_size": BATCH_SIZE, "num_steps": 1000, "slope": 0.0}
        rivals = {
            "random": (x.of(key, "random", fraction), noise_floor(kept[1], BATCH_SIZE, rate)),
            "none": (x.of(key, "none", 1.0), noise_floor(whole, BATCH_SIZE, rate)),
            "unbiased": (
                x.unbiased[rate, 1.0],
                importance_square(whole, learning_rate=rate, **options)[-1],
            ),
        }
        for rival, (runs, theirs) in rivals.items():
            ratio = ratio_interval(*(r.excess_test_loss()[-1] for r in (runs, ours)))
            columns = {"keep_fraction": fraction, "multiplier": step_multiplier(fraction)}
            columns |= {"rival": rival, "expected": float(theirs[0] / floor[0])}
            rows.append(columns | in_columns("ratio", ratio))
    return pd.DataFrame(rows)


def check_table(x: Experiment) -> pd.DataFrame:
    """Hold every simulated mean against its closed form on the same data sets.

    The kept sets of LiPrune and random pruning should share the fraction kept, on average.
    Rates near a stability limit are left to `contraction_table`: there the mean rests on a few
    runs that grow, and a standard error says little after many steps.

    Args:
        x: The runs.

    Returns:
        One row a curve and step: what was simulated, and the distance in standard errors, ``z``.
    """
    left_out = {setting.figure for key, setting in x.plan.items() if key[0] == "limit"}
    runs = {cell: runs for cell, runs in x.runs.items() if cell.figure not in left_out}
    table = closed_form_table(runs)
    table = table[(table.loss == "test") & (table.step > 0)]
    tables = [pd.DataFrame({"what": "pruned points", "step": table.step, "z": table.z})]
    for (rate, probability), runs in x.unbiased.items():
        options = {"batch_size": BATCH_SIZE, "learning_rate": rate, "num_steps": NUM_STEPS}
        options |= {"slope": runs.slope, "keep_probability": probability}
        expected = importance_square(runs.sets["full"], **options)
        tables.append(_distances("unbiased sampling", runs.error**2, expected))
    for (_, fraction), pruned in x.pruned.items():
        z = (pruned.overlap.mean() - fraction) / standard_error(pruned.overlap)
        tables.append(pd.DataFrame({"what": "overlap of the kept sets", "step": 0, "z": [z]}))
        for runs in pruned[:2]:
            tables.append(_distances("pruned batches", runs.error**2, batch_square(runs)))
    return pd.concat(tables, ignore_index=True)


# Distances of simulated from expected means in standard errors, steps from 1 on.
def _distances(what: str, simulated: np.ndarray, expected: np.ndarray) -> pd.DataFrame:
    difference = (simulated - expected)[1:]
    z = difference.mean(axis=1) / standard_error(difference.T)
    return pd.DataFrame({"what": what, "step": range(1, len(z) + 1), "z": z})


def batch_square(runs: Runs) -> np.ndarray:
    r"""Compute :math:`E(w_t - w^*)^2` for fixed batches, given the inputs.

    A batch is like a point: its mean of :math:`x^2` is its :math:`x^2`, and its mean of
    :math:`x \nu` has the variance :math:`\sigma^2 x^2 / B`.

    Args:
        runs: Runs whose "kept" set has a point for each batch.

    Returns:
        Array of shape ``[NUM_STEPS + 1, num_runs]``.
    """
    return exact_moments(
        runs.sets["kept"],
        batch_size=1,
        learning_rate=runs.setting.learning_rate,
        num_steps=NUM_STEPS,
        slope=runs.slope,
        noise_sd=NOISE_SD / np.sqrt(runs.setting.batch_size),
    ).square


def limit_table(x: Experiment) -> pd.DataFrame:
    """Compute where each method stops converging, and where LiPrune stops contracting faster.

    Args:
        x: The runs, for their data sets.

    Returns:
        One row a keep fraction and batch size: means over data sets of both limits and of the
        crossing, and the ``share`` of random pruning's range below the crossing with its 99%
        interval.
    """
    rows = []
    for fraction, size in product(KEEP_FRACTIONS, BATCH_SIZES):
        kept = [x.of(BASE, m, fraction).sets["kept"] for m in ("liprune", "random")]
        limits = [stability_limit(moments, size) for moments in kept]
        crossing = crossing_rate(*kept, size)
        columns = {"keep_fraction": fraction, "batch_size": size, "crossing": crossing.mean()}
        columns |= {"liprune": limits[0].mean(), "random": limits[1].mean()}
        share = mean_interval(np.minimum(crossing / limits[1], 1.0))
        rows.append(columns | in_columns("share", share))
    return pd.DataFrame(rows)


def contraction_table(x: Experiment) -> pd.DataFrame:
    r"""Measure the contraction of the first step at several rates.

    :math:`(E e_1^2 - \eta^2 \sigma^2 m / B) / w^{*2}` should be :math:`q`, here averaged over data
    sets.

    Args:
        x: The runs.

    Returns:
        One row a keep fraction, method and rate: ``measured``, ``expected``, and ``z``.
    """
    rows = []
    for fraction, method in product(KEEP_FRACTIONS, ("liprune", "random")):
        limits = product(LIMIT_SHARES, ("liprune", "random"))
        keys = [BASE, *(("limit", share, of, fraction) for share, of in limits)]
        for runs in (x.of(key, method, fraction) for key in keys):
            kept, rate = runs.sets["kept"], runs.setting.learning_rate
            noise = rate**2 * NOISE_SD**2 * kept.xx / BATCH_SIZE
            factor = (runs.error[1] ** 2 - noise) / runs.slope**2
            expected = square_factor(kept, BATCH_SIZE, rate)
            z = (factor - expected).mean() / standard_error(factor - expected)
            columns = {"keep_fraction": fraction, "method": method, "learning_rate": rate}
            rows.append(columns | {"measured": factor.mean(), "expected": expected.mean(), "z": z})
    return pd.DataFrame(rows)
