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
from torch.nn import functional

from liprune_utils.second_derivatives import OtherForms, differentiate


class _Layer(NamedTuple):
    inputs: Tensor  #: [B, n]
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
        self.parameters, self._reduced = parameters, reduced
        self._layers: dict[int, _Layer] = {}

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Let a model's linear layers, when first called, be those of these coordinates."""
        with OtherForms({functional.linear: self._linear} if self._reduced else {}):
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
        gradients = differentiate(loss, replaced, torch.ones_like(loss), retain_graph=True)
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
        y = functional.linear(input, weight.detach(), bias)
        return torch.addmm(y.flatten(0, -2), layer.factor, layer.weight.T).view(y.shape)

    def _is_first(self, input: Tensor, weight: Tensor) -> bool:
        """Whether weights of ours meet data, of fewer examples than the weights have columns."""
        ours = any(weight is p for p in self.parameters) and input.dtype == weight.dtype
        if not ours or input.ndim < 2 or not torch.is_grad_enabled() or input.requires_grad:
            return False
        wrapped = torch._C._functorch.is_functorch_wrapped_tensor(input)  # by torch.func
        if wrapped or forward_ad.unpack_dual(input).tangent is not None:
            return False
        return 0 < input.numel() // input.shape[-1] < min(weight.shape)

    @torch.no_grad()
    def _layer(self, input: Tensor, weight: Tensor) -> _Layer | None:
        """Return the coordinates of some weights, unless they have met other inputs before."""
        inputs, known = input.flatten(0, -2), self._layers.get(id(weight))
        if known:  # as within a checkpoint, which runs again
            return known if torch.equal(inputs, known.inputs) else None
        basis, triangle = torch.linalg.qr(inputs.T)
        if not triangle.isfinite().all():
            return None
        small = weight.new_zeros(len(weight), len(inputs)).requires_grad_()
        layer = _Layer(inputs.clone(), basis, triangle.T.contiguous(), small)
        return self._layers.setdefault(id(weight), layer)


def _flat(tensors: Iterable[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])
