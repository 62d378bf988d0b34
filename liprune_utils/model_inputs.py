"""What a model takes: a tensor, or several in a tuple or by name, each with a row per example."""

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any

from torch import Tensor, nn

Inputs = Tensor | tuple[Tensor, ...] | dict[str, Tensor]


def run(model: nn.Module, inputs: Inputs) -> Any:
    """Return a model's outputs for copies of its inputs, which it may change.

    A tuple is passed as arguments and a dictionary by name, unless the model takes either as one.
    Where a model returns several values, as those of ``transformers`` do, its ``logits`` are meant.
    """
    copies = each(Tensor.clone, inputs)
    arguments = copies if isinstance(copies, tuple) else ()
    named = copies if isinstance(copies, dict) else {}
    apart = (arguments or named) and _takes(model, arguments, named)
    outputs = model(*arguments, **named) if apart else model(copies)
    if isinstance(outputs, Mapping) and "logits" in outputs:
        return outputs["logits"]
    return getattr(outputs, "logits", outputs)


def _takes(model: nn.Module, arguments: tuple, named: dict) -> bool:
    try:
        signature(model.forward).bind(*arguments, **named)
    except TypeError:
        return False
    return True


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
            return {f"inputs {number}": value for number, value in enumerate(inputs)}
        case dict():
            return {f"inputs {name!r}": value for name, value in inputs.items()}
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
