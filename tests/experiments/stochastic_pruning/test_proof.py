"""Each line has the status that we derived by hand, and each check can fail."""

from itertools import product

import numpy as np
import pytest
import sympy as sp
from draws import seeded
from hypothesis import given
from hypothesis import strategies as st

from experiments.stochastic_pruning.proof import (
    CORRECTED,
    FAILS,
    HOLDS,
    LINES,
    _check_line,
    check_lines,
    lines_html,
    markdown_assumptions,
    markdown_corrections,
    printed,
)
from experiments.stochastic_pruning.proof.cases import (
    Case,
    draw_case,
    draw_run,
    draw_start,
    draw_step,
)
from experiments.stochastic_pruning.proof.checks import (
    Algebra,
    Line,
    Search,
    describe,
    show,
    violation,
)

NAMED = {line.name: line for line in LINES}
NEED_CORRECTION = {
    "optimal probabilities",
    "optimal factor",
    "co-coercivity",
    "recursion",
    "geometric sum",
    "Hoeffding",
    "noise term",
    "share of the data",
}
HALF = sp.Rational(1, 2)
MUTATIONS = {
    "unbiased gradient": {"power": 2},
    "unbiased update": {"power": 2},
    "Lipschitz constants": {"factor": 0.5},
    "optimal probabilities": {"power": 2.0},
    "optimal factor": {"sign": 1},
    "share of the data": {"distinct": True},  # the printed line
    "co-coercivity": {"factor": 0.5},
    "square": {"cross": 1},
    "Jensen": {"factor": 1},
    "co-coercivity of a step": {"factor": 0.5},
    "expectation": {"noise": 1.0},
    "noise of a step": {"power": 1},
    "largest constant": {"factor": 0.5},
    "inner product": {"factor": 2.0},
    "strong convexity": {"rate": 3.0},
    "one step": {"rate": 3.0},
    "recursion": {"rate": 3.0},
    "geometric sum": {"limit": 0.5},
    "conclusion of the recursion": {"rate": 3.0},
    "Hoeffding": {"exponent": 4.0},
    "exponent": {"part": 1},
    "two-sided tail": {"power": 2.0},
    "one-sided tail": {"power": 2.0},
    "Equation (6)": {"power": 2.0},
    "Theorem 2, error": {"power": 2.0},
    "step size": {"factor": 1},
    "step-size condition": {"limit": HALF / 2},
    "noise term": {"divisor": 2},
    "half for the noise": {"share": 4},
    "logarithms": {"power": 1},
    "least factor": {"least": 3 * HALF / 2},
    "logarithm and its tangent": {"factor": HALF},
    "number of steps": {"factor": 1},
    "Theorem 2, steps": {"factor": 0.1},
    "expected error": {"rate": 3.0},
    "never weaker": {"power": 2.0},
    "plain SGD": {"power": 2},
    "half the steps": {"factor": 1},
}  # one wrong constant for each line
FURTHER_MUTATIONS = [
    ("one step", {"noise": 0.5}),
    ("recursion", {"noise": 0.5}),
    ("conclusion of the recursion", {"floor": 0.1}),
    ("one-sided tail", {"factor": 0.5}),
    ("Theorem 2, error", {"floor": 0.0}),
    ("number of steps", {"factor": 3}),
]


@pytest.fixture(scope="module")
def table():
    return check_lines(seed=0)


def test_statuses_are_those_derived_by_hand(table):
    corrected = table.name.isin(NEED_CORRECTION)
    assert (table.status == np.where(corrected, CORRECTED, HOLDS)).all()
    assert ((table.counterexample != "") == corrected).all()
    assert ((table.corrected != "") == corrected).all()


def test_what_a_line_takes_for_granted_is_needed(table):
    checked = table.name.isin([line.name for line in LINES if line.without])
    assert checked.sum() == 8
    assert (table.given[checked] != "").all()
    assert ((table.without != "") == checked).all()


def test_every_line_has_a_mutation_and_a_name_of_its_own():
    assert list(MUTATIONS) == [line.name for line in LINES]


@pytest.mark.parametrize(("name", "changes"), [*MUTATIONS.items(), *FURTHER_MUTATIONS])
def test_wrong_constant_is_caught(name, changes):
    check = NAMED[name].corrected_check or NAMED[name].check  # the one that passes
    found = check(seeded(1), **changes)
    assert found
    assert "left" in found  # a counterexample, not an undecided sign


def test_a_row_depends_on_the_seed_and_number_alone(table):
    for name in ("optimal probabilities", "geometric sum", "Hoeffding", "noise term"):
        (row,) = table[table.name == name].to_dict("records")
        assert _check_line(NAMED[name], row["number"], seed=0) == row
        other = _check_line(NAMED[name], row["number"], seed=1)
        assert other["status"] == CORRECTED
        assert other["counterexample"] != row["counterexample"]


