"""Tables of page 06: the convex problems, and the races on real data with tuned step sizes."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from experiments.convex_is_not_enough.counterexamples import (
    KEEP_FRACTION,
    NUM_POINTS,
    NUM_STEPS,
    PROBLEMS,
    PrunedProblem,
)
from experiments.convex_is_not_enough.runs import (
    IMPORTANCE,
    MULTIPLES,
    NONE,
    PRUNED,
    SETTINGS,
    SOURCES,
    Outcome,
    Setting,
    Split,
    excess,
    kept_points,
    load,
    recorded_steps,
    run,
    stream,
)
from experiments.convex_is_not_enough.runs import NUM_STEPS as RACE_STEPS
from liprune_utils.intervals import (
    mean_interval,
    median_interval,
    share_interval,
    standard_error,
)
from liprune_utils.problems import LOGISTIC, SQUARED
from liprune_utils.pruning import keep_highest
from liprune_utils.sgd import importance_sgd
from liprune_utils.theory import uniform

STREAM = 8  # of the convex problems, apart from the streams of the linear model
RATES = ("same", "best")  # one rate for all methods, or each at its best one
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
LIPRUNE = [setting for setting in PRUNED if setting.method == "liprune"]
PAIRS = [
    *((setting, setting._replace(method="random")) for setting in LIPRUNE),
    *((setting, NONE) for setting in LIPRUNE),
    (IMPORTANCE, NONE),
]
MEASURES = ("excess", "test_loss")
KEYS = list(Setting._fields)


def _draw_pruned(name: str, seed: int, number: int) -> dict[str, PrunedProblem]:
    """Draw a data set of a convex problem and prune it in each way."""
    generator = np.random.default_rng([seed, STREAM, list(PROBLEMS).index(name), number])
    problem = PROBLEMS[name](generator)
    scores = {"liprune": problem.train.lipschitz, "random": generator.random(NUM_POINTS)}
    kept = {method: keep_highest(s, KEEP_FRACTION) for method, s in scores.items()}
    kept["none"] = np.arange(NUM_POINTS)
    return {method: PrunedProblem(problem, points) for method, points in kept.items()}


def problem_table(num_problems: int, seed: int) -> pd.DataFrame:
    """Compare the methods on every convex problem, at the same rate and each at its best one."""
    rows = []
    for name, number in tqdm(list(product(PROBLEMS, range(num_problems))), desc="convex problems"):
        for method, pruned in _draw_pruned(name, seed, number).items():
            facts = {"task": name, "problem": number, "method": method}
            facts |= {"condition": pruned.condition, "final": pruned.final}
            for steps in NUM_STEPS:
                rate, best = pruned.best_rate(steps)
                same = pruned.excess(np.array([pruned.common_rate]), steps)[0]
                rows.append(facts | {"step": steps, "best_rate": rate, "same": same, "best": best})
    return pd.DataFrame(rows)


def summary_table(table: pd.DataFrame) -> pd.DataFrame:
    """Compare LiPrune with its rivals on the same data sets."""
    wide = table.pivot(index=["task", "step", "problem"], columns="method", values=list(RATES))
    rows = []
    for task, step, rates, rival in product(PROBLEMS, NUM_STEPS, RATES, ("random", "none")):
        here = wide.loc[task, step][rates]
        both = np.isinf(here["liprune"]) & np.isinf(here[rival])  # both overflow
        ratio = np.where(both, 1.0, here["liprune"] / here[rival].where(~both, 1.0))
        columns = {"task": task, "rival": rival, "step": step, "rates": rates}
        rows.append(columns | median_interval(ratio).columns("ratio"))
    return pd.DataFrame(rows).rename(columns={"num_runs": "num_problems"})


def kept_table(table: pd.DataFrame) -> pd.DataFrame:
    """Describe the kept problems by Theorem 1's quotient and by the loss at their minimiser."""
    one = table[table.step == NUM_STEPS[0]]
    wide = one.pivot(index=["task", "problem"], columns="method").groupby("task").median()
    columns = {
        f"{measure}_{method}": wide[measure, method]
        for measure in ("condition", "final")
        for method in ("liprune", "random", "none")
    }
    rates = wide["best_rate"]
    columns |= {"rate_ratio": rates["liprune"] / rates["random"]}
    return pd.DataFrame(columns).loc[list(PROBLEMS)].reset_index()


