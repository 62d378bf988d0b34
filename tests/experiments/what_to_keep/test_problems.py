"""Generated problems: excess test losses against very many points and other quadratures."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

from experiments.what_to_keep import problems
from experiments.what_to_keep.problems import (
    INPUTS,
    LABELS,
    Population,
    label,
    mean_softplus,
    stein_factor,
)
from liprune_utils.problems import LOGISTIC

EVERY_INPUT = pytest.mark.parametrize("inputs", INPUTS)


@pytest.fixture
def many_points(monkeypatch):
    monkeypatch.setattr(problems, "NUM_POINTS", 100_000)


@EVERY_INPUT
def test_inputs_have_their_covariance(inputs, many_points):
    population = Population(3, inputs)
    x = population.draw(np.random.default_rng(0))
    np.testing.assert_allclose(x.T @ x / len(x), population.covariance, atol=0.25, rtol=0.03)
    sizes, weights = population.sizes
    assert weights @ sizes**2 == pytest.approx(1)
    largest = np.abs(x / np.sqrt(population.covariance.diagonal())).max()
    assert (largest > 7) == (inputs == "heavy-tailed")


def test_scales_run_from_3_to_a_third():
    scales = np.sqrt(Population(5, "uneven").covariance.diagonal())
    np.testing.assert_allclose(scales, [3, 3**0.5, 1, 3**-0.5, 1 / 3])
    assert Population(1, "uneven").covariance == [[1]]
    expected = [[1, 0.9, 0.81], [0.9, 1, 0.9], [0.81, 0.9, 1]]
    np.testing.assert_allclose(Population(3, "correlated").covariance, expected)


@EVERY_INPUT
@pytest.mark.parametrize("labels", LABELS)
def test_the_excess_is_that_of_very_many_points(inputs, labels, many_points):
    draw = np.random.default_rng(1)
    population = Population(3, inputs)
    held = label(population.draw(draw), population, labels, draw)
    tried = np.array([[0.9, -1.2, 0.4], [0.0, 0.0, 0.0]])
    least = held.train.value(held.train.minimiser)
    expected = held.train.value(tried[:, None]) - least
    np.testing.assert_allclose(held.excess(tried), expected, rtol=0.04, atol=0.004)


def test_an_even_signal_has_the_same_variance_whatever_the_scales():
    for inputs in INPUTS:
        population = Population(4, inputs)
        x = np.zeros((problems.NUM_POINTS, 4))
        held = label(x, population, "even signal", np.random.default_rng(2))
        assert held.excess(np.zeros(4)) == pytest.approx(0.5)


def test_the_bent_part_has_its_deviation_and_no_mean(many_points):
    draw, population = np.random.default_rng(3), Population(2, "uneven")
    held = label(population.draw(draw), population, "bent truth", draw)
    rest = held.train.y[:, 0] - held.train.x @ held.train.minimiser[0]
    assert rest.mean() == pytest.approx(0, abs=0.02)
    assert rest.var() == pytest.approx(1 + 0.5**2, rel=0.05)


@pytest.mark.parametrize("scale", [0.0, 0.02, 1.3, 40.0])
def test_expectations_are_those_of_scipy(scale):
    def mean(function) -> float:
        halves = [(-12, -1e-2), (-1e-2, 1e-2), (1e-2, 12)]
        return sum(quad(lambda z: function(scale * z) * norm.pdf(z), *ends)[0] for ends in halves)

    even = Population(2, "even")
    softplus = mean(lambda t: np.logaddexp(0, t))
    assert mean_softplus(np.array(scale), even) == pytest.approx(softplus, abs=1e-7)
    slope = mean(lambda t: expit(t) * expit(-t))
    assert stein_factor(scale, even) == pytest.approx(slope, abs=1e-8)


def test_a_diverging_run_has_an_excess_without_a_warning_or_none():
    held = label(
        np.ones((problems.NUM_POINTS, 2)), Population(2, "even"), "logistic",
        np.random.default_rng(4),
    )  # fmt: skip
    assert held.train.loss is LOGISTIC
    far = held.excess(np.array([[1e9, 0.0], [2e9, 0.0]]))
    assert far[1] == pytest.approx(2 * far[0], rel=1e-6)
