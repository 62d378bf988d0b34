"""Page 10's live runs: the scores of some images by one network, and what each score costs."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor, nn
from torch.nn import functional

from experiments.hessian_norm.record import DEPTH, EPOCHS, RECIPE, recorded_network
from liprune_utils.batch_scores import batch_hessian_norms, best_estimates
from liprune_utils.batch_statistics import with_population_statistics
from liprune_utils.book.parameters import Parameters
from liprune_utils.checks import require
from liprune_utils.curvature import loss_gradient
from liprune_utils.data import Dataset
from liprune_utils.example_scores import example_hessian_norms, forgetting_counts
from liprune_utils.images import Task, draw_images, fixed_batches
from liprune_utils.score_files import ScoreManifest, save_scores, weights_sha256
from liprune_utils.scores import SCORES, score
from liprune_utils.settings import NUM_SEEDS
from liprune_utils.training import start, train_until

KEEP_FRACTIONS = (0.2, 0.5)  # the paper's, on CIFAR-10
BY_NETWORK = tuple(name for name in SCORES if name not in ("forgetting", "random"))
NUM_FOR_STATISTICS = 5000  # images over which batch norm's statistics are recomputed
NUM_SHOWN = 6  # images with the highest and the lowest scores, on page 10
FORGETTING_RATE = 0.05
NUM_TEST = 100  # test images of the training for forgetting, which nothing here uses
Scorer = Callable[[Tensor, Tensor], tuple[np.ndarray, float]]


@dataclass(frozen=True)
class OtherScoresParameters(Parameters):
    """Parameters of page 10's live runs."""

    num_images: int  # images of CIFAR-10 that are scored
    batch_size: int  # images in a batch, of the batch score and of the training for forgetting
    num_forgetting_epochs: int  # of that training
    tolerance: float  # relative accuracy of a Hessian norm, in (0, 1)
    num_runs: int  # paired runs on each convex problem, a fifth of them on digits
    seed: int  # root of all random streams

    def check(self) -> None:
        """Check the ranges."""
        super().check()
        size, images = self.batch_size, self.num_images
        require(2 <= size <= 128, "batch_size", size, "from 2 to 128")
        least, most = max(2 * size, NUM_SHOWN), NUM_FOR_STATISTICS
        many = least <= images <= most and images % size == 0
        expected = f"a multiple of the batch size {size}, from {least} to {most}"
        require(many, "num_images", images, expected)
        epochs = self.num_forgetting_epochs
        require(2 <= epochs <= 200, "num_forgetting_epochs", epochs, "from 2 to 200")
        require(0 < self.tolerance < 1, "tolerance", self.tolerance, "a number in (0, 1)")
        require(10 <= self.num_runs <= 10_000, "num_runs", self.num_runs, "from 10 to 10000")
        require(0 <= self.seed < NUM_SEEDS, "seed", self.seed, "from 0 to 2^63 - 1")


def image_numbers(dataset: Dataset, count: int) -> np.ndarray:
    """List which images of the data set `liprune_utils.images.make_task` takes first.

    Args:
        dataset: The data set.
        count: How many.

    Returns:
        Indices into its training images, shape ``[count]``.
    """
    return draw_images(dataset, count, 0, seed=0)[0]


def networks(task: Task) -> tuple[nn.Module, nn.Module]:
    """Return the recorded ResNet-14 at the start of epoch 5, for batches and for examples.

    Args:
        task: The data, in the order of `liprune_utils.images.make_task`.

    Returns:
        The network, and its copy with the statistics of the first images in its batch norms.
    """
    model = recorded_network(EPOCHS[-1])
    return model, with_population_statistics(model, task.images[:NUM_FOR_STATISTICS])


def scorers(pair: tuple[nn.Module, nn.Module], tolerance: float) -> dict[str, Scorer]:
    """Prepare the scores that a network gives at one moment.

    Args:
        pair: From `networks`.
        tolerance: Relative accuracy of a Hessian norm.

    Returns:
        For each name: (images, labels) of a batch -> a score for each of its images, and the mean
        number of Hessian products, NaN where the score takes none.
    """
    model, scored = pair

    def by_batch(images: Tensor, labels: Tensor) -> tuple[np.ndarray, float]:
        batch = [np.arange(len(images))]
        table = batch_hessian_norms(model, images, labels, batch, tolerance=tolerance)
        return np.repeat(best_estimates(table), len(images)), table.num_products.mean()

    def by_example(images: Tensor, labels: Tensor) -> tuple[np.ndarray, float]:
        loss, limits = functional.cross_entropy, {"tolerance": tolerance}
        table = example_hessian_norms(scored, loss, images, labels, max_products=50, **limits)
        return table.norm.to_numpy(), table.num_products.mean()

    def other(name: str, images: Tensor, labels: Tensor) -> tuple[np.ndarray, float]:
        return score(name, scored, images, labels), np.nan

    found = {name: partial(other, name) for name in BY_NETWORK}
    return found | {"hessian-batch": by_batch, "hessian": by_example}


