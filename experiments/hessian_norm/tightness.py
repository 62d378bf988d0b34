r"""Whether the Hessian norm at a point is the Lipschitz constant near it (paper, Section 3).

The paper: "locally, we have that :math:`|\nabla f_i(w') - \nabla f_i(w)| \leq \|\nabla^2 f_i(w)\|
\, \|w' - w\|`, and the constant is tight". Where f is smooth, both hold in the limit
:math:`w' \to w`. A ReLU network's gradient also jumps where a unit switches on or off; its Hessian
at a point sees none of the jumps.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import vector_to_parameters
from tqdm import tqdm

from liprune_utils.checks import InputError
from liprune_utils.curvature import (
    Loss,
    Mode,
    hessian_norm,
    hessian_product,
    loss_gradient,
    undisturbed,
)


def directions_to_probe(
    eigenvector: Tensor, gradient: Tensor, generator: torch.Generator, num_random: int
) -> dict[str, Tensor]:
    """Collect the unit directions in which gradients are compared.

    Args:
        eigenvector: Of the dominant eigenvalue, shape ``[num_parameters]``.
        gradient: Of the loss, same shape.
        generator: Source of the random directions, uniform on the sphere.
        num_random: How many of them.

    Returns:
        Unit vectors by name: "eigenvector", "gradient", "random 1" and so on.
    """
    found = {"eigenvector": eigenvector, "gradient": gradient}
    for number in range(1, num_random + 1):
        found[f"random {number}"] = torch.randn(
            len(gradient), generator=generator, dtype=gradient.dtype
        )
    return {name: vector.detach() / vector.norm() for name, vector in found.items()}


def secants(
    model: nn.Module,
    loss_fn: Loss,
    inputs: Tensor,
    targets: Tensor,
    directions: Mapping[str, Tensor],
    distances: Iterable[float],
    *,
    batch_norm: Mode = "train",
) -> pd.DataFrame:
    r"""Compare the change of the gradient over a distance with the Hessian at its start.

    .. math:: \frac{\|\nabla f(w + \epsilon v) - \nabla f(w)\|}{\epsilon}
              \quad\text{and}\quad \|\nabla^2 f(w)\, v\|

    Args:
        model: A float64 network, left as it was.
        loss_fn: Mean loss, (outputs, targets) -> scalar.
        inputs: The batch, shape ``[B, ...]``.
        targets: Its targets, shape ``[B, ...]``.
        directions: Unit vectors :math:`v` by name, shape ``[num_parameters]``.
        distances: The :math:`\epsilon`, > 0.
        batch_norm: As in `liprune_utils.curvature.hessian_norm`.

    Returns:
        One row a direction and distance: ``direction``, ``distance``, ``secant`` and ``tangent``,
        the two quantities above in this order, and ``num_switched`` of `activation_signs`.

    Raises:
        InputError: If the model is not float64, where rounding would drown small distances.
    """
    dtype = next(model.parameters()).dtype
    if dtype != torch.float64:
        raise InputError(f"The parameters' precision is {dtype}; expected torch.float64.")
    data = loss_fn, inputs, targets
    moved = copy.deepcopy(model)
    own, others = ([p for p in m.parameters() if p.requires_grad] for m in (model, moved))
    weights = torch.cat([p.detach().reshape(-1) for p in own])  # in any memory layout
    gradient = loss_gradient(model, *data, batch_norm=batch_norm, differentiable=True)
    signs, rows = activation_signs(model, inputs, batch_norm), []
    for name, direction in tqdm(directions.items(), "Secants", disable=None):
        tangent = hessian_product(model, gradient, direction).norm().item()
        for distance in distances:
            vector_to_parameters(weights + distance * direction, others)
            change = loss_gradient(moved, *data, batch_norm=batch_norm) - gradient.detach()
            switched = (activation_signs(moved, inputs, batch_norm) != signs).sum().item()
            rows.append((name, distance, change.norm().item() / distance, tangent, switched))
    columns = ["direction", "distance", "secant", "tangent", "num_switched"]
    return pd.DataFrame(rows, columns=columns)


def activation_signs(model: nn.Module, inputs: Tensor, batch_norm: Mode = "train") -> Tensor:
    """Tell which units are on, over all examples: where a ReLU network is linear and where not.

    Args:
        model: A network whose modules hold their activations as `liprune_utils.models.ResNet` does,
            left as it was.
        inputs: The batch, shape ``[B, ...]``.
        batch_norm: As in `secants`.

    Returns:
        For each activation's input whether it is positive, bool, in one dimension.
    """
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with undisturbed(model, batch_norm), torch.no_grad(), _recorded_signs(model) as signs:
        functional_call(model, buffers, (inputs,))
    return torch.cat(signs) if signs else torch.empty(0, dtype=torch.bool)


# Let the activations note the signs of what they are given.
@contextmanager
def _recorded_signs(model: nn.Module) -> Iterator[list[Tensor]]:
    signs, own = [], [(m, m.activation) for m in model.modules() if hasattr(m, "activation")]

    def noting(activation: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        signs.append((x > 0).flatten())
        return activation(x)

    try:
        for module, activation in own:
            module.activation = partial(noting, activation)
        yield signs
    finally:
        for module, activation in own:
            module.activation = activation


def tightness(
    model: nn.Module,
    loss_fn: Loss,
    inputs: Tensor,
    targets: Tensor,
    distances: Iterable[float],
    *,
    generator: torch.Generator,
    num_random: int = 3,
) -> pd.DataFrame:
    r"""Compare secants with the Hessian norm along the top eigenvector, the gradient, at random.

    Args:
        model: As in `secants`; batch norm in train mode.
        loss_fn: As in `secants`.
        inputs: As in `secants`.
        targets: As in `secants`.
        distances: As in `secants`.
        generator: Source of the random directions.
        num_random: How many.

    Returns:
        The table of `secants` with ``norm``, the Hessian norm :math:`\|\nabla^2 f(w)\|`, and
        ``ratio``, the secant in units of it. The paper's inequality says that no ratio exceeds 1.
    """
    top = hessian_norm(model, loss_fn, inputs, targets, tolerance=1e-4, max_products=200)
    gradient = loss_gradient(model, loss_fn, inputs, targets)
    directions = directions_to_probe(top.eigenvector, gradient, generator, num_random)
    table = secants(model, loss_fn, inputs, targets, directions, distances)
    return table.assign(norm=top.norm, ratio=table.secant / top.norm)
