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

from liprune_utils.checks import require
from liprune_utils.curvature import hessian_norm, hessian_product, loss_gradient
from liprune_utils.losses import Loss
from liprune_utils.scoring import scoring_mode


def tightness(
    model: nn.Module,
    loss_fn: Loss,
    inputs: Tensor,
    targets: Tensor,
    distances: Iterable[float],
    *,
    generator: torch.Generator,
    num_random: int,
) -> pd.DataFrame:
    """Compare secants with the Hessian norm along the top eigenvector, the gradient, at random."""
    top = hessian_norm(model, loss_fn, inputs, targets, tolerance=1e-4, max_products=200)
    gradient = loss_gradient(model, loss_fn, inputs, targets)
    directions = {"eigenvector": top.eigenvector, "gradient": gradient}
    for number in range(1, num_random + 1):
        draw = torch.randn(len(gradient), generator=generator, dtype=gradient.dtype)
        directions[f"random {number}"] = draw
    directions = {name: vector.detach() / vector.norm() for name, vector in directions.items()}
    table = _secants(model, loss_fn, inputs, targets, directions, distances)
    return table.assign(norm=top.norm, ratio=table.secant / top.norm)


def _secants(
    model: nn.Module,
    loss_fn: Loss,
    inputs: Tensor,
    targets: Tensor,
    directions: Mapping[str, Tensor],
    distances: Iterable[float],
) -> pd.DataFrame:
    """Compare the change of the gradient over a distance with the Hessian at its start."""
    # Of f at w, along v: |grad f(w + eps v) - grad f(w)| / eps, and |Hess f(w) v|.
    dtype = next(model.parameters()).dtype
    require(dtype == torch.float64, "The parameters' precision", dtype, "torch.float64")
    data, moved = (loss_fn, inputs, targets), copy.deepcopy(model)
    own, others = ([p for p in m.parameters() if p.requires_grad] for m in (model, moved))
    weights = torch.cat([p.detach().reshape(-1) for p in own])  # in any memory layout
    gradient = loss_gradient(model, *data, differentiable=True)
    signs, rows = _activation_signs(model, inputs), []
    for name, direction in tqdm(directions.items(), "Secants", disable=None):
        tangent = hessian_product(model, gradient, direction).norm().item()
        for distance in distances:
            vector_to_parameters(weights + distance * direction, others)
            change = loss_gradient(moved, *data) - gradient.detach()
            switched = (_activation_signs(moved, inputs) != signs).sum().item()
            rows.append((name, distance, change.norm().item() / distance, tangent, switched))
    columns = ["direction", "distance", "secant", "tangent", "num_switched"]
    return pd.DataFrame(rows, columns=columns)


def _activation_signs(model: nn.Module, inputs: Tensor) -> Tensor:
    """Find which units are on, over all examples, in train mode."""
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with scoring_mode(model, "train"), torch.no_grad(), _recorded_signs(model) as signs:
        functional_call(model, buffers, (inputs,))
    return torch.cat(signs) if signs else torch.empty(0, dtype=torch.bool)


@contextmanager
def _recorded_signs(model: nn.Module) -> Iterator[list[Tensor]]:
    """Let the model's activations record the signs of their inputs."""
    signs, own = [], [(m, m.activation) for m in model.modules() if hasattr(m, "activation")]

    def record(activation: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        signs.append((x > 0).flatten())
        return activation(x)

    try:
        for module, activation in own:
            module.activation = partial(record, activation)
        yield signs
    finally:
        for module, activation in own:
            module.activation = activation
