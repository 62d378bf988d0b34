"""Training a ResNet on fixed batches by SGD, step by step, so that it can be left at any of them.

Every choice is a field of `Recipe`; every stream of randomness depends on the seed, its purpose and
the epoch alone. A `State` and its recipe therefore determine all that follows, bit for bit on CPUs.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from liprune_utils.batch_norm import BatchNorm
from liprune_utils.checks import require
from liprune_utils.curvature import check_arguments
from liprune_utils.gradient_graph import GradientGraph
from liprune_utils.images import PADDING, Images, draw_shifts, generator, shifted
from liprune_utils.models import Activation, resnet
from liprune_utils.scoring import scoring_mode
from liprune_utils.settings import Recipe

EVALUATION_BATCH = 500


@dataclass
class State:
    """A network in training: all that the next step depends on, and the record of the epochs."""

    model: nn.Module
    optimizer: torch.optim.SGD
    correct: Tensor  #: whether each image was right when last visited in this epoch, bool, [n]
    loss_sum: Tensor  #: summed over the images of this epoch, scalar on the device
    step: int = 0  #: batches of this epoch that are done
    test_errors: list[float] = field(default_factory=list)  #: of finished epochs, in per cent
    train_losses: list[float] = field(default_factory=list)  #: mean in each, augmented, train mode
    history: list[Tensor] = field(default_factory=list)  #: correct at the end of each, packed bits

    @property
    def epoch(self) -> int:
        """The epoch under way, from 1."""
        return len(self.test_errors) + 1

    def to_dict(self) -> dict[str, object]:
        """Return everything by name, as ``torch.save`` keeps it and ``weights_only`` reads it."""
        held = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        return held | {name: value for name, value in vars(self).items() if name not in held}

    def load_dict(self, saved: dict[str, object]) -> None:
        """Become a state that was saved, from `State.to_dict`."""
        for name, value in saved.items():
            if name in ("model", "optimizer"):
                getattr(self, name).load_state_dict(value)
            elif isinstance(value, Tensor):
                getattr(self, name).copy_(value)
            else:
                setattr(self, name, value)

    def correct_history(self) -> np.ndarray:
        """Unpack which images were right at each epoch's end, bool, ``[num_epochs, n]``."""
        rows = [row.numpy() for row in self.history]
        return np.unpackbits(np.stack(rows), axis=1, count=len(self.correct)).astype(bool)


def initial_network(recipe: Recipe, activation: Activation = functional.relu) -> nn.Module:
    """Draw a network's first weights, in train mode, on the CPU: the same for all devices."""
    draw = int(generator(recipe.seed, "init").integers(2**62))
    return resnet(recipe.depth, torch.Generator().manual_seed(draw), activation=activation)


def start(recipe: Recipe, images: Images, activation: Activation = functional.relu) -> State:
    """Initialise a network and its optimiser, on the device of the images, before epoch 1."""
    model = initial_network(recipe, activation)
    model.to(images.inputs.device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
    )
    correct = torch.zeros(len(images.labels), dtype=torch.bool, device=images.labels.device)
    return State(model, optimizer, correct, images.inputs.new_zeros(()))


def plan_epoch(
    batches: Sequence[np.ndarray], recipe: Recipe, epoch: int, device: torch.device
) -> list[tuple[Tensor, Tensor]]:
    """Draw an epoch's order and augmentation, and bring them to the device at once.

    Returns:
        For each step the indices of its images, shape ``[B]``, and their shifts, ``[B, 3]``.
    """
    chosen = [batches[k] for k in generator(recipe.seed, "order", epoch).permutation(len(batches))]
    sizes = [len(batch) for batch in chosen]
    draw = generator(recipe.seed, "augmentation", epoch)
    shifts = np.concatenate([draw_shifts(size, draw) for size in sizes])
    if not recipe.augment:
        shifts[:] = PADDING, PADDING, 0
    pair = (torch.from_numpy(array).to(device) for array in (np.concatenate(chosen), shifts))
    return list(zip(*(tensor.split(sizes) for tensor in pair), strict=True))


def steps(
    state: State, images: Images, batches: Sequence[np.ndarray], recipe: Recipe, last_epoch: int
) -> Iterator[State]:
    """Train in place, step by step, from where the state is to the end of ``last_epoch``.

    Yields:
        The same state after each step, and once more after each epoch (``step`` is then 0). A copy
        of it, saved there and restored, goes on exactly.
    """
    graph = None
    while state.epoch <= last_epoch:
        plan = plan_epoch(batches, recipe, state.epoch, images.inputs.device)
        for group in state.optimizer.param_groups:
            group["lr"] = recipe.rate(state.epoch)
        state.model.train()
        if images.inputs.is_cuda and graph is None:
            graph = record_gradient(state, images, recipe)
        for indices, shifts in plan[state.step :]:
            take_step(state, images, indices, shifts, recipe.precision, graph)
            yield state
        _finish_epoch(state, images, sum(map(len, batches)), recipe.precision)
        yield state


