"""Training a ResNet on fixed batches of CIFAR-10 by SGD, every stream of randomness its own.

What the paper (Section 4.2) leaves unsaid is a parameter or said here: momentum, weight decay,
augmentation (pad-4 crop and flip), an epoch (one pass over the kept batches).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from liprune_utils.data import Dataset
from liprune_utils.models import Activation, resnet
from liprune_utils.parameters import Parameters, require
from liprune_utils.streams import StreamFamily

PURPOSES = ("subset", "batches", "init", "choice", "order", "augmentation")
generator = StreamFamily({purpose: number for number, purpose in enumerate(PURPOSES)})
PADDING = 4  # pixels, He et al. 2015, arXiv 1512.03385
EVALUATION_BATCH = 500


@dataclass(frozen=True)
class CifarParameters(Parameters):
    """Parameters of page 08: the grid of cells, and what every run shares."""

    depths: list[int]  # ResNet depths, 6n + 2
    keep_fractions: list[float]  # fractions of the batches kept, in (0, 1]
    prune_epochs: list[int]  # prune at the start of this epoch; 1 is initialisation
    learning_rates: list[float]  # SGD step sizes
    decay_epochs: list[int]  # the rate is divided by 10 at the start of each
    num_epochs: int  # passes over the kept batches
    num_images: int  # training images
    num_test_images: int  # test images
    batch_size: int  # images in each fixed batch
    momentum: float  # of SGD, in [0, 1)
    weight_decay: float  # of SGD, >= 0
    num_seeds: int  # paired repetitions
    tolerance: float  # relative accuracy of a batch's Hessian norm, in (0, 1)

    def check(self) -> None:
        """Check the ranges, and that every cell keeps at least one whole batch."""
        super().check()
        self.check_scalars()
        for name in ("depths", "keep_fractions", "prune_epochs", "learning_rates"):
            require(bool(getattr(self, name)), name, [], "at least one entry")
        for depth in self.depths:
            require(depth > 2 and depth % 6 == 2, "depths", depth, "6n + 2, such as 14 or 20")
        for epoch in self.prune_epochs:
            known = f"an epoch from 1 to num_epochs, {self.num_epochs}"
            require(1 <= epoch <= self.num_epochs, "prune_epochs", epoch, known)
        for rate in self.learning_rates:
            require(0 < rate <= 1, "learning_rates", rate, "step sizes in (0, 1]")
        for fraction in self.keep_fractions:
            require(0 < fraction <= 1, "keep_fractions", fraction, "fractions in (0, 1]")
        for epoch in self.decay_epochs:
            require(epoch >= 1, "decay_epochs", epoch, "epochs from 1")

    def check_scalars(self) -> None:
        """Check what every run shares."""
        size, images = self.batch_size, self.num_images
        require(2 <= images <= 50_000, "num_images", images, "from 2 to 50000")
        require(2 <= size <= images, "batch_size", size, f"from 2 to num_images, {images}")
        more = f"a number that does not leave a last batch of one beside batches of {size}"
        require(images % size != 1, "num_images", images, more)
        require(self.num_epochs >= 1, "num_epochs", self.num_epochs, "at least 1")
        tests = self.num_test_images
        require(1 <= tests <= 10_000, "num_test_images", tests, "from 1 to 10000")
        require(0 <= self.momentum < 1, "momentum", self.momentum, "a number in [0, 1)")
        require(0 <= self.weight_decay <= 1, "weight_decay", self.weight_decay, "from 0 to 1")
        require(self.num_seeds >= 2, "num_seeds", self.num_seeds, "at least 2, for an interval")
        require(0 < self.tolerance < 1, "tolerance", self.tolerance, "a number in (0, 1)")


@dataclass(frozen=True)
class Task:
    """Normalised images and labels, on the device: float32 ``[n, 3, 32, 32]`` and int64 ``[n]``."""

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor


@dataclass
class State:
    """A network in training, its optimiser, and the test errors of its epochs, in per cent."""

    model: nn.Module
    optimizer: torch.optim.SGD
    test_errors: list[float]


def make_task(data: Dataset, parameters: CifarParameters, seed: int = 0) -> Task:
    """Draw the images of an experiment, the same for all its runs, and normalise them.

    Args:
        data: The data set.
        parameters: How many images, where the data set has so many.
        seed: Seed of the draw.

    Returns:
        The task; channel means and deviations are those of its training images.
    """
    draw = generator(seed, "subset")
    train = draw.permutation(len(data.train_labels))[: parameters.num_images]
    test = draw.permutation(len(data.test_labels))[: parameters.num_test_images]
    levels = standardised_levels(data.train_images[train])

    def tensor(images: np.ndarray) -> Tensor:
        scaled = np.stack([levels[images[..., c], c] for c in range(3)], axis=-1)
        return torch.from_numpy(scaled).permute(0, 3, 1, 2)  # [n, 3, 32, 32], channels last

    labels, test_labels = map(torch.from_numpy, (data.train_labels[train], data.test_labels[test]))
    images, test_images = tensor(data.train_images[train]), tensor(data.test_images[test])
    return Task(images, labels, test_images, test_labels)


def standardised_levels(images: np.ndarray) -> np.ndarray:
    """Standardise the 256 levels of each channel by its mean and deviation over all pixels.

    Args:
        images: uint8, shape ``[n, 32, 32, 3]``.

    Returns:
        What each level becomes, float32, shape ``[256, 3]``.
    """
    counts = np.stack([np.bincount(images[..., c].ravel(), minlength=256) for c in range(3)], 1)
    shares, values = counts / counts.sum(axis=0), np.arange(256.0)[:, None]
    mean = (values * shares).sum(axis=0)
    deviation = np.sqrt(((values - mean) ** 2 * shares).sum(axis=0))
    return ((values - mean) / np.maximum(deviation, 1e-4)).astype(np.float32)


def fixed_batches(num_images: int, batch_size: int, seed: int) -> list[np.ndarray]:
    """Cut a random permutation of the images into batches, fixed for the whole training.

    Args:
        num_images: Number of images.
        batch_size: Images in a batch; the last batch may have fewer.
        seed: The repetition.

    Returns:
        Arrays of indices.
    """
    order = generator(seed, "batches").permutation(num_images)
    return np.split(order, range(batch_size, num_images, batch_size))


def augment(images: Tensor, draw: np.random.Generator) -> Tensor:
    """Shift each image by up to four pixels, zeros moving in, and flip half of them.

    Args:
        images: Shape ``[B, 3, 32, 32]``.
        draw: Source of randomness.

    Returns:
        New images of the same shape.
    """
    count, side = len(images), images.shape[-1]
    top, left = torch.from_numpy(draw.integers(0, 2 * PADDING + 1, size=(2, count)))
    flip = torch.from_numpy(draw.random(count) < 0.5)
    padded = functional.pad(images, (PADDING,) * 4)
    row = (top[:, None] + torch.arange(side))[:, :, None]  # [B, 32, 1]
    column = left[:, None] + torch.arange(side)
    column = torch.where(flip[:, None], column.flip(1), column)[:, None]  # [B, 1, 32]
    index = torch.arange(count)[:, None, None]
    moved = padded.permute(0, 2, 3, 1)[index, row, column]  # [B, 32, 32, 3]
    return moved.permute(0, 3, 1, 2)


def start(
    parameters: CifarParameters,
    depth: int,
    rate: float,
    seed: int,
    activation: Activation = functional.relu,
) -> State:
    """Initialise a network and its optimiser.

    Args:
        parameters: Momentum and weight decay.
        depth: ResNet depth.
        rate: Learning rate.
        seed: The repetition.
        activation: As in `resnet`.

    Returns:
        The state before the first epoch.
    """
    weights = torch.Generator().manual_seed(int(generator(seed, "init").integers(2**62)))
    model = resnet(depth, weights, activation=activation)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=rate,
        momentum=parameters.momentum,
        weight_decay=parameters.weight_decay,
    )
    return State(model, optimizer, [])


def train_epoch(state: State, task: Task, batches: Sequence[np.ndarray], seed: int) -> None:
    """Pass once over the batches in random order, then measure the test error.

    Args:
        state: The network; it is trained in place.
        task: The data.
        batches: The kept batches.
        seed: The repetition; order and augmentation depend on it and on the epoch alone.
    """
    epoch = len(state.test_errors) + 1
    shifts = generator(seed, "augmentation", epoch)
    state.model.train()
    for position in generator(seed, "order", epoch).permutation(len(batches)):
        batch = torch.from_numpy(batches[position])
        logits = state.model(augment(task.images[batch], shifts))
        state.optimizer.zero_grad()
        functional.cross_entropy(logits, task.labels[batch]).backward()
        state.optimizer.step()
    state.test_errors.append(test_error(state.model, task))


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
    return 100 * (torch.cat(guesses) != task.test_labels).float().mean().item()


def train_until(
    state: State,
    task: Task,
    batches: Sequence[np.ndarray],
    parameters: CifarParameters,
    last_epoch: int,
    seed: int,
) -> State:
    """Train up to an epoch, dividing the rate by 10 where the schedule says.

    Args:
        state: The network; it is trained in place.
        task: The data.
        batches: The batches of each epoch.
        parameters: The schedule.
        last_epoch: Epoch after which to stop.
        seed: The repetition.

    Returns:
        The same state.
    """
    while (epoch := len(state.test_errors) + 1) <= last_epoch:
        if epoch in parameters.decay_epochs:
            for group in state.optimizer.param_groups:
                group["lr"] /= 10
        train_epoch(state, task, batches, seed)
    return state
