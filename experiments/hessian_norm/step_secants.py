r"""How fast the gradient of a batch changes over the length of a step of SGD (paper, Section 3).

For a batch i, a unit vector u and a length s the secant is

.. math:: \| \nabla f_i(w + s u) - \nabla f_i(w) \| / s ,

which the paper's inequality bounds by :math:`\|\nabla^2 f_i(w)\|`. Batches are scored as LiPrune
scores them: batch norm in train mode, no augmentation.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from liprune_utils.curvature import hessian_product, loss_gradient
from liprune_utils.images import Images, fixed_batches
from liprune_utils.lanczos import DominantEigenvalue, lanczos
from liprune_utils.settings import TrainingRun
from liprune_utils.training import State, start, steps, train_until

TOLERANCE, FIRST_TOLERANCE, MAX_PRODUCTS = 1e-2, 1e-3, 50  # the first batch's warms the others


class Moves(NamedTuple):
    """The steps of one epoch."""

    first: Tensor  # w_{t+1} - w_t of the first step, [num_parameters]
    length: float  # median of |w_{t+1} - w_t|


def follow(run: TrainingRun, images: Images, epochs: Sequence[int]) -> pd.DataFrame:
    """Train one network, and measure it at the start of some epochs."""
    batches = fixed_batches(len(images.labels), run.batch_size, run.seed)
    state, tables = start(run, images), []
    for epoch in epochs:
        train_until(state, images, batches, run, epoch - 1)
        model = copy.deepcopy(state.model)
        moves = epoch_moves(state, images, batches, run)
        rows = list(secants(model, images, batches, moves))
        tables.append(pd.DataFrame(rows).assign(epoch=epoch, length=moves.length))
    return pd.concat(tables, ignore_index=True)


def epoch_moves(
    state: State, images: Images, batches: Sequence[np.ndarray], run: TrainingRun
) -> Moves:
    """Train through the epoch under way, and measure how far each step moves the weights."""
    weights, moves = _weights(state.model), []
    for _ in steps(state, images, batches, run, state.epoch):
        if state.step:  # the end of the epoch moves nothing
            before, weights = weights, _weights(state.model)
            moves.append(weights - before)
    return Moves(moves[0], float(np.median([move.norm().item() for move in moves])))


def secants(
    model: nn.Module, images: Images, batches: Sequence[np.ndarray], moves: Moves
) -> Iterator[dict[str, float]]:
    """Yield each batch's Hessian norm and secants, each search warmed by the batch before."""
    moved, guess = copy.deepcopy(model), None
    for number, batch in enumerate(batches):
        pair = images.inputs[batch], images.labels[batch]
        gradient = loss_gradient(model, functional.cross_entropy, *pair, differentiable=True)
        top = _top(model, gradient, guess)
        guess, u = top.guess, downhill(top.eigenvector, gradient)
        directions = {"down": u, "up": -u, "step": moves.first / moves.first.norm()}
        row = {"batch": number, "eigenvalue": top.eigenvalue, "error": top.error}
        for name, direction in directions.items():
            _move(moved, _weights(model) + moves.length * direction)
            change = loss_gradient(moved, functional.cross_entropy, *pair) - gradient.detach()
            row[f"secant_{name}"] = change.norm().item() / moves.length
        yield row | {"num_products": top.num_products}


def downhill(eigenvector: Tensor, gradient: Tensor) -> Tensor:
    """Orient an eigenvector, whose sign is arbitrary, so that the batch's loss falls along it."""
    u = eigenvector.to(gradient)
    return -u if u @ gradient.detach() > 0 else u


def _top(model: nn.Module, gradient: Tensor, guess: Tensor | None) -> DominantEigenvalue:
    def product(vector: Tensor) -> Tensor:
        return hessian_product(model, gradient, vector).double()

    if guess is None:
        draw = torch.Generator().manual_seed(0)
        guess = torch.randn(gradient.numel(), generator=draw, dtype=torch.float64)
        return lanczos(product, guess, FIRST_TOLERANCE, MAX_PRODUCTS)
    return lanczos(product, guess, TOLERANCE, MAX_PRODUCTS, rough=True)


def _weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


@torch.no_grad()
def _move(model: nn.Module, weights: Tensor) -> None:
    parameters = list(model.parameters())
    parts = weights.split([p.numel() for p in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.copy_(part.view_as(parameter))