def take_step(
    state: State,
    images: Images,
    indices: Tensor,
    shifts: Tensor,
    precision: str = "float32",
    graph: GradientGraph | None = None,
) -> None:
    """Take one step of SGD in place; on a GPU the host does not wait for it.

    The batch is given by its images' indices, shape ``[B]``, and their shifts from `draw_shifts`,
    shape ``[B, 3]``; the network is in train mode. A graph from `record_gradient` replaces the
    calls of batches of its size.
    """
    if graph and graph.fits(indices, shifts):
        graph.replay(indices, shifts)
    else:
        state.optimizer.zero_grad()
        _differentiate(state, images, precision, indices, shifts)
    state.optimizer.step()
    state.step += 1


def record_gradient(state: State, images: Images, recipe: Recipe) -> GradientGraph:
    """Record on a GPU what `take_step` computes before it changes the weights, for whole batches.

    Returns:
        The graph: some hundred short kernels, which a host starts one by one more slowly than a GPU
        does them.
    """
    device = images.inputs.device
    indices = torch.arange(recipe.batch_size, device=device) % len(images.labels)
    shifts = torch.zeros(recipe.batch_size, 3, dtype=torch.int64, device=device)
    differentiate = partial(_differentiate, state, images, recipe.precision)
    changed = [*state.model.buffers(), state.loss_sum, state.correct]
    return GradientGraph(differentiate, (indices, shifts), state.model, changed)


def _differentiate(
    state: State, images: Images, precision: str, indices: Tensor, shifts: Tensor
) -> None:
    labels = images.labels[indices]
    with _autocast(images.inputs.device, precision):
        logits = state.model(shifted(images.inputs[indices], shifts))
        loss = functional.cross_entropy(logits, labels)
    loss.backward()
    state.loss_sum += loss.detach() * len(indices)
    state.correct[indices] = logits.detach().argmax(dim=1) == labels


def _finish_epoch(state: State, images: Images, num_images: int, precision: str) -> None:
    with _autocast(images.inputs.device, precision):
        state.test_errors.append(_test_error(state.model, images))
    state.train_losses.append(state.loss_sum.item() / num_images)
    state.history.append(torch.from_numpy(np.packbits(state.correct.cpu().numpy())))
    state.loss_sum.zero_()
    state.correct.zero_()
    state.step = 0


# Weights, gradients and losses stay in float32.
def _autocast(device: torch.device, precision: str) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


@torch.no_grad()
def _test_error(model: nn.Module, images: Images) -> float:
    model.eval()
    guesses = [model(some).argmax(dim=1) for some in images.test_inputs.split(EVALUATION_BATCH)]
    return 100 * (torch.cat(guesses) != images.test_labels).sum().item() / len(images.test_labels)


def train_until(
    state: State, images: Images, batches: Sequence[np.ndarray], recipe: Recipe, last_epoch: int
) -> State:
    """Train up to the end of an epoch, by all of `steps`, and return the same state."""
    for _ in steps(state, images, batches, recipe, last_epoch):
        pass
    return state


def with_population_statistics(
    model: nn.Module, images: Tensor, batch_size: int = 500
) -> nn.Module:
    r"""Copy a model and recompute its batch norms' running statistics over all images.

    One pass with the batch norms alone in train mode. Of batches of sizes :math:`B_k` with channel
    means :math:`m_k` and unbiased variances :math:`v_k`, the statistics are

    .. math:: m = \frac1n \sum_k B_k m_k, \qquad v = \frac1n \sum_k B_k v_k .

    So a ragged last batch counts by its size. In the first batch norm m is the population's mean;
    deeper ones see features that the batches' own statistics have normalised. v lacks the variance
    between the batches' means, which is small for large shuffled batches.

    Args:
        model: A network that uses each of its batch norms once in a pass; it stays as it was.
        images: Its inputs, shape ``[n, ...]``, on its device.
        batch_size: Images in each batch but the last, >= 2; a last batch of one is refused.

    Returns:
        The copy, in eval mode, with the same weights.
    """
    check_arguments(model, images, "train")
    require(batch_size >= 2, "batch_size", batch_size, "at least 2")
    expected = f"a number that does not leave a last batch of one beside batches of {batch_size}"
    require(len(images) % batch_size != 1, "The number of images", len(images), expected)
    result = copy.deepcopy(model)
    norms = [module for module in result.modules() if isinstance(module, BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    _average(result, norms, images.split(batch_size))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return result.eval()


# A batch's momentum is its share of what has been seen, which makes a mean of a moving average.
def _average(model: nn.Module, norms: list[BatchNorm], batches: tuple[Tensor, ...]) -> None:
    num_seen = 0
    for norm in norms:
        norm.reset_running_stats()
    with scoring_mode(model, "train"), torch.no_grad():
        for batch in batches:
            num_seen += len(batch)
            for norm in norms:
                norm.momentum = len(batch) / num_seen
            model(batch)
