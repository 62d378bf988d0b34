"""Algorithm 1 as printed, GraNd against LiPrune, and what page 03 says about them."""

import base64
import re
from dataclasses import asdict
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import quad
from scipy.stats import norm

from experiments.linear_model.runs import NUM_POINTS
from experiments.liprune import claims, figures, tables
from experiments.liprune.batch_spread import spread_runs, spread_table
from experiments.liprune.runs import (
    LipruneParameters,
    distance_needed,
    expected_gradient_norms,
    far_overlap,
    gradient_norms,
    kept_table,
    minimisers,
    overlaps,
    population_overlap,
    population_table,
    printed_rule,
    rule_table,
)
from liprune_utils.book import frames, style
from liprune_utils.book.register import load_register
from liprune_utils.checks import InputError
from liprune_utils.lipschitz import sine_constant, sine_curvature
from liprune_utils.problems import LinearData, draw_linear
from liprune_utils.pruning import keep_highest, num_kept

DEFAULTS = {
    "slope": 1.0, "low": 8.0, "high": 12.0, "num_runs": 1000, "seed": 0, "results_dir": "reruns/x",
}  # fmt: skip
numbers = st.floats(-1e6, 1e6)
scores = arrays(np.float64, st.integers(2, 30), elements=numbers)
distinct = arrays(np.float64, st.integers(2, 30), elements=numbers, unique=True)
tied = arrays(np.float64, st.integers(2, 30), elements=st.sampled_from([0.0, 1.0, 2.0]))


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def whole_fraction(data, num: int) -> float:
    return data.draw(st.integers(1, num - 1)) / num


@pytest.fixture(scope="module")
def data() -> LinearData:
    return draw_linear(seeded(1), 300, NUM_POINTS)


@pytest.fixture(scope="module")
def way(data) -> pd.DataFrame:
    return tables.way_table(data, 0.2)


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"slope": 0.0}, r"^slope is 0\.0; expected not 0"),
        ({"low": -2e3}, r"^low is -2000\.0; expected a weight"),
        ({"high": 8.0}, r"^high is 8\.0; expected a weight above low = 8\.0"),
        ({"high": float("nan")}, r"^high is nan; expected a weight above low"),
        ({"num_runs": 999}, r"^num_runs is 999; expected from 1000"),
        ({"seed": -1}, r"^seed is -1; expected a whole number from 0"),
    ],
)
def test_impossible_parameters_are_refused(given_, words):
    with pytest.raises(InputError, match=words):
        LipruneParameters(**(DEFAULTS | given_))


def test_possible_parameters_are_kept():
    assert asdict(LipruneParameters(**DEFAULTS)) == DEFAULTS


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


@given(st.integers(0, 99), st.floats(1e-3, 1e3), st.randoms(use_true_random=False))
def test_units_and_order_of_the_data_do_not_change_the_kept_points(seed, scale, random):
    x = seeded(seed).normal(size=40)
    order = np.array(random.sample(range(40), 40))
    for fraction in (0.1, 0.33, 1.0):
        kept = keep_highest(x**2, fraction)
        np.testing.assert_array_equal(keep_highest((scale * x) ** 2, fraction), kept)
        np.testing.assert_array_equal(np.sort(order[keep_highest(x[order] ** 2, fraction)]), kept)


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


def test_expectation_over_one_weight_is_refused():
    with pytest.raises(InputError, match=r"^init_sd is 0; expected a standard deviation above 0"):
        expected_gradient_norms(np.ones(2), np.ones(2), 0)


def test_minimisers_have_no_gradient(data):
    gradient = data.x * (minimisers(data)[:, None] * data.x - data.y)
    assert np.abs(gradient.mean(axis=1)).max() < 1e-12
    assert np.abs(minimisers(data) - 1).max() < 0.2 / np.sqrt(1000 * 25 / 3) * 5


@given(st.integers(0, 99), st.integers(1, 3), st.integers(2, 20), st.floats(0.01, 1))
def test_overlap_is_the_share_of_common_indices(seed, num_runs, num, fraction):
    first, second = seeded(seed).integers(0, 9, size=(2, num_runs, num)).astype(float)
    (found,) = overlaps(first, second, [fraction])
    for run in range(num_runs):
        kept = [set(keep_highest(values[run], fraction)) for values in (first, second)]
        assert found[run] == pytest.approx(len(kept[0] & kept[1]) / len(kept[0]))


@pytest.mark.parametrize("fraction", [0.1, 0.5])
def test_unrelated_scores_share_the_fraction_kept(fraction):
    (found,) = overlaps(*seeded(4).random((2, 2000, 100)), [fraction])
    assert abs(found.mean() - fraction) < 5 * found.std() / np.sqrt(2000)


@pytest.mark.parametrize("slope", [1.0, -3.0])
def test_without_noise_grand_is_liprune_in_one_dimension(slope):
    clean = draw_linear(seeded(5), 20, NUM_POINTS, slope=slope, noise_sd=0.0)
    for w in (0.0, 0.9 * slope, 50.0):
        found = overlaps(clean.lipschitz, gradient_norms(clean.x, clean.y, w), [0.1, 0.5])
        assert (found == 1).all()


def test_quadrature_agrees_with_large_data_sets():
    # of 100,000 points, so that the error of a finite data set, about 1 / N, is far below chance's
    large, fractions = draw_linear(seeded(6), 8, 100_000), (0.1, 0.5)
    for distance in (0.0, 0.05, 1.0, 30.0):
        scores = gradient_norms(large.x, large.y, 1 - distance)
        for fraction, found in zip(
            fractions, overlaps(large.lipschitz, scores, fractions), strict=True
        ):
            error = max(found.std(ddof=1) / np.sqrt(8), 1e-4)
            assert abs(found.mean() - population_overlap(distance, fraction)) < 5 * error


