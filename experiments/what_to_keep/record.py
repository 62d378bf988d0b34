"""Recorded study of page 12: the optimal design and other ways to prune on the convex head.

``python -m experiments.what_to_keep.record`` computes the features of all images by the network
that page 06 has recorded, tunes the step sizes, races all methods, and writes ``head.csv`` and its
provenance ``head.json`` to ``book/results/12_what_to_keep/``, in about a quarter of an hour.
"""

import argparse
import sys
import time
from pathlib import Path

import torch

from experiments.convex_is_not_enough import record as page_06
from experiments.what_to_keep.real import (
    NUM_SPLITS,
    NUM_TUNING,
    RECORDED,
    Problem,
    head_problem,
    run_problem,
)
from liprune_utils import data
from liprune_utils.checks import exit_status
from liprune_utils.data import Dataset
from liprune_utils.files import provenance, results_folder, write_json, write_table
from liprune_utils.runs import RunError
from liprune_utils.training_run import Workspace

SEED = 0
COMMAND = "python -m experiments.what_to_keep.record"


def main() -> None:
    """Run the study, and write its table and its provenance."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.parse_args()
    began, dataset, folder = time.perf_counter(), data.load(), results_folder(RECORDED)
    problem = recorded_problem(dataset)
    write_table(folder, "head", run_problem(problem, SEED, NUM_SPLITS))
    facts = dict(page_06.unpruned_run()) | {
        "command": COMMAND,
        "data_source": dataset.source,
        "pixel_sha256": dataset.sha256,
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "seconds": round(time.perf_counter() - began, 1),
        "head_batch_size": problem.batch_size,
        "num_splits": NUM_SPLITS,
        "num_tuning": NUM_TUNING,
        "head_seed": SEED,
    }
    write_json(folder / "head.json", provenance(**facts))


def recorded_problem(dataset: Dataset) -> Problem:
    """Make the head on the features of the recorded network's images, and of its test images."""
    run, workspace = page_06.unpruned_run(), Workspace(dataset, Path())
    return head_problem(*page_06.heads(page_06.recorded_network(), workspace, run))


if __name__ == "__main__":
    sys.exit(exit_status(main, RunError))
