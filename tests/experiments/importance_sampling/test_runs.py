"""Page 01: problems, the linear programme, steps counted, claims decided."""

import numpy as np
import pandas as pd
import pytest
from draws import seeded

from experiments.importance_sampling.claims import (
    fewest_steps_ratio,
    first_words,
    formula_claim,
    speed_claim,
    speed_summary,
    theorem_claim,
)
from experiments.importance_sampling.runs import (
    ImportanceParameters,
    error_over_target,
    least_lipschitz_sup,
    paper_line,
    theorem_problems,
    theorem_table,
)
from experiments.importance_sampling.step_counts import (
    Race,
    _best_step,
    approach,
    exponent_table,
    speed_table,
    step_sizes,
)
from liprune_utils.checks import InputError
from liprune_utils.intervals import Estimate
from liprune_utils.moments import SecondMoments
from liprune_utils.problems import LeastSquares, draw_least_squares, draw_logistic
from liprune_utils.theory import optimal

SMALL = ImportanceParameters(results_dir="x", num_problems=10, noise_sd=0.2, spread=0.5, seed=0)


def problem(dim: int = 1, noise_sd: float = 0.0, seed: int = 0) -> LeastSquares:
    return draw_least_squares(seeded(seed), 30, dim, noise_sd=noise_sd, spread=0.5)


@pytest.fixture(scope="module")
def speed() -> pd.DataFrame:
    return speed_table(SMALL)


@pytest.fixture(scope="module")
def theorem() -> pd.DataFrame:
    return theorem_table(SMALL)


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("num_problems", (10, 10_000), (9, 10_001)),
        ("noise_sd", (0.01, 10.0), (0.0, 10.1)),
        ("spread", (0.0, 1.5), (-0.1, 1.6)),
        ("seed", (0,), (-1,)),
    ],
)
def test_parameters_have_ranges(name, inside, outside):
    for value in inside:
        SMALL.replace(**{name: value})
    for value in outside:
        with pytest.raises(InputError, match=f"^{name} is {value}; expected "):
            SMALL.replace(**{name: value})


def test_the_linear_programme_finds_the_mean_constant():
    lipschitz = seeded().exponential(size=25) + 0.01
    assert least_lipschitz_sup(lipschitz) == pytest.approx(lipschitz.mean(), rel=1e-9)


def test_problems_of_all_kinds_do_not_depend_on_their_number():
    few, many = (list(theorem_problems(SMALL.replace(num_problems=n))) for n in (10, 12))
    assert len(few) == 66
    kinds = {(facts["family"], facts["dim"]) for facts, _ in few}
    assert kinds == {(f, d) for f in ("least squares", "logistic") for d in (1, 2, 10)}
    np.testing.assert_array_equal(few[0][1].x, many[0][1].x)
    np.testing.assert_array_equal(few[11][1].y, many[13][1].y)


def test_an_exact_error_is_inside_what_simulation_says():
    drawn, least = draw_logistic(seeded(1), 40, 2, ridge=0.5), problem(2, 0.2)
    options = {"step_size": 0.05, "num_steps": 40, "target": 1.0}
    p = optimal(drawn.lipschitz)
    simulated = error_over_target(drawn, p, **options, generator=seeded(2))
    again = error_over_target(drawn, p, **options, generator=seeded(3))
    assert simulated.num_runs == 200
    assert again.low < simulated.value < again.high
    half = error_over_target(drawn, p, **options | {"target": 2.0}, generator=seeded(2))
    assert np.allclose(half[:3], np.array(simulated[:3]) / 2)
    exact = error_over_target(least, optimal(least.lipschitz), **options, generator=seeded())
    assert (exact.low, exact.high, exact.num_runs) == (exact.value, exact.value, 0)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.1, 1.0, "holds"), (1.0, 1.5, "inconclusive"), (1.5, 2.0, "does-not-hold")],
)
def test_theorem_1_is_decided_by_its_worst_case(theorem, low, high, verdict):
    assert len(theorem) == 60 * 3 * 2 + 6 * 3
    assert theorem.high.max() < 1
    table = theorem.copy()
    table.loc[7, ["low", "high"]] = low, high
    outcome = theorem_claim(table, cost=0)
    assert (outcome.verdict, outcome.high, outcome.num_runs) == (verdict, high, 66)


def test_without_noise_one_dimension_takes_one_step_at_the_best_rate():
    race = Race.of(problem(), 1e-3)
    assert race.steps("optimal", race.best("optimal")) == pytest.approx(1, abs=0.01)
    away = 1 - race.best("optimal") * race.problem.lipschitz.mean()
    assert away**2 <= 1e-3 * (1 + 1e-9)  # what one step leaves of the error


