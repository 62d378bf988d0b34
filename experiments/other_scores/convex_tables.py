"""What the contests of scores on convex problems say: ratios of test losses, and the claim."""

import numpy as np
import pandas as pd
from tqdm import tqdm

from experiments.other_scores.convex import (
    ENTRANTS,
    PROBLEMS,
    RACING,
    WAYS,
    Contest,
    Entrant,
    common_rates,
    compared_steps,
    contest,
)
from liprune_utils.book.register import decide
from liprune_utils.intervals import Estimate, ratio_interval

SLOW = "digits"  # a fifth of the runs
ALPHA = 0.01  # at most the chance that LiPrune is wrongly called ahead in any case
RIVAL = ["against", "taken"]
SETTING = ["problem", "rate", "keep_fraction"]
CASE = [*SETTING, *RIVAL]
RIVALS = {way: f"{way[0]}, {way[1]}" for way in WAYS[1:]}
LABELS = {"random": "random pruning", "grand": "GraNd", "el2n": "EL2N", "loss": "loss"}


def run_contests(num_runs: int, seed: int) -> dict[tuple[str, str], list[Contest]]:
    """Let LiPrune and the other scores race on every problem and at every common rate.

    Args:
        num_runs: Paired runs, >= 2; a fifth of them, but at least 2, on digits.
        seed: Root of all random streams.

    Returns:
        For each problem and name of a rate its contests, run by run.
    """
    found = {}
    for name in tqdm(PROBLEMS, desc="contests of scores"):
        count = max(2, num_runs // 5) if name == SLOW else num_runs
        for label, rate in common_rates(name, seed).items():
            roots = [(seed, RACING, number) for number in range(count)]
            found[name, label] = [contest(name, root, rate) for root in roots]
    return found


def loss_table(contests: dict[tuple[str, str], list[Contest]]) -> pd.DataFrame:
    """Compare LiPrune's test loss with every other entrant's, at equal steps, run by run.

    Args:
        contests: From `run_contests`.

    Returns:
        One row a problem, rate, fraction, rival and step: the mean losses, and the ``ratio`` of
        LiPrune's to the rival's with an interval. All the steps of a problem, rate, fraction and
        rival are one case; the intervals' level is that at which, with a chance of 99% or more,
        LiPrune is wrongly taken to be ahead at all steps in no case (Bonferroni).
    """
    fractions = {entrant.keep_fraction for entrant in ENTRANTS}
    level = 1 - ALPHA / (len(contests) * len(fractions) * len(RIVALS))
    rows = []
    for (name, rate), runs in contests.items():
        losses = np.stack([run.test_loss for run in runs], axis=-1)  # [steps, entrants, runs]
        for at, entrant in enumerate(ENTRANTS):
            if entrant.method == "liprune":
                continue
            ours = ENTRANTS.index(Entrant(*WAYS[0], entrant.keep_fraction))
            facts = {"problem": name, "rate": rate, "keep_fraction": entrant.keep_fraction}
            facts |= dict(zip(RIVAL, entrant, strict=False))
            for step, all_losses in zip(compared_steps(name), losses, strict=True):
                pair = all_losses[ours], all_losses[at]
                found = ratio_interval(*pair, level)._asdict()
                means = {"liprune_loss": pair[0].mean(), "other_loss": pair[1].mean()}
                rows.append(facts | {"step": step} | means | {"ratio": found.pop("value")} | found)
    return pd.DataFrame(rows)


def case_table(losses: pd.DataFrame) -> pd.DataFrame:
    """Judge each case by its least favourable step: is LiPrune ahead at all of them?

    Args:
        losses: From `loss_table`.

    Returns:
        One row a problem, rate, fraction and rival: the largest ``ratio`` with its interval and
        ``step``, the ratio after the last step (``last``), and the ``outcome``: "ahead" at every
        step, "not ahead" for sure at one of them at least, or "undecided".
    """
    rows = []
    for key, case in losses.groupby(CASE, sort=False):
        worst = case.loc[case.ratio.idxmax()]
        answers = [_estimate(row).below(1.0) for row in case.itertuples()]
        outcome = {"holds": "ahead", "does-not-hold": "not ahead", "inconclusive": "undecided"}
        columns = ["step", "ratio", "low", "high", "num_runs"]
        facts = dict(zip(CASE, key, strict=True)) | worst[columns].to_dict()
        verdict = outcome[decide(answers, in_part=False)]
        rows.append(facts | {"last": case.ratio.iloc[-1], "outcome": verdict})
    return pd.DataFrame(rows)


def _estimate(row: pd.Series) -> Estimate:
    return Estimate(row.ratio, row.low, row.high, int(row.num_runs))


def count_table(cases: pd.DataFrame) -> pd.DataFrame:
    """Count the cases in which LiPrune is ahead, by rival.

    Args:
        cases: From `case_table`.

    Returns:
        One row a rival: how many cases are "ahead", "not ahead" and "undecided".
    """
    outcomes = ["ahead", "not ahead", "undecided"]
    counts = cases.groupby(RIVAL, sort=False).outcome.value_counts().unstack(fill_value=0)
    return counts.reindex(columns=outcomes, fill_value=0).loc[list(RIVALS)].reset_index()


def shared_table(contests: dict[tuple[str, str], list[Contest]]) -> pd.DataFrame:
    """Average how many of a rival's points LiPrune keeps too.

    Args:
        contests: From `run_contests`.

    Returns:
        One row a problem, rate, fraction and rival, with the mean share ``shared``, from 0 to 1;
        chance would give the fraction.
    """
    rows = []
    for (name, rate), runs in contests.items():
        means = np.mean([run.shared for run in runs], axis=0)
        for entrant, shared in zip(ENTRANTS, means, strict=True):
            facts = {"problem": name, "rate": rate, "keep_fraction": entrant.keep_fraction}
            facts |= dict(zip(RIVAL, entrant, strict=False))
            rows.append(facts | {"shared": shared, "num_runs": len(runs)})
    table = pd.DataFrame(rows)
    return table[table.against != "liprune"].reset_index(drop=True)


def best_cases(cases: pd.DataFrame) -> pd.DataFrame:
    """Find for each rival the case that speaks most for LiPrune.

    Args:
        cases: From `case_table`.

    Returns:
        One row of ``cases`` for each rival: that whose interval ends lowest.
    """
    best = cases.loc[cases.groupby(RIVAL, sort=False).high.idxmin()]
    return best.set_index(RIVAL).loc[list(RIVALS)].reset_index()


def won_outright(cases: pd.DataFrame) -> int:
    """Count the settings in which LiPrune is ahead of all rivals at once.

    Args:
        cases: From `case_table`.

    Returns:
        The number of problems, rates and fractions, at most that of all.
    """
    return int(cases.groupby(SETTING).outcome.agg(lambda found: (found == "ahead").all()).sum())


def describe(case: pd.Series) -> str:
    """Write a case for a reader.

    Args:
        case: A row of `case_table`.

    Returns:
        Words such as "GraNd at the start, digits, keep 0.1".
    """
    taken = "" if case.against == "random" else f" {case.taken}"
    return f"{LABELS[case.against]}{taken}, {case.problem}, keep {case.keep_fraction:g}"
