"""Lanczos' method on planted spectra: the norm, the bounds, the start for the next operator."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import draw
from torch import Tensor

from liprune_utils.checks import InputError
from liprune_utils.lanczos import lanczos, lanczos_many


def diagonal_norm(values, seed: int = 0, tolerance: float = 1e-9, max_products: int = 50):
    values = torch.tensor(values, dtype=torch.float64)
    return lanczos(lambda v: values * v, draw(len(values), seed=seed), tolerance, max_products)


@pytest.mark.parametrize(
    ("values", "norm", "num_distinct"),
    [
        ([4.0], 4, 1),
        ([-2.0] * 6, 2, 1),
        ([5.0, 5.0, 5.0, 1.0], 5, 2),
        ([5.0, -5.0, 1.0, 1.0, 0.0], 5, 4),
        ([0.0] * 30 + [7.0], 7, 2),
        ([1e-140, 3e-140], 3e-140, 2),
        ([1e140, 3e140], 3e140, 2),
    ],
)
def test_repeated_eigenvalues_end_the_krylov_space(values, norm, num_distinct):
    result = diagonal_norm(values)
    assert result.norm == pytest.approx(norm, rel=1e-12)
    assert result.converged
    assert num_distinct <= result.num_products <= max(3, num_distinct)


def test_outlier_amid_equal_eigenvalues_is_not_missed():
    values = [1.0] * 100_000 + [100.0]  # the start vector leaves a residual of 0.3 about 1.1
    assert diagonal_norm(values, tolerance=0.5).norm == pytest.approx(100)


def test_no_more_products_than_dimensions_despite_rounding():
    H = draw(5, 5).float()
    H = H + H.T
    result = lanczos(lambda v: (H @ v.float()).double(), draw(5, seed=1), 1e-15, 50)
    assert result.num_products == 5
    expected = torch.linalg.eigvalsh(H.double()).abs().max().item()
    assert result.norm == pytest.approx(expected, rel=1e-5)


def test_too_few_products_are_reported_and_the_residual_holds():
    values = np.linspace(1, 2, 40)
    result = diagonal_norm(list(values), tolerance=1e-6, max_products=5)
    assert (result.num_products, result.converged) == (5, False)
    assert np.abs(values - result.eigenvalue).min() <= result.residual < 0.5


VALUES = st.floats(-10, 10).map(lambda value: round(value, 12)) | st.integers(-2, 2)
SPECTRA = st.lists(VALUES, min_size=1, max_size=12)  # the integers repeat eigenvalues


@settings(max_examples=150)
@given(values=SPECTRA, log_tolerance=st.integers(-9, -1), seed=st.integers(0, 99))
def test_some_eigenvalue_lies_within_the_residual(values, log_tolerance, seed):
    n = len(values)
    Q = torch.linalg.qr(draw(n, n, seed=seed + 1)).Q
    H = Q @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ Q.T
    result = lanczos(lambda v: H @ v, draw(n, seed=seed), 10.0**log_tolerance, 50)
    rounding = 1e-13 * np.abs(values).max()
    v = result.eigenvector
    assert result.converged
    assert 1 <= result.num_products <= n
    assert v.norm().item() == pytest.approx(1)
    residual = (H @ v - result.eigenvalue * v).norm().item()
    assert residual == pytest.approx(result.residual, abs=rounding)
    assert np.abs(values - np.float64(result.eigenvalue)).min() <= result.residual + rounding
    assert result.norm <= np.abs(values).max() + rounding


@settings(max_examples=150)
@given(values=SPECTRA, seed=st.integers(0, 99))
def test_norm_is_the_spectral_norm(values, seed):
    assert diagonal_norm(values, seed).norm == pytest.approx(np.abs(values).max(), rel=1e-8)


@pytest.mark.parametrize("gap", [1e-3, 1e-2, 0.1])
def test_near_equal_top_eigenvalues_are_separated_by_a_small_tolerance(gap):
    values = [3.0, 3.0 - gap, -2.0, *np.linspace(-1, 1, 60)]
    result = diagonal_norm(values, tolerance=1e-9, max_products=63)
    assert result.norm == pytest.approx(3, rel=1e-8)
    assert result.eigenvector[0].abs() > 0.999


@settings(max_examples=150)
@given(values=SPECTRA, count=st.integers(1, 6), seed=st.integers(0, 99))
def test_the_error_is_never_above_the_residual(values, count, seed):
    result = diagonal_norm(values, seed, tolerance=1e-15, max_products=count)
    assert 0 <= result.error <= result.residual
    if result.num_products == len(set(values)):  # the whole spectrum is known
        assert result.error <= 1e-9 * max(1.0, result.norm)


def test_the_error_bounds_the_distance_once_the_next_eigenvalue_is_known():
    values = np.array([10.0, 6.0, *np.linspace(-1, 1, 200)])
    for seed in range(20):
        for count in range(6, 10):
            result = diagonal_norm(list(values), seed, tolerance=1e-15, max_products=count)
            assert 10 - result.norm <= result.error + 1e-12
            assert result.error <= result.residual**2 / 2 + 1e-12  # the gap is 4, less a bit


@pytest.mark.parametrize("count", [1, 2, 4, 6, 7])
def test_error_and_guess_are_those_of_dense_ritz_pairs_and_take_no_product(count):
    H, taken = draw(9, 9), []
    H = H + H.T
    result = lanczos(lambda v: taken.append(v) or H @ v, draw(9), 1e-15, count)
    assert len(taken) == count
    Q = torch.stack(taken, dim=1)
    values, vectors = torch.linalg.eigh(Q.T @ H @ Q)
    residuals = (H @ Q @ vectors - Q @ vectors * values).norm(dim=0)
    first, *others = values.abs().argsort(descending=True).tolist()
    gaps = [(values[i] - values[first]).abs() - residuals[i] for i in others]
    residual, gap = residuals[first].item(), float(min(gaps, default=0))
    assert result.error == pytest.approx(min(residual, residual**2 / max(gap, 1e-300)))
    weights = (values / result.eigenvalue) ** 2
    before = torch.linalg.solve(H, result.guess)
    np.testing.assert_allclose((vectors.T @ Q.T @ before).abs(), weights, atol=1e-9)
    np.testing.assert_allclose(Q @ Q.T @ before, before, atol=1e-9)


def test_the_guess_for_a_zero_operator_is_its_start():
    start = draw(5)
    result = lanczos(lambda v: 0 * v, start, 0.1, 5)
    assert torch.equal(result.guess, start / start.norm())


def test_a_good_guess_may_need_only_one_product():
    H = torch.diag(torch.tensor([9.0, 1.0, 0.5, 0.0], dtype=torch.float64))
    start = torch.tensor([1.0, 0.1, 0.0, 0.0], dtype=torch.float64)
    early = lanczos(lambda v: H @ v, start, 0.2, 9, rough=True)
    assert (early.num_products, early.converged) == (1, True)
    assert lanczos(lambda v: H @ v, start, 0.2, 9).num_products > 1


def multiply(matrices: Tensor, numbers: np.ndarray) -> Callable[[Tensor], Tensor]:
    """Return what multiplies a row by each of some matrices."""
    return lambda V: (matrices[numbers] @ V[:, :, None])[:, :, 0]


def test_many_operators_in_step_are_as_one_after_the_other():
    matrices = draw(4, 12, 12, seed=5)
    matrices = matrices + matrices.mT
    start = draw(4, 12, seed=6)
    rows = lanczos_many(partial(multiply, matrices), start, 1e-6, 12)
    for matrix, first, row in zip(matrices, start, rows, strict=True):
        alone = lanczos(lambda v, matrix=matrix: matrix @ v, first, 1e-6, 12)
        assert row[0] == pytest.approx(alone.eigenvalue, rel=1e-9)
        assert row[1:3] == pytest.approx([alone.residual, alone.error], abs=1e-7)
        assert row[3] == alone.num_products


def test_a_guess_that_spans_nothing_is_followed_by_a_random_vector():
    H = torch.diag(torch.tensor([0.0, 3.0, -5.0, 1.0], dtype=torch.float64))
    guess = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64)
    assert lanczos(lambda v: H @ v, guess, 1e-9, 9).norm == 0
    result = lanczos(lambda v: H @ v, guess, 1e-9, 9, fresh=lambda: draw(4))
    assert result.eigenvalue == pytest.approx(-5)


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e30, 1e150])
def test_a_start_may_have_any_scale_but_zero(scale):
    values = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    assert lanczos(lambda v: values * v, scale * draw(3), 1e-9, 9).norm == pytest.approx(3)
    for start in (torch.zeros(3), torch.full((3,), torch.nan)):
        with pytest.raises(InputError, match="start vector is 'zero or not finite'"):
            lanczos(lambda v: values * v, start.double(), 1e-9, 9)


@pytest.mark.parametrize("many", [False, True])
def test_products_that_are_not_symmetric_are_refused(many):
    H = draw(6, 6)  # as of a wrong second derivative
    one, both = partial(torch.mv, H), partial(multiply, H.expand(2, 6, 6))
    search = partial(lanczos_many, both) if many else partial(lanczos, one)
    start = draw(2, 6, seed=1) if many else draw(6, seed=1)
    with pytest.raises(InputError, match="Hessian-vector products are not symmetric"):
        search(start, 1e-9, 6)


@pytest.mark.parametrize("scale", [1e-35, 1e-20, 1.0, 1e20, 1e35])
def test_many_operators_in_single_precision_have_any_scale(scale):
    H = scale * torch.diag(torch.tensor([1.0, -3.0, 2.0]))
    rows = lanczos_many(partial(multiply, H.expand(2, 3, 3)), draw(2, 3).float(), 1e-4, 5)
    np.testing.assert_allclose(rows[:, 0], -3 * scale, rtol=1e-4)


def test_what_has_converged_is_multiplied_no_more():
    easy, multiplied = torch.diag(torch.tensor([9.0, 1.0, 1.0, 1.0, 1.0, 1.0]).double()), []
    hard = torch.diag(torch.arange(1.0, 7.0).double())
    matrices = torch.stack([easy, hard, easy, easy])

    def products(numbers: np.ndarray) -> Callable[[Tensor], Tensor]:
        multiplied.append(numbers.tolist())
        return multiply(matrices, numbers)

    rows = lanczos_many(products, draw(4, 6), 1e-9, 6)
    assert multiplied == [[0, 1, 2, 3], [1]]
    np.testing.assert_allclose(rows[:, 0], [9, 6, 9, 9])
    assert rows[:, 3].tolist() == [3, 6, 3, 3]
