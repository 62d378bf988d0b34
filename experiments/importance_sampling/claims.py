"""What page 01 says: the claims on Theorem 1 and on the optimal sampling, decided."""

import numpy as np
import pandas as pd

from experiments.importance_sampling.runs import least_lipschitz_sup
from experiments.importance_sampling.step_counts import RULES
from liprune_utils.book.formats import number
from liprune_utils.book.register import Claim, claim, decide, decides, margin
from liprune_utils.intervals import Estimate, median_interval
from liprune_utils.theory import lipschitz_sup


def target_claim(claim_id: str, table: pd.DataFrame, *, when: str, case: str, cost: float) -> Claim:
    """Decide whether an error meets its target: the upper end is at most 1 on every problem."""
    problems = table.groupby(["family", "dim", "noise_sd", "problem"], dropna=False).ngroups
    worst = table.loc[table.high.idxmax()]
    answers = [
        True if row.high <= 1 else None if row.low <= 1 else False for row in table.itertuples()
    ]
    note = (
        f"{when} the error is below its target in {answers.count(True)} of {len(answers)} cases on "
        f"{problems} problems; nearest: {worst.family}, d = {worst.dim}, {case.format(**worst)}."
    )
    estimate = Estimate.of(worst, "error_over_target")._replace(num_runs=problems)
    return claim(claim_id, estimate, decide(answers, in_part=False), cost=cost, note=note)


@decides("theorem-1")
def theorem_claim(table: pd.DataFrame, *, cost: float) -> Claim:
    """Decide Theorem 1 (register: the upper end at most 1 on every problem)."""
    when, case = "At the stated step", "{sampling} sampling"
    return target_claim("theorem-1", table, when=when, case=case, cost=cost)


@decides("optimal-p-formula")
def formula_claim(lipschitz: np.ndarray, *, cost: float) -> Claim:
    """Decide the printed formula of the optimal p by its sum and by a numerical minimiser."""
    agreement = margin("optimal-p-formula", "relative_difference")
    printed = lipschitz / lipschitz.mean()
    total = float(printed.sum())
    least, found = least_lipschitz_sup(lipschitz), lipschitz_sup(lipschitz, printed / total)
    if abs(found / least - 1) >= agreement:
        verdict = "does-not-hold"
    else:
        verdict = "holds" if abs(total - 1) < agreement else "holds-with-correction"
    note = (
        f"The printed probabilities sum to {total:.6g}, with {len(lipschitz)} functions. Scaled to "
        "sum to 1, their L_sup is the least that a linear programme finds, within a relative "
        f"difference of {number(agreement)}."
    )
    estimate = Estimate(total, total, total, 1)
    return claim("optimal-p-formula", estimate, verdict, cost=cost, note=note)


def speed_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Summarise the ratios of steps over problems."""
    keys = ["sampling", "rule", "dim", "noise_sd", "target"]
    rows = []
    for values, group in table.groupby(keys, sort=False):
        row = dict(zip(keys, values, strict=True)) | median_interval(group.ratio).columns("ratio")
        rows.append(row | {"share_above_1": (group.ratio > 1).mean()})
    return pd.DataFrame(rows).rename(columns={"num_runs": "num_problems"})


def fewest_steps_ratio(summary: pd.DataFrame, *, noise_sd: float, target: float) -> Estimate:
    """Read the steps of uniform sampling over those of p proportional to L, each at its best."""
    rows = summary[(summary.sampling == "optimal") & (summary.rule == "best") & (summary.dim == 10)]
    row = rows[(rows.noise_sd == noise_sd) & (rows.target == target)].iloc[0]
    return Estimate.of(row.rename({"num_problems": "num_runs"}), "ratio")


def first_words(quiet: Estimate, noisy: Estimate) -> str:
    """Answer the page's question by the ratios of steps without and with label noise."""
    if quiet.low <= 1:
        return "These problems do not show it."
    if noisy.low > 1:
        return "Yes."
    clear = "not" if noisy.high < 1 else "not clearly"
    return f"Yes without label noise; with noise, {clear} for every target."


@decides("optimal-p-speed")
def speed_claim(summary: pd.DataFrame, *, cost: float) -> Claim:
    """Decide whether p proportional to L saves steps in all comparisons, in part in some."""
    cases = summary[summary.sampling == "optimal"].rename(columns={"num_problems": "num_runs"})
    answers = [
        True if row.low > 1 else False if row.high <= 1 else None for row in cases.itertuples()
    ]
    worst = cases.loc[cases.ratio.idxmin()]
    note = (
        f"Fewer steps than uniform sampling in {answers.count(True)} of {len(answers)} "
        f"comparisons, more in {answers.count(False)}; least favourable: d = {worst.dim}, "
        f"{RULES[worst.rule]}, label noise {worst.noise_sd:g}, "
        f"target {worst.target:g} of the first error."
    )
    estimate, verdict = Estimate.of(worst, "ratio"), decide(answers, in_part=True)
    return claim("optimal-p-speed", estimate, verdict, cost=cost, note=note)
