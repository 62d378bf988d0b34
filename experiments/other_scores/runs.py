"""Page 10's live runs: the scores of some images by one network, and what each score costs."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from experiments.hessian_norm.record import DEPTH, EPOCHS, RECIPE, recorded_network
from liprune_utils.batch_scores import batch_hessian_norms, best_estimates
from liprune_utils.book.parameters import Parameters
from liprune_utils.checks import require
from liprune_utils.curvature import loss_gradient
from liprune_utils.data import Dataset
from liprune_utils.example_scores import example_hessian_norms, forgetting_counts
from liprune_utils.images import Images, fixed_batches
from liprune_utils.score_files import ScoreManifest, save_scores, weights_sha256
from liprune_utils.scores import SCORES, score
from liprune_utils.training import start, train_until, with_population_statistics

KEEP_FRACTIONS = (0.2, 0.5)  # the paper's, on CIFAR-10
# Not leverage, which depends on all images that are scored together: page 12 has it.
BY_NETWORK = tuple(name for name in SCORES if name not in ("leverage", "forgetting", "random"))
NUM_FOR_STATISTICS = 5000  # images over which batch norm's statistics are recomputed
NUM_SHOWN = 6  # images with the highest and the lowest scores, on page 10
FORGETTING_RATE = 0.05
Networks = tuple[nn.Module, nn.Module]  # to score batches, and to score examples


class OtherScoresParameters(Parameters):
    """Parameters of page 10's live runs."""

    num_images: int  # images of CIFAR-10 that are scored
    batch_size: int = Field(ge=2, le=128)  # for the batch score and the training for forgetting
    num_forgetting_epochs: int = Field(ge=2, le=200)  # of that training
    tolerance: float = Field(gt=0, lt=1)  # relative accuracy of a Hessian norm
    num_runs: int = Field(
        ge=10, le=10_000
    )  # data sets of each convex problem; a tenth on real data
    seed: int = Field(ge=0, lt=2**63, description="a whole number from 0 to 2^63 - 1")

    @model_validator(mode="after")
    def _check_num_images(self) -> Self:
        size, images = self.batch_size, self.num_images
        least, most = max(2 * size, NUM_SHOWN), NUM_FOR_STATISTICS
        expected = f"a multiple of the batch size {size}, from {least} to {most}"
        fits = least <= images <= most and images % size == 0
        require(fits, "num_images", images, expected)
        return self


def networks(images: Images) -> Networks:
    """Return the recorded ResNet-14 at the start of epoch 5, for batches and for examples."""
    model = recorded_network(EPOCHS[-1])
    return model, with_population_statistics(model, images.inputs[:NUM_FOR_STATISTICS])


def all_scores(
    images: Images, pair: Networks, parameters: OtherScoresParameters
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score the first images by ``BY_NETWORK``, by forgetting and at random; and the costs."""
    count, epochs = parameters.num_images, parameters.num_forgetting_epochs
    few = Images(images.inputs[:count], images.labels[:count],
                 images.test_inputs[:100], images.test_labels[:100])  # fmt: skip
    scores, costs = _score_in_turns(few, pair, parameters)
    scores["forgetting"] = _forgetting_scores(few, parameters)
    scores["random"] = score("random", pair[1], few.inputs, few.labels, seed=parameters.seed)
    known = [("forgetting", 0, float(epochs), np.nan), ("random", 0, 0.0, np.nan)]
    return scores, pd.concat([costs, pd.DataFrame(known, columns=costs.columns)], ignore_index=True)


def _score_in_turns(
    images: Images, pair: Networks, parameters: OtherScoresParameters
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score images batch after batch, each time beside a gradient of the same batch."""
    size, scorers = parameters.batch_size, _scorers(pair, parameters.tolerance)
    scores, rows = {name: [] for name in BY_NETWORK}, []
    for turn, first in enumerate(range(0, len(images.labels), size)):
        batch = images.inputs[first : first + size], images.labels[first : first + size]
        _, unit = _timed(loss_gradient, pair[0], functional.cross_entropy, *batch)
        for name, scorer in scorers.items():
            (values, products), seconds = _timed(scorer, *batch)
            scores[name].append(values)
            rows.append((name, turn, seconds / unit, products))
    joined = {name: np.concatenate(values) for name, values in scores.items()}
    return pd.DataFrame(joined, dtype=float), pd.DataFrame(
        rows, columns=["score", "batch", "gradients", "products"]
    )


Scorer = Callable[[Tensor, Tensor], tuple[np.ndarray, float]]  # scores, and mean products


def _scorers(pair: Networks, tolerance: float) -> dict[str, Scorer]:
    """Prepare the scores that a network gives at one moment."""
    model, scored = pair

    def by_batch(inputs: Tensor, labels: Tensor) -> tuple[np.ndarray, float]:
        batch = [np.arange(len(inputs))]
        table = batch_hessian_norms(model, inputs, labels, batch, tolerance=tolerance)
        return np.repeat(best_estimates(table), len(inputs)), table.num_products.mean()

    def by_example(inputs: Tensor, labels: Tensor) -> tuple[np.ndarray, float]:
        loss, limits = functional.cross_entropy, {"tolerance": tolerance, "max_products": 50}
        table = example_hessian_norms(scored, loss, inputs, labels, **limits)
        return table.norm.to_numpy(), table.num_products.mean()

    def other(name: str, inputs: Tensor, labels: Tensor) -> tuple[np.ndarray, float]:
        return score(name, scored, inputs, labels), np.nan

    others = {name: partial(other, name) for name in BY_NETWORK}
    return others | {"hessian-batch": by_batch, "hessian": by_example}


def _timed(run: Callable[..., object], *arguments: object) -> tuple[object, float]:
    began = time.perf_counter()
    returned = run(*arguments)
    return returned, time.perf_counter() - began


def _forgetting_scores(images: Images, parameters: OtherScoresParameters) -> np.ndarray:
    """Count how often the images are forgotten in a short training on them alone, from scratch."""
    count, epochs, size = (
        len(images.labels),
        parameters.num_forgetting_epochs,
        parameters.batch_size,
    )
    recipe = RECIPE.replace(
        learning_rate=FORGETTING_RATE, decay_epochs=(), num_epochs=epochs,
        num_images=count, batch_size=size, seed=parameters.seed,
    )  # fmt: skip
    batches = fixed_batches(count, size, parameters.seed)
    state = train_until(start(recipe, images), images, batches, recipe, epochs)
    return forgetting_counts(state.correct_history())


def save_all(
    folder: Path, scores: pd.DataFrame, pair: Networks, dataset: Dataset, tolerance: float
) -> None:
    """Write the scores of the network as arrays with manifests."""
    for name in BY_NETWORK:
        by_batch = name == "hessian-batch"
        manifest = ScoreManifest(
            score=name, model=f"ResNet-{DEPTH}", epoch=EPOCHS[-1] - 1,
            data_source=dataset.source, pixel_sha256=dataset.sha256,
            weights_sha256=weights_sha256(pair[0] if by_batch else pair[1]),
            batch_norm="train" if by_batch else "eval", seed=0, num_examples=len(scores),
            tolerance=tolerance if name.startswith("hessian") else 0.0,
        )  # fmt: skip
        save_scores(folder, scores[name].to_numpy(), manifest)
