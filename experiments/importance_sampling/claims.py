"""What page 01 says: the claims on Theorem 1 and on the optimal sampling, decided."""

import numpy as np
import pandas as pd

from experiments.importance_sampling.runs import least_lipschitz_sup
from experiments.importance_sampling.step_counts import RULES
from liprune_utils.book.register import Claim, claim, decide
from liprune_utils.intervals import Estimate, median_interval
from liprune_utils.theory import lipschitz_sup

AGREEMENT = 1e-6  # register: optimal-p-formula


def theorem_claim(table: pd.DataFrame, *, cost: float) -> Claim:
    """Decide Theorem 1 (register: the upper end at most 1 on every problem).

    Args:
        table: From `experiments.importance_sampling.runs.theorem_table`.
        cost: Seconds of computing.

    Returns:
        The claim; it reports the problem with the largest upper end.
    """
    problems = table.groupby(["family", "dim", "noise_sd", "problem"], dropna=False).ngroups
    worst = table.loc[table.high.idxmax()]
    answers = [
        True if row.high <= 1 else None if row.low <= 1 else False for row in table.itertuples()
    ]
    estimate = Estimate(worst.error_over_target, worst.low, worst.high, problems)
    note = (
        f"At the stated step the error is below its target in {answers.count(True)} of "
        f"{len(answers)} cases on {problems} problems; nearest: {worst.family}, "
        f"d = {worst.dim}, {worst.sampling} sampling."
    )
    return claim("theorem-1", estimate, decide(answers, in_part=False), cost=cost, note=note)


def formula_claim(lipschitz: np.ndarray, *, cost: float) -> Claim:
    """Decide the printed formula of the optimal p (register: its sum, and a numerical minimiser).

    Args:
        lipschitz: Lipschitz constants of a problem, array of shape ``[n]``.
        cost: Seconds of computing.

    Returns:
        The claim; it reports the sum of the printed probabilities.
    """
    printed = lipschitz / lipschitz.mean()
    total = float(printed.sum())
    least, found = least_lipschitz_sup(lipschitz), lipschitz_sup(lipschitz, printed / total)
    agree = abs(found / least - 1) < AGREEMENT
    verdict = (
        "does-not-hold"
        if not agree
        else "holds"
        if abs(total - 1) < AGREEMENT
        else "holds-with-correction"
    )
    note = (
        f"The printed probabilities sum to {total:.6g}, with {len(lipschitz)} functions; scaled to "
        f"sum to 1, their L_sup is the least that a linear programme finds, to {AGREEMENT:g}."
    )
    return claim(
        "optimal-p-formula", Estimate(total, total, total, 1), verdict, cost=cost, note=note
    )


def speed_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Summarise the ratios of steps over problems.

    Args:
        table: From `experiments.importance_sampling.step_counts.speed_table`.

    Returns:
        One row a sampling, rule, dimension, noise and target: the median ratio with its 99%
        interval between order statistics, the number of problems, and ``share_above_1``.
    """
    keys = ["sampling", "rule", "dim", "noise_sd", "target"]
    rows = []
    for values, group in table.groupby(keys, sort=False):
        ratio = group.ratio.to_numpy()
        estimate = median_interval(ratio)
        columns = {"ratio": estimate.value, "low": estimate.low, "high": estimate.high}
        columns |= {"num_problems": estimate.num_runs, "share_above_1": (ratio > 1).mean()}
        rows.append(dict(zip(keys, values, strict=True)) | columns)
    return pd.DataFrame(rows)


def speed_claim(summary: pd.DataFrame, *, cost: float) -> Claim:
    """Decide whether p proportional to L saves steps (register: above 1 in all; in part, in some).

    Args:
        summary: From `speed_summary`.
        cost: Seconds of computing.

    Returns:
        The claim; it reports the smallest ratio.
    """
    cells = summary[summary.sampling == "optimal"]
    answers = [
        True if row.low > 1 else False if row.high <= 1 else None for row in cells.itertuples()
    ]
    worst = cells.loc[cells.ratio.idxmin()]
    estimate = Estimate(worst.ratio, worst.low, worst.high, int(worst.num_problems))
    note = (
        f"Fewer steps than uniform sampling in {answers.count(True)} of {len(answers)} "
        f"comparisons, more in {answers.count(False)}; least favourable: d = {worst.dim}, "
        f"{RULES[worst.rule]}, label noise {worst.noise_sd:g}, "
        f"target {worst.target:g} of the first error."
    )
    return claim("optimal-p-speed", estimate, decide(answers, in_part=True), cost=cost, note=note)
