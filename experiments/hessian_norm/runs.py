"""The live runs of page 08: secants against Hessians, and what scoring every example costs."""

import copy
import time
import timeit
from functools import partial
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from torch import nn
from torch.nn import functional

from experiments.hessian_norm.record import EPOCHS, RECIPE, TOLERANCE, recorded_network
from experiments.hessian_norm.tables import DISTANCES
from experiments.hessian_norm.tightness import tightness
from liprune_utils.batch_scores import batch_hessian_norms
from liprune_utils.book.parameters import Parameters
from liprune_utils.curvature import loss_gradient
from liprune_utils.example_scores import example_hessian_norms
from liprune_utils.images import Images, fixed_batches
from liprune_utils.settings import Recipe
from liprune_utils.training import start, train_until, with_population_statistics

ACTIVATIONS = {"relu": functional.relu, "softplus": functional.softplus}


class HessianParameters(Parameters):
    """Parameters of page 08's live runs."""

    depth: int  # ResNet depth, 6n + 2, of the networks whose secants are measured
    num_images: int = Field(ge=RECIPE.batch_size, le=50_000)  # training images for them
    num_epochs: int = Field(ge=1, le=10_000)  # of their training
    learning_rate: float  # of their training
    probe_size: int = Field(ge=2, le=RECIPE.batch_size)  # images whose gradients are compared
    num_random: int = Field(ge=1, le=1000)  # random directions
    num_checked: int = Field(ge=1, le=391)  # recorded batches that are scored again
    num_chunks: int = Field(ge=2, le=1000)  # samples of examples, at each stage of training
    chunk_size: int = Field(ge=1, le=1000)  # examples in each
    tolerance: float = Field(gt=0, lt=1)  # relative accuracy of an example's norm
    seed: int  # of networks and directions

    @model_validator(mode="after")
    def _check_recipe(self) -> Self:
        self.recipe()
        return self

    def recipe(self) -> Recipe:
        """Describe the training of the networks whose secants are measured."""
        own = {"depth", "num_images", "num_epochs", "learning_rate", "seed"}
        return RECIPE.replace(**self.model_dump(include=own))


def probe_networks(images: Images, parameters: HessianParameters) -> pd.DataFrame:
    """Measure tightness for a ReLU and a smooth network, before and after training."""
    recipe = parameters.recipe()
    few = Images(images.inputs[: recipe.num_images], images.labels[: recipe.num_images],
               images.test_inputs[:500], images.test_labels[:500])  # fmt: skip
    batches = fixed_batches(len(few.labels), recipe.batch_size, recipe.seed)
    probe = torch.from_numpy(batches[0][: parameters.probe_size])
    tables = []
    for name, activation in ACTIVATIONS.items():
        state = start(recipe, few, activation)
        for epochs in (0, recipe.num_epochs):
            train_until(state, few, batches, recipe, epochs)
            table = tightness(
                copy.deepcopy(state.model).double(), functional.cross_entropy,
                few.inputs[probe].double(), few.labels[probe], DISTANCES,
                generator=torch.Generator().manual_seed(recipe.seed),
                num_random=parameters.num_random,
            )  # fmt: skip
            tables.append(table.assign(activation=name, epochs=epochs))
    return pd.concat(tables, ignore_index=True)


def example_costs(model: nn.Module, images: Images, parameters: HessianParameters) -> pd.DataFrame:
    """Time the scores of some examples against gradients of a training batch, in turns."""
    size = RECIPE.batch_size
    scored, rows = with_population_statistics(model, images.inputs[:5000]), []
    generator = np.random.default_rng(parameters.seed)
    for _ in range(parameters.num_chunks):
        order = torch.from_numpy(generator.permutation(len(images.labels)))
        batch, examples = (
            (images.inputs[order[:count]], images.labels[order[:count]])
            for count in (size, parameters.chunk_size)
        )
        step = partial(loss_gradient, model, functional.cross_entropy, *batch)
        seconds = np.median(timeit.repeat(step, repeat=3, number=1, timer=time.perf_counter))
        began = time.perf_counter()
        table = example_hessian_norms(
            scored, functional.cross_entropy, *examples,
            chunk_size=parameters.chunk_size, tolerance=parameters.tolerance,
        )  # fmt: skip
        gradients = (time.perf_counter() - began) / len(table) / (seconds / size)
        rows.append((gradients, table.num_products.mean(), table.norm.mean()))
    return pd.DataFrame(rows, columns=["gradients", "num_products", "norm"])


def recheck(images: Images, recorded: pd.DataFrame, count: int) -> pd.DataFrame:
    """Score the first recorded batches again: cold, a hundred times as exactly."""
    batches, tables = fixed_batches(len(images.labels), RECIPE.batch_size, seed=0), []
    for epoch in (EPOCHS[0], EPOCHS[-1]):
        table = batch_hessian_norms(
            recorded_network(epoch), images.inputs, images.labels, batches[:count],
            warm_start=False, tolerance=TOLERANCE / 100,
        )  # fmt: skip
        rows = recorded[recorded.epoch == epoch].set_index("batch").loc[table.batch]
        pair = {"recorded": rows.norm.to_numpy(), "again": table.norm}
        tables.append(pd.DataFrame({"epoch": epoch, **pair, "error": rows.error.to_numpy()}))
    table = pd.concat(tables, ignore_index=True)
    allowed = table.error + 1e-3 * table.again
    return table.assign(agrees=(table.again - table.recorded).abs() <= allowed)
