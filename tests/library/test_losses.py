"""The cross-entropy and its derivatives, against torch's and against 200 digits."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp
from networks import draw
from torch.nn import functional

from liprune_utils.losses import cross_entropies, cross_entropy

BOTH = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
LOGITS = st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=5)


@BOTH
def test_the_cross_entropy_is_torchs(dtype):
    z, y = 5 * draw(9, 4).to(dtype), torch.arange(9) % 4
    assert torch.equal(cross_entropy(z, y), functional.cross_entropy(z, y).double())
    each = functional.cross_entropy(z, y, reduction="none")
    assert torch.equal(cross_entropies(z, y)[each > 1e-3], each[each > 1e-3].double())
    images, labels = draw(2, 3, 4, 5), torch.arange(40).view(2, 4, 5) % 3
    torch.testing.assert_close(
        cross_entropy(images, labels), functional.cross_entropy(images, labels)
    )
    probable = z.softmax(1)
    torch.testing.assert_close(
        cross_entropy(z, probable), functional.cross_entropy(z, probable), check_dtype=False
    )


def by_200_digits(z: list[float], y: int) -> tuple[float, np.ndarray, np.ndarray]:
    """The loss, its gradient and its Hessian in the logits."""
    with mp.workdps(200):
        powers = [mp.exp(value) for value in z]
        p, K = [value / mp.fsum(powers) for value in powers], range(len(z))
        gradient = [float(p[k] - (k == y)) for k in K]
        hessian = [[float(p[k] * ((k == j) - p[j])) for j in K] for k in K]
        return float(-mp.log(p[y])), np.array(gradient), np.array(hessian)


@BOTH
@settings(max_examples=150)
@given(z=LOGITS, label=st.integers(0, 4))
def test_loss_and_derivatives_keep_their_digits(dtype, z, label):
    y, logits = label % len(z), torch.tensor([z], dtype=dtype)
    value, gradient, hessian = by_200_digits(z, y)

    for differentiate, expected in ((torch.func.grad, gradient), (torch.func.hessian, hessian)):
        scale = 2.0 ** -np.floor(np.log2(np.abs(expected).max()))  # as the scores have it
        found = differentiate(lambda own, s=scale: s * cross_entropy(own, torch.tensor([y])))
        # Where torch's own is used, from a thousand units of rounding on, a thousandth is lost.
        atol = 2e-3 * scale * np.abs(expected).max()
        values = found(logits).reshape(expected.shape)
        np.testing.assert_allclose(values, scale * expected, rtol=0, atol=atol)
    np.testing.assert_allclose(cross_entropies(logits, torch.tensor([y])), value, rtol=2e-3)