def simulation_table(num_runs: int, seed: int) -> pd.DataFrame:
    """Simulate one data set of each convex problem, pruned each way, at the best rate."""
    rows, steps = [], NUM_STEPS[0]
    for name in PROBLEMS:
        for method, pruned in list(_draw_pruned(name, seed, 0).items())[:2]:
            rate, exact = pruned.best_rate(steps)
            *_, weights = importance_sgd(
                pruned.moments.problem,
                uniform(pruned.kept),
                step_size=rate,
                num_steps=steps,
                num_runs=num_runs,
                generator=np.random.default_rng([seed, STREAM + 1, len(rows)]),
            )
            error = weights - pruned.original.target
            losses = np.einsum("ki,ij,kj->k", error, pruned.original.hessian, error) / 2
            z = (losses.mean() - exact) / standard_error(losses)
            columns = {"task": name, "method": method, "simulated": losses.mean()}
            rows.append(columns | {"exact": exact, "z": z, "num_runs": num_runs})
    return pd.DataFrame(rows)


def path_table(table: pd.DataFrame, seed: int, num_problems: int) -> pd.DataFrame:
    """Compute median excess losses by step, each method at its median best rate for 100 steps."""
    tables, steps = [], NUM_STEPS[0]
    rates = table[table.step == steps].groupby(["task", "method"]).best_rate.median()
    for name in PROBLEMS:
        drawn = [_draw_pruned(name, seed, number) for number in range(num_problems)]
        for method in drawn[0]:
            paths = [pruned[method].path(rates[name, method], steps) for pruned in drawn]
            columns = {"task": name, "method": method, "step": np.arange(steps + 1)}
            tables.append(pd.DataFrame(columns | {"excess": np.median(paths, axis=0)}))
    return pd.concat(tables, ignore_index=True)


def tune(name: str, num_runs: int, seed: int) -> pd.DataFrame:
    """Try all step sizes on runs of their own."""
    multiples, means = np.tile(MULTIPLES, (len(SETTINGS), 1)), []
    for number in tqdm(range(num_runs), desc=f"{name}: step sizes"):
        root = (seed, TUNING, number)
        outcome = run(load(name, stream(root, "split")), root, multiples)
        means.append((outcome.excess[-1], np.minimum(outcome.steps, RACE_STEPS)))
    excesses, steps = np.mean(means, axis=0)
    index = [(name, *setting, multiple) for setting, multiple in product(SETTINGS, MULTIPLES)]
    table = pd.DataFrame(index, columns=["data_set", *KEYS, "multiple"])
    return table.assign(excess=excesses.ravel(), steps=steps.ravel(), num_runs=num_runs)


def _best_multiples(tuning: pd.DataFrame) -> np.ndarray:
    """Find each rule's step sizes, ``[num_settings, num_rules]``: the best in the tuning's mean.

    Best is the lowest excess after the last step; for the rule "arrival" it is the fewest steps to
    the target, and among equals the lowest excess.
    """
    groups = list(tuning.groupby(KEYS, sort=False))
    final, arrival = (
        np.array([rows.sort_values(by).multiple.iloc[0] for _, rows in groups])
        for by in (["excess"], ["steps", "excess"])
    )
    shared = np.full_like(final, final[SETTINGS.index(NONE)])
    return np.stack([np.ones_like(final), shared, final, arrival], axis=1)


class Races(NamedTuple):
    """Tidy tables of the races."""

    tuning: pd.DataFrame  # from `tune`
    runs: pd.DataFrame  # one row per run, rule (or limit) and method
    curves: pd.DataFrame  # mean excess, one row per rule, method and recorded step


def race(name: str, num_runs: int, num_tuning: int, seed: int) -> Races:
    """Tune the step sizes on a data set, then race all methods under all rules."""
    tuning = tune(name, num_tuning, seed)
    multiples, outcomes, rows = _best_multiples(tuning), [], []
    for number in tqdm(range(num_runs), desc=f"{name}: races"):
        root = (seed, RACING, number)
        split = load(name, stream(root, "split"))
        outcomes.append(run(split, root, multiples))
        rows += [(name, number, *row) for row in _final_rows(outcomes[-1], multiples)]
        rows += [(name, number, *row) for row in _limit_rows(split, root)]
    columns = ["data_set", "run", "rule", *KEYS, "multiple", *MEASURES, "steps"]
    return Races(tuning, pd.DataFrame(rows, columns=columns), _curves(name, outcomes))


def _final_rows(outcome: Outcome, multiples: np.ndarray) -> Iterator[tuple]:
    """Rule, setting, multiple, excess, test loss and steps of each race of a run."""
    measured = (multiples, outcome.excess[-1], outcome.test_loss, outcome.steps)
    for (row, setting), (column, rule) in product(enumerate(SETTINGS), enumerate(RULES)):
        yield (rule, *setting, *(float(values[row, column]) for values in measured))


def _limit_rows(split: Split, root: tuple[int, ...]) -> Iterator[tuple]:
    """The same for the minimisers of the points kept, without step size and steps."""
    for setting in (*PRUNED, NONE):
        points = kept_points(split.train.lipschitz, setting, root)
        pruned = split.train if setting == NONE else split.train.take(points)
        losses = excess(split.train, pruned.minimiser), split.test.value(pruned.minimiser)
        yield (LIMIT, *setting, np.nan, *map(float, losses), np.nan)


