"""Speed-ups: of curves that are stretched by a known factor, and their jackknife intervals."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from liprune_utils.checks import InputError
from liprune_utils.pruning import keep_highest
from liprune_utils.speed_up import curve_speed_up, level_span, predicted_speed_up, speed_up

EPOCHS = np.arange(1.0, 13)


def falling(steps: np.ndarray, factor: float = 1.0) -> np.ndarray:
    return 40 + 30 * np.exp(-factor * steps / 5)


def noisy(seed: int, shape: tuple[int, ...], sd: float = 2.0) -> np.ndarray:
    return falling(EPOCHS) + np.random.default_rng(seed).normal(0, sd, (*shape, len(EPOCHS)))


def by_hand(rival: np.ndarray, own: np.ndarray) -> float:
    """The definition, one level at a time, with another library's isotonic regression."""
    steps = np.arange(1, len(own) + 1)
    rival, own = (
        IsotonicRegression(increasing=False).fit_transform(steps, c) for c in (rival, own)
    )
    top, bottom, logs = min(rival[0], own[0]), max(rival[-1], own[-1]), []
    for k in range(20):
        level, crossed = top + (bottom - top) * k / 19 + 1e-12, []
        for curve in (rival, own):
            at = next(i for i, value in enumerate(curve) if value <= level)
            part = (curve[at - 1] - level) / (curve[at - 1] - curve[at]) if at else 1.0
            crossed.append(at + part)  # entry at is epoch at + 1
        logs.append(np.log(crossed[0] / crossed[1]))
    return np.exp(np.mean(logs))


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.25, 3.0])
def test_a_stretched_curve_gives_its_factor(factor):
    steps = np.geomspace(1, 100, 400)  # dense: linear interpolation errs little
    rival, own = falling(steps), falling(steps, factor)
    assert curve_speed_up(rival, own, steps=steps) == pytest.approx(factor, rel=1e-3)


