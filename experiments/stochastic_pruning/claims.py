"""What page 02 says: the claims on Theorem 2 and on stochastic pruning, decided."""

import pandas as pd

from liprune_utils.book.register import Claim, claim, decide
from liprune_utils.intervals import Estimate

SHARE_MARGIN = 0.01  # register: stochastic-fraction
SAME_P = 1e-6  # register: any-compression, "the same p"


def bound_claim(table: pd.DataFrame, *, cost: float) -> Claim:
    r"""Decide Theorem 2's bound (register: no share exceeds the chance by more than its interval).

    Args:
        table: From `experiments.stochastic_pruning.tables.exceedance_table`.
        cost: Seconds of computing.

    Returns:
        The claim; it reports the share less the stated chance where it is nearest to it, among the
        chances that so many draws can see.
    """
    gap = table.share - table.stated
    visible = table.stated > 10 / table.num_draws
    worst = table.loc[gap[visible].idxmax()]
    estimate = Estimate(
        worst.share - worst.stated, worst.low - worst.stated, worst.high - worst.stated,
        int(worst.num_draws),
    )  # fmt: skip
    above = int((table.low > table.stated).sum())
    note = (
        f"Share of draws above the bound, less the stated chance: above it in {above} of "
        f"{len(table)} cases; nearest at r = {worst.keep_probability:g}, t = {worst.time}, "
        f"where {worst.share:.2g} of the draws exceed and {worst.stated:.2g} may."
    )
    verdict = "does-not-hold" if above else "holds"
    return claim("theorem-2-bound", estimate, verdict, cost=cost, note=note)


def iterations_claim(table: pd.DataFrame, *, cost: float) -> Claim:
    """Decide Theorem 2's number of steps (register: as Theorem 1, on the event).

    Args:
        table: From `experiments.stochastic_pruning.tables.iterations_table`.
        cost: Seconds of computing.

    Returns:
        The claim; it reports the case with the largest upper end.
    """
    answers = [row.high <= 1 or (None if row.low <= 1 else False) for row in table.itertuples()]
    problems = table.groupby(["family", "dim", "noise_sd", "problem"], dropna=False).ngroups
    worst = table.loc[table.high.idxmax()]
    estimate = Estimate(worst.error_over_target, worst.low, worst.high, problems)
    note = (
        f"With no more than r t / 2 steps made the error is below its target in "
        f"{answers.count(True)} of {len(answers)} cases on {problems} problems; nearest: "
        f"{worst.family}, d = {worst.dim}, r = {worst.keep_probability:g}."
    )
    verdict = decide(answers, in_part=False)
    return claim("theorem-2-iterations", estimate, verdict, cost=cost, note=note)


def proof_claim(statuses: pd.Series, *, cost: float) -> Claim:
    """Decide the proof (register: every line as printed; or corrected, if the conclusion survives).

    Args:
        statuses: The status of each printed line.
        cost: Seconds of computing.

    Returns:
        The claim; it reports the share of lines that hold as printed.
    """
    counts = statuses.value_counts()
    holds, failed = (int(counts.get(s, 0)) for s in ("holds", "fails as printed"))
    share = holds / len(statuses)
    corrected = len(statuses) - holds - failed
    note = (
        f"Of {len(statuses)} lines {holds} hold as printed and {corrected} after a correction; "
        f"{failed} cannot be repaired. The conclusion survives."
        if not failed
        else f"{failed} of {len(statuses)} lines fail and have no correction."
    )
    verdict = "does-not-hold" if failed else "holds-with-correction" if corrected else "holds"
    estimate = Estimate(share, share, share, len(statuses))
    return claim("theorem-2-proof", estimate, verdict, cost=cost, note=note)


def compression_claim(table: pd.DataFrame, *, cost: float) -> Claim:
    """Decide whether the best p is the same for every r.

    Args:
        table: From `experiments.stochastic_pruning.tables.compression_table`.
        cost: Seconds of computing.

    Returns:
        The claim; it reports the largest difference of n p from n L / sum(L).
    """
    worst = float(table.difference.max())
    verdict = decide([worst < SAME_P], in_part=False)
    note = (
        f"The factor λ is least at p proportional to L for {len(table)} values of r from "
        f"{table.keep_probability.min():g} to {table.keep_probability.max():g}; λ is the bound's, "
        "not the error's."
    )
    estimate = Estimate(worst, worst, worst, len(table))
    return claim("any-compression", estimate, verdict, cost=cost, note=note)


def fraction_claim(table: pd.DataFrame, *, cost: float) -> Claim:
    """Decide whether n steps touch a fraction r of the data (register: within 0.01 of r for all).

    Args:
        table: From `experiments.stochastic_pruning.runs.touched_table`.
        cost: Seconds of computing.

    Returns:
        The claim; it reports the share touched less r, under uniform sampling, at its farthest.
    """
    rows = table[table.sampling == "uniform"]
    gaps = [
        Estimate(
            *(getattr(row, name) - row.keep_probability for name in ("share", "low", "high")),
            row.num_runs,
        )
        for row in rows.itertuples()
    ]
    worst = max(gaps, key=lambda gap: abs(gap.value))
    verdict = decide([gap.within(-SHARE_MARGIN, SHARE_MARGIN) for gap in gaps], in_part=False)
    at = rows.keep_probability.iloc[gaps.index(worst)]
    note = (
        f"Share touched less r. It is 1 − (1 − r/n)^n, about 1 − exp(−r), not r: farthest at "
        f"r = {at:g}; sampling proportional to L touches fewer still."
    )
    return claim("stochastic-fraction", worst, verdict, cost=cost, note=note)