def line(holds: bool, corrected: bool | None) -> Line:
    def check(passes: bool) -> Search:
        return Search(lambda generator: {"x": 2}, lambda x: (x, 3 if passes else 1), num_draws=1)

    rescue = None if corrected is None else check(corrected)
    return Line("a", "b", "c", "d", check(holds), "e", "f", rescue)


@pytest.mark.parametrize(
    ("holds", "corrected", "status"),
    [
        (True, None, HOLDS),
        (True, False, HOLDS),
        (False, True, CORRECTED),
        (False, False, FAILS),
        (False, None, FAILS),
    ],
)
def test_status_follows_from_the_checks(holds, corrected, status):
    row = _check_line(line(holds, corrected), 1, seed=0)
    assert row["status"] == status
    assert row["counterexample"] == ("" if holds else "x = 2: left 2 > right 1")
    assert row["corrected"] == ("f" if status == CORRECTED else "")


def test_repairing_the_prefactor_alone_does_not_save_the_recursion():
    sides = NAMED["recursion"].check.sides
    assert Search(draw_run, sides)(seeded(), always=True)


@pytest.mark.parametrize("num_steps", [1, 4, 9])
def test_printed_sum_has_the_mean_that_the_text_says(num_steps):
    keep, factor, mean = 0.3, 0.7, 0.0
    for kept in product([0, 1], repeat=num_steps):
        chance = keep ** sum(kept) * (1 - keep) ** (num_steps - sum(kept))
        mean += chance * (factor ** np.cumsum(kept)).sum()
    idle = 1 - keep * (1 - factor)
    limit = 1 / (keep * (1 - factor)) - 1
    assert mean == pytest.approx(limit * (1 - idle**num_steps), rel=1e-12)


def errors_by_paths(case: Case, kept: tuple[int, ...]) -> float:
    # every sequence of indices, with its probability
    total = 0.0
    for indices in product(range(len(case.probabilities)), repeat=len(kept)):
        w, chance = case.weights, 1.0
        for index, made in zip(indices, kept, strict=True):
            row, label = case.problem.x[index], case.problem.y[index]
            scale = case.keep_probability * len(case.problem.x) * case.probabilities[index]
            w = w - case.step_size * made * (row @ w - label) * row / scale
            chance *= case.probabilities[index]
        total += chance * ((w - case.problem.minimiser) ** 2).sum()
    return total


@pytest.mark.parametrize("seed", range(5))
def test_errors_are_those_of_all_paths(seed):
    case = draw_case(seeded(seed))
    for kept in [(0, 0), (0, 1), (1, 0), (1, 1), (1, 0, 1)]:
        expected = errors_by_paths(case, kept)
        assert case.errors(3)[sum(kept)] == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_total_error_and_failure_are_those_of_all_draws(seed):
    case = draw_case(seeded(seed))
    total, failure, bound = 0.0, 0.0, case.errors(3)[1:].mean()
    for kept in product([0, 1], repeat=3):
        chance = case.keep_probability ** sum(kept) * (1 - case.keep_probability) ** (3 - sum(kept))
        error = errors_by_paths(case, kept)
        total += chance * error
        failure += chance * (error > bound * (1 + 1e-6))
    assert case.total_error(3) == pytest.approx(total, rel=1e-9)
    assert case.failure(3, bound) == pytest.approx(failure, rel=1e-9)


@given(st.integers(0, 10_000), st.integers(0, 1))
def test_one_step_agrees_with_its_expected_error(seed, kept):
    case = draw_case(seeded(seed))
    assert case.expected_error(kept) == pytest.approx(case.errors(1)[kept], rel=1e-8, abs=1e-12)


@given(st.integers(0, 10_000))
def test_cases_meet_the_conditions_of_the_theorem(seed):
    case = draw_step(seeded(seed))["case"]
    lipschitz, mu, noise = case.constants
    assert 0 < mu <= lipschitz * (1 + 1e-12)
    assert noise >= 0
    assert 0 < case.step * lipschitz < 1
    assert case.probabilities.sum() == pytest.approx(1)
    assert case.probabilities.min() > 0
    assert 0.5 - 1e-12 <= case.contraction() < 1


def test_draws_reach_the_cases_that_matter():
    generator = seeded()
    steps = [draw_step(generator) for _ in range(300)]
    assert {type(step["case"].problem).__name__ for step in steps} == {"LeastSquares", "Logistic"}
    assert {step["kept"] for step in steps} == {0, 1}
    assert any(step["case"].constants.noise < 1e-12 for step in steps)
    assert any(step["case"].distance < 1e-12 for step in steps)
    assert {len(step["case"].weights) for step in steps} == {1, 2}
    assert min(len(draw_run(generator)["kept"]) for _ in range(100)) == 2
    assert min(draw_start(generator)["num_steps"] for _ in range(300)) < 4


