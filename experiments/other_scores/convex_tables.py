"""Tables of the contests of scores on convex problems: LiPrune's excess test loss over others'."""

from collections.abc import Callable, Mapping
from itertools import product

import numpy as np
import pandas as pd

from experiments.convex_is_not_enough.runs import SOURCES
from experiments.other_scores.contests import Contest, step_sizes
from experiments.other_scores.convex import (
    ENTRANTS,
    KEEP_FRACTIONS,
    LATER,
    NEVER,
    START,
    STEPS,
    Entrant,
)
from liprune_utils.book.register import load_register
from liprune_utils.intervals import Estimate, mean_interval

CLAIM = "outperforms-existing-b"
RIVALS = ("random", "grand", "el2n", "loss")
LABELS = {"random": "random pruning", "grand": "GraNd", "el2n": "EL2N", "loss": "loss"}
BETTER = "better of both"  # the moment of scoring with the lower excess on the data sets that tune
OUTCOMES = ("won", "lost", "open")
CELLS = tuple(product(KEEP_FRACTIONS, range(len(STEPS))))
Contests = Mapping[str, Contest]
Logs = Callable[[Contest, str, str], np.ndarray]


def level() -> float:
    """Read the level of the claim's intervals."""
    return load_register()[CLAIM]["level"]


def entrant(contest: Contest, method: str, fraction: float, step: int, taken: str = BETTER) -> int:
    """Find a method among the entrants, scored at the moment named or at the better of both."""
    if method in ("liprune", "random"):
        return ENTRANTS.index(Entrant(method, NEVER, fraction))
    start, later = (ENTRANTS.index(Entrant(method, each, fraction)) for each in (START, LATER))
    if taken == BETTER:
        tuned = contest.tuned.excess[:, step]
        return later if tuned[later] < tuned[start] else start
    return start if taken == START else later


def _pair(contest: Contest, rival: str, taken: str, cell: tuple[float, int]) -> np.ndarray:
    """Excess of LiPrune and of a rival in a cell, ``[2, num_sets]``."""
    fraction, step = cell
    columns = [entrant(contest, name, fraction, step, taken) for name in ("liprune", rival)]
    return contest.excess[:, step, columns].T


def log_ratios(contest: Contest, rival: str, taken: str = BETTER) -> np.ndarray:
    """Logarithms of LiPrune's excess over a rival's, ``[cells, num_sets]``."""
    pairs = [_pair(contest, rival, taken, cell) for cell in CELLS]
    return np.array([np.log(ours / theirs) for ours, theirs in pairs])


def log_ratios_of_means(contest: Contest, rival: str, taken: str = BETTER) -> np.ndarray:
    """Logarithms of LiPrune's mean excess over a rival's, ``[cells, 1]``."""
    pairs = [_pair(contest, rival, taken, cell).mean(axis=1) for cell in CELLS]
    return np.array([[np.log(ours / theirs)] for ours, theirs in pairs])


def outcome(estimate: Estimate) -> str:
    """Say who is ahead for sure."""
    if estimate.high < 0:
        return "won"
    return "lost" if estimate.low > 0 else "open"


def _row(facts: dict, samples: np.ndarray) -> dict:
    estimate = mean_interval(samples, level())
    return facts | estimate.columns("log_ratio") | {"outcome": outcome(estimate)}


def cell_table(contests: Contests) -> pd.DataFrame:
    """Compare LiPrune with each rival, paired by data set, in every cell of every problem."""
    rows = []
    for (problem, contest), rival in product(contests.items(), RIVALS):
        for cell, logs in zip(CELLS, log_ratios(contest, rival), strict=True):
            ours, theirs = np.exp(np.log(_pair(contest, rival, BETTER, cell)).mean(axis=1))
            facts = {"problem": problem, "keep_fraction": cell[0], "step": STEPS[cell[1]]}
            facts |= {"against": rival, "taken": ENTRANTS[entrant(contest, rival, *cell)].taken}
            rows.append(_row(facts | {"liprune_excess": ours, "other_excess": theirs}, logs))
    return pd.DataFrame(rows)


def problem_table(contests: Contests) -> pd.DataFrame:
    """Average the cells of each problem, data set by data set."""
    return pd.DataFrame(
        _row({"problem": problem, "against": rival}, log_ratios(contest, rival).mean(axis=0))
        for (problem, contest), rival in product(contests.items(), RIVALS)
    )


def rival_table(problems: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Estimate the mean over problems against each rival, and count who is ahead."""
    rows = []
    for rival in RIVALS:
        parts = {"problems": problems, "cells": cells}
        here = {name: table[table.against == rival] for name, table in parts.items()}
        facts = {"against": rival}
        for name, table in here.items():
            facts |= {f"{name}_{each}": (table.outcome == each).sum() for each in OUTCOMES}
        estimate = mean_interval(here["problems"].log_ratio, level())
        rows.append(facts | estimate.columns("log_ratio"))
    return pd.DataFrame(rows)


def estimates(rivals: pd.DataFrame) -> dict[str, Estimate]:
    """List the mean log ratio against each rival."""
    return {row.against: Estimate.of(row, "log_ratio") for row in rivals.itertuples()}


def variant_table(contests: Contests) -> pd.DataFrame:
    """Repeat the estimates with other choices where the register is silent, one at a time."""
    real = {name: contest for name, contest in contests.items() if name in SOURCES}
    made = {name: contest for name, contest in contests.items() if name not in SOURCES}
    variants: dict[str, tuple[Contests, Logs, str]] = {
        "as the claim is decided": (contests, log_ratios, BETTER),
        "all rivals scored at the start": (contests, log_ratios, START),
        "all rivals scored later": (contests, log_ratios, LATER),
        "ratio of mean excesses": (contests, log_ratios_of_means, BETTER),
        "generated problems alone": (made, log_ratios, BETTER),
        "real data alone": (real, log_ratios, BETTER),
    }
    rows = []
    for (name, (held, logs, taken)), rival in product(variants.items(), RIVALS):
        means = [logs(contest, rival, taken).mean() for contest in held.values()]
        facts = {"variant": name, "against": rival, "median": np.median(means)}
        rows.append(_row(facts, np.array(means)))
    return pd.DataFrame(rows)


def tuning_table(contests: Contests) -> pd.DataFrame:
    """List the step sizes that were chosen, with their mean excess on the data sets that tune."""
    rows = []
    for (problem, contest), step in product(contests.items(), range(len(STEPS))):
        sizes, tuned = step_sizes(problem), contest.tuned
        for at, way in enumerate(ENTRANTS):
            multiple = tuned.multiples[at, step]
            facts = {"problem": problem, **way._asdict(), "step": STEPS[step]}
            facts |= {"multiple": multiple, "excess": tuned.excess[at, step]}
            rows.append(facts | {"at_an_end": multiple in (sizes[0], sizes[-1])})
    return pd.DataFrame(rows)
