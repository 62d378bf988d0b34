"""What page 02 says: the claims on Theorem 2 and on stochastic pruning, decided."""

import pandas as pd

from experiments.importance_sampling.claims import target_claim
from experiments.stochastic_pruning.proof import FAILS, HOLDS
from liprune_utils.book.register import Claim, claim, decide, decides, margin
from liprune_utils.intervals import Estimate


@decides("theorem-2-bound")
def bound_claim(table: pd.DataFrame, *, cost: float) -> Claim:
    """Decide Theorem 2's bound: no share exceeds the stated chance by more than its interval."""
    gap = table.share - table.stated
    visible = table.stated > 10 / table.num_draws
    worst = table.loc[gap[visible].idxmax()]
    values = (worst[name] - worst.stated for name in ("share", "low", "high"))
    above = int((table.low > table.stated).sum())
    note = (
        f"The share of draws above the bound is larger than allowed in {above} of {len(table)} "
        f"cases. It is nearest at r = {worst.keep_probability:g}, t = {worst.time}: there "
        f"{worst.share:.2%} of the draws are above the bound, and {worst.stated:.2%} may be."
    )
    verdict = "does-not-hold" if above else "holds"
    estimate = Estimate(*values, worst.num_draws)
    return claim("theorem-2-bound", estimate, verdict, cost=cost, note=note)


@decides("theorem-2-iterations")
def iterations_claim(table: pd.DataFrame, *, cost: float) -> Claim:
    """Decide Theorem 2's number of steps as Theorem 1's, on the event."""
    when, case = "With no more than r t / 2 steps made", "r = {keep_probability:g}"
    return target_claim("theorem-2-iterations", table, when=when, case=case, cost=cost)


@decides("theorem-2-proof")
def proof_claim(statuses: pd.Series, *, cost: float) -> Claim:
    """Decide the proof: every line as printed; or corrected, if the conclusion survives."""
    holds, failed = (int((statuses == status).sum()) for status in (HOLDS, FAILS))
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


@decides("any-compression")
def compression_claim(table: pd.DataFrame, *, cost: float) -> Claim:
    """Decide whether the best p is the same for every r, but for the minimiser's error."""
    worst = float(table.difference.max())
    verdict = decide([worst < 1e-6], in_part=False)
    note = (
        f"The factor λ is least at p proportional to L for {len(table)} values of r from "
        f"{table.keep_probability.min():g} to {table.keep_probability.max():g}; λ is the bound's, "
        "not the error's."
    )
    estimate = Estimate(worst, worst, worst, len(table))
    return claim("any-compression", estimate, verdict, cost=cost, note=note)


@decides("stochastic-fraction")
def fraction_claim(table: pd.DataFrame, *, cost: float) -> Claim:
    """Decide whether n steps touch a fraction r of the data, within the margin for all r."""
    rows = table[table.sampling == "uniform"]
    gaps = rows[["share", "low", "high"]].sub(rows.keep_probability, axis=0)
    gaps = gaps.assign(num_runs=rows.num_runs)
    tolerance = margin("stochastic-fraction", "share")
    answers = [Estimate.of(gap, "share").within(-tolerance, tolerance) for gap in gaps.itertuples()]
    farthest = gaps.share.abs().idxmax()
    note = (
        "Uniform sampling touches a share 1 − (1 − r/n)^n of the functions on average, which is "
        f"about 1 − exp(−r) and not r. The difference is largest at r = "
        f"{rows.keep_probability[farthest]:g}. Sampling proportional to L touches fewer still."
    )
    worst, verdict = Estimate.of(gaps.loc[farthest], "share"), decide(answers, in_part=False)
    return claim("stochastic-fraction", worst, verdict, cost=cost, note=note)