def test_the_best_uniform_step_in_one_dimension_in_closed_form():
    drawn = problem()
    lipschitz = drawn.lipschitz
    race = Race.of(drawn, 1e-8)  # the factor 1 - 2 eta m + eta^2 m2 is least at eta = m / m2
    closed = lipschitz.mean() / (lipschitz**2).mean()
    assert race.best("uniform") == pytest.approx(closed, rel=0.03)
    factor = 1 - lipschitz.mean() ** 2 / (lipschitz**2).mean()
    steps = race.steps("uniform", race.best("uniform"))
    assert steps == pytest.approx(np.log(1e-8) / np.log(factor), rel=0.01)


def test_a_step_size_that_diverges_never_arrives():
    race = Race.of(problem(2, 0.2), 0.1)
    too_large = 1.01 * race.moments["uniform"].largest_step_size
    assert race.steps("uniform", too_large) == np.inf


def test_the_best_step_beats_a_fine_grid():
    drawn = problem(2, 0.2)
    moments = SecondMoments(drawn, optimal(drawn.lipschitz))
    target = 0.05 * drawn.minimiser @ drawn.minimiser
    _, steps = _best_step(moments, target, 1e-3 * moments.largest_step_size)
    grid = np.geomspace(1e-3, 0.9999, 400) * moments.largest_step_size
    assert steps <= 1.01 * moments.steps_to(target, grid).min()


def test_equal_rules_give_both_the_same_step():
    pairs = step_sizes(Race.of(problem(2, 0.2), 0.1))
    assert len(pairs) == 8
    for (_, rule), (ours, theirs) in pairs.items():
        assert (ours == theirs) == rule.startswith("equal")


def test_an_approach_starts_at_one_and_ends_below_its_target():
    curves = approach(Race.of(problem(2, 0.2), 0.1), np.linspace(0, 1, 5))
    assert (curves[curves.share == 0].error == 1).all()
    assert (curves[curves.share == 1].error < 0.1).all()
    assert (curves.error <= curves.bound).all()


def test_steps_saved_by_rule(speed):
    assert len(speed) == 2 * 4 * 10 * 8
    summary = speed_summary(speed)
    first = summary[(summary.dim == 1) & (summary.noise_sd == 0)].set_index(["sampling", "rule"])
    assert first.ratio["optimal", "best"] > first.ratio["mixture", "best"] > 1.5
    assert first.ratio["optimal", "equal_small"] == pytest.approx(1.09, abs=0.03)


def test_the_first_screen_reads_its_ratios_off_the_summary(speed):
    summary = speed_summary(speed)
    rows = speed[(speed.dim == 10) & (speed.noise_sd == 0.2) & (speed.target == 1e-3)]
    rows = rows[(rows.sampling == "optimal") & (rows.rule == "best")]
    found = fewest_steps_ratio(summary, noise_sd=0.2, target=1e-3)
    assert (found.value, found.num_runs) == (rows.ratio.median(), len(rows))
    assert found.low < found.value < found.high


@pytest.mark.parametrize(
    ("quiet", "noisy", "words"),
    [
        ((1.1, 1.3), (1.1, 1.3), "Yes."),
        ((1.1, 1.3), (0.8, 0.9), "Yes without label noise; with noise, not for every target."),
        ((1.1, 1.3), (0.8, 1.1), "Yes without label noise; with noise, not clearly for every"),
        ((0.9, 1.3), (1.1, 1.3), "These problems do not show it."),
    ],
)
def test_the_first_words_follow_the_intervals(quiet, noisy, words):
    estimates = (Estimate(sum(ends) / 2, *ends, 10) for ends in (quiet, noisy))
    assert first_words(*estimates).startswith(words)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(1.1, 1.3, "holds"), (0.5, 0.8, "does-not-hold"), (0.9, 1.3, "inconclusive")],
)
def test_speed_is_decided_by_its_intervals(speed, low, high, verdict):
    summary = speed_summary(speed).assign(low=low, ratio=(low + high) / 2, high=high)
    assert speed_claim(summary, cost=0).verdict == verdict
    summary.loc[summary.index[0], ["low", "ratio", "high"]] = 2.0
    in_part = {"does-not-hold": "holds-in-part"}
    assert speed_claim(summary, cost=0).verdict == in_part.get(verdict, verdict)


def test_the_printed_formula_needs_its_factor():
    outcome = formula_claim(paper_line(seeded(), 0.2).lipschitz, cost=0)
    assert outcome.verdict == "holds-with-correction"
    assert outcome.estimate == pytest.approx(1000)
    assert formula_claim(np.array([3.0]), cost=0).verdict == "holds"  # one function: the sum is 1


def test_the_exponent_one_is_best_in_one_dimension_without_noise():
    table = exponent_table(SMALL, num_problems=1)
    assert len(table) == 2 * 2 * 17
    quiet = table[(table.dim == 1) & (table.noise_sd == 0)].set_index("exponent")
    assert quiet.steps.idxmin() == quiet.lipschitz_sup.idxmin() == 1
    assert quiet.steps[0] == quiet.lipschitz_sup[0] == 1
