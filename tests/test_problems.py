"""The linear model's data: the paper's distribution, exact constants, independent data sets."""

import numpy as np
import pytest
from scipy import stats

from liprune_utils.problems import LinearData, draw_linear


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_data_follow_equation_3():
    data = draw_linear(seeded(), 40, 500, slope=3.0)
    assert data.x.shape == data.noise.shape == data.y.shape == (40, 500)
    assert stats.kstest(data.x.ravel(), stats.uniform(-5, 10).cdf).pvalue > 1e-4
    assert stats.kstest(data.noise.ravel(), stats.norm(0, 0.2).cdf).pvalue > 1e-4
    assert abs(np.corrcoef(data.x.ravel(), data.noise.ravel())[0, 1]) < 4 / np.sqrt(data.x.size)
    np.testing.assert_allclose(data.y, 3 * data.x + data.noise, rtol=1e-15)


def test_options_scale_the_draws():
    plain = draw_linear(seeded(), 3, 5)
    scaled = draw_linear(seeded(), 3, 5, half_width=1.0, noise_sd=0.0)
    np.testing.assert_allclose(scaled.x, plain.x / 5)
    assert not scaled.noise.any()


@pytest.mark.parametrize("num_runs", [1, 2, 7])
def test_first_data_sets_do_not_depend_on_how_many_follow(num_runs):
    few, many = (draw_linear(seeded(4), runs, 6) for runs in (num_runs, 9))
    np.testing.assert_array_equal(few.x, many.x[:num_runs])
    np.testing.assert_array_equal(few.noise, many.noise[:num_runs])


def test_data_sets_can_be_drawn_in_parts():
    generator = seeded(4)
    parts = [draw_linear(generator, runs, 6).y for runs in (2, 1, 3)]
    np.testing.assert_array_equal(np.concatenate(parts), draw_linear(seeded(4), 6, 6).y)


def test_lipschitz_constants_are_the_secants_of_the_gradients():
    data = LinearData(np.array([[-2.0, 0.5]]), np.array([[0.1, -0.3]]), slope=1.5)

    def gradient(w: float) -> np.ndarray:
        def loss(v: float) -> np.ndarray:
            return (v * data.x - data.y) ** 2 / 2

        return loss(w + 0.5) - loss(w - 0.5)  # a central difference is exact for a parabola

    for w, v in ((0.0, 1.0), (-3.0, 4.0)):
        secant = np.abs(gradient(w) - gradient(v)) / abs(w - v)
        np.testing.assert_allclose(secant, data.lipschitz, rtol=1e-12)
