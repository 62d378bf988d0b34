"""Tables of the races of page 12: ratios of excess test losses, tuned steps, costs of rules."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd

from experiments.what_to_keep.problems import LABELS, Population, stream
from experiments.what_to_keep.races import (
    BATCH_SIZE,
    KEEP_FRACTIONS,
    NONE,
    SIZES,
    STEPS,
    WEIGHTED,
    Contest,
    Entrant,
    better,
)
from liprune_utils.designs import CRITERIA, keep_extremes, leverages, optimal_design
from liprune_utils.intervals import Estimate, mean_interval
from liprune_utils.problems import LOGISTIC, SQUARED, Objective
from liprune_utils.pruning import keep_highest

RIVALS = ("random", "liprune", "none")
CLAIMED_DIMS = (10, 50)
COST_FRACTION, REPEATS = 0.1, 5  # of the timing of rules


def family(contest: Contest) -> str:
    """Name the loss of a contest."""
    logistic = LABELS[contest.problem.labels].loss is LOGISTIC
    return "logistic" if logistic else "least squares"


def against(contest: Contest, one: Entrant, other: Entrant, step: int, level: float) -> Estimate:
    """Estimate the geometric mean of one entrant's excess over another's, paired by data set."""
    logs = np.log(contest.excess[one][:, step] / contest.excess[other][:, step])
    return mean_interval(logs, level).exp()


def outcome(ratio: Estimate) -> str:
    """Say on which side of 1 a ratio lies for sure."""
    if ratio.low == ratio.high == 1:
        return "same"  # before a pilot has ended, its run is that without pruning
    return {True: "lower", False: "higher", None: "open"}[ratio.below(1.0)]


def the_design(contest: Contest, fraction: float, step: int) -> Entrant:
    """Choose the entrant that decides the claim: A-optimal, or weighted where it tuned better."""
    plain, weighted = (Entrant(method, fraction) for method in ("A", WEIGHTED))
    if weighted in contest.tuned and better(contest.tuned, weighted, plain)[step]:
        return weighted
    return plain


def _cells(contests: Iterable[Contest]) -> Iterator[tuple[Contest, float, int, dict]]:
    for contest, fraction, step in product(contests, KEEP_FRACTIONS, range(len(STEPS))):
        facts = {"family": family(contest), "labels": contest.problem.labels}
        facts |= contest.problem.population._asdict()
        yield contest, fraction, step, facts | {"keep_fraction": fraction, "step": STEPS[step]}


def case_table(contests: Iterable[Contest], level: float) -> pd.DataFrame:
    """Compare the design with random pruning, LiPrune and no pruning in every case."""
    rows = []
    for (contest, fraction, step, facts), rival in product(_cells(contests), RIVALS):
        design = the_design(contest, fraction, step)
        other = NONE if rival == "none" else Entrant(rival, fraction)
        ratio = against(contest, design, other, step, level)
        facts = facts | {"method": design.method, "against": rival}
        rows.append(facts | ratio.columns("ratio") | {"outcome": outcome(ratio)})
    return pd.DataFrame(rows).drop(columns="inputs")


def method_table(contests: Iterable[Contest], level: float) -> pd.DataFrame:
    """Compare every method with random pruning in every case."""
    rows = []
    for contest, fraction, step, facts in _cells(contests):
        for entrant in contest.excess:
            raced = np.isfinite(contest.excess[entrant][:, step]).all()
            if entrant.method == "random" or entrant.keep_fraction not in (fraction, 1.0):
                continue
            if raced:
                ratio = against(contest, entrant, Entrant("random", fraction), step, level)
                rows.append(facts | {"method": entrant.method} | ratio.columns("ratio"))
    return pd.DataFrame(rows)


def count_table(methods: pd.DataFrame) -> pd.DataFrame:
    """Count where each method is surely below random pruning, surely above, or neither."""
    words = [outcome(Estimate.of(row, "ratio")) for row in methods.itertuples()]
    counts = methods.assign(outcome=words).groupby(["labels", "dim", "method"]).outcome
    wide = counts.value_counts().unstack(fill_value=0)
    return wide.reindex(columns=["lower", "open", "higher"], fill_value=0).reset_index()


def tuning_table(contests: Iterable[Contest]) -> pd.DataFrame:
    """List the step sizes that were chosen, with their mean excess on the data sets that tune."""
    rows = []
    for contest, step in product(contests, range(len(STEPS))):
        facts = {"labels": contest.problem.labels, **contest.problem.population._asdict()}
        for entrant, tuned in contest.tuned.items():
            multiple, excess = tuned.multiples[step], tuned.excess[:, step].mean()
            own = entrant._asdict() | {"step": STEPS[step], "multiple": multiple}
            own |= {"excess": excess, "at_an_end": multiple in (SIZES[0], SIZES[-1])}
            rows.append(facts | own)
    return pd.DataFrame(rows)


def rules(x: np.ndarray) -> dict[str, Callable[[], object]]:
    """List the rules that look at the inputs, as calls without arguments."""
    scores = {"liprune": SQUARED.constants, "leverage": leverages}
    calls = {name: lambda f=f: keep_highest(f(x), COST_FRACTION) for name, f in scores.items()}
    calls |= {"IBOSS": lambda: keep_extremes(x, COST_FRACTION)}
    return calls | {
        name: lambda name=name: optimal_design(x, COST_FRACTION, name) for name in CRITERIA
    }


def cost_table(dims: Iterable[int], seed: int) -> pd.DataFrame:
    """Time each rule, an epoch of SGD and one gradient of all points in turns; medians."""
    rows = []
    for dim in dims:
        generator = stream(seed, "cost", dim)
        x = Population(dim, "uneven").draw(generator)
        train = Objective(SQUARED, x, generator.standard_normal((len(x), 1)), 0.0)
        order = generator.permutation(len(x)).reshape(-1, BATCH_SIZE)
        calls = rules(x) | {"pass": lambda: train.gradient(np.zeros((1, dim)))}  # noqa: B023
        calls |= {"epoch": lambda: _epoch(train, order)}  # noqa: B023
        times = [{name: _seconds(call) for name, call in calls.items()} for _ in range(REPEATS)]
        found = pd.DataFrame(times).median()
        for name in list(calls)[:-2]:
            seconds = found[name]
            facts = {"dim": dim, "method": name, "seconds": seconds}
            rows.append(
                facts | {"epochs": seconds / found["epoch"], "passes": seconds / found["pass"]}
            )
    return pd.DataFrame(rows)


def _epoch(train: Objective, order: np.ndarray) -> np.ndarray:
    weights, rate = np.zeros((1, train.x.shape[1])), 1e-3
    for batch in order:
        few = replace(train, x=train.x[batch], y=train.y[batch])
        weights = weights - rate * few.gradient(weights)
    return weights


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
