"""`select_batches` against scoring every batch to one tolerance.

    .venv/bin/python benchmarks/selection.py      # about ten minutes on one core

Forty batches of CIFAR-10, ResNet-14 before training and at the start of epoch 5; a fifth is kept.
Prints the seconds of both, their ratio, and whether each keeps what norms to a thousandth keep.
"""

import argparse
import sys
import time

import pandas as pd
import torch

from experiments.hessian_norm.record import EPOCHS, RECIPE, recorded_network
from liprune_utils import data
from liprune_utils.batch_scores import batch_hessian_norms, best_estimates, select_batches
from liprune_utils.checks import exit_status, require
from liprune_utils.images import fixed_batches, make_images
from liprune_utils.pruning import keep_highest

NUM_BATCHES, KEPT, TOLERANCE, TIGHT = 40, 0.2, 1e-2, 1e-3


def main() -> None:
    """Run the benchmark and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=NUM_BATCHES)
    count = parser.parse_args().batches
    require(2 <= count <= 390, "--batches", count, "from 2 to 390")
    torch.set_num_threads(1)
    size = RECIPE.batch_size
    images = make_images(data.load(), count * size, 1)
    batches = fixed_batches(count * size, size, seed=0)
    rows = []
    for epoch in (EPOCHS[0], EPOCHS[-1]):
        model = recorded_network(epoch).to(memory_format=torch.channels_last)
        inputs = model, images.inputs, images.labels, batches
        began = time.perf_counter()
        everywhere = batch_hessian_norms(*inputs, tolerance=TOLERANCE)
        between = time.perf_counter()
        selection = select_batches(*inputs, KEPT, tolerance=TOLERANCE)
        seconds = between - began, time.perf_counter() - between
        exact = batch_hessian_norms(*inputs, tolerance=TIGHT)
        right = set(keep_highest(best_estimates(exact), KEPT))
        same = [set(keep_highest(best_estimates(everywhere), KEPT)) == right]
        same.append(set(selection.kept) == right)
        rows.append((epoch, *seconds, seconds[1] / seconds[0], *same))
    columns = ["epoch", "everywhere_s", "selection_s", "ratio", "everywhere_same", "selection_same"]
    print(pd.DataFrame(rows, columns=columns).round(2).to_string(index=False))


if __name__ == "__main__":
    sys.exit(exit_status(main))
