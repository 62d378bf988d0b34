"""The fast batch norm has torch's values and derivatives, and leaves the model as it was."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional

from liprune_utils.batch_norm import fast_batch_norm, normalise


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int = 0) -> Tensor:
    x = torch.randn(shape, generator=seeded(seed), dtype=torch.float64)
    return x.requires_grad_()


def plain(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return functional.batch_norm(x, None, None, weight, bias, training=True)


@pytest.mark.parametrize("shape", [(4, 3), (3, 2, 5), (2, 3, 4, 2), (2, 2, 2, 2, 2)])
def test_both_derivatives_are_those_of_finite_differences(shape):
    inputs = draw(*shape), draw(shape[1], seed=1), draw(shape[1], seed=2)
    assert gradcheck(normalise, inputs)
    assert gradgradcheck(normalise, inputs, gen_non_contig_grad_outputs=True)


def second_derivatives(function, inputs: tuple[Tensor, ...], seed: int) -> list[Tensor]:
    y = function(*inputs)
    weights = torch.randn(y.shape, generator=seeded(seed), dtype=y.dtype)
    first = torch.autograd.grad((y**3 * weights).sum(), inputs, create_graph=True)
    vectors = [torch.randn(p.shape, generator=seeded(seed), dtype=p.dtype) for p in first]
    return [y, *first, *torch.autograd.grad(first, inputs, vectors)]


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.integers(2, 6), st.integers(1, 4), st.integers(1, 3), st.integers(0, 1000))
def test_derivatives_are_torchs(batch_size, channels, side, seed):
    x = draw(batch_size, channels, side, side, seed=seed) * 3 + 2
    inputs = x.detach().requires_grad_(), draw(channels, seed=seed + 1), draw(channels, seed=7)
    pairs = zip(*(second_derivatives(f, inputs, seed) for f in (normalise, plain)), strict=True)
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-6 * theirs.abs().max().item())


def test_a_weight_of_zero_does_no_harm():
    inputs = draw(4, 2, 3), torch.zeros(2, dtype=torch.float64).requires_grad_(), draw(2, seed=2)
    pairs = zip(*(second_derivatives(f, inputs, 0) for f in (normalise, plain)), strict=True)
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs)


def make_model() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3, eps=0.1), nn.Flatten(), nn.Linear(12, 4),
        nn.BatchNorm1d(4, affine=False), nn.BatchNorm1d(4, track_running_stats=False),
    ).double()  # fmt: skip


def test_a_model_gives_the_same_and_is_as_before():
    model, x = make_model(), draw(5, 2, 3, 3)
    expected = model(x)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with fast_batch_norm(model):
        torch.testing.assert_close(model(x), expected)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert not any("forward" in vars(module) for module in model.modules())


def test_a_model_in_eval_mode_is_left_alone():
    model = make_model().eval()
    with fast_batch_norm(model):
        assert not any("forward" in vars(module) for module in model.modules())


class OwnNorm(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return x


def test_a_norm_with_a_forward_of_its_own_is_left_alone():
    model, x = OwnNorm(2), torch.ones(3, 2)
    with fast_batch_norm(model):
        assert torch.equal(model(x), x)


def test_a_model_is_as_before_after_an_error():
    model = make_model()
    with pytest.raises(ValueError, match="expected 4D input"), fast_batch_norm(model):
        model[1](draw(3, 3))
    assert not any("forward" in vars(module) for module in model.modules())
