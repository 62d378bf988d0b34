"""The fast layer norm has torch's values and true derivatives, with and without vmap."""

import pytest
import torch
from networks import draw
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.func import vmap
from torch.nn import functional

from liprune_utils.layer_norm import LAYER_NORMS
from liprune_utils.second_derivatives import OtherForms


@pytest.mark.parametrize("shape", [(5,), (4, 5)])
@pytest.mark.parametrize("affine", [True, False])
def test_both_derivatives_are_those_of_finite_differences(shape, affine):
    inputs = [3 * draw(2, 4, 5) + 2]
    inputs += [draw(*shape, seed=1), draw(*shape, seed=2)] if affine else []
    inputs = [tensor.requires_grad_() for tensor in inputs]

    def normalise(x: Tensor, *affine: Tensor) -> Tensor:
        return functional.layer_norm(x, shape, *affine, eps=0.1)

    expected = normalise(*inputs)
    with OtherForms(LAYER_NORMS):
        torch.testing.assert_close(normalise(*inputs), expected)
        assert gradcheck(normalise, inputs)
        assert gradgradcheck(normalise, inputs, gen_non_contig_grad_outputs=True)


def test_within_vmap_each_example_may_have_weights_of_its_own():
    inputs = [draw(3, 4, 5).requires_grad_(), draw(5, 3, seed=1).requires_grad_()]

    def derivatives() -> list[Tensor]:
        y = vmap(lambda x, weight: functional.layer_norm(x, (5,), weight), (0, 1))(*inputs)
        first = torch.autograd.grad(y.sin().square().sum(), inputs, create_graph=True)
        directions = [draw(*tensor.shape, seed=9) for tensor in first]
        second = torch.autograd.grad(first, inputs, directions, retain_graph=True)
        return [y, *first, *second]

    expected = derivatives()
    with OtherForms(LAYER_NORMS):
        torch.testing.assert_close(derivatives(), expected)


def test_a_wrong_shape_is_refused_as_by_torch():
    with pytest.raises(RuntimeError, match="normalized_shape"), OtherForms(LAYER_NORMS):
        functional.layer_norm(draw(4, 5), (4,))


def test_arguments_by_name_are_as_in_torch():
    x = draw(4, 5)
    expected = functional.layer_norm(x, [5])
    with OtherForms(LAYER_NORMS):
        torch.testing.assert_close(functional.layer_norm(normalized_shape=[5], input=x), expected)
