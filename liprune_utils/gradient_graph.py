"""A gradient on a GPU as one CUDA graph: recorded once, then started by one call for each batch."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

WARM_UP_PASSES = 3  # in which libraries choose their kernels and take their memory


class GradientGraph:
    """The kernels of a gradient, for batches of one shape.

    Args:
        differentiate: Adds to the gradients of a model's parameters; called with the inputs. It may
            change other tensors in place, and never waits for the GPU.
        inputs: A batch, tensors on the GPU. Later batches are copied to their place.
        model: The model, in the mode in which it is trained.
        changed: The other tensors that ``differentiate`` changes; recording leaves them alone.
    """

    def __init__(
        self,
        differentiate: Callable[..., None],
        inputs: Sequence[Tensor],
        model: nn.Module,
        changed: Sequence[Tensor],
    ) -> None:
        self._inputs, self._parameters = tuple(inputs), list(model.parameters())
        before = [tensor.clone() for tensor in changed]
        side, current = torch.cuda.Stream(), torch.cuda.current_stream()
        side.wait_stream(current)
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_PASSES):
                differentiate(*self._inputs)
        current.wait_stream(side)
        model.zero_grad()  # so that the graph writes gradients and does not add to them
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            differentiate(*self._inputs)
        self._gradients = [parameter.grad for parameter in self._parameters]
        for tensor, value in zip(changed, before, strict=True):
            tensor.copy_(value)

    def fits(self, *inputs: Tensor) -> bool:
        """Tell whether a batch has the shapes of the recorded one."""
        return [x.shape for x in inputs] == [x.shape for x in self._inputs]

    def replay(self, *inputs: Tensor) -> None:
        """Put a batch's gradients in place of the parameters' own."""
        for place, value in zip(self._inputs, inputs, strict=True):
            place.copy_(value)
        self._graph.replay()
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
