"""Wells and their depths, landscapes of data sets, the register's rules, the figures."""

import numpy as np
import pandas as pd
import pytest
from draws import checked, seeded
from figure_texts import legend
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from experiments.linear_model.runs import Pruning
from experiments.sine_model import figures
from experiments.sine_model.claims import advantage_claim, landscape_claim, pruned_claim
from experiments.sine_model.landscapes import (
    WEIGHTS,
    draw_sine,
    loss_sd,
    population_loss,
    pruned_population,
    sampled_losses,
)
from experiments.sine_model.runs import Setting, end_table, simulate
from experiments.sine_model.tables import (
    Landscapes,
    _well_row,
    basin,
    best_rate_table,
    count_table,
    find_wells,
    landscape_table,
    measure,
    minimisers,
    population_table,
    quadrature_errors,
    starting_table,
    summary_table,
    wells_as_in_smaller_sets,
)
from liprune_utils.book.register import load_register
from liprune_utils.lipschitz import sine_loss

FRACTIONS = (1.0, 0.5, 0.1, 0.01)


def bowls(*wells: tuple[float, float]) -> np.ndarray:
    """A plain at 1 with Gaussian wells at given places of given depths."""
    return 1 - sum(depth * np.exp(-((WEIGHTS - place) ** 2) / 2) for place, depth in wells)


def climb(loss: np.ndarray, start: int) -> float:
    """The depth of a well by walking on the easier side until the ground is lower."""
    sides = []
    for path in (loss[start::-1], loss[start:]):
        lower = np.flatnonzero(path < path[0])
        sides.append(path[: lower[0] + 1].max() if len(lower) else path.max())
    return min(sides) - loss[start]


@pytest.fixture(scope="module")
def population() -> pd.DataFrame:
    return population_table(FRACTIONS)


@pytest.fixture(scope="module")
def measured():
    return {n: measure(seeded(n), n, 200, FRACTIONS, num_wells=50) for n in (1000, 2000)}


@checked
@given(values=arrays(float, 12, elements=st.integers(-50, 50).map(float), unique=True))
def test_depth_is_how_far_one_must_climb(values):
    loss = np.interp(WEIGHTS, np.linspace(-20, 20, 12), values)
    wells = find_wells(loss)
    for weight, depth in zip(wells.weight, wells.depth, strict=True):
        assert depth == pytest.approx(climb(loss, WEIGHTS.searchsorted(weight)), abs=1e-9)


def test_wells_home_and_rival():
    loss = bowls((12, 1), (0, 0.5), (-9, 0.05), (-16, 0.3))
    wells = find_wells(loss)
    np.testing.assert_allclose(wells.weight, [-16, -9, 0, 12], atol=0.05)
    np.testing.assert_allclose(wells.depth, [0.3, 0.05, 0.5, 1], atol=1e-3)
    np.testing.assert_array_equal(wells.deep, [True, False, True, True])
    assert (wells.home, wells.rival) == (3, 2)
    row = _well_row(loss)
    assert (row["minima"], row["wells_1"], row["wells"]) == (4, 4, 3)
    assert row["margin"] == pytest.approx(0.5, abs=1e-3)
    assert row["rival_depth"] == pytest.approx(0.5, abs=1e-3)


def test_a_rival_below_home_has_a_negative_margin():
    row = _well_row(bowls((12, 0.7), (3, 1)))
    assert row["margin"] == pytest.approx(-0.3, abs=1e-3)
    assert row["rival_depth"] == pytest.approx(1, abs=1e-3)


def test_without_a_rival():
    loss = bowls((12, 1), (-3, 0.01))
    assert find_wells(loss).rival is None
    row = _well_row(loss)
    assert row["rival_depth"] == 0
    assert np.isnan(row["margin"])


def test_basin_ends_below_the_next_top():
    loss = bowls((12, 1), (8, 0.8))
    low, high = basin(loss, find_wells(loss))
    top = WEIGHTS[(WEIGHTS > 8) & (WEIGHTS < 12)][
        loss[(WEIGHTS > 8) & (WEIGHTS < 12)].argmax()
    ]  # the top between the two wells
    assert top < low < top + 0.5
    assert high == pytest.approx(12 + np.sqrt(2 * np.log(100)), abs=0.05)


def test_ripples_do_not_end_a_basin():
    loss = bowls((12, 1)) + 0.001 * np.cos(20 * WEIGHTS)
    low, high = basin(loss, find_wells(loss))
    assert low < 9.5
    assert high > 14.5


@checked
@given(place=st.floats(-19, 19))
def test_minimisers_lie_between_the_grid_points(place):
    loss = 1 - np.exp(-((WEIGHTS - place) ** 2) / 2)
    assert minimisers(loss[None])[0] == pytest.approx(place, abs=1e-4)


def test_a_minimum_at_the_edge_stays_there():
    losses = np.stack([WEIGHTS, -WEIGHTS, 0 * WEIGHTS + 1.0])
    np.testing.assert_array_equal(minimisers(losses), [-20, 20, -20])


