"""The fast convolution has torch's values and derivatives, with and without vmap."""

import pytest
import torch
from networks import draw
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import vmap

from liprune_utils.batch_norm import fast_batch_norm
from liprune_utils.convolution import CONVOLUTIONS
from liprune_utils.second_derivatives import OtherForms

CONVOLVE = {1: torch.conv1d, 2: torch.conv2d, 3: torch.conv3d}
OPTIONS = [
    {},
    {"stride": 2, "padding": 1},
    {"padding": (1,), "dilation": 2},
    {"groups": 2},
    {"padding": "valid"},
]


def second(y: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    """Return the first and second derivatives, along some directions, of a function of y."""
    first = torch.autograd.grad(y.sin().square().sum(), inputs, create_graph=True)
    directions = [draw(*tensor.shape, seed=9).to(tensor) for tensor in first]
    return [*first, *torch.autograd.grad(first, inputs, directions, retain_graph=True)]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_both_derivatives_are_those_of_finite_differences(ndim, options):
    weight = draw(4, 4 // options.get("groups", 1), *[2] * ndim, seed=1)
    inputs = draw(2, 4, *[3] * ndim), weight, draw(4, seed=2)
    inputs = [tensor.requires_grad_() for tensor in inputs]

    def convolve(*tensors: Tensor) -> Tensor:
        return CONVOLVE[ndim](*tensors, **options)

    expected = convolve(*inputs)
    with OtherForms(CONVOLUTIONS):
        torch.testing.assert_close(convolve(*inputs), expected)
        assert gradcheck(convolve, inputs)
        assert gradgradcheck(convolve, inputs)


@pytest.mark.parametrize("needed", [(True, False), (False, True)])
def test_what_needs_no_gradient_gets_none(needed):
    x, weight = (tensor.requires_grad_(need) for tensor, need in zip(
        (draw(2, 3, 5, 5), draw(4, 3, 3, 3, seed=1)), needed, strict=True
    ))  # fmt: skip
    inputs = [tensor for tensor in (x, weight) if tensor.requires_grad]
    expected = second(torch.conv2d(x, weight), inputs)
    with OtherForms(CONVOLUTIONS):
        torch.testing.assert_close(second(torch.conv2d(x, weight), inputs), expected)


def test_arguments_by_name_and_inputs_without_a_batch_are_as_in_torch():
    x, weight = draw(3, 5, 5), draw(4, 3, 3, 3, seed=1)
    expected = torch.conv2d(x, weight, padding=1)
    with OtherForms(CONVOLUTIONS):
        torch.testing.assert_close(torch.conv2d(weight=weight, input=x, padding=1), expected)
        batch = torch.conv2d(input=x[None], weight=weight, padding=(1, 1), groups=1)
    torch.testing.assert_close(batch[0], expected)


@pytest.mark.parametrize("dims", [(0, 0), (1, 2), (0, None), (None, 0)])
@pytest.mark.parametrize("groups", [1, 2])
def test_within_vmap_each_example_may_have_weights_of_its_own(dims, groups):
    x, weight = draw(3, 2, 4, 6, 6), draw(3, 4, 4 // groups, 3, 3, seed=1)
    inputs = [
        (tensor[0] if dim is None else tensor.movedim(0, dim)).contiguous().requires_grad_()
        for tensor, dim in zip((x, weight), dims, strict=True)
    ]

    def convolve(x: Tensor, weight: Tensor) -> Tensor:
        return torch.conv2d(x, weight, stride=2, padding=1, groups=groups)

    expected = second(vmap(convolve, dims)(*inputs), inputs)
    with OtherForms(CONVOLUTIONS):
        found = second(vmap(convolve, dims)(*inputs), inputs)
    torch.testing.assert_close(found, expected)


def test_within_vmap_a_batch_norm_may_follow():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3)
    model, x = nn.Sequential(*layers).double().eval(), draw(5, 3, 6, 6)
    weights = model[0].weight.detach().expand(5, -1, -1, -1, -1).contiguous().requires_grad_()

    def outputs(x: Tensor, weight: Tensor) -> Tensor:
        return model[1:](torch.conv2d(x[None], weight))

    expected = second(vmap(outputs)(x, weights), [weights])
    with OtherForms(CONVOLUTIONS), fast_batch_norm(model):
        torch.testing.assert_close(second(vmap(outputs)(x, weights), [weights]), expected)


def test_torch_has_its_own_functions_again_after_an_error():
    with pytest.raises(RuntimeError, match="expected"), OtherForms(CONVOLUTIONS):
        torch.conv2d(draw(1, 3, 4, 4), draw(2, 4, 3, 3))
    x = draw(1, 3, 4, 4).requires_grad_()
    assert "Convolve" not in str(torch.conv2d(x, draw(2, 3, 3, 3)).grad_fn)
