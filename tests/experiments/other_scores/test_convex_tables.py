"""What contests of scores say, on made-up excesses: every outcome and every verdict."""

import numpy as np
import pandas as pd
import pytest

from experiments.other_scores import claims, convex_tables
from experiments.other_scores.contests import Contest, Tuned
from experiments.other_scores.convex import ENTRANTS, LATER, NEVER, START, STEPS, Entrant
from liprune_utils.book.register import load_register
from liprune_utils.intervals import Estimate, mean_interval

SETS, RIVALS = 12, convex_tables.RIVALS
PROBLEMS = ("outliers", "bent line", "breast cancer", "digits", "diabetes")


def made(factors: dict, spread: float = 0.01, seed: int = 0, **tuned: float) -> Contest:
    """A contest in which rivals have an excess of their own, in units of LiPrune's."""
    draw = np.random.default_rng(seed)
    excess = np.exp(draw.normal(0, 1, (SETS, 1, 1)) + np.zeros((1, 3, len(ENTRANTS))))
    better = np.ones((len(ENTRANTS), 3))
    for at, entrant in enumerate(ENTRANTS):
        factor = factors.get(entrant[:2], factors.get(entrant.method, 1.0))
        excess[..., at] *= factor * np.exp(draw.normal(0, spread, (SETS, 3)))
        better[at] = tuned.get(f"{entrant.method}_{entrant.taken}", 1.0)
    return Contest(Tuned(1.0, better, better), excess)


def at(method: str, taken: str, fraction: float) -> int:
    return ENTRANTS.index(Entrant(method, taken, fraction))


def everywhere(factors: dict, spread: float = 0.01) -> dict[str, Contest]:
    return {name: made(factors, spread, seed) for seed, name in enumerate(PROBLEMS)}


def rival_rows(contests: dict) -> pd.DataFrame:
    cells, problems = convex_tables.cell_table(contests), convex_tables.problem_table(contests)
    return convex_tables.rival_table(problems, cells)


def test_cells_are_paired_by_data_set():
    contests = {"outliers": made({"random": 2.0}, spread=0.3)}
    table = convex_tables.cell_table(contests)
    assert len(table) == 2 * 3 * 4
    excess = contests["outliers"].excess
    for row in table[table.against == "random"].itertuples():
        step = STEPS.index(row.step)
        ours = excess[:, step, at("liprune", NEVER, row.keep_fraction)]
        theirs = excess[:, step, at("random", NEVER, row.keep_fraction)]
        expected = mean_interval(np.log(ours) - np.log(theirs), 0.95)
        assert (row.log_ratio, row.low, row.high, row.num_runs) == pytest.approx(expected)
        assert row.liprune_excess == pytest.approx(np.exp(np.log(ours).mean()))
        assert row.other_excess == pytest.approx(np.exp(np.log(theirs).mean()))
        assert (row.outcome, row.taken) == ("won", NEVER)


def test_a_problem_is_the_mean_of_its_cells_data_set_by_data_set():
    contests = {"outliers": made({"grand": 0.5}, spread=0.2)}
    rows = convex_tables.problem_table(contests).set_index("against")
    cells = convex_tables.cell_table(contests)
    assert rows.log_ratio["grand"] == pytest.approx(
        cells[cells.against == "grand"].log_ratio.mean()
    )
    excess, pairs = contests["outliers"].excess, []
    for fraction in (0.1, 0.3):
        ours, theirs = (excess[:, :, at(*way, fraction)] for way in
                        (("liprune", NEVER), ("grand", START)))  # fmt: skip
        pairs.append(np.log(ours / theirs))
    expected = mean_interval(np.concatenate(pairs, axis=1).mean(axis=1), 0.95)
    found = rows.loc["grand"]
    assert (found.log_ratio, found.low, found.high, found.num_runs) == pytest.approx(expected)
    assert found.outcome == "lost"


def test_each_rival_is_scored_when_its_tuning_was_better():
    factors = {("el2n", START): 2.0, ("el2n", LATER): 0.5}
    for tuned, expected, taken in [(1.1, np.log(0.5), START), (0.9, np.log(2), LATER)]:
        contests = {"outliers": made(factors, **{f"el2n_{LATER}": tuned})}
        table = convex_tables.cell_table(contests)
        rows = table[table.against == "el2n"]
        np.testing.assert_allclose(rows.log_ratio, expected, atol=0.05)
        assert set(rows.taken) == {taken}


def test_the_better_moment_may_differ_between_cells():
    contest = made({("loss", START): 2.0, ("loss", LATER): 0.5})
    contest.tuned.excess[at("loss", LATER, 0.3), 1] = 0.5
    table = convex_tables.cell_table({"outliers": contest})
    later = table[(table.against == "loss") & (table.taken == LATER)]
    assert later[["keep_fraction", "step"]].to_numpy().tolist() == [[0.3, 100]]


def test_outcomes():
    ends = {(-2, -1): "won", (1, 2): "lost", (-1, 1): "open", (0, 0): "open"}
    for (low, high), expected in ends.items():
        assert convex_tables.outcome(Estimate((low + high) / 2, low, high, 3)) == expected


