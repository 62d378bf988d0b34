r"""Layer norm whose second derivative costs a few passes over the features, not dozens.

As in `liprune_utils.batch_norm`, but over each row of n features: with its mean m and its inverse
deviation s, :math:`h = s (x - m)` has the gradient :math:`s P(g)` for a gradient g of h, where
:math:`P(u) = u - \overline{u} - h\, \overline{h u}`.
"""

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional


def _layer_norm(
    input: Tensor, normalized_shape: list[int], weight=None, bias=None, eps: float = 1e-5
) -> Tensor:  # torch's names, since they may be given by name
    if list(input.shape[-len(normalized_shape) :]) != list(normalized_shape):
        return functional.layer_norm(input, normalized_shape, weight, bias, eps)  # which refuses
    rows = input.flatten(-len(normalized_shape))
    y = _Standardise.apply(rows, eps)[0].view(input.shape)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


#: Torch's function, and its form with a fast second derivative by reverse mode; there is no third.
LAYER_NORMS = {functional.layer_norm: _layer_norm}


class _Standardise(Function):
    @staticmethod
    def forward(x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        return torch.native_layer_norm(x, x.shape[-1:], None, None, eps)

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple, output: tuple) -> None:
        h, mean, scale = output
        ctx.mark_non_differentiable(mean, scale)
        ctx.save_for_backward(h, inputs[0], mean, scale)

    @staticmethod
    def backward(ctx: FunctionCtx, g: Tensor, *_: Tensor) -> tuple[Tensor, None]:
        return _Gradient.apply(g, *ctx.saved_tensors), None

    @staticmethod
    def vmap(info, in_dims: tuple, x: Tensor, eps: float):
        return _Standardise.apply(x.movedim(in_dims[0], 0), eps), (0, 0, 0)


class _Gradient(Function):
    @staticmethod
    def forward(ctx: FunctionCtx, g: Tensor, *saved: Tensor) -> Tensor:
        h, x, mean, scale = saved
        projected = _project(g, x, mean, scale)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(*saved, projected, _dot(h, g))
        return projected

    # u is the gradient of s P(g), and <u, s P(g)> depends on x through h and s alone: dh = s P(dx)
    # and ds = -s^2 mean(h dx).
    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, u: Tensor) -> tuple[Tensor | None, ...]:
        h, x, mean, scale, projected, h_g = ctx.saved_tensors
        of_g = _project(u, x, mean, scale)
        factor = -scale / x.shape[-1]
        of_x = projected * (factor * _dot(u, h))
        of_x.addcmul_(of_g, factor * h_g).addcmul_(h, factor * _dot(u, projected))
        return of_g, None, of_x, None, None


def _project(u: Tensor, x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Return s P(u) by the kernel of torch's backward pass."""
    mask = [True, False, False]
    return torch.ops.aten.native_layer_norm_backward(
        u, x, x.shape[-1:], mean, scale, None, None, mask
    )[0]


def _dot(first: Tensor, second: Tensor) -> Tensor:
    return (first * second).sum(dim=-1, keepdim=True)
