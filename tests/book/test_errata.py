"""The errata: two tables in order, links that lead somewhere, and the checks that no page makes."""

import re
from itertools import combinations

import numpy as np
import pytest

from experiments.linear_model.runs import KEEP_FRACTIONS, NUM_POINTS, NUM_STEPS
from experiments.verdict.tables import load_errata
from experiments.what_accelerates.closed_forms import BATCH_SIZE
from liprune_utils.book.register import load_register
from liprune_utils.files import PROJECT
from liprune_utils.images import fixed_batches
from liprune_utils.pruning import keep_highest

PAGE = PROJECT / "book" / "errata.md"
TEXT = PAGE.read_text()
LINK = r"\{ref\}`[^<`]+<([\w-]+)>`"
PATH = r"\]\(([^)#]+)\)"


def rows(table: str) -> list[list[str]]:
    """The cells of each row below the header."""
    items = re.split(r"^\* - ", table, flags=re.M)[2:]
    cells = [re.split(r"^  - ", item, flags=re.M) for item in items]
    return [[" ".join(cell.split()) for cell in row] for row in cells]


def number(row: list[str]) -> str:
    """A row's number, which is its anchor too."""
    anchor, shown = re.fullmatch(r'<span id="erratum-(\d+)">(\d+)</span>', row[0]).groups()
    assert anchor == shown
    return shown


MATTER, MINOR = map(rows, re.findall(r"^```\{list-table\}\n(.*?)^```$", TEXT, flags=re.M | re.S))


def defined_labels() -> set[str]:
    pages = [*(PROJECT / "notebooks").glob("*.py"), *(PROJECT / "book").glob("*.md")]
    label = r'(?:^# <a id="|^\()([\w-]+)(?:"></a>|\)=)$'
    return {name for page in pages for name in re.findall(label, page.read_text(), re.MULTILINE)}


def test_there_are_at_least_25_entries_numbered_in_order():
    numbers = [int(number(row)) for row in MATTER + MINOR]
    assert len(numbers) >= 25
    assert numbers == list(range(1, len(numbers) + 1))


def test_every_row_has_five_filled_cells_and_a_quotation():
    for row in MATTER + MINOR:
        assert len(row) == 5, row
        assert all(row), row
        assert re.fullmatch(r'"[^"]+"', row[2]), row


def test_no_words_are_quoted_twice():
    quotations = [row[2] for row in MATTER + MINOR]
    assert len(set(quotations)) == len(quotations)


@pytest.mark.parametrize("label", sorted(set(re.findall(LINK, TEXT))))
def test_a_label_is_defined_on_a_page(label):
    assert label in defined_labels()


@pytest.mark.parametrize("path", sorted(set(re.findall(PATH, TEXT))))
def test_a_link_leads_to_a_page(path):
    assert (PAGE.parent / path).exists()


@pytest.mark.parametrize("row", MATTER, ids=number)
def test_what_matters_is_shown_or_chosen(row):
    _, _, _, right, shown = row
    assert re.search(LINK, shown) or re.search(PATH, shown) or "Here:" in right


def test_every_claim_that_a_row_names_is_in_the_register_and_leads_back():
    links = re.findall(r'14_verdict\.html#claim-([\w-]+)">([\w-]+)</a>', TEXT)
    assert all(anchor == shown for anchor, shown in links)
    assert {shown for _, shown in links} <= set(load_register())
    assert sum(map(len, load_errata().values())) == len(links) > 40
    assert load_errata()["optimal-p-formula"] == [11]


# The checks that no page makes. The functions are f_i(w) = a_i (w - c_i)^2 / 2, so L_i = a_i.
CURVATURES, CENTRES = np.array([1.0, 2.0, 6.0]), np.array([0.0, 1.0, 3.0])


def minimiser(weights: np.ndarray) -> float:
    """Minimise the sum of weights times functions."""
    return float(np.average(CENTRES, weights=weights * CURVATURES))


def test_replacing_f_by_g_moves_the_minimum_of_a_uniform_mean():
    probabilities = np.array([0.2, 0.3, 0.5])
    g = 1 / (3 * probabilities)
    assert minimiser(probabilities * g) == pytest.approx(minimiser(np.ones(3)))
    assert abs(minimiser(g) - minimiser(np.ones(3))) > 0.1


def test_keeping_the_largest_without_weights_moves_the_minimum():
    kept = np.isin(np.arange(3), keep_highest(CURVATURES, keep_fraction=2 / 3))
    assert abs(minimiser(kept) - minimiser(np.ones(3))) > 0.1


def test_a_function_without_curvature_matters_though_it_is_never_drawn():
    # f_1 = w^2 / 2 has L_1 = 1; f_2 = w has L_2 = 0, so p = (1, 0) leaves f_1 alone
    w = np.linspace(-2, 2, 401)
    assert w[np.argmin((w**2 / 2 + w) / 2)] == pytest.approx(-1)
    assert w[np.argmin(w**2 / 2)] == pytest.approx(0)


@pytest.mark.parametrize(("count", "kept"), [(2, 1), (5, 2), (6, 3), (7, 1)])
def test_a_random_choice_shares_the_fraction_kept_with_any_other(count, kept):
    liprune = set(range(kept))
    shared = [len(liprune & set(choice)) / kept for choice in combinations(range(count), kept)]
    assert np.mean(shared) == pytest.approx(kept / count)


def test_a_run_of_figure_1_is_less_than_a_pass_where_more_than_30_per_cent_are_kept():
    points = NUM_STEPS * BATCH_SIZE
    shorter = [fraction for fraction in KEEP_FRACTIONS if points < fraction * NUM_POINTS]
    assert shorter == [fraction for fraction in KEEP_FRACTIONS if fraction > 0.3]


def test_batches_of_128_do_not_divide_cifar10():
    sizes = [len(batch) for batch in fixed_batches(50_000, 128, seed=0)]
    assert set(sizes[:-1]) == {128}
    assert sizes[-1] == 50_000 % 128 > 0