def test_population_table(population):
    rows = population.set_index("keep_fraction")
    assert rows.wells[1.0] == 2
    assert rows.rival[1.0] == pytest.approx(0, abs=0.03)
    assert rows.rival_depth[1.0] == pytest.approx(0.25, abs=1e-6)
    assert rows.margin[1.0] == pytest.approx(0.25, abs=1e-6)
    assert rows.home_depth[1.0] == pytest.approx(0.5, abs=1e-6)
    assert rows.basin_low[1.0] == pytest.approx(12 - np.sqrt(2 * np.log(100)), abs=0.05)
    assert (np.diff(rows.wells) > 0).all()
    assert (np.diff(rows.curvature) > 0).all()
    assert (np.diff(rows.basin_high - rows.basin_low) < 0).all()
    few = rows.loc[[0.1, 0.01]]
    np.testing.assert_allclose(few.spacing, few.expected_spacing, rtol=0.05)
    np.testing.assert_allclose(rows.minimiser, 12, atol=0.01)


def test_measured_landscapes_average_to_the_population(measured):
    for (method, fraction), landscapes in measured[2000].items():
        expected = pruned_population(fraction if method == "liprune" else 1.0)
        difference = np.abs(landscapes.mean - expected.landscape)
        assert difference.max() < 0.1 / np.sqrt(fraction * 20)
        errors = quadrature_errors({Pruning(method, fraction): landscapes})
        assert errors.difference[0] == difference.max()
        assert errors.z[0] == (difference / landscapes.se).max()
    none = measured[1000]["none", 1.0]
    np.testing.assert_allclose(none.se * np.sqrt(200_000), loss_sd(WEIGHTS), rtol=0.4)
    assert (np.abs(none.mean - population_loss(WEIGHTS)) < 5 * none.se).all()


def test_random_pruning_is_held_against_smaller_sets():
    def having(*wells: int) -> Landscapes:
        return Landscapes(None, pd.DataFrame({"wells": wells}), None, None)

    measured = {
        1000: {("none", 1.0): having(3, 5)},
        10_000: {("none", 1.0): having(2, 2), ("random", 0.1): having(5, 7)},
        100_000: {("random", 0.01): having(3, 5), ("random", 0.1): having(2, 2)},
    }
    assert wells_as_in_smaller_sets(measured).tolist() == pytest.approx([np.sqrt(2), 0, 0])


def test_measuring_gives_the_same_in_blocks(measured, monkeypatch):
    monkeypatch.setattr("experiments.sine_model.tables.BLOCK_POINTS", 7000)
    for pruning, again in measure(seeded(1000), 1000, 20, (0.1,), num_wells=12).items():
        once = measured[1000][pruning]
        np.testing.assert_allclose(again.minimiser, once.minimiser[:20], atol=1e-9)
        pd.testing.assert_frame_equal(again.wells, once.wells[:12])


