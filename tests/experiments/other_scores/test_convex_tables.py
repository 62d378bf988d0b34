"""What contests of scores say, on made-up losses: every outcome and every verdict."""

import numpy as np
import pandas as pd
import pytest

from experiments.other_scores import claims, convex_tables
from experiments.other_scores.convex import ENTRANTS, LATER, LINEAR, NEVER, START, Contest
from liprune_utils.intervals import ratio_interval

RUNS = 12
AHEAD, LEVEL, BEHIND, NOISY = 2.0, 1.0, 0.5, None  # a rival's loss in units of LiPrune's


def made(losses: dict, problem: str = LINEAR, seed: int = 0) -> dict:
    """Contests in which a rival has a loss of its own, the same for all fractions and steps."""
    draw, runs = np.random.default_rng(seed), []
    for _ in range(RUNS):
        ours = draw.uniform(0.9, 1.1)
        row = [
            ours * draw.uniform(0.1, 2.0) if losses.get(e[:2], AHEAD) is NOISY
            else ours * losses.get(e[:2], AHEAD) for e in ENTRANTS
        ]  # fmt: skip
        for number, entrant in enumerate(ENTRANTS):
            if entrant.method == "liprune":
                row[number] = ours
        runs.append(Contest(np.tile(row, (4, 1)), np.full(len(ENTRANTS), 0.25)))
    return {(problem, "rate"): runs}


def everybody(value: float | None) -> dict:
    return dict.fromkeys(convex_tables.RIVALS, value)


def cases(losses: dict) -> pd.DataFrame:
    return convex_tables.case_table(convex_tables.loss_table(made(losses)))


def test_ratios_are_paired_and_their_intervals_hold_together():
    contests = made({("grand", START): NOISY}) | made({}, "digits", seed=1)
    table = convex_tables.loss_table(contests)
    assert len(table) == 2 * 4 * 7 * 4
    assert set(table.against) == {"random", "grand", "el2n", "loss"}
    rows = table[(table.problem == LINEAR) & (table.against == "grand") & (table.taken == START)]
    runs = contests[LINEAR, "rate"]
    for row in rows.itertuples():
        ours = ENTRANTS.index(("liprune", NEVER, row.keep_fraction))
        theirs = ENTRANTS.index(("grand", START, row.keep_fraction))
        pair = (np.array([run.test_loss[0, n] for run in runs]) for n in (ours, theirs))
        expected = ratio_interval(*pair, level=1 - 0.01 / (2 * 4 * 7))
        assert (row.ratio, row.low, row.high, row.num_runs) == pytest.approx(expected)
    assert rows.step.tolist() == [5, 10, 20, 30] * 4
    assert table[table.problem == "digits"].step.max() == 300
    certain = table[(table.problem == LINEAR) & (table.taken == LATER)]
    np.testing.assert_allclose(certain[["ratio", "low", "high"]], 0.5)


@pytest.mark.parametrize(
    ("loss", "outcome"),
    [(AHEAD, "ahead"), (LEVEL, "not ahead"), (BEHIND, "not ahead"), (NOISY, "undecided")],
)
def test_a_case_is_ahead_only_for_sure(loss, outcome):
    table = cases({("grand", START): loss}).set_index(["against", "taken"])
    assert set(table.outcome["grand", START]) == {outcome}
    assert set(table.outcome["grand", LATER]) == {"ahead"}


def test_a_case_is_judged_by_its_worst_step():
    contests = made({})
    for runs in contests.values():
        for run in runs:
            run.test_loss[2, ENTRANTS.index(("random", NEVER, 0.3))] /= 4
    table = convex_tables.case_table(convex_tables.loss_table(contests))
    row = table[(table.against == "random") & (table.keep_fraction == 0.3)].iloc[0]
    assert (row.step, row.outcome) == (20, "not ahead")
    assert (row.ratio, row["last"]) == pytest.approx((2.0, 0.5))
    assert (table.outcome == "ahead").sum() == len(table) - 1


@pytest.mark.parametrize(
    ("losses", "verdict"),
    [
        ({}, "holds"),
        (everybody(LEVEL) | {("random", NEVER): AHEAD}, "holds-in-part"),
        ({("loss", LATER): BEHIND}, "holds-in-part"),
        ({("loss", LATER): NOISY}, "inconclusive"),
        (everybody(BEHIND), "does-not-hold"),
        ({("random", NEVER): BEHIND}, "does-not-hold"),
        ({("random", NEVER): NOISY, ("grand", START): BEHIND}, "does-not-hold"),
    ],
)
def test_the_verdict_follows_the_register(losses, verdict):
    outcome = claims.outperforms_claim(cases(losses), cost=1.26)
    assert (outcome.id, outcome.verdict) == ("outperforms-existing", verdict)
    assert (outcome.source, outcome.cost, outcome.num_runs) == ("executed", 1.3, RUNS)
    assert outcome.low <= outcome.estimate <= outcome.high


def test_one_problem_is_enough():
    lost = made(everybody(BEHIND), "digits")
    table = convex_tables.case_table(convex_tables.loss_table(made({}) | lost))
    outcome = claims.outperforms_claim(table, cost=0)
    assert outcome.verdict == "holds"
    assert "7 of 7 rivals are beaten on some problem, all at once on 4" in outcome.note
    assert "ahead in 28 of 56 cases" in outcome.note


