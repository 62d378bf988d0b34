"""The tables of page 05, with closed forms beside the runs."""

from itertools import product

import numpy as np
import pandas as pd

from experiments.linear_model.runs import KEEP_FRACTIONS, NUM_STEPS, Paths
from experiments.linear_model.tables import closed_form_table, typical_moments
from experiments.what_accelerates.closed_forms import (
    BATCH_SIZE,
    LEARNING_RATE,
    TARGET_STEPS,
    best_rates,
    crossing_rate,
    importance_square,
    settled_square,
    square_factor,
    stability_limit,
    step_multiplier,
)
from experiments.what_accelerates.fixed_batches import BATCH_SIZES, FixedBatches, expected_square
from experiments.what_accelerates.runs import CONTRACTION, LIMIT_SHARES, Experiment
from liprune_utils.intervals import Estimate, mean_interval, ratio_interval, standard_error
from liprune_utils.problems import NOISE_SD

STEP = 10  # register: figure-1-mechanism and batch-size
BASE = ("batch", BATCH_SIZE)
PRUNED = ("points", "batches")


def all_tables(experiment: Experiment) -> dict[str, pd.DataFrame]:
    """Compute the tables of the page by the names of their files."""
    return {
        "curves": curve_table(experiment),
        "mechanism": mechanism_table(experiment),
        "best": best_table(experiment),
        "floors": floor_table(experiment),
        "limits": limit_table(experiment),
        "contraction": contraction_table(experiment),
        "batches": batch_table(experiment),
        "checks": check_table(experiment),
    }


def _methods_at(experiment: Experiment, keep_fraction: float) -> dict[str, Paths]:
    """Collect the paths of every method in the paper's setting."""
    pruned, unbiased = experiment.pruned[BASE], experiment.unbiased
    return {
        "liprune": pruned["liprune", keep_fraction],
        "random": pruned["random", keep_fraction],
        "matched": experiment.pruned["matched", keep_fraction]["random", keep_fraction],
        "unbiased": unbiased[LEARNING_RATE, 1.0],
        "theorem2": unbiased[LEARNING_RATE, keep_fraction],
        "none": pruned["none", 1.0],
    }


def curve_table(experiment: Experiment) -> pd.DataFrame:
    """Tabulate the mean excess test loss of every method in the paper's setting."""
    tables = []
    for fraction in KEEP_FRACTIONS:
        for method, paths in _methods_at(experiment, fraction).items():
            excess = paths.excess_test_loss()
            columns = {"keep_fraction": fraction, "method": method, "step": range(NUM_STEPS + 1)}
            columns |= {"excess": excess.mean(axis=1), "excess_se": standard_error(excess.T)}
            tables.append(pd.DataFrame(columns | {"num_runs": excess.shape[1]}))
    return pd.concat(tables, ignore_index=True)


def mechanism_table(experiment: Experiment) -> pd.DataFrame:
    """Compute how much of the gap between random pruning and LiPrune other methods close."""
    rows = []
    for fraction in KEEP_FRACTIONS:
        paths = _methods_at(experiment, fraction)
        excess = {method: p.excess_test_loss()[STEP] for method, p in paths.items()}
        gap = excess["random"] - excess["liprune"]
        for method in ("matched", "unbiased", "theorem2"):
            share = ratio_interval(excess["random"] - excess[method], gap)
            columns = {"keep_fraction": fraction, "multiplier": step_multiplier(fraction)}
            rows.append(columns | {"method": method} | share.columns("share"))
    return pd.DataFrame(rows)


def best_table(experiment: Experiment) -> pd.DataFrame:
    """Compare the methods, each at the step size that is best for it."""
    rates, rows = best_rates(experiment.pruned[BASE]["none", 1.0].slope), []
    rivals = ("random", "none", "unbiased")
    for steps, fraction, rival in product(TARGET_STEPS, KEEP_FRACTIONS, rivals):
        ours, theirs = ("liprune", fraction), (rival, fraction if rival == "random" else 1.0)
        rate, rival_rate = rates[steps, *ours], rates[steps, *theirs]
        if rival == "unbiased":
            rival_paths = experiment.unbiased[rival_rate, 1.0]
        else:
            rival_paths = experiment.pruned["best", steps, *theirs][theirs]
        pair = experiment.pruned["best", steps, *ours][ours], rival_paths
        excess, rival_excess = (paths.excess_test_loss()[steps] for paths in pair)
        columns = {"step": steps, "keep_fraction": fraction, "rival": rival}
        columns |= {"excess": excess.mean(), "rival_excess": rival_excess.mean()}
        columns |= {"rate": rate, "rival_rate": rival_rate}
        rows.append(columns | ratio_interval(excess, rival_excess).columns("ratio"))
    return pd.DataFrame(rows)


