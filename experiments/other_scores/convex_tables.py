"""Tables of the contests of scores on convex problems, and the sentences that page 10 quotes."""

import numpy as np
import pandas as pd
from tqdm import tqdm

from experiments.other_scores.convex import (
    ENTRANTS,
    LINEAR,
    PROBLEMS,
    RACING,
    START,
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
RIVALS = WAYS[1:]
LABELS = {"random": "random pruning", "grand": "GraNd", "el2n": "EL2N", "loss": "loss"}


def run_contests(num_runs: int, seed: int) -> dict[tuple[str, str], list[Contest]]:
    """Let LiPrune and the other scores race on every problem and at every common rate."""
    contests = {}
    for name in tqdm(PROBLEMS, desc="contests of scores"):
        count = max(2, num_runs // 5) if name == SLOW else num_runs
        for label, rate in common_rates(name, seed).items():
            roots = [(seed, RACING, number) for number in range(count)]
            contests[name, label] = [contest(name, root, rate) for root in roots]
    return contests


def loss_table(contests: dict[tuple[str, str], list[Contest]]) -> pd.DataFrame:
    """Compare LiPrune's test loss with every other entrant's, at equal steps, run by run."""
    fractions = {entrant.keep_fraction for entrant in ENTRANTS}
    level = 1 - ALPHA / (len(contests) * len(fractions) * len(RIVALS))
    rows = []
    for (name, rate), runs in contests.items():
        losses = np.stack([run.test_loss for run in runs], axis=-1)  # [steps, entrants, runs]
        for at, entrant in enumerate(ENTRANTS):
            if entrant.method == "liprune":
                continue
            ours = ENTRANTS.index(Entrant(*WAYS[0], entrant.keep_fraction))
            facts = _case_columns(name, rate, entrant)
            for step, step_losses in zip(compared_steps(name), losses, strict=True):
                pair = step_losses[ours], step_losses[at]
                means = {"liprune_loss": pair[0].mean(), "other_loss": pair[1].mean()}
                ratio = ratio_interval(*pair, level).columns("ratio")
                rows.append(facts | {"step": step} | means | ratio)
    return pd.DataFrame(rows)


def _case_columns(name: str, rate: str, entrant: Entrant) -> dict:
    values = (name, rate, entrant.keep_fraction, entrant.method, entrant.taken)
    return dict(zip(CASE, values, strict=True))


def case_table(losses: pd.DataFrame) -> pd.DataFrame:
    """Decide each case by its least favourable step: is LiPrune ahead at all of them?"""
    outcomes = {"holds": "ahead", "does-not-hold": "not ahead", "inconclusive": "undecided"}
    rows = []
    for key, case in losses.groupby(CASE, sort=False):
        worst = case.loc[case.ratio.idxmax()]
        answers = [Estimate.of(row, "ratio").below(1.0) for row in case.itertuples()]
        columns = ["step", "ratio", "low", "high", "num_runs"]
        facts = dict(zip(CASE, key, strict=True)) | worst[columns].to_dict()
        outcome = outcomes[decide(answers, in_part=False)]
        rows.append(facts | {"last": case.ratio.iloc[-1], "outcome": outcome})
    return pd.DataFrame(rows)


def count_table(cases: pd.DataFrame) -> pd.DataFrame:
    """Count the cases in which LiPrune is ahead, by rival."""
    outcomes = ["ahead", "not ahead", "undecided"]
    counts = cases.groupby(RIVAL, sort=False).outcome.value_counts().unstack(fill_value=0)
    return counts.reindex(columns=outcomes, fill_value=0).loc[list(RIVALS)].reset_index()


def shared_table(contests: dict[tuple[str, str], list[Contest]]) -> pd.DataFrame:
    """Average how many of a rival's points LiPrune keeps too."""
    rows = []
    for (name, rate), runs in contests.items():
        means = np.mean([run.shared for run in runs], axis=0)
        for entrant, shared in zip(ENTRANTS, means, strict=True):
            facts = _case_columns(name, rate, entrant)
            rows.append(facts | {"shared": shared, "num_runs": len(runs)})
    table = pd.DataFrame(rows)
    return table[table.against != "liprune"].reset_index(drop=True)


def best_cases(cases: pd.DataFrame) -> pd.DataFrame:
    """Find for each rival the case that speaks most for LiPrune."""
    best = cases.loc[cases.groupby(RIVAL, sort=False).high.idxmin()]
    return best.set_index(RIVAL).loc[list(RIVALS)].reset_index()


def won_outright(cases: pd.DataFrame) -> int:
    """Count the settings in which LiPrune is ahead of all rivals at once."""
    return int(
        cases.groupby(SETTING).outcome.agg(lambda outcomes: (outcomes == "ahead").all()).sum()
    )


def describe_case(case: pd.Series) -> str:
    """Write a case for a reader."""
    taken = "" if case.against == "random" else f" {case.taken}"
    return f"{LABELS[case.against]}{taken}, {case.problem}, keep {case.keep_fraction:g}"


def describe_shared(shared: pd.DataFrame) -> str:
    """Say how many of GraNd's points at the start are LiPrune's, the fewest kept."""
    fraction = shared.keep_fraction.min()
    rows = shared[(shared.against == "grand") & (shared.taken == START)]
    means = rows[rows.keep_fraction == fraction].groupby("problem", sort=False).shared.mean()
    listed = ", ".join(f"{name} {share:.0%}" for name, share in means.items())
    return (
        f"Share of the points that LiPrune keeps too where GraNd, scored at the start, keeps "
        f"{fraction:.0%}: {listed}."
    )


def describe_linear(losses: pd.DataFrame, rate: str = "0.01") -> str:
    """Follow LiPrune against GraNd and EL2N at the start on the paper's linear model."""
    rows = losses[(losses.problem == LINEAR) & (losses.rate == rate) & (losses.taken == START)]
    rows = rows[rows.keep_fraction == losses.keep_fraction.min()]
    parts = []
    for name in ("grand", "el2n"):
        here = rows[rows.against == name]
        listed = ", ".join(f"{r.ratio:.2f} (step {r.step})" for r in here.itertuples())
        parts.append(f"to {LABELS[name]}'s is {listed}")
    return (
        f"At the rate {rate} with {rows.keep_fraction.iloc[0]:.0%} kept, the ratio of LiPrune's "
        f"test loss {', and '.join(parts)}."
    )


def describe_random(losses: pd.DataFrame, cases: pd.DataFrame) -> str:
    """Count how often random pruning, too, ends below a score that LiPrune is ahead of."""
    last = losses.groupby(CASE, sort=False).other_loss.last().reset_index()
    random = last[last.against == "random"].set_index(SETTING).other_loss.rename("random_loss")
    won = cases[(cases.outcome == "ahead") & (cases.against != "random")]
    won = won.merge(last, on=CASE).join(random, on=SETTING)
    return (
        f"In {(won.random_loss < won.other_loss).sum()} of the {len(won)} cases in which LiPrune "
        f"is ahead of another score, random pruning, too, ends with a lower test loss than that "
        f"score."
    )
