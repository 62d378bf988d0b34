"""Tables of the convex problems: paired data sets, medians, simulation beside exact losses."""

import numpy as np
import pytest

from experiments.convex_is_not_enough.counterexample_tables import (
    answer,
    check_table,
    common_rate,
    curve_table,
    judges,
    kept_table,
    race_table,
    summary_table,
)
from experiments.convex_is_not_enough.counterexamples import TASKS


@pytest.fixture(scope="module")
def races():
    return race_table(12, seed=4)


def test_methods_share_a_data_set():
    found = judges("outliers", seed=1, number=2)
    assert list(found) == ["liprune", "random", "none"]
    assert found["liprune"].task is found["random"].task
    assert [len(judge.kept) for judge in found.values()] == [100, 100, 1000]
    largest = found["none"].task.train.lipschitz.argsort()[-100:]
    np.testing.assert_array_equal(found["liprune"].kept, np.sort(largest))
    other = judges("outliers", seed=1, number=3)
    assert (other["random"].kept != found["random"].kept).any()


def test_common_rate_is_the_papers_on_its_line():
    rates = [common_rate(judges("the paper's line", 0, n)["none"]) for n in range(40)]
    assert np.mean(rates) == pytest.approx(0.01, rel=0.02)


def test_race_has_a_row_for_each_method_and_length(races):
    assert len(races) == len(TASKS) * 12 * 3 * 2
    assert (races.best <= races.same * 1.0001).all()
    one = races[(races.task == "bent line") & (races.problem == 3) & (races.method == "liprune")]
    judge = judges("bent line", 4, 3)["liprune"]
    assert one.final.iloc[0] == judge.final
    assert one.best.iloc[1] == pytest.approx(judge.best(1000)[1])


def test_summary_is_the_median_of_paired_ratios(races):
    summary = summary_table(races)
    assert len(summary) == len(TASKS) * 2 * 2 * 2
    here = races[(races.task == "two groups, d = 2") & (races.step == 100)]
    wide = here.pivot(index="problem", columns="method", values="best")
    keys = ["task", "rival", "step", "rates"]
    row = summary.set_index(keys).loc["two groups, d = 2", "none", 100, "best"]
    assert row.ratio == pytest.approx((wide["liprune"] / wide["none"]).median())
    assert row.low > 10  # LiPrune does not learn the second feature


def test_kept_problems_are_described(races):
    kept = kept_table(races).set_index("task")
    assert list(kept.index) == list(TASKS)
    assert np.isinf(kept.condition_liprune["two groups, d = 2"])
    assert kept.condition_liprune["the paper's line"] < kept.condition_random["the paper's line"]
    assert kept.final_liprune["outliers"] > 3 * kept.final_random["outliers"]
    assert (kept.rate_ratio < 1).all()


def test_simulation_agrees_with_exact_losses():
    table = check_table(500, seed=4)
    assert len(table) == 2 * len(TASKS)
    assert table.z.abs().max() < 5


def test_curves_start_together_and_end_apart(races):
    curves = curve_table(races, seed=4, num_problems=3)
    assert len(curves) == len(TASKS) * 3 * 101
    for _, rows in curves[curves.step == 0].groupby("task"):
        np.testing.assert_allclose(rows.excess, rows.excess.iloc[0])
    end = curves[(curves.step == 100) & (curves.task == "bent line")].set_index("method").excess
    assert end["liprune"] > 5 * end["none"]


def test_answer_quotes_the_tables(races):
    summary = summary_table(races)
    text = answer(summary, kept_table(races))
    row = summary.set_index(["task", "rival", "step", "rates"]).loc[
        "outliers", "random", 100, "best"
    ]
    assert f"{row.ratio:#.3g} [{row.low:#.3g}" in text
    assert "n = 12 data sets" in text