def floor_table(experiment: Experiment) -> pd.DataFrame:
    """Compare the noise floors of the methods at equal mean contraction."""
    rows = []
    everything = typical_moments(1.0, "random")
    rate = CONTRACTION / float(everything.xx[0])
    options = {"batch_size": BATCH_SIZE, "learning_rate": rate}
    weighted = importance_square(everything, **options, num_steps=1000, slope=0.0)[-1]
    for fraction in KEEP_FRACTIONS:
        ours = experiment.pruned["floor", "liprune", fraction]["liprune", fraction]
        kept = typical_moments(fraction, "liprune")
        floor = settled_square(kept, BATCH_SIZE, ours.setting.learning_rate)
        pruned = experiment.pruned["floor", "random", fraction]
        rivals = {
            "random": (
                pruned["random", fraction],
                settled_square(typical_moments(fraction, "random"), **options),
            ),
            "none": (pruned["none", 1.0], settled_square(everything, **options)),
            "unbiased": (experiment.unbiased[rate, 1.0], weighted),
        }
        for rival, (paths, theirs) in rivals.items():
            ratio = ratio_interval(*(p.excess_test_loss()[-1] for p in (paths, ours)))
            columns = {"keep_fraction": fraction, "multiplier": step_multiplier(fraction)}
            columns |= {"rival": rival, "expected": float(theirs[0] / floor[0])}
            rows.append(columns | ratio.columns("ratio"))
    return pd.DataFrame(rows)


def check_table(experiment: Experiment) -> pd.DataFrame:
    """Compare every simulated mean with its closed form on the same data sets.

    The kept sets of LiPrune and random pruning should share the fraction kept, on average.
    """
    # Rates near a stability limit are left to `contraction_table`: there the mean rests on a few
    # runs that grow, and a standard error says little after many steps.
    pruned = [paths for key, paths in experiment.pruned.items() if key[0] != "limit"]
    table = closed_form_table(dict(enumerate(pruned)))
    table = table[(table.loss == "test") & (table.step > 0)]
    tables = [pd.DataFrame({"what": "pruned points", "step": table.step, "z": table.z})]
    for (rate, probability), paths in experiment.unbiased.items():
        options = {"batch_size": BATCH_SIZE, "learning_rate": rate, "num_steps": NUM_STEPS}
        options |= {"slope": paths.slope, "keep_probability": probability}
        expected = importance_square(paths.sets["full"], **options)
        tables.append(_distances("unbiased sampling", paths.error**2, expected))
    for (_, fraction), batches in experiment.batches.items():
        z = (batches.overlap.mean() - fraction) / standard_error(batches.overlap)
        tables.append(pd.DataFrame({"what": "overlap of the kept sets", "step": 0, "z": [z]}))
        for paths in (batches.liprune, batches.random):
            tables.append(_distances("pruned batches", paths.error**2, _batch_square(paths)))
    return pd.concat(tables, ignore_index=True)


def _distances(what: str, simulated: np.ndarray, expected: np.ndarray) -> pd.DataFrame:
    """Distances of simulated from expected means in standard errors, steps from 1 on."""
    difference = (simulated - expected)[1:]
    z = difference.mean(axis=1) / standard_error(difference.T)
    return pd.DataFrame({"what": what, "step": range(1, len(z) + 1), "z": z})


def _batch_square(paths: Paths) -> np.ndarray:
    r"""Compute :math:`E(w_t - w^*)^2` for paths on fixed batches, given the inputs."""
    return expected_square(paths.sets["kept"], paths.setting.batch_size, NUM_STEPS, paths.slope)


def limit_table(experiment: Experiment) -> pd.DataFrame:
    """Compute where each method stops converging, and where LiPrune stops contracting faster."""
    rows, pruned = [], experiment.pruned[BASE]
    for fraction, size in product(KEEP_FRACTIONS, BATCH_SIZES):
        kept = [pruned[method, fraction].sets["kept"] for method in ("liprune", "random")]
        limits = [stability_limit(moments, size) for moments in kept]
        crossing = crossing_rate(*kept, size)
        columns = {"keep_fraction": fraction, "batch_size": size, "crossing": crossing.mean()}
        columns |= {"liprune": limits[0].mean(), "random": limits[1].mean()}
        share = mean_interval(np.minimum(crossing / limits[1], 1.0))
        rows.append(columns | share.columns("share"))
    return pd.DataFrame(rows)