def test_rivals_are_means_over_problems_with_counts():
    contests = everywhere({"random": 2.0})
    contests["digits"] = made({"random": 0.25}, seed=9)
    contests["diabetes"] = made({"random": 2.0}, seed=10)
    contests["diabetes"].excess[::2, :, [1, 9]] /= 4  # as often ahead as behind
    problems = convex_tables.problem_table(contests)
    table = rival_rows(contests).set_index("against")
    assert list(table.index) == list(RIVALS)
    values = problems[problems.against == "random"].log_ratio.to_numpy()
    expected = mean_interval(values, load_register()[convex_tables.CLAIM]["level"])
    row = table.loc["random"]
    assert (row.log_ratio, row.low, row.high, row.num_runs) == pytest.approx(expected)
    assert row.num_runs == len(PROBLEMS)
    assert (row.problems_won, row.problems_lost, row.problems_open) == (3, 1, 1)
    assert row.cells_won + row.cells_lost + row.cells_open == 6 * len(PROBLEMS)
    assert row.cells_won >= 18
    assert row.cells_lost >= 6


@pytest.mark.parametrize(
    ("factors", "verdict"),
    [
        (dict.fromkeys(RIVALS, 2.0), "holds"),
        ({"random": 2.0}, "holds-in-part"),
        (dict.fromkeys(RIVALS, 2.0) | {"loss": 0.5}, "holds-in-part"),
        (dict.fromkeys(RIVALS, 0.5), "does-not-hold"),
        (dict.fromkeys(RIVALS, 0.5) | {"loss": 1.0}, "inconclusive"),
        ({}, "inconclusive"),
    ],
)
def test_the_verdict_follows_the_register(factors, verdict):
    contests = everywhere(factors)
    for seed, name in enumerate(PROBLEMS[:2]):  # no rival is surely behind or ahead by chance
        ways = {rival: np.exp((-1) ** seed) for rival in RIVALS if factors.get(rival, 1.0) == 1.0}
        contests[name] = made(factors | ways, seed=seed)
    outcome = claims.outperforms_claim(rival_rows(contests), cost=1.26)
    assert (outcome.id, outcome.verdict) == (convex_tables.CLAIM, verdict)
    assert (outcome.source, outcome.cost, outcome.num_runs) == ("executed", 1.3, len(PROBLEMS))
    assert outcome.low <= outcome.estimate <= outcome.high


def test_one_win_is_not_enough():
    contests = everywhere(dict.fromkeys(RIVALS, 0.5))
    contests["outliers"] = made(dict.fromkeys(RIVALS, 3.0))
    assert claims.outperforms_claim(rival_rows(contests), cost=0).verdict == "inconclusive"


def test_the_claim_reports_the_rival_that_is_hardest_to_beat():
    outcome = claims.outperforms_claim(
        rival_rows(everywhere(dict.fromkeys(RIVALS, 4.0) | {"el2n": 1.25})), cost=0
    )
    assert outcome.estimate == pytest.approx(-np.log(1.25), abs=0.02)
    assert outcome.note.startswith(f"LiPrune's excess test loss on average over {len(PROBLEMS)} ")
    assert "lower (95% interval" in outcome.note
    assert "than with EL2N (problems won: 5, lost: 0, open: 0)" in outcome.note
    assert outcome.note.count("problems won: ") == len(RIVALS)


def test_variants_change_one_choice():
    factors = {("grand", START): 2.0, ("grand", LATER): 0.5}
    contests = everywhere(factors)
    table = convex_tables.variant_table(contests).set_index(["variant", "against"])
    assert len(table) == 6 * len(RIVALS)
    log_ratio = table.log_ratio.unstack().grand
    expected = dict.fromkeys(log_ratio.index, -np.log(2)) | {"all rivals scored later": np.log(2)}
    assert log_ratio.to_dict() == pytest.approx(expected, abs=0.05)
    count = table.num_runs.unstack().grand
    assert (count["generated problems alone"], count["real data alone"]) == (2, 3)
    as_decided = rival_rows(contests).set_index("against")
    for rival in RIVALS:
        row, other = table.loc["as the claim is decided", rival], as_decided.loc[rival]
        ends = ["log_ratio", "low", "high"]
        np.testing.assert_allclose(row[ends].astype(float), other[ends].astype(float))


def test_the_ratio_of_means_follows_a_data_set_that_diverges():
    contest = made({})
    contest.excess[0, :, at("random", NEVER, 0.1)] = 1e9
    means = convex_tables.log_ratios_of_means(contest, "random")
    logs = convex_tables.log_ratios(contest, "random")
    assert (means[:3] < -10).all()
    assert (logs.mean(axis=1)[:3] > -3).all()


def test_tuning_lists_every_choice():
    contests = everywhere({})
    contests["digits"].tuned.multiples[3, 1] = 2.0**-6
    table = convex_tables.tuning_table(contests)
    assert len(table) == len(PROBLEMS) * 3 * len(ENTRANTS)
    (row,) = table[table.at_an_end].itertuples()
    assert (row.problem, row.step, row.multiple) == ("digits", 100, 2.0**-6)
    assert (row.method, row.taken, row.keep_fraction) == ENTRANTS[3]
