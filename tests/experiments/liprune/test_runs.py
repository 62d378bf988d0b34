"""Algorithm 1 as printed, GraNd against LiPrune, and what page 03 says about them."""

import numpy as np
import pandas as pd
import pytest
from draws import seeded
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import norm

from experiments.linear_model.runs import NUM_POINTS
from experiments.liprune import claims, tables
from experiments.liprune.runs import (
    LipruneParameters,
    distance_needed,
    expected_gradient_norms,
    far_overlap,
    gradient_norms,
    kept_overlaps,
    kept_table,
    minimisers,
    population_overlap,
    printed_rule,
    rule_table,
)
from liprune_utils.checks import InputError
from liprune_utils.lipschitz import sine_constant, sine_curvature
from liprune_utils.problems import LinearData, draw_linear
from liprune_utils.pruning import keep_highest, num_kept

PARAMETERS = LipruneParameters(
    slope=1.0, low=8.0, high=12.0, num_runs=1000, seed=0, results_dir="reruns/x"
)
numbers = st.floats(-1e6, 1e6)
scores = arrays(np.float64, st.integers(2, 30), elements=numbers)
distinct = arrays(np.float64, st.integers(2, 30), elements=numbers, unique=True)
tied = arrays(np.float64, st.integers(2, 30), elements=st.sampled_from([0.0, 1.0, 2.0]))


def whole_fraction(data, num: int) -> float:
    return data.draw(st.integers(1, num - 1)) / num


@pytest.fixture(scope="module")
def data() -> LinearData:
    return draw_linear(seeded(1), 300, NUM_POINTS)


@pytest.fixture(scope="module")
def way(data) -> pd.DataFrame:
    return tables.way_table(data)


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("slope", (-1000.0, 1000.0), (0.0, -1000.1, 1000.1)),
        ("low", (-1000.0, 11.5), (-1000.1,)),
        ("high", (8.5, 1000.0), (8.4, 7.0, 1000.1)),
        ("num_runs", (1000, 10_000), (999, 10_001)),
        ("seed", (0,), (-1,)),
    ],
)
def test_parameters_have_ranges(name, inside, outside):
    for value in inside:
        PARAMETERS.replace(**{name: value})
    for value in outside:
        with pytest.raises(InputError, match=f"^{name} is {value}; expected "):
            PARAMETERS.replace(**{name: value})


@given(distinct, st.data())
def test_both_rules_agree_where_r_n_is_whole_and_scores_differ(values, data):
    fraction = whole_fraction(data, len(values))
    np.testing.assert_array_equal(printed_rule(values, fraction), keep_highest(values, fraction))


@given(tied, st.data())
def test_ties_enlarge_what_the_printed_rule_keeps(values, data):
    fraction = whole_fraction(data, len(values))
    printed, kept = printed_rule(values, fraction), keep_highest(values, fraction)
    assert set(kept) <= set(printed)
    least = values[kept].min()
    assert (len(printed) > len(kept)) == ((values == least).sum() > (values[kept] == least).sum())
    assert len(printed_rule(np.ones(len(values)), fraction)) == len(values)


@given(scores, st.data())
def test_the_printed_rule_does_not_depend_on_order(values, data):
    fraction = whole_fraction(data, len(values))
    order = data.draw(st.permutations(range(len(values))))
    moved = printed_rule(values[list(order)], fraction)
    assert sorted(order[i] for i in moved) == printed_rule(values, fraction).tolist()


@given(scores, st.floats(0.01, 0.99))
def test_the_printed_rule_needs_a_whole_number(values, fraction):
    position = fraction * len(values)
    assume(abs(position - round(position)) > 1e-6 or position < 1)
    with pytest.raises(InputError, match=r"^r n is .*; expected a whole number from 1"):
        printed_rule(values, fraction)


@pytest.mark.parametrize("fraction", [0, 1, 1.5, np.nan])
def test_the_printed_rule_excludes_the_ends(fraction):
    with pytest.raises(InputError, match=rf"^r is {fraction}; expected a ratio in \(0, 1\)\.$"):
        printed_rule(np.arange(4.0), fraction)


def test_rounding_of_r_n_is_forgiven():
    assert 0.29 * 100 != 29
    assert len(printed_rule(np.arange(100.0), 0.29)) == 29


def test_rule_table_tells_answers_from_gaps():
    table = rule_table()
    assert list(table.printed[:3]) == [3, 4, 10]
    assert table.printed[3:].isna().all()
    assert (table.problem[3:].str.len() > 20).all()
    counts = [num_kept(row.n, row.r) for row in table.itertuples()]
    assert list(table.kept) == counts == [3, 3, 1, 3, 1, 10, 78, 196]


@pytest.mark.parametrize("w", [-1.0, 0.0, 2.5])
def test_gradient_norms_are_slopes_of_the_loss(w):
    x, y = seeded(2).normal(size=(2, 9))
    slope = ((w + 0.5) * x - y) ** 2 / 2 - ((w - 0.5) * x - y) ** 2 / 2  # exact for a parabola
    np.testing.assert_allclose(gradient_norms(x, y, w), np.abs(slope), rtol=1e-12)


