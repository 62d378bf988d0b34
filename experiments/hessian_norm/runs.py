"""The live runs of page 08: secants against Hessians, and what scoring every example costs."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from experiments.hessian_norm.record import EPOCHS, RECIPE, TOLERANCE, recorded_network
from experiments.hessian_norm.tables import DISTANCES
from experiments.hessian_norm.tightness import tightness
from liprune_utils.batch_scores import batch_hessian_norms
from liprune_utils.batch_statistics import with_population_statistics
from liprune_utils.book.parameters import Parameters
from liprune_utils.checks import require
from liprune_utils.curvature import loss_gradient
from liprune_utils.example_scores import example_hessian_norms
from liprune_utils.images import Task, fixed_batches
from liprune_utils.settings import DEEPEST, NUM_SEEDS
from liprune_utils.training import start, train_until

ACTIVATIONS = {"relu": functional.relu, "softplus": functional.softplus}


@dataclass(frozen=True)
class HessianParameters(Parameters):
    """Parameters of page 08's live runs."""

    depth: int  # ResNet depth, 6n + 2, of the networks whose secants are measured
    num_images: int  # training images for them
    num_epochs: int  # of their training
    learning_rate: float  # of their training, in (0, 1]
    probe_size: int  # images in the batch whose gradients are compared
    num_random: int  # random directions
    num_checked: int  # recorded batches that are scored again
    num_chunks: int  # samples of examples that are scored, at each stage of training
    chunk_size: int  # examples in each
    tolerance: float  # relative accuracy of an example's norm, in (0, 1)
    seed: int  # of networks and directions

    def check(self) -> None:
        """Check the ranges."""
        super().check()
        known = 2 < self.depth <= DEEPEST and self.depth % 6 == 2
        require(known, "depth", self.depth, f"6n + 2, such as 8, 14 or 20, up to {DEEPEST}")
        images, size = self.num_images, RECIPE.batch_size
        require(size <= images <= 50_000, "num_images", images, f"from {size} to 50000")
        require(images % size != 1, "num_images", images, "one that leaves no batch of one image")
        require(1 <= self.num_epochs <= 10_000, "num_epochs", self.num_epochs, "from 1 to 10000")
        rate = self.learning_rate
        require(0 < rate <= 1, "learning_rate", rate, "a step size in (0, 1]")
        probe = self.probe_size
        require(2 <= probe <= size, "probe_size", probe, f"from 2 to the batch size, {size}")
        require(1 <= self.num_random <= 1000, "num_random", self.num_random, "from 1 to 1000")
        require(1 <= self.num_checked <= 391, "num_checked", self.num_checked, "from 1 to 391")
        chunks = self.num_chunks
        require(2 <= chunks <= 1000, "num_chunks", chunks, "from 2, for an interval, to 1000")
        require(1 <= self.chunk_size <= 1000, "chunk_size", self.chunk_size, "from 1 to 1000")
        require(0 < self.tolerance < 1, "tolerance", self.tolerance, "a number in (0, 1)")
        require(0 <= self.seed < NUM_SEEDS, "seed", self.seed, "from 0 to 2^63 - 1")


def probe_networks(task: Task, parameters: HessianParameters) -> pd.DataFrame:
    """Measure tightness for a ReLU and a smooth network, before and after training.

    Args:
        task: The data.
        parameters: The networks, their training and the directions.

    Returns:
        The tables of `experiments.hessian_norm.tightness.tightness`, with ``activation`` and
        ``epochs``, of
        training before.
    """
    few = Task(task.images[: parameters.num_images], task.labels[: parameters.num_images],
               task.test_images[:500], task.test_labels[:500])  # fmt: skip
    batches = fixed_batches(len(few.labels), RECIPE.batch_size, parameters.seed)
    chosen = torch.from_numpy(batches[0][: parameters.probe_size])
    tables = []
    depth, rate, seed = parameters.depth, parameters.learning_rate, parameters.seed
    recipe = replace(RECIPE, depth=depth, learning_rate=rate, seed=seed)
    for name, activation in ACTIVATIONS.items():
        state = start(recipe, few, activation)
        for epochs in (0, parameters.num_epochs):
            train_until(state, few, batches, recipe, epochs)
            table = tightness(
                copy.deepcopy(state.model).double(), functional.cross_entropy,
                few.images[chosen].double(), few.labels[chosen], DISTANCES,
                generator=torch.Generator().manual_seed(parameters.seed),
                num_random=parameters.num_random,
            )  # fmt: skip
            tables.append(table.assign(activation=name, epochs=epochs))
    return pd.concat(tables, ignore_index=True)


def example_costs(model: nn.Module, task: Task, parameters: HessianParameters) -> pd.DataFrame:
    """Time the scores of some examples against gradients of a training batch, in turns.

    Args:
        model: The network, left as it was; examples are scored with its population statistics,
            from the first 5,000 images.
        task: The data.
        parameters: How many chunks of how many examples, and the accuracy.

    Returns:
        One row a chunk: ``gradients``, the time of one score in units of one example's share of a
        batch gradient, ``num_products`` and ``norm``, their means over the chunk.
    """
    size = RECIPE.batch_size
    scored, rows = with_population_statistics(model, task.images[:5000]), []
    draw = np.random.default_rng(parameters.seed)
    for _ in range(parameters.num_chunks):
        chosen = torch.from_numpy(draw.permutation(len(task.labels)))
        batch, examples = (
            (task.images[chosen[:count]], task.labels[chosen[:count]])
            for count in (size, parameters.chunk_size)
        )
        gradient = median_seconds(partial(loss_gradient, model, functional.cross_entropy, *batch))
        began = time.perf_counter()
        table = example_hessian_norms(
            scored, functional.cross_entropy, *examples,
            chunk_size=parameters.chunk_size, tolerance=parameters.tolerance,
        )  # fmt: skip
        share = (time.perf_counter() - began) / len(table) / (gradient / size)
        rows.append((share, table.num_products.mean(), table.norm.mean()))
    return pd.DataFrame(rows, columns=["gradients", "num_products", "norm"])


def recheck(task: Task, recorded: pd.DataFrame, count: int) -> pd.DataFrame:
    """Score the first recorded batches again: cold, a hundred times as exactly.

    Args:
        task: The whole data set.
        recorded: The study's rows of seed 0, all batches, train mode.
        count: Number of batches, at each stage.

    Returns:
        One row a stage and batch: ``recorded`` and ``again`` (norms), ``error`` (as recorded), and
        whether the two agree within it or a thousandth.
    """
    batches, tables = fixed_batches(len(task.labels), RECIPE.batch_size, seed=0), []
    for epoch in (EPOCHS[0], EPOCHS[-1]):
        table = batch_hessian_norms(
            recorded_network(epoch), task.images, task.labels, batches[:count],
            warm_start=False, tolerance=TOLERANCE / 100,
        )  # fmt: skip
        rows = recorded[recorded.epoch == epoch].set_index("batch").loc[table.batch]
        pair = {"recorded": rows.norm.to_numpy(), "again": table.norm}
        tables.append(pd.DataFrame({"epoch": epoch, **pair, "error": rows.error.to_numpy()}))
    found = pd.concat(tables, ignore_index=True)
    allowed = found.error + 1e-3 * found.again
    return found.assign(agrees=(found.again - found.recorded).abs() <= allowed)


def median_seconds(run: Callable[[], object], repeats: int = 3) -> float:
    """Time something a few times.

    Args:
        run: What to time.
        repeats: How often.

    Returns:
        The median, in seconds.
    """
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        found.append(time.perf_counter() - began)
    return float(np.median(found))
