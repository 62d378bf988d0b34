"""Page 02: Theorem 2 on draws of its coins, Eq. (2) as a process, claims decided."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from experiments.importance_sampling.runs import paper_line
from experiments.stochastic_pruning.claims import (
    bound_claim,
    compression_claim,
    fraction_claim,
    iterations_claim,
    proof_claim,
)
from experiments.stochastic_pruning.runs import (
    StochasticParameters,
    _best_probabilities,
    _touched_share,
    compression_table,
    exceedance,
    exceedance_table,
    iterations_table,
    law_errors,
    looseness_table,
    probability_table,
    tail_table,
    touched_table,
)
from liprune_utils.checks import InputError
from liprune_utils.problems import LeastSquares, draw_least_squares
from liprune_utils.theory import exact_tail, optimal, stated_tail, uniform

SMALL = StochasticParameters(
    results_dir="x", num_problems=10, noise_sd=0.2, spread=0.5, seed=0, num_draws=1000
)


def problem(dim: int = 2, seed: int = 0) -> LeastSquares:
    generator = np.random.default_rng(seed)
    return draw_least_squares(generator, 30, dim, noise_sd=0.2, spread=0.5)


@pytest.fixture(scope="module")
def shares() -> pd.DataFrame:
    return exceedance_table(SMALL)


def test_draws_have_a_range():
    SMALL.replace(num_draws=10**6)
    for value in (999, 10**6 + 1):
        with pytest.raises(InputError, match=f"^num_draws is {value}; expected "):
            SMALL.replace(num_draws=value)


def test_no_share_is_above_the_stated_chance(shares):
    assert len(shares) == 60 * 2 * 2 * 5 * 3
    assert (shares.exact_share <= shares.stated).all()
    assert (shares.low <= shares.exact_share + 1e-12).mean() > 0.98
    assert bound_claim(shares, cost=0).verdict == "holds"


def test_a_bound_that_is_exceeded_too_often_is_caught(shares):
    lowered = shares.assign(low=shares.low.where(shares.index > 0, 1.0))
    assert bound_claim(lowered, cost=0).verdict == "does-not-hold"


def test_an_exceedance_is_the_binomial_tail_when_the_bound_is_crossed_once():
    path = 0.5 ** np.arange(21.0)  # above 0.1 for the first four steps made
    made = np.random.default_rng(0).binomial(20, 0.3, size=5000)
    row = exceedance(path, 0.1, made, 0.3, 20)
    assert row["exact_share"] == pytest.approx(binom.cdf(3, 20, 0.3))
    assert row["low"] < row["exact_share"] < row["high"]


def test_the_stated_number_of_steps_suffices_on_the_event():
    table = iterations_table(SMALL)
    assert len(table) == 60 * 2 * 3 * 2 + 6 * 2 * 3
    assert (table.fewest_made >= table.keep_probability * table.time / 2 - 1e-9).all()
    assert iterations_claim(table, cost=0).verdict == "holds"
    broken = table.assign(low=table.low.where(table.index > 0, 1.1), high=table.high + 1)
    assert iterations_claim(broken, cost=0).verdict == "does-not-hold"


def test_chances_are_at_most_five_percent_from_their_step_on():
    for row in probability_table().itertuples():
        later = np.arange(row.exact, row.exact + 200)
        assert (exact_tail(later, row.keep_probability) <= 0.05).all()
        assert exact_tail(row.exact - 1, row.keep_probability) > 0.05
        assert stated_tail(row.stated, row.keep_probability) <= 0.05
        assert stated_tail(row.stated - 1, row.keep_probability) > 0.05
        assert 2 * stated_tail(row.proof, row.keep_probability) <= 0.05


def test_the_tails_are_in_order():
    table = tail_table()
    assert (table.exact <= table[["stated", "chernoff"]].min(axis=1) + 1e-12).all()


@pytest.mark.parametrize("made_step", [0.1, 0.5])
def test_the_numerical_minimiser_beats_random_probabilities(made_step):
    lipschitz = problem().lipschitz[:6]
    found = _best_probabilities(lipschitz, 0.1, made_step / lipschitz.mean())
    assert found.sum() == pytest.approx(1)
    others = np.random.default_rng(0).dirichlet(np.ones(6), size=1000)
    assert (lipschitz / (6 * found)).max() <= (lipschitz / (6 * others)).max(axis=1).min()


def test_the_best_probabilities_are_the_same_for_every_r():
    table = compression_table(problem(), (0.05, 0.5, 1.0))
    assert compression_claim(table, cost=0).verdict == "holds"
    assert compression_claim(table.assign(difference=0.1), cost=0).verdict == "does-not-hold"


@pytest.mark.parametrize("rule", [uniform, optimal])
def test_the_touched_share_by_enumeration(rule):
    lipschitz, keep = np.array([1.0, 2.0, 5.0]), 0.4
    p = rule(lipschitz)
    missed = [(1 - keep) + keep * (1 - p[i]) for i in range(3)]  # one step, made or not
    assert _touched_share(p, keep, 4) == pytest.approx(1 - np.mean(np.power(missed, 4)))


def test_n_steps_touch_less_than_a_fraction_r():
    table = touched_table(paper_line(np.random.default_rng(0), 0.2).lipschitz, num_runs=50, seed=0)
    assert ((table.share - table.exact).abs() < 2 * (table.high - table.low)).all()
    near = 1 - np.exp(-table.keep_probability)
    assert table.exact[table.sampling == "uniform"].to_numpy() == pytest.approx(near[:5], abs=1e-3)
    outcome = fraction_claim(table, cost=0)
    assert outcome.verdict == "does-not-hold"
    assert outcome.estimate < -0.3
    honest = table.assign(share=table.keep_probability, low=table.keep_probability - 0.001)
    honest = honest.assign(high=table.keep_probability + 0.001)
    assert fraction_claim(honest, cost=0).verdict == "holds"


def test_both_sides_of_the_law_have_the_same_mean():
    drawn = problem()
    options = {"keep": 0.3, "step_size": 0.1 / drawn.lipschitz.max(), "num_steps": 60}
    coin, clock = law_errors(drawn, **options, num_runs=4000, seed=0)
    se = np.hypot(coin.std(), clock.std()) / np.sqrt(4000)
    assert abs(coin.mean() - clock.mean()) < 5 * se


def test_bounds_are_in_order_and_simulation_agrees():
    table = looseness_table(problem(), (0.3, 1.0), target=0.1, num_runs=200, seed=0)
    assert (table.exact <= table.ours).all()
    assert (table.ours <= table.bound).all()
    seen = table[table.time > 0]
    assert ((seen.simulated - seen.exact).abs() < 5 * seen.simulated_se).all()
    start = table[table.time == 0][["exact", "simulated"]]
    assert np.allclose(start, 1, rtol=1e-12)


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        (["holds", "holds"], "holds"),
        (["holds", "holds after a correction"], "holds-with-correction"),
        (["holds", "fails as printed"], "does-not-hold"),
    ],
)
def test_a_proof_is_as_good_as_its_lines(statuses, verdict):
    outcome = proof_claim(pd.Series(statuses), cost=0)
    assert outcome.verdict == verdict
    assert outcome.estimate == statuses.count("holds") / 2