def contraction_table(experiment: Experiment) -> pd.DataFrame:
    r"""Measure the contraction of the first step at several rates.

    :math:`(E e_1^2 - \eta^2 \sigma^2 m / B) / w^{*2}` should be :math:`q`, here averaged over data
    sets.
    """
    rows = []
    for fraction, method in product(KEEP_FRACTIONS, ("liprune", "random")):
        limits = product(LIMIT_SHARES, ("liprune", "random"))
        keys = [BASE, *(("limit", share, of, fraction) for share, of in limits)]
        for paths in (experiment.pruned[key][method, fraction] for key in keys):
            kept, rate = paths.sets["kept"], paths.setting.learning_rate
            noise = rate**2 * NOISE_SD**2 * kept.xx / BATCH_SIZE
            factor = (paths.error[1] ** 2 - noise) / paths.slope**2
            expected = square_factor(kept, BATCH_SIZE, rate)
            z = (factor - expected).mean() / standard_error(factor - expected)
            columns = {"keep_fraction": fraction, "method": method, "learning_rate": rate}
            rows.append(columns | {"measured": factor.mean(), "expected": expected.mean(), "z": z})
    return pd.DataFrame(rows)


def batch_table(experiment: Experiment) -> pd.DataFrame:
    """Compare LiPrune with random pruning at several batch sizes, pruning points and batches."""
    rows, smaller = [], None
    for pruned, fraction, size in product(PRUNED, KEEP_FRACTIONS, BATCH_SIZES):
        simulated, expected = _excess_pairs(experiment, size, fraction, pruned)
        columns = {"pruned": pruned, "keep_fraction": fraction, "batch_size": size}
        columns |= ratio_interval(*simulated).columns("ratio")
        columns |= {"expected": ratio_interval(*expected).value}
        kept = experiment.batches[size if pruned == "batches" else 1, fraction]
        columns |= {"overlap": kept.overlap.mean(), "multiplier": _multiplier(kept)}
        if size > BATCH_SIZES[0]:
            columns |= _growth(smaller, expected).named_columns("growth")
        smaller = expected
        rows.append(columns)
    return pd.DataFrame(rows)


def _excess_pairs(
    experiment: Experiment, batch_size: int, keep_fraction: float, pruned: str
) -> np.ndarray:
    """Take LiPrune's and random pruning's excess test losses at step 10, simulated and expected."""
    if pruned == "batches":
        pair = experiment.batches[batch_size, keep_fraction][:2]
    else:
        points = experiment.pruned["batch", batch_size]
        pair = [points[method, keep_fraction] for method in ("liprune", "random")]
    simulated = [paths.excess_test_loss()[STEP] for paths in pair]
    return np.array([simulated, [_expected_excess(paths, pruned) for paths in pair]])


def _expected_excess(paths: Paths, pruned: str) -> np.ndarray:
    if pruned == "points":
        return paths.expected_losses()["test"][STEP] - NOISE_SD**2 / 2
    return _batch_square(paths)[STEP] * paths.sets["test"].xx / 2


def _multiplier(kept: FixedBatches) -> float:
    """How much larger LiPrune's mean step is."""
    return ratio_interval(kept.liprune.sets["kept"].xx, kept.random.sets["kept"].xx).value


def _growth(first: np.ndarray, second: np.ndarray) -> Estimate:
    r"""Estimate how much a ratio of means grows, all four means being paired, each ``[2, n]``."""
    # The delta method for g = (a2 / b2) / (a1 / b1): its error is the mean of
    # g (a2 / mean(a2) - b2 / mean(b2) - a1 / mean(a1) + b1 / mean(b1)).
    (a1, b1), (a2, b2) = ([term / term.mean() for term in pair] for pair in (first, second))
    value = np.divide(*second.mean(axis=1)) / np.divide(*first.mean(axis=1))
    error = mean_interval(value * (a2 - b2 - a1 + b1))
    return Estimate(float(value), float(value + error.low), float(value + error.high), len(a1))