@pytest.mark.parametrize("init_sd", [0.01, 0.7, 20.0])
def test_expected_gradient_norms_are_integrals(init_sd):
    for x, y in seeded(3).normal(size=(5, 2)):
        exact, _ = quad(
            lambda z, x=x, y=y: gradient_norms(x, y, init_sd * z) * norm.pdf(z), -12, 12,
            points=[np.clip(y / x / init_sd, -12, 12)], limit=200,
        )  # fmt: skip
        assert expected_gradient_norms(x, y, init_sd) == pytest.approx(exact, rel=1e-6)


def test_minimisers_have_no_gradient(data):
    gradient = data.x * (minimisers(data)[:, None] * data.x - data.y)
    assert np.abs(gradient.mean(axis=1)).max() < 1e-12
    assert np.abs(minimisers(data) - 1).max() < 0.2 / np.sqrt(1000 * 25 / 3) * 5


@pytest.mark.parametrize("slope", [1.0, -3.0])
def test_without_noise_grand_is_liprune_in_one_dimension(slope):
    clean = draw_linear(seeded(5), 20, NUM_POINTS, slope=slope, noise_sd=0.0)
    for w in (0.0, 0.9 * slope, 50.0):
        found = kept_overlaps(clean.lipschitz, gradient_norms(clean.x, clean.y, w), 0.1)
        assert (found == 1).all()


def test_quadrature_agrees_with_large_data_sets():
    # of 100,000 points, so that the error of a finite data set, about 1 / N, is far below chance's
    table = tables.distance_table(draw_linear(seeded(6), 8, 100_000), (0.0, 0.05, 1.0, 30.0))
    error = table.overlap_se.clip(lower=1e-4)
    assert ((table.overlap - table.population).abs() < 5 * error).all()


def test_quadrature_is_the_integral_of_scipy():
    distance, fraction = 0.3, 0.2

    def above(x: float, t: float) -> float:
        ends = (distance * x - t / x, -distance * x - t / x)
        return norm.cdf(ends, scale=0.2).sum()

    def surplus(t: float) -> float:
        return quad(above, 0, 5, args=(t,), epsabs=1e-12)[0] / 5 - fraction

    exact = quad(above, 4, 5, args=(brentq(surplus, 0, 20),), epsabs=1e-12)[0] / 5 / fraction
    assert population_overlap(distance, fraction) == pytest.approx(exact, abs=1e-8)


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5])
def test_far_away_the_overlap_is_the_first_order(fraction):
    for distance in (3.0, 30.0):
        loss = 1 - population_overlap(distance, fraction)
        assert loss == pytest.approx(1 - far_overlap(distance, fraction), rel=1e-3)


def test_overlap_grows_with_distance():
    found = [population_overlap(d, 0.1) for d in (0, 0.01, 0.1, 1, 10, 100)]
    assert found == sorted(found)
    assert 0.1 < found[0] < 0.5
    assert found[-1] > 0.999


@pytest.mark.parametrize("fraction", [0.1, 0.5])
def test_distance_needed_gives_the_overlap_wanted(fraction):
    found = distance_needed(0.9, fraction)
    assert population_overlap(found, fraction) == pytest.approx(0.9, abs=1e-9)


def test_way_ends_at_the_minimiser(data, way):
    assert list(way.way) == [step / 10 for step in range(11)]
    np.testing.assert_allclose(way.distance, 1 - way.way, atol=1e-12)
    kept = [keep_highest(s, 0.1) for s in (data.lipschitz, gradient_norms(data.x, data.y, 0.0))]
    shares = [len({*ours} & {*theirs}) / 100 for ours, theirs in zip(*kept, strict=True)]
    assert way.overlap[0] == pytest.approx(np.mean(shares))
    assert way.overlap.is_monotonic_decreasing
    assert ((way.low < way.overlap) & (way.overlap < way.high)).all()
    assert (way.overlap - way.population).abs().max() < 0.01
    assert way.gradient_ratio[0] == pytest.approx(0.048, rel=0.05)  # E|x nu| / E x^2
    assert np.isnan(way.gradient_ratio[10])


def test_distances_are_held_against_the_quadrature(data):
    table = tables.distance_table(data, [0, 0.1])
    assert list(zip(table.distance, table.keep_fraction, strict=True)) == [
        (distance, fraction) for distance in (0, 0.1) for fraction in (0.1, 0.3, 0.5)
    ]
    assert table.z.abs().max() < 5
    scores = gradient_norms(data.x, data.y, minimisers(data)[:, None] - 0.1)
    direct = [kept_overlaps(data.lipschitz, scores, r).mean() for r in (0.1, 0.3, 0.5)]
    assert table.overlap[3:].tolist() == direct
    assert table.far.isna().tolist() == 3 * [True] + 3 * [False]
    wrong = LinearData(data.x, 1.2 * data.noise, data.slope)
    assert tables.distance_table(wrong, [0.1]).z.abs().max() > 5