def test_the_claim_reports_the_rival_that_is_hardest_to_beat():
    outcome = claims.outperforms_claim(cases({("el2n", LATER): 1.25}), cost=0)
    assert outcome.estimate == pytest.approx(0.8)
    hardest = f"Hardest to beat: EL2N {LATER}, {LINEAR}, keep 0."
    assert hardest in outcome.note


def test_the_best_case_of_a_rival_ends_lowest():
    table = pd.concat([cases({}), cases(everybody(4.0)).assign(problem="digits")])
    table = table.reset_index(drop=True)
    best = convex_tables.best_cases(table)
    assert best[["against", "taken"]].apply(tuple, axis=1).tolist() == list(convex_tables.RIVALS)
    assert set(best.problem) == {"digits"}


def test_counts_have_every_rival_and_outcome():
    counts = convex_tables.count_table(cases({("random", NEVER): BEHIND, ("loss", START): NOISY}))
    rows = {(r.against, r.taken): tuple(r[3:]) for r in counts.itertuples()}
    expected = dict.fromkeys(convex_tables.RIVALS, (4, 0, 0))
    assert rows == expected | {("random", NEVER): (0, 4, 0), ("loss", START): (0, 0, 4)}


def test_settings_are_won_outright_only_against_all():
    assert convex_tables.won_outright(cases({})) == 4
    assert convex_tables.won_outright(cases({("loss", LATER): NOISY})) == 0


def test_shared_points_are_averaged_over_runs():
    contests = made({})
    contests[LINEAR, "rate"][0].shared[:] = 0.25 + RUNS * 0.5
    table = convex_tables.shared_table(contests)
    assert len(table) == 4 * 7
    np.testing.assert_allclose(table.shared, 0.75)
    assert set(table.num_runs) == {RUNS}


def test_contests_are_run_on_every_problem_and_rate(monkeypatch):
    seen = []

    def fake(name, root, rate):
        seen.append((name, root, rate))
        return Contest(np.zeros((4, len(ENTRANTS))), np.zeros(len(ENTRANTS)))

    monkeypatch.setattr(convex_tables, "contest", fake)
    monkeypatch.setattr(
        convex_tables, "common_rates", lambda name, seed: {"a": 1.0, "b": float(seed)}
    )
    found = convex_tables.run_contests(10, seed=7)
    assert {key: len(runs) for key, runs in found.items()} == {
        (name, rate): 2 if name == "digits" else 10
        for name in convex_tables.PROBLEMS for rate in ("a", "b")
    }  # fmt: skip
    assert (LINEAR, (7, convex_tables.RACING, 9), 7.0) in seen
    assert len(set(seen)) == len(seen)


def case_rows(outcomes: dict) -> pd.DataFrame:
    rows = [
        (problem, "rate", 0.1, *way, 10, 0.8, 0.7, 0.9, 20, 0.8, found)
        for problem, ways in outcomes.items() for way, found in ways.items()
    ]  # fmt: skip
    names = ["problem", "rate", "keep_fraction", "against", "taken", "step", "ratio", "low",
             "high", "num_runs", "last", "outcome"]  # fmt: skip
    return pd.DataFrame(rows, columns=names)


WAYS = {("random", NEVER): "undecided", ("grand", START): "ahead", ("el2n", LATER): "ahead"}


def test_shared_take_the_smallest_fraction_and_average_rates():
    rows = [(LINEAR, "a", 0.1, 0.9), (LINEAR, "b", 0.1, 0.7), ("digits", "a", 0.1, 1.0),
            ("digits", "a", 0.5, 0.3)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["problem", "rate", "keep_fraction", "shared"])
    table = table.assign(against="grand", taken=START)
    other = table.assign(taken=LATER, shared=0.0)
    text = convex_tables.describe_shared(pd.concat([table, other]))
    assert text.endswith(f"scored at the start, keeps 10%: {LINEAR} 80%, digits 100%.")


def loss_rows(random: float = 1.0) -> pd.DataFrame:
    rows = [
        (LINEAR, rate, fraction, *way, step, ratio, random if way[0] == "random" else 2.0)
        for rate in ("0.01", "0.05") for fraction in (0.1, 0.5)
        for way in WAYS | {("el2n", START): ""}
        for step, ratio in ((5, 1.25 if rate == "0.01" else 9.0), (30, 0.5))
    ]  # fmt: skip
    names = ["problem", "rate", "keep_fraction", "against", "taken", "step", "ratio", "other_loss"]
    return pd.DataFrame(rows, columns=names)


def test_linear_follow_the_steps_at_the_papers_rate():
    text = convex_tables.describe_linear(loss_rows())
    steps = "1.25 (step 5), 0.50 (step 30)"
    assert text.startswith("At the rate 0.01 with 10% kept, the ratio of LiPrune's test loss ")
    assert text.endswith(f"to GraNd's is {steps}, and to EL2N's is {steps}.")


@pytest.mark.parametrize(("random", "count"), [(1.0, 2), (3.0, 0)])
def test_random_count_where_random_too_is_better(random, count):
    cases = case_rows({LINEAR: WAYS}).assign(rate="0.01")
    text = convex_tables.describe_random(loss_rows(random), cases)
    assert text.startswith(f"In {count} of the 2 cases in which LiPrune is ahead")
