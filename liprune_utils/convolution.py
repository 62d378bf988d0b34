r"""Convolution whose second derivative costs three passes more than its gradient, not dozens.

A convolution :math:`W * x` is linear in x and in W, so that all its derivatives are of three kinds:
the pass itself, the gradient to the input and the gradient to the weights. There is a fast kernel
for each. Within a second derivative, torch takes the third for a pass with kernels as large as the
image, which takes several times as long, and within ``vmap`` one pass for each example.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx, once_differentiable

_Geometry = tuple[list[int], list[int], list[int], bool, list[int], int]


def _convolution(
    func, ndim: int, input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1
) -> Tensor:  # torch's names, since they may be given by name
    plain = input.ndim == weight.ndim == ndim + 2 and input.dtype == weight.dtype
    if not plain or isinstance(padding, str):
        return func(input, weight, bias, stride, padding, dilation, groups)
    stride, padding, dilation = (_sizes(sizes, ndim) for sizes in (stride, padding, dilation))
    geometry = stride, padding, dilation, False, [0] * ndim, groups
    y = _Convolve.apply(input, weight, geometry)
    return y if bias is None else y + bias.view(-1, *[1] * ndim)


#: Torch's functions, and their forms with a fast second derivative by reverse mode. There is no
#: third; padding in words and inputs without a batch are left to torch.
CONVOLUTIONS = {
    func: partial(_convolution, func, ndim)
    for ndim, func in enumerate((torch.conv1d, torch.conv2d, torch.conv3d), start=1)
}


def _sizes(sizes: int | Sequence[int], ndim: int) -> list[int]:
    sizes = [sizes] if isinstance(sizes, int) else [*sizes]
    return sizes * ndim if len(sizes) == 1 else sizes


class _Convolve(Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, geometry: _Geometry) -> Tensor:
        return _convolve(x, weight, geometry)

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple, output: Tensor) -> None:
        x, weight, ctx.geometry = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        needed = ctx.needs_input_grad[:2]
        return (*_Gradients.apply(gradient, *ctx.saved_tensors, ctx.geometry, needed), None)

    @staticmethod
    def vmap(info, in_dims: tuple, x: Tensor, weight: Tensor, geometry: _Geometry):
        """Convolve each example by weights of its own: as groups of channels of one example."""
        count, (of_x, of_weight, _) = info.batch_size, in_dims
        x = _in_front(x, of_x, count).transpose(0, 1)  # [batch, count, channels, ...]
        weight = _in_front(weight, of_weight, count)
        *sizes, groups = geometry
        y = _Convolve.apply(x.flatten(1, 2), weight.flatten(0, 1), (*sizes, count * groups))
        return y.unflatten(1, (count, -1)), 1


class _Gradients(Function):
    @staticmethod
    def forward(ctx: FunctionCtx, gradient: Tensor, *saved: object) -> tuple[Tensor | None, ...]:
        x, weight, ctx.geometry, needed = saved
        ctx.save_for_backward(gradient, x, weight)
        ctx.set_materialize_grads(False)
        return _gradients(gradient, x, weight, ctx.geometry, *needed)

    # u and v are the gradients of this class's outputs; <W * u, g> + <v * x, g> is their sum.
    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, u: Tensor | None, v: Tensor | None) -> tuple:
        g, x, weight = ctx.saved_tensors
        of_gradient = of_x = of_weight = None
        if u is not None:
            of_gradient = _convolve(u, weight, ctx.geometry)
            if ctx.needs_input_grad[2]:
                _, of_weight = _gradients(g, u, weight, ctx.geometry, False, True)
        if v is not None:
            other = _convolve(x, v, ctx.geometry)
            of_gradient = other if of_gradient is None else of_gradient.add_(other)
            if ctx.needs_input_grad[1]:
                of_x, _ = _gradients(g, x, v, ctx.geometry, True, False)
        return of_gradient, of_x, of_weight, None, None


def _convolve(x: Tensor, weight: Tensor, geometry: _Geometry) -> Tensor:
    return torch.convolution(_laid_out(x, geometry), weight, None, *geometry)


def _gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, geometry: _Geometry, of_x: bool, of_weight: bool
) -> tuple[Tensor | None, Tensor | None]:
    gradient, x = _laid_out(gradient, geometry), _laid_out(x, geometry)
    mask = [of_x, of_weight, False]
    return torch.ops.aten.convolution_backward(gradient, x, weight, None, *geometry, mask)[:2]


def _laid_out(x: Tensor, geometry: _Geometry) -> Tensor:
    """Put channels last where the processor's kernels are twice as fast for it: without groups."""
    if x.ndim == 4 and x.is_cpu and geometry[-1] == 1:
        return x.contiguous(memory_format=torch.channels_last)
    return x


def _in_front(tensor: Tensor, dim: int | None, count: int) -> Tensor:
    return tensor.expand(count, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