def test_initialisations_start_at_zero(data, way):
    table = tables.initialisation_table(data, (0, 1e-6, 10))
    assert table.overlap[0] == pytest.approx(way.overlap[0])
    assert table.overlap[1] == pytest.approx(way.overlap[0])
    assert table.overlap[2] > table.overlap[0]


def test_directions_are_those_of_normal_points():
    table = tables.direction_table(seeded(7), (1, 5), 200)
    assert table.overlap[0] == 1
    x = seeded(8).normal(size=(200, 1000, 5))
    square = (x**2).sum(axis=-1)
    direct = kept_overlaps(square, np.sqrt(square) * np.abs(x[..., 0]), 0.1)
    assert abs(table.overlap[1] - direct.mean()) < 5 * np.sqrt(2) * direct.std() / np.sqrt(200)


def test_a_reader_sees_where_grand_agrees(data, way):
    starts = tables.initialisation_table(data, (0, 10))
    shown = tables.where_table(way, starts, tables.direction_table(seeded(4), (1, 3), 20))
    assert shown.columns.tolist() == ["GraNd computed at", "overlap, 99% interval"]
    assert len(shown) == 4 + 1 + 2
    assert shown.iloc[3, 0] == "the minimiser"
    assert shown.iloc[3, 1].startswith(f"{way.overlap.iloc[-1]:.3f} [")
    assert "N(0, 10²)" in shown.iloc[4, 0]
    assert shown.iloc[5, 1] == "1.000 [1.000, 1.000]"


def test_searches_come_near_and_never_exceed():
    x = seeded(9).normal(size=200)
    found = tables.sine_ratios(x, np.sin(12 * x), 8, 12)
    found |= tables.blind_ratios(seeded(10), num_cases=1)
    found |= {"linear": tables.linear_ratios(draw_linear(seeded(11), 2, 50))}
    table = tables.search_table(found)
    assert list(table.num_cases) == [200, 200, 1, 1, 1, 1, 100]
    assert table.excess.max() < 1e-8
    assert table.shortfall.max() < 5e-3
    assert (tables.search_table({"twice": 2 * found["all"]}).excess > 0.9).all()


def test_intervals_are_compared_with_all_weights():
    x = seeded(12).normal(size=(5, 300))
    y = np.sin(12 * x) + 0.1 * seeded(13).normal(size=x.shape)
    table = tables.interval_table(x, y, [(12, 12), (8, 12), (-1e3, 1e3)])
    at_one = sine_curvature(12.0, x, y)
    ratio = (np.abs(at_one) / sine_constant(x, y)).mean(axis=1)
    assert table.constant_ratio[0] == pytest.approx(ratio.mean())
    assert table.constant_ratio_se[0] == pytest.approx(ratio.std(ddof=1) / np.sqrt(5))
    assert table.negative_share[0] == pytest.approx((at_one < 0).mean())
    assert table.global_share.is_monotonic_increasing
    assert (table.negative_share >= table.global_share).all()
    assert table.global_share[2] > 0.99
    assert table.overlap[2] == 1


@pytest.mark.parametrize(("error", "verdict"), [(1e-12, "holds"), (1e-6, "does-not-hold")])
def test_linear_claim_allows_rounding_alone(error, verdict):
    claim = claims.linear_claim(np.array([1.0, 1 - error]), cost=1.26)
    assert (claim.id, claim.verdict, claim.num_runs) == ("lipschitz-linear", verdict, 2)
    assert claim.estimate == pytest.approx(error, rel=1e-3)


@pytest.mark.parametrize(
    ("means", "verdict", "words"),
    [
        ([0.95, 0.93], "holds", "at 2 of 2 weights, up to 100% of the way"),
        ([0.95, 0.6], "holds-in-part", "at 1 of 2 weights, up to 0% of the way"),
        ([0.905, 0.93], "inconclusive", "at 1 of 2 weights"),
        ([0.7, 0.6], "does-not-hold", "at 0 of 2 weights, nowhere"),
    ],
)
def test_grand_claim_follows_the_register(means, verdict, words):
    way = pd.DataFrame({"way": [0.0, 1.0], "overlap": means, "num_runs": 9})
    claim = claims.grand_claim(way.assign(low=way.overlap - 0.01, high=way.overlap + 0.01), cost=1)
    assert (claim.id, claim.verdict) == ("grand-approximates", verdict)
    assert claim.estimate == min(means)
    assert words in claim.note


def test_frames_show_what_both_scores_keep(data):
    kept = kept_table(data.x[0], data.y[0], {0.0: 0.0, 0.5: 0.5}, 0.1)
    assert kept.groupby("way")[["liprune", "grand"]].sum().to_numpy().tolist() == 2 * [[100, 100]]
    for way, rows in kept.groupby("way"):
        np.testing.assert_allclose(rows.gradient_norm, gradient_norms(data.x[0], data.y[0], way))
        assert rows.gradient_norm[rows.grand].min() > rows.gradient_norm[~rows.grand].max()
        assert rows.x[rows.liprune].abs().min() > rows.x[~rows.liprune].abs().max()
