"""Recorded table of page 09: what each fixed batch of the grid with all images is like.

``python -m experiments.cifar10.record`` describes the batches of those seeds of
``experiments/grids/whole.yml`` that ``book/results/09_cifar10`` has, with that grid's network
without pruning. It writes one row per seed and batch, and their provenance, in about a minute per
seed.
"""

import argparse
import sys
import time
from collections.abc import Iterable

import pandas as pd
from torch import nn
from tqdm import tqdm

from experiments.cifar10.kept_batches import batch_properties
from liprune_utils import data
from liprune_utils.checks import exit_status
from liprune_utils.data import Dataset
from liprune_utils.files import PROJECT, provenance, results_folder, write_json, write_table
from liprune_utils.grid import read_grid, read_scores
from liprune_utils.images import fixed_batches, make_images
from liprune_utils.runs import RunError, read_network
from liprune_utils.settings import TrainingRun
from liprune_utils.training import initial_network

GRID, RECORDED = "experiments/grids/whole.yml", "book/results/09_cifar10"
COMMAND = "python -m experiments.cifar10.record"


def main() -> None:
    """Describe the batches of every recorded seed, and write the table and its provenance."""
    argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0]).parse_args()
    began, dataset, folder = time.perf_counter(), data.load(), results_folder(RECORDED)
    run = read_grid(PROJECT / GRID).network
    network = initial_network(run)
    read_network(network, folder / "whole_network.pt")
    seeds = read_scores(folder, "whole").seed.unique()
    write_table(folder, "whole_batches", batch_table(dataset, run, network.eval(), seeds))
    facts = {"data_source": dataset.source, "pixel_sha256": dataset.sha256, "command": COMMAND}
    facts["seconds"] = round(time.perf_counter() - began, 1)
    write_json(folder / "whole_batches_provenance.json", provenance(**facts))


def batch_table(
    dataset: Dataset, run: TrainingRun, network: nn.Module, seeds: Iterable[int]
) -> pd.DataFrame:
    """Describe the fixed batches of a run's settings under each seed, one row per batch."""
    tables = []
    for seed in tqdm(seeds, "Batches", unit=" seeds", disable=None):
        images = make_images(dataset, run.num_images, run.num_test_images, seed=seed)
        batches = fixed_batches(run.num_images, run.batch_size, seed)
        tables.append(batch_properties(network, images, batches).assign(seed=seed))
    return pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    sys.exit(exit_status(main, RunError))
