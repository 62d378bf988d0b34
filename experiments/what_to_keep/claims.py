"""The claims of page 12, decided by the register's rules."""

import pandas as pd

from experiments.what_to_keep import network, real
from experiments.what_to_keep.races import PILOT_STEPS, WEIGHTED
from experiments.what_to_keep.tables import CLAIMED_DIMS
from liprune_utils.book.formats import difference, relative
from liprune_utils.book.register import Claim, claim, decides, load_register, margin
from liprune_utils.intervals import Estimate

CASE = ["dim", "keep_fraction", "step"]
LEAST_RUNS = 200  # the rules ask for so many data sets
WORDS = {"random": "random pruning", "liprune": "LiPrune", "none": "no pruning"}


@decides("design-least-squares")
def least_squares_claim(cases: pd.DataFrame, *, cost: float) -> Claim:
    """Decide whether the A-optimal design beats random pruning and LiPrune on least squares."""
    return _claim("design-least-squares", _claimed(cases, "noise 0.5"), "", cost)


@decides("design-logistic")
def logistic_claim(cases: pd.DataFrame, *, cost: float) -> Claim:
    """Decide the same for logistic regression, by the better of two designs on the tuning data."""
    mine = _claimed(cases, "logistic")
    pilots = (mine.method == WEIGHTED) & (mine.step <= PILOT_STEPS)
    pruned = mine[~pilots]
    note = (
        f" In {_count(mine[mine.method == WEIGHTED])} cases the weighted design tuned better than "
        f"the plain one; in {_count(mine[pilots])} of these its pilot on all points was still "
        f"running, and nothing was pruned yet. In the {_count(pruned)} other cases the design is "
        f"ahead of both in {int(_outcomes(pruned).eq({'lower'}).sum())}."
    )
    return _claim("design-logistic", mine, note, cost)


def _claimed(cases: pd.DataFrame, labels: str) -> pd.DataFrame:
    return cases[(cases.labels == labels) & cases.dim.isin(CLAIMED_DIMS)]


def _count(cases: pd.DataFrame) -> int:
    return len(cases[CASE].drop_duplicates())


def _outcomes(cases: pd.DataFrame) -> pd.Series:
    """The outcomes against random pruning and LiPrune, as a set for each case."""
    return cases[cases.against != "none"].groupby(CASE).outcome.agg(set)


def _verdict(cases: pd.DataFrame) -> str:
    """Holds if below 1 against both in all cases; in part in some; the mirror needs all."""
    outcomes = _outcomes(cases)
    lower, higher = (outcomes.eq({word}) for word in ("lower", "higher"))
    if cases.num_runs.min() < LEAST_RUNS:
        return "inconclusive"
    if lower.any():
        return "holds" if lower.all() else "holds-in-part"
    return "does-not-hold" if higher.all() else "inconclusive"


def _claim(claim_id: str, cases: pd.DataFrame, note: str, cost: float) -> Claim:
    decisive = cases[cases.against != "none"]
    worst = Estimate.of(decisive.loc[decisive.ratio.idxmax()], "ratio")
    counts = "; ".join(_counts(cases, rival) for rival in WORDS)
    level = load_register()[claim_id]["level"]
    text = (
        f"Of {_count(cases)} cases (dimension, fraction kept, number of steps), the design's "
        f"excess test loss is {counts}.{note} {_beats_none(cases, level)}"
    )
    return claim(claim_id, worst, _verdict(cases), cost=cost, note=text)


def _counts(cases: pd.DataFrame, rival: str) -> str:
    counts = cases[cases.against == rival].outcome.value_counts()
    found = {word: int(counts.get(word, 0)) for word in ("lower", "higher", "open", "same")}
    same = f", the same in {found['same']}" if found["same"] else ""
    return (
        f"lower than with {WORDS[rival]} in {found['lower']}, higher in {found['higher']}, "
        f"undecided in {found['open']}{same}"
    )


def _beats_none(cases: pd.DataFrame, level: float) -> str:
    """Say where the design beats no pruning."""
    rows = cases[(cases.against == "none") & (cases.outcome == "lower")]
    if rows.empty:
        return "Nowhere does it beat no pruning."
    listed = "; ".join(
        f"d = {row.dim}, keep {row.keep_fraction:g}, {row.step} steps: "
        f"{relative(Estimate.of(row, 'ratio'), level=level)}"
        for row in rows.itertuples()
    )
    return f"It beats no pruning at {listed}."


@decides(real.CLAIM)
def real_claim(ratios: pd.DataFrame, *, cost: float) -> Claim:
    """Decide "the same on real data": below 1 in all cases of a data set, on all or on some."""
    here = ratios[(ratios.method == "design") & (ratios.against == "random")]
    sets, worst = here.groupby("data_set"), real.worst_cases(ratios)
    verdict = _real_verdict(sets.high.max() < 0, sets.low.min() > 0)
    level = load_register()[real.CLAIM]["level"]
    listed = "; ".join(f"{name}: {relative(e, level=level)}" for name, e in worst.items())
    note = (
        "Test loss with the design against random pruning, each at its own tuned step size, in "
        f"the least favourable of the two fractions and the two numbers of steps. {listed}."
    )
    hardest = max(worst.values(), key=lambda estimate: estimate.value)
    return claim(real.CLAIM, hardest, verdict, cost=cost, note=note)


def _real_verdict(below: pd.Series, above: pd.Series) -> str:
    if below.any():
        return "holds" if below.all() else "holds-in-part"
    return "does-not-hold" if above.all() else "inconclusive"


@decides(network.CLAIM)
def network_claim(gaps: pd.DataFrame, *, cost: float) -> Claim:
    """Decide "the same for a network", by the mean error from the pruning on, in both cases."""
    found, level = network.estimates(gaps, "design"), load_register()[network.CLAIM]["level"]
    verdict = _network_verdict(list(found.values()), margin(network.CLAIM, "test_error_points"))
    listed = "; ".join(
        f"keep {fraction:g}: {difference(estimate, 'points', level=level)}"
        for fraction, estimate in found.items()
    )
    (num_seeds,) = {estimate.num_runs for estimate in found.values()}
    note = (
        f"Mean test error over the epochs after the pruning, design against random images, over "
        f"{num_seeds} seeds. {listed}."
    )
    worst = max(found.values(), key=lambda estimate: estimate.value)
    return claim(network.CLAIM, worst, verdict, cost=cost, note=note, source="recorded")


def _network_verdict(found: list[Estimate], least: float) -> str:
    """Holds if below minus the margin in both cases, in part if below zero in both."""
    if all(estimate.high < -least for estimate in found):
        return "holds"
    if all(estimate.high < 0 for estimate in found):
        return "holds-in-part"
    return "does-not-hold" if all(estimate.low > 0 for estimate in found) else "inconclusive"
