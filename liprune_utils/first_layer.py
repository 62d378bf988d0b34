r"""The weights of a first layer in as many columns as the batch has examples, not features.

A linear layer whose inputs are data, :math:`X` of shape ``[B, n]``, has its weights :math:`W` in
the loss through :math:`X W^\top` alone. So the Hessian vanishes on what is orthogonal to the
examples, and with :math:`X^\top = Q R`, Q of B orthonormal columns, that of :math:`A` in
:math:`W + A Q^\top` has the same eigenvalues but for zeros: vectors and products of B columns. A
perceptron on images has most of its weights in such a layer.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter, functional
from torch.overrides import _get_current_function_mode_stack

from liprune_utils.second_derivatives import OtherForms


class _Layer(NamedTuple):
    basis: Tensor  #: Q, [n, B]
    factor: Tensor  #: R', [B, B]
    weight: Tensor  #: A, zero, [num_outputs, B]


class Coordinates:
    """Trainable parameters, and the fewer coordinates in which their Hessian has all its norm.

    Args:
        parameters: The trainable parameters.
        reduced: Whether first layers may have fewer coordinates; otherwise all are parameters.
    """

    def __init__(self, parameters: Sequence[Tensor], reduced: bool = True) -> None:
        self.parameters, self._reduced, self._differentiated = parameters, reduced, False
        self._layers: dict[int, _Layer] = {}

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Let a model's first layers be those of these coordinates."""
        forms = {functional.linear: self._linear, torch.autograd.grad: self._grad}
        others = [m for m in _get_current_function_mode_stack() if not isinstance(m, OtherForms)]
        with OtherForms(forms if self._reduced and not others else {}):
            yield

    @property
    def variables(self) -> list[Tensor]:
        """What to differentiate to, for each parameter."""
        return [layer.weight if layer else p for p, layer in self._pairs()]

    def suffice(self, loss: Tensor) -> bool:
        """Whether a loss depends on the parameters through these coordinates alone."""
        replaced = [p for p, layer in self._pairs() if layer]
        if not replaced or not loss.requires_grad:
            return True
        if self._differentiated:  # within the model, maybe to weights that have been replaced
            return False
        gradients = torch.autograd.grad(loss, replaced, retain_graph=True, allow_unused=True)
        return all(gradient is None for gradient in gradients)

    def reduce(self, vector: Tensor) -> Tensor:
        """Project a vector, one number per parameter, to these coordinates."""
        parts = self._split(vector, self.parameters)
        return _flat([part @ layer.basis if layer else part for part, layer in parts])

    def expand(self, vector: Tensor) -> Tensor:
        """Return the vector, one number per parameter, that has these coordinates."""
        parts = self._split(vector, self.variables)
        return _flat([part @ layer.basis.T if layer else part for part, layer in parts])

    def _pairs(self) -> list[tuple[Tensor, _Layer | None]]:
        return [(p, self._layers.get(id(p))) for p in self.parameters]

    def _split(self, vector: Tensor, like: list[Tensor]) -> list[tuple[Tensor, _Layer | None]]:
        parts = vector.split([tensor.numel() for tensor in like])
        shaped = (part.view_as(tensor) for part, tensor in zip(parts, like, strict=True))
        return [(part, layer) for part, (_, layer) in zip(shaped, self._pairs(), strict=True)]

    def _linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        layer = self._layer(input, weight) if self._is_first(input, weight) else None
        if layer is None:
            return functional.linear(input, weight, bias)
        # A copy that needs a gradient, since torch multiplies in another order if none does.
        copy = weight.detach().requires_grad_()
        y = functional.linear(input, copy, bias)
        return torch.addmm(y.flatten(0, -2), layer.factor, layer.weight.T).view(y.shape)

    def _grad(self, *args: object, **named: object) -> tuple[Tensor | None, ...]:
        self._differentiated = True
        return torch.autograd.grad(*args, **named)

    def _is_first(self, input: Tensor, weight: Tensor) -> bool:
        """Whether weights of ours meet data for the first time, of fewer rows than theirs."""
        ours = any(weight is p for p in self.parameters) and id(weight) not in self._layers
        if not ours or not torch.is_grad_enabled() or input.requires_grad:
            return False
        plain = type(input) is Tensor and type(weight) is Parameter and weight.requires_grad
        if not plain or input.layout != torch.strided or input.dtype != weight.dtype:
            return False
        wrapped = torch._C._functorch.is_functorch_wrapped_tensor(input)  # by torch.func
        if wrapped or forward_ad.unpack_dual(input).tangent is not None or input.ndim < 2:
            return False
        return 0 < input.shape[:-1].numel() < min(weight.shape)

    @torch.no_grad()
    def _layer(self, input: Tensor, weight: Tensor) -> _Layer | None:
        """Make the coordinates of some weights; there are none if the inputs are not finite."""
        basis, triangle = torch.linalg.qr(input.flatten(0, -2).T)
        if not triangle.isfinite().all():
            return None
        small = weight.new_zeros(len(weight), len(triangle)).requires_grad_()
        self._layers[id(weight)] = layer = _Layer(basis, triangle.T.contiguous(), small)
        return layer


def _flat(tensors: Iterable[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])