def test_straight_lines_are_exact():
    rival = 100 - EPOCHS
    assert curve_speed_up(rival, 100 - 1.5 * EPOCHS) == pytest.approx(1.5, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_noisy_curves_are_compared_as_the_definition_says(seed):
    rival, own = noisy(seed, (2,))
    assert curve_speed_up(rival, own) == pytest.approx(by_hand(rival, own), rel=1e-9)


@given(st.floats(0.1, 10), st.floats(-50, 50), st.floats(0.5, 20), st.integers(0, 100))
def test_only_ratios_of_steps_and_shares_of_the_way_matter(scale, shift, unit, seed):
    rival, own = noisy(seed, (2,))
    expected = curve_speed_up(rival, own)
    same = curve_speed_up(shift + scale * rival, shift + scale * own)
    assert same == pytest.approx(expected, rel=1e-6)
    assert curve_speed_up(rival, own, steps=unit * EPOCHS) == pytest.approx(expected, rel=1e-9)
    assert curve_speed_up(own, rival) == pytest.approx(1 / expected, rel=1e-9)


def test_a_curve_that_rises_again_counts_by_its_isotonic_regression():
    rising = np.array([9.0, 5.0, 7.0, 4.0])
    assert curve_speed_up(np.array([9.0, 6.0, 6.0, 4.0]), rising) == pytest.approx(1)


def test_curves_that_share_no_level_have_no_speed_up():
    low, high = 10 - EPOCHS / 10, 20 - EPOCHS / 10
    assert np.isnan(curve_speed_up(high, low))
    assert level_span(high, low) == pytest.approx(9.9 - 18.8)
    assert level_span(high, high) == pytest.approx(1.1)
    found = speed_up([high, high], [low, low])
    assert np.isnan(found.estimate[:3]).all()
    assert found.estimate.num_runs == 2
    assert found.counted == ()


def test_the_interval_is_a_loop_over_the_seeds_left_out():
    rivals, owns = noisy(0, (3, 4)), noisy(1, (3, 4))

    def theta(seeds: list[int]) -> float:
        pairs = zip(rivals, owns, strict=True)
        return np.mean([
            np.log(by_hand(r[seeds].mean(axis=0), o[seeds].mean(axis=0))) for r, o in pairs
        ])  # fmt: skip

    seeds = [0, 1, 2, 3]
    pseudo = [4 * theta(seeds) - 3 * theta([s for s in seeds if s != out]) for out in seeds]
    half = scipy.stats.t(3).ppf(0.975) * np.std(pseudo, ddof=1) / 2
    expected = np.exp(theta(seeds) + np.array([0, -half, half]))
    found = speed_up(rivals, owns, level=0.95)
    np.testing.assert_allclose(found.estimate[:3], expected, rtol=1e-8)
    assert found.estimate.num_runs == 4
    assert found.counted == (0, 1, 2)


def test_seeds_that_agree_leave_no_interval():
    rivals, owns = np.tile(falling(EPOCHS), (3, 1)), np.tile(falling(EPOCHS, 1.2), (3, 1))
    found = speed_up(rivals, owns).estimate
    assert found.low == pytest.approx(found.value)
    assert found.value == pytest.approx(1.2, rel=0.01)


def test_cells_may_differ_in_length_and_short_ones_are_left_out():
    curves = {"long": noisy(0, (3,)), "short": noisy(1, (3,))[:, :6], "flat": noisy(2, (3,), 0.01)}
    curves["flat"] = 50 + (curves["flat"] - 50) / 20
    others = {cell: values + 0.5 for cell, values in curves.items()}
    found = speed_up(curves, others, least_span=3)
    assert found.counted == ("long", "short")
    assert 0 < found.spans["flat"] < 3 < found.spans["long"]
    singles = [speed_up(curves[c], others[c]).estimate.value for c in found.counted]
    assert found.estimate.value == pytest.approx(np.sqrt(np.prod(singles)))


@pytest.mark.slow
def test_the_interval_covers_about_as_often_as_it_says():
    hits = 0
    for run in range(400):
        found = speed_up(noisy(2 * run, (4, 5), 3.0), noisy(2 * run + 1, (4, 5), 3.0)).estimate
        hits += found.low < 1 < found.high
    assert 0.84 < hits / 400 < 0.95


@pytest.mark.parametrize(
    ("rival", "own", "options", "words"),
    [
        ({"a": noisy(0, (3,))}, {"b": noisy(0, (3,))}, {}, "cells of the curves is"),
        (noisy(0, (1,)), noisy(1, (1,)), {}, "number of seeds is 1; expected at least 2"),
        (noisy(0, (3,)), noisy(1, (3,))[:, 1:], {}, "shape of cell 0"),
        ([noisy(0, (3,)), noisy(0, (2,))], [noisy(1, (3,)), noisy(1, (2,))], {}, "with 3 seeds"),
        (noisy(0, (3,))[:, :1], noisy(1, (3,))[:, :1], {}, "at least 2 steps"),
        (noisy(0, (3,)) * np.nan, noisy(1, (3,)), {}, "missing values of cell 0 is 36"),
        (noisy(0, (3,)), noisy(1, (3,)), {"steps": EPOCHS - 1}, "above 0 and increasing"),
        (noisy(0, (3,)), noisy(1, (3,)), {"steps": EPOCHS[:3]}, "expected 12 of them"),
        ({}, {}, {}, "number of cells is 0"),
    ],
)
def test_curves_that_cannot_be_compared_are_refused(rival, own, options, words):
    with pytest.raises(InputError, match=words):
        speed_up(rival, own, **options)


def test_a_prediction_is_a_ratio_of_means():
    constants = np.random.default_rng(0).random(50)
    kept = keep_highest(constants, 0.2)
    expected = constants[kept].mean() / constants.mean()
    assert predicted_speed_up(constants, kept) == pytest.approx(expected)
    assert predicted_speed_up(np.full(9, 0.3), np.arange(3)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("constants", "kept", "words"),
    [
        (np.zeros(3), [0], "constants is"),
        (np.array([1.0, -1.0]), [0], "at least 0"),
        (np.array([1.0, np.nan]), [0], "constants is"),
        (np.ones(3), [], "number of kept constants is 0"),
    ],
)
def test_constants_that_predict_nothing_are_refused(constants, kept, words):
    with pytest.raises(InputError, match=words):
        predicted_speed_up(constants, np.array(kept, dtype=int))
