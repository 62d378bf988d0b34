"""The tables of the linear-model runs, the closed form, the register's rules."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from experiments.linear_model.claims import (
    acceleration_claim,
    decide_claims,
    initial_loss_claim,
    no_pruning_claim,
)
from experiments.linear_model.runs import PAPER_FIGURES, Paths, Pruning, Setting, simulate
from experiments.linear_model.tables import (
    closed_form_table,
    curve_table,
    gaps,
    loss_ratio,
    population_excess,
    slope_table,
)
from liprune_utils.book.register import load_register
from liprune_utils.checks import InputError
from liprune_utils.intervals import Estimate
from liprune_utils.problems import draw_linear
from liprune_utils.sgd import Moments, exact_moments

COLUMNS = [
    "figure", "method", "keep_fraction", "batch_size", "learning_rate", "step", "num_runs",
    "test_loss_mean", "test_loss_se", "kept_loss_mean", "kept_loss_se", "full_loss_mean",
    "full_loss_se",
]  # fmt: skip
AHEAD, BEHIND, OPEN = (Estimate(v, v - 1, v + 1, 9) for v in (-2, 2, -0.5))


@pytest.fixture(scope="module")
def runs():
    return simulate(PAPER_FIGURES, num_runs=400)


def test_table_has_a_row_for_each_curve_and_step(runs):
    table = curve_table(runs)
    assert list(table.columns) == COLUMNS
    assert set(table.num_runs) == {400}
    settings = table[["figure", "batch_size", "learning_rate"]].drop_duplicates()
    expected = [(figure, *setting[:2]) for figure, setting in PAPER_FIGURES.items()]
    assert list(map(tuple, settings.to_numpy())) == expected
    curves = table.groupby(["figure", "method", "keep_fraction"]).step.agg(list)
    assert all(steps == list(range(31)) for steps in curves)
    pruned = product(("liprune", "random"), (0.1, 0.3, 0.5, 0.7))
    panel = sorted([*pruned, ("none", 1.0)])
    assert list(curves.index) == [(figure, *curve) for figure in PAPER_FIGURES for curve in panel]


def test_table_holds_means_and_standard_errors(runs):
    paths = runs[8]["random", 0.3]
    rows = curve_table({8: {Pruning("random", 0.3): paths}})
    for name in ("test", "kept", "full"):
        loss = paths.loss(name)
        np.testing.assert_allclose(rows[f"{name}_loss_mean"], loss.mean(axis=1))
        np.testing.assert_allclose(rows[f"{name}_loss_se"], loss.std(axis=1, ddof=1) / 20)


def test_simulation_agrees_with_the_closed_form(runs):
    table = closed_form_table(runs)
    assert len(table) == 54 * 31 * 3
    assert table.z.abs().max() < 5
    assert 0.7 < table.z[table.step == 30].std() < 1.3  # it is as far as chance, no farther


def test_closed_form_notices_a_wrong_simulation(runs):
    paths = runs[1]["liprune", 0.1]
    wrong = replace(paths, error=paths.error * 1.05)
    assert closed_form_table({1: {Pruning("liprune", 0.1): wrong}}).z.abs().max() > 5


def test_gaps_are_paired_differences(runs):
    differences = gaps(runs, 5, (10,))
    assert len(differences) == 4
    pair = (runs[5][method, 0.3].loss("test")[10] for method in ("liprune", "random"))
    expected = np.subtract(*pair).mean()
    assert differences["Figure 5, keep 0.3, step 10"].value == pytest.approx(expected)


@pytest.mark.parametrize(
    ("estimates", "in_part", "verdict"),
    [
        ([AHEAD, AHEAD], False, "holds"),
        ([AHEAD, OPEN], False, "inconclusive"),
        ([AHEAD, BEHIND], False, "does-not-hold"),
        ([AHEAD, BEHIND], True, "holds-in-part"),
        ([OPEN, BEHIND], True, "does-not-hold"),
        ([OPEN, OPEN], True, "inconclusive"),
    ],
)
def test_acceleration_needs_every_comparison(estimates, in_part, verdict):
    named = {f"case {i}": gap for i, gap in enumerate(estimates)}
    claim = acceleration_claim("learning-rates", named, in_part=in_part, cost=1.26)
    assert claim.verdict == verdict
    assert (claim.estimate, claim.low, claim.high, claim.num_runs) == max(estimates)
    assert claim.cost == 1.3
    assert (
        f"ahead in {estimates.count(AHEAD)} and behind in {estimates.count(BEHIND)} of 2"
        in claim.note
    )


def synthetic(factors):
    """Runs of Figure 1 in which random pruning has so many times the excess of no pruning."""
    one = np.ones(50)
    test, half = Moments(400, xx=2 * one, x4=one, xn=0 * one, nn=one), np.linspace(0.9, 1.1, 50)
    cases = {Pruning("none", 1.0): 1.0}
    cases |= {Pruning("random", f): factor for f, factor in factors.items()}
    error = {case: np.tile(np.sqrt(factor * half), (31, 1)) for case, factor in cases.items()}
    error["none", 1.0][np.delete(np.arange(31), [10, 30])] *= 9  # other steps do not count
    return {1: {c: Paths(Setting(10, 0.01), 1.0, e, {"test": test}) for c, e in error.items()}}


@pytest.mark.parametrize(
    ("factors", "verdict", "worst"),
    [
        ({0.1: 1.04, 0.5: 0.97}, "holds", 1.04),
        ({0.1: 1.04, 0.5: 0.94}, "holds-in-part", 0.94),
        ({0.1: 1.2, 0.5: 0.5}, "does-not-hold", 0.5),
    ],
)
def test_no_pruning_is_compared_within_the_margin(factors, verdict, worst):
    claim = no_pruning_claim(synthetic(factors), cost=0)
    assert (claim.verdict, claim.estimate) == (verdict, pytest.approx(worst))


def test_initial_test_loss_is_the_same_and_kept_loss_is_not(runs):
    claim = initial_loss_claim(runs, cost=0)
    assert (claim.verdict, claim.estimate) == ("does-not-hold", 1.0)
    kept = [runs[1][m, 0.1].loss("kept")[0].mean() for m in ("liprune", "random")]
    assert f"LiPrune's is {kept[0] / kept[1] - 1:.0%} higher (99% interval" in claim.note


def test_all_claims_of_the_page_are_decided(runs):
    claims, register = decide_claims(runs, cost=1), load_register()
    page = {key for key, entry in register.items() if entry["page"] == "04_linear_model"}
    assert {claim.id for claim in claims} == page
    assert claims[0].verdict == "holds"  # figure-1-acceleration, tens of standard errors


@pytest.mark.parametrize("rate", [0.01, 0.05])
@pytest.mark.parametrize("fraction", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("method", ["liprune", "random"])
def test_typical_data_set_is_the_median_of_many(method, fraction, rate):
    x = draw_linear(np.random.default_rng(1), 300, 1000).x.T
    kept = (np.sort(np.abs(x), axis=0) if method == "liprune" else x)[-round(1000 * fraction) :]
    options = {"batch_size": 10, "learning_rate": rate, "slope": 2.0}
    exact = exact_moments(Moments.of(kept, 0 * kept), **options, num_steps=30, noise_sd=0.2).square
    found = population_excess(fraction, method, **options)
    np.testing.assert_allclose(found, np.median(exact, axis=1) * 25 / 6, rtol=0.04)


def test_a_ratio_of_losses_is_liprunes_over_random_prunings(runs):
    ratio = loss_ratio(runs, 5, 0.3, 10)
    means = [runs[5][method, 0.3].loss("test")[10].mean() for method in ("liprune", "random")]
    assert ratio.value == pytest.approx(means[0] / means[1])
    assert ratio.value < ratio.high < 1


def test_slopes_have_the_ratio_of_expected_excess_losses():
    table = slope_table([0.5, 2.0], steps=(5, 20))
    assert list(zip(table.slope, table.step, strict=True)) == list(product((0.5, 2.0), (5, 20)))
    setting = {"batch_size": 10, "learning_rate": 0.01, "slope": 2.0}
    pair = [population_excess(0.1, method, **setting)[20] for method in ("liprune", "random")]
    assert table.ratio.iloc[-1] == pytest.approx(pair[0] / pair[1])


def test_unknown_method_is_refused():
    with pytest.raises(InputError, match=r"^method is 'none'; expected liprune or random\.$"):
        population_excess(0.1, "none", batch_size=1, learning_rate=0.1, slope=1)
