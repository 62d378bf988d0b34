"""How a model is run for a score: refused if it has none, and left as it was."""

import pickle
import random
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from liprune_utils.batch_norm import BatchNorm
from liprune_utils.checks import InputError, require
from liprune_utils.model_inputs import Inputs, num_examples, rows, run, tensors
from liprune_utils.second_derivatives import SAME, differentiable_twice

Mode = Literal["train", "eval"]


class Place(NamedTuple):
    """Where a module holds a tensor: an attribute, or an entry of a table or a list."""

    table: dict | list
    key: str | int
    tensor: Tensor


class _Source(NamedTuple):
    """A generator of random numbers that a pass may draw from."""

    get: Callable[[], object]
    put: Callable[[object], object]


@contextmanager
def scoring_mode(model: nn.Module, batch_norm: Mode) -> Iterator[None]:
    """Put batch norms in a mode and all else in eval; restore modes and generators afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    states = [(source, source.get()) for source in _sources(model)]
    with warnings.catch_warnings():
        deprecated = r"`torch\.jit\.script` is deprecated"  # by torch, which calls it in jvp
        warnings.filterwarnings("ignore", deprecated, FutureWarning)
        try:
            for module, _ in modes:
                module.training = batch_norm == "train" and isinstance(module, BatchNorm)
            yield
        finally:
            for module, training in modes:
                module.training = training
            for source, state in states:
                source.put(state)


@contextmanager
def untouched(model: nn.Module, batch_norm: Mode) -> Iterator[None]:
    """Run a model in `scoring_mode`, differentiable twice, and undo all that this does to it.

    Its buffers, and other tensors that its modules hold, are copies meanwhile. Afterwards every
    attribute of a module is the object that it was, with the same entries.

    Yields:
        Nothing.
    """
    with ExitStack() as stack:
        stack.enter_context(_same_parameters(model))
        stack.enter_context(_same_attributes(model))
        stack.enter_context(without_hooks(model))
        stack.enter_context(scoring_mode(model, batch_norm))
        stack.enter_context(copied_buffers(model))
        stack.enter_context(differentiable_twice())
        # Broadcasting is the loss of all pairs.
        warnings.filterwarnings("error", "Using a target size", UserWarning)
        warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)  # of vmap
        yield


@contextmanager
def swapped(places: Iterable[Place], tensors: Mapping[int, Tensor]) -> Iterator[None]:
    """Put tensors in the places of others, given by the others' ``id``, for the time of a block.

    A tensor in two places, such as a tied weight or one of a shared module, is swapped in both.
    """
    try:
        for place in places:
            place.table[place.key] = tensors[id(place.tensor)]
        yield
    finally:
        for place in places:
            place.table[place.key] = place.tensor


def copied_buffers(model: nn.Module, unless_at: int = -1) -> AbstractContextManager[None]:
    """Put copies in the places of buffers, and of other tensors that are no parameters."""
    # Those at version 0 are copies that no pass has changed.
    others = [
        place
        for place in held_tensors(model)
        if not isinstance(place.tensor, nn.Parameter) and place.tensor._version != unless_at
    ]
    return swapped(others, {id(place.tensor): place.tensor.clone() for place in others})


def held_tensors(model: nn.Module) -> list[Place]:
    """List the places where modules hold tensors: parameters, buffers, and any in an attribute."""
    tables = [t for module in model.modules() for t in (vars(module), *_containers(module))]
    return [
        Place(table, key, value)
        for table in tables
        if not isinstance(table, set)
        for key, value in (enumerate(table) if isinstance(table, list) else table.items())
        if isinstance(value, Tensor)
    ]


def trainable_places(model: nn.Module) -> list[Place]:
    """List the places of the trainable parameters, for `swapped`."""
    trainable = {id(p) for p in model.parameters() if p.requires_grad}
    return [place for place in held_tensors(model) if id(place.tensor) in trainable]


def fingerprint(model: nn.Module) -> tuple:
    """Record what a pass may depend on that another pass changes: generators, attributes."""
    attributes = [id(value) for module in model.modules() for value in vars(module).values()]
    versions = [place.tensor._version for place in held_tensors(model)]
    return attributes, versions, [_frozen(source.get()) for source in _sources(model)]


def require_equal_passes(first: Tensor, second: Tensor, name: str) -> None:
    """Refuse a model or a loss that gives something else the second time."""
    # A GPU adds in any order.
    rounding = torch.finfo(first.dtype).eps ** 0.5 if first.is_cuda else 0.0
    if not _close(first, second, rounding):
        raise InputError(f"Two passes over the same inputs give different {name}; expected {SAME}.")


def check_model(model: nn.Module) -> None:
    """Refuse a model of which no score can be computed, whatever the data."""
    require(isinstance(model, nn.Module), "The model", type(model).__name__, "a torch.nn.Module")
    parameters = list(model.parameters())
    lazy = any(nn.parameter.is_lazy(p) for p in parameters)
    require(not lazy, "The model", "one with lazy parameters", "one that has seen a batch")
    trainable = sum(p.requires_grad for p in parameters)
    require(trainable > 0, "The number of trainable parameters", 0, "at least 1")
    check_precision("The parameters' precision", {str(p.dtype) for p in parameters})
    devices = ", ".join(sorted({str(p.device) for p in parameters}))
    require("," not in devices, "The parameters' devices", devices, "one")
    device = parameters[0].device.type
    require(device != "meta", "The parameters' device", device, "one that holds values")
    require(not torch.is_autocast_enabled(device), "Autocast", True, "full precision, so False")
    for module in model.modules():
        _check_module(module)


def check_rows(inputs: Inputs) -> int:
    """Count examples; refuse inputs that are not tensors with a row for each."""
    named = tensors(inputs)
    require(len(named) > 0, "The inputs", inputs, "at least one torch.Tensor")
    counts = [_num_rows(value, name) for name, value in named.items()]
    for name, count in zip(named, counts, strict=True):
        require(count == counts[0], f"The number of examples in {name}", count, f"{counts[0]}")
    return counts[0]


def check_inputs(model: nn.Module, inputs: Inputs) -> None:
    """Refuse inputs that are not tensors of the model's device and precision."""
    check_rows(inputs)
    for name, value in tensors(inputs).items():
        check_tensor(model, value, name)


