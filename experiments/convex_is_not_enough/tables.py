"""What the races on real data say: step sizes tuned, tidy tables, paired comparisons."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from experiments.convex_is_not_enough.real_data import LOGISTIC, SOURCES, SQUARED, Split, load
from experiments.convex_is_not_enough.runs import (
    CELLS,
    IMPORTANCE,
    KEEP_FRACTIONS,
    MULTIPLES,
    NONE,
    NUM_STEPS,
    PRUNED,
    Cell,
    Run,
    excess,
    kept,
    recorded_steps,
    run,
    stream,
)
from liprune_utils.intervals import mean_interval, median_interval, share_interval, standard_error

NUM_RUNS = {"breast cancer": 100, "digits": 20, "diabetes": 100}
NUM_TUNING = 8
RACING, TUNING = 0, 1  # roles of seeds: those that tune report nothing
RULES = {
    "theorem": "all at 1/(2 max L)",
    "shared": "all at no pruning's best",
    "final": "each at its own best",
    "arrival": "each at its own, tuned for the steps",
}
LIMIT = "minimiser"  # in place of a rule: the minimiser of the points kept
LIPRUNE = [cell for cell in PRUNED if cell.method == "liprune"]
PAIRS = [
    *((cell, cell._replace(method="random")) for cell in LIPRUNE),
    *((cell, NONE) for cell in LIPRUNE),
    (IMPORTANCE, NONE),
]
MEASURES = ("excess", "test_loss")


def tune(name: str, num_runs: int, seed: int) -> pd.DataFrame:
    """Try all step sizes on runs of their own.

    Args:
        name: The data set.
        num_runs: Tuning runs, >= 1.
        seed: Root seed.

    Returns:
        One row a method and multiple: the means over runs of ``excess`` after the last step and of
        ``steps`` to the target, ``NUM_STEPS`` where it is never reached.
    """
    multiples, found = np.tile(MULTIPLES, (len(CELLS), 1)), []
    for number in tqdm(range(num_runs), desc=f"{name}: step sizes"):
        root = (seed, TUNING, number)
        outcome = run(load(name, stream(root, "split")), root, multiples)
        found.append((outcome.excess[-1], np.minimum(outcome.steps, NUM_STEPS)))
    excesses, steps = np.mean(found, axis=0)
    index = [(name, *cell, multiple) for cell, multiple in product(CELLS, MULTIPLES)]
    table = pd.DataFrame(index, columns=["data_set", *Cell._fields, "multiple"])
    return table.assign(excess=excesses.ravel(), steps=steps.ravel(), num_runs=num_runs)


def choose(tuning: pd.DataFrame) -> np.ndarray:
    """Choose step sizes: of those tried, the best in the mean of the tuning runs.

    Best is the lowest excess after the last step; for the rule "arrival" it is the fewest steps to
    the target, and among equals the lowest excess.

    Args:
        tuning: Rows of one data set, from `tune`.

    Returns:
        Multiples, array of shape ``[num_cells, num_rules]``, rules in the order of ``RULES``.
    """
    groups = list(tuning.groupby(list(Cell._fields), sort=False))
    final, arrival = (
        np.array([rows.sort_values(by).multiple.iloc[0] for _, rows in groups])
        for by in (["excess"], ["steps", "excess"])
    )
    shared = np.full_like(final, final[CELLS.index(NONE)])
    return np.stack([np.ones_like(final), shared, final, arrival], axis=1)


class Races(NamedTuple):
    """What the races leave: tidy tables."""

    tuning: pd.DataFrame  # from `tune`
    runs: pd.DataFrame  # one row a run, rule (or limit) and method
    curves: pd.DataFrame  # mean excess, one row a rule, method and recorded step


def race(name: str, num_runs: int, num_tuning: int, seed: int) -> Races:
    """Tune the step sizes on a data set, then race all methods under all rules.

    Args:
        name: The data set.
        num_runs: Paired runs, each with a split of its own, >= 2.
        num_tuning: Runs that tune and report nothing, >= 1.
        seed: Root seed.

    Returns:
        The tables.
    """
    tuning = tune(name, num_tuning, seed)
    multiples, outcomes, rows = choose(tuning), [], []
    for number in tqdm(range(num_runs), desc=f"{name}: races"):
        root = (seed, RACING, number)
        split = load(name, stream(root, "split"))
        outcomes.append(run(split, root, multiples))
        rows += [(name, number, *row) for row in _final_rows(outcomes[-1], multiples)]
        rows += [(name, number, *row) for row in _limit_rows(split, root)]
    columns = ["data_set", "run", "rule", *Cell._fields, "multiple", *MEASURES, "steps"]
    return Races(tuning, pd.DataFrame(rows, columns=columns), _curves(name, outcomes))


# Rule, method, fraction, multiple, excess, test loss and steps of each race of a run.
def _final_rows(outcome: Run, multiples: np.ndarray) -> Iterator[tuple]:
    measured = (multiples, outcome.excess[-1], outcome.test_loss, outcome.steps)
    for (row, cell), (column, rule) in product(enumerate(CELLS), enumerate(RULES)):
        yield (rule, *cell, *(float(values[row, column]) for values in measured))


# The same for the minimisers of the points kept, without step size and steps.
def _limit_rows(split: Split, root: tuple[int, ...]) -> Iterator[tuple]:
    for cell in (*PRUNED, NONE):
        points = kept(split.train.lipschitz, cell, root)
        part = split.train if cell == NONE else split.train.take(points)
        losses = excess(split.train, part.minimiser), split.test.value(part.minimiser)
        yield (LIMIT, *cell, np.nan, *map(float, losses), np.nan)


# Mean excess over runs with standard errors, one row a recorded step, method and rule.
def _curves(name: str, outcomes: list[Run]) -> pd.DataFrame:
    grid = product(recorded_steps(), CELLS, RULES)
    index = [(name, rule, *cell, step) for step, cell, rule in grid]
    table = pd.DataFrame(index, columns=["data_set", "rule", *Cell._fields, "step"])
    samples = np.stack([outcome.excess.ravel() for outcome in outcomes])
    means = {"excess": samples.mean(axis=0), "excess_se": standard_error(samples)}
    return table.assign(**means, num_runs=len(outcomes))


def race_all(
    seed: int, num_runs: Mapping[str, int] = NUM_RUNS, num_tuning: int = NUM_TUNING
) -> Races:
    """Race on all data sets.

    Args:
        seed: Root seed.
        num_runs: For each data set its paired runs, >= 2.
        num_tuning: Runs that tune and report nothing, >= 1.

    Returns:
        The tables of all data sets.
    """
    parts = [race(name, count, num_tuning, seed) for name, count in num_runs.items()]
    return Races(*(pd.concat(tables, ignore_index=True) for tables in zip(*parts, strict=True)))


# For each data set, rule and pair of methods one measure of both, run by run.
def _duels(runs: pd.DataFrame, measure: str) -> Iterator[tuple[dict, np.ndarray, np.ndarray]]:
    for (name, rule), group in runs.groupby(["data_set", "rule"], sort=False):
        wide = group.pivot(index="run", columns=list(Cell._fields), values=measure)
        for cell, other in PAIRS:
            if cell in wide and other in wide:
                facts = {"data_set": name, "rule": rule, **cell._asdict(), "against": other.method}
                yield facts, wide[cell].to_numpy(), wide[other].to_numpy()


def loss_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Compare final losses run by run: excess on all training points, and test loss.

    Args:
        runs: From `race_all`; the rule "arrival" is left out, its step sizes are for the steps.

    Returns:
        One row a measure, data set, rule and pair of ``PAIRS``: the mean ``difference``, the method
        less the other, with its 99% interval.
    """
    runs, rows = runs[runs.rule != "arrival"], []
    for measure in MEASURES:
        for facts, ours, theirs in _duels(runs, measure):
            found = mean_interval(ours - theirs)._asdict()
            rows.append({"measure": measure, **facts, "difference": found.pop("value"), **found})
    return pd.DataFrame(rows)