def score_in_turns(
    task: Task, pair: tuple[nn.Module, nn.Module], parameters: OtherScoresParameters
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score images batch after batch, each time beside a gradient of the same batch.

    Args:
        task: The images; the first are scored.
        pair: From `networks`.
        parameters: How many images, in batches of how many, and how accurately.

    Returns:
        The scores, one row an image and one column a score; and the costs, one row a batch and
        score: ``gradients``, its time in units of the gradient's, and ``products``.
    """
    scores = pd.DataFrame(0.0, index=range(parameters.num_images), columns=list(BY_NETWORK))
    rows, found = [], scorers(pair, parameters.tolerance)
    for first in range(0, parameters.num_images, parameters.batch_size):
        part = slice(first, first + parameters.batch_size)
        images, labels = task.images[part], task.labels[part]
        _, unit = timed(loss_gradient, pair[0], functional.cross_entropy, images, labels)
        for name, scorer in found.items():
            (values, products), seconds = timed(scorer, images, labels)
            scores.loc[part.start : part.stop - 1, name] = values
            rows.append((name, first // parameters.batch_size, seconds / unit, products))
    return scores, pd.DataFrame(rows, columns=["score", "batch", "gradients", "products"])


def timed(run: Callable[..., object], *arguments: object) -> tuple[object, float]:
    """Run something and time it.

    Args:
        run: What to run.
        *arguments: Its arguments.

    Returns:
        Its result, and the seconds.
    """
    began = time.perf_counter()
    found = run(*arguments)
    return found, time.perf_counter() - began


def forgetting_scores(task: Task, parameters: OtherScoresParameters) -> np.ndarray:
    """Count how often the images are forgotten in a short training on them alone, from scratch.

    Args:
        task: The images; the first are used.
        parameters: How many images, the batches, the epochs and the seed.

    Returns:
        As in `liprune_utils.example_scores.forgetting_counts`.
    """
    count, epochs, seed = parameters.num_images, parameters.num_forgetting_epochs, parameters.seed
    few = Task(task.images[:count], task.labels[:count],
               task.test_images[:NUM_TEST], task.test_labels[:NUM_TEST])  # fmt: skip
    recipe = replace(
        RECIPE, learning_rate=FORGETTING_RATE, decay_epochs=(), num_epochs=epochs,
        num_images=count, batch_size=parameters.batch_size, seed=seed,
    )  # fmt: skip
    batches = fixed_batches(count, parameters.batch_size, seed)
    state = train_until(start(recipe, few), few, batches, recipe, epochs)
    return forgetting_counts(state.correct_history())


def all_scores(
    task: Task, pair: tuple[nn.Module, nn.Module], parameters: OtherScoresParameters
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score images by every score of ``liprune_utils.scores.SCORES``.

    Args:
        task: The images; the first are scored.
        pair: From `networks`.
        parameters: The page's.

    Returns:
        As `score_in_turns`; with "forgetting", whose cost is an epoch of gradients for each epoch,
        and "random".
    """
    scores, costs = score_in_turns(task, pair, parameters)
    scores["forgetting"] = forgetting_scores(task, parameters)
    count = parameters.num_images
    scores["random"] = score("random", pair[1], task.images[:count], task.labels[:count],
                             seed=parameters.seed)  # fmt: skip
    added = {"forgetting": float(parameters.num_forgetting_epochs), "random": 0.0}
    rows = [(name, 0, cost, np.nan) for name, cost in added.items()]
    extra = pd.DataFrame(rows, columns=costs.columns)
    return scores, pd.concat([costs, extra], ignore_index=True)


def save_all(
    folder: Path, scores: pd.DataFrame, pair: tuple[nn.Module, nn.Module], dataset: Dataset,
    tolerance: float,
) -> list[Path]:  # fmt: skip
    """Write the scores of the network as arrays with manifests.

    Args:
        folder: Where to.
        scores: From `all_scores`; "forgetting" and "random" are not the network's, and left out.
        pair: From `networks`.
        dataset: Where the images come from.
        tolerance: Relative accuracy of a Hessian norm.

    Returns:
        The array files.
    """
    paths = []
    for name in BY_NETWORK:
        by_batch = name == "hessian-batch"
        network = pair[0] if by_batch else pair[1]
        manifest = ScoreManifest(
            score=name, model=f"ResNet-{DEPTH}", epoch=EPOCHS[-1] - 1,
            data_source=dataset.source, pixel_sha256=dataset.sha256,
            weights_sha256=weights_sha256(network), batch_norm="train" if by_batch else "eval",
            seed=0, num_examples=len(scores),
            tolerance=tolerance if name.startswith("hessian") else 0.0,
        )  # fmt: skip
        paths.append(save_scores(folder, scores[name].to_numpy(), manifest))
    return paths