def check_tensor(model: nn.Module, value: object, name: str) -> None:
    """Refuse what is not one tensor of the model's device and precision, a row per example."""
    _num_rows(value, name)
    own = next(model.parameters())
    require(value.device == own.device, f"The {name}' device", str(value.device),
            f"{str(own.device)!r}, the model's")  # fmt: skip
    fits = value.dtype == own.dtype or not value.is_floating_point()
    require(fits, f"The {name}' precision", value.dtype, f"{own.dtype}, as the parameters'")


def _num_rows(value: object, name: str) -> int:
    require_tensor(value, name)
    require(value.ndim > 0, f"The {name}' shape", [], "[n, ...]")
    return len(value)


def check_outputs(outputs: Tensor, count: int) -> Tensor:
    """Return outputs; refuse those that are not one tensor with a row for each example."""
    require_tensor(outputs, "model's output")
    check_precision("The outputs' precision", {str(outputs.dtype)})
    fits = outputs.ndim > 0 and len(outputs) == count
    require(fits, "The outputs' shape", list(outputs.shape), f"[{count}, ...], a row per example")
    return outputs


def require_tensor(value: object, name: str) -> None:
    """Refuse a tuple, a dictionary and all else that is not a tensor."""
    kind = type(value).__name__
    require(isinstance(value, Tensor), f"The {name}", kind, "one torch.Tensor")


def check_examples(model: nn.Module, inputs: Inputs) -> Tensor:
    """Return outputs; refuse random ones, and those that depend on the examples beside them."""
    for module in model.modules():
        fits = not isinstance(module, BatchNorm) or module.running_mean is not None
        require(fits, "A batch norm's running_mean", None, "statistics, for scores of one example")
    with torch.no_grad():
        outputs, again, alone = (run(model, x) for x in (inputs, inputs, rows(inputs, [0])))
    check_outputs(outputs, num_examples(inputs))
    require_equal_passes(outputs, again, "outputs")
    if not _close(outputs[:1], alone, torch.finfo(alone.dtype).eps ** 0.5):
        what = "An example's outputs depend on the examples beside it"
        raise InputError(f"{what}; expected the same alone, since its score is its own.")
    return outputs