def step_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Summarise the steps to the target, infinite for a run that has not arrived.

    Args:
        runs: From `race_all`; the rule "final" is left out, its step sizes are for the last loss.

    Returns:
        One row a data set, rule and method: the ``median`` with its 99% interval between order
        statistics, and how many of the runs have arrived.
    """
    runs, rows = runs[~runs.rule.isin(["final", LIMIT])], []
    keys = ["data_set", "rule", *Cell._fields]
    for values, group in runs.groupby(keys, sort=False):
        found = median_interval(group.steps)._asdict()
        facts = dict(zip(keys, values, strict=True)) | {"arrived": np.isfinite(group.steps).sum()}
        rows.append({**facts, "median": found.pop("value"), **found})
    return pd.DataFrame(rows)


def sooner_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Count who arrives at the target first, run by run.

    Args:
        runs: From `race_all`; the rule "final" is left out.

    Returns:
        One row a data set, rule and pair of ``PAIRS``: in how many runs the method is ``sooner``
        and ``later`` than the other (neither, where both take as long or never arrive), and the
        ``share`` of the former among both with its 99% interval.
    """
    rows = []
    for facts, ours, theirs in _duels(runs[~runs.rule.isin(["final", LIMIT])], "steps"):
        sooner, later = int((ours < theirs).sum()), int((ours > theirs).sum())
        rows.append({**facts, "sooner": sooner, "later": later, "num_runs": len(ours)})
        if sooner + later:
            found = share_interval(sooner, sooner + later)
            rows[-1] |= {"share": found.value, "low": found.low, "high": found.high}
    return pd.DataFrame(rows)


def class_table(seed: int, num_runs: int = 20) -> pd.DataFrame:
    """Measure what LiPrune leaves of each class.

    Args:
        seed: Root seed; the splits are the first ones of the races.
        num_runs: Splits, >= 2.

    Returns:
        One row a classification data set, fraction kept (1 for all training points) and class: its
        mean ``share`` of the points with its 99% interval.
    """
    rows = []
    for name, (source, loss) in SOURCES.items():
        if loss is SQUARED:
            continue
        roots = [(seed, RACING, number) for number in range(num_runs)]
        trains = [load(name, stream(root, "split")).train for root in roots]
        for cell in (*(Cell("liprune", r) for r in KEEP_FRACTIONS), NONE):
            labels = [t.y[kept(t.lipschitz, cell, r)] for t, r in zip(trains, roots, strict=True)]
            shares = np.stack([values.mean(axis=0) for values in labels])
            shares = np.hstack([1 - shares, shares]) if loss is LOGISTIC else shares
            for label, samples in zip(source().target_names, shares.T, strict=True):
                found = mean_interval(samples)._asdict()
                facts = {"data_set": name, "keep_fraction": cell.keep_fraction, "label": str(label)}
                rows.append({**facts, "share": found.pop("value"), **found})
    return pd.DataFrame(rows)