@given(st.integers(0, 10_000))
def test_half_the_steps_meet_the_target_exactly(seed):
    case = draw_case(seeded(seed))
    (lipschitz, mu, noise), keep = case.constants, case.keep_probability
    target = 0.3 * max(case.distance, 0.1)
    size = mu * keep * target / (2 * noise + 2 * mu * lipschitz * target)
    at_best = Case(case.problem, case.probabilities, keep, size, case.weights)
    scale = (lipschitz / mu + noise / (mu**2 * target)) / keep
    num_steps = 2 * np.log(2 * max(case.distance, 0.1) / target) * scale
    floor = size * noise / (mu * keep * (1 - size / keep * lipschitz))
    decay = (1 - keep * (1 - at_best.contraction())) ** num_steps
    assert decay * case.distance + floor <= target * (1 + 1e-9)
    if num_steps < 500:
        assert at_best.total_error(int(np.ceil(num_steps))) <= target * (1 + 1e-9)


def test_search_reports_its_shortest_counterexample():
    def draw(generator):
        return {"x": generator.integers(1, 2000)}

    found = Search(draw, lambda x, limit=1000: (x, limit))(seeded(), limit=5)
    assert found
    assert int(found.split(":")[0].removeprefix("x = ")) < 100
    assert Search(draw, lambda x: (x, 1000), num_draws=0)(seeded()) is None


@pytest.mark.parametrize(
    ("left", "right", "equal", "text"),
    [
        (1.0, 1.0, False, ""),
        (1.0, 1 + 1e-10, True, ""),
        (1.0, 2.0, False, ""),
        (1.0, 2.0, True, "left 1 ≠ right 2"),
        ([0.0, 3.0, 5.0], [1.0, 2.5, 2.0], False, "left 5 > right 2"),
        (np.nan, 1.0, False, "left nan > right 1"),
        ([0.0, np.nan], [1.0, 1.0], True, "left nan ≠ right 1"),
    ],
)
def test_violation_is_the_worst(left, right, equal, text):
    assert violation(np.array(left), np.array(right), equal=equal) == text


def test_symbolic_checks_decide_or_say_that_they_cannot():
    x, y = sp.symbols("x y", positive=True)
    a = sp.Symbol("a", real=True)
    assert Algebra(lambda: ((x + y) ** 2, x**2 + 2 * x * y + y**2), equal=True)(seeded()) is None
    assert Algebra(lambda: (2 * a * x, a**2 + x**2))(seeded()) is None
    assert "≠" in Algebra(lambda: (x, y), equal=True)(seeded())
    assert ">" in Algebra(lambda: (x, y))(seeded())
    assert "did not decide" in Algebra(lambda: (sp.log(x), x))(seeded())


def test_symbolic_counterexample_lies_in_the_domain():
    x, y = sp.symbols("x y", positive=True)
    found = Algebra(lambda: (x, y), equal=True, domain=(y - x,))(seeded())
    values = dict(part.split(" = ") for part in found.split(":")[0].split(", "))
    assert float(values["x"]) < float(values["y"])


def test_instances_are_written_for_a_reader():
    kept = np.array([0, 1])
    assert describe({"contraction": 0.5, "kept": kept}) == "λ = 0.5, ζ = (0, 1)"
    assert show(np.array([[1.0], [-2.5]])) == "(1, \N{MINUS SIGN}2.5)"
    assert show(-1e-17) == "0"
    assert str(draw_case(seeded())).startswith("least squares with x = ")


def test_texts_fit_a_table_and_a_list(table):
    assert set(table.method) == {"search", "symbolic"}
    for cell in table.select_dtypes(exclude="number").to_numpy().ravel():
        assert "\n" not in cell
        assert cell.count("$") % 2 == 0
        assert cell.count("{") == cell.count("}")


def test_the_table_has_every_line_with_its_formulae(table):
    html = lines_html(table)
    assert html.count("<tr>") == 1 + len(LINES)
    assert html.count("<td>") == 5 * len(LINES)
    assert "$" not in html
    math = r'<span class="math notranslate nohighlight">\(p_i^* = \frac{L_i}{\bar{L}}\)</span>'
    assert math in html
    assert html.startswith('<table class="proof">')


def test_lists_have_an_item_for_each_line_concerned(table):
    corrections, assumptions = markdown_corrections(table), markdown_assumptions(table)
    assert [item.count("*Corrected:* ") for item in corrections.splitlines()] == [1] * 8
    assert [item.count("*Without it:* ") for item in assumptions.splitlines()] == [1] * 8
    first = "- **Line 18, geometric sum** (Appendix A, fourth display, second line). *Printed:* $"
    assert first in corrections


def test_printed_lines_are_the_papers(table):
    assert set(table.name) - set(printed(table).name) == {
        "expected error", "never weaker", "plain SGD", "half the steps"
    }  # fmt: skip