def test_mean_and_error_are_those_of_the_draws():
    landscapes = measure(seeded(3), 50, 6, (1.0,))["none", 1.0]
    data = draw_sine(seeded(3), 6, 50)
    losses = np.array(
        [sine_loss(WEIGHTS[:, None], *row).mean(1) for row in zip(*data, strict=True)]
    )
    np.testing.assert_allclose(landscapes.mean, losses.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(landscapes.se, losses.std(axis=0, ddof=1) / np.sqrt(6), rtol=1e-2)
    assert len(landscapes.wells) == len(landscapes.minimiser) == 6


def test_landscape_table(measured):
    table = landscape_table(measured)
    assert len(table) == 2 * 7
    assert (table.num_runs == 200).all()
    assert (table.num_wells == 50).all()
    row = table[(table.num_points == 1000) & (table.keep_fraction == 0.01)].set_index("method")
    liprune, random = (measured[1000][method, 0.01] for method in ("liprune", "random"))
    assert row.near["liprune"] == (np.abs(liprune.minimiser - 12) <= 0.1).mean()
    assert row.basin["random"] == (np.abs(random.minimiser - 12) <= 1).mean()
    assert row.wells["liprune"] == liprune.wells.wells.mean()
    assert row.many["liprune"] == (liprune.wells.wells >= 3).mean()
    assert (table.wells_low <= table.wells).all()
    assert (table.wells <= table.wells_high).all()


@pytest.mark.parametrize(("count", "verdict"), [(2, "does-not-hold"), (3, "holds")])
def test_landscape_rule(population, measured, count, verdict):
    changed = population.assign(wells=np.where(population.keep_fraction == 1, count, 9))
    claim = landscape_claim(changed, landscape_table(measured), cost=1.26)
    assert (claim.verdict, claim.estimate, claim.cost) == (verdict, count, 1.3)
    assert "Data sets of 1,000 points" in claim.note


@pytest.mark.parametrize(
    ("wells", "depths", "minimiser", "verdict"),
    [
        ((2, 5, 18), (0.2, 0.4, 1.3), 12.0, "holds-in-part"),
        ((2, 5, 18), (0.2, 0.4, 1.3), 9.8, "holds"),
        ((2, 5, 5), (0.2, 0.4, 1.3), 12.0, "does-not-hold"),
        ((2, 5, 18), (0.2, 0.4, 0.3), 9.8, "does-not-hold"),
    ],
)
def test_pruned_rule(measured, wells, depths, minimiser, verdict):
    table = pd.DataFrame({"keep_fraction": [1.0, 0.5, 0.01], "wells": wells})
    table = table.assign(rival_depth=depths, minimiser=[12.0, 12.0, minimiser])
    samples = landscape_table({1000: measured[1000]})
    claim = pruned_claim(table, samples, cost=0)
    assert claim.verdict == verdict
    assert claim.estimate == (np.abs(measured[1000]["liprune", 0.01].minimiser - 12) <= 0.1).mean()
    assert ("stays" if minimiser == 12 else "moves") in claim.note


def test_all_claims_of_the_page_are_decided(population, measured):
    samples = landscape_table(measured)
    pruned = simulate(Setting(learning_rates=(0.2, 0.4), losses=("full",)), num_runs=100)
    claims = [
        landscape_claim(population, samples, cost=0),
        pruned_claim(population, samples[samples.num_points == 1000], cost=0),
        advantage_claim(pruned, cost=0),
    ]
    page = {key for key, entry in load_register().items() if entry["page"] == "07_sine_model"}
    assert {claim.id for claim in claims} == page
    assert [claim.verdict for claim in claims[:2]] == ["does-not-hold", "holds-in-part"]


@pytest.mark.usefixtures("book_style")
def test_landscape_figures_show_what_they_were_given():
    data = draw_sine(seeded(), 1, 1000)
    figure = figures.landscape_figure(data, 0.1)
    top, bottom = (axes.lines for axes in figure.axes)
    assert [len(line.get_xdata()) for line in top[1:]] == [1000, 100]
    loss = sampled_losses(data)[0]
    np.testing.assert_array_equal(bottom[1].get_ydata(), loss)
    wells = find_wells(loss)
    np.testing.assert_array_equal(bottom[2].get_xdata(), wells.weight[wells.deep])
    figure = figures.pruned_figure(data, (1.0, 0.1))
    assert len(figure.axes) == 4
    assert {"LiPrune", "Random pruning", "one data set"} <= set(legend(figure))


@pytest.mark.usefixtures("book_style")
def test_race_figures_show_every_method(population):
    setting = Setting((10.0, 11.0), (0.2, 0.4), (0.1, 0.5), (0, 5), ("kept", "full"))
    pruned = simulate(setting, num_runs=10)
    table = end_table(pruned)
    one = table[(table.start == 11) & (table.learning_rate == 0.2)]
    figure = figures.levels_figure(one)
    assert [axes.get_yscale() for axes in figure.axes] == ["linear"] * 4
    assert figure.axes[-1].get_title() == "keep 0.5\nkept points"
    assert set(legend(figure)) == {"LiPrune", "Random pruning", "No pruning"}
    figure = figures.race_figure(table[table.learning_rate == 0.2], 0.005)
    assert [axes.get_title() for axes in figure.axes] == ["start 10", "start 11"]
    last = table[table.step == 5]
    figure = figures.starts_figure(last, population)
    assert [axes.get_title() for axes in figure.axes] == [
        f"keep {fraction:g}, rate {rate:g}" for fraction in (0.1, 0.5) for rate in (0.2, 0.4)
    ]
    figure = figures.rates_figure(last[last.keep_fraction != 0.5], 0.005)
    assert [axes.get_title() for axes in figure.axes] == ["start 10", "start 11"]


def test_minima_are_counted_without_pruning(measured):
    samples = landscape_table(measured)
    shown = count_table(samples)
    assert shown.points.tolist() == [1000, 2000]
    assert shown["deeper than 10%"].tolist() == samples.wells[samples.method == "none"].tolist()


def test_the_summary_has_a_row_for_each_fraction(population, measured):
    shown = summary_table(population, landscape_table(measured))
    assert shown.keep.iloc[0] == "1"
    expected = population.set_index("keep_fraction").wells[shown.keep.astype(float)]
    assert shown["wells, expected loss"].astype(int).tolist() == expected.tolist()
    assert shown["wells, LiPrune"].iloc[0] == shown["wells, random"].iloc[0]


def test_sgd_starts_on_the_plain_but_for_liprune():
    table = starting_table().set_index("keep")
    assert table["slope at 8"]["any"] == pytest.approx(-2 * np.exp(-8), rel=1e-4)
    assert table["slope at 8"]["0.1"] == pytest.approx(pruned_population(0.1).slope(8.0))
    assert (table["drift in 100 steps"] == -20 * table["slope at 8"]).all()


def test_the_best_rate_has_the_least_loss():
    rows = [(step, method, rate) for step in (10, 30) for method in ("liprune", "random")
            for rate in (0.1, 0.2, 0.4)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["step", "method", "learning_rate"])
    table["loss_mean"] = 1 + (table.learning_rate - 0.2) ** 2
    best = best_rate_table(table.assign(start=11, keep_fraction=0.1, loss_se=0.1))
    assert (best.learning_rate == 0.2).all()
    assert set(best.method) == {"LiPrune", "Random pruning"}
    np.testing.assert_allclose(best[["excess", "half"]], 4 * [[0.995, 0.258]])