def _curves(name: str, outcomes: list[Outcome]) -> pd.DataFrame:
    """Mean excess over runs with standard errors, one row per recorded step, method and rule."""
    grid = product(recorded_steps(), SETTINGS, RULES)
    index = [(name, rule, *setting, step) for step, setting, rule in grid]
    table = pd.DataFrame(index, columns=["data_set", "rule", *KEYS, "step"])
    samples = np.stack([outcome.excess.ravel() for outcome in outcomes])
    means = {"excess": samples.mean(axis=0), "excess_se": standard_error(samples)}
    return table.assign(**means, num_runs=len(outcomes))


def race_all(
    seed: int, num_runs: Mapping[str, int] = NUM_RUNS, num_tuning: int = NUM_TUNING
) -> Races:
    """Race on all data sets."""
    parts = [race(name, count, num_tuning, seed) for name, count in num_runs.items()]
    return Races(*(pd.concat(tables, ignore_index=True) for tables in zip(*parts, strict=True)))


def _pairs(runs: pd.DataFrame, measure: str) -> Iterator[tuple[dict, np.ndarray, np.ndarray]]:
    """For each data set, rule and pair of methods one measure of both, run by run."""
    for (name, rule), group in runs.groupby(["data_set", "rule"], sort=False):
        wide = group.pivot(index="run", columns=KEYS, values=measure)
        for setting, other in PAIRS:
            if setting in wide and other in wide:
                facts = {"data_set": name, "rule": rule, **setting._asdict()}
                facts |= {"against": other.method}
                yield facts, wide[setting].to_numpy(), wide[other].to_numpy()


def loss_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Compare final losses run by run: excess on all training points, and test loss."""
    runs = runs[runs.rule != "arrival"]
    return pd.DataFrame(
        {"measure": measure, **facts, **mean_interval(ours - theirs).columns("difference")}
        for measure in MEASURES
        for facts, ours, theirs in _pairs(runs, measure)
    )


def step_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Summarise the steps to the target, infinite for a run that has not arrived."""
    runs, rows = runs[~runs.rule.isin(["final", LIMIT])], []
    keys = ["data_set", "rule", *KEYS]
    for values, group in runs.groupby(keys, sort=False):
        facts = dict(zip(keys, values, strict=True)) | {"arrived": np.isfinite(group.steps).sum()}
        rows.append(facts | median_interval(group.steps).columns("median"))
    return pd.DataFrame(rows)


def sooner_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Count who arrives at the target first, run by run."""
    rows = []
    for facts, ours, theirs in _pairs(runs[~runs.rule.isin(["final", LIMIT])], "steps"):
        sooner, later = int((ours < theirs).sum()), int((ours > theirs).sum())
        rows.append({**facts, "sooner": sooner, "later": later, "num_runs": len(ours)})
        if sooner + later:
            share = share_interval(sooner, sooner + later)
            rows[-1] |= {"share": share.value, "low": share.low, "high": share.high}
    return pd.DataFrame(rows)


def class_table(seed: int, num_runs: int = 20) -> pd.DataFrame:
    """Measure what LiPrune leaves of each class."""
    rows = []
    for name, (source, loss) in SOURCES.items():
        if loss is SQUARED:
            continue
        roots = [(seed, RACING, number) for number in range(num_runs)]
        trains = [load(name, stream(root, "split")).train for root in roots]
        for setting in (*LIPRUNE, NONE):
            pairs = zip(trains, roots, strict=True)
            labels = [t.y[kept_points(t.lipschitz, setting, root)] for t, root in pairs]
            shares = np.stack([values.mean(axis=0) for values in labels])
            shares = np.hstack([1 - shares, shares]) if loss is LOGISTIC else shares
            facts = {"data_set": name, "keep_fraction": setting.keep_fraction}
            for label, samples in zip(source().target_names, shares.T, strict=True):
                columns = mean_interval(samples).columns("share")
                rows.append({**facts, "label": str(label), **columns})
    return pd.DataFrame(rows)


def finding_table(losses: pd.DataFrame, sooner: pd.DataFrame) -> pd.DataFrame:
    """Count the data sets and fractions kept for which an interval decides between two methods."""
    losses = losses.assign(better=losses.high < 0, worse=losses.low > 0)
    steps = sooner.assign(better=sooner.low > 0.5, worse=sooner.high < 0.5, measure="steps")
    groups = pd.concat([losses, steps]).groupby(
        ["measure", "rule", "method", "against"], sort=False
    )
    counts = groups.agg(better=("better", "sum"), worse=("worse", "sum"), of=("better", "size"))
    return counts.reset_index()