def check_precision(name: str, dtypes: set[str]) -> None:
    """Refuse all but float32 alone and float64 alone."""
    precision = ", ".join(sorted(dtypes))
    known = precision in ("torch.float32", "torch.float64")
    require(known, name, precision, "torch.float32 or torch.float64 alone")


def _check_module(module: nn.Module) -> None:
    compiled = isinstance(module, torch.jit.ScriptModule) or hasattr(module, "_orig_mod")
    require(not compiled, "The model", "compiled", "the module before torch.compile or torch.jit")
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        name = type(module).__name__
        expected = "None, since its forward pass would change the weights"
        require(module.max_norm is None, f"{name}.max_norm", module.max_norm, expected)
        for option in ("sparse", "scale_grad_by_freq"):  # these have gradients of another kind
            require(not getattr(module, option), f"{name}.{option}", True, "False")


def _containers(module: nn.Module) -> list[dict | list | set]:
    return [value for value in vars(module).values() if isinstance(value, dict | list | set)]


@contextmanager
def _same_attributes(model: nn.Module) -> Iterator[None]:
    """Give each module the attributes and entries afterwards that it had before."""
    attributes = [(module, vars(module).copy()) for module in model.modules()]
    entries = [(c, c.copy()) for module in model.modules() for c in _containers(module)]
    try:
        yield
    finally:
        for module, values in attributes:
            _refill(vars(module), values)
        for container, values in entries:
            _refill(container, values)


def _refill(container: dict | list | set, values: dict | list | set) -> None:
    container.clear()
    (container.extend if isinstance(container, list) else container.update)(values)


@contextmanager
def _same_parameters(model: nn.Module) -> Iterator[None]:
    """Refuse passes that change parameters, which are then as before."""
    parameters = [(p, p.detach().clone()) for p in model.parameters()]
    try:
        yield
    finally:
        changed = [(p, before) for p, before in parameters if not _close(p.detach(), before, 0.0)]
        for p, before in changed:
            p.data.copy_(before)
        # Within "finally", since it may be the cause of another error.
        name = "The number of parameters that a forward pass changes"
        require(not changed, name, len(changed), "0")


@contextmanager
def without_hooks(model: nn.Module) -> Iterator[None]:
    """Silence the hooks of parameters, which change gradients, for the time of a block."""
    tables = [p._backward_hooks for p in model.parameters() if p._backward_hooks]
    hooks = [(table, table.copy()) for table in tables]
    try:
        for table in tables:
            table.clear()
        yield
    finally:
        for table, values in hooks:
            _refill(table, values)


def _sources(model: nn.Module) -> list[_Source]:
    # The global generators, since a model may draw from them.
    sources = [
        _Source(torch.get_rng_state, torch.set_rng_state),
        _Source(np.random.get_state, np.random.set_state),
        _Source(random.getstate, random.setstate),
    ]
    for device in {p.device for p in model.parameters() if p.is_cuda}:
        get, put = torch.cuda.get_rng_state, torch.cuda.set_rng_state
        sources.append(_Source(partial(get, device), partial(put, device=device)))
    for module in model.modules():
        sources += [s for value in vars(module).values() for s in _sources_of(value)]
    return sources


def _sources_of(value: object) -> list[_Source]:
    """Return the generator that an attribute is, if it is one."""
    match value:
        case torch.Generator():
            return [_Source(value.get_state, value.set_state)]
        case np.random.Generator():
            bits = value.bit_generator
            return [_Source(lambda: bits.state, partial(setattr, bits, "state"))]
        case np.random.RandomState():
            return [_Source(value.get_state, value.set_state)]
        case random.Random():
            return [_Source(value.getstate, value.setstate)]
    return []


def _frozen(state: object) -> bytes:
    return state.numpy().tobytes() if isinstance(state, Tensor) else pickle.dumps(state)


def _close(first: Tensor, second: Tensor, rounding: float) -> bool:
    """Whether two tensors are the same up to a fraction of their largest entry."""
    if first.shape != second.shape:
        return False
    if torch.equal(first, second):
        return True
    atol = rounding * float(first.abs().nan_to_num(0, 0, 0).amax()) if first.numel() else 0.0
    return torch.allclose(first, second, rtol=0.0, atol=atol, equal_nan=True)
