"""The fast batch norm has torch's values and true derivatives, and leaves the model as it was."""

import pytest
import torch
from networks import draw, unchanged
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call

from liprune_utils.batch_norm import fast_batch_norm

NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


def normalise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    norm = NORMS[x.ndim](x.shape[1])
    with fast_batch_norm(norm):
        return functional_call(norm, {"weight": weight, "bias": bias}, (x,))


@pytest.mark.parametrize("scale", [0.0, 1.0])
@pytest.mark.parametrize("shape", [(4, 3), (3, 2, 5), (2, 3, 4, 2), (2, 2, 2, 2, 2)])
def test_both_derivatives_are_those_of_finite_differences(shape, scale):
    inputs = 3 * draw(*shape) + 2, scale * draw(shape[1], seed=1), draw(shape[1], seed=2)
    inputs = [tensor.requires_grad_() for tensor in inputs]
    assert gradcheck(normalise, inputs)
    assert gradgradcheck(normalise, inputs, gen_non_contig_grad_outputs=True)


def make_model() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3, eps=0.1), nn.Flatten(), nn.Linear(12, 4),
        nn.BatchNorm1d(4, affine=False), nn.BatchNorm1d(4, track_running_stats=False),
    ).double()  # fmt: skip


@pytest.mark.parametrize("shape", [(1, 3), (3, 2, 5), (2, 3, 4, 2)])
def test_in_eval_mode_the_running_statistics_count(shape):
    norm = NORMS[len(shape)](shape[1]).double().eval()
    norm.running_mean, norm.running_var = draw(shape[1]), draw(shape[1], seed=1).square()
    weight, bias = draw(shape[1], seed=2), draw(shape[1], seed=3)
    inputs = [tensor.requires_grad_() for tensor in (draw(*shape, seed=4), weight, bias)]

    def normalise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return functional_call(norm, {"weight": weight, "bias": bias}, (x,))

    expected = normalise(*inputs)
    with fast_batch_norm(norm):
        torch.testing.assert_close(normalise(*inputs), expected)
        assert gradcheck(normalise, inputs)
        assert gradgradcheck(normalise, inputs)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_float32_keeps_its_digits_in_both_layouts(layout):
    x = (draw(64, 4, 32, 32) + 1).relu()
    norm = nn.BatchNorm2d(4).double()
    expected = norm(x)
    with fast_batch_norm(norm.float()):
        y = norm(x.float().contiguous(memory_format=layout))
    torch.testing.assert_close(y.double(), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("training", [True, False])
def test_a_model_gives_the_same_and_is_as_before(training):
    model, x = make_model().train(training), draw(5, 2, 3, 3)
    expected = model(x)
    with unchanged(model), fast_batch_norm(model):
        torch.testing.assert_close(model(x), expected)


def test_a_model_is_as_before_after_an_error():
    model = make_model()
    with unchanged(model), pytest.raises(ValueError, match="expected 4D"), fast_batch_norm(model):
        model[1](draw(3, 3))


class OwnNorm(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return x


STATELESS = nn.BatchNorm1d(2, track_running_stats=False).eval()


@pytest.mark.parametrize("norm", [STATELESS, OwnNorm(2)], ids=["stateless", "own"])
def test_a_norm_without_statistics_or_with_a_forward_of_its_own_is_left_alone(norm):
    with fast_batch_norm(norm):
        assert "forward" not in vars(norm)


def test_a_norm_whose_forward_was_replaced_keeps_it():
    norm = nn.BatchNorm1d(2)
    norm.forward = replaced = lambda x: 2 * x
    with fast_batch_norm(norm):
        assert norm(1.0) == 2
    assert norm.forward is replaced
