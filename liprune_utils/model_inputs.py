"""What a model takes: a tensor, or several in a tuple or by name, each with a row per example."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

Inputs = Tensor | tuple[Tensor, ...] | dict[str, Tensor]


def run(model: nn.Module, inputs: Inputs) -> Any:
    """Return a model's outputs for copies of its inputs, which it may change.

    A tuple is passed as arguments, a dictionary by name. Where a model returns several values, as
    those of ``transformers`` do, the outputs are its ``logits``.
    """
    inputs = each(Tensor.clone, inputs)
    match inputs:
        case tuple():
            outputs = model(*inputs)
        case dict():
            outputs = model(**inputs)
        case _:
            outputs = model(inputs)
    if isinstance(outputs, Mapping) and "logits" in outputs:
        return outputs["logits"]
    return getattr(outputs, "logits", outputs)


def each(function: Callable[[Tensor], Tensor], inputs: Inputs) -> Inputs:
    """Apply a function to each tensor."""
    match inputs:
        case tuple():
            return tuple(map(function, inputs))
        case dict():
            return {name: function(value) for name, value in inputs.items()}
        case _:
            return function(inputs)


def tensors(inputs: Inputs) -> dict[str, Tensor]:
    """Return each tensor with what a message calls it."""
    match inputs:
        case tuple():
            return {f"inputs[{number}]": value for number, value in enumerate(inputs)}
        case dict():
            return {f"inputs[{name!r}]": value for name, value in inputs.items()}
        case _:
            return {"inputs": inputs}


def num_examples(inputs: Inputs) -> int:
    """Count the examples."""
    return len(next(iter(tensors(inputs).values())))


def rows(inputs: Inputs, chosen: slice | Sequence[int] | Tensor) -> Inputs:
    """Return the inputs of some examples."""
    return each(lambda values: values[chosen], inputs)


def as_batch(example: Inputs) -> Inputs:
    """Return one example's inputs as those of a batch of one."""
    return each(lambda value: value[None], example)
