"""Training a ResNet on fixed batches by SGD, step by step, so that it can be left at any of them.

Every choice is a field of `Recipe`; every stream of randomness depends on the seed, its purpose and
the epoch alone. A `State` and its recipe therefore determine all that follows, bit for bit on CPUs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from liprune_utils.images import PADDING, Task, draw_shifts, generator, shifted
from liprune_utils.models import Activation, resnet
from liprune_utils.settings import Recipe

EVALUATION_BATCH = 500
NO_SHIFT = (PADDING, PADDING, 0)


@dataclass
class State:
    """A network in training: all that the next step depends on, and the record of the epochs.

    Attributes:
        model: The network.
        optimizer: Its optimiser.
        correct: Whether each image was right when last visited in this epoch, bool, shape ``[n]``.
        loss_sum: Summed loss of the images of this epoch, scalar on the device.
        step: Batches of this epoch that are done.
        test_errors: Of the finished epochs, in per cent.
        train_losses: Mean loss during each finished epoch, augmented, in train mode.
        history: ``correct`` at the end of each finished epoch, as packed bits.
    """

    model: nn.Module
    optimizer: torch.optim.SGD
    correct: Tensor
    loss_sum: Tensor
    step: int = 0
    test_errors: list[float] = field(default_factory=list)
    train_losses: list[float] = field(default_factory=list)
    history: list[Tensor] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """The epoch under way, from 1."""
        return len(self.test_errors) + 1

    def to_dict(self) -> dict[str, object]:
        """Return everything, as ``torch.save`` keeps it and ``weights_only`` reads it.

        Returns:
            Tensors, numbers and lists by name.
        """
        held = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        return held | {name: value for name, value in vars(self).items() if name not in held}

    def load_dict(self, saved: dict[str, object]) -> None:
        """Become a state that was saved.

        Args:
            saved: From `State.to_dict`.
        """
        for name, value in saved.items():
            if name in ("model", "optimizer"):
                getattr(self, name).load_state_dict(value)
            elif isinstance(value, Tensor):
                getattr(self, name).copy_(value)
            else:
                setattr(self, name, value)

    def correct_history(self) -> np.ndarray:
        """Unpack which images were right at the end of each finished epoch.

        Returns:
            Bool array of shape ``[num_epochs, n]``, for `forgetting_counts`.
        """
        rows = [row.numpy() for row in self.history]
        return np.unpackbits(np.stack(rows), axis=1, count=len(self.correct)).astype(bool)


def initial_network(recipe: Recipe, activation: Activation = functional.relu) -> nn.Module:
    """Draw a network's first weights, on the CPU, so that they are the same for all devices.

    Args:
        recipe: Depth and seed.
        activation: As in `resnet`.

    Returns:
        The network, in train mode.
    """
    draw = int(generator(recipe.seed, "init").integers(2**62))
    return resnet(recipe.depth, torch.Generator().manual_seed(draw), activation=activation)


def start(recipe: Recipe, task: Task, activation: Activation = functional.relu) -> State:
    """Initialise a network and its optimiser.

    Args:
        recipe: Depth, momentum, weight decay and seed.
        task: The data, on the device that the network is to be on.
        activation: As in `resnet`.

    Returns:
        The state before the first epoch.
    """
    model = initial_network(recipe, activation)
    model.to(task.images.device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
    )
    correct = torch.zeros(len(task.labels), dtype=torch.bool, device=task.labels.device)
    return State(model, optimizer, correct, task.images.new_zeros(()))


def plan_epoch(
    batches: Sequence[np.ndarray], recipe: Recipe, epoch: int, device: torch.device
) -> list[tuple[Tensor, Tensor]]:
    """Draw an epoch's order and augmentation, and bring them to the device at once.

    Args:
        batches: The kept batches, arrays of indices.
        recipe: Seed and augmentation.
        epoch: The epoch, from 1.
        device: Where the tensors go.

    Returns:
        For each step the indices of its images, shape ``[B]``, and their shifts, ``[B, 3]``.
    """
    chosen = [batches[k] for k in generator(recipe.seed, "order", epoch).permutation(len(batches))]
    sizes = [len(batch) for batch in chosen]
    draw = generator(recipe.seed, "augmentation", epoch)
    shifts = np.concatenate([draw_shifts(size, draw) for size in sizes])
    if not recipe.augment:
        shifts[:] = NO_SHIFT
    pair = (torch.from_numpy(array).to(device) for array in (np.concatenate(chosen), shifts))
    return list(zip(*(tensor.split(sizes) for tensor in pair), strict=True))


def steps(
    state: State, task: Task, batches: Sequence[np.ndarray], recipe: Recipe, last_epoch: int
) -> Iterator[State]:
    """Train up to an epoch, in as many steps as the caller has patience for.

    Args:
        state: The network; it is trained in place, from where it is.
        task: The data.
        batches: The batches of each epoch.
        recipe: How to train.
        last_epoch: Epoch after which to stop.

    Yields:
        The same state after each step, and once more after each epoch (``step`` is then 0); what is
        saved there goes on exactly.
    """
    while state.epoch <= last_epoch:
        plan = plan_epoch(batches, recipe, state.epoch, task.images.device)
        for group in state.optimizer.param_groups:
            group["lr"] = recipe.rate(state.epoch)
        state.model.train()
        for indices, shifts in plan[state.step :]:
            take_step(state, task, indices, shifts, recipe.precision)
            yield state
        finish_epoch(state, task, sum(map(len, batches)), recipe.precision)
        yield state


def take_step(
    state: State, task: Task, indices: Tensor, shifts: Tensor, precision: str = "float32"
) -> None:
    """Take one step of SGD; on a GPU the host does not wait for it.

    Args:
        state: The network in train mode, trained in place.
        task: The data.
        indices: Images of the batch, shape ``[B]``.
        shifts: From `draw_shifts`, shape ``[B, 3]``.
        precision: As in `Recipe`.
    """
    labels = task.labels[indices]
    with autocast(task.images.device, precision):
        logits = state.model(shifted(task.images[indices], shifts))
        loss = functional.cross_entropy(logits, labels)
    state.optimizer.zero_grad()
    loss.backward()
    state.optimizer.step()
    state.loss_sum += loss.detach() * len(indices)
    state.correct[indices] = logits.detach().argmax(dim=1) == labels
    state.step += 1


def finish_epoch(state: State, task: Task, num_images: int, precision: str = "float32") -> None:
    """Measure the test error and file what the epoch has gathered.

    Args:
        state: The network after the epoch's last step.
        task: The data.
        num_images: Images that the epoch visited.
        precision: As in `Recipe`.
    """
    with autocast(task.images.device, precision):
        state.test_errors.append(test_error(state.model, task))
    state.train_losses.append(state.loss_sum.item() / num_images)
    state.history.append(torch.from_numpy(np.packbits(state.correct.cpu().numpy())))
    state.loss_sum.zero_()
    state.correct.zero_()
    state.step = 0


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Let a network compute in a precision.

    Args:
        device: Where it computes.
        precision: As in `Recipe`; weights, gradients and losses stay in float32.

    Returns:
        The context.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


@torch.no_grad()
def test_error(model: nn.Module, task: Task) -> float:
    """Measure the share of test images that are misclassified.

    Args:
        model: The network; put into eval mode.
        task: The data.

    Returns:
        Per cent, from 0 to 100.
    """
    model.eval()
    guesses = [model(part).argmax(dim=1) for part in task.test_images.split(EVALUATION_BATCH)]
    return 100 * (torch.cat(guesses) != task.test_labels).sum().item() / len(task.test_labels)


def train_until(
    state: State, task: Task, batches: Sequence[np.ndarray], recipe: Recipe, last_epoch: int
) -> State:
    """Train up to an epoch.

    Args:
        state: As in `steps`.
        task: As in `steps`.
        batches: As in `steps`.
        recipe: As in `steps`.
        last_epoch: As in `steps`.

    Returns:
        The same state.
    """
    for _ in steps(state, task, batches, recipe, last_epoch):
        pass
    return state