def test_quadrature_is_the_integral_of_scipy():
    distance, fraction, noise_sd = 0.3, 0.2, 0.5

    def above(x: float, t: float) -> float:
        ends = (distance * x - t / x, -distance * x - t / x)
        return norm.cdf(ends[0], scale=noise_sd) + norm.cdf(ends[1], scale=noise_sd)

    found = population_overlap(distance, fraction, noise_sd=noise_sd)
    low, high = 0.0, 20.0
    for _ in range(60):
        t = (low + high) / 2
        share = quad(above, 0, 5, args=(t,), epsabs=1e-12)[0] / 5
        low, high = (t, high) if share > fraction else (low, t)
    exact = quad(above, 4, 5, args=(t,), epsabs=1e-12)[0] / 5 / fraction
    assert found == pytest.approx(exact, abs=1e-8)


def test_overlap_depends_on_distance_in_units_of_the_noise_alone():
    one, three = (population_overlap(0.4 * k, 0.1, noise_sd=0.2 * k) for k in (1, 3))
    assert one == pytest.approx(three, rel=1e-9)


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


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: population_overlap(-1, 0.1), "distance is -1; expected at least 0"),
        (lambda: population_overlap(1, 1.0), "keep_fraction is 1.0; expected a fraction"),
        (lambda: population_overlap(1, 0.1, noise_sd=0), "noise_sd is 0; expected above 0"),
        (lambda: distance_needed(0.1, 0.1), "overlap is 0.1; expected between"),
    ],
)
def test_impossible_overlaps_are_refused(call, words):
    with pytest.raises(InputError, match=f"^{re.escape(words)}"):
        call()


def test_way_ends_at_the_minimiser(data, way):
    assert list(way.way) == [step / 10 for step in range(11)]
    np.testing.assert_allclose(way.distance, 1 - way.way, atol=1e-12)
    (direct,) = overlaps(data.lipschitz, gradient_norms(data.x, data.y, 0.0), [0.1])
    assert way.overlap[0] == pytest.approx(direct.mean())
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
    (direct,) = overlaps(square, np.sqrt(square) * np.abs(x[..., 0]), [0.1])
    assert abs(table.overlap[1] - direct.mean()) < 5 * np.sqrt(2) * direct.std() / np.sqrt(200)


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


def test_all_claims_of_the_page_are_decided(data, way):
    decided = [
        claims.linear_claim(tables.linear_ratios(data), cost=1),
        claims.grand_claim(way, cost=1),
    ]
    page = {key for key, entry in load_register().items() if entry["page"] == "03_liprune"}
    assert {claim.id for claim in decided} == page
    assert [claim.verdict for claim in decided] == ["holds", "holds-in-part"]


@pytest.fixture
def book_style():
    plt.switch_backend("agg")
    with plt.style.context(Path(style.__file__).with_name("liprune.mplstyle")):
        yield
    plt.close("all")


@pytest.mark.usefixtures("book_style")
@pytest.mark.parametrize("y", [0.6, -0.3])
def test_sine_figure_marks_the_attained_constant(y):
    top, bottom = figures.sine_figure(1.2, y, 9.9, 12.1).axes
    assert bottom.get_xlabel() == "weight w"
    marks = next(line for line in bottom.lines if line.get_marker() == "v")
    assert len(marks.get_xdata()) >= 3
    np.testing.assert_allclose(marks.get_ydata(), -sine_constant(1.2, y))
    tops = next(line for line in top.lines if line.get_marker() == "v").get_ydata()
    np.testing.assert_allclose(tops, top.lines[0].get_ydata().max(), rtol=1e-4)


@pytest.mark.usefixtures("book_style")
def test_overlap_figure_has_a_curve_and_chance_for_each_fraction(data):
    measured = tables.distance_table(data, [0, 0.1])
    (axes, *_) = figures.overlap_figure(population_table([0.01, 100]), measured).axes
    levels = {line.get_ydata()[0] for line in axes.lines if len(set(line.get_ydata())) == 1}
    assert {0.1, 0.3, 0.5, 0.9} <= levels
    assert axes.get_xscale() == "log"
    labels = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert labels == ["keep 0.1", "keep 0.3", "keep 0.5"]


@pytest.mark.usefixtures("book_style")
def test_spread_figure_shows_every_kind_of_input(monkeypatch):
    monkeypatch.setattr("experiments.liprune.batch_spread.NUM_POINTS", 512)
    table = spread_table(spread_runs(seeded(14), 2))
    figure = figures.spread_figure(table)
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert labels == {*table.inputs.unique(), "falling as 1/√B"}


@pytest.mark.usefixtures("book_style")
def test_kept_frames_show_both_choices(data):
    kept = kept_table(data.x[0], data.y[0], {0.0: 0.0, 0.5: 0.5}, 0.1)
    assert kept.groupby("way")[["liprune", "grand"]].sum().to_numpy().tolist() == 2 * [[100, 100]]
    for way, rows in kept.groupby("way"):
        np.testing.assert_allclose(rows.gradient_norm, gradient_norms(data.x[0], data.y[0], way))
        assert rows.gradient_norm[rows.grand].min() > rows.gradient_norm[~rows.grand].max()
        figure = figures.kept_figure(rows)
        shared = (rows.liprune & rows.grand).sum() / 100
        assert figure.axes[0].get_title() == f"overlap {shared:.2f}"
        assert len(base64.b64decode(frames.encode(figure).split(",")[1])) < 100_000
