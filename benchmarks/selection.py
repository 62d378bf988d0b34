"""`select_batches` against scoring every batch to one tolerance, on four networks.

    .venv/bin/python benchmarks/selection.py      # about an hour on one core

Forty batches of CIFAR-10, each network before training and after two epochs; a fifth is kept.
Prints the products per batch of both, which share of what norms to a ten-thousandth keep they keep,
too, and how much faster the selection is.
"""

import argparse
import sys
import time
from collections.abc import Callable

import networks
import numpy as np
import pandas as pd
import torch
from torch import nn

from liprune_utils import data
from liprune_utils.batch_scores import batch_hessian_norms, best_estimates, select_batches
from liprune_utils.checks import exit_status, require
from liprune_utils.images import Images, fixed_batches, make_images
from liprune_utils.pruning import keep_highest

NUM_BATCHES, BATCH_SIZE, EPOCHS = 40, 128, 2
KEPT, TOLERANCE, TIGHT = 0.2, 1e-2, 1e-4


def main() -> None:
    """Run the benchmark and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=NUM_BATCHES)
    count = parser.parse_args().batches
    require(2 <= count <= 390, "--batches", count, "from 2 to 390")
    torch.set_num_threads(1)
    images = make_images(data.load(), count * BATCH_SIZE, 1)
    batches, rows = fixed_batches(count * BATCH_SIZE, BATCH_SIZE, seed=0), []
    for name in networks.NETWORKS:
        model = networks.make(name)
        for epochs in (0, EPOCHS):
            networks.train(model, images.inputs, images.labels, batches, epochs)
            rows.append({"network": name, "epochs": epochs} | compare(model, images, batches))
            print(pd.DataFrame(rows[-1:]).round(2).to_string(index=False, header=len(rows) == 1))


def compare(model: nn.Module, images: Images, batches: list[np.ndarray]) -> dict[str, float]:
    """Compare what both keep, and what it costs."""
    problem = model, images.inputs, images.labels, batches
    scores, seconds = timed(lambda: batch_hessian_norms(*problem, tolerance=TOLERANCE))
    selection, fewer = timed(lambda: select_batches(*problem, KEPT, tolerance=TOLERANCE))
    exact = batch_hessian_norms(*problem, tolerance=TIGHT)
    right = keep_highest(best_estimates(exact), KEPT)
    everywhere = keep_highest(best_estimates(scores), KEPT)
    return {
        "everywhere_products": scores.num_products.mean(),
        "selection_products": selection.scores.num_products.mean(),
        "everywhere_overlap": np.isin(right, everywhere).mean(),
        "selection_overlap": np.isin(right, selection.kept).mean(),
        "times_faster": seconds / fewer,
    }


def timed(work: Callable) -> tuple[object, float]:
    """Return a result and the processor's seconds."""
    began = time.process_time()
    return work(), time.process_time() - began


if __name__ == "__main__":
    sys.exit(exit_status(main))
